//! The greeting; what is logged goes to the test's own output.
#![cfg(not(target_family = "wasm"))]

use std::io::ErrorKind;

use sandsock_guest::Transport;
use sandsock_guest::test::run;

use super::*;

#[test]
fn a_line_is_answered_with_six_bytes_of_utf8() -> Result {
    let mut request = Request::in_memory("hello,server\n");
    run::<Hello>(&mut request)?;
    assert_eq!(request.written(), [0xe4, 0xbd, 0xa0, 0xe5, 0xa5, 0xbd]);
    Ok(())
}

#[test]
fn a_client_that_sends_nothing_is_greeted_as_well() -> Result {
    let mut request = Request::in_memory("");
    run::<Hello>(&mut request)?;
    assert_eq!(request.written(), "你好".as_bytes());
    Ok(())
}

#[test]
fn a_datagram_is_answered_with_one() -> Result {
    let mut request = Request::in_memory("hello,server\n").over(Transport::Udp);
    run::<Hello>(&mut request)?;
    assert_eq!(request.datagrams(), ["你好".as_bytes()]);
    Ok(())
}

#[test]
fn a_client_that_falls_silent_is_an_error() {
    let mut request = Request::in_memory("hel").then_read_fails(ErrorKind::TimedOut);
    let error = run::<Hello>(&mut request).unwrap_err();
    assert_eq!(error.to_string(), "timed out");
    assert!(request.written().is_empty());
}
