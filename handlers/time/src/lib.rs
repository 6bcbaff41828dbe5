//! The Time Protocol (RFC 868).

#![forbid(unsafe_code)]

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use sandsock_guest::{Handler, Request, Result};

/// Sends the seconds since midnight of 1 January 1900 (UTC) as 32 bits, the highest first.
#[derive(Default)]
struct Time;

impl Handler for Time {
    fn handle(&mut self, request: &mut Request) -> Result {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        request
            .wfile
            .write_all(&since_1900(now.as_secs()).to_be_bytes())?;
        Ok(())
    }
}

/// From 1900 to 1970.
const SEVENTY_YEARS: u64 = 2_208_988_800;

/// The count is full at 06:28:16 on 7 February 2036, and begins again at 0, as that of NTP does: a
/// client takes a small number for one of the new era.
fn since_1900(since_1970: u64) -> u32 {
    since_1970.wrapping_add(SEVENTY_YEARS) as u32
}

sandsock_guest::handler!(Time);

#[cfg(test)]
mod tests;
