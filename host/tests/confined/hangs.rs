//! What code that has broken out cannot do to its server: stay.

#![expect(
    unsafe_code,
    reason = "signals and limits, as no well-behaved handler sets them"
)]

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use nix::libc;
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use sandsock::config::{ConcurrencyKind, Limits};
use sandsock::harden::{Harden, Needs, confine_forker, give_up_rights};
use sandsock::{Request, Server, ServerOptions, handler_fn};
use serde_json::Value;

use crate::{Events, answer, asking};

fn ignore(signal: libc::c_int) {
    // SAFETY: no handler of this process is relied on by what is tried here.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

fn stay(word: &str) -> io::Result<String> {
    // What moves a guest's clock, and what asks for an end.
    for signal in [libc::SIGPROF, libc::SIGUSR1, libc::SIGUSR2, libc::SIGTERM] {
        ignore(signal);
    }
    match word {
        "block" => loop {
            thread::sleep(Duration::from_secs(3600));
        },
        "spin" => loop {
            std::hint::spin_loop();
        },
        "spin without signals" => {
            ignore(libc::SIGXCPU);
            loop {
                std::hint::spin_loop();
            }
        }
        "raise cpu" => {
            let raised = setrlimit(Resource::RLIMIT_CPU, RLIM_INFINITY, RLIM_INFINITY);
            Ok(format!("{raised:?}"))
        }
        "raise data" => {
            let raised = setrlimit(Resource::RLIMIT_DATA, RLIM_INFINITY, RLIM_INFINITY);
            Ok(format!("{raised:?}"))
        }
        _ => Ok("hello".to_owned()),
    }
}

/// Has served one request, and has room for one at a time.
fn server(limits: Limits) -> Server {
    let handler = handler_fn(|request: &Request| {
        let mut word = String::new();
        io::Read::read_to_string(&mut request.rfile(), &mut word)?;
        Ok(request.wfile().write_all(stay(&word)?.as_bytes())?)
    });
    let options = ServerOptions {
        concurrency: ConcurrencyKind::Fork,
        max_children: Some(1),
        linger: Duration::ZERO,
        limits,
        ..ServerOptions::default()
    };
    let mut server = Server::with_options("tcp://127.0.0.1:0", handler, options).expect("a port");
    let greeted = asking(&server, ["greet"]).remove(0);
    server.handle_request().expect("it serves");
    assert_eq!(answer(greeted), "hello");
    server
}

/// Asks these, and says what each was answered and what became of it. Each is served once the one before has ended.
fn asked(limits: Limits, words: &[&str]) -> Vec<(String, Value)> {
    let events = Events::listen();
    let mut server = server(limits);
    let clients = asking(&server, words.iter().copied());
    // Root could raise its limits again.
    give_up_rights().expect("rights can be given up");
    let in_force = confine_forker(Harden::Auto, &Needs::default()).expect("this kernel's best");
    assert!(in_force.seccomp, "{in_force:?}");
    for _ in words {
        server.handle_request().expect("it serves");
    }
    let answers: Vec<_> = clients.into_iter().map(answer).collect();
    server.server_close();
    let numbered = answers.into_iter().enumerate();
    numbered
        .map(|(number, answer)| (answer, events.of_request(number + 2)))
        .collect()
}

fn ended(asked: &(String, Value), outcome: &str, says: &str) {
    let (answer, event) = asked;
    assert_eq!(answer, "", "{event}");
    assert_eq!(event["outcome"], outcome, "{event}");
    let detail = event["detail"].as_str().unwrap_or_default();
    assert!(detail.contains(says), "{event}");
}

pub(crate) fn a_child_that_hangs_is_killed_and_the_next_client_served() {
    let limits = Limits {
        deadline: Some(Duration::from_millis(200)),
        ..Limits::default()
    };
    let asked = asked(limits, &["block", "greet"]);
    ended(&asked[0], "deadline", "did not end by itself");
    assert_eq!(asked[1].0, "hello", "{}", asked[1].1);
}

pub(crate) fn a_child_that_computes_for_ever_is_ended_by_the_system() {
    let limits = Limits {
        // However long that takes on a busy machine.
        deadline: None,
        cpu: Some(Duration::from_millis(500)),
        ..Limits::default()
    };
    let words = [
        "spin",
        "spin without signals",
        "raise cpu",
        "raise data",
        "greet",
    ];
    let asked = asked(limits, &words);
    ended(&asked[0], "cpu-limit", "SIGXCPU");
    ended(&asked[1], "host-error", "SIGKILL");
    assert_eq!(asked[2].0, "Err(EPERM)", "its limit is its limit");
    ended(&asked[3], "host-error", "it called prlimit64,");
    assert_eq!(asked[4].0, "hello", "{}", asked[4].1);
}
