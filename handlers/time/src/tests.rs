//! The examples of RFC 868, and the end of its count.
#![cfg(not(target_family = "wasm"))]

use sandsock_guest::Transport;
use sandsock_guest::test::run;

use super::*;

#[test]
fn the_examples_of_the_rfc() {
    assert_eq!(since_1900(0), 2_208_988_800, "1 January 1970");
    assert_eq!(since_1900(189_302_400), 2_398_291_200, "1 January 1976");
    assert_eq!(since_1900(315_532_800), 2_524_521_600, "1 January 1980");
    assert_eq!(since_1900(420_595_200), 2_629_584_000, "1 May 1983");
}

#[test]
fn in_2036_the_count_begins_again() {
    assert_eq!(since_1900(2_085_978_495), u32::MAX);
    assert_eq!(since_1900(2_085_978_496), 0);
}

#[test]
fn four_bytes_are_sent_without_waiting_for_the_client() -> Result {
    let now = || -> Result<u32> {
        Ok(since_1900(
            SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
        ))
    };
    let mut request = Request::in_memory("").then_read_fails(std::io::ErrorKind::TimedOut);
    let before = now()?;
    run::<Time>(&mut request)?;
    let sent = u32::from_be_bytes(request.written().try_into()?);
    assert!((before..=now()?).contains(&sent));
    Ok(())
}

#[test]
fn an_empty_datagram_is_answered_with_four_bytes() -> Result {
    let mut request = Request::in_memory("").over(Transport::Udp);
    run::<Time>(&mut request)?;
    let [datagram] = request.datagrams()[..] else {
        panic!("not one datagram")
    };
    assert_eq!(datagram.len(), 4);
    Ok(())
}
