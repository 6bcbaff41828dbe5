//! Any sequence of host calls costs no more than the limits say: CPU time, time, and memory of the process that serves.

#[path = "../host/fuzz/src/calls.rs"]
#[expect(unreachable_pub, reason = "the fuzz targets reach it")]
mod calls;

use crate::harness::{CONCURRENCIES, Serve, Server};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::cell::Cell;
use std::fs;
use tempfile::TempDir;

/// Programs of calls that one server is sent.
const PROGRAMS: u32 = 300;

/// CPU time of a request, in microseconds: its limit, and once more to set up, to notice it and to tell.
const MOST_CPU: u64 = 200_000;

/// What the process may have more than before, in KiB: the guest's 4 MiB, as much again that is copied in one call, and its
/// thread.
const MOST_MEMORY: u64 = 16 << 10;

fn serve(dir: &TempDir, concurrency: &str) -> Server {
    let file = dir.path().join("calls.wat");
    fs::write(&file, calls::interpreter()).expect("a handler");
    let data = dir.path().join("data");
    fs::create_dir_all(data.join("folder")).expect("a folder");
    fs::write(data.join("file"), "some bytes\n").expect("a file");
    Serve::new(&file)
        .with("--memory-limit 4MiB --cpu-limit 100ms --deadline 300ms --idle-timeout 100ms")
        .with("--max-output 1MiB --env NAME=value --concurrency")
        .arg(concurrency)
        .arg("--dir")
        .arg(format!("{}::/data:rw", data.display()))
        .start()
}

/// Calls: which, and for each argument how it is taken and from what.
fn programs() -> impl Strategy<Value = Vec<u8>> {
    let argument = (any::<u8>(), any::<[u8; 8]>());
    let call = (any::<u8>(), prop::collection::vec(argument, 0..8));
    let memory = prop::collection::vec(any::<u8>(), 256);
    (memory, prop::collection::vec(call, 1..60)).prop_map(|(memory, calls)| {
        let mut program = memory;
        for (which, arguments) in calls {
            program.push(which);
            for (how, bytes) in arguments {
                program.push(how);
                program.extend(bytes);
            }
        }
        let length = u16::try_from(program.len().min(0xfff)).expect("12 bits");
        [&length.to_le_bytes()[..], &program].concat()
    })
}

#[test]
fn any_sequence_of_host_calls_stays_within_the_limits() {
    for concurrency in CONCURRENCIES {
        let dir = TempDir::new().expect("a folder");
        let server = serve(&dir, concurrency);
        server.ask([0, 0]);
        server.request();
        let before = server.process().peak_kib();
        let config = Config {
            cases: PROGRAMS,
            failure_persistence: None,
            ..Config::default()
        };
        let served = Cell::new(1);
        let result = TestRunner::new(config).run(&programs(), |program| {
            let mut client = server.connect();
            client.send(&program);
            client.finish_sending();
            client.receive_all();
            served.set(served.get() + 1);
            let events = server.requests(served.get());
            let event = &events[served.get() - 1];
            let cpu = event["cpu_us"].as_u64().unwrap_or(u64::MAX);
            prop_assert!(cpu <= MOST_CPU, "{event}");
            prop_assert_ne!(&event["outcome"], "host-error", "{}", event);
            let grown = server.process().peak_kib().saturating_sub(before);
            prop_assert!(grown <= MOST_MEMORY, "{} KiB: {}", grown, event);
            Ok(())
        });
        if let Err(error) = result {
            panic!("{concurrency}: {error}");
        }
    }
}
