//! What a handler was granted lies apart from what the server itself lives from: each overlap is one clear error.

use crate::harness::{Serve, handler};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// Folders of a service, each of its own, and a handler.
fn service() -> TempDir {
    let dir = TempDir::new().expect("a folder");
    for folder in ["app", "cache", "records", "dumps", "sockets", "data/public"] {
        let folder = dir.path().join(folder);
        fs::create_dir_all(&folder).expect("a folder");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("its mode");
    }
    fs::copy(handler("echo"), dir.path().join("app/echo.wasm")).expect("a handler");
    symlink(dir.path(), dir.path().join("data/link")).expect("a link");
    dir
}

fn serve(dir: &Path, grants: &[&str]) -> Serve {
    let at = |path: &str| dir.join(path).display().to_string();
    let mut serve = Serve::new(at("app/echo.wasm")).at(format!("unix://{}", at("sockets/s")));
    for (option, folder) in [
        ("--cache", "cache"),
        ("--record", "records"),
        ("--coredump", "dumps"),
    ] {
        serve = serve.arg(option).arg(at(folder));
    }
    for (number, grant) in grants.iter().enumerate() {
        let (folder, mode) = grant.split_once(':').unwrap_or((grant, "ro"));
        serve = serve
            .arg("--dir")
            .arg(format!("{}::/{number}:{mode}", at(folder)));
    }
    serve
}

#[test]
fn a_grant_that_overlaps_with_what_the_server_lives_from_is_an_error() {
    let dir = service();
    for (grants, said) in [
        (&["cache"][..], "--cache"),
        (&["cache:rw"], "--cache"),
        (&["records"], "--record"),
        (&["dumps"], "--coredump"),
        (&["app:rw"], "the handler's file"),
        (&["sockets:rw"], "the socket"),
        (&["data/link"], "which no handler may reach"),
        (&["data/link/:rw"], "which no handler may reach"),
        (&["data:rw", "data/public"], "granted with `:rw`"),
        (&["data/public", "data/public:rw"], "granted with `:rw`"),
    ] {
        let ended = serve(dir.path(), grants).run_to_end();
        assert_ne!(ended.code, 0, "{grants:?}");
        let stderr = &ended.stderr;
        assert!(stderr.contains(said), "{grants:?}: {stderr}");
        let errors = stderr.lines().filter(|line| line.contains("error:"));
        assert_eq!(errors.count(), 1, "{grants:?}: {stderr}");
    }
}

#[test]
fn grants_that_lie_apart_are_served() {
    let dir = service();
    let server = serve(dir.path(), &["data", "data/public:rw", "app", "sockets"]).start();
    assert_eq!(server.ask("hello"), b"hello");
}

#[test]
fn what_is_mounted_in_a_granted_folder_is_granted_too() {
    let dir = service();
    let path = |path: &str| dir.path().join(path).display().to_string();
    let mounted = |from: &str, at: &str| {
        let script = r#"mount --bind "$0" "$1" && shift && exec "$@""#;
        [
            "unshare",
            "--mount",
            "sh",
            "-c",
            script,
            &path(from),
            &path(at),
        ]
        .map(String::from)
    };
    let mounts = Command::new("unshare").args(["--mount", "true"]).status();
    if !mounts.is_ok_and(|status| status.success()) {
        println!("skipped: to mount is for root");
        return;
    }
    for (from, said) in [
        ("cache", "--cache"),
        ("records", "--record"),
        ("dumps", "--coredump"),
        ("app", "the handler's file"),
        ("sockets", "the socket"),
    ] {
        let wrapper = mounted(from, "data/public");
        let ended = serve(dir.path(), &["data:rw"])
            .through(&wrapper)
            .run_to_end();
        assert_ne!(ended.code, 0, "{from}");
        assert!(ended.stderr.contains(said), "{from}: {}", ended.stderr);
    }
    let wrapper = mounted("data", "data/public");
    let server = serve(dir.path(), &["data:rw"]).through(&wrapper).start();
    drop(server);
}
