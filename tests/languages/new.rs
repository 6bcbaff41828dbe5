//! `sandsock new`, as a new user tries it: from an empty folder, by the commands of the project's README, to an
//! answer over TCP.

use super::path_with_compilers;
use crate::harness::{Serve, cache_home, program, sandsock};
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The programs of each language, beside the machine's own.
const LANGUAGES: [(&str, &str); 8] = [
    ("rust", "cargo"),
    ("c", "zig"),
    ("zig", "zig"),
    ("go", "go"),
    ("assemblyscript", "npm"),
    ("python", "componentize-py"),
    ("javascript", "npm"),
    ("typescript", "npm"),
];

fn from_an_empty_folder_to_an_answer(language: &str) {
    let (_, compiler) = LANGUAGES
        .iter()
        .find(|(name, _)| *name == language)
        .expect("it");
    if !super::is_there(compiler) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let project = dir.path().join("my-hello");
    let made = sandsock(&["new", project.to_str().unwrap(), "--lang", language], b"");
    made.is_a_success();
    let readme = fs::read_to_string(project.join("README.md")).unwrap();
    let commands: Vec<_> = readme
        .lines()
        .skip_while(|line| *line != "```sh")
        .skip(1)
        .take_while(|line| *line != "```")
        .collect();
    let shown = made.text();
    for command in &commands {
        assert!(
            shown.contains(&format!("    {command}\n")),
            "{command}: {shown}"
        );
    }
    let (serve, before) = commands.split_last().expect("commands");
    for command in before {
        runs(command, &project);
    }
    let file = serve.split_whitespace().last().expect("a file");
    let server = Serve::new(project.join(file))
        .with("--compile-timeout 10m")
        .start();
    let answer = server.ask("hello,server\n");
    assert_eq!(String::from_utf8_lossy(&answer), "你好", "{language}");
    server
        .log()
        .wait_for_line(|line| line.contains("hello,server"));
    assert_eq!(server.request()["outcome"], "ok");
    // What it makes is nothing that belongs into a repository.
    let git = |arguments: &[&str]| {
        let git = Command::new("git")
            .args(arguments)
            .current_dir(&project)
            .output();
        String::from_utf8(git.expect("git").stdout).unwrap()
    };
    git(&["init", "-q"]);
    let untracked = git(&["status", "--porcelain", "--untracked-files=all"]);
    for made in [
        ".wasm",
        "node_modules",
        "/target/",
        "/build/",
        ".zig-cache",
        "__pycache__",
    ] {
        assert!(!untracked.contains(made), "{language}: {untracked}");
    }
}

/// As a person types it, in the project's folder; `sandsock` is on the PATH as it is on theirs.
fn runs(command: &str, project: &Path) {
    let built = program();
    let own = built.parent().expect("a folder");
    let mut path = OsString::from(own);
    path.push(":");
    path.push(path_with_compilers());
    // Other tests may keep the machine busy, and the process that compiles gives way to them.
    let command = command.replace("sandsock check ", "sandsock check --compile-timeout 10m ");
    let output = Command::new("sh")
        .args(["-euc", &command])
        .current_dir(project)
        .env("PATH", path)
        .env("XDG_CACHE_HOME", cache_home())
        .env("npm_config_prefer_offline", "true")
        .env("npm_config_audit", "false")
        .env("npm_config_fund", "false")
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("CARGO_MANIFEST_DIR")
        .output()
        .expect("a shell");
    assert!(
        output.status.success(),
        "`{command}` in {}: {}\n{}{}",
        project.display(),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

macro_rules! languages {
    ($($language:ident)*) => { $(
        #[test]
        fn $language() {
            from_an_empty_folder_to_an_answer(stringify!($language));
        }
    )* };
}

languages! { rust c zig go assemblyscript python javascript typescript }

#[test]
fn a_folder_that_is_not_empty_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("precious");
    fs::write(&file, "all that I have").unwrap();
    let folder = dir.path().to_str().unwrap();
    let finished = sandsock(&["new", folder, "--lang", "c", "--name", "x"], b"");
    finished.is_an_error(1, &[folder, "not empty", "another"]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let finished = sandsock(&["new", file.to_str().unwrap(), "--lang", "c"], b"");
    finished.is_an_error(1, &["precious"]);
}

#[test]
fn a_language_that_there_is_not_is_an_error_that_names_those_that_there_are() {
    let dir = tempfile::tempdir().unwrap();
    let project = dir.path().join("x");
    let finished = sandsock(&["new", project.to_str().unwrap(), "--lang", "cobol"], b"");
    let mut words = vec!["cobol"];
    words.extend(LANGUAGES.iter().map(|(name, _)| *name));
    finished.is_an_error(2, &words);
    let finished = sandsock(&["new", project.to_str().unwrap()], b"");
    finished.is_an_error(2, &["--lang"]);
    assert!(!project.exists());
}

#[test]
fn a_name_that_tools_would_not_take_is_an_error_that_says_what_they_take() {
    let dir = tempfile::tempdir().unwrap();
    let project = dir.path().join("My Project");
    let finished = sandsock(&["new", project.to_str().unwrap(), "--lang", "go"], b"");
    finished.is_an_error(2, &["My Project", "--name"]);
    assert!(!project.exists());
}

/// As an SDK of a later version would make them.
#[test]
fn a_handler_that_was_built_for_a_newer_contract_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let component = |version: &str| {
        format!(
            r#"(component
              (import "socketserver:handler/rfile@{version}" (instance
                (export "read-until" (func (param "len" u32) (result (list u8))))))
              (core module $m (memory (export "memory") 1)
                (func (export "handle") (result i32) i32.const 0)
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 0))
              (core instance $i (instantiate $m))
              (func $h (result (result (error string))) (canon lift (core func $i "handle")
                (memory (core memory $i "memory")) (realloc (core func $i "cabi_realloc"))))
              (export "handle" (func $h)))"#
        )
    };
    let module = r#"(module (import "rfile" "read_until" (func (param i32 i32) (result i32)))
        (memory (export "memory") 1) (func (export "handle")))"#;
    for (source, name) in [
        (component("2.0.0"), "rfile@2.0.0"),
        (component("1.1.0"), "rfile@1.1.0"),
        (module.to_owned(), "read_until"),
    ] {
        let file = dir.path().join("newer.wat");
        fs::write(&file, source).unwrap();
        let finished = sandsock(&["check", file.to_str().unwrap()], b"");
        finished.is_a_refusal(&[name, "contract", "newer sandsock"]);
    }
}

#[test]
fn a_compiler_that_is_missing_is_said_with_where_to_get_it() {
    let dir = tempfile::tempdir().unwrap();
    let project = dir.path().join("hello");
    let output = Command::new(program())
        .args(["new", project.to_str().unwrap(), "--lang", "zig"])
        .env("PATH", dir.path())
        .output()
        .unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("`zig` is not on the PATH"), "{said}");
    assert!(said.contains("README.md"), "{said}");
}
