//! What RFC 865 asks of a quotation.
#![cfg(not(target_family = "wasm"))]

use sandsock_guest::Transport;
use sandsock_guest::test::run;

use super::*;

#[test]
fn each_quotation_is_shorter_than_512_characters() {
    assert!(QUOTATIONS.iter().all(|text| text.len() < 512));
}

#[test]
fn each_quotation_is_printable_ascii_spaces_and_line_ends() {
    for text in QUOTATIONS {
        let layout = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
        assert!(
            text.chars().all(|c| c.is_ascii_graphic() || layout(c)),
            "{text}"
        );
        assert!(text.ends_with("\r\n"), "{text}");
        assert_eq!(
            text.matches('\n').count(),
            text.matches("\r\n").count(),
            "{text}"
        );
    }
}

#[test]
fn each_day_of_a_week_has_its_own() {
    let mut week: Vec<_> = (20_000..20_007).map(quotation).collect();
    week.sort_unstable();
    week.dedup();
    assert_eq!(week.len(), 7);
}

#[test]
fn one_quotation_is_sent_without_waiting_for_the_client() -> Result {
    let mut request = Request::in_memory("").then_read_fails(std::io::ErrorKind::TimedOut);
    run::<Qotd>(&mut request)?;
    assert!(
        QUOTATIONS
            .iter()
            .any(|text| text.as_bytes() == request.written())
    );
    Ok(())
}

#[test]
fn a_datagram_is_answered_with_one() -> Result {
    let mut request = Request::in_memory("").over(Transport::Udp);
    run::<Qotd>(&mut request)?;
    assert_eq!(request.datagrams(), [request.written()]);
    Ok(())
}
