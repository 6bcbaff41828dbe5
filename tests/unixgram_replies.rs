//! Where the reply to a Unix datagram goes: to a socket of the client's user, whatever the client's name has become.

use crate::harness::{CONCURRENCIES, NOBODY, PATIENCE, Serve, Server, handler, is_root};
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg, setsockopt, sockopt};
use nix::unistd::geteuid;
use serde_json::Value;
use std::fs::{self, Permissions, rename};
use std::io::IoSlice;
use std::os::fd::{AsRawFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A folder in which every user may have sockets, and in it the socket of a server that is yet to be started: what is
/// sent to it by then waits for it.
struct Place {
    dir: TempDir,
    socket: UnixDatagram,
}

impl Place {
    fn new() -> Self {
        let place = Place::of_somebody_who_asks_for_nothing();
        setsockopt(&place.socket, sockopt::PassCred, &true).expect("an option");
        place
    }

    fn of_somebody_who_asks_for_nothing() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).expect("ours");
        let name = dir.path().join("server");
        let socket = UnixDatagram::bind(&name).expect("a socket");
        fs::set_permissions(&name, Permissions::from_mode(0o666)).expect("ours");
        Place { dir, socket }
    }

    fn path(&self, name: &str) -> String {
        let path = self.dir.path().join(name);
        path.to_str().expect("a name").to_owned()
    }

    /// A socket of this user's that nobody else may send to.
    fn client(&self, name: &str) -> UnixDatagram {
        let client = UnixDatagram::bind(self.path(name)).expect("a socket");
        fs::set_permissions(self.path(name), Permissions::from_mode(0o600)).expect("ours");
        client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        client
    }

    fn ask(&self, client: &UnixDatagram, text: &str) {
        client
            .send_to(text.as_bytes(), self.path("server"))
            .expect("a packet");
    }

    /// Another user's client that asks and does not wait.
    fn ask_as(&self, user: &str, name: &str) {
        let mut asked = self.python(user, SEND, name);
        assert!(asked.wait().expect("python3").success());
    }

    fn python(&self, user: &str, program: &str, name: &str) -> std::process::Child {
        Command::new("python3")
            .args(["-c", program, user, &self.path(name), &self.path("server")])
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3")
    }

    fn serve(&self, concurrency: &str) -> Server {
        let fd = self.socket.try_clone().expect("a descriptor");
        Serve::new(handler("echo"))
            .at("fd://7")
            .hand_over(7, fd)
            .with("--concurrency")
            .arg(concurrency)
            .start()
    }
}

const SEND: &str = "
import os, socket, sys
user, name, server = sys.argv[1:]
if os.getuid() != int(user):
    os.setgroups([]); os.setgid(int(user)); os.setuid(int(user))
client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
client.bind(name)
client.sendto(b'mine', server)
";

const RECEIVE: &str = "
client.settimeout(60)
print(client.recv(100).decode(), end='')
";

#[track_caller]
fn has_received(client: &UnixDatagram, text: &str) {
    let mut buf = [0; 100];
    let length = client.recv(&mut buf).expect("a reply");
    assert_eq!(String::from_utf8_lossy(&buf[..length]), text);
}

/// It is the first request, and its reply has gone nowhere.
#[track_caller]
fn is_not_replied_to(server: &Server, victim: &UnixDatagram, why: &str) {
    let event = server.request();
    assert_says(&event, why);
    victim.set_nonblocking(true).expect("an option");
    let received = victim.recv(&mut [0; 100]);
    assert!(received.is_err(), "a reply of {received:?} bytes: {event}");
}

#[track_caller]
fn assert_says(event: &Value, why: &str) {
    let detail = event["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("could not be sent"), "{event}");
    assert!(detail.contains(why), "{event}");
}

const SOMETHING_ELSE: &str = "leads to something else";

#[test]
fn a_name_that_has_become_a_link_is_not_followed() {
    for concurrency in CONCURRENCIES {
        let place = Place::new();
        let victim = place.client("victim");
        let client = place.client("client");
        place.ask(&client, "for the victim");
        fs::remove_file(place.path("client")).expect("ours");
        symlink(place.path("victim"), place.path("client")).expect("a link");
        let server = place.serve(concurrency);
        is_not_replied_to(&server, &victim, SOMETHING_ELSE);
        // Whoever is what it was is served.
        let other = place.client("other");
        place.ask(&other, "hello");
        has_received(&other, "hello");
    }
}

#[test]
fn a_name_that_has_become_another_users_socket_is_not_replied_to() {
    if !is_root() {
        return;
    }
    for concurrency in CONCURRENCIES {
        let place = Place::new();
        for folder in ["mine", "victims"] {
            fs::create_dir(place.path(folder)).expect("a folder");
            let open = Permissions::from_mode(0o777);
            fs::set_permissions(place.path(folder), open).expect("ours");
        }
        let victim = place.client("victims/socket");
        place.ask_as("12345", "mine/socket");
        rename(place.path("mine"), place.path("moved")).expect("ours");
        symlink(place.path("victims"), place.path("mine")).expect("a link");
        let server = place.serve(concurrency);
        is_not_replied_to(&server, &victim, SOMETHING_ELSE);
    }
}

#[test]
fn a_name_that_has_become_a_file_is_not_replied_to() {
    let place = Place::new();
    let client = place.client("client");
    place.ask(&client, "hello");
    fs::remove_file(place.path("client")).expect("ours");
    fs::write(place.path("client"), "mine").expect("a file");
    let server = place.serve("threads");
    is_not_replied_to(&server, &client, SOMETHING_ELSE);
    assert_eq!(fs::read(place.path("client")).expect("ours"), b"mine");
}

#[test]
fn a_server_without_a_descriptor_left_replies() {
    for concurrency in CONCURRENCIES {
        let place = Place::new();
        let server = place.serve(concurrency);
        let client = place.client("client");
        let ask = |text: &str| {
            place.ask(&client, text);
            has_received(&client, text);
        };
        ask("before");
        let acceptor = server.acceptor();
        acceptor.limit_descriptors(acceptor.lowest_free_descriptor());
        // What is used once is there again.
        (0..10).for_each(|n| ask(&format!("number {n}")));
        acceptor.limit_descriptors(acceptor.descriptor_limit().1);
        ask("after");
    }
}

#[test]
fn a_client_of_any_user_is_replied_to() {
    if !is_root() {
        return;
    }
    for concurrency in CONCURRENCIES {
        let place = Place::new();
        let _server = place.serve(concurrency);
        for user in ["0", "12345", NOBODY] {
            let program = format!("{SEND}{RECEIVE}");
            let client = place.python(user, &program, &format!("client-{user}"));
            let output = client.wait_with_output().expect("python3");
            assert_eq!(String::from_utf8_lossy(&output.stdout), "mine", "{user}");
        }
    }
}

#[test]
fn a_server_without_rights_replies_to_its_users_clients() {
    if !is_root() {
        return;
    }
    for concurrency in CONCURRENCIES {
        let place = Place::new();
        let address = format!("unixgram://{}", place.path("own"));
        let echo = place.path("echo.wasm");
        fs::copy(handler("echo"), &echo).expect("a handler");
        let _server = Serve::new(echo)
            .at(address)
            .with("--socket-mode 666 --user")
            .arg(NOBODY)
            .with("--concurrency")
            .arg(concurrency)
            .start();
        let program = format!("{SEND}{RECEIVE}").replace("server)", "server[:-6] + 'own')");
        let client = place.python(NOBODY, &program, "client");
        let output = client.wait_with_output().expect("python3");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "mine");
    }
}

#[test]
fn a_client_with_an_abstract_name_is_replied_to() {
    for concurrency in CONCURRENCIES {
        let place = Place::new();
        let _server = place.serve(concurrency);
        // Zeros are part of such a name.
        let name = format!("sandsock-test-{}-{concurrency}\0\0", std::process::id());
        let name = SocketAddr::from_abstract_name(name).expect("a name");
        let client = UnixDatagram::bind_addr(&name).expect("a socket");
        client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        place.ask(&client, "hello");
        has_received(&client, "hello");
    }
}

/// unix(7): a path may fill all of `sun_path`, without room for its end.
#[test]
fn a_client_with_the_longest_name_is_replied_to() {
    let place = Place::new();
    let _server = place.serve("threads");
    let name = "x".repeat(108 - place.path("").len());
    // Python, too, takes no such path.
    let program = format!("{SEND}{RECEIVE}").replace("client.bind(name)", BIND_WHOLE);
    let client = place.python(&geteuid().to_string(), &program, &name);
    let output = client.wait_with_output().expect("python3");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "mine");
}

const BIND_WHOLE: &str = "
import ctypes
address = (1).to_bytes(2, sys.byteorder) + name.encode()
assert len(address) == 110 and ctypes.CDLL(None).bind(client.fileno(), address, 110) == 0
";

#[test]
fn a_packet_that_is_older_than_the_question_for_its_sender_has_no_reply() {
    let place = Place::of_somebody_who_asks_for_nothing();
    let client = place.client("client");
    place.ask(&client, "early");
    let server = place.serve("threads");
    is_not_replied_to(&server, &client, "PassCredentials=yes");
    client.set_nonblocking(false).expect("an option");
    place.ask(&client, "later");
    has_received(&client, "later");
}

#[test]
fn what_else_comes_with_a_packet_is_nobodys() {
    for concurrency in CONCURRENCIES {
        let place = Place::new();
        setsockopt(&place.socket, sockopt::ReceiveTimestamp, &true).expect("an option");
        let server = place.serve(concurrency);
        let client = place.client("client");
        let ask = || {
            place.ask(&client, "plain");
            has_received(&client, "plain");
        };
        ask();
        let before = server.acceptor().descriptors();
        let address = UnixAddr::new(Path::new(&place.path("server"))).expect("a name");
        let sent: [RawFd; 2] = [client.as_raw_fd(); 2];
        for _ in 0..50 {
            let control = [ControlMessage::ScmRights(&sent)];
            let flags = MsgFlags::empty();
            let text = [IoSlice::new(b"with descriptors")];
            sendmsg(client.as_raw_fd(), &text, &control, flags, Some(&address)).expect("a packet");
            has_received(&client, "with descriptors");
        }
        ask();
        server.requests(52);
        let after = server.acceptor().descriptors();
        assert!(after <= before + 4, "{concurrency}: {before} and {after}");
    }
}

/// Where `/proc` is missing there is no safe way back, and none is taken.
#[test]
fn without_proc_a_client_has_no_reply_and_the_log_says_why() {
    let works = Command::new("unshare")
        .args(["--mount", "true"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !works {
        eprintln!("SKIPPED: a mount namespace is root's to make");
        return;
    }
    for concurrency in CONCURRENCIES {
        let place = Place::new();
        let own = place.path("own");
        let server = Serve::new(handler("echo"))
            .at(format!("unixgram://{own}"))
            .through(&["unshare", "--mount"])
            .with("--concurrency")
            .arg(concurrency)
            .start();
        let hidden = Command::new("nsenter")
            .arg(format!("--mount=/proc/{}/ns/mnt", server.process().0))
            .args(["mount", "-t", "tmpfs", "none", "/proc"])
            .status()
            .expect("nsenter");
        assert!(hidden.success());
        let client = place.client("client");
        client.send_to(b"hello", &own).expect("a packet");
        is_not_replied_to(&server, &client, "/proc/self/fd is not there");
    }
}
