//! What a request in memory says of itself.
#![cfg(not(target_family = "wasm"))]

use std::time::Duration;

use sandsock_guest::{Request, Transport};

#[test]
fn a_request_is_over_tcp_unless_told_otherwise() {
    let request = Request::in_memory("");
    assert_eq!(request.client_address(), "127.0.0.1:4711");
    assert_eq!(request.server_address(), "127.0.0.1:9999");
    assert_eq!(request.transport(), Transport::Tcp);
    assert_eq!(request.id(), 1);
}

#[test]
fn everything_known_of_a_request_can_be_given() {
    let request = Request::in_memory(*b"bytes")
        .client("")
        .server("/run/echo.sock")
        .over(Transport::UnixStream)
        .numbered(7);
    assert_eq!(request.client_address(), "");
    assert_eq!(request.server_address(), "/run/echo.sock");
    assert_eq!(request.transport().to_string(), "unix");
    assert!(!request.transport().is_datagram());
    assert_eq!(request.id(), 7);
}

#[test]
fn the_settings_of_a_connection_are_taken() {
    let mut request = Request::in_memory("");
    request.set_timeout(Some(Duration::from_secs(1)));
    request.set_timeout(None);
    request.set_nodelay(true);
}
