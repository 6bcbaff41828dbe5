//! What RFC 862 says of the connection and of the datagram.
#![cfg(not(target_family = "wasm"))]

use std::io::ErrorKind;

use sandsock_guest::Transport;
use sandsock_guest::test::run;

use super::*;

#[test]
fn any_data_received_is_sent_back() -> Result {
    let all_bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let mut request = Request::in_memory(all_bytes.clone());
    run::<Echo>(&mut request)?;
    assert_eq!(request.written(), all_bytes);
    Ok(())
}

#[test]
fn it_continues_until_the_calling_user_terminates() -> Result {
    let mut request = Request::in_memory("one two three").in_pieces_of(1);
    run::<Echo>(&mut request)?;
    assert_eq!(request.written(), b"one two three");
    Ok(())
}

#[test]
fn a_datagram_is_answered_with_its_data() -> Result {
    let mut request = Request::in_memory("ping").over(Transport::Udp);
    run::<Echo>(&mut request)?;
    assert_eq!(request.datagrams(), [b"ping"]);
    Ok(())
}

#[test]
fn what_came_before_a_reset_was_sent_back() {
    let mut request = Request::in_memory("ping").then_read_fails(ErrorKind::ConnectionReset);
    let error = run::<Echo>(&mut request).unwrap_err();
    assert_eq!(error.to_string(), "connection reset");
    assert_eq!(request.written(), b"ping");
}
