//! What a long life must not cost: descriptors, threads and memory stay as they are.

use crate::harness::{Op, Serve, Server, Transport, handler, handler_component, script, wat};
use Op::{Fail, Return, Trap, Write};
use std::thread;

/// Far fewer than there are requests.
const FEW: usize = 32;

/// Requests of several clients at once, some of which fail.
fn load(server: &Server, requests: usize) {
    const CLIENTS: usize = 4;
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                for n in 0..requests / CLIENTS {
                    let end = [Return, Fail, Trap, Return][n % 4];
                    server.ask(script(&[Return, Write("x"), end]));
                }
            });
        }
    });
}

#[test]
fn thousands_of_requests_leave_descriptors_threads_and_memory_as_they_are() {
    for transport in [Transport::Tcp, Transport::Unix] {
        let server = Serve::new(wat("script")).on(transport).with("-q").start();
        load(&server, 400);
        let process = server.process();
        let (descriptors, threads) = (process.descriptors(), process.threads());
        let resident = process.resident_kib();
        load(&server, 4_000);
        // Of a few the client had its reply, and the server is still about to close.
        assert!(
            process.descriptors() <= descriptors + FEW,
            "{}",
            process.descriptors()
        );
        assert!(
            process.threads() <= threads + FEW,
            "{} of {threads}",
            process.threads()
        );
        assert!(
            process.resident_kib() <= resident + 16 * 1024,
            "{}",
            process.resident_kib()
        );
    }
}

#[test]
fn thousands_of_packets_leave_descriptors_and_threads_as_they_are() {
    for transport in [Transport::Udp, Transport::Unixgram] {
        let server = Serve::new(handler("echo")).on(transport).with("-q").start();
        for _ in 0..200 {
            assert_eq!(server.ask("x"), b"x");
        }
        let process = server.process();
        let (descriptors, threads) = (process.descriptors(), process.threads());
        for _ in 0..2_000 {
            assert_eq!(server.ask("x"), b"x");
        }
        assert!(
            process.descriptors() <= descriptors + FEW,
            "{}",
            process.descriptors()
        );
        assert!(
            process.threads() <= threads + FEW,
            "{} of {threads}",
            process.threads()
        );
    }
}

#[test]
fn threads_are_kept_and_used_again() {
    let server = Serve::new(handler_component("echo"))
        .with("--concurrency threads")
        .start();
    for _ in 0..200 {
        assert_eq!(server.ask("x"), b"x");
    }
    let mut names: Vec<String> = server
        .requests(200)
        .iter()
        .map(|e| e["thread"].to_string())
        .collect();
    names.sort();
    names.dedup();
    assert!(names.len() <= 8, "a thread for each request: {names:?}");
}

#[test]
fn threads_of_a_burst_are_no_more_than_its_requests() {
    let server = Serve::new(handler("echo"))
        .with("--concurrency threads")
        .start();
    let before = server.process().threads();
    let mut clients: Vec<_> = (0..100).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send("x");
        assert_eq!(client.receive(1), b"x");
    }
    let during = server.process().threads();
    assert!(during >= before + 90, "{during} of {before}");
    for client in clients {
        client.ask("");
    }
    server.requests(100);
    // The same number again needs no further thread.
    let mut clients: Vec<_> = (0..100).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send("x");
        assert_eq!(client.receive(1), b"x");
    }
    assert!(server.process().threads() <= during + 4);
}

#[test]
fn the_soft_limit_on_descriptors_is_raised_to_the_hard_one() {
    let server = Serve::new(handler("echo"))
        .through(&["prlimit", "--nofile=64:"])
        .start();
    let (soft, hard) = server.process().descriptor_limit();
    assert_eq!(soft, hard);
    assert!(hard > 64);
}

#[test]
fn a_default_that_the_descriptors_cannot_carry_is_lowered_with_one_warning() {
    let server = Serve::new(handler("echo"))
        .through(&["prlimit", "--nofile=128:128"])
        .with("--concurrency threads")
        .start();
    let warning = server
        .log()
        .wait_for(1, |e| e.to_string().contains("max-in-flight"));
    assert_eq!(warning[0]["level"], "WARN", "{warning:?}");
    let mut clients: Vec<_> = (0..100).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| {
        client.send("x");
        client.finish_sending();
    });
    for client in &mut clients {
        assert_eq!(client.receive_all(), b"x");
    }
    let events = server.log().events();
    assert!(
        !events.iter().any(|e| e["event"] == "accept-failed"),
        "{events:?}"
    );
}

#[test]
fn a_number_that_was_asked_for_and_cannot_be_carried_is_an_error() {
    Serve::new(handler("echo"))
        .through(&["prlimit", "--nofile=128:128"])
        .with("--concurrency threads")
        .with("--max-in-flight 1000")
        .run_to_end()
        .is_an_error(1, &["max-in-flight"]);
}
