//! Which requests are recorded, where, and what becomes of the service where that goes wrong.

use crate::harness::{
    CONCURRENCIES, NOBODY, Op, PATIENCE, Recording, Serve, Server, Transport, is_root,
    once_it_is_nobodys, script, signal, wat,
};
use Op::{Return, Trap, Write};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) fn serve(concurrency: &str) -> Serve {
    Serve::new(wat("script"))
        .with("--concurrency")
        .arg(concurrency)
}

pub(crate) fn fails(server: &Server) {
    server.ask(script(&[Return, Trap]));
}

/// The file of the failure with this number, once it is there.
pub(crate) fn is_written(server: &Server, number: usize) -> PathBuf {
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

pub(crate) fn succeeds(server: &Server) {
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
            let (failed, well): (Vec<_>, Vec<_>) =
                events.iter().partition(|event| event["outcome"] == "trap");
            assert!(well.iter().all(|event| event["record"].is_null()));
            let name = failed[0]["record"]
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
            assert_eq!(recorded[0].header("id"), &failed[0]["id"]);
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
    if !is_root() {
        return;
    }
    for concurrency in CONCURRENCIES {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("script.wat");
        fs::copy(wat("script"), &file).unwrap();
        let folder = dir.path().join("recordings");
        let words = ["cannot keep recordings", folder.to_str().unwrap()];
        let mut server = once_it_is_nobodys(&folder, &words, || {
            Serve::new(&file)
                .with("--concurrency")
                .arg(concurrency)
                .with("--record-when all --record")
                .arg(&folder)
        });
        succeeds(&server);
        fails(&server);
        server.requests(2);
        assert!(server.terminate().success());
        let recorded = Recording::all_in(&folder);
        assert_eq!(recorded.len(), 2, "{concurrency}");
        for recording in &recorded {
            assert_eq!(
                fs::metadata(&recording.file).unwrap().uid().to_string(),
                NOBODY
            );
            recording.replays_the_same();
        }
    }
}

/// The handler that served is in the recording, also after another one was loaded.
#[test]
fn each_recording_names_the_handler_that_served_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("handler.wat");
    let write = |answer: &str| {
        let source = format!(
            r#"(module
                (import "wfile" "write" (func $write (param i32 i32) (result i32)))
                (memory (export "memory") 1)
                (data (i32.const 0) "{answer}")
                (func (export "handle") (drop (call $write (i32.const 0) (i32.const 3)))))"#
        );
        fs::write(&file, source).unwrap();
    };
    write("old");
    let mut server = Serve::new(&file)
        .with("--concurrency threads")
        .recording("all")
        .start();
    assert_eq!(server.ask(""), b"old");
    write("new");
    server.process().signal(signal::HUP);
    let until = Instant::now() + PATIENCE;
    while server.ask("") != b"new" {
        assert!(Instant::now() < until, "it is not loaded");
    }
    let recorded = server.recorded();
    let digest = |answer: &str| {
        let of_it = recorded.iter().find(|r| r.text("sent") == answer);
        let digest = of_it.expect("a recording").header("handler")["sha256"].clone();
        digest.as_str().expect("a text").to_owned()
    };
    assert_ne!(digest("old"), digest("new"));
    assert_eq!(digest("new").len(), 64);
}
