//! A recording has what was read from granted folders: it runs again where they are not.

use crate::harness::{
    CONCURRENCIES, Serve, handler, handler_component, replay, sandsock, test_recordings,
};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// A folder with plans of two users, for the handler `finger`.
fn plans() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("ann"), "Ann plans.\n").unwrap();
    fs::write(folder.path().join("bob"), "Bob does not.\n").unwrap();
    folder
}

fn serve(handler: &Path, folder: &TempDir, concurrency: &str) -> Serve {
    Serve::new(handler)
        .with("--concurrency")
        .arg(concurrency)
        .with("--dir")
        .arg(format!("{}::/finger", folder.path().display()))
        .recording("all")
}

fn replays_without_the_folder(handler: &Path) {
    for concurrency in CONCURRENCIES {
        let folder = plans();
        let mut server = serve(handler, &folder, concurrency).start();
        assert_eq!(server.ask("ann\r\n"), b"Ann plans.\r\n");
        assert_eq!(server.ask("\r\n"), b"ann\r\nbob\r\n");
        assert_eq!(server.ask("eve\r\n"), b"finger: no such user\r\n");
        server.requests(3);
        let recorded = server.recorded();
        assert_eq!(recorded.len(), 3, "{concurrency}");
        let of_ann = recorded.iter().find(|one| one.header("id") == 1).unwrap();
        let file = of_ann.events("file").remove(0);
        assert_eq!(file["content"], "Ann plans.\n", "{file}");
        assert_eq!(
            [&file["folder"], &file["path"]],
            ["/finger", "ann"],
            "{file}"
        );
        drop(folder);
        for recording in &recorded {
            recording.replays_the_same();
        }
    }
}

#[test]
fn a_module_reads_what_it_read() {
    replays_without_the_folder(&handler("finger"));
}

#[test]
fn a_component_reads_what_it_read() {
    replays_without_the_folder(&handler_component("finger"));
}

#[test]
fn a_recorded_file_that_a_person_has_changed_is_what_the_handler_reads() {
    let folder = plans();
    let mut server = serve(&handler("finger"), &folder, "threads").start();
    server.ask("ann\r\n");
    server.requests(1);
    let recorded = server.recorded().remove(0);
    let changed = recorded
        .to_file_text()
        .replace("Ann plans.\\n", "Ann rests.\\n");
    let file = folder.path().join("changed.jsonl");
    fs::write(&file, changed).unwrap();
    let replayed = replay(&file, &handler("finger"));
    assert_eq!(replayed.code, 1);
    let differs = "answer: differs from byte 4: was \"Ann plans.\\r\\n\", is \"Ann rests.\\r\\n\"";
    assert!(replayed.text().contains(differs), "{}", replayed.text());
}

#[test]
fn no_path_of_a_recording_leads_out_of_its_folder() {
    let folder = plans();
    let mut server = serve(&handler("finger"), &folder, "threads").start();
    server.ask("ann\r\n");
    server.requests(1);
    let recorded = server.recorded().remove(0);
    let victim = folder.path().join("victim");
    let escapes = [
        format!("..{}", victim.display()),
        victim.display().to_string(),
    ];
    for (number, escape) in escapes.iter().enumerate() {
        let changed = recorded
            .to_file_text()
            .replace("\"path\":\"ann\"", &format!("\"path\":{escape:?}"));
        assert_ne!(changed, recorded.to_file_text());
        let file = folder.path().join(format!("escape-{number}.jsonl"));
        fs::write(&file, changed).unwrap();
        let replayed = replay(&file, &handler("finger"));
        assert_eq!(replayed.code, 1, "{}", replayed.text());
        assert!(!victim.exists(), "{escape}");
    }
}

#[test]
fn a_file_that_is_too_large_is_not_recorded_and_the_replay_says_so() {
    let folder = plans();
    let large = "x".repeat((1 << 20) + 1);
    fs::write(folder.path().join("ann"), large).unwrap();
    let mut server = serve(&handler("finger"), &folder, "threads").start();
    server.ask("ann\r\n");
    server.requests(1);
    let recorded = server.recorded().remove(0);
    let replayed = replay(&recorded.file, &handler("finger"));
    let text = replayed.text();
    assert!(text.contains("note: not recorded: /finger/ann"), "{text}");
}

#[test]
fn a_snapshot_is_made_again_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("draws.wat");
    // Initialisation draws a number and reads the time of day; a request answers with both.
    let text = r#"(module
      (import "wfile" "write" (func $write (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "wizer-initialize")
        (drop (call $random (i32.const 0) (i32.const 32)))
        (drop (call $time (i32.const 0) (i64.const 1) (i32.const 32))))
      (func (export "handle") (drop (call $write (i32.const 0) (i32.const 40)))))"#;
    fs::write(&path, text).unwrap();
    let mut server = Serve::new(&path)
        .with("--cache off")
        .recording("all")
        .start();
    let answer = server.ask("");
    assert_ne!(answer[..32], [0; 32]);
    assert_ne!(answer[32..40], [0; 8]);
    server.requests(1);
    let recorded = server.recorded().remove(0);
    recorded.replays_the_same();
    // Without what it started from it is another one.
    let text = recorded.to_file_text();
    let start = text.find(",\"snapshot\":{").unwrap();
    let end = start + text[start..].find('}').unwrap();
    let file = dir.path().join("without.jsonl");
    fs::write(&file, format!("{}{}", &text[..start], &text[end + 1..])).unwrap();
    let args = ["replay", "--cache", "off"].map(OsStr::new);
    let args: Vec<_> = args.into_iter().chain([file.as_os_str()]).collect();
    let replayed = sandsock(&args, b"");
    assert_eq!(replayed.code, 1);
    assert!(replayed.text().contains("answer: differs"), "{replayed:?}");
    let tested = test_recordings(&server.recordings(), &path, "");
    assert_eq!(tested.code, 0, "{}", tested.text());
}
