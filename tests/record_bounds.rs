//! Recordings take no more room than they were given, and a disk without room costs recordings and no requests.

use crate::harness::{
    CONCURRENCIES, Op, Recording, Serve, Server, handler, sandsock, script, test_recordings,
};
use crate::record::{fails, is_written, serve, succeeds};
use Op::{Return, Trap};
use nix::unistd::geteuid;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

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
        for number in 1..=12 {
            server.ask(script(&[Return, long, Trap]));
            // They are dropped in the order in which they were written.
            server.requests(number);
        }
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
        // What it is sent; of what it sends the beginning is enough.
        let mut server = Serve::new(handler("discard"))
            .with("--concurrency")
            .arg(concurrency)
            .recording("all")
            .start();
        server.ask("x".repeat(3 << 20));
        assert_eq!(server.request()["outcome"], "ok");
        let recorded = server.recorded();
        assert_eq!(recorded.len(), 1, "{concurrency}");
        assert!(
            recorded[0].header("dropped").as_u64() > Some(0),
            "{concurrency}"
        );
        assert_eq!(recorded[0].outcome(), "ok");
        let replayed = sandsock(&["replay".as_ref(), recorded[0].file.as_os_str()], b"");
        assert!(replayed.text().contains("has no room for"), "{replayed:?}");
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
