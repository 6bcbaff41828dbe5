//! Reading: the buffer loses nothing, doubles nothing, and hides no error.
#![cfg(not(target_family = "wasm"))]

use std::io::{BufRead, ErrorKind, Read};

use sandsock_guest::Request;

fn bytes(len: usize) -> Vec<u8> {
    (0..251).cycle().take(len).collect()
}

#[test]
fn lines_come_one_by_one_however_the_client_cuts_them() {
    for piece in [1, 2, 3, 5, 100] {
        let mut request = Request::in_memory("one\r\ntwo\n\nfour").in_pieces_of(piece);
        let lines: Vec<String> = request.rfile.by_ref().lines().map(Result::unwrap).collect();
        assert_eq!(lines, ["one", "two", "", "four"], "in pieces of {piece}");
    }
}

#[test]
fn small_and_large_reads_may_be_mixed() {
    let input = bytes(50_000);
    for piece in [1, 1000, 4096, 70_000] {
        let mut request = Request::in_memory(input.clone()).in_pieces_of(piece);
        let mut output = Vec::new();
        for len in [1, 5000, 10, 4096, 4095, 0, 20_000].into_iter().cycle() {
            let mut part = vec![0; len];
            let count = request.rfile.read(&mut part).unwrap();
            output.extend_from_slice(&part[..count]);
            if count == 0 && len > 0 {
                break;
            }
        }
        assert_eq!(output, input, "in pieces of {piece}");
    }
}

#[test]
fn a_read_returns_as_soon_as_a_byte_is_there() {
    let mut request = Request::in_memory("abc").in_pieces_of(1);
    assert_eq!(request.rfile.read(&mut [0; 3]).unwrap(), 1);
    assert_eq!(request.rfile.read(&mut [0; 9000]).unwrap(), 1);
}

#[test]
fn the_end_of_input_stays_the_end() {
    let mut request = Request::in_memory("");
    for _ in 0..3 {
        assert_eq!(request.rfile.read(&mut [0; 10]).unwrap(), 0);
        assert!(request.rfile.fill_buf().unwrap().is_empty());
    }
}

#[test]
fn what_came_before_an_error_can_be_read() {
    let mut request = Request::in_memory("half a li").then_read_fails(ErrorKind::TimedOut);
    let mut line = Vec::new();
    let error = request.rfile.read_until(b'\n', &mut line).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(line, b"half a li");
    let again = request.rfile.fill_buf().unwrap_err();
    assert_eq!(again.kind(), ErrorKind::TimedOut);
}

#[test]
fn more_than_what_is_there_cannot_be_consumed() {
    let mut request = Request::in_memory("abc").in_pieces_of(2);
    assert_eq!(request.rfile.fill_buf().unwrap(), b"ab");
    request.rfile.consume(100);
    assert_eq!(request.rfile.fill_buf().unwrap(), b"c");
}
