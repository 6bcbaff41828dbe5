//! A request whose client is a unit test.

use std::io::ErrorKind;

use crate::sys::{About, Input, Output};
use crate::{RFile, Request, Transport, WFile};

/// A client in memory, in native builds: what it sends is given, what it receives is kept.
///
/// ```
/// use sandsock_guest::{Request, Transport};
///
/// let request = Request::in_memory("ping\n").client("[::1]:4711").over(Transport::Udp);
/// assert_eq!(request.client_address(), "[::1]:4711");
/// assert!(request.datagrams().is_empty());
/// ```
impl Request {
    /// A client at `127.0.0.1:4711` that sends `input` over TCP to `127.0.0.1:9999` and ends its
    /// side; request number 1.
    pub fn in_memory(input: impl Into<Vec<u8>>) -> Self {
        Self {
            rfile: RFile::new(Input::new(input.into())),
            wfile: WFile::new(Output::default()),
            about: About {
                client: String::from("127.0.0.1:4711"),
                server: String::from("127.0.0.1:9999"),
                transport: Transport::Tcp,
                id: 1,
            },
        }
    }

    /// Another client's address.
    pub fn client(mut self, address: impl Into<String>) -> Self {
        self.about.client = address.into();
        self
    }

    /// Another server's address.
    pub fn server(mut self, address: impl Into<String>) -> Self {
        self.about.server = address.into();
        self
    }

    /// Another transport. Over one of datagrams the input is one packet.
    pub fn over(mut self, transport: Transport) -> Self {
        self.about.transport = transport;
        self.wfile.output.is_datagram = transport.is_datagram();
        self
    }

    /// Another number.
    pub fn numbered(mut self, id: u64) -> Self {
        self.about.id = id;
        self
    }

    /// The input comes in pieces of at most `len` bytes (at least 1), as over a slow line.
    pub fn in_pieces_of(mut self, len: usize) -> Self {
        self.rfile.input.piece = len.max(1);
        self
    }

    /// After the input each read fails, in place of the end of input: with
    /// [`TimedOut`](ErrorKind::TimedOut) for a client that falls silent, with
    /// [`ConnectionReset`](ErrorKind::ConnectionReset) for one that vanishes.
    pub fn then_read_fails(mut self, kind: ErrorKind) -> Self {
        self.rfile.input.ends_with = Some(kind);
        self
    }

    /// The client takes `len` bytes, and what is written beyond them fails: with
    /// [`BrokenPipe`](ErrorKind::BrokenPipe) for a client that has gone, with
    /// [`TimedOut`](ErrorKind::TimedOut) for one that does not read.
    pub fn write_fails_after(mut self, len: usize, kind: ErrorKind) -> Self {
        self.wfile.output.fails = Some((len, kind));
        self
    }

    /// All that was written so far, over whatever transport.
    pub fn written(&self) -> &[u8] {
        &self.wfile.output.written
    }

    /// The datagrams that were sent: by a flush, or at the end of [`test::run`](crate::test::run).
    /// Over a stream there are none.
    pub fn datagrams(&self) -> Vec<&[u8]> {
        let output = &self.wfile.output;
        let starts = std::iter::once(&0).chain(&output.ends);
        starts
            .zip(&output.ends)
            .map(|(&start, &end)| &output.written[start..end])
            .collect()
    }
}
