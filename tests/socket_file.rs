//! The names of Unix sockets: files and who may use them, files of servers that have gone, abstract
//! names; and who the peers are.

use crate::harness::{
    CONCURRENCIES, Client, Op, Process, Serve, Server, Transport, faults, guest, handler, script,
    signal, wat,
};
use nix::unistd::{Gid, Group, Uid, User, getegid, geteuid};
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::PATIENCE;

/// The schemes of both kinds.
const KINDS: [&str; 2] = ["unix", "unixgram"];

fn at(kind: &str, path: &Path) -> Serve {
    Serve::new(handler("echo")).at(format!("{kind}://{}", path.display()))
}

/// Under a mask of the test's own.
fn masked(serve: Serve, umask: &str) -> Serve {
    let script = format!(r#"umask {umask}; exec "$@""#);
    serve.through(&["sh", "-c", &script, "sh"])
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

#[test]
fn the_file_has_the_mode_that_was_asked_for_whatever_the_umask() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    for kind in KINDS {
        for umask in ["000", "022", "077"] {
            for wanted in [0o600, 0o660, 0o666, 0o777, 0o000] {
                let server = masked(at(kind, &path), umask)
                    .with(&format!("--socket-mode {wanted:o}"))
                    .start();
                assert_eq!(mode(&path), wanted, "{kind}, umask {umask}");
                drop(server);
            }
            let server = masked(at(kind, &path), umask).start();
            let left = 0o777 & !u32::from_str_radix(umask, 8).unwrap();
            assert_eq!(mode(&path), left, "what the umask leaves");
            drop(server);
        }
    }
}

/// A client that comes between bind and chmod must not find the door open.
#[test]
fn the_file_never_has_a_wider_mode() {
    let Some(slow) = faults(&["bind:delay_exit=300000"]) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    for kind in KINDS {
        let path = dir.path().join(kind);
        let mut wrapper = ["sh", "-c", r#"umask 000; exec "$@""#, "sh"]
            .map(String::from)
            .to_vec();
        wrapper.extend(slow.clone());
        let server = at(kind, &path)
            .with("--socket-mode 600")
            .through(&wrapper)
            .start_unheard();
        let until = Instant::now() + PATIENCE;
        while !path.exists() {
            assert!(
                Instant::now() < until,
                "no file: {:?}",
                server.log().lines()
            );
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(mode(&path), 0o600);
        assert_eq!(server.listening(1).len(), 1);
    }
}

#[test]
fn the_file_has_the_owner_that_was_asked_for_by_name_or_number() {
    if !geteuid().is_root() {
        eprintln!("SKIPPED: only root can give a file away");
        return;
    }
    let user = User::from_uid(Uid::from_raw(1)).unwrap().map(|u| u.name);
    let group = Group::from_gid(Gid::from_raw(2)).unwrap().map(|g| g.name);
    let (user, group) = (
        user.as_deref().unwrap_or("1"),
        group.as_deref().unwrap_or("2"),
    );
    let (me, mine) = (geteuid().as_raw(), getegid().as_raw());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    for (asked, owner) in [
        (user.to_owned(), (1, mine)),
        (format!("{user}:{group}"), (1, 2)),
        (format!(":{group}"), (me, 2)),
        ("4711".to_owned(), (4711, mine)),
        ("4711:4712".to_owned(), (4711, 4712)),
    ] {
        for kind in KINDS {
            let server = at(kind, &path)
                .with("--socket-mode 660 --socket-owner")
                .arg(&asked)
                .start();
            let found = fs::metadata(&path).unwrap();
            assert_eq!((found.uid(), found.gid()), owner, "{asked}");
            assert_eq!(mode(&path), 0o660);
            drop(server);
        }
    }
}

#[test]
fn an_owner_that_is_not_there_is_an_error_and_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    for (owner, words) in [
        ("no-such-user", ["user", "no-such-user"]),
        (":no-such-group", ["group", "no-such-group"]),
    ] {
        at("unix", &path)
            .with("--socket-owner")
            .arg(owner)
            .run_to_end()
            .is_an_error(1, &words);
        assert!(!path.exists());
    }
}

#[test]
fn what_is_wrong_with_mode_owner_and_path_is_seen_on_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    for wrong in ["888", "1777", "rw", "", "-1", "0o660"] {
        at("unix", &path)
            .arg(format!("--socket-mode={wrong}"))
            .run_to_end()
            .is_an_error(2, &["--socket-mode"]);
    }
    for wrong in ["", ":", "root:", "a:b:c"] {
        at("unix", &path)
            .arg(format!("--socket-owner={wrong}"))
            .run_to_end()
            .is_an_error(2, &["--socket-owner"]);
    }
    for address in [
        "tcp://127.0.0.1:0",
        "udp://127.0.0.1:0",
        "unix://@name",
        "fd://0",
    ] {
        for option in ["--socket-mode 600", "--socket-owner root"] {
            Serve::new(handler("echo"))
                .at(address)
                .with(option)
                .run_to_end()
                .is_an_error(2, &["--socket-mode", "--socket-owner"]);
        }
    }
    assert!(!path.exists());
}

#[test]
fn a_path_may_have_107_bytes_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let room = 107 - dir.path().as_os_str().len() - 1;
    for kind in KINDS {
        let longest = dir.path().join("x".repeat(room));
        assert_eq!(at(kind, &longest).start().ask("long"), b"long");
        at(kind, &dir.path().join("x".repeat(room + 1)))
            .run_to_end()
            .is_an_error(2, &["107 bytes"]);
    }
}

#[test]
fn the_file_goes_with_its_server() {
    for transport in [Transport::Unix, Transport::Unixgram] {
        for concurrency in CONCURRENCIES {
            let serve = |options| {
                let serve = Serve::new(handler("echo")).on(transport).with(options);
                serve.with("--concurrency").arg(concurrency).start()
            };
            let mut by_signal = serve("");
            assert!(is_socket(&by_signal.dir().join("listener")));
            assert_eq!(by_signal.terminate().code(), Some(0));
            let mut by_itself = serve("--once");
            assert_eq!(by_itself.ask("x"), b"x");
            assert_eq!(by_itself.wait().code(), Some(0));
            for server in [by_signal, by_itself] {
                assert!(!server.dir().join("listener").exists(), "{concurrency}");
            }
        }
    }
}

#[test]
fn a_start_that_fails_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    for kind in KINDS {
        for concurrency in CONCURRENCIES {
            let path = dir.path().join("s");
            Serve::new("no-such.wasm")
                .at(format!("{kind}://{}", path.display()))
                .with("--concurrency")
                .arg(concurrency)
                .run_to_end()
                .is_an_error(1, &["no-such"]);
            assert!(!path.exists(), "{kind} {concurrency}");
        }
    }
}

/// A killed server leaves its file.
#[test]
fn a_stale_file_is_replaced() {
    for transport in [Transport::Unix, Transport::Unixgram] {
        for concurrency in CONCURRENCIES {
            let mut killed = Serve::new(handler("echo"))
                .on(transport)
                .with("--concurrency")
                .arg(concurrency)
                .start();
            let all: Vec<_> = [vec![killed.process()], killed.loops()].concat();
            killed.process().signal(signal::KILL);
            killed.wait();
            have_ended(&all);
            let path = killed.dir().join("listener");
            assert!(is_socket(&path), "{concurrency}");
            // Whatever kind it was.
            for kind in KINDS {
                let mut next = at(kind, &path)
                    .with("--concurrency")
                    .arg(concurrency)
                    .start();
                assert_eq!(next.ask("next"), b"next");
                next.process().signal(signal::KILL);
                let all: Vec<_> = [vec![next.process()], next.loops()].concat();
                next.wait();
                have_ended(&all);
            }
        }
    }
}

fn have_ended(processes: &[Process]) {
    let until = Instant::now() + PATIENCE;
    while processes.iter().any(|process| process.is_running()) {
        assert!(Instant::now() < until, "{processes:?}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_living_socket_is_an_error_and_is_left_alone() {
    for transport in [Transport::Unix, Transport::Unixgram] {
        for concurrency in CONCURRENCIES {
            let living = Serve::new(handler("echo"))
                .on(transport)
                .with("--concurrency")
                .arg(concurrency)
                .start();
            let path = living.dir().join("listener");
            // Of either kind: nobody's place is taken by a server of another kind.
            for kind in KINDS {
                at(kind, &path)
                    .run_to_end()
                    .is_an_error(1, &[path.to_str().unwrap(), "another server"]);
            }
            assert_eq!(living.ask("still there"), b"still there");
        }
    }
}

#[test]
fn a_living_socket_whose_queue_is_full_is_left_alone_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("busy");
    let address = SockAddr::unix(&path).unwrap();
    let busy = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    busy.bind(&address).unwrap();
    busy.listen(0).unwrap();
    let mut waiting = Vec::new();
    loop {
        let client = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        client.set_nonblocking(true).unwrap();
        match client.connect(&address) {
            Ok(()) => waiting.push(client),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    at("unix", &path)
        .run_to_end()
        .is_an_error(1, &["another server"]);
    assert!(is_socket(&path));
}

#[test]
fn what_is_no_socket_is_an_error_and_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let at_name = |name: &str| dir.path().join(name);
    fs::write(at_name("file"), "data").unwrap();
    fs::create_dir(at_name("folder")).unwrap();
    drop(UnixListener::bind(at_name("stale")).unwrap());
    symlink("file", at_name("link-to-a-file")).unwrap();
    symlink("stale", at_name("link-to-a-stale-socket")).unwrap();
    symlink("nothing", at_name("link-to-nothing")).unwrap();
    for kind in KINDS {
        for name in [
            "file",
            "folder",
            "link-to-a-file",
            "link-to-a-stale-socket",
            "link-to-nothing",
        ] {
            at(kind, &at_name(name))
                .run_to_end()
                .is_an_error(1, &[name, "not a socket"]);
        }
        let nowhere = at_name("nowhere/s");
        at(kind, &nowhere)
            .run_to_end()
            .is_an_error(1, &[nowhere.to_str().unwrap()]);
    }
    assert_eq!(fs::read_to_string(at_name("file")).unwrap(), "data");
    assert!(is_socket(&at_name("stale")) && !at_name("nothing").exists());
    assert!(fs::symlink_metadata(at_name("link-to-nothing")).is_ok());
}

#[test]
fn a_file_that_another_server_has_put_there_is_not_removed() {
    for transport in [Transport::Unix, Transport::Unixgram] {
        for concurrency in CONCURRENCIES {
            let mut first = Serve::new(handler("echo"))
                .on(transport)
                .with("--concurrency")
                .arg(concurrency)
                .start();
            let path = first.dir().join("listener");
            fs::remove_file(&path).unwrap();
            let second = Serve::new(handler("echo")).at(first.address()).start();
            assert_eq!(first.terminate().code(), Some(0));
            assert_eq!(second.ask("second"), b"second", "{concurrency}");
        }
    }
}

#[test]
fn an_abstract_name_is_taken_once_and_free_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    for kind in KINDS {
        for concurrency in CONCURRENCIES {
            // As unique as the folder.
            let address = format!("{kind}://@{}", dir.path().display());
            let serve = || {
                let serve = Serve::new(wat("script")).at(&address);
                serve.with("--concurrency").arg(concurrency)
            };
            for _ in 0..2 {
                let mut server = serve().start();
                assert_eq!(server.address(), address);
                let orders = script(&[Op::ServerAddress(255)]);
                let shown = ask_abstract(&address, &orders);
                assert!(
                    shown.ends_with(&dir.path().display().to_string()),
                    "{shown}"
                );
                serve()
                    .run_to_end()
                    .is_an_error(1, &[&address, "another server"]);
                let all: Vec<_> = server.loops();
                assert_eq!(server.terminate().code(), Some(0));
                have_ended(&all);
            }
        }
    }
}

/// The answer of a server with an abstract name.
fn ask_abstract(address: &str, bytes: &[u8]) -> String {
    let (kind, name) = address.split_once("://@").unwrap();
    let address = SockAddr::unix(format!("\0{name}")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let client = if kind == "unix" {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.connect(&address).unwrap();
        Client::Unix(socket.into())
    } else {
        let own = UnixDatagram::bind(dir.path().join("client")).unwrap();
        Socket::from(own.try_clone().unwrap())
            .connect(&address)
            .unwrap();
        Client::Unixgram(own, dir)
    };
    client.set_patience(PATIENCE);
    String::from_utf8_lossy(&client.ask(bytes)).into_owned()
}

fn says(server: &Server, order: &str) -> String {
    String::from_utf8(server.ask(format!("{order}\n"))).unwrap()
}

#[test]
fn who_the_peer_of_a_stream_is_stands_in_the_log_and_in_a_programs_environment() {
    for concurrency in CONCURRENCIES {
        let server = Serve::new(guest("probe"))
            .on(Transport::Unix)
            .with("--concurrency")
            .arg(concurrency)
            .start();
        let said = says(&server, "environment");
        let event = server.request();
        for (variable, field, expected) in [
            ("UNIXREMOTEPID", "peer_pid", std::process::id()),
            ("UNIXREMOTEEUID", "peer_uid", geteuid().as_raw()),
            ("UNIXREMOTEEGID", "peer_gid", getegid().as_raw()),
        ] {
            let line = format!("{variable}={expected}");
            assert!(said.lines().any(|l| l == line), "{concurrency}: {said}");
            assert_eq!(event[field], expected, "{event}");
        }
    }
    // Of others the system does not know it.
    for transport in [Transport::Tcp, Transport::Unixgram] {
        let server = Serve::new(guest("probe")).on(transport).start();
        assert!(!says(&server, "environment").contains("UNIXREMOTEPID"));
        assert!(server.request()["peer_pid"].is_null());
    }
}

/// unshare(1): the server has processes of its own to count, and its client is none of them.
#[test]
fn a_peer_out_of_sight_is_still_a_user_and_a_group() {
    let unshare = ["unshare", "--pid", "--fork", "--kill-child"];
    let mut trial = Command::new(unshare[0]);
    if !trial
        .args(&unshare[1..])
        .arg("true")
        .output()
        .is_ok_and(|output| output.status.success())
    {
        eprintln!("SKIPPED: unshare does not work here, so every peer has a number");
        return;
    }
    let server = Serve::new(guest("probe"))
        .on(Transport::Unix)
        .through(&unshare)
        .start();
    let said = says(&server, "environment");
    assert!(said.contains("UNIXREMOTEPID=0\n"), "{said}");
    let event = server.request();
    assert_eq!(event["peer_pid"], 0, "{event}");
    assert_eq!(event["peer_uid"], geteuid().as_raw(), "{event}");
}
