//! Which requests are recorded, where, and what becomes of the service where that goes wrong.

use crate::harness::{
    CONCURRENCIES, Op, PATIENCE, Recording, Serve, Server, Transport, handler, sandsock, script,
    test_recordings, wat,
};
use Op::{Return, Trap, Write};
use nix::unistd::geteuid;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

fn serve(concurrency: &str) -> Serve {
    Serve::new(wat("script"))
        .with("--concurrency")
        .arg(concurrency)
}

fn fails(server: &Server) {
    server.ask(script(&[Return, Trap]));
}

/// The file of the failure with this number, once it is there.
fn is_written(server: &Server, number: usize) -> PathBuf {
    let event = server.requests(number).remove(number - 1);
    let name = event["record"].as_str().expect("the name of a file");
    let file = server.recordings().join(name);
    let until = Instant::now() + PATIENCE;
    while !file.exists() {
        assert!(Instant::now() < until, "{name} is not written");
        thread::sleep(Duration::from_millis(2));
    }
    file
}

fn succeeds(server: &Server) {
    assert_eq!(server.ask(script(&[Return, Write("well")])), b"well");
}

#[test]
fn failures_are_kept_and_their_events_name_the_file() {
    for concurrency in CONCURRENCIES {
        for transport in [Transport::Tcp, Transport::Unix] {
            let mut server = serve(concurrency).on(transport).recording("fail").start();
            succeeds(&server);
            fails(&server);
            succeeds(&server);
            let events = server.requests(3);
            assert!(events[0]["record"].is_null(), "{events:?}");
            let name = events[1]["record"]
                .as_str()
                .expect("the name of a file")
                .to_owned();
            let recorded = server.recorded();
            assert_eq!(recorded.len(), 1, "{concurrency}: {recorded:?}");
            assert_eq!(
                recorded[0].file.file_name().unwrap(),
                &*name,
                "{concurrency}"
            );
            assert_eq!(recorded[0].header("id"), &events[1]["id"]);
            assert_eq!(recorded[0].header("service"), "script");
            assert_eq!(recorded[0].outcome(), "trap");
        }
    }
}

/// Nothing is waited for but the file.
#[test]
fn a_failure_is_there_while_the_server_goes_on() {
    for concurrency in CONCURRENCIES {
        let server = serve(concurrency).recording("fail").start();
        fails(&server);
        Recording::all_of(&is_written(&server, 1))[0].replays_the_same();
    }
}

#[test]
fn one_in_n_is_kept_by_its_number() {
    for concurrency in CONCURRENCIES {
        let mut server = serve(concurrency).recording("1/3").start();
        for _ in 0..7 {
            succeeds(&server);
        }
        server.requests(7);
        let recorded = server.recorded();
        let ids: Vec<_> = recorded.iter().map(|r| r.header("id").clone()).collect();
        assert_eq!(ids, [3, 6], "{concurrency}");
    }
}

#[test]
fn without_the_option_nothing_is_recorded() {
    let server = serve("threads").start();
    fails(&server);
    assert!(server.request()["record"].is_null());
}

#[test]
fn the_folder_and_its_files_are_their_owners_alone() {
    for concurrency in CONCURRENCIES {
        let mut server = serve(concurrency).recording("all").start();
        succeeds(&server);
        fails(&server);
        server.requests(2);
        let recorded = server.recorded();
        assert_eq!(recorded.len(), 2);
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!(mode(&server.recordings()), 0o700);
        for recording in recorded {
            assert_eq!(mode(&recording.file), 0o600, "{:?}", recording.file);
        }
    }
}

#[test]
fn a_folder_that_others_can_read_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    for mode in [0o755, 0o750, 0o701, 0o720] {
        fs::set_permissions(dir.path(), Permissions::from_mode(mode)).unwrap();
        let finished = serve("threads")
            .arg("--record")
            .arg(dir.path())
            .run_to_end();
        let folder = dir.path().to_str().unwrap();
        finished.is_an_error(1, &[folder, "0700", "chmod 700"]);
    }
    fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
    let server = serve("threads").arg("--record").arg(dir.path()).start();
    succeeds(&server);
}

#[test]
fn what_is_no_folder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [&file, &file.join("below")] {
        let finished = serve("threads").arg("--record").arg(path).run_to_end();
        finished.is_an_error(1, &["cannot keep recordings", path.to_str().unwrap()]);
    }
}

#[test]
fn options_that_make_no_sense_are_said_to_be_wrong() {
    for options in [
        "--record-when all",
        "--record-max 5",
        "--record /tmp/x --record-when sometimes",
        "--record /tmp/x --record-when 1/0",
        "--record /tmp/x --record-max 0",
        "--record /tmp/x --record-size 0",
    ] {
        let finished = serve("threads").with(options).run_to_end();
        assert_eq!(finished.code, 2, "{options}: {finished:?}");
        assert!(finished.stderr.contains("--record"), "{finished:?}");
    }
}

#[test]
fn the_oldest_files_go_first() {
    for concurrency in CONCURRENCIES {
        let mut server = serve(concurrency)
            .recording("fail")
            .with("--record-max 3")
            .start();
        for number in 1..=8 {
            fails(&server);
            // They are dropped in the order in which they were written.
            is_written(&server, number);
        }
        let recorded = server.recorded();
        let ids: Vec<_> = recorded.iter().map(|r| r.header("id").clone()).collect();
        assert_eq!(ids, [6, 7, 8], "{concurrency}");
    }
}

#[test]
fn all_files_together_are_no_larger_than_allowed() {
    for when in ["fail", "all"] {
        let mut server = serve("threads")
            .recording(when)
            .with("--record-size 100KiB")
            .start();
        let long = Op::WriteMany(20_000);
        for _ in 0..12 {
            server.ask(script(&[Return, long, Trap]));
        }
        server.requests(12);
        let recorded = server.recorded();
        let files = fs::read_dir(server.recordings()).unwrap();
        let sizes = files.map(|file| file.unwrap().metadata().unwrap().len());
        let size: u64 = sizes.sum();
        assert!(size <= 100 << 10, "{size}");
        let ids: Vec<_> = recorded.iter().map(|r| r.header("id").clone()).collect();
        assert!(!ids.is_empty() && ids.len() < 12, "{ids:?}");
        assert_eq!(ids.last().unwrap(), 12, "the newest is there: {ids:?}");
    }
}

#[test]
fn one_file_of_successes_holds_many_and_is_no_reason_to_remove_it() {
    let mut server = serve("threads")
        .recording("all")
        .with("--record-max 1")
        .start();
    for _ in 0..20 {
        succeeds(&server);
    }
    server.requests(20);
    assert_eq!(server.recorded().len(), 20);
}

#[test]
fn what_was_there_counts_and_what_is_not_ours_stays() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
    let others = ["notes.jsonl", "20260101T000000-x.txt"];
    for other in others {
        fs::write(dir.path().join(other), "mine").unwrap();
    }
    for start in 1..=3 {
        let mut server = serve("threads")
            .arg("--record")
            .arg(dir.path())
            .with("--record-max 4")
            .start();
        for _ in 0..3 {
            fails(&server);
        }
        server.requests(3);
        assert!(server.terminate().success());
        let count = fs::read_dir(dir.path()).unwrap().count() - others.len();
        assert_eq!(count, (3 * start).min(4));
    }
    for other in others {
        assert_eq!(fs::read_to_string(dir.path().join(other)).unwrap(), "mine");
    }
}

/// Recordings are larger than what there is room for, and requests do not mind.
fn is_full(server: &mut Server, folder: &Path, cell: &str) {
    for _ in 0..30 {
        let answer = server.ask("x".repeat(60_000));
        assert_eq!(answer.len(), 60_000, "{cell}");
    }
    let events = server.requests(30);
    assert!(events.iter().all(|e| e["outcome"] == "ok"), "{cell}");
    let said = server.log().wait_for(1, |event| {
        event["event"] == "warning"
            && event
                .to_string()
                .contains("recordings could not be written")
    });
    assert!(
        said[0].to_string().contains(folder.to_str().unwrap()),
        "{said:?}"
    );
    assert!(server.terminate().success(), "{cell}");
    // What is there is whole.
    let recorded = Recording::all_in(folder);
    assert!(
        (1..30).contains(&recorded.len()),
        "{cell}: {}",
        recorded.len()
    );
    let tested = test_recordings(folder, &handler("echo"), "");
    assert_eq!(tested.code, 0, "{cell}: {tested:?}");
}

#[test]
fn files_that_may_not_grow_cost_recordings_and_no_requests() {
    for concurrency in CONCURRENCIES {
        let mut server = Serve::new(handler("echo"))
            .with("--concurrency")
            .arg(concurrency)
            .recording("all")
            .through(&["bash", "-c", "ulimit -f 1000; exec \"$@\"", "bash"])
            .start();
        let folder = server.recordings();
        is_full(&mut server, &folder, concurrency);
    }
}

#[test]
fn a_full_disk_costs_recordings_and_no_requests() {
    // Where everybody may look into it: a namespace has a table of mounts of its own, and /proc shows it.
    let namespace = if geteuid().is_root() { "-m" } else { "-Urm" };
    let works = Command::new("unshare")
        .args([namespace, "mount", "-t", "tmpfs", "none", "/mnt"])
        .output();
    if !works.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: no file system can be mounted here, so none is full");
        return;
    }
    for concurrency in CONCURRENCIES {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("disk");
        let copy = dir.path().join("copy");
        fs::create_dir(&disk).unwrap();
        fs::create_dir(&copy).unwrap();
        // What was written goes with the namespace: it is looked at from inside.
        let script = format!(
            "mount -t tmpfs -o size=700k,mode=700 none {disk}; \"$@\" & child=$!; \
             trap 'kill $child' TERM; wait $child; trap - TERM; wait $child; code=$?; cp {disk}/* {copy}; exit $code",
            disk = disk.display(),
            copy = copy.display(),
        );
        let mut server = Serve::new(handler("echo"))
            .with("--concurrency")
            .arg(concurrency)
            .with("--record-when all --record")
            .arg(&disk)
            .through(&["unshare", namespace, "bash", "-c", &script, "bash"])
            .start();
        for _ in 0..30 {
            assert_eq!(server.ask("x".repeat(60_000)).len(), 60_000);
        }
        let events = server.requests(30);
        assert!(events.iter().all(|e| e["outcome"] == "ok"), "{concurrency}");
        server
            .log()
            .wait_for_line(|line| line.contains("warning") && line.contains("No space left"));
        assert!(server.terminate().success(), "{concurrency}");
        let recorded = Recording::all_in(&copy);
        assert!((1..30).contains(&recorded.len()), "{concurrency}");
        let tested = test_recordings(&copy, &handler("echo"), "");
        assert_eq!(tested.code, 0, "{concurrency}: {tested:?}");
    }
}

#[test]
fn a_request_larger_than_what_is_kept_of_one_says_so() {
    for concurrency in CONCURRENCIES {
        let mut server = serve(concurrency).recording("all").start();
        let long = [Op::WriteMany(500_000); 4];
        server.ask([&script(&[Return])[..], &script(&long)].concat());
        assert_eq!(server.request()["outcome"], "ok");
        let recorded = server.recorded();
        assert_eq!(recorded.len(), 1, "{concurrency}");
        assert!(
            recorded[0].header("dropped").as_u64() > Some(0),
            "{concurrency}"
        );
        assert_eq!(recorded[0].outcome(), "ok");
        let replayed = sandsock(&["replay".as_ref(), recorded[0].file.as_os_str()], b"");
        assert_eq!(replayed.code, 1, "{replayed:?}");
        assert!(replayed.text().contains("has no room for"), "{replayed:?}");
    }
}

#[test]
fn a_hardened_server_records() {
    for concurrency in CONCURRENCIES {
        let mut server = serve(concurrency).recording("all").start();
        let events = server.log().wait_for(1, |e| e["event"] == "hardened");
        let lacks = events[0]["lacks"] != "";
        if lacks {
            eprintln!("SKIPPED: this kernel lacks {}", events[0]["lacks"]);
        } else {
            server = serve(concurrency)
                .recording("all")
                .with("--harden require")
                .start();
        }
        succeeds(&server);
        fails(&server);
        server.requests(2);
        assert_eq!(server.recorded().len(), 2, "{concurrency}");
    }
}

#[test]
fn another_user_records_into_a_folder_of_its_own() {
    if !geteuid().is_root() {
        eprintln!("SKIPPED: who is not root cannot become somebody else");
        return;
    }
    const NOBODY: u32 = 65534;
    for concurrency in CONCURRENCIES {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        let file = dir.path().join("script.wat");
        fs::copy(wat("script"), &file).unwrap();
        let folder = dir.path().join("recordings");
        let serve = || {
            Serve::new(&file)
                .with("--user 65534 --concurrency")
                .arg(concurrency)
                .with("--record-when all --record")
                .arg(&folder)
        };
        // The folder above is root's.
        let finished = serve().run_to_end();
        finished.is_an_error(1, &["cannot keep recordings", folder.to_str().unwrap()]);
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
        // Root's own is not its user's, whatever root may do.
        serve().run_to_end().is_an_error(1, &["chown"]);
        std::os::unix::fs::chown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
        let mut server = serve().start();
        succeeds(&server);
        fails(&server);
        server.requests(2);
        assert!(server.terminate().success());
        let recorded = Recording::all_in(&folder);
        assert_eq!(recorded.len(), 2, "{concurrency}");
        for recording in &recorded {
            assert_eq!(fs::metadata(&recording.file).unwrap().uid(), NOBODY);
            recording.replays_the_same();
        }
    }
}

#[test]
fn a_folder_that_vanishes_is_a_warning() {
    for concurrency in CONCURRENCIES {
        let mut server = serve(concurrency).recording("fail").start();
        fs::remove_dir(server.recordings()).unwrap();
        fails(&server);
        server
            .log()
            .wait_for_line(|line| line.contains("recordings could not be written"));
        succeeds(&server);
        assert!(server.terminate().success(), "{concurrency}");
    }
}

/// The handler that served is in the recording, also after another one was loaded.
#[test]
fn each_recording_names_the_handler_that_served_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("handler.wat");
    let source = |data: &str| {
        format!(r#"(module (memory (export "memory") 1) (data "{data}") (func (export "handle")))"#)
    };
    fs::write(&file, source("one")).unwrap();
    let mut server = Serve::new(&file)
        .with("--concurrency threads")
        .recording("all")
        .start();
    server.ask("");
    server.request();
    fs::write(&file, source("two")).unwrap();
    server.process().signal(crate::harness::signal::HUP);
    server.log().wait_for(2, |e| e["event"] == "loaded");
    server.ask("");
    server.requests(2);
    let recorded = server.recorded();
    let digest = |n: usize| recorded[n].header("handler")["sha256"].clone();
    assert_eq!(recorded.len(), 2);
    assert_ne!(digest(0), digest(1));
    assert_eq!(digest(0).as_str().map(str::len), Some(64));
}
