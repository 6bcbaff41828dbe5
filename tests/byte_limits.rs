//! `--max-input` and `--max-output`: what a handler may read of its client's, and write to it.

use crate::harness::{
    CONCURRENCIES, Op, Serve, Transport, example, guest, guest_component, handler,
    handler_component, script, wat,
};
use Op::{Return, WriteForEver, WriteMany};
use std::path::PathBuf;

fn echoes() -> [PathBuf; 3] {
    [handler("echo"), handler_component("echo"), wat("cat")]
}

#[test]
fn a_handler_that_reads_more_than_it_may_is_ended() {
    for transport in Transport::all() {
        for handler in echoes() {
            let server = Serve::new(&handler)
                .on(transport)
                .with("--max-input 1000")
                .start();
            assert_eq!(
                server.ask([b'x'; 1000]).len(),
                1000,
                "the limit itself is allowed"
            );
            server.requests(1);
            let mut client = server.connect();
            client.send([b'x'; 1001]);
            let event = &server.requests(2)[1];
            assert_eq!(event["outcome"], "input-limit", "{handler:?} {event}");
        }
    }
}

/// The end of input after the last byte that is allowed is no violation, and neither is input that nobody
/// reads.
#[test]
fn what_is_not_read_does_not_count() {
    let server = Serve::new(example("wat/hello.wat"))
        .with("--max-input 64")
        .start();
    let mut client = server.connect();
    client.send("a line\n");
    client.send([b'x'; 500]);
    client.finish_sending();
    client.receive_all();
    assert_eq!(server.request()["outcome"], "ok");
}

#[test]
fn a_handler_that_writes_more_than_it_may_is_ended_and_what_was_allowed_arrives() {
    for concurrency in CONCURRENCIES {
        for handler in echoes() {
            let server = Serve::new(&handler)
                .with("--max-output 1000 --concurrency")
                .arg(concurrency)
                .start();
            assert_eq!(
                server.ask([b'x'; 1000]).len(),
                1000,
                "the limit itself is allowed"
            );
            assert!(server.ask([b'x'; 3000]).len() <= 1000);
            let event = &server.requests(2)[1];
            assert_eq!(event["outcome"], "output-limit", "{handler:?} {event}");
            assert!(event["bytes_out"].as_u64() <= Some(1000), "{event}");
        }
    }
}

#[test]
fn writing_without_end_ends_with_the_limit() {
    let server = Serve::new(wat("script")).with("--max-output 1MiB").start();
    assert_eq!(server.ask(script(&[Return, WriteForEver])).len(), 1 << 20);
    assert_eq!(server.request()["outcome"], "output-limit");
}

/// A datagram that is not whole is not sent.
#[test]
fn a_datagram_beyond_the_limit_is_not_sent() {
    for transport in [Transport::Udp, Transport::Unixgram] {
        let server = Serve::new(wat("script"))
            .on(transport)
            .with("--max-output 100")
            .start();
        let mut client = server.connect();
        client.send(script(&[WriteMany(101)]));
        assert_eq!(server.request()["outcome"], "output-limit");
        client.has_received_nothing();
    }
}

/// Of a program, too, that looks at no error.
#[test]
fn programs_are_held_as_well() {
    for probe in [guest("probe"), guest_component("probe")] {
        let server = Serve::new(probe).with("--max-output 100").start();
        let mut client = server.connect();
        client.send("echo\n");
        client.send([b'x'; 5000]);
        client.finish_sending();
        assert!(client.receive_all().len() <= 100);
        assert_eq!(server.request()["outcome"], "output-limit");
    }
}
