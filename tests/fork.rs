//! `--concurrency fork`: what ends a process ends the requests concerned, and nothing else.

use crate::harness::{
    Client, Op, PATIENCE, Process, Serve, Server, Transport, guest, is_guest, is_request, script,
    signal, wat,
};
use Op::{Print, Return, Sleep, Spin, Write};
use serde_json::Value;
use std::collections::HashSet;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn serve(options: &str) -> Server {
    Serve::new(wat("script"))
        .with("--concurrency fork")
        .with(options)
        .start()
}

/// A request that has begun and waits for its client, and the child that serves it.
fn begun(server: &Server, name: &str) -> (Client, Process) {
    let mut client = server.connect();
    client.send(script(&[Return, Print(name)]));
    let event = server.log().wait_for(1, |e| e["line"] == name).remove(0);
    let pid = event["pid"].as_u64().expect("a process's number");
    (client, Process(u32::try_from(pid).expect("a number")))
}

/// Ends a request that was begun.
fn ends(mut client: Client) {
    client.send(script(&[Write("whole")]));
    client.finish_sending();
    assert_eq!(client.receive_all(), b"whole");
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "{what}: not so");
        thread::sleep(Duration::from_millis(2));
    }
}

fn the_loop(server: &Server) -> Process {
    let loops = server.loops();
    assert_eq!(loops.len(), 1, "{loops:?}");
    loops[0]
}

fn outcomes(server: &Server, n: usize) -> Vec<String> {
    let text = |event: &Value| event["outcome"].as_str().unwrap_or_default().to_owned();
    server.requests(n).iter().map(text).collect()
}

#[test]
fn every_request_is_a_child_of_the_process_that_accepts() {
    let server = serve("");
    let (first, one) = begun(&server, "one");
    let (second, two) = begun(&server, "two");
    let children = the_loop(&server).children();
    assert!(children.contains(&one) && children.contains(&two) && one != two);
    assert_eq!(one.threads(), 1);
    ends(first);
    ends(second);
    server.requests(2);
    wait_until("children are collected", || {
        the_loop(&server).children().is_empty()
    });
    for event in server.log().events() {
        if is_request(&event) || is_guest(&event) {
            assert!(
                event["pid"].is_u64() && event["thread"].is_null(),
                "{event}"
            );
        }
    }
}

/// Linux 6.1 can be asked for huge pages there and then.
fn has_huge_pages() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|n| n.trim().parse().ok());
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version >= (6, 1) && fs::exists("/sys/kernel/mm/transparent_hugepage").unwrap_or(false)
}

#[test]
fn the_code_that_children_run_is_on_huge_pages() {
    if !has_huge_pages() {
        eprintln!("SKIPPED: this kernel has no huge pages to ask for");
        return;
    }
    let failed = || {
        let counters = fs::read_to_string("/proc/vmstat").unwrap_or_default();
        let lines = counters
            .lines()
            .filter(|line| line.starts_with("thp_collapse_alloc_failed"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let before = failed();
    let server = serve("");
    let pages = fs::read_to_string(format!("/proc/{}/smaps", the_loop(&server).0));
    let pages = pages.expect("it runs");
    // A header, then a field a line, for each mapping.
    let mut is_code = false;
    let mut kib = 0;
    for line in pages.lines() {
        if line.contains(" r-xp ") || line.contains(" r--p ") || line.contains(" rw-p ") {
            is_code = line.contains(" r-xp ");
        } else if let Some(size) = line.strip_prefix("AnonHugePages:").filter(|_| is_code) {
            kib += size
                .trim_end_matches("kB")
                .trim()
                .parse::<u64>()
                .expect("a size");
        }
    }
    if kib == 0 && failed() != before {
        eprintln!("SKIPPED: the machine's memory is in too many pieces for huge pages");
        return;
    }
    assert!(kib >= 8 << 10, "{kib} KiB of code on huge pages:\n{pages}");
}

#[test]
fn a_child_that_is_killed_crashes_or_is_stopped_is_one_event_and_a_free_slot() {
    for (number, name) in [
        (signal::KILL, "SIGKILL"),
        (signal::ABRT, "SIGABRT"),
        (signal::SEGV, "SIGSEGV"),
        (signal::STOP, "SIGSTOP"),
    ] {
        let server = serve("--max-in-flight 2");
        let (bystander, _) = begun(&server, "bystander");
        let (mut victim, child) = begun(&server, "victim");
        child.fell(number);
        assert_eq!(victim.receive_all(), b"", "its client sees a close");
        let event = server.request();
        assert_eq!(event["outcome"], "host-error", "{event}");
        assert_eq!(event["id"], 2, "{event}");
        assert_eq!(event["client"], victim.address(), "{event}");
        let detail = event["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(name), "{event}");
        // The slot is free, and whoever runs beside it has noticed nothing.
        assert_eq!(server.ask(script(&[Write("next")])), b"next");
        ends(bystander);
        assert_eq!(outcomes(&server, 3), ["host-error", "ok", "ok"]);
    }
}

#[test]
fn at_max_in_flight_accepting_waits() {
    let server = serve("--max-in-flight 2");
    let (one, _) = begun(&server, "one");
    let (two, _) = begun(&server, "two");
    let mut third = server.connect();
    third.send(script(&[Write("third")]));
    third.finish_sending();
    // While both are there only they are children, however long the third waits.
    thread::sleep(Duration::from_millis(300));
    assert_eq!(the_loop(&server).children().len(), 2);
    third.has_received_nothing();
    ends(one);
    assert_eq!(third.receive_all(), b"third");
    ends(two);
}

#[test]
fn a_loop_that_dies_is_started_again_and_its_requests_go_on() {
    for number in [signal::KILL, signal::ABRT, signal::SEGV, signal::STOP] {
        for transport in [Transport::Tcp, Transport::Unix] {
            let server = Serve::new(wat("script"))
                .on(transport)
                .with("--concurrency fork --max-in-flight 2")
                .start();
            let (in_flight, child) = begun(&server, "in flight");
            let old = the_loop(&server);
            old.fell(number);
            // Who comes meanwhile waits in the listener's queue.
            assert_eq!(server.ask(script(&[Write("next")])), b"next");
            assert_eq!(
                server
                    .log()
                    .wait_for(1, |e| e["event"] == "fork-died")
                    .len(),
                1
            );
            assert!(!old.is_running() && child.is_running());
            // The orphan has its slot still: there is room for one more.
            let (another, _) = begun(&server, "another");
            let mut third = server.connect();
            third.send(script(&[Write("third")]));
            third.finish_sending();
            thread::sleep(Duration::from_millis(200));
            third.has_received_nothing();
            ends(in_flight);
            assert_eq!(third.receive_all(), b"third");
            ends(another);
            assert_eq!(outcomes(&server, 4), ["ok"; 4]);
            let ids: HashSet<_> = server
                .requests(4)
                .iter()
                .map(|e| e["id"].as_u64())
                .collect();
            assert_eq!(ids.len(), 4, "numbers go on where they were: {ids:?}");
        }
    }
}

#[test]
fn an_orphan_that_is_killed_is_an_event_and_a_free_slot_too() {
    let server = serve("--max-in-flight 1");
    let (mut client, child) = begun(&server, "orphan");
    the_loop(&server).signal(signal::KILL);
    server.log().wait_for(1, |e| e["event"] == "fork-died");
    child.signal(signal::KILL);
    assert_eq!(client.receive_all(), b"");
    let event = server.request();
    assert_eq!(event["outcome"], "host-error", "{event}");
    assert_eq!(event["id"], 1, "{event}");
    assert_eq!(server.ask(script(&[Write("next")])), b"next");
}

#[test]
fn a_loop_that_dies_again_and_again_is_started_later_each_time() {
    let server = serve("");
    for n in 1..=4 {
        wait_until("a loop is there", || !server.loops().is_empty());
        server.loops()[0].signal(signal::KILL);
        server.log().wait_for(n, |e| e["event"] == "fork-died");
    }
    let died = server.log().wait_for(4, |e| e["event"] == "fork-died");
    let pauses: Vec<_> = died.iter().map(|e| e["again_in_ms"].as_u64()).collect();
    assert!(pauses.is_sorted() && pauses[3] >= Some(500), "{pauses:?}");
    assert_eq!(server.ask(script(&[Write("still")])), b"still");
}

#[test]
fn nobody_is_left_when_the_supervisor_is_killed() {
    let mut server = serve("");
    let (mut client, child) = begun(&server, "in flight");
    let the_loop = the_loop(&server);
    server.process().signal(signal::KILL);
    server.wait();
    assert_eq!(client.receive_all(), b"");
    wait_until("its processes have ended", || {
        !the_loop.is_running() && !child.is_running()
    });
}

/// As a terminal does it, or systemd: every process of the group has the signal.
#[test]
fn a_signal_to_all_processes_counts_once() {
    for number in [signal::INT, signal::TERM] {
        let mut server = serve("--shutdown-grace 5m");
        let (client, child) = begun(&server, "in flight");
        for process in [child, the_loop(&server), server.process()] {
            process.signal(number);
        }
        server.log().wait_for(1, |e| e["event"] == "shutting-down");
        ends(client);
        assert_eq!(server.wait().code(), Some(0));
        assert_eq!(outcomes(&server, 1), ["ok"]);
    }
}

#[test]
fn what_does_not_end_within_the_grace_is_cut_with_the_loop_dead_or_alive() {
    for dies in [false, true] {
        let mut server = serve("--shutdown-grace 200ms --cpu-limit 10m");
        let orders = [
            script(&[Return, Print("now")]),
            script(&[Return, Print("now"), Spin]),
            script(&[Return, Print("now"), Sleep(Duration::from_secs(3600))]),
        ];
        let mut clients: Vec<_> = orders.iter().map(|_| server.connect()).collect();
        for (client, orders) in clients.iter_mut().zip(&orders) {
            client.send(orders);
        }
        server.log().wait_for(3, |e| e["line"] == "now");
        if dies {
            the_loop(&server).signal(signal::KILL);
            server.log().wait_for(1, |e| e["event"] == "fork-died");
        }
        assert_eq!(server.terminate().code(), Some(0));
        assert_eq!(outcomes(&server, 3), ["cut"; 3]);
        let stopped = server.log().wait_for(1, |e| e["event"] == "stopped");
        assert_eq!(stopped[0]["cut"], 3, "{stopped:?}");
    }
}

/// Not even a child that is stopped, and so sees to nothing itself.
#[test]
fn a_second_signal_ends_all_at_once() {
    let mut server = serve("--shutdown-grace 5m");
    let (_client, child) = begun(&server, "in flight");
    let the_loop = the_loop(&server);
    server.process().signal(signal::TERM);
    server.log().wait_for(1, |e| e["event"] == "shutting-down");
    server.process().signal(signal::TERM);
    assert_eq!(server.wait().code(), Some(128 + signal::TERM));
    wait_until("its processes have ended", || {
        !the_loop.is_running() && !child.is_running()
    });
}

/// What was granted is what was found when the handler was loaded; a loop that is started again has it from its
/// supervisor.
#[test]
fn a_granted_folder_that_was_moved_is_still_there_after_a_loop_died() {
    let dir = TempDir::new().unwrap();
    let granted = dir.path().join("granted");
    fs::create_dir(&granted).unwrap();
    fs::write(granted.join("file"), "what is in it").unwrap();
    let server = Serve::new(guest("probe"))
        .with("--concurrency fork --dir")
        .arg(format!("{}::/data", granted.display()))
        .start();
    let reads = || String::from_utf8(server.ask("read /data/file\n")).unwrap();
    let before = reads();
    assert!(before.contains("what is in it"), "{before}");
    fs::rename(&granted, dir.path().join("moved")).unwrap();
    assert_eq!(reads(), before);
    let old = the_loop(&server);
    old.signal(signal::KILL);
    assert_eq!(reads(), before);
    assert!(!old.is_running());
}

#[test]
fn max_requests_counts_over_all_processes() {
    let mut server = serve("--max-requests 3");
    let (in_flight, _) = begun(&server, "in flight");
    the_loop(&server).signal(signal::KILL);
    server.log().wait_for(1, |e| e["event"] == "fork-died");
    for _ in 0..2 {
        assert_eq!(server.ask(script(&[Write("x")])), b"x");
    }
    // The last of them is waited for, for as long as it takes.
    ends(in_flight);
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!(outcomes(&server, 3), ["ok"; 3]);
}

#[test]
fn an_idle_child_uses_no_processor_time() {
    let server = serve("");
    let (client, child) = begun(&server, "idle");
    let before = child.cpu_time();
    thread::sleep(Duration::from_millis(600));
    assert_eq!(child.cpu_time(), before, "nothing ticks while it waits");
    ends(client);
}

/// A child keeps its own connection: another one's would not be closed when that one ends.
#[test]
fn a_child_has_no_connection_but_its_own() {
    let server = serve("");
    let (one, _) = begun(&server, "one");
    let (two, second) = begun(&server, "two");
    let sockets = second.sockets();
    // Its connection, and the way to the log, which is standard error, too.
    assert!(sockets.len() <= 3, "{sockets:?}");
    ends(one);
    ends(two);
}

#[test]
fn a_reload_serves_new_requests_while_the_old_ones_end_as_they_began() {
    let server = Serve::new(guest("probe"))
        .with("--concurrency fork")
        .start();
    let mut old = server.connect();
    old.send("echo\n");
    wait_until("it is served", || !the_loop(&server).children().is_empty());
    let before = the_loop(&server);
    server.process().signal(signal::HUP);
    server.log().wait_for(2, |e| e["event"] == "loaded");
    wait_until("another process serves", || {
        server.loops().iter().any(|other| *other != before)
    });
    assert_eq!(server.ask("echo\nnew"), b"new");
    old.send("old");
    old.finish_sending();
    assert_eq!(old.receive_all(), b"old");
    wait_until("the old process has ended", || !before.is_running());
    assert_eq!(outcomes(&server, 2), ["ok"; 2]);
    let died = server
        .log()
        .events()
        .iter()
        .any(|e| e["event"] == "fork-died");
    assert!(!died, "{:?}", server.log().lines());
}

#[test]
fn a_handler_that_does_not_load_is_one_error_and_no_process() {
    Serve::new("no-such.wasm")
        .with("--concurrency fork")
        .run_to_end()
        .is_an_error(1, &["no-such"]);
}

#[test]
fn every_request_of_a_quota_is_in_the_log_when_the_program_ends() {
    for _ in 0..20 {
        let mut server = serve("--max-requests 20");
        thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| assert_eq!(server.ask(script(&[Write("x")])), b"x"));
            }
        });
        assert_eq!(server.wait().code(), Some(0));
        assert_eq!(outcomes(&server, 20), ["ok"; 20]);
    }
}
