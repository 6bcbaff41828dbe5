//! The server of a unit test, in native builds.

use crate::{Handler, Request, Result};

/// Serves `request` with a new handler, as the host does: `setup`, `handle`, `finish`; no more after
/// an error of `setup`, but `finish` after one of `handle`. At the end what was written to a datagram
/// client and not flushed is sent.
///
/// A panic, which ends an instance, goes through to the test.
///
/// # Errors
///
/// The first that a step returned.
pub fn run<H: Handler>(request: &mut Request) -> Result {
    let result = steps::<H>(request);
    request.wfile.output.flush()?;
    result
}

fn steps<H: Handler>(request: &mut Request) -> Result {
    let mut handler = H::default();
    handler.setup(request)?;
    let handled = handler.handle(request);
    let finished = handler.finish(request);
    handled.and(finished)
}
