//! Pointers and lengths outside the handler's memory are a trap, for every import that takes them.

use crate::harness::{Answers, Import, Op, Serve, Transport, script, wat};
use Op::{Pointer, Write};

/// Bytes of `script.wat`'s memory.
const MEMORY: u32 = 8 * 65_536;

/// Ranges that do not lie in memory.
const OUTSIDE: [(u32, u32); 10] = [
    (0, u32::MAX),
    (0, MEMORY + 1),
    (1, MEMORY),
    (MEMORY - 1, 2),
    (MEMORY, 1),
    (MEMORY + 1, 0),
    (u32::MAX, 1),
    (u32::MAX, u32::MAX),
    // As signed numbers: the least one, and -16 with 32 bytes behind it, which ends at 16.
    (0x8000_0000, 0x8000_0000),
    (0xffff_fff0, 32),
];

/// Ranges of nothing, or up to the last byte.
const INSIDE: [(u32, u32); 3] = [(0, 0), (MEMORY, 0), (MEMORY - 1, 1)];

fn a_range_outside_memory_is_a_trap(transport: Transport) {
    let server = Serve::new(wat("script")).on(transport).start();
    let mut n = 0;
    for import in Import::ALL {
        for (ptr, len) in OUTSIDE {
            let mut client = server.connect();
            client.send(script(&[Pointer(import, ptr, len), Write("it went on")]));
            client.finish_sending();
            n += 1;
            let event = server.requests(n).remove(n - 1);
            assert_eq!(
                event["outcome"], "trap",
                "{import:?} ({ptr}, {len}): {event}"
            );
            if transport.is_datagram() {
                client.has_received_nothing();
            } else {
                assert_eq!(client.receive_all(), b"", "{import:?} ({ptr}, {len})");
            }
        }
    }
    assert_eq!(server.ask(script(&[Write("served")])), b"served");
}

#[test]
fn a_range_outside_memory_is_a_trap_over_a_stream() {
    a_range_outside_memory_is_a_trap(Transport::Tcp);
}

#[test]
fn a_range_outside_memory_is_a_trap_over_datagrams() {
    a_range_outside_memory_is_a_trap(Transport::Udp);
}

#[test]
fn a_range_at_the_edge_of_memory_is_none() {
    let server = Serve::new(wat("script")).start();
    for import in Import::ALL {
        for (ptr, len) in INSIDE {
            let orders = script(&[Pointer(import, ptr, len)]);
            // Something behind it, so that there is a byte to be read.
            let answer = server.ask([orders, b".".to_vec()].concat());
            let mut answers = Answers(answer);
            if import == Import::Write {
                answers.bytes(len as usize);
            }
            let result = answers.result();
            assert!(result >= 0, "{import:?} ({ptr}, {len}): {result}");
        }
    }
}
