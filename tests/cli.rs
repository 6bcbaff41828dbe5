//! The command line: what `serve` prints, `run`, help, and an error for everything that is wrong.

use crate::harness::{
    Op, Serve, Transport, example, guest, guest_component, handler, sandsock, script, wat,
};
use Op::{Fail, Print, Return, Trap, Write};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

fn run(file: &Path, more: &[&str], stdin: &[u8]) -> crate::harness::Finished {
    let mut args: Vec<&OsStr> = vec!["run".as_ref(), file.as_os_str()];
    args.extend(more.iter().map(OsStr::new));
    sandsock(&args, stdin)
}

#[test]
fn serve_prints_one_line_for_each_listener_and_nothing_else() {
    for (transport, begins) in [
        (Transport::Tcp, "tcp://127.0.0.1:"),
        (Transport::Tcp6, "tcp://[::1]:"),
        (Transport::Udp, "udp://127.0.0.1:"),
        (Transport::Unix, "unix:///"),
        (Transport::Unixgram, "unixgram:///"),
    ] {
        if !transport.is_there() {
            continue;
        }
        let mut server = Serve::new(handler("echo")).on(transport).start();
        let address = server.address();
        assert!(address.starts_with(begins), "{address}");
        assert!(!address.ends_with(":0"), "{address}");
        assert_eq!(server.ask("x"), b"x");
        server.terminate();
        assert_eq!(server.listening(1).len(), 1);
    }
}

#[test]
fn each_result_of_a_name_is_a_listener() {
    let server = Serve::new(handler("echo")).at("tcp://localhost:0").start();
    let first = server.address();
    assert!(
        first.starts_with("tcp://127.0.0.1:") || first.starts_with("tcp://[::1]:"),
        "{first}"
    );
    let names = fs::read_to_string("/etc/hosts").unwrap_or_default();
    let both = names
        .lines()
        .any(|line| line.starts_with("::1") && line.contains(" localhost"))
        || names.lines().any(|line| line.starts_with("::1\tlocalhost"));
    for address in server.listening(if both { 2 } else { 1 }) {
        assert_eq!(
            crate::harness::Client::connect(&address).ask("x"),
            b"x",
            "{address}"
        );
    }
}

#[test]
fn run_is_one_request_offline() {
    let finished = run(&handler("echo"), &[], b"from stdin\n");
    finished.is_a_success();
    assert_eq!(finished.text(), "from stdin\n");
    let finished = run(&wat("cat"), &[], b"from stdin\n");
    finished.is_a_success();
    assert_eq!(finished.text(), "from stdin\n");
    for file in [guest("probe"), guest_component("probe")] {
        let finished = run(&file, &["--", "one", "two"], b"arguments\n");
        finished.is_a_success();
        assert_eq!(finished.text(), "one\ntwo\n");
    }
}

#[test]
fn run_succeeds_only_where_the_handler_does() {
    for end in [Fail, Trap, Op::Exit(3), Op::Exit(0), Return] {
        let finished = run(&wat("script"), &[], &script(&[Return, Write("said"), end]));
        assert_eq!(finished.text(), "said", "{end:?}");
        let succeeds = matches!(end, Return | Op::Exit(0));
        assert_eq!(finished.code, i32::from(!succeeds), "{end:?}: {finished:?}");
    }
}

#[test]
fn run_logs_to_standard_error() {
    let finished = run(
        &wat("script"),
        &[],
        &script(&[Print("a line"), Write("answer")]),
    );
    assert_eq!(finished.text(), "answer");
    assert!(finished.stderr.contains("a line"), "{finished:?}");
}

#[test]
fn run_has_the_same_limits() {
    let finished = run(
        &wat("script"),
        &["--cpu-limit", "200ms"],
        &script(&[Return, Op::Spin]),
    );
    assert_eq!(finished.code, 1, "{finished:?}");
    assert!(finished.stderr.contains("cpu-limit"), "{finished:?}");
}

#[test]
fn run_takes_large_input_and_gives_large_output() {
    let bytes: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
    let finished = run(&handler("echo"), &[], &bytes);
    finished.is_a_success();
    assert!(finished.stdout == bytes);
}

#[test]
fn a_handler_in_text_form_is_taken() {
    let answer = Serve::new(example("wat/hello.wat"))
        .start()
        .ask("hello,server\n");
    assert_eq!(String::from_utf8(answer).unwrap(), "你好");
}

#[test]
fn help_of_every_verb_names_the_defaults() {
    for verb in ["serve", "run"] {
        let help = sandsock(&[verb, "--help"], b"");
        help.is_a_success();
        for (option, default) in [
            ("--deadline", "5m"),
            // 60 s, as it is printed.
            ("--idle-timeout", "1m"),
            ("--cpu-limit", "5s"),
            ("--memory-limit", "64MiB"),
            ("--log-limit", "64KiB"),
        ] {
            let text = help.text();
            let at = text
                .find(option)
                .unwrap_or_else(|| panic!("{verb}: no {option} in {text}"));
            let end = text[at + 2..]
                .find("\n  -")
                .map_or(text.len(), |n| at + 2 + n);
            assert!(
                text[at..end].contains(default),
                "{verb}: {option} without {default}: {text}"
            );
        }
    }
    let help = sandsock(&["serve", "--help"], b"").text();
    for word in ["threads", "serial", "1024", "128", "15s", "2s", "65507"] {
        assert!(help.contains(word), "{word} in {help}");
    }
    for word in ["--compat", "python", "5 with", "8192"] {
        assert!(help.contains(word), "{word} in {help}");
    }
    for args in [&["--help"][..], &["check", "--help"], &["--version"]] {
        let finished = sandsock(args, b"");
        finished.is_a_success();
        assert!(!finished.stdout.is_empty());
    }
}

/// What can be seen on the command line is wrong: exit 2, and nothing has begun.
#[test]
fn what_is_wrong_with_the_command_line_is_exit_code_2() {
    let file = handler("echo");
    let with = |options: &str| Serve::new(&file).with(options).run_to_end();
    with("--no-such-option").is_an_error(2, &["--no-such-option"]);
    with("--concurrency many").is_an_error(2, &["--concurrency", "many"]);
    for option in [
        "--cpu-limit",
        "--deadline",
        "--idle-timeout",
        "--memory-limit",
        "--log-limit",
        "--max-in-flight",
        "--max-packet",
        "--max-requests",
    ] {
        for nought in ["0", "0s", "0KiB"] {
            with(&format!("{option} {nought}")).is_an_error(2, &[option]);
        }
    }
    with("--compat perl").is_an_error(2, &["--compat", "perl"]);
    with("--deadline 5").is_an_error(2, &["--deadline"]);
    with("--deadline soon").is_an_error(2, &["--deadline", "soon"]);
    with("--deadline=-5s").is_an_error(2, &["--deadline"]);
    with("--memory-limit lots").is_an_error(2, &["--memory-limit", "lots"]);
    with("--max-in-flight none").is_an_error(2, &["--max-in-flight"]);
    with("--env NAME").is_an_error(2, &["--env"]);
    with("--dir nowhere").is_an_error(2, &["--dir"]);
    sandsock(&["serve"], b"").is_an_error(2, &[]);
    sandsock(&["no-such-verb"], b"").is_an_error(2, &["no-such-verb"]);
}

#[test]
fn an_address_that_does_not_parse_is_exit_code_2() {
    for address in [
        "9999",
        "127.0.0.1:9999",
        "http://127.0.0.1:9999",
        "tcp://127.0.0.1",
        "tcp://:9999",
        "tcp://127.0.0.1:99999",
        "tcp://127.0.0.1:port",
        "tcp://::1:9999",
        "tcp://[::1:9999",
        "tcp://[::1]",
        "udp://",
        "unix://",
        "unixgram://",
        "tcp://127.0.0.1:9999/path",
    ] {
        Serve::new(handler("echo"))
            .at(address)
            .run_to_end()
            .is_an_error(2, &[address]);
    }
}

#[test]
fn a_path_too_long_for_a_unix_socket_is_an_error() {
    let address = format!("unix:///tmp/{}", "x".repeat(200));
    let finished = Serve::new(handler("echo")).at(&address).run_to_end();
    assert!([1, 2].contains(&finished.code), "{finished:?}");
    finished.is_an_error(finished.code, &["xxx"]);
}

#[test]
fn a_name_that_does_not_resolve_is_an_error() {
    let address = "tcp://no-such-host.invalid:9999";
    Serve::new(handler("echo"))
        .at(address)
        .run_to_end()
        .is_an_error(1, &["no-such-host.invalid"]);
}

#[test]
fn a_handler_that_is_not_there_or_not_a_file_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing.wasm");
    Serve::new(&missing)
        .run_to_end()
        .is_an_error(1, &["missing.wasm"]);
    Serve::new(dir.path())
        .run_to_end()
        .is_an_error(1, &[dir.path().to_str().unwrap()]);
    sandsock(&["run".as_ref(), missing.as_os_str()], b"").is_an_error(1, &["missing.wasm"]);
}

#[test]
fn a_folder_that_is_not_there_is_an_error() {
    let finished = Serve::new(guest("probe"))
        .with("--dir /no/such/folder::/data")
        .run_to_end();
    finished.is_an_error(1, &["/no/such/folder"]);
    let file = example("wat/hello.wat");
    Serve::new(guest("probe"))
        .arg("--dir")
        .arg(format!("{}::/data", file.display()))
        .run_to_end()
        .is_an_error(1, &["hello.wat"]);
}

#[test]
fn nothing_is_half_started_when_the_handler_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let not_wasm = dir.path().join("handler.wasm");
    fs::write(&not_wasm, "not Wasm").unwrap();
    let address = format!("unix://{}", path.display());
    Serve::new(&not_wasm)
        .at(address)
        .run_to_end()
        .is_an_error(1, &["handler.wasm"]);
    assert!(!path.exists(), "it left its socket behind");
}

/// A name cannot end the line of an error, begin another one, or hide in it.
#[test]
fn an_error_is_one_line_whatever_is_named_in_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let name = "missing\nerror: forged\u{1b}[31m\u{202e}\u{2060}\u{e0041}.wasm";
    let missing = dir.path().join(name).to_string_lossy().into_owned();
    let broken = missing.replace("missing", "broken");
    fs::write(&broken, "(modul").expect("a file");
    let handler = handler("echo").to_string_lossy().into_owned();
    let dir_grant = format!("{missing}::/data");
    let address = format!("tcp://{}:1", name.replace([':', '[', ']'], ""));
    for (code, args) in [
        (1, vec!["run", &missing]),
        (1, vec!["run", &broken]),
        (1, vec!["check", &missing]),
        (1, vec!["check", &broken]),
        (1, vec!["replay", &missing]),
        (1, vec!["test", &missing, &handler]),
        (1, vec!["serve", "tcp://127.0.0.1:0", &missing]),
        (1, vec!["serve", &address, &handler]),
        (1, vec!["run", "--dir", &dir_grant, &handler]),
        (1, vec!["run", "--cache", &broken, &handler]),
        (2, vec!["serve", name, &handler]),
        (2, vec!["run", "--env", name, &handler]),
        (2, vec!["run", &format!("--deadline={name}"), &handler]),
        (2, vec![name]),
    ] {
        let finished = sandsock(&args, b"");
        let said = &finished.stderr;
        assert_eq!(finished.code, code, "{args:?}: {said}");
        let errors = said.lines().filter(|line| line.starts_with("error: "));
        assert_eq!(errors.count(), 1, "{args:?}: {said}");
        let hidden = ['\u{1b}', '\u{202e}', '\u{2060}', '\u{e0041}'];
        assert!(!said.contains(hidden), "{args:?}: {said:?}");
        assert!(said.contains("\\nerror"), "{args:?}: {said}");
    }
}
