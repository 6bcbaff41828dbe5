//! The program is stopped at any moment from its start on: it ends soon, as it should, and nothing of it is
//! left.

use crate::harness::{CONCURRENCIES, PATIENCE, Process, Serve, Server, Transport, handler, signal};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const RACES: u32 = 20;

/// Far less than any limit of a request.
const SOON: Duration = Duration::from_secs(20);

/// Runs a race with the number of each try, for each concurrency and transport; cells run side by side.
fn races(race: impl Fn(&str, Transport, u32) + Sync) {
    thread::scope(|scope| {
        for concurrency in CONCURRENCIES {
            for transport in Transport::all() {
                let race = &race;
                scope.spawn(move || (0..RACES).for_each(|n| race(concurrency, transport, n)));
            }
        }
    });
}

/// `serve` with a handler of its own, so that its processes can be told from others.
fn serve(concurrency: &str, transport: Transport, file: &str) -> Serve {
    Serve::new(file)
        .on(transport)
        .with("--shutdown-grace 100ms --concurrency")
        .arg(concurrency)
}

/// It ends, no process and no socket of it is left; whether a signal ended it.
fn ends(mut server: Server, file: &str) -> bool {
    let began = Instant::now();
    let status = server.wait();
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    let log = server.log().whole();
    assert!(!log.iter().any(|line| line.contains("panicked")), "{log:?}");
    assert!(!server.dir().join("listener").exists(), "{log:?}");
    let until = Instant::now() + PATIENCE;
    while let [left, ..] = Process::named(file)[..] {
        assert!(Instant::now() < until, "{left:?} is left; {log:?}");
        thread::sleep(Duration::from_millis(2));
    }
    match status.signal() {
        Some(signal::TERM) => true,
        _ => {
            assert_eq!(status.code(), Some(0), "{status:?} {log:?}");
            false
        }
    }
}

/// A handler in a folder of its own.
fn own_handler() -> (TempDir, String) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("echo.wasm");
    fs::copy(handler("echo"), &file).unwrap();
    let file = file.to_str().unwrap().to_owned();
    (folder, file)
}

#[test]
fn a_signal_while_it_starts_ends_it() {
    races(|concurrency, transport, n| {
        let (_folder, file) = own_handler();
        // Every other one compiles, which takes longer than any of the delays.
        let cache = ["--cache off", ""][n as usize % 2];
        let server = serve(concurrency, transport, &file).with(cache).spawn();
        thread::sleep(Duration::from_millis(2) * n);
        server.process().signal(signal::TERM);
        let said = server.said().clone();
        let by_signal = ends(server, &file);
        // Who has been told that it listens may rely on its end.
        assert!(!by_signal || said.whole().is_empty(), "{concurrency} {n}");
    });
}

#[test]
fn a_signal_while_requests_come_and_go_ends_it() {
    races(|concurrency, transport, n| {
        let (_folder, file) = own_handler();
        let server = serve(concurrency, transport, &file).start();
        let mut clients: Vec<_> = (0..4).map(|_| server.connect()).collect();
        for client in &mut clients {
            client.send("x");
        }
        for client in clients.iter_mut().step_by(2) {
            client.finish_sending();
        }
        thread::sleep(Duration::from_micros(500) * n);
        server.process().signal(signal::TERM);
        assert!(!ends(server, &file), "{concurrency} {transport:?}");
    });
}
