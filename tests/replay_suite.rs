//! `sandsock test`: a folder of recordings is a suite, whatever a person has made of its files.

use crate::harness::{
    Client, Op, Recording, Serve, guest_component, handler, replay, script, test_recordings, wat,
};
use Op::{Return, Trap, Write};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use tempfile::TempDir;

/// Recordings of `script.wat`: two successes in one file, and a failure.
fn suite() -> TempDir {
    let mut server = Serve::new(wat("script"))
        .with("--concurrency serial")
        .recording("all")
        .start();
    for text in ["one", "two"] {
        server.ask(script(&[Return, Write(text)]));
    }
    server.ask(script(&[Return, Trap]));
    server.requests(3);
    let dir = tempfile::tempdir().unwrap();
    for recording in server.recorded() {
        let name = recording.file.file_name().unwrap();
        fs::copy(&recording.file, dir.path().join(name)).unwrap();
    }
    dir
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.filter(|file| file.is_file()).collect();
    files.sort();
    files
}

/// That of the successes, and that of the failure.
fn two_files(dir: &Path) -> [PathBuf; 2] {
    let mut files = files(dir);
    files.sort_by_key(|file| !file.to_str().unwrap().contains("-ok."));
    files.try_into().expect("two files")
}

#[test]
fn all_that_pass_are_a_line_each_and_a_summary() {
    let dir = suite();
    let [successes, failure] = &two_files(dir.path());
    let name = |file: &Path| file.file_name().unwrap().to_str().unwrap().to_owned();
    let mut lines = vec![
        format!("ok       {}, request 1\n", name(successes)),
        format!("ok       {}, request 2\n", name(successes)),
        format!("ok       {}\n", name(failure)),
    ];
    lines.sort();
    lines.push("3 recordings: 3 passed, 0 failed\n".to_owned());
    let expected = lines.concat();
    for options in ["", "--jobs 1", "--jobs 16"] {
        let tested = test_recordings(dir.path(), &wat("script"), options);
        assert_eq!(tested.text(), expected, "{options}");
        assert_eq!(tested.code, 0);
    }
}

#[test]
fn what_fails_is_named_and_updated_on_request_only() {
    let dir = suite();
    let before: Vec<_> = files(dir.path())
        .iter()
        .map(|f| fs::read(f).unwrap())
        .collect();
    // Text-form copies of the script are answered otherwise by `echo`.
    let tested = test_recordings(dir.path(), &handler("echo"), "");
    assert_eq!(tested.code, 1, "{tested:?}");
    let text = tested.text();
    assert_eq!(
        text.lines().filter(|l| l.starts_with("FAILED ")).count(),
        3,
        "{text}"
    );
    assert!(text.contains("outcome: was trap, is ok"), "{text}");
    assert!(text.contains("answer: differs from byte 0"), "{text}");
    assert!(
        text.ends_with("3 recordings: 0 passed, 3 failed\n"),
        "{text}"
    );
    let after: Vec<_> = files(dir.path())
        .iter()
        .map(|f| fs::read(f).unwrap())
        .collect();
    assert_eq!(before, after, "nothing is written without --update");

    let headers = |dir: &Path| -> Vec<_> {
        let all = Recording::all_in(dir);
        all.iter()
            .map(|r| {
                (
                    r.header("time").clone(),
                    r.header("id").clone(),
                    r.header("limits").clone(),
                )
            })
            .collect()
    };
    let was = headers(dir.path());
    let updated = test_recordings(dir.path(), &handler("echo"), "--update");
    assert_eq!(updated.code, 0, "{updated:?}");
    assert!(
        updated
            .text()
            .ends_with("3 recordings: 0 the same, 3 updated\n"),
        "{updated:?}"
    );
    assert_eq!(headers(dir.path()), was, "when and what was recorded stays");
    let tested = test_recordings(dir.path(), &handler("echo"), "");
    assert_eq!(tested.code, 0, "{tested:?}");
    assert_eq!(files(dir.path()).len(), 2, "no other file is left");
}

#[test]
fn files_in_which_nothing_differs_are_not_written() {
    let dir = suite();
    let [successes, failure] = &two_files(dir.path());
    let changed =
        fs::read_to_string(successes)
            .unwrap()
            .replacen("\"sent\":\"two\"", "\"sent\":\"2\"", 1);
    fs::write(successes, changed).unwrap();
    // A blank line is nothing to mind, and stays.
    let with_a_blank = fs::read_to_string(failure).unwrap() + "\n";
    fs::write(failure, &with_a_blank).unwrap();
    let updated = test_recordings(dir.path(), &wat("script"), "--update");
    assert!(
        updated
            .text()
            .ends_with("3 recordings: 2 the same, 1 updated\n"),
        "{updated:?}"
    );
    assert_eq!(fs::read_to_string(failure).unwrap(), with_a_blank);
    assert!(
        fs::read_to_string(successes)
            .unwrap()
            .contains("\"sent\":\"two\"")
    );
}

#[test]
fn a_suite_that_is_none_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let test = |dir: &Path| test_recordings(dir, &wat("script"), "");
    test(dir.path()).is_an_error(1, &["has no recordings", "--record"]);
    test(&dir.path().join("absent")).is_an_error(1, &["cannot read", "absent"]);
    let full = suite();
    test_recordings(full.path(), &dir.path().join("absent.wasm"), "")
        .is_an_error(1, &["cannot replay with", "absent.wasm"]);
    let none = test_recordings(full.path(), &wat("script"), "--jobs 0");
    assert_eq!(none.code, 2, "{none:?}");
}

/// A recording with one text replaced by another.
fn edited(dir: &Path, from: &str, to: &str) -> PathBuf {
    let [file, _] = two_files(dir);
    let text = fs::read_to_string(file).unwrap();
    let changed = text.replacen(from, to, 1);
    assert_ne!(changed, text, "{from} is not in it");
    let path = dir.join("edited/edited.jsonl");
    fs::create_dir_all(dir.join("edited")).unwrap();
    fs::write(&path, changed).unwrap();
    path
}

#[test]
fn what_a_person_has_broken_is_one_clear_error() {
    let dir = suite();
    for (from, to, words) in [
        (
            "{\"recording\":1",
            "{\"recording\":1,,",
            &["line 1", "edited.jsonl"][..],
        ),
        (
            "{\"recording\":1",
            "{\"recording\":2",
            &["version 2", "newer"],
        ),
        ("{\"recording\":1", "{\"recording\":99999999999", &["newer"]),
        (
            "{\"recording\":1",
            "{\"recording\":0",
            &["line 1", "recording"],
        ),
        ("{\"recording\":1", "{\"recording\":-1", &["line 1", "-1"]),
        ("{\"recording\":1", "{\"recording\":1e99", &["line 1"]),
        ("{\"recording\":1", "{\"recording\":\"1\"", &["line 1"]),
        ("\"id\":1", "\"id\":-1", &["line 1"]),
        ("\"id\":1", "\"id\":18446744073709551616", &["line 1"]),
        (
            "\"transport\":\"tcp\"",
            "\"transport\":\"smoke\"",
            &["smoke"],
        ),
        ("\"limits\":{", "\"limits\":[", &["line 1"]),
        ("\"cpu_ms\":", "\"cpu_ms\":-", &["line 1"]),
        ("{\"at\":", "{\"at\":-", &["line 2"]),
        ("{\"at\":", "{\"at\":\"now\",\"was\":", &["line 2"]),
        ("{\"at\":", "{at:", &["line 2"]),
        ("{\"at\":", "x", &["line 2"]),
        ("\"received\":", "\"accepted\":", &["line 2"]),
        (
            "\"received\":\"",
            "\"received\":1,\"x\":\"",
            &["line 2", "text"],
        ),
        (
            "\"received\":\"",
            "\"received\":{\"base64\":\"?\"},\"x\":\"",
            &["line 2"],
        ),
        (
            "\"received\":\"",
            "\"received\":{\"hex\":\"ff\"},\"x\":\"",
            &["line 2"],
        ),
        ("\"ended\":{", "\"ended\":{\"outcome\":5,", &["line"]),
    ] {
        let file = edited(dir.path(), from, to);
        let replayed = replay(&file, &wat("script"));
        assert_eq!(replayed.code, 1, "{to}: {replayed:?}");
        replayed.is_an_error(1, words);
        let folder = file.parent().unwrap();
        test_recordings(folder, &wat("script"), "").is_an_error(1, words);
    }
}

/// As `jq` does, which sorts keys: also where a file has more than one.
#[test]
fn the_order_of_keys_does_not_matter() {
    let dir = suite();
    let [successes, _] = two_files(dir.path());
    let sorted: String = Recording::all_of(&successes)
        .iter()
        .map(Recording::to_file_text)
        .collect();
    assert_ne!(sorted, fs::read_to_string(&successes).unwrap());
    fs::write(&successes, sorted).unwrap();
    let tested = test_recordings(dir.path(), &wat("script"), "");
    assert!(
        tested
            .text()
            .ends_with("3 recordings: 3 passed, 0 failed\n"),
        "{tested:?}"
    );
}

#[test]
fn files_that_are_no_recordings_are_one_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("edited.jsonl");
    let deep = "[".repeat(100_000);
    let long = format!("{{\"recording\":1,\"x\":\"{}", "x".repeat(20 << 20));
    let contents: [(&[u8], &str); 8] = [
        (b"", "empty"),
        (b"\n\n \n", "empty"),
        (b"\xff\xfe\x00", "edited.jsonl"),
        (b"{}", "line 1"),
        (b"null", "line 1"),
        (b"{\"at\":1,\"sent\":\"x\"}", "line 1"),
        (deep.as_bytes(), "line 1"),
        (long.as_bytes(), "line 1"),
    ];
    for (content, words) in contents {
        fs::write(&file, content).unwrap();
        replay(&file, &wat("script")).is_an_error(1, &["edited.jsonl", words]);
    }
}

/// Numbers that no recording has: the handler may do what it likes with them, and the host is not harmed.
#[test]
fn numbers_beyond_reason_end_a_replay_in_order() {
    let dir = suite();
    let most = u64::MAX.to_string();
    for (from, to) in [
        ("\"memory\":67108864", format!("\"memory\":{most}")),
        ("\"memory\":67108864", "\"memory\":0".to_owned()),
        ("\"cpu_ms\":5000", format!("\"cpu_ms\":{most}")),
        ("\"cpu_ms\":5000", "\"cpu_ms\":0".to_owned()),
        ("\"deadline_ms\":300000", format!("\"deadline_ms\":{most}")),
        ("\"deadline_ms\":300000", "\"deadline_ms\":0".to_owned()),
        (
            "\"idle_timeout_ms\":60000",
            format!("\"idle_timeout_ms\":{most}"),
        ),
        ("\"log\":65536", "\"log\":0".to_owned()),
        ("\"id\":1", format!("\"id\":{most}")),
        (
            "{\"at\":",
            format!("{{\"at\":{most},\"clock\":[\"wall\",{most}]}}\n{{\"at\":"),
        ),
        (
            "{\"at\":",
            "{\"at\":1,\"ready\":[4294967295]}\n{\"at\":".to_owned(),
        ),
        ("\"client\":\"", "\"client\":\"\\u0000/@x ".to_owned()),
        (
            "\"args\":[",
            "\"args\":[\"a\\u0000b\",\"\\u0000\",".to_owned(),
        ),
        (
            "\"env\":[",
            "\"env\":[[\"a=\\u0000\",\"\\u0000\"],[\"\",\"\"],".to_owned(),
        ),
        (
            "\"service\":\"script\"",
            format!("\"service\":\"{}\"", "x".repeat(100_000)),
        ),
    ] {
        // Clocks go on from what they were.
        let (from, to) = match from {
            "{\"at\":" => ("\n{\"at\":", format!("\n{to}")),
            _ => (from, to),
        };
        let file = edited(dir.path(), from, &to);
        let replayed = replay(&file, &wat("script"));
        assert!(replayed.code <= 1, "{to}: {replayed:?}");
        assert!(!replayed.stderr.contains("panicked"), "{to}: {replayed:?}");
    }
}

/// One recording, made while eight clients ask at once, a thousand times in one suite.
#[test]
fn a_recording_made_under_threads_replays_a_thousand_times_out_of_a_thousand() {
    let probe = guest_component("probe");
    let mut server = Serve::new(&probe)
        .with("--concurrency threads")
        .recording("all")
        .start();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for question in ["random\n", "clocks\n", "sleep 5\n", "echo\nhello\n"] {
                    Client::connect(&server.address()).ask(question);
                }
            });
        }
    });
    let recorded = server.recorded();
    assert_eq!(recorded.len(), 32);
    for question in ["random", "clocks", "sleep", "echo"] {
        let last = recorded.iter().rev();
        let mut of_it = last.filter(|recording| recording.text("received").starts_with(question));
        let one = of_it.next().expect("a recording of each");
        let suite = tempfile::tempdir().unwrap();
        let file: PathBuf = suite.path().join("thousand.jsonl");
        fs::write(&file, one.to_file_text().repeat(1000)).unwrap();
        let tested = test_recordings(suite.path(), &probe, "--jobs 8");
        let text = tested.text();
        let summary = text.lines().last();
        let expected = "1000 recordings: 1000 passed, 0 failed";
        assert_eq!(summary, Some(expected), "{}", tested.stderr);
    }
}
