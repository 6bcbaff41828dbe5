//! `--concurrency fork`: a child that does not end itself is ended, and its slot is free again.

use crate::harness::{Client, Op, Process, Serve, Server, script, signal, wat, written};
use Op::{Print, Return, Write};
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs;

fn serve(options: &str) -> Server {
    Serve::new(wat("script"))
        .with("--concurrency fork --max-in-flight 1")
        .with(options)
        .start()
}

/// A request that waits for its client, and the child that serves it.
fn begun(server: &Server, more: &[Op]) -> (Client, Process) {
    let mut client = server.connect();
    let mut orders = vec![Return, Print("here")];
    orders.extend_from_slice(more);
    client.send(script(&orders));
    let event = server.log().wait_for(1, |e| e["line"] == "here").remove(0);
    let pid = event["pid"].as_u64().expect("a process's number");
    (client, Process(u32::try_from(pid).expect("a number")))
}

/// A process that does nothing any more, and hears nothing but SIGKILL, as one that hangs in the host: a debugger,
/// which this thread is, has halted it.
struct Hanging(Pid);

impl Hanging {
    /// `None`, with a line that says so, where a container forbids it.
    fn at_once(process: Process) -> Option<Self> {
        let pid = Pid::from_raw(process.0.cast_signed());
        let halted = ptrace::seize(pid, ptrace::Options::empty())
            .and_then(|()| ptrace::interrupt(pid))
            .and_then(|()| waitpid(pid, Some(WaitPidFlag::__WALL)));
        if let Err(error) = &halted {
            eprintln!("SKIPPED: no process can be halted here: {error}");
        }
        halted.ok().map(|_| Hanging(pid))
    }

    /// Waits until it has been killed; its parent hears of it then.
    fn until_killed(self) {
        let ended = waitpid(self.0, Some(WaitPidFlag::__WALL));
        assert_eq!(
            ended,
            Ok(WaitStatus::Signaled(self.0, Signal::SIGKILL, false))
        );
    }
}

fn is_served(server: &Server) {
    assert_eq!(server.ask(script(&[Write("next")])), b"next");
}

#[test]
fn a_child_that_hangs_until_killed_soon_after_its_deadline() {
    let server = serve("--deadline 3s --linger 0s");
    let (mut client, child) = begun(&server, &[]);
    let Some(hanging) = Hanging::at_once(child) else {
        return;
    };
    hanging.until_killed();
    let event = server.request();
    assert_eq!(event["outcome"], "deadline", "{event}");
    assert_eq!(event["id"], 1, "{event}");
    assert_eq!(event["client"], client.address(), "{event}");
    let detail = event["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("did not end by itself"), "{event}");
    assert_eq!(client.receive_all(), b"", "its client sees a close");
    is_served(&server);
}

#[test]
fn a_child_that_hangs_once_it_has_told_its_event_until_killed_too() {
    // It reads off what the client, which does not end its side, may still send.
    let server = serve("--deadline 1s --linger 8s");
    let (_client, child) = begun(&server, &[Write("reply"), Return, Return]);
    server.request();
    let Some(hanging) = Hanging::at_once(child) else {
        return;
    };
    hanging.until_killed();
    let warnings = server.log().wait_for(1, |e| {
        let detail = e["detail"].as_str().unwrap_or_default();
        e["event"] == "warning" && detail.contains("request 1 had ended")
    });
    assert!(warnings[0].to_string().contains("did not end"));
    is_served(&server);
}

#[test]
fn an_orphan_that_hangs_until_killed_by_the_supervisor() {
    let server = serve("--deadline 3s --linger 0s");
    let (mut client, child) = begun(&server, &[]);
    let Some(hanging) = Hanging::at_once(child) else {
        return;
    };
    server.acceptor().signal(signal::KILL);
    server.log().wait_for(1, |e| e["event"] == "fork-died");
    hanging.until_killed();
    let event = server.request();
    assert_eq!(event["outcome"], "deadline", "{event}");
    assert_eq!(client.receive_all(), b"", "its client sees a close");
    is_served(&server);
}

/// Soft and hard, as /proc/PID/limits has them (proc_pid_limits(5)).
fn limit(process: Process, name: &str) -> [String; 2] {
    let limits = fs::read_to_string(format!("/proc/{}/limits", process.0)).expect("it runs");
    let line = limits.lines().find_map(|line| line.strip_prefix(name));
    let mut words = line.expect("a limit").split_whitespace();
    [(); 2].map(|()| words.next().expect("a value").to_owned())
}

#[test]
fn a_child_has_no_more_cpu_time_and_memory_than_its_request_may_take() {
    for (options, cpu, is_bounded) in [
        ("--cpu-limit 2500ms", ["4", "5"], true),
        (
            "--cpu-limit none --memory-limit none",
            ["unlimited", "unlimited"],
            false,
        ),
    ] {
        let server = serve(options);
        let (mut client, child) = begun(&server, &[]);
        assert_eq!(limit(child, "Max cpu time"), cpu, "{options}");
        let [soft, hard] = limit(child, "Max data size");
        assert_eq!(soft, hard, "{options}");
        assert_eq!(soft != "unlimited", is_bounded, "{options}");
        // Its own CPU time is for ever.
        assert_eq!(limit(server.acceptor(), "Max cpu time"), ["unlimited"; 2]);
        client.finish_sending();
        client.receive_all();
    }
}

/// Memory up to its limit, and all of what a table and the host may have beside it.
#[test]
fn a_handler_has_all_of_a_large_memory() {
    let (_dir, path) = written(
        r#"(module
          (import "wfile" "write" (func $write (param i32 i32) (result i32)))
          (memory (export "memory") 1)
          (table 1000 funcref)
          (data (i32.const 0) "all of it")
          (func (export "handle")
            (if (i32.eq (memory.grow (i32.const 8190)) (i32.const -1)) (then unreachable))
            (i32.store8 (i32.const 536800000) (i32.const 1))
            (drop (call $write (i32.const 0) (i32.const 9)))))"#,
    );
    let server = Serve::new(path)
        .with("--concurrency fork --memory-limit 513MiB")
        .start();
    assert_eq!(server.ask(""), b"all of it");
    assert_eq!(server.request()["outcome"], "ok");
}
