//! The handlers that are ready to serve, by the words of their RFCs, over TCP and UDP, as a module and
//! as a component.

use crate::harness::{Serve, Server, Transport, handler, handler_component, is_guest};
use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

fn both(name: &str) -> [PathBuf; 2] {
    [handler(name), handler_component(name)]
}

/// Runs a test against the handler in both its forms over both transports.
fn served(name: &str, test: impl Fn(&Server, Transport)) {
    for file in both(name) {
        for transport in [Transport::Tcp, Transport::Udp] {
            test(&Serve::new(&file).on(transport).start(), transport);
        }
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("text")
}

/// Asks without a question: a connection that says nothing, or an empty packet.
fn just_ask(server: &Server) -> Vec<u8> {
    server.ask("")
}

#[test]
fn hello_logs_the_line_and_answers_as_the_article_does() {
    served("hello", |server, _| {
        let client = server.connect();
        let address = client.address();
        assert_eq!(text(client.ask("hello,server\n")), "你好");
        let said = server.log().wait_for(2, is_guest);
        assert_eq!(said[0]["line"], format!("connect from {address}"));
        assert_eq!(said[1]["line"], "hello,server");
        assert_eq!(server.request()["outcome"], "ok");
    });
}

#[test]
fn hello_does_not_wait_for_the_client_to_end_its_side() {
    for file in both("hello") {
        let server = Serve::new(file).start();
        let mut client = server.connect();
        client.send("hello,server\n");
        assert_eq!(text(client.receive_all()), "你好");
    }
}

/// RFC 862: whatever is received is sent back.
#[test]
fn echo_sends_back_what_it_receives() {
    let bytes: Vec<u8> = (0..=255).cycle().take(8_000).collect();
    served("echo", |server, _| assert!(server.ask(&bytes) == bytes));
}

/// RFC 863: what is received is thrown away, and no response is sent.
#[test]
fn discard_answers_nothing() {
    served("discard", |server, transport| {
        let mut client = server.connect();
        client.send([b'x'; 8_000]);
        client.finish_sending();
        let event = server.request();
        assert_eq!(event["outcome"], "ok");
        assert_eq!(event["bytes_in"], 8_000);
        if transport.is_datagram() {
            client.has_received_nothing();
        } else {
            assert_eq!(client.receive_all(), b"");
        }
    });
}

/// RFC 864: over TCP characters without end, whatever comes in; the recommended pattern is 72
/// characters a line out of the ring of the 95 printing ones, each line one further on.
#[test]
fn chargen_sends_the_pattern_until_the_client_goes() {
    for file in both("chargen") {
        let server = Serve::new(file).start();
        let mut client = server.connect();
        let bytes = text(client.receive(74 * 200));
        for (n, line) in bytes.split_terminator("\r\n").enumerate() {
            let expected: String = (0..72)
                .map(|column| char::from(b' ' + ((n + column) % 95) as u8))
                .collect();
            assert_eq!(line, expected);
        }
        drop(client);
        let event = server.request();
        assert!(
            ["ok", "client-gone"].contains(&event["outcome"].as_str().unwrap()),
            "{event}"
        );
    }
}

/// RFC 864: over UDP one datagram of a random number (0 to 512) of characters.
#[test]
fn chargen_answers_a_packet_with_up_to_512_characters() {
    for file in both("chargen") {
        let server = Serve::new(file).on(Transport::Udp).start();
        let lengths: Vec<usize> = (0..20).map(|_| just_ask(&server).len()).collect();
        assert!(lengths.iter().all(|n| *n <= 512), "{lengths:?}");
        assert!(
            lengths.iter().any(|n| *n != lengths[0]),
            "always the same: {lengths:?}"
        );
    }
}

/// RFC 865: a quotation of less than 512 printable ASCII characters, spaces and line ends; what comes
/// in is thrown away.
#[test]
fn qotd_sends_a_quotation() {
    served("qotd", |server, _| {
        let quotation = just_ask(server);
        assert!((1..512).contains(&quotation.len()));
        let printable = |c: &u8| c.is_ascii_graphic() || b" \t\r\n".contains(c);
        assert!(quotation.iter().all(printable), "{quotation:?}");
        assert_eq!(server.ask("what comes in is thrown away"), quotation);
    });
}

/// RFC 865 and its kin: the connection is answered without a word of the client's.
#[test]
fn qotd_daytime_and_time_do_not_wait_for_the_client() {
    for name in ["qotd", "daytime", "time"] {
        for file in both(name) {
            let server = Serve::new(file).start();
            assert!(!server.connect().receive_all().is_empty(), "{name}");
        }
    }
}

/// RFC 867: the date and time as ASCII, on one line; the form `Weekday, Month Day, Year Time-Zone`.
#[test]
fn daytime_sends_the_time_as_text() {
    served("daytime", |server, _| {
        let line = text(just_ask(server));
        assert!(line.is_ascii() && line.ends_with("\r\n"), "{line:?}");
        assert_eq!(line.lines().count(), 1, "{line:?}");
        let words: Vec<&str> = line
            .trim_end()
            .split([' ', ','])
            .filter(|w| !w.is_empty())
            .collect();
        assert!(words[0].ends_with("day"), "{line}");
        assert!(
            words[2]
                .parse::<u32>()
                .is_ok_and(|day| (1..=31).contains(&day)),
            "{line}"
        );
        assert!(
            words[3].parse::<u32>().is_ok_and(|year| year >= 2026),
            "{line}"
        );
        assert_eq!(words[4].split(':').count(), 3, "{line}");
    });
}

/// RFC 868: seconds since 1900-01-01 00:00 UTC, 32 bits, the highest first.
#[test]
fn time_sends_the_seconds_since_1900() {
    const SEVENTY_YEARS: u64 = 2_208_988_800;
    let now = || {
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970");
        // The count is full in 2036 and begins again.
        (since_1970.as_secs() + SEVENTY_YEARS) as u32
    };
    served("time", |server, _| {
        let before = now();
        let said = u32::from_be_bytes(just_ask(server).try_into().expect("four bytes"));
        let after = now();
        assert!(
            said.wrapping_sub(before) <= after.wrapping_sub(before),
            "{before} {said} {after}"
        );
    });
}

#[test]
fn upper_sends_each_line_back_in_upper_case() {
    served("upper", |server, _| {
        assert_eq!(
            text(server.ask("hello\nwörld\nno newline")),
            "HELLO\nWöRLD\nNO NEWLINE"
        );
    });
    let server = Serve::new(handler("upper")).start();
    let mut client = server.connect();
    client.send("at once\n");
    assert_eq!(client.receive(8), b"AT ONCE\n");
}

/// RFC 1288: a query of one line, `[/W ]USER` or nothing; the answer ends with the connection.
#[test]
fn finger_answers_out_of_the_granted_folder() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("people")).unwrap();
    fs::write(
        dir.path().join("people/ada"),
        "Ada Lovelace\nPlan: the Engine\n",
    )
    .unwrap();
    fs::write(dir.path().join("people/grace"), "Grace Hopper\n").unwrap();
    fs::write(dir.path().join("secret"), "secret").unwrap();
    for file in both("finger") {
        let server = Serve::new(file)
            .arg("--dir")
            .arg(format!("{}::/finger", dir.path().join("people").display()))
            .start();
        assert_eq!(
            text(server.ask("ada\r\n")),
            "Ada Lovelace\r\nPlan: the Engine\r\n"
        );
        assert_eq!(text(server.ask("/W grace\r\n")), "Grace Hopper\r\n");
        assert_eq!(text(server.ask("\r\n")), "ada\r\ngrace\r\n");
        for query in [
            "../secret\r\n",
            "/etc/passwd\r\n",
            "..\r\n",
            ".\r\n",
            "nobody\r\n",
        ] {
            let answer = text(server.ask(query));
            assert!(answer.starts_with("finger:"), "{query:?}: {answer}");
        }
        // Section 3.2.1: forwarding can be refused, with these words.
        let answer = text(server.ask("ada@elsewhere.example\r\n"));
        assert_eq!(answer, "Finger forwarding service denied\r\n");
        assert!(server.requests(9).iter().all(|e| e["outcome"] == "ok"));
    }
}

#[test]
fn finger_without_a_folder_is_its_error_in_the_log() {
    for file in both("finger") {
        let server = Serve::new(file).start();
        assert_eq!(text(server.ask("ada\r\n")), "");
        let event = server.request();
        assert_eq!(event["outcome"], "handler-error", "{event}");
        // A component's error is the detail, a module's is a line that it logs.
        assert!(server.log().lines().concat().contains("--dir"), "{event}");
    }
}

/// A promise of the SDK: small files start fast.
#[test]
fn echo_as_a_module_is_under_30_kib() {
    let size = fs::metadata(handler("echo")).unwrap().len();
    assert!(size < 30 * 1024, "{size} bytes");
}

#[test]
fn every_handler_is_one_that_check_takes() {
    for name in [
        "hello", "echo", "discard", "qotd", "chargen", "daytime", "time", "upper", "finger",
    ] {
        for file in both(name) {
            crate::harness::sandsock(&["check".as_ref(), file.as_os_str()], b"").is_a_success();
        }
    }
}
