//! The host of a component: the interfaces of `socketserver:handler@1.0.0`.

use std::io;

use crate::error::message_too_long;
use crate::{Result, Transport};

/// What `wit-bindgen` makes of the world, which `handler!` names in another crate.
#[doc(hidden)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "full-handler",
        pub_export_macro: true,
        default_bindings_module: "sandsock_guest::__private::bindings",
    });
}

use bindings::socketserver::handler::{request, rfile, types::IoError, wfile};

/// What is asked for of a client that sends little: the host makes room for as much.
const SMALL: u32 = 4096;

/// What is asked for once a client has sent [`SMALL`].
const LARGE: u32 = 64 * 1024;

/// `rfile`, and the list that was received ahead of the handler's reads.
pub(crate) struct Input {
    held: Vec<u8>,
}

impl Input {
    pub(crate) const fn new() -> Self {
        Self { held: Vec::new() }
    }

    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = u32::try_from(into.len()).unwrap_or(u32::MAX);
        let received = rfile::read(len).map_err(error)?;
        io::Read::read(&mut received.as_slice(), into)
    }

    /// Receives anew, in place of what was held.
    pub(crate) fn refill(&mut self) -> io::Result<usize> {
        let bulk = self.held.len() >= SMALL as usize;
        // Freed before the call, so that the next list can take its place.
        self.held = Vec::new();
        self.held = rfile::read(if bulk { LARGE } else { SMALL }).map_err(error)?;
        Ok(self.held.len())
    }

    pub(crate) fn held(&self) -> &[u8] {
        &self.held
    }
}

/// `wfile`.
pub(crate) struct Output;

impl Output {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        wfile::write(bytes).map_err(error)
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        wfile::flush().map_err(error)
    }
}

/// What the host knows of the request.
pub(crate) struct About;

impl About {
    pub(crate) fn client_address(&self) -> String {
        request::client_address()
    }

    pub(crate) fn server_address(&self) -> String {
        request::server_address()
    }

    pub(crate) fn transport(&self) -> Transport {
        Transport::from_number(request::transport() as i32)
    }

    pub(crate) fn id(&self) -> u64 {
        request::id()
    }

    pub(crate) fn set_timeout(&mut self, millis: u64) {
        request::set_timeout(millis);
    }

    pub(crate) fn set_nodelay(&mut self, on: bool) {
        request::set_nodelay(on);
    }
}

fn error(error: IoError) -> io::Error {
    match error {
        IoError::TimedOut => io::ErrorKind::TimedOut.into(),
        IoError::BrokenPipe => io::ErrorKind::BrokenPipe.into(),
        IoError::ConnectionReset => io::ErrorKind::ConnectionReset.into(),
        IoError::MessageTooLong => message_too_long(),
        IoError::Other(text) => io::Error::other(text),
    }
}

/// The component's own start has run.
pub(crate) fn initialize() {}

/// What an export returns.
pub type Outcome = std::result::Result<(), String>;

pub(crate) fn outcome(result: Result) -> Outcome {
    result.map_err(|error| error.to_string())
}
