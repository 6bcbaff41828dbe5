//! The Daytime Protocol (RFC 867).

#![forbid(unsafe_code)]

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use sandsock_guest::{Handler, Request, Result};
use time::OffsetDateTime;

/// Sends the date and time (UTC) as a line of text; what the client sends is thrown away.
#[derive(Default)]
struct Daytime;

impl Handler for Daytime {
    fn handle(&mut self, request: &mut Request) -> Result {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let now = OffsetDateTime::from_unix_timestamp(now.as_secs().try_into()?)?;
        request.wfile.write_all(daytime(now).as_bytes())?;
        Ok(())
    }
}

/// The first of the two forms that the RFC recommends: weekday, month day, year time-zone.
fn daytime(at: OffsetDateTime) -> String {
    format!(
        "{}, {} {}, {} {:02}:{:02}:{:02}-UTC\r\n",
        at.weekday(),
        at.month(),
        at.day(),
        at.year(),
        at.hour(),
        at.minute(),
        at.second(),
    )
}

sandsock_guest::handler!(Daytime);

#[cfg(test)]
mod tests;
