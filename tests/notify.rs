//! What a service manager is told (sd_notify(3)), on a socket of its own.

use crate::harness::{
    CONCURRENCIES, Client, PATIENCE, Serve, Transport, handler, is_request, signal,
};
use std::fs;
use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use tempfile::TempDir;

/// The manager's end.
struct Manager {
    socket: UnixDatagram,
    /// As `NOTIFY_SOCKET` has it.
    name: String,
    _dir: TempDir,
}

impl Manager {
    fn with_a_path() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        Manager::new(socket, path.to_str().unwrap().to_owned(), dir)
    }

    fn with_an_abstract_name() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // As unique as the folder.
        let name = dir.path().to_str().unwrap().to_owned();
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        Manager::new(socket, format!("@{name}"), dir)
    }

    fn new(socket: UnixDatagram, name: String, dir: TempDir) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Manager {
            socket,
            name,
            _dir: dir,
        }
    }

    fn serve(&self, handler: impl AsRef<Path>, concurrency: &str) -> Serve {
        Serve::new(handler)
            .environment("NOTIFY_SOCKET", &self.name)
            .with("--concurrency")
            .arg(concurrency)
    }

    /// The lines of the next message; waits for it.
    fn is_told(&self) -> Vec<String> {
        let mut message = [0; 4096];
        let length = self.socket.recv(&mut message).expect("a message");
        let text = String::from_utf8(message[..length].to_vec()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[track_caller]
    fn is_told_nothing(&self) {
        self.socket.set_nonblocking(true).unwrap();
        let error = self.socket.recv(&mut [0; 4096]).expect_err("no message");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        self.socket.set_nonblocking(false).unwrap();
    }
}

#[test]
fn a_manager_is_told_when_all_listeners_accept_and_when_the_service_ends() {
    for concurrency in CONCURRENCIES {
        for manager in [Manager::with_a_path(), Manager::with_an_abstract_name()] {
            let mut server = manager
                .serve(handler("echo"), concurrency)
                .on(Transport::Unix)
                .start_unheard();
            assert_eq!(manager.is_told(), ["READY=1"], "{concurrency}");
            // Not only soon: at that moment.
            let path = server.dir().join("listener");
            let client = Client::try_connect(&format!("unix://{}", path.display()));
            assert_eq!(client.expect("it accepts").ask("x"), b"x");
            server.process().signal(signal::TERM);
            assert_eq!(manager.is_told(), ["STOPPING=1"]);
            assert_eq!(server.wait().code(), Some(0));
            manager.is_told_nothing();
        }
    }
}

#[test]
fn a_service_that_ends_by_itself_says_so() {
    for concurrency in CONCURRENCIES {
        let manager = Manager::with_a_path();
        let mut server = manager
            .serve(handler("echo"), concurrency)
            .with("--once")
            .start();
        assert_eq!(manager.is_told(), ["READY=1"]);
        manager.is_told_nothing();
        assert_eq!(server.ask("x"), b"x");
        assert_eq!(manager.is_told(), ["STOPPING=1"]);
        assert_eq!(server.wait().code(), Some(0));
    }
}

#[test]
fn a_start_that_fails_is_never_ready() {
    for concurrency in CONCURRENCIES {
        let manager = Manager::with_a_path();
        let finished = manager.serve("no-such.wasm", concurrency).run_to_end();
        finished.is_an_error(1, &["no-such"]);
        manager.is_told_nothing();
    }
}

/// `Type=notify-reload`: the time says which of several reloads it is.
#[test]
fn a_reload_is_told_when_it_begins_and_when_it_is_over_well_or_not() {
    for concurrency in CONCURRENCIES {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("handler.wasm");
        fs::copy(handler("echo"), &file).unwrap();
        let manager = Manager::with_a_path();
        let server = manager.serve(&file, concurrency).start();
        assert_eq!(manager.is_told(), ["READY=1"]);
        for (loads, event) in [(true, "loaded"), (false, "reload-failed")] {
            if !loads {
                fs::write(&file, "not Wasm").unwrap();
            }
            server.process().signal(signal::HUP);
            let begins = manager.is_told();
            assert_eq!(begins[0], "RELOADING=1", "{begins:?}");
            let time = begins[1].strip_prefix("MONOTONIC_USEC=").unwrap();
            assert!(time.parse::<u64>().unwrap() > 0);
            assert_eq!(manager.is_told(), ["READY=1"]);
            let wanted = if loads { 2 } else { 1 };
            server.log().wait_for(wanted, |e| e["event"] == event);
            assert_eq!(server.ask("served"), b"served");
        }
    }
}

#[test]
fn a_manager_that_is_not_there_is_no_reason_not_to_serve() {
    let server = Serve::new(handler("echo"))
        .environment("NOTIFY_SOCKET", "/no/such/socket")
        .start();
    assert_eq!(server.ask("x"), b"x");
    server.log().wait_for(1, is_request);
}
