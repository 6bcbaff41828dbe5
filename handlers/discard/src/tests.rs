//! What RFC 863 says of the connection and of the datagram.
#![cfg(not(target_family = "wasm"))]

use std::io::{ErrorKind, Read};

use sandsock_guest::Transport;
use sandsock_guest::test::run;

use super::*;

#[test]
fn data_received_is_thrown_away_and_no_response_is_sent() -> Result {
    let mut request = Request::in_memory(vec![b'x'; 100_000]);
    run::<Discard>(&mut request)?;
    assert!(request.written().is_empty());
    assert_eq!(request.rfile.read(&mut [0; 1])?, 0);
    Ok(())
}

#[test]
fn a_datagram_has_no_response() -> Result {
    let mut request = Request::in_memory("ping").over(Transport::Udp);
    run::<Discard>(&mut request)?;
    assert!(request.datagrams().is_empty());
    Ok(())
}

#[test]
fn a_client_that_falls_silent_is_an_error() {
    let mut request = Request::in_memory("x").then_read_fails(ErrorKind::TimedOut);
    assert_eq!(
        run::<Discard>(&mut request).unwrap_err().to_string(),
        "timed out"
    );
}
