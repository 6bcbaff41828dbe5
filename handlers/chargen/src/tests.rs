//! What RFC 864 says of the pattern, the connection and the datagram.
#![cfg(not(target_family = "wasm"))]

use sandsock_guest::Transport;
use sandsock_guest::test::run;

use super::*;

fn until_the_client_has(len: usize) -> Result<Vec<u8>> {
    let mut request = Request::in_memory("").write_fails_after(len, ErrorKind::BrokenPipe);
    run::<Chargen>(&mut request)?;
    Ok(request.written().to_vec())
}

#[test]
fn the_pattern_begins_as_in_the_rfc() -> Result {
    let first = concat!(
        r##" !"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\]^_`abcdefg"##,
        "\r\n",
        r##"!"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\]^_`abcdefgh"##,
        "\r\n",
    );
    assert_eq!(until_the_client_has(2 * LINE)?, first.as_bytes());
    Ok(())
}

#[test]
fn each_line_has_72_printing_characters() -> Result {
    let written = until_the_client_has(200 * LINE)?;
    for line in written.chunks(LINE) {
        let (characters, end) = line.split_at(72);
        assert!(characters.iter().all(|c| (b' '..=b'~').contains(c)));
        assert_eq!(end, b"\r\n");
    }
    Ok(())
}

#[test]
fn the_ring_comes_round_without_a_seam() -> Result {
    let written = until_the_client_has(97 * LINE)?;
    let begins: Vec<u8> = written.chunks(LINE).map(|line| line[0]).collect();
    assert_eq!(begins[93..], *b"}~ !");
    Ok(())
}

#[test]
fn a_client_that_goes_away_is_success() -> Result {
    for kind in [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset] {
        let mut request = Request::in_memory("").write_fails_after(1_000_000, kind);
        run::<Chargen>(&mut request)?;
        assert_eq!(request.written().len(), 1_000_000);
    }
    Ok(())
}

#[test]
fn a_client_that_does_not_read_is_an_error() {
    let mut request = Request::in_memory("").write_fails_after(4096, ErrorKind::TimedOut);
    assert_eq!(
        run::<Chargen>(&mut request).unwrap_err().to_string(),
        "timed out"
    );
}

#[test]
fn a_datagram_is_answered_with_one_of_at_most_512_characters() -> Result {
    let mut lengths = Vec::new();
    for id in 0..2000 {
        let mut request = Request::in_memory("x").over(Transport::Udp).numbered(id);
        run::<Chargen>(&mut request)?;
        let [datagram] = request.datagrams()[..] else {
            panic!("not one datagram")
        };
        assert!(PATTERN.starts_with(datagram));
        lengths.push(datagram.len());
    }
    assert_eq!(lengths.iter().min(), Some(&1));
    assert_eq!(lengths.iter().max(), Some(&512));
    Ok(())
}
