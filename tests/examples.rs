//! The examples, as their READMEs have it: each served on a port of its own, with its own client.

use crate::harness::{Serve, Server, example, handler, is_guest, is_request};
use std::process::Command;

/// The client of an example, in Python, run against a server.
fn python(client: &str, server: &Server) -> String {
    let address = server.address();
    let (host, port) = address
        .trim_start_matches("tcp://")
        .rsplit_once(':')
        .unwrap();
    let output = Command::new("python3")
        .arg(example(client))
        .args([host, port])
        .env("PYTHONIOENCODING", "utf-8")
        .output()
        .expect("python3 is installed");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// What guests printed, in the order of the log.
fn printed(server: &Server, lines: usize) -> Vec<String> {
    let events = server.log().wait_for(lines, is_guest);
    events
        .iter()
        .map(|event| event["line"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn tcp_server_answers_its_client_and_logs_as_the_article_prints() {
    let server = Serve::new(handler("hello"))
        .with("--concurrency serial")
        .start();
    assert_eq!(python("tcp-server/client.py", &server), "你好\n");
    let said = printed(&server, 2);
    assert!(said[0].starts_with("connect from 127.0.0.1:"), "{said:?}");
    assert_eq!(said[1], "hello,server");
}

#[test]
fn threading_tcp_server_answers_five_clients_and_logs_the_threads_name() {
    let server = Serve::new(handler("hello"))
        .with("--concurrency threads")
        .start();
    assert_eq!(
        python("threading-tcp-server/client.py", &server),
        "你好\n".repeat(5)
    );
    let said = printed(&server, 10);
    for n in 1..=5 {
        assert!(said.contains(&format!("from client:{n}")), "{said:?}");
    }
    for event in server.log().wait_for(15, |e| is_guest(e) || is_request(e)) {
        let thread = event["thread"].as_str().unwrap_or_default();
        assert!(thread.starts_with("Thread-"), "{event}");
    }
}

#[test]
fn hello_wat_does_the_same_as_hello() {
    let server = Serve::new(example("wat/hello.wat")).start();
    assert_eq!(python("tcp-server/client.py", &server), "你好\n");
    let said = printed(&server, 2);
    assert!(said[0].starts_with("connect from 127.0.0.1:"), "{said:?}");
    assert_eq!(said[1], "hello,server");
    assert_eq!(server.request()["outcome"], "ok");
}

#[test]
fn echo_wat_does_the_same_as_echo() {
    let server = Serve::new(example("wat/echo.wat")).start();
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut client = server.connect();
    let mut writer = client.twin();
    let received = std::thread::scope(|scope| {
        let sent = &bytes;
        scope.spawn(move || {
            writer.send(sent);
            writer.finish_sending();
        });
        client.receive_all()
    });
    assert!(received == bytes);
    assert_eq!(server.request()["outcome"], "ok");
}

#[test]
fn an_ordinary_program_is_served_line_by_line() {
    let server = Serve::new(handler("rot13")).start();
    let mut client = server.connect();
    client.send("Hello, server!\n");
    assert_eq!(client.receive(15), b"Uryyb, freire!\n");
    client.send("Uryyb, freire!");
    client.finish_sending();
    assert_eq!(client.receive_all(), b"Hello, server!");
    assert_eq!(server.request()["outcome"], "ok");
}
