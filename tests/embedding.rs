//! The examples of the library, run as programs.

use crate::harness::{Client, Process, Server, Transport, example_program, handler};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Starts an example at addresses of these transports.
fn start(name: &str, transports: &[Transport], arguments: &[&str]) -> Server {
    let dir = TempDir::new().unwrap();
    let addresses = transports
        .iter()
        .map(|transport| transport.any_address(dir.path()));
    let mut command = Command::new(example_program(name));
    command
        .args(addresses)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Server::start(command, dir)
        .unwrap_or_else(|log| panic!("it does not listen:\n{}", log.join("\n")))
}

#[test]
fn echo_sends_back_line_by_line_over_every_transport() {
    for transport in Transport::all() {
        let server = start("echo", &[transport], &[]);
        assert_eq!(server.ask("one\ntwo\n"), b"one\ntwo\n", "{transport:?}");
    }
}

#[test]
fn mixed_serves_with_a_native_handler_and_a_wasm_file() {
    let upper = handler("upper");
    let transports = [Transport::Tcp, Transport::Udp];
    let server = start("mixed", &transports, &[upper.to_str().unwrap()]);
    let addresses = server.listening(2);
    for _ in 0..3 {
        let polite = Client::connect(&addresses[0]).ask("world\n");
        assert_eq!(polite, b"hello, world\nthank you\n");
        assert_eq!(Client::connect(&addresses[1]).ask("world"), b"WORLD");
    }
}

#[test]
fn hooks_tell_failures_and_end_the_server_after_three() {
    let mut server = start("hooks", &[Transport::Tcp], &[]);
    // What it says of failures comes on standard output, too.
    let address = server.address();
    assert_eq!(Client::connect(&address).ask("21\n"), b"42\n");
    for _ in 0..3 {
        assert_eq!(Client::connect(&address).ask("what?\n"), b"");
    }
    assert_eq!(server.wait().code(), Some(0));
    let said = server.said().whole();
    let failures = said
        .iter()
        .filter(|line| line.contains("handler-error: invalid digit"));
    assert_eq!(failures.count(), 3, "{said:?}");
    assert_eq!(said.last().unwrap(), "three failures are enough");
}

#[test]
fn forking_serves_in_children_and_leaves_the_programs_own_child_to_it() {
    let echo = handler("echo");
    for file in [None, Some(echo.to_str().unwrap())] {
        for transport in Transport::all() {
            let arguments: Vec<&str> = ["3"].into_iter().chain(file).collect();
            let mut server = start("forking", &[transport], &arguments);
            assert_eq!(server.process().threads(), 1);
            for _ in 0..3 {
                let answer = String::from_utf8(server.ask("hello")).unwrap();
                match answer.trim().strip_prefix("process ") {
                    Some(process) => {
                        let process = Process(process.parse().unwrap());
                        assert_ne!(process, server.process());
                    }
                    None => assert_eq!(answer, "hello", "{transport:?}"),
                }
            }
            assert_eq!(server.wait().code(), Some(0));
            let said = server.said().whole();
            assert_eq!(said.last().unwrap(), "my own child: exit status: 7");
        }
    }
}
