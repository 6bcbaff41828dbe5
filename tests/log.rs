//! The log: one event a line, as JSON for programs and as text for people, and nothing of a guest's that
//! could disturb either.

use crate::harness::{
    Op, Serve, Server, guest, guest_component, handler, is_guest, is_request, script, wat,
};
use Op::{Fail, Print, PrintError, Return, Trap, Write};
use serde_json::Value;

/// Words that programs rely on.
const OF_A_REQUEST: [&str; 9] = [
    "service",
    "id",
    "client",
    "outcome",
    "duration_us",
    "cpu_us",
    "bytes_in",
    "bytes_out",
    "memory_peak",
];

fn is_flat(event: &Value) -> bool {
    event.as_object().is_some_and(|fields| {
        !fields.is_empty()
            && fields
                .values()
                .all(|value| !value.is_object() && !value.is_array())
    })
}

#[test]
fn every_line_is_one_flat_object_with_timestamp_level_and_event() {
    let mut server = Serve::new(wat("script"))
        .with("--shutdown-grace 0s")
        .start();
    server.ask(script(&[
        Print("a line"),
        PrintError("another"),
        Write("x"),
    ]));
    server.ask(script(&[Return, Fail]));
    server.ask(script(&[Return, Trap]));
    server.requests(3);
    server.terminate();
    let lines = server.log().whole();
    assert!(lines.len() >= 5, "{lines:?}");
    for line in &lines {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(is_flat(&event), "{line}");
        for field in ["timestamp", "level", "event"] {
            assert!(event[field].is_string(), "{field} in {line}");
        }
        // RFC 3339: `2026-01-31T12:00:00…`.
        let time = event["timestamp"].as_str().unwrap();
        assert!(time.len() >= 20 && time.as_bytes()[10] == b'T', "{line}");
    }
}

#[test]
fn a_request_is_one_event_with_all_its_fields() {
    let server = Serve::new(handler("echo"))
        .with("--concurrency threads")
        .start();
    let client = server.connect();
    let address = client.address();
    client.ask("seven b");
    let event = server.request();
    for field in OF_A_REQUEST {
        assert!(!event[field].is_null(), "{field} in {event}");
    }
    assert_eq!(event["client"], address, "{event}");
    assert_eq!(event["outcome"], "ok", "{event}");
    assert_eq!(event["bytes_in"], 7, "{event}");
    assert_eq!(event["bytes_out"], 7, "{event}");
    for number in ["id", "duration_us", "cpu_us", "memory_peak"] {
        assert!(event[number].is_u64(), "{number} in {event}");
    }
    assert!(event["memory_peak"].as_u64() >= Some(65_536), "{event}");
    assert!(event["thread"].is_string(), "{event}");
    assert!(event["detail"].is_null(), "only of a failure: {event}");
}

#[test]
fn a_failure_has_a_detail() {
    let server = Serve::new(wat("script")).start();
    server.ask(script(&[Return, Fail]));
    server.ask(script(&[Return, Trap]));
    for event in server.requests(2) {
        assert!(
            event["detail"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{event}"
        );
    }
}

#[test]
fn what_a_guest_prints_is_an_event_a_line() {
    let server = Serve::new(wat("script")).start();
    server.ask(script(&[
        Print("one"),
        PrintError("two"),
        Print("three\nfour"),
        Print(""),
    ]));
    let id = server.request()["id"].clone();
    let events: Vec<Value> = server.log().events().into_iter().filter(is_guest).collect();
    let said: Vec<_> = events
        .iter()
        .map(|e| (e["stream"].as_str().unwrap(), e["line"].as_str().unwrap()))
        .collect();
    assert_eq!(
        said,
        [
            ("stdout", "one"),
            ("stderr", "two"),
            ("stdout", "three"),
            ("stdout", "four"),
            ("stdout", "")
        ]
    );
    assert!(
        events
            .iter()
            .all(|e| e["id"] == id && e["service"].is_string()),
        "{events:?}"
    );
}

#[test]
fn a_last_line_without_a_newline_is_an_event_too() {
    for file in [guest("probe"), guest_component("probe")] {
        let server = Serve::new(file).start();
        // A panic's message and the trap behind it: whatever was printed by then is there.
        server.ask("panic\n");
        server.request();
        assert!(
            server.log().events().iter().any(is_guest),
            "{:?}",
            server.log().lines()
        );
    }
    let server = Serve::new(wat("half-a-line")).start();
    server.ask("x");
    server.request();
    let events: Vec<Value> = server.log().events().into_iter().filter(is_guest).collect();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0]["line"], "half a line");
}

#[test]
fn what_a_guest_prints_is_logged_before_its_request_ends() {
    let server = Serve::new(wat("script")).start();
    let mut client = server.connect();
    client.send(script(&[Print("while it runs")]));
    server.log().wait_for(1, is_guest);
    assert!(!server.log().events().iter().any(is_request));
    client.finish_sending();
    server.request();
}

#[test]
fn q_leaves_out_requests_and_guests() {
    let mut server = Serve::new(wat("script")).with("-q").start();
    server.ask(script(&[Print("a line"), Return, Trap]));
    server.terminate();
    server.log().whole();
    let events = server.log().events();
    assert!(
        !events.iter().any(|e| is_request(e) || is_guest(e)),
        "{events:?}"
    );
}

#[test]
fn beyond_its_limit_a_log_is_dropped_and_the_request_goes_on() {
    let server = Serve::new(wat("script")).with("--log-limit 1KiB").start();
    let line = "x".repeat(100);
    for n in 1..=2 {
        let orders = [vec![Print(&line); 50], vec![Write("done")]].concat();
        assert_eq!(server.ask(script(&orders)), b"done");
        let event = server.requests(n).remove(n - 1);
        assert_eq!(event["outcome"], "ok", "{event}");
        let events = server.log().events();
        let logged: usize = events
            .iter()
            .filter(|e| is_guest(e) && e["id"] == event["id"])
            // The newline, and what each line costs beside its text.
            .map(|e| e["line"].as_str().unwrap().len() + 1 + 32)
            .sum();
        assert!(
            (900..=1024 + 33).contains(&logged),
            "{logged} bytes of request {n}"
        );
        let dropped = event["log_dropped"].as_u64().unwrap_or_default();
        assert!(dropped >= 3_900, "what was dropped is counted: {event}");
    }
}

#[test]
fn of_one_write_beyond_the_limit_what_is_within_it_is_logged() {
    // Each of the first two costs 32 bytes more.
    let server = Serve::new(wat("prints")).with("--log-limit 3136").start();
    server.ask("x".repeat(50_000));
    let event = server.request();
    assert_eq!(event["log_dropped"], 50_000 - 3 * 1024, "{event}");
    let events = server.log().events();
    let lines: Vec<_> = events.iter().filter(|event| is_guest(event)).collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines.iter().all(|event| event["line"] == "x".repeat(1024)));
}

#[test]
fn control_characters_of_a_guest_are_escaped_in_text() {
    let mut server = Serve::new(wat("script")).text_log().start();
    server.ask(script(&[
        Print("red \x1b[31m bell \x07 back \r over \u{9b}2J"),
        Write("x"),
    ]));
    server.log().wait_for_line(|line| line.contains("red"));
    server.terminate();
    for line in server.log().whole() {
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
}

#[test]
fn a_guest_cannot_forge_an_event_in_text_or_json() {
    let forged = r#"{"timestamp":"2026-01-01T00:00:00Z","level":"INFO","event":"request"}"#;
    let server = Serve::new(wat("script")).start();
    server.ask(script(&[Print(forged), Write("x")]));
    assert_eq!(server.request()["outcome"], "ok");
    let said = server.log().wait_for(1, is_guest).remove(0);
    assert_eq!(said["line"], forged);
}

#[test]
fn bytes_that_are_no_text_are_logged_all_the_same() {
    let server = Serve::new(wat("script")).start();
    // `o`, two bytes, neither of them UTF-8.
    server.ask([b'o', 2, 0xff, 0xfe]);
    server.log().wait_for(1, is_guest);
    assert_eq!(server.request()["outcome"], "ok");
}

/// What one call that prints all of this makes of it, event by event.
fn printed(text: impl AsRef<[u8]>) -> Vec<String> {
    let server = Serve::new(wat("prints")).start();
    server.ask(text);
    assert_eq!(server.request()["outcome"], "ok");
    let events = server.log().events();
    let lines = events.iter().filter(|event| is_guest(event));
    lines
        .map(|event| event["line"].as_str().expect("a text").to_owned())
        .collect()
}

#[test]
fn a_line_as_long_as_an_event_can_be_is_one_event() {
    let longest = "x".repeat(1024);
    assert_eq!(printed(format!("{longest}\n")), [&*longest]);
    assert_eq!(printed(&longest), [&*longest]);
    assert_eq!(
        printed(format!("{longest}\n\nafter\n")),
        [&longest, "", "after"]
    );
    assert_eq!(printed(format!("{longest}y\n")), [&*longest, "y"]);
}

#[test]
fn a_long_line_is_broken_between_characters() {
    for (before, character) in [(1023, "\u{e9}"), (1022, "\u{20ac}"), (1021, "\u{1f600}")] {
        let first = "x".repeat(before);
        let text = format!("{first}{character}after\n");
        assert_eq!(printed(&text), [first, format!("{character}after")]);
    }
    let whole = "x".repeat(1022) + "\u{e9}";
    assert_eq!(printed(format!("{whole}after\n")), [&*whole, "after"]);
    // Bytes that begin no character are no reason to wait for more of them.
    let events = printed([&[b'x'; 1023][..], &[0xff], b"after\n"].concat());
    assert_eq!(
        events,
        [format!("{}\u{fffd}", "x".repeat(1023)), "after".into()]
    );
}

#[test]
fn text_says_what_happened_and_to_whom() {
    let server = Serve::new(wat("script")).text_log().start();
    let client = server.connect();
    let address = client.address();
    client.ask(script(&[Print("hello,server"), Return, Trap]));
    let line = server
        .log()
        .wait_for_line(|line| line.contains("trap_in_handle"));
    assert!(line.contains(&address), "{line}");
    server
        .log()
        .wait_for_line(|line| line.contains("hello,server"));
}

/// The name of the thread that served, as the article's second program prints it.
#[test]
fn under_threads_the_threads_name_is_in_request_and_guest() {
    let server: Server = Serve::new(wat("script"))
        .with("--concurrency threads")
        .start();
    server.ask(script(&[Print("a line")]));
    let name = server.request()["thread"].clone();
    let number = name.as_str().and_then(|name| name.strip_prefix("Thread-"));
    assert!(number.is_some_and(|n| n.parse::<u32>().is_ok()), "{name}");
    assert_eq!(server.log().wait_for(1, is_guest)[0]["thread"], name);
}
