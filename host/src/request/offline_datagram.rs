//! A datagram without a network: `sandsock run --datagram`. The packet was read before; each packet of the reply is
//! written to a descriptor by itself.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::libc;

use super::{Connection, InMemory, lock};
use crate::address::Endpoint;
use crate::config::LONGEST_UDP_PACKET;

/// One packet, and a descriptor for what is sent back.
pub(crate) struct OfflineDatagram {
    packet: InMemory,
    reply: Mutex<Vec<u8>>,
    output: File,
    sent: Sent,
}

/// How long each packet was that was sent. Clones are of the same request.
#[derive(Clone, Default)]
pub(crate) struct Sent(Arc<Mutex<Vec<usize>>>);

impl Sent {
    /// In bytes, in their order.
    pub(crate) fn lengths(&self) -> Vec<usize> {
        lock(&self.0).clone()
    }
}

impl OfflineDatagram {
    pub(crate) fn new(packet: Vec<u8>, output: OwnedFd, sent: Sent) -> Self {
        OfflineDatagram {
            packet: InMemory::new(packet),
            reply: Mutex::default(),
            output: output.into(),
            sent,
        }
    }
}

impl Connection for OfflineDatagram {
    fn recv(&self, buf: &mut [u8], timeout: Option<Duration>) -> io::Result<usize> {
        self.packet.recv(buf, timeout)
    }

    fn send(&self, buf: &[u8], _timeout: Option<Duration>) -> io::Result<usize> {
        let mut reply = lock(&self.reply);
        if (reply.len() + buf.len()) as u64 > LONGEST_UDP_PACKET {
            return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
        }
        reply.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&self) -> io::Result<()> {
        let reply = std::mem::take(&mut *lock(&self.reply));
        // Nothing written, nothing sent.
        if reply.is_empty() {
            return Ok(());
        }
        (&self.output).write_all(&reply)?;
        lock(&self.sent.0).push(reply.len());
        Ok(())
    }

    fn input(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn server_address(&self) -> Endpoint {
        Endpoint::Unnamed
    }

    fn discard(&self) {
        lock(&self.reply).clear();
    }
}
