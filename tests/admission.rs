//! Who may come in, and how many of them.

use crate::harness::{
    CONCURRENCIES, Client, Op, Serve, Server, Transport, handler, is_request, sandsock, script, wat,
};
use Op::{Flush, Print, Return, Write, WriteMany};
use serde_json::Value;
use std::io::{Read, Write as _};
use std::time::{Duration, Instant};

const INET: [Transport; 2] = [Transport::Tcp, Transport::Udp];

fn serve(transport: Transport, concurrency: &str, options: &str) -> Server {
    Serve::new(wat("script"))
        .on(transport)
        .with("--concurrency")
        .arg(concurrency)
        .with(options)
        .start()
}

/// The client is not let in. Of a packet nobody can see that; the log says it.
fn is_refused(mut client: Client) {
    match client {
        Client::Tcp(_) => client.is_closed_without_a_word(),
        _ => client.send(script(&[Write("refused")])),
    }
}

fn is_served(mut client: Client) {
    client.send(script(&[Write("served")]));
    client.finish_sending();
    assert_eq!(client.receive_all(), b"served");
}

/// So many were refused for this reason, whatever number of events it took to say so.
fn refusals(server: &Server, reason: &str, count: u64) -> Vec<Value> {
    let is_it = |event: &Value| event["event"] == "refused" && event["reason"] == reason;
    let all = || {
        server
            .log()
            .events()
            .into_iter()
            .filter(is_it)
            .collect::<Vec<_>>()
    };
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let events = all();
        let sum: u64 = events.iter().filter_map(|e| e["count"].as_u64()).sum();
        if sum >= count {
            assert_eq!(sum, count, "{events:?}");
            return events;
        }
        assert!(Instant::now() < until, "{count} expected: {events:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn only_networks_that_are_allowed_and_not_denied_come_in() {
    for transport in INET {
        for concurrency in CONCURRENCIES {
            let options = "--allow 127.0.1.0/24 --allow 127.0.2.1 --deny 127.0.1.128/25";
            let server = serve(transport, concurrency, options);
            let from = |source| Client::connect_from(source, &server.address());
            is_served(from("127.0.1.1"));
            is_served(from("127.0.2.1"));
            for source in ["127.0.0.1", "127.0.2.2", "127.0.1.128"] {
                is_refused(from(source));
            }
            let events = refusals(&server, "address", 3);
            assert_eq!(events[0]["outcome"], "refused", "{events:?}");
            let last = events.last().and_then(|event| event["client"].as_str());
            assert!(
                last.is_some_and(|last| last.starts_with("127.0.")),
                "{events:?}"
            );
            assert_eq!(server.requests(2).len(), 2);
        }
    }
}

/// On a dual-stack listener IPv4 is IPv4.
#[test]
fn ipv4_is_told_from_ipv6_on_a_dual_stack_listener() {
    if !Transport::Tcp6.is_there() {
        return;
    }
    let server = Serve::new(wat("script"))
        .at("tcp://[::]:0")
        .with("--allow 127.0.0.0/8")
        .start();
    let address = server.address();
    let port = address.rsplit_once(':').expect("a port").1;
    is_served(Client::connect(&format!("tcp://127.0.0.1:{port}")));
    Client::connect(&format!("tcp://[::1]:{port}")).is_closed_without_a_word();
    refusals(&server, "address", 1);
}

/// A request that has begun, and stays.
fn begun(server: &Server, source: &str, name: &str) -> Client {
    let mut client = Client::connect_from(source, &server.address());
    client.send(script(&[Return, Print(name)]));
    server.log().wait_for(1, |e| e["line"] == name);
    client
}

#[test]
fn one_source_has_so_many_requests_in_flight_and_others_have_theirs() {
    for concurrency in ["threads", "fork"] {
        let server = serve(Transport::Tcp, concurrency, "--max-per-source 2");
        let from = |source| Client::connect_from(source, &server.address());
        let first = begun(&server, "127.0.0.1", "first");
        let _second = begun(&server, "127.0.0.1", "second");
        for _ in 0..5 {
            is_refused(from("127.0.0.1"));
        }
        is_served(from("127.0.0.2"));
        refusals(&server, "max-per-source", 5);
        // Its place is free with its end, and one that was refused has taken none.
        drop(first);
        server.log().wait_for(2, is_request);
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            // The event comes a moment before the place is free: this one may be refused still.
            let Client::Tcp(mut stream) = from("127.0.0.1") else {
                panic!("a stream");
            };
            let orders = script(&[Write("served"), Op::Fail]);
            let mut answer = Vec::new();
            let asked = stream.write_all(&orders);
            if asked.is_ok() && stream.read_to_end(&mut answer).is_ok() && answer == b"served" {
                break;
            }
            assert!(Instant::now() < until, "its place is not free");
        }
    }
}

#[test]
fn one_source_comes_so_often_and_others_as_they_like() {
    for transport in INET {
        for concurrency in CONCURRENCIES {
            let server = serve(transport, concurrency, "--rate-per-source 3/1h");
            let from = |source| Client::connect_from(source, &server.address());
            for _ in 0..3 {
                is_served(from("127.0.0.1"));
            }
            for _ in 0..4 {
                is_refused(from("127.0.0.1"));
            }
            is_served(from("127.0.0.2"));
            refusals(&server, "rate-per-source", 4);
        }
    }
}

#[test]
fn a_source_that_has_waited_comes_in_again() {
    let server = serve(Transport::Tcp, "threads", "--rate-per-source 1/300ms");
    is_served(server.connect());
    is_refused(server.connect());
    std::thread::sleep(Duration::from_millis(320));
    is_served(server.connect());
}

#[test]
fn overload_closes_what_finds_no_room_where_that_is_asked_for() {
    for concurrency in ["threads", "fork"] {
        let options = "--overload close --max-in-flight 1";
        let server = serve(Transport::Tcp, concurrency, options);
        let first = begun(&server, "127.0.0.1", "first");
        for _ in 0..50 {
            is_refused(server.connect());
        }
        refusals(&server, "overload", 50);
        drop(first);
        server.request();
    }
}

#[test]
fn overload_drops_packets_that_find_no_room_where_that_is_asked_for() {
    let server = Serve::new(wat("script"))
        .on(Transport::Udp)
        .with("--overload close --max-in-flight 1")
        .start();
    let mut first = server.connect();
    first.send(script(&[
        Print("first"),
        Op::Sleep(Duration::from_millis(500)),
        Write("slept"),
    ]));
    server.log().wait_for(1, |e| e["line"] == "first");
    let mut second = server.connect();
    second.send(script(&[Write("dropped")]));
    refusals(&server, "overload", 1);
    assert_eq!(first.receive_all(), b"slept");
    second.has_received_nothing();
}

/// What is refused uses none of the quota.
#[test]
fn who_is_refused_is_no_request() {
    for concurrency in CONCURRENCIES {
        let mut server = serve(
            Transport::Tcp,
            concurrency,
            "--deny 127.0.0.2 --max-requests 1",
        );
        for _ in 0..3 {
            is_refused(Client::connect_from("127.0.0.2", &server.address()));
        }
        is_served(server.connect());
        assert_eq!(server.wait().code(), Some(0));
        refusals(&server, "address", 3);
    }
}

/// With headers of 28 bytes counted on both sides: three times (30 + 28) is 174, less 28 is 146.
#[test]
fn a_reply_is_no_longer_than_its_question_allows() {
    for concurrency in CONCURRENCIES {
        let server = serve(Transport::Udp, concurrency, "--max-amplification 3");
        let asks = |orders: &[Op<'_>]| {
            let mut question = script(orders);
            assert!(question.len() <= 30);
            question.resize(30, 0);
            let mut client = server.connect();
            client.send(question);
            client
        };
        let mut client = asks(&[WriteMany(142)]);
        // What it was answered, 4 bytes, and what it wrote: together no more than that.
        assert_eq!(client.receive_all().len(), 146);
        let mut client = asks(&[WriteMany(147)]);
        // An error of the write; what the handler says of it fits.
        let refused = client.receive_all();
        assert_eq!(refused, (-35_i32).to_le_bytes());
        // Packets add up.
        let mut client = asks(&[Write("a"), Flush, WriteMany(146)]);
        assert_eq!(client.receive_all(), b"a");
        let rest = client.receive_all();
        assert_eq!(&rest[4..], (-35_i32).to_le_bytes());
        let outcomes: Vec<_> = server
            .requests(3)
            .iter()
            .map(|e| e["outcome"].clone())
            .collect();
        assert_eq!(outcomes, ["ok"; 3], "a handler that copes has not failed");
    }
}

#[test]
fn a_handler_that_does_not_cope_ends_with_the_output_limit_and_the_log_names_it() {
    let server = Serve::new(handler("chargen"))
        .on(Transport::Udp)
        .with("--max-amplification 2")
        .start();
    let mut client = server.connect();
    client.send("?");
    let event = server.request();
    assert_eq!(event["outcome"], "output-limit", "{event}");
    let detail = event["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("--max-amplification"), "{event}");
    client.has_received_nothing();
}

#[test]
fn an_empty_question_has_an_answer_within_the_limit() {
    let server = Serve::new(handler("daytime"))
        .on(Transport::Udp)
        .with("--max-amplification 3")
        .start();
    let mut client = server.connect();
    client.send("");
    let answer = client.receive_all();
    assert!((10..=56).contains(&answer.len()), "{answer:?}");
}

#[test]
fn what_makes_no_sense_is_said_at_once() {
    let refused = |address: &str, options: &str, words: &[&str]| {
        let hello = handler("echo");
        let mut args = vec!["serve"];
        args.extend(options.split_whitespace());
        args.extend([address, hello.to_str().expect("text")]);
        sandsock(&args, b"").is_an_error(2, words);
    };
    for options in [
        "--allow 127.0.0.1",
        "--max-per-source 1",
        "--rate-per-source 1/1s",
    ] {
        refused("unix:///tmp/never-made", options, &["--socket-mode"]);
    }
    refused("tcp://127.0.0.1:0", "--max-amplification 3", &["UDP"]);
    for option in ["--overload close", "--max-per-source 1"] {
        let options = format!("--concurrency serial {option}");
        refused("tcp://127.0.0.1:0", &options, &["serial", "threads"]);
    }
    for options in [
        "--allow 127.0.0.1/33",
        "--deny nobody",
        "--rate-per-source 10",
        "--rate-per-source 0/1s",
        "--rate-per-source 10/0s",
        "--max-per-source 0",
        "--overload sometimes",
    ] {
        let option = options.split_whitespace().next().expect("an option");
        refused("tcp://127.0.0.1:0", options, &[option]);
    }
}

/// Each has its default in the manual, and so it can be written.
#[test]
fn none_is_no_limit() {
    let server = Serve::new(handler("echo"))
        .on(Transport::Udp)
        .with("--max-per-source none --rate-per-source none --max-amplification none")
        .with("--max-requests none --linger none --shutdown-grace none")
        .start();
    assert_eq!(server.ask("x"), b"x");
}

#[test]
fn a_network_of_ipv4_may_be_written_as_ipv6() {
    for network in ["::ffff:127.0.0.1", "::ffff:127.0.0.0/104"] {
        let server = serve(Transport::Tcp, "threads", &format!("--deny {network}"));
        is_refused(server.connect());
        let server = serve(Transport::Tcp, "threads", &format!("--allow {network}"));
        is_served(server.connect());
    }
}
