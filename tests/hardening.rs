//! What the program gives up once its sockets are bound: the user, capabilities, files, system calls. That
//! each of it is denied is shown from inside, by `host/tests/confined`.

use crate::harness::{
    CONCURRENCIES, Finished, NOBODY, Op, PATIENCE, Process, Serve, Server, Transport, faults,
    handler, is_root, script, signal, wat,
};
use Op::{Return, Write};
use nix::unistd::geteuid;
use serde_json::Value;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::Instant;
use tempfile::TempDir;

fn hardened(server: &Server) -> Value {
    let events = server.log().wait_for(1, |e| e["event"] == "hardened");
    events[0].clone()
}

/// Looks at the program's processes while a request is served: itself, its loops, a child.
fn in_a_request(server: &Server, mut look_at: impl FnMut(Process)) -> usize {
    let mut client = server.connect();
    client.send(script(&[Return, Write("in")]));
    assert_eq!(client.receive(2), b"in");
    let processes = server.process().tree();
    processes.iter().copied().for_each(&mut look_at);
    client.finish_sending();
    client.receive_all();
    processes.len()
}

/// A handler's file in a folder that everybody can look into.
fn copy_of(handler: &Path) -> (TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let file = dir.path().join(handler.file_name().unwrap());
    fs::copy(handler, &file).unwrap();
    (dir, file)
}

#[test]
fn one_event_at_the_start_says_what_is_in_force() {
    for concurrency in CONCURRENCIES {
        let server = Serve::new(handler("echo"))
            .with("--concurrency")
            .arg(concurrency)
            .start();
        let event = hardened(&server);
        assert_eq!(event["user"], geteuid().as_raw(), "{event}");
        assert_eq!(event["seccomp"], true, "{event}");
        for field in ["group", "capabilities", "landlock", "lacks"] {
            assert!(!event[field].is_null(), "{field}: {event}");
        }
        let is_warning = event["level"] == "WARN";
        assert_eq!(is_warning, event["lacks"] != "", "{event}");
        assert_eq!(server.ask("x"), b"x");
        let said = server.log().events();
        let said = said.iter().filter(|e| e["event"] == "hardened");
        assert_eq!(said.count(), 1, "of all processes together");
    }
}

#[test]
fn every_process_has_given_up_what_it_does_not_need() {
    for concurrency in CONCURRENCIES {
        let server = Serve::new(wat("script"))
            .with("--concurrency")
            .arg(concurrency)
            .start();
        let processes = in_a_request(&server, |process| {
            assert_eq!(process.status("NoNewPrivs"), "1", "{concurrency}");
            assert_eq!(process.status("Seccomp"), "2", "{concurrency}");
            // CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, of root alone (capabilities(7)).
            let left = if geteuid().is_root() { 0b110 } else { 0 };
            for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
                let capabilities = u64::from_str_radix(&process.status(set), 16).unwrap();
                assert_eq!(capabilities & !left, 0, "{concurrency}: {set}");
            }
            assert_eq!(process.limit("Max core file size"), (0, 0), "{concurrency}");
            let (soft, hard) = process.limit("Max open files");
            assert_eq!(soft, hard, "{concurrency}");
        });
        let expected = if concurrency == "fork" { 3 } else { 1 };
        assert_eq!(processes, expected, "{concurrency}");
    }
}

#[test]
fn off_leaves_the_process_as_it_is() {
    let before = Process(std::process::id());
    let server = Serve::new(wat("script"))
        .with("--concurrency fork --harden off")
        .start();
    in_a_request(&server, |process| {
        for field in ["NoNewPrivs", "Seccomp", "CapEff"] {
            assert_eq!(process.status(field), before.status(field), "{field}");
        }
    });
    let said = server.log().events();
    assert!(!said.iter().any(|e| e["event"] == "hardened"), "{said:?}");
}

#[test]
fn what_the_kernel_lacks_is_said_or_an_error() {
    // As a kernel without Landlock answers.
    let Some(old) = faults(&["landlock_create_ruleset:error=ENOSYS"]) else {
        return;
    };
    let serve = || Serve::new(handler("echo")).through(&old);
    let server = serve().start();
    let event = hardened(&server);
    assert_eq!(event["level"], "WARN", "{event}");
    assert!(event["lacks"].to_string().contains("Landlock"), "{event}");
    assert_eq!(event["seccomp"], true, "{event}");
    assert_eq!(server.ask("x"), b"x");
    let required: Finished = serve().with("--harden require").run_to_end();
    required.is_an_error(1, &["--harden require", "Landlock", "--harden auto"]);
}

/// As containers do, which keep a call for themselves: with EPERM.
#[test]
fn a_call_that_the_system_refuses_is_what_it_lacks() {
    let Some(refusing) = faults(&["seccomp:error=EPERM"]) else {
        return;
    };
    let serve = || {
        Serve::new(handler("echo"))
            .with("--cache off")
            .through(&refusing)
    };
    let server = serve().start();
    let event = hardened(&server);
    assert_eq!(event["lacks"], "seccomp", "{event}");
    assert_eq!(event["seccomp"], false, "{event}");
    assert_eq!(server.ask("x"), b"x");
    let required = serve().with("--harden require").run_to_end();
    required.is_an_error(1, &["--harden require", "seccomp", "--harden auto"]);
    // Who asks for nothing needs nothing, and neither does the process that compiles for them.
    let Some(absent) = faults(&[
        "seccomp:signal=SIGSYS",
        "landlock_create_ruleset:signal=SIGSYS",
    ]) else {
        return;
    };
    let server = Serve::new(handler("echo"))
        .with("--cache off --harden off")
        .through(&absent)
        .start();
    assert_eq!(server.ask("x"), b"x");
}

/// A folder that may be written to is settled at the start.
#[test]
fn another_writable_folder_is_not_taken_for_the_one_at_the_start() {
    for concurrency in ["threads", "fork"] {
        let dir = tempfile::tempdir().unwrap();
        for name in ["one", "two"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let current = dir.path().join("current");
        let turn = |to: &str| {
            let beside = dir.path().join("next");
            symlink(to, &beside).unwrap();
            fs::rename(beside, &current).unwrap();
        };
        turn("one");
        let server = Serve::new(wat("script"))
            .with("--dir")
            .arg(format!("{}::/data:rw", current.display()))
            .with("--concurrency")
            .arg(concurrency)
            .start();
        let again = |event: &str, n: usize| {
            server.process().signal(signal::HUP);
            server.log().wait_for(n, |e| e["event"] == event)[n - 1].clone()
        };
        again("loaded", 2);
        turn("two");
        let failed = again("reload-failed", 1);
        let detail = failed.to_string();
        for word in ["--dir", "--harden", "restart"] {
            assert!(detail.contains(word), "{detail}");
        }
        assert_eq!(server.ask(script(&[Write("in")])), b"in");
    }
}

#[test]
fn all_of_it_can_be_required() {
    let lacks = hardened(&Serve::new(handler("echo")).start())["lacks"].clone();
    if lacks != "" {
        eprintln!("SKIPPED: this kernel has no {lacks}");
        return;
    }
    for concurrency in CONCURRENCIES {
        let server = Serve::new(handler("echo"))
            .with("--harden require --concurrency")
            .arg(concurrency)
            .start();
        assert_eq!(server.ask("x"), b"x", "{concurrency}");
    }
}

#[test]
fn another_user_serves_and_reads_the_handler_again() {
    if !is_root() {
        return;
    }
    for concurrency in CONCURRENCIES {
        // A client's Unix datagram socket would have to be open to that user.
        for transport in [Transport::Tcp, Transport::Udp, Transport::Unix] {
            let (_dir, file) = copy_of(&wat("script"));
            let server = Serve::new(&file)
                .on(transport)
                .with("--user")
                .arg(NOBODY)
                .with("--concurrency")
                .arg(concurrency)
                .start();
            let event = hardened(&server);
            assert_eq!(event["user"].to_string(), NOBODY, "{event}");
            assert_eq!(event["group"].to_string(), NOBODY, "{event}");
            assert_eq!(event["capabilities"], "", "{event}");
            let its_own = |process: Process| {
                let four = [NOBODY; 4].join("\t");
                assert_eq!(process.status("Uid"), four, "{concurrency}");
                assert_eq!(process.status("Gid"), four, "{concurrency}");
                assert_eq!(process.status("CapPrm"), "0000000000000000");
                let groups = process.status("Groups");
                assert!(["", NOBODY].contains(&groups.as_str()), "{groups}");
            };
            match transport.is_datagram() {
                true => assert_eq!(server.ask(script(&[Write("in")])), b"in"),
                false => drop(in_a_request(&server, its_own)),
            }
            server.process().signal(signal::HUP);
            server.log().wait_for(2, |e| e["event"] == "loaded");
            assert_eq!(server.ask(script(&[Write("again")])), b"again");
        }
    }
}

#[test]
fn a_user_that_is_none_or_may_not_be_become_is_an_error() {
    let serve = || Serve::new(handler("echo"));
    if is_root() {
        let finished = serve().with("--user no-such-user").run_to_end();
        finished.is_an_error(1, &["--user", "no-such-user"]);
        let finished = serve().with("--group no-such-group").run_to_end();
        finished.is_an_error(1, &["--group", "no-such-group"]);
    }
    let nobody = [
        "setpriv",
        "--reuid",
        NOBODY,
        "--regid",
        NOBODY,
        "--clear-groups",
    ];
    let finished = match geteuid().is_root() {
        true => serve().through(&nobody),
        false => serve(),
    };
    let finished = finished.with("--cache off --user 0").run_to_end();
    finished.is_an_error(1, &["as root", "--user"]);
}

#[test]
fn a_handler_that_the_user_cannot_read_is_an_error_at_the_start() {
    if !is_root() {
        return;
    }
    let (dir, file) = copy_of(&wat("script"));
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let finished = Serve::new(&file).with("--user").arg(NOBODY).run_to_end();
    finished.is_an_error(1, &[file.to_str().unwrap(), "Permission denied"]);
    drop(dir);
}

/// A folder for each release, and a link to the one in service: what tools of deployment turn over.
#[test]
fn a_link_that_is_turned_to_the_next_release_is_read_again() {
    for concurrency in CONCURRENCIES {
        let dir = tempfile::tempdir().unwrap();
        let current = dir.path().join("current");
        let release = |name: &str| {
            let folder = dir.path().join("releases").join(name);
            fs::create_dir_all(&folder).unwrap();
            let source = format!(
                r#"(module
                    (import "wfile" "write" (func $write (param i32 i32) (result i32)))
                    (memory (export "memory") 1)
                    (data (i32.const 0) "{name}")
                    (func (export "handle") (drop (call $write (i32.const 0) (i32.const {})))))"#,
                name.len()
            );
            fs::write(folder.join("handler.wat"), source).unwrap();
            let beside = dir.path().join("next");
            symlink(&folder, &beside).unwrap();
            fs::rename(beside, &current).unwrap();
        };
        release("first");
        let server = Serve::new(current.join("handler.wat"))
            .with("--concurrency")
            .arg(concurrency)
            .start();
        assert_eq!(server.ask(""), b"first");
        release("second");
        server.process().signal(signal::HUP);
        server.log().wait_for(2, |e| e["event"] == "loaded");
        let until = Instant::now() + PATIENCE;
        while server.ask("") != b"second" {
            assert!(Instant::now() < until, "it does not serve: {concurrency}");
        }
    }
}

#[test]
fn descriptors_that_nobody_asked_for_are_closed() {
    let dir = tempfile::tempdir().unwrap();
    let leaked = dir.path().join("leaked");
    fs::write(&leaked, "").unwrap();
    let has_it = |process: Process| {
        let folder = fs::read_dir(format!("/proc/{}/fd", process.0)).unwrap();
        let inode = fs::metadata(&leaked).unwrap().ino();
        folder
            .flatten()
            .any(|fd| fs::metadata(fd.path()).is_ok_and(|found| found.ino() == inode))
    };
    let serve = |options: &str| {
        Serve::new(wat("script"))
            .hand_over(7, File::open(&leaked).unwrap())
            .with(options)
            .start()
    };
    assert!(has_it(serve("--harden off").process()), "it is handed over");
    for concurrency in CONCURRENCIES {
        let server = serve(&format!("--concurrency {concurrency}"));
        in_a_request(&server, |process| {
            assert!(!has_it(process), "{concurrency}");
        });
    }
}

/// Its file in a folder in which the user may not remove anything.
#[test]
fn a_socket_that_cannot_be_removed_at_the_end_is_a_warning_and_replaced_at_the_next_start() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let (_handler, file) = copy_of(&wat("script"));
    let path = dir.path().join("socket");
    for _ in 0..2 {
        let mut server = Serve::new(&file)
            .at(format!("unix://{}", path.display()))
            .with("--user")
            .arg(NOBODY)
            .start();
        assert_eq!(server.ask(script(&[Write("in")])), b"in");
        assert!(server.terminate().success());
        assert!(path.exists());
        let said = server
            .log()
            .wait_for_line(|line| line.contains("socket") && line.contains("WARN"));
        assert!(said.contains(path.to_str().unwrap()), "{said}");
    }
}
