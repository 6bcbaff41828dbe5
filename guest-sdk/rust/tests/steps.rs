//! `test::run` calls the steps as the contract says.
#![cfg(not(target_family = "wasm"))]

use std::io::{Read, Write};

use sandsock_guest::test::run;
use sandsock_guest::{Handler, Request, Result, Transport};

/// Writes the name of each step, and fails in those that the client names.
#[derive(Default)]
struct Steps {
    fails_in: String,
}

impl Steps {
    fn step(&self, request: &mut Request, name: &'static str) -> Result {
        request.wfile.write_all(name.as_bytes())?;
        if self.fails_in.contains(name) {
            return Err(format!("in {name}").into());
        }
        Ok(())
    }
}

impl Handler for Steps {
    fn setup(&mut self, request: &mut Request) -> Result {
        request.rfile.read_to_string(&mut self.fails_in)?;
        self.step(request, "setup ")
    }

    fn handle(&mut self, request: &mut Request) -> Result {
        self.step(request, "handle ")
    }

    fn finish(&mut self, request: &mut Request) -> Result {
        self.step(request, "finish ")
    }
}

sandsock_guest::handler!(Steps);

fn served(fails_in: &str) -> (String, Option<String>) {
    let mut request = Request::in_memory(fails_in);
    let error = run::<Steps>(&mut request).err();
    let written = String::from_utf8(request.written().to_vec()).unwrap();
    (written, error.map(|error| error.to_string()))
}

#[test]
fn the_steps_run_in_order_on_one_value() {
    assert_eq!(served(""), ("setup handle finish ".into(), None));
}

#[test]
fn after_an_error_of_setup_nothing_runs() {
    assert_eq!(
        served("setup "),
        ("setup ".into(), Some("in setup ".into()))
    );
}

#[test]
fn after_an_error_of_handle_finish_runs() {
    let expected = ("setup handle finish ".into(), Some("in handle ".into()));
    assert_eq!(served("handle "), expected);
}

#[test]
fn an_error_of_finish_is_an_error() {
    let expected = ("setup handle finish ".into(), Some("in finish ".into()));
    assert_eq!(served("finish "), expected);
}

#[test]
fn the_first_error_wins() {
    let expected = ("setup handle finish ".into(), Some("in handle ".into()));
    assert_eq!(served("handle finish "), expected);
}

#[test]
fn what_a_datagram_client_was_written_is_sent_even_after_an_error() {
    for fails_in in ["", "setup ", "handle "] {
        let mut request = Request::in_memory(fails_in).over(Transport::UnixDatagram);
        let result = run::<Steps>(&mut request);
        assert_eq!(result.is_err(), !fails_in.is_empty());
        assert_eq!(request.datagrams(), [request.written()]);
    }
}
