//! Lines of every length and end.
#![cfg(not(target_family = "wasm"))]

use std::io::ErrorKind;

use sandsock_guest::Transport;
use sandsock_guest::test::run;

use super::*;

fn upper(input: impl Into<Vec<u8>>) -> Result<Vec<u8>> {
    let mut request = Request::in_memory(input);
    run::<Upper>(&mut request)?;
    Ok(request.written().to_vec())
}

#[test]
fn each_line_comes_back_in_upper_case() -> Result {
    assert_eq!(
        upper("hello world\r\nand again\n")?,
        b"HELLO WORLD\r\nAND AGAIN\n"
    );
    Ok(())
}

#[test]
fn the_last_line_needs_no_newline() -> Result {
    assert_eq!(upper("one\ntwo")?, b"ONE\nTWO");
    Ok(())
}

#[test]
fn what_is_not_a_letter_of_ascii_is_left_alone() -> Result {
    assert_eq!(upper("你好, straße\n")?, "你好, STRAßE\n".as_bytes());
    assert_eq!(upper([0, 0xff, b'a', b'\n'])?, [0, 0xff, b'A', b'\n']);
    Ok(())
}

#[test]
fn a_line_without_end_comes_back_whole() -> Result {
    assert_eq!(
        upper("x".repeat(100_000))?,
        "X".repeat(100_000).into_bytes()
    );
    Ok(())
}

#[test]
fn a_line_is_answered_before_the_next_one_comes() {
    let mut request = Request::in_memory("one\ntw").then_read_fails(ErrorKind::TimedOut);
    assert!(run::<Upper>(&mut request).is_err());
    assert_eq!(request.written(), b"ONE\n");
}

#[test]
fn a_datagram_of_two_lines_is_answered_with_one() -> Result {
    let mut request = Request::in_memory("one\ntwo\n").over(Transport::Udp);
    run::<Upper>(&mut request)?;
    assert_eq!(request.datagrams(), [b"ONE\nTWO\n"]);
    Ok(())
}
