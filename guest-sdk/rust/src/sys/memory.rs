//! The host of a unit test: a client whose bytes lie in memory.

use std::io::{self, ErrorKind};

use crate::Transport;
use crate::error::message_too_long;

/// The longest UDP datagram over IPv4: 65,535 less the headers of IP and UDP.
const LONGEST_DATAGRAM: usize = 65_507;

/// What the client sends, and how it ends.
pub(crate) struct Input {
    pub(crate) unread: Vec<u8>,
    pub(crate) piece: usize,
    pub(crate) ends_with: Option<ErrorKind>,
    held: Vec<u8>,
}

impl Input {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self {
            unread: bytes,
            piece: usize::MAX,
            ends_with: None,
            held: Vec::new(),
        }
    }

    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if let (true, Some(kind)) = (self.unread.is_empty(), self.ends_with) {
            return Err(kind.into());
        }
        let count = into.len().min(self.piece).min(self.unread.len());
        into[..count].copy_from_slice(&self.unread[..count]);
        self.unread.drain(..count);
        Ok(count)
    }

    pub(crate) fn refill(&mut self) -> io::Result<usize> {
        let mut held = vec![0; self.unread.len()];
        let count = self.read(&mut held)?;
        self.held = held;
        Ok(count)
    }

    pub(crate) fn held(&self) -> &[u8] {
        &self.held
    }
}

/// What the client receives.
#[derive(Default)]
pub(crate) struct Output {
    pub(crate) written: Vec<u8>,
    /// Where each datagram that was sent ends in `written`.
    pub(crate) ends: Vec<usize>,
    pub(crate) is_datagram: bool,
    /// After how many bytes writing fails, and how.
    pub(crate) fails: Option<(usize, ErrorKind)>,
}

impl Output {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let collected = self.written.len() - self.sent();
        if self.is_datagram && collected + bytes.len() > LONGEST_DATAGRAM {
            return Err(message_too_long());
        }
        if let Some((room, kind)) = self.fails {
            let fits = room.saturating_sub(self.written.len());
            if fits < bytes.len() {
                self.written.extend_from_slice(&bytes[..fits]);
                return Err(kind.into());
            }
        }
        self.written.extend_from_slice(bytes);
        Ok(())
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.is_datagram && self.written.len() > self.sent() {
            self.ends.push(self.written.len());
        }
        Ok(())
    }

    fn sent(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }
}

/// What is known of the request.
pub(crate) struct About {
    pub(crate) client: String,
    pub(crate) server: String,
    pub(crate) transport: Transport,
    pub(crate) id: u64,
}

impl About {
    pub(crate) fn client_address(&self) -> String {
        self.client.clone()
    }

    pub(crate) fn server_address(&self) -> String {
        self.server.clone()
    }

    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Time does not pass for a client in memory.
    pub(crate) fn set_timeout(&mut self, _millis: u64) {}

    pub(crate) fn set_nodelay(&mut self, _on: bool) {}
}
