//! The examples, as their READMEs have it: each served on a port of its own, with its own client.

use crate::harness::{
    Serve, Server, example, handler, is_guest, is_request, replay, sandsock, test_recordings,
};
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

/// The line that an event's backtrace names first in the example's own source.
fn line_of_weekday(detail: &str) -> &'static str {
    let source = include_str!("../examples/debugging/weekday/src/lib.rs");
    let (_, place) = detail
        .split_once("examples/debugging/weekday/src/lib.rs:")
        .unwrap_or_else(|| panic!("no line in: {detail}"));
    let digits: String = place.chars().take_while(char::is_ascii_digit).collect();
    let line = digits.parse::<usize>().expect("a line's number");
    source.lines().nth(line - 1).expect("a line").trim()
}

#[test]
fn debugging_goes_from_a_failed_request_to_its_line_and_to_a_test() {
    let (broken, fixed) = (handler("weekday"), handler("weekday-fixed"));
    let mut server = Serve::new(&broken).recording("fail").start();
    assert_eq!(server.ask("1\n7\n"), b"Monday\nSunday\n");
    assert_eq!(server.ask("2\n0\n"), b"Tuesday\n");
    let event = server.requests(2).remove(1);
    assert_eq!(event["outcome"], "trap", "{event}");

    // Found by its line, in the log and offline.
    let bug = "DAYS[number - 1]";
    let detail = event["detail"].as_str().unwrap();
    assert_eq!(line_of_weekday(detail), bug, "{event}");
    let run = sandsock(&["run".as_ref(), broken.as_os_str()], b"2\n0\n");
    assert_eq!(run.code, 1, "{run:?}");
    assert_eq!(line_of_weekday(&run.stderr), bug, "{run:?}");

    // Replayed: by the handler that failed, and by the one that does not.
    let recording = server.recorded().remove(0);
    assert_eq!(
        recording.file.file_name().unwrap(),
        event["record"].as_str().unwrap()
    );
    recording.replays_the_same();
    let differs = replay(&recording.file, &fixed);
    assert_eq!(differs.code, 1, "{differs:?}");
    for line in ["outcome: was trap, is ok", "answer: differs from byte 8"] {
        assert!(differs.text().contains(line), "{differs:?}");
    }

    // Kept as a test of what it should be.
    let kept = test_recordings(&server.recordings(), &fixed, "--update");
    assert!(
        kept.text()
            .ends_with("1 recordings: 0 the same, 1 updated\n"),
        "{kept:?}"
    );
    let passes = test_recordings(&server.recordings(), &fixed, "");
    assert_eq!(passes.code, 0, "{passes:?}");
    let fails = test_recordings(&server.recordings(), &broken, "");
    assert_eq!(fails.code, 1, "{fails:?}");
}

#[test]
fn recordings_of_debugging_are_its_tests() {
    let recordings = example("debugging/recordings");
    let passes = test_recordings(&recordings, &handler("weekday-fixed"), "");
    assert_eq!(passes.code, 0, "{}", passes.text());
    let fails = test_recordings(&recordings, &handler("weekday"), "");
    assert_eq!(fails.code, 1, "{}", fails.text());
    assert!(
        fails.text().contains("outcome: was ok, is trap"),
        "{}",
        fails.text()
    );
}
