//! Sources of packets that are no client's: an answer to one would come back as a question, or go to a crowd.

use crate::harness::{Client, Serve, Server, handler};
use serde_json::Value;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A UDP packet in IPv4 with any source that one likes; `None` where we may not make one.
fn forge(source: SocketAddr, to: SocketAddr) -> Option<()> {
    let raw = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255))).ok()?;
    let (SocketAddr::V4(from), SocketAddr::V4(dest)) = (source, to) else {
        panic!("IPv4 is forged");
    };
    let text = b"forged";
    let length = 28 + u16::try_from(text.len()).expect("a short text");
    // RFC 791; the kernel fills the checksum in. RFC 768; a checksum of 0 is none.
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    packet.extend(from.ip().octets());
    packet.extend(dest.ip().octets());
    packet.extend(from.port().to_be_bytes());
    packet.extend(dest.port().to_be_bytes());
    packet.extend((length - 20).to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(text);
    raw.send_to(&packet, &SockAddr::from(SocketAddr::new(to.ip(), 0)))
        .expect("a packet");
    Some(())
}

fn refusals(server: &Server, count: u64) -> Vec<Value> {
    let is_all = |events: &[Value]| {
        let all = events.iter().filter_map(|event| event["count"].as_u64());
        all.sum::<u64>() == count
    };
    let mut number = 1;
    loop {
        let seen = server
            .log()
            .wait_for(number, |event| event["event"] == "refused");
        if is_all(&seen) {
            return seen;
        }
        number += 1;
    }
}

#[test]
fn a_packet_from_the_services_own_address_or_from_nobody_is_dropped() {
    for bound in ["udp://127.0.0.1:0", "udp://0.0.0.0:0", "udp://[::]:0"] {
        let server = Serve::new(handler("echo")).at(bound).start();
        let address = server.address();
        let port: u16 = address
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok())
            .expect("a port");
        let own = SocketAddr::from(([127, 0, 0, 1], port));
        let forged = [own, SocketAddr::from(([127, 0, 0, 1], 0))];
        for source in forged {
            if forge(source, own).is_none() {
                println!("skipped: packets can be forged as root only");
                return;
            }
        }
        let seen = refusals(&server, 2);
        assert!(
            seen.iter().all(|event| event["reason"] == "source"),
            "{seen:?}"
        );
        // Who is a client is answered, and nothing was before it.
        let client = Client::connect(&format!("udp://127.0.0.1:{port}"));
        assert_eq!(client.ask("x"), b"x");
        assert_eq!(server.request()["id"], 1);
    }
}

#[test]
fn a_packet_from_a_service_that_answers_everything_is_dropped() {
    let ask = |options: &str, ports: &[u16], dropped: &[u16]| {
        let server = Serve::new(handler("echo"))
            .at("udp://127.0.0.1:0")
            .with(options)
            .start();
        let address = server.address();
        let to = address
            .trim_start_matches("udp://")
            .parse()
            .expect("an address");
        for port in ports {
            if forge(SocketAddr::from(([127, 0, 0, 2], *port)), to).is_none() {
                println!("skipped: packets can be forged as root only");
                return;
            }
        }
        if !dropped.is_empty() {
            let seen = refusals(&server, dropped.len() as u64);
            assert!(seen.iter().all(|e| e["reason"] == "source"), "{seen:?}");
        }
        let served = server.requests(ports.len() - dropped.len());
        for event in served {
            let client: SocketAddr = event["client"].as_str().unwrap().parse().unwrap();
            assert!(!dropped.contains(&client.port()), "{event}");
        }
    };
    let small = [7, 13, 17, 19, 37];
    ask("", &[7, 13, 17, 19, 37, 53, 40_000], &small);
    ask(
        "--deny-source-ports 53,123",
        &[7, 53, 123, 40_000],
        &[53, 123],
    );
    ask("--deny-source-ports none", &[7, 19], &[]);
}

#[test]
fn a_unix_packet_with_the_services_own_name_is_dropped() {
    let dir = tempfile::tempdir().expect("a folder");
    let ours = dir.path().join("ours");
    let theirs = dir.path().join("theirs");
    std::fs::create_dir(&ours).expect("a folder");
    std::fs::create_dir(&theirs).expect("a folder");
    // A name is what was bound: the same one in another folder is another socket.
    let server = Serve::new(handler("echo"))
        .at("unixgram://echo.sock")
        .through(&["env", "-C", path(&ours)])
        .start();
    let sent = Command::new("python3")
        .current_dir(&theirs)
        .args(["-c", SEND, path(&ours.join("echo.sock"))])
        .status()
        .expect("python3");
    assert!(sent.success());
    let seen = refusals(&server, 1);
    assert_eq!(seen[0]["reason"], "source", "{seen:?}");
    let client = UnixDatagram::bind(dir.path().join("client")).expect("a socket");
    client
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("a timeout");
    client
        .send_to(b"x", ours.join("echo.sock"))
        .expect("a packet");
    let mut reply = [0; 8];
    assert_eq!(client.recv(&mut reply).expect("a reply"), 1);
    assert_eq!(server.request()["id"], 1);
}

const SEND: &str = "
import socket, sys
sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sender.bind('echo.sock')
sender.sendto(b'ping', sys.argv[1])
";

fn path(path: &Path) -> &str {
    path.to_str().expect("a name")
}
