//! Unmodified WASI programs: standard input and output are the client, the exit code is the result.
//! Each is served as a core module and as a component.

use crate::harness::{Serve, Server, guest, guest_component, is_guest, wat};

fn probes() -> [Server; 2] {
    [
        Serve::new(guest("probe")).start(),
        Serve::new(guest_component("probe")).start(),
    ]
}

#[test]
fn exit_code_0_is_success() {
    for server in probes() {
        assert_eq!(server.ask("exit 0\n"), b"about to exit\n");
        assert_eq!(server.request()["outcome"], "ok");
    }
}

#[test]
fn another_exit_code_is_an_error_that_it_reports() {
    for server in probes() {
        assert_eq!(server.ask("exit 3\n"), b"about to exit\n");
        let event = server.request();
        assert_eq!(event["outcome"], "handler-error", "{event}");
        assert!(event["detail"].is_string(), "{event}");
    }
}

#[test]
fn a_panic_is_a_trap_and_its_message_goes_to_the_log_only() {
    for server in probes() {
        assert_eq!(server.ask("panic\n"), b"");
        assert_eq!(server.request()["outcome"], "trap");
        let said = server.log().wait_for(1, |e| {
            is_guest(e)
                && e["line"]
                    .as_str()
                    .is_some_and(|line| line.contains("asked to"))
        });
        assert_eq!(said[0]["stream"], "stderr");
    }
}

#[test]
fn standard_error_is_the_log() {
    for server in probes() {
        assert_eq!(server.ask("complain of this and that\n"), b"");
        let event = server.log().wait_for(1, is_guest).remove(0);
        assert_eq!(event["line"], "of this and that", "{event}");
        assert_eq!(event["stream"], "stderr", "{event}");
        assert_eq!(event["id"], server.request()["id"], "{event}");
    }
}

#[test]
fn arguments_are_the_operators() {
    for file in [guest("probe"), guest_component("probe")] {
        let server = Serve::new(file)
            .handler_args(&["--first", "and second"])
            .start();
        assert_eq!(server.ask("arguments\n"), b"--first\nand second\n");
    }
}

#[test]
fn a_program_that_reads_nothing_is_served() {
    for server in probes() {
        let mut client = server.connect();
        client.finish_sending();
        let answer = String::from_utf8(client.receive_all()).unwrap();
        assert!(answer.starts_with("error: InvalidInput"), "{answer}");
        assert_eq!(server.request()["outcome"], "ok");
    }
}

#[test]
fn output_arrives_while_the_program_still_waits_for_input() {
    for server in probes() {
        let mut client = server.connect();
        client.send("echo\nfirst\n");
        assert_eq!(client.receive(6), b"first\n");
        client.send("second\n");
        assert_eq!(client.receive(7), b"second\n");
    }
}

#[test]
fn descriptors_that_are_closed_and_renumbered_mean_what_wasi_says() {
    let server = Serve::new(wat("descriptors")).start();
    let answer = server.ask("something");
    assert_eq!(answer, b"moved\x08\0\0\0\x08\0\0\0", "{}", server.request());
}
