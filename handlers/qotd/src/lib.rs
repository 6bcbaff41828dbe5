//! The Quote of the Day Protocol (RFC 865).

#![forbid(unsafe_code)]

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use sandsock_guest::{Handler, Request, Result};

/// Sends the quotation of the day (UTC); what the client sends is thrown away.
#[derive(Default)]
struct Qotd;

impl Handler for Qotd {
    fn handle(&mut self, request: &mut Request) -> Result {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        request
            .wfile
            .write_all(quotation(now.as_secs() / 86_400).as_bytes())?;
        Ok(())
    }
}

/// The RFC asks for printable ASCII, spaces and line ends, in less than 512 characters.
const QUOTATIONS: [&str; 7] = [
    "Be conservative in what you do, be liberal in what you accept from others.\r\n\
     \t-- Jon Postel, RFC 793\r\n",
    "We reject: kings, presidents and voting.\r\n\
     We believe in: rough consensus and running code.\r\n\
     \t-- David D. Clark\r\n",
    "Program testing can be used to show the presence of bugs, but never to show\r\n\
     their absence!\r\n\
     \t-- Edsger W. Dijkstra\r\n",
    "With sufficient thrust, pigs fly just fine. However, this is not necessarily a\r\n\
     good idea.\r\n\
     \t-- The Twelve Networking Truths, RFC 1925\r\n",
    "Simplicity is prerequisite for reliability.\r\n\
     \t-- Edsger W. Dijkstra\r\n",
    "It is always possible to add another level of indirection.\r\n\
     \t-- The Twelve Networking Truths, RFC 1925\r\n",
    "In the face of ambiguity, refuse the temptation to guess.\r\n\
     \t-- The Zen of Python, PEP 20\r\n",
];

/// Days are counted from 1 January 1970.
fn quotation(day: u64) -> &'static str {
    QUOTATIONS[(day % QUOTATIONS.len() as u64) as usize]
}

sandsock_guest::handler!(Qotd);

#[cfg(test)]
mod tests;
