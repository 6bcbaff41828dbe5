//! Threads that are kept, and the limits of the system that are looked at.

use crate::harness::{Serve, Server, handler, handler_component};
use std::collections::BTreeSet;
use std::thread;

#[test]
fn threads_are_kept_and_used_again() {
    let server = Serve::new(handler_component("echo"))
        .with("--concurrency threads --max-in-flight 8")
        .start();
    for _ in 0..200 {
        assert_eq!(server.ask("x"), b"x");
    }
    let names = threads_of(&server, 200);
    assert!(names.len() <= 8, "a thread for each request: {names:?}");
}

/// The threads that have served so many requests, by their names.
fn threads_of(server: &Server, requests: usize) -> BTreeSet<String> {
    let ended = server.requests(requests);
    ended.iter().map(|e| e["thread"].to_string()).collect()
}

#[test]
fn threads_are_never_more_than_requests_in_flight() {
    let server = Serve::new(handler("echo"))
        .with("--concurrency threads --max-in-flight 4")
        .start();
    // More clients than threads: whoever ends a request lets the next one in at once.
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..250 {
                    assert_eq!(server.ask("x"), b"x");
                }
            });
        }
    });
    let names = threads_of(&server, 2_000);
    assert!(names.len() <= 4, "{names:?}");
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
