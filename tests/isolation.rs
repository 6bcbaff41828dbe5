//! No state survives from one request to the next, and none is shared by two that run side by side.

use crate::harness::{CONCURRENCIES, Serve, Server, guest, guest_component, wat};
use std::collections::HashSet;

fn server(concurrency: &str) -> Server {
    Serve::new(wat("traces"))
        .with("--concurrency")
        .arg(concurrency)
        .start()
}

#[test]
fn no_trace_of_an_earlier_request_is_found_under_threads() {
    let server = server("threads");
    for _ in 0..100 {
        assert_eq!(server.ask("x"), b"fresh");
    }
}

#[test]
fn no_trace_of_an_earlier_request_is_found_under_serial() {
    let server = server("serial");
    for _ in 0..100 {
        assert_eq!(server.ask("x"), b"fresh");
    }
}

#[test]
fn no_trace_of_an_earlier_request_is_found_under_fork() {
    let server = server("fork");
    for _ in 0..100 {
        assert_eq!(server.ask("x"), b"fresh");
    }
}

/// What a generator in the parent would hand out to each child alike.
#[test]
fn random_numbers_differ_from_request_to_request() {
    for concurrency in CONCURRENCIES {
        for probe in [guest("probe"), guest_component("probe")] {
            let server = Serve::new(probe)
                .with("--concurrency")
                .arg(concurrency)
                .start();
            let mut seen = HashSet::new();
            for _ in 0..20 {
                let answer = String::from_utf8(server.ask("random\n")).unwrap();
                assert!(answer.lines().count() >= 2, "{answer}");
                for number in answer.lines() {
                    assert!(
                        seen.insert(number.to_owned()),
                        "{concurrency}: {number} again"
                    );
                }
            }
        }
    }
}

#[test]
fn requests_side_by_side_share_nothing() {
    let server = server("threads");
    for _ in 0..5 {
        let mut clients: Vec<_> = (0..16).map(|_| server.connect()).collect();
        // Each has looked and marked before the first of them ends.
        clients.iter_mut().for_each(|client| client.send("x"));
        for client in clients {
            assert_eq!(client.ask("y"), b"fresh");
        }
    }
    assert_eq!(server.requests(80).len(), 80);
}

#[test]
fn a_request_that_trapped_leaves_no_trace_either() {
    let server = Serve::new(wat("traces-and-traps")).start();
    for _ in 0..50 {
        assert_eq!(server.ask("x"), b"fresh");
    }
    assert!(server.requests(50).iter().all(|e| e["outcome"] == "trap"));
}
