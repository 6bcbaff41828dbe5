//! The system fails: errors are put into the program's system calls while it serves, and taken out again.
//! Each costs the requests concerned at most, and is told once.

use crate::harness::{
    CONCURRENCIES, Faults, Op, PATIENCE, Serve, Server, Transport, handler, script, signal, strace,
    wat,
};
use Op::Write;
use nix::pty::openpty;
use serde_json::Value;
use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

fn can_be_traced() -> bool {
    strace("/dev/null", &[]).is_some()
}

fn serve(concurrency: &str) -> Serve {
    Serve::new(wat("script"))
        .with("--concurrency")
        .arg(concurrency)
}

fn echo(concurrency: &str, transport: Transport) -> Server {
    Serve::new(handler("echo"))
        .on(transport)
        .with("--concurrency")
        .arg(concurrency)
        .start()
}

fn events(server: &Server, name: &str) -> Vec<Value> {
    let mut events = server.log().events();
    events.retain(|event| event["event"] == name);
    events
}

/// The system call that takes a request.
fn taking(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp | Transport::Unixgram => "recvmsg",
        _ => "accept4",
    }
}

/// It serves, as if nothing had been.
fn serves(server: &Server) {
    assert_eq!(server.ask(script(&[Write("still")])), b"still");
}

#[test]
fn errors_of_taking_a_request_that_last_are_told_once_and_waited_out() {
    if !can_be_traced() {
        return;
    }
    for concurrency in CONCURRENCIES {
        for transport in Transport::all() {
            for error in ["ENFILE", "ENOMEM"] {
                let cell = format!("{error} {transport:?} {concurrency}");
                let server = serve(concurrency).on(transport).start();
                let acceptor = server.acceptor();
                let faults =
                    Faults::put_into(acceptor, &[&format!("{}:error={error}", taking(transport))]);
                let mut clients: Vec<_> = (0..3).map(|_| server.connect()).collect();
                for client in &mut clients {
                    client.send(script(&[Write("after")]));
                    client.finish_sending();
                }
                server.log().wait_for(1, |e| e["event"] == "accept-failed");
                let used = acceptor.cpu_time();
                thread::sleep(Duration::from_millis(500));
                let used = acceptor.cpu_time().saturating_sub(used);
                assert!(
                    used < Duration::from_millis(150),
                    "{cell}: it spins: {used:?}"
                );
                drop(faults);
                for client in &mut clients {
                    assert_eq!(client.receive_all(), b"after", "{cell}");
                }
                server.requests(3);
                assert_eq!(events(&server, "accept-failed").len(), 1, "{cell}");
                server
                    .log()
                    .wait_for(1, |e| e["event"] == "accept-recovered");
            }
        }
    }
}

#[test]
fn errors_of_taking_a_packet_that_pass_are_no_pause() {
    if !can_be_traced() {
        return;
    }
    for error in ["ECONNREFUSED", "EINTR", "EAGAIN", "ENETUNREACH"] {
        for concurrency in CONCURRENCIES {
            let server = serve(concurrency).on(Transport::Udp).start();
            let fault = format!("recvmsg:error={error}:when=1+2");
            let faults = Faults::put_into(server.acceptor(), &[&fault]);
            (0..10).for_each(|_| serves(&server));
            drop(faults);
            assert!(events(&server, "accept-failed").is_empty(), "{error}");
        }
    }
}

#[test]
fn errors_of_waiting_end_no_loop_and_make_none_spin() {
    if !can_be_traced() {
        return;
    }
    for concurrency in CONCURRENCIES {
        let server = serve(concurrency).start();
        for error in ["EINTR", "ENOMEM"] {
            let acceptor = server.acceptor();
            let faults = Faults::put_into(acceptor, &[&format!("ppoll:error={error}:when=1..5")]);
            serves(&server);
            drop(faults);
            serves(&server);
        }
    }
}

#[test]
fn a_call_that_is_interrupted_is_made_again() {
    if !can_be_traced() {
        return;
    }
    for concurrency in CONCURRENCIES {
        for transport in Transport::all() {
            let server = echo(concurrency, transport);
            let every_second = "recvfrom,recvmsg,sendto,sendmsg,accept4:error=EINTR:when=1+2";
            let faults = Faults::put_into(server.acceptor(), &[every_second]);
            for _ in 0..5 {
                assert_eq!(server.ask("whole"), b"whole", "{transport:?} {concurrency}");
            }
            let events = server.requests(5);
            drop(faults);
            assert!(events.iter().all(|e| e["outcome"] == "ok"), "{events:?}");
        }
    }
}

#[test]
fn an_error_of_reading_is_the_requests_and_no_one_elses() {
    if !can_be_traced() {
        return;
    }
    for concurrency in CONCURRENCIES {
        for (error, outcome) in [
            ("EIO", "handler-error"),
            ("ENOMEM", "handler-error"),
            ("ENOBUFS", "handler-error"),
            ("ECONNRESET", "client-gone"),
            ("ETIMEDOUT", "client-gone"),
        ] {
            let server = echo(concurrency, Transport::Tcp);
            let fault = format!("recvfrom:error={error}");
            let faults = Faults::put_into(server.acceptor(), &[&fault]);
            assert_eq!(server.ask("lost"), b"", "{error}");
            let event = server.request();
            drop(faults);
            assert_eq!(event["outcome"], outcome, "{error}: {event}");
            assert_eq!(server.ask("still"), b"still");
        }
    }
}

#[test]
fn an_error_of_writing_is_the_requests_and_no_one_elses() {
    if !can_be_traced() {
        return;
    }
    for concurrency in CONCURRENCIES {
        for transport in Transport::all() {
            for error in ["EIO", "ENOBUFS", "ENOMEM", "ENETUNREACH", "EPIPE"] {
                let server = echo(concurrency, transport);
                // A child's second call is its line for the log.
                let call = if transport == Transport::Udp {
                    "sendmsg"
                } else {
                    "sendto"
                };
                let fault = format!("{call}:error={error}:when=1");
                let faults = Faults::put_into(server.acceptor(), &[&fault]);
                let mut client = server.connect();
                client.send("lost");
                client.finish_sending();
                let event = server.request();
                drop(faults);
                // A handler of packets has ended when its reply is sent: that it was not is a detail.
                let outcome = match (transport.is_datagram(), error) {
                    (true, _) => "ok",
                    (false, "EPIPE" | "ENETUNREACH") => "client-gone",
                    (false, _) => "handler-error",
                };
                assert_eq!(event["outcome"], outcome, "{error}: {event}");
                assert!(event["detail"].is_string(), "{error}: {event}");
                assert_eq!(server.ask("still"), b"still");
            }
        }
    }
}

#[test]
fn without_threads_or_processes_a_connection_is_closed_and_the_loop_goes_on() {
    if !can_be_traced() {
        return;
    }
    for concurrency in ["threads", "fork"] {
        let server = serve(concurrency).start();
        let faults = Faults::put_into(
            server.acceptor(),
            &["clone:error=EAGAIN", "clone3:error=EAGAIN"],
        );
        let lost = script(&[Write("lost")]);
        for _ in 0..3 {
            // A connection that is closed at once can come as an error.
            let reply = server.connect().try_ask(&lost).unwrap_or_default();
            assert_eq!(reply, b"");
        }
        let events = server.requests(3);
        drop(faults);
        for event in events {
            let detail = event["detail"].as_str().unwrap_or_default();
            assert!(detail.contains("no thread or process"), "{event}");
            assert_eq!(event["outcome"], "host-error", "{event}");
        }
        serves(&server);
    }
}

#[test]
fn without_memory_requests_fail_and_the_service_stays() {
    if !can_be_traced() {
        return;
    }
    for concurrency in CONCURRENCIES {
        for call in ["mmap", "mprotect", "madvise"] {
            let server = serve(concurrency).start();
            serves(&server);
            let fault = format!("{call}:error=ENOMEM");
            let faults = Faults::put_into(server.acceptor(), &[&fault]);
            // A connection for which there is no thread is closed at once: that can come as an error.
            let grow = script(&[Op::GrowMemory(64), Write("grown")]);
            let replies: Vec<_> = (0..3)
                .map(|_| server.connect().try_ask(&grow).unwrap_or_default())
                .collect();
            let events = server.requests(4);
            drop(faults);
            for (event, reply) in events[1..].iter().zip(&replies) {
                // Memory that grows is made accessible; for a forked child so is its own alternative stack.
                let expected = match (call, concurrency) {
                    ("mprotect", "fork") => ("host-error", &b""[..]),
                    ("mprotect", _) => ("ok", &b"\xff\xff\xff\xffgrown"[..]),
                    _ => ("ok", &b"\x08\0\0\0grown"[..]),
                };
                let outcome = event["outcome"].as_str().unwrap_or_default();
                let detail = event["detail"].as_str().unwrap_or_default();
                // A new thread needs a stack; one that is kept has it.
                if concurrency == "threads" && detail.contains("no thread") {
                    continue;
                }
                assert_eq!((outcome, &reply[..]), expected, "{call}: {event}");
            }
            serves(&server);
        }
    }
}

#[test]
fn a_log_that_may_not_grow_is_no_reason_to_stop() {
    const LIMIT: u64 = 1 << 20;
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    for concurrency in CONCURRENCIES {
        // A write beyond the limit sends SIGXFSZ, which ends a process that does not look after it.
        let limited = format!("ulimit -f 1024; exec \"$@\" 2>>{}", log.display());
        File::create(&log).unwrap().set_len(LIMIT - 4096).unwrap();
        let mut server = serve(concurrency)
            .through(&["bash", "-c", &limited, "bash"])
            .start();
        for _ in 0..50 {
            serves(&server);
        }
        assert!(server.terminate().success(), "{concurrency}");
        assert_eq!(fs::metadata(&log).unwrap().len(), LIMIT, "it is full");
    }
}

/// A terminal that is closed sends SIGHUP, which reads the handler again, and takes no more bytes.
#[test]
fn a_terminal_that_goes_away_is_no_reason_to_stop() {
    for concurrency in CONCURRENCIES {
        let terminal = openpty(None, None).expect("a terminal");
        let mut server = serve(concurrency)
            .through(&["setsid", "--ctty"])
            .hand_over(0, terminal.slave.try_clone().unwrap())
            .hand_over(2, terminal.slave)
            .start();
        serves(&server);
        // What it logs is there to be read.
        let mut bytes = [0; 4096];
        let mut master = File::from(terminal.master);
        assert!(master.read(&mut bytes).unwrap() > 0);
        drop(master);
        for _ in 0..20 {
            serves(&server);
        }
        let used = server.process().cpu_time();
        thread::sleep(Duration::from_millis(500));
        let used = server.process().cpu_time().saturating_sub(used);
        assert!(used < Duration::from_millis(150), "it spins: {used:?}");
        assert!(server.terminate().success(), "{concurrency}");
    }
}

/// A clock that jumps a year ahead, and then two back: what is measured and limited is time that passes.
#[test]
fn a_clock_that_jumps_ends_nothing_early_and_nothing_late() {
    let Some(library) = faketime() else {
        eprintln!("SKIPPED: faketime is not installed, so no clock jumps");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let clock = dir.path().join("clock");
    for concurrency in CONCURRENCIES {
        fs::write(&clock, "+0").unwrap();
        let server = serve(concurrency)
            .with("--idle-timeout 700ms --deadline 5s --harden off")
            .environment("LD_PRELOAD", &library)
            .environment("FAKETIME_TIMESTAMP_FILE", &clock)
            .environment("FAKETIME_NO_CACHE", "1")
            .environment("DONT_FAKE_MONOTONIC", "1")
            // A process that forks has nothing else of the environment.
            .with("--inherit-env FAKETIME_TIMESTAMP_FILE --inherit-env FAKETIME_NO_CACHE")
            .with("--inherit-env DONT_FAKE_MONOTONIC")
            .start();
        let years: Vec<_> = ["+366d", "-366d"]
            .iter()
            .enumerate()
            .map(|(n, jump)| {
                // One that waits a while, and one that waits for too long; serial has them in turn.
                let mut waits = server.connect();
                waits.send(script(&[
                    Op::Sleep(Duration::from_millis(300)),
                    Write("in time"),
                ]));
                waits.finish_sending();
                thread::sleep(Duration::from_millis(100));
                fs::write(&clock, jump).unwrap();
                assert_eq!(waits.receive_all(), b"in time", "{concurrency}");
                let mut silent = server.connect();
                assert_eq!(silent.receive_all(), b"", "{concurrency}");
                let events = server.requests(2 * n + 2);
                let [waited, idle] = &events[2 * n..] else {
                    panic!("two events: {events:?}");
                };
                assert_eq!(waited["outcome"], "ok", "{waited}");
                assert_eq!(idle["outcome"], "idle-timeout", "{idle}");
                let micros = idle["duration_us"].as_u64().unwrap();
                assert!((690_000..3_000_000).contains(&micros), "{idle}");
                let time = idle["timestamp"].as_str().unwrap();
                time[..4].parse::<i32>().unwrap()
            })
            .collect();
        assert_eq!(years[0] - years[1], 2, "the clock did jump: {years:?}");
    }
}

fn faketime() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten();
    let library = |folder: fs::DirEntry| folder.path().join("faketime/libfaketimeMT.so.1");
    folders.map(library).find(|library| library.exists())
}

/// Who reads a file that is replaced meanwhile has read the old one, whole.
#[test]
fn a_handler_that_is_replaced_while_it_is_read_is_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("handler.wat");
    let Some(mut slowly) = strace(
        "/dev/null",
        &["trace=read", "inject=read:delay_enter=300ms"],
    ) else {
        return;
    };
    slowly.extend(["-P".to_owned(), path.to_str().unwrap().to_owned()]);
    for concurrency in CONCURRENCIES {
        let source = |answer: &str| {
            format!(
                r#"(module
                    (import "wfile" "write" (func $write (param i32 i32) (result i32)))
                    (memory (export "memory") 1)
                    (data (i32.const 0) "{answer}")
                    (func (export "handle") (drop (call $write (i32.const 0) (i32.const 3)))))"#
            )
        };
        fs::write(&path, source("old")).unwrap();
        let server = Serve::new(&path)
            .with("--concurrency")
            .arg(concurrency)
            .through(&slowly)
            .spawn();
        let until = Instant::now() + PATIENCE;
        while !server.process().reads(&path) {
            assert!(Instant::now() < until, "it does not read the handler");
            thread::sleep(Duration::from_millis(1));
        }
        let beside = dir.path().join("beside");
        fs::write(&beside, source("new")).unwrap();
        fs::rename(&beside, &path).unwrap();
        assert_eq!(server.ask(""), b"old", "{concurrency}");
        server.process().signal(signal::HUP);
        server.log().wait_for(2, |e| e["event"] == "loaded");
        let until = Instant::now() + PATIENCE;
        while server.ask("") != b"new" {
            assert!(Instant::now() < until, "it does not serve: {concurrency}");
        }
    }
}
