//! Taking connections: at the limits of the system and of the operator, and at an address that is not
//! free.

use crate::harness::{
    CONCURRENCIES, Op, PATIENCE, Serve, Server, Transport, faults, handler, is_request, script,
    strace, wat,
};
use Op::{Return, Write};
use std::fs;
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

/// A server that has not served yet, and no descriptor left: its next `accept` fails with EMFILE. (From
/// the start on, a low limit would only lower `--max-in-flight`.)
fn start_without_descriptors(serve: Serve) -> Server {
    let server = serve.start();
    let process = server.acceptor();
    // A descriptor's number has to lie below the limit, and the numbers in use may have gaps.
    process.limit_descriptors(process.lowest_free_descriptor());
    server
}

#[test]
fn without_descriptors_accepting_waits_and_recovers_by_itself() {
    for concurrency in CONCURRENCIES {
        let server = start_without_descriptors(
            Serve::new(handler("echo"))
                .with("--concurrency")
                .arg(concurrency),
        );
        let acceptor = server.acceptor();
        let mut waiting: Vec<_> = (0..4).map(|_| server.connect()).collect();
        server.log().wait_for(1, |e| e["event"] == "accept-failed");
        let used = acceptor.cpu_time();
        thread::sleep(Duration::from_secs(2));
        let used = acceptor.cpu_time().saturating_sub(used);
        assert!(
            used < Duration::from_millis(500),
            "it spins: {used:?} of CPU time in 2 s"
        );
        acceptor.limit_descriptors(acceptor.descriptor_limit().1);
        for client in &mut waiting {
            client.send("after");
            client.finish_sending();
        }
        for mut client in waiting {
            assert_eq!(client.receive_all(), b"after");
        }
        assert_eq!(server.ask("and on"), b"and on");
        let said = server
            .log()
            .events()
            .iter()
            .filter(|e| e["event"] == "accept-failed")
            .count();
        assert_eq!(said, 1, "it says so once: {:?}", server.log().lines());
    }
}

#[test]
fn without_descriptors_accept_is_called_a_few_times_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace");
    let trace = trace.to_str().unwrap();
    let Some(counting) = strace(trace, &["trace=accept,accept4"]) else {
        return;
    };
    let server = start_without_descriptors(
        Serve::new(handler("echo"))
            .with("--concurrency threads")
            .through(&counting),
    );
    let _waiting = server.connect();
    let refused = || {
        let text = fs::read_to_string(trace).unwrap_or_default();
        text.lines().filter(|line| line.contains("EMFILE")).count()
    };
    let until = Instant::now() + PATIENCE;
    while refused() == 0 {
        assert!(
            Instant::now() < until,
            "accept does not fail: {:?}",
            server.log().lines()
        );
        thread::sleep(Duration::from_millis(10));
    }
    let before = refused();
    thread::sleep(Duration::from_secs(2));
    let calls = refused() - before;
    // One at least every 100 ms is 20 in 2 s.
    assert!(calls <= 25, "it spins: {calls} calls in 2 s");
}

#[test]
fn an_error_of_accept_that_passes_is_no_pause() {
    for error in ["ECONNABORTED", "EPROTO", "EINTR", "ENETDOWN"] {
        // Every second call fails; the connection stays in the queue for the next one.
        let Some(failing) = faults(&[&format!("accept4:error={error}:when=1+2")]) else {
            return;
        };
        let server = Serve::new(handler("echo")).through(&failing).start();
        for _ in 0..10 {
            assert_eq!(server.ask("x"), b"x", "{error}");
        }
        let said = server.log().events();
        assert!(
            !said.iter().any(|e| e["event"] == "accept-failed"),
            "{error}: {said:?}"
        );
    }
}

#[test]
fn at_max_in_flight_accepting_waits_and_then_goes_on() {
    let server = Serve::new(wat("script")).with("--max-in-flight 2").start();
    let mut first = server.connect();
    let mut second = server.connect();
    for client in [&mut first, &mut second] {
        client.send(script(&[Write("in")]));
        assert_eq!(client.receive(2), b"in");
    }
    let mut third = server.connect();
    third.send(script(&[Write("in"), Return, Return, Return]));
    third.finish_sending();
    third.set_patience(Duration::from_millis(300));
    third.has_received_nothing();
    thread::sleep(Duration::from_millis(300));
    third.has_received_nothing();
    third.set_patience(PATIENCE);
    first.finish_sending();
    assert_eq!(third.receive_all(), b"in");
    let ended: Vec<_> = server
        .requests(2)
        .iter()
        .map(|e| e["client"].clone())
        .collect();
    assert_eq!(
        ended[0],
        first.address(),
        "the third came in before a place was free"
    );
    second.finish_sending();
    assert_eq!(server.requests(3).len(), 3);
}

#[test]
fn at_max_in_flight_packets_wait_and_none_is_lost() {
    for transport in [Transport::Udp, Transport::Unixgram] {
        let server = Serve::new(wat("script"))
            .on(transport)
            .with("--max-in-flight 2")
            .start();
        let mut clients: Vec<_> = (0..8).map(|_| server.connect()).collect();
        let sleep = Op::Sleep(Duration::from_millis(50));
        clients
            .iter_mut()
            .for_each(|client| client.send(script(&[sleep, Write("in")])));
        let events = server.requests(8);
        assert!(
            events.iter().all(|e| e["outcome"] == "ok"),
            "{transport:?}: {events:?}"
        );
        for client in &mut clients {
            assert_eq!(client.receive_all(), b"in");
        }
    }
}

#[test]
fn hundreds_of_clients_at_once_are_all_served() {
    let server = Serve::new(handler("echo"))
        .with("--max-in-flight 32 --backlog 4096")
        .start();
    let mut clients: Vec<_> = (0..500).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| {
        client.send("x");
        client.finish_sending();
    });
    let answers: Vec<_> = clients
        .iter_mut()
        .map(|client| client.receive_all())
        .collect();
    let events = server.log().wait_for(500, is_request);
    let failed: Vec<_> = events.iter().filter(|e| e["outcome"] != "ok").collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert!(answers.iter().all(|answer| answer == b"x"), "{:?}", events);
}

#[test]
fn a_port_that_is_taken_is_one_clear_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", taken.local_addr().unwrap());
    Serve::new(handler("echo"))
        .at(&address)
        .run_to_end()
        .is_an_error(1, &[&address]);
    let other = Serve::new(handler("echo")).at("udp://127.0.0.1:0").start();
    Serve::new(handler("echo"))
        .at(other.address())
        .run_to_end()
        .is_an_error(1, &[&other.address()]);
}

#[test]
fn an_address_that_this_machine_has_not_is_one_clear_error() {
    // 192.0.2.0/24 is for documentation (RFC 5737).
    let address = "tcp://192.0.2.1:9999";
    Serve::new(handler("echo"))
        .at(address)
        .run_to_end()
        .is_an_error(1, &[address]);
}
