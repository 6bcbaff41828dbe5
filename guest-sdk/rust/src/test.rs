//! The server of a unit test, in native builds.

use crate::{Handler, Request, Result};

/// Serves `request` with a new handler, as the host does: `setup`, `handle`, `finish`; no more after
/// an error of `setup`, but `finish` after one of `handle`. At the end what was written to a datagram
/// client and not flushed is sent.
///
/// A panic, which ends an instance, goes through to the test.
///
/// ```
/// use std::io::{BufRead, ErrorKind, Write};
/// use sandsock_guest::{Handler, Request, Result, Transport, test};
///
/// /// Answers each line with its length.
/// #[derive(Default)]
/// struct Lengths;
///
/// impl Handler for Lengths {
///     fn handle(&mut self, request: &mut Request) -> Result {
///         let Request { rfile, wfile, .. } = request;
///         for line in rfile.lines() {
///             writeln!(wfile, "{}", line?.len())?;
///         }
///         Ok(())
///     }
/// }
///
/// // However the lines come.
/// let mut request = Request::in_memory("one\nthree\n").in_pieces_of(1);
/// test::run::<Lengths>(&mut request)?;
/// assert_eq!(request.written(), b"3\n5\n");
///
/// // A packet in, a packet out.
/// let mut request = Request::in_memory("one\ntwo\n").over(Transport::Udp);
/// test::run::<Lengths>(&mut request)?;
/// assert_eq!(request.datagrams(), [b"3\n3\n"]);
///
/// // Clients that fall silent, or have gone.
/// let mut request = Request::in_memory("one\ntw").then_read_fails(ErrorKind::TimedOut);
/// assert!(test::run::<Lengths>(&mut request).is_err());
/// assert_eq!(request.written(), b"3\n");
/// let mut request = Request::in_memory("one\n").write_fails_after(0, ErrorKind::BrokenPipe);
/// assert!(test::run::<Lengths>(&mut request).is_err());
/// # Ok::<(), sandsock_guest::Error>(())
/// ```
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
