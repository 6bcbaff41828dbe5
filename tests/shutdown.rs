//! How the program ends: by signals, by `--once` and `--max-requests`, idle and under load.

use crate::harness::{
    CONCURRENCIES, Op, PATIENCE, Serve, Server, Transport, handler, is_request, script, signal, wat,
};
use Op::{Print, Return, Sleep, Spin, Write};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Far less than any grace or limit that a test sets beside it.
const AT_ONCE: Duration = Duration::from_secs(20);

fn cut(server: &Server) -> usize {
    let events = server.log().events();
    events
        .iter()
        .filter(|e| is_request(e) && e["outcome"] == "cut")
        .count()
}

#[test]
fn an_idle_server_ends_at_once() {
    for transport in Transport::all() {
        for concurrency in CONCURRENCIES {
            for number in [signal::TERM, signal::INT] {
                let mut server = Serve::new(handler("echo"))
                    .on(transport)
                    .with("--shutdown-grace 5m --concurrency")
                    .arg(concurrency)
                    .start();
                let began = Instant::now();
                server.process().signal(number);
                assert_eq!(server.wait().code(), Some(0), "{transport:?} {concurrency}");
                assert!(began.elapsed() < AT_ONCE);
            }
        }
    }
}

#[test]
fn a_server_ends_at_once_after_it_has_served() {
    for concurrency in CONCURRENCIES {
        let mut server = Serve::new(handler("echo"))
            .with("--shutdown-grace 5m --concurrency")
            .arg(concurrency)
            .start();
        for _ in 0..10 {
            assert_eq!(server.ask("x"), b"x");
        }
        let began = Instant::now();
        assert_eq!(server.terminate().code(), Some(0));
        assert!(began.elapsed() < AT_ONCE);
    }
}

#[test]
fn a_request_in_flight_ends_by_itself_within_the_grace() {
    for concurrency in CONCURRENCIES {
        let mut server = Serve::new(wat("script"))
            .with("--shutdown-grace 5m --concurrency")
            .arg(concurrency)
            .start();
        let mut client = server.connect();
        client.send(script(&[Return, Print("now")]));
        server.log().wait_for(1, |e| e["line"] == "now");
        server.process().signal(signal::TERM);
        server.log().wait_for(1, |e| e["event"] == "shutting-down");
        assert!(!server.has_ended());
        client.send(script(&[Write("whole "), Return, Write("reply")]));
        client.finish_sending();
        assert_eq!(client.receive_all(), b"whole reply");
        assert_eq!(server.wait().code(), Some(0));
        assert_eq!(server.request()["outcome"], "ok");
    }
}

#[test]
fn new_clients_are_refused_while_requests_in_flight_end() {
    let mut server = Serve::new(wat("script"))
        .with("--shutdown-grace 5m")
        .start();
    let mut client = server.connect();
    client.send(script(&[Return, Print("now")]));
    server.log().wait_for(1, |e| e["line"] == "now");
    server.process().signal(signal::TERM);
    let address = server.address();
    let place = address.trim_start_matches("tcp://");
    let until = Instant::now() + PATIENCE;
    while TcpStream::connect(place).is_ok() {
        assert!(Instant::now() < until, "it goes on accepting");
        thread::sleep(Duration::from_millis(5));
    }
    client.send(script(&[Write("still served")]));
    client.finish_sending();
    assert_eq!(client.receive_all(), b"still served");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn what_does_not_end_within_the_grace_is_cut_and_the_log_says_what() {
    let waits = script(&[Return, Print("now")]);
    let spins = script(&[Return, Print("now"), Spin]);
    let sleeps = script(&[Return, Print("now"), Sleep(Duration::from_secs(3600))]);
    // To a client that does not take it.
    let writes = script(&[Return, Print("now"), Op::WriteForEver]);
    let orders = [waits, spins, sleeps, writes];
    let mut server = Serve::new(wat("script"))
        .with("--shutdown-grace 300ms --cpu-limit 10m")
        .start();
    let mut clients: Vec<_> = orders.iter().map(|_| server.connect()).collect();
    for (client, orders) in clients.iter_mut().zip(&orders) {
        client.send(orders);
    }
    server.log().wait_for(4, |e| e["line"] == "now");
    let began = Instant::now();
    assert_eq!(server.terminate().code(), Some(0));
    assert!(
        began.elapsed() >= Duration::from_millis(300),
        "it took no grace"
    );
    assert!(began.elapsed() < AT_ONCE);
    server.log().whole();
    assert_eq!(cut(&server), 4, "{:?}", server.log().lines());
}

#[test]
fn under_serial_too_a_request_is_cut_when_the_grace_is_over() {
    for order in [Op::Spin, Sleep(Duration::from_secs(3600)), Op::Read(10)] {
        let mut server = Serve::new(wat("script"))
            .with("--concurrency serial --shutdown-grace 300ms --cpu-limit 10m")
            .start();
        let mut client = server.connect();
        client.send(script(&[Return, Print("now"), order]));
        server.log().wait_for(1, |e| e["line"] == "now");
        assert_eq!(server.terminate().code(), Some(0), "{order:?}");
        server.log().whole();
        assert_eq!(cut(&server), 1, "{order:?}: {:?}", server.log().lines());
    }
}

#[test]
fn a_command_is_cut_too() {
    for file in [wat("cat"), crate::harness::guest_component("probe")] {
        let mut server = Serve::new(file).with("--shutdown-grace 300ms").start();
        let mut client = server.connect();
        // What has come back has been read: the program waits for more.
        client.send("echo\nx\n");
        client.receive(2);
        assert_eq!(server.terminate().code(), Some(0));
        server.log().whole();
        assert_eq!(cut(&server), 1, "{:?}", server.log().lines());
    }
}

#[test]
fn a_grace_of_nought_cuts_at_once() {
    let mut server = Serve::new(wat("script"))
        .with("--shutdown-grace 0s")
        .start();
    let mut client = server.connect();
    client.send(script(&[Return, Print("now")]));
    server.log().wait_for(1, |e| e["line"] == "now");
    assert_eq!(server.terminate().code(), Some(0));
    server.log().whole();
    assert_eq!(cut(&server), 1);
    client.finish_sending();
    client.receive_all();
}

#[test]
fn a_second_signal_ends_it_now_with_128_and_its_number() {
    for number in [signal::TERM, signal::INT] {
        let mut server = Serve::new(wat("script"))
            .with("--shutdown-grace 5m")
            .start();
        let mut client = server.connect();
        client.send(script(&[Return, Print("now")]));
        server.log().wait_for(1, |e| e["line"] == "now");
        server.process().signal(signal::TERM);
        server.log().wait_for(1, |e| e["event"] == "shutting-down");
        let began = Instant::now();
        server.process().signal(number);
        assert_eq!(server.wait().code(), Some(128 + number));
        assert!(began.elapsed() < AT_ONCE);
    }
}

#[test]
fn once_serves_one_request_and_ends_with_0() {
    for transport in Transport::all() {
        let mut server = Serve::new(handler("echo"))
            .on(transport)
            .with("--once")
            .start();
        assert_eq!(server.ask("only"), b"only", "{transport:?}");
        assert_eq!(server.wait().code(), Some(0), "{transport:?}");
    }
}

#[test]
fn max_requests_counts_the_failed_ones_too() {
    for concurrency in CONCURRENCIES {
        let mut server = Serve::new(wat("script"))
            .with("--max-requests 3 --concurrency")
            .arg(concurrency)
            .start();
        server.ask(script(&[Return, Op::Trap]));
        server.ask(script(&[Return, Op::Fail]));
        assert!(!server.has_ended());
        assert_eq!(server.ask(script(&[Write("third")])), b"third");
        assert_eq!(server.wait().code(), Some(0));
        server.log().whole();
        assert_eq!(server.requests(3).len(), 3);
    }
}

#[test]
fn the_socket_file_is_removed_at_the_end() {
    for transport in [Transport::Unix, Transport::Unixgram] {
        let mut server = Serve::new(handler("echo")).on(transport).start();
        let address = server.address();
        let path = Path::new(address.split_once("://").unwrap().1);
        assert!(path.exists());
        server.terminate();
        assert!(!path.exists());
    }
}

#[test]
fn a_socket_file_that_somebody_else_put_there_meanwhile_is_left_alone() {
    let mut server = Serve::new(handler("echo")).on(Transport::Unix).start();
    let path = server.dir().join("listener");
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "somebody else's").unwrap();
    server.terminate();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "somebody else's");
}

#[test]
fn the_port_can_be_bound_again_at_once() {
    let mut server = Serve::new(handler("echo")).start();
    // The server closes first, so its side of the connection lingers in TIME_WAIT.
    let mut client = server.connect();
    client.send("x");
    client.finish_sending();
    client.receive_all();
    let address = server.address();
    server.terminate();
    let again = Serve::new(handler("echo")).at(&address).start();
    assert_eq!(again.address(), address);
    assert_eq!(again.ask("y"), b"y");
}
