//! What a handler is told of the request: addresses, transport, number.

use crate::harness::{Answers, Client, Op, Serve, Transport, script, wat};

#[test]
fn client_and_server_address_are_text_as_the_contract_writes_it() {
    for transport in Transport::all() {
        let server = Serve::new(wat("script")).on(transport).start();
        let client = server.connect();
        let own = client.address();
        let orders = script(&[
            Op::ClientAddress(255),
            Op::ServerAddress(255),
            Op::Transport,
        ]);
        let mut answers = Answers(client.ask(orders));
        assert_eq!(
            String::from_utf8(answers.counted()).unwrap(),
            own,
            "{transport:?}"
        );
        let listening = server.address();
        let place = listening.split_once("://").unwrap().1;
        assert_eq!(
            String::from_utf8(answers.counted()).unwrap(),
            place,
            "{transport:?}"
        );
        let number = match transport {
            Transport::Tcp | Transport::Tcp6 => 0,
            Transport::Udp => 1,
            Transport::Unix => 2,
            Transport::Unixgram => 3,
        };
        assert_eq!(answers.result(), number);
        answers.end();
        assert_eq!(server.request()["client"], own, "{transport:?}");
    }
}

#[test]
fn an_address_returns_its_full_length_and_copies_what_fits() {
    let server = Serve::new(wat("script")).start();
    let client = server.connect();
    let own = client.address();
    let mut answers = Answers(client.ask(script(&[Op::ClientAddress(3), Op::ClientAddress(0)])));
    assert_eq!(usize::try_from(answers.result()), Ok(own.len()));
    assert_eq!(answers.text(3), own[..3]);
    assert_eq!(usize::try_from(answers.result()), Ok(own.len()));
    answers.end();
}

#[test]
fn an_ipv4_client_of_a_dual_stack_listener_is_shown_as_ipv4() {
    if !Transport::Tcp6.is_there() {
        return;
    }
    for scheme in ["tcp", "udp"] {
        let server = Serve::new(wat("script"))
            .at(format!("{scheme}://[::]:0"))
            .start();
        let port = server.address().rsplit_once(':').unwrap().1.to_owned();
        let client = Client::connect(&format!("{scheme}://127.0.0.1:{port}"));
        let own = client.address();
        let mut answers =
            Answers(client.ask(script(&[Op::ClientAddress(255), Op::ServerAddress(255)])));
        assert_eq!(String::from_utf8(answers.counted()).unwrap(), own);
        assert_eq!(
            String::from_utf8(answers.counted()).unwrap(),
            format!("127.0.0.1:{port}")
        );
        assert_eq!(server.request()["client"], own);
        let mut answers = Answers(
            Client::connect(&format!("{scheme}://[::1]:{port}"))
                .ask(script(&[Op::ClientAddress(255)])),
        );
        let shown = String::from_utf8(answers.counted()).unwrap();
        assert!(shown.starts_with("[::1]:"), "{shown}");
    }
}

#[test]
fn ipv6_only_keeps_ipv4_out() {
    if !Transport::Tcp6.is_there() {
        return;
    }
    let server = Serve::new(wat("script"))
        .at("tcp://[::]:0")
        .with("--ipv6-only")
        .start();
    let port = server.address().rsplit_once(':').unwrap().1.to_owned();
    assert!(std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_err());
    let answer = Client::connect(&format!("tcp://[::1]:{port}")).ask(script(&[Op::Write("six")]));
    assert_eq!(answer, b"six");
}

#[test]
fn the_number_is_the_one_in_the_log_and_never_comes_twice() {
    let server = Serve::new(wat("script")).start();
    let mut seen = Vec::new();
    for n in 1..=20 {
        let id = Answers(server.ask(script(&[Op::Id]))).id();
        assert_eq!(server.requests(n)[n - 1]["id"], id);
        assert!(!seen.contains(&id), "{id} came before: {seen:?}");
        seen.push(id);
    }
}

#[test]
fn nodelay_is_taken_everywhere_and_means_nothing_where_there_is_none() {
    for transport in Transport::all() {
        let server = Serve::new(wat("script")).on(transport).start();
        let mut answers = Answers(server.ask(script(&[Op::SetNodelay(1), Op::SetNodelay(0)])));
        assert_eq!(
            (answers.result(), answers.result()),
            (0, 0),
            "{transport:?}"
        );
    }
}
