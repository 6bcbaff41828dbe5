//! Writing: at once over a stream, datagram by datagram otherwise.
#![cfg(not(target_family = "wasm"))]

use std::io::{ErrorKind, Write};

use sandsock_guest::{Request, Transport};

#[test]
fn a_stream_receives_each_write_without_a_flush() {
    let mut request = Request::in_memory("");
    write!(request.wfile, "{}-{}", 1, 2).unwrap();
    request.wfile.write_all(b"-3").unwrap();
    assert_eq!(request.written(), b"1-2-3");
    request.wfile.flush().unwrap();
    assert!(request.datagrams().is_empty());
}

#[test]
fn a_flush_sends_what_was_written_since_the_last_one() {
    for transport in [Transport::Udp, Transport::UnixDatagram] {
        let mut request = Request::in_memory("").over(transport);
        request.wfile.write_all(b"one").unwrap();
        request.wfile.write_all(b" and").unwrap();
        assert!(request.datagrams().is_empty());
        request.wfile.flush().unwrap();
        request.wfile.write_all(b"two").unwrap();
        request.wfile.flush().unwrap();
        assert_eq!(request.datagrams(), [&b"one and"[..], b"two"]);
        assert_eq!(request.written(), b"one andtwo");
    }
}

#[test]
fn nothing_written_is_nothing_sent() {
    let mut request = Request::in_memory("").over(Transport::Udp);
    request.wfile.flush().unwrap();
    request.wfile.write_all(b"").unwrap();
    request.wfile.flush().unwrap();
    assert!(request.datagrams().is_empty());
}

#[test]
fn a_reply_longer_than_a_datagram_is_an_error_that_says_so() {
    let mut request = Request::in_memory("").over(Transport::Udp);
    request.wfile.write_all(&[0; 65_507]).unwrap();
    let error = request.wfile.write_all(b"x").unwrap_err();
    assert!(error.to_string().contains("too long"), "{error}");
    request.wfile.flush().unwrap();
    assert_eq!(request.datagrams()[0].len(), 65_507);
}

#[test]
fn a_client_that_has_gone_took_what_it_took() {
    let mut request = Request::in_memory("").write_fails_after(4, ErrorKind::BrokenPipe);
    request.wfile.write_all(b"abc").unwrap();
    let error = request.wfile.write_all(b"def").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    assert_eq!(request.written(), b"abcd");
}
