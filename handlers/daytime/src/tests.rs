//! The line against the form that RFC 867 recommends.
#![cfg(not(target_family = "wasm"))]

use sandsock_guest::Transport;
use sandsock_guest::test::run;

use super::*;

fn at(seconds: i64) -> String {
    daytime(OffsetDateTime::from_unix_timestamp(seconds).expect("a time of this age"))
}

/// Its time, that is: it names a Tuesday, and 22 February 1982 was a Monday.
#[test]
fn the_example_of_the_rfc() {
    assert_eq!(
        at(383_247_463),
        "Monday, February 22, 1982 17:37:43-UTC\r\n"
    );
}

#[test]
fn a_leap_day() {
    assert_eq!(
        at(951_782_400),
        "Tuesday, February 29, 2000 00:00:00-UTC\r\n"
    );
}

#[test]
fn the_last_second_of_a_year() {
    assert_eq!(
        at(4_102_444_799),
        "Thursday, December 31, 2099 23:59:59-UTC\r\n"
    );
}

#[test]
fn one_line_is_sent_without_waiting_for_the_client() -> Result {
    let mut request = Request::in_memory("").then_read_fails(std::io::ErrorKind::TimedOut);
    run::<Daytime>(&mut request)?;
    let line = str::from_utf8(request.written())?;
    assert_eq!(line.find("-UTC\r\n"), Some(line.len() - 6));
    assert!(line.trim_end().chars().all(|c| matches!(c, ' '..='~')));
    Ok(())
}

#[test]
fn a_datagram_is_answered_with_one() -> Result {
    let mut request = Request::in_memory("").over(Transport::Udp);
    run::<Daytime>(&mut request)?;
    assert_eq!(request.datagrams(), [request.written()]);
    Ok(())
}
