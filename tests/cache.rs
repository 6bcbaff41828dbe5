//! The cache of compiled code: private, used, and never trusted further than that.

use crate::harness::{Serve, Server, handler};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn serve(cache: impl AsRef<Path>) -> Server {
    Serve::new(handler("echo"))
        .arg("--cache")
        .arg(cache.as_ref())
        .start()
}

fn loaded(server: &Server) -> Value {
    server
        .log()
        .wait_for(1, |e| e["event"] == "loaded")
        .remove(0)
}

/// The files in it, at any depth.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            found.extend(entries(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

/// A cache with the handler in it.
fn filled() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let server = serve(&cache);
    assert_eq!(loaded(&server)["cached"], false);
    assert_eq!(server.ask("x"), b"x");
    assert!(!entries(&cache).is_empty(), "nothing was kept");
    (dir, cache)
}

/// The user's cache folder, as it is without `--cache`: in this home, with the handler in it.
fn filled_at_home() -> (TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let server = serve_at_home(home.path());
    assert_eq!(loaded(&server)["cached"], false);
    let cache = home.path().join("sandsock");
    assert!(!entries(&cache).is_empty(), "nothing was kept");
    (home, cache)
}

fn serve_at_home(home: &Path) -> Server {
    Serve::new(handler("echo"))
        .environment("XDG_CACHE_HOME", home)
        .start()
}

/// A folder that was asked for and is not safe is an error; the user's own is not used, with a warning.
#[track_caller]
fn is_not_used(spoil: impl Fn(&Path)) {
    let (_dir, cache) = filled();
    spoil(&cache);
    Serve::new(handler("echo"))
        .arg("--cache")
        .arg(&cache)
        .run_to_end()
        .is_an_error(1, &[cache.to_str().unwrap()]);

    let (home, cache) = filled_at_home();
    spoil(&cache);
    let server = serve_at_home(home.path());
    warns(&server, &[cache.to_str().unwrap()]);
    assert_eq!(loaded(&server)["cached"], false);
    assert_eq!(server.ask("x"), b"x");
}

fn warns(server: &Server, words: &[&str]) {
    server.log().wait_for(1, |e| {
        e["level"] == "WARN" && words.iter().all(|word| e.to_string().contains(word))
    });
}

#[test]
fn the_folder_and_what_is_in_it_belong_to_the_user_alone() {
    let (_dir, cache) = filled();
    assert_eq!(
        fs::metadata(&cache).unwrap().permissions().mode() & 0o7777,
        0o700
    );
    for entry in entries(&cache) {
        assert_eq!(
            fs::metadata(&entry).unwrap().mode() & 0o077,
            0,
            "{}",
            entry.display()
        );
    }
}

#[test]
fn the_second_start_loads_what_the_first_compiled() {
    let (_dir, cache) = filled();
    let before = entries(&cache);
    let server = serve(&cache);
    assert_eq!(loaded(&server)["cached"], true);
    assert_eq!(server.ask("x"), b"x");
    assert_eq!(entries(&cache), before);
}

#[test]
fn another_handler_is_another_entry() {
    let (_dir, cache) = filled();
    let server = Serve::new(handler("upper"))
        .arg("--cache")
        .arg(&cache)
        .start();
    assert_eq!(loaded(&server)["cached"], false);
    assert_eq!(loaded(&serve(&cache))["cached"], true);
}

#[test]
fn a_folder_that_others_can_write_is_not_used() {
    for mode in [0o770, 0o707, 0o777] {
        is_not_used(|cache| {
            fs::set_permissions(cache, fs::Permissions::from_mode(mode)).unwrap();
        });
    }
}

#[test]
fn a_folder_of_somebody_else_is_not_used() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: only root can give a folder away");
        return;
    }
    is_not_used(|cache| chown(cache, Some(12_345), Some(12_345)).unwrap());
}

#[test]
fn an_entry_of_somebody_else_or_that_others_can_write_is_not_loaded() {
    let (_dir, cache) = filled();
    for entry in entries(&cache) {
        fs::set_permissions(entry, fs::Permissions::from_mode(0o666)).unwrap();
    }
    let server = serve(&cache);
    assert_eq!(loaded(&server)["cached"], false);
    assert_eq!(server.ask("x"), b"x");
}

#[test]
fn off_keeps_nothing() {
    let home = tempfile::tempdir().unwrap();
    let server = Serve::new(handler("echo"))
        .environment("XDG_CACHE_HOME", home.path())
        .with("--cache off")
        .start();
    assert_eq!(loaded(&server)["cached"], false);
    assert_eq!(server.ask("x"), b"x");
    assert!(entries(home.path()).is_empty());
}

#[test]
fn without_a_home_there_is_no_cache_and_it_serves() {
    let server = Serve::new(handler("echo"))
        .through(&["env", "-u", "HOME", "-u", "XDG_CACHE_HOME"])
        .start();
    assert_eq!(server.ask("x"), b"x");
}

/// What becomes of a whole entry.
type Damage = fn(&[u8]) -> Vec<u8>;

#[test]
fn a_damaged_entry_is_compiled_again() {
    let damages: [Damage; 5] = [
        |_| Vec::new(),
        |whole| whole[..whole.len() / 2].to_vec(),
        |whole| vec![0x5a; whole.len()],
        |whole| [whole, b"more"].concat(),
        // One bit, where the code is.
        |whole| {
            let mut bytes = whole.to_vec();
            bytes[whole.len() / 2] ^= 1;
            bytes
        },
    ];
    for (n, damage) in damages.into_iter().enumerate() {
        let (_dir, cache) = filled();
        for entry in entries(&cache) {
            let whole = fs::read(&entry).unwrap();
            fs::write(&entry, damage(&whole)).unwrap();
        }
        let server = serve(&cache);
        assert_eq!(loaded(&server)["cached"], false, "damage {n}");
        assert_eq!(server.ask("x"), b"x");
        drop(server);
        assert_eq!(
            loaded(&serve(&cache))["cached"],
            true,
            "damage {n} is not mended"
        );
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error_where_it_was_asked_for() {
    let folder = "/proc/no-such-folder";
    Serve::new(handler("echo"))
        .with("--cache")
        .arg(folder)
        .run_to_end()
        .is_an_error(1, &[folder]);
    let server = serve_at_home(Path::new("/proc/no-such-folder"));
    warns(&server, &[folder]);
    assert_eq!(server.ask("x"), b"x");
}

#[test]
fn two_that_start_at_once_share_it() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(serve(&cache).ask("x"), b"x"));
        }
    });
    assert_eq!(loaded(&serve(&cache))["cached"], true);
}
