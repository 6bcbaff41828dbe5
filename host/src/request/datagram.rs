//! `rfile` and `wfile` of a datagram: the packet is the input; what is written is collected, and is
//! one packet at `flush` and at the end.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::libc;

use super::{Connection, lock};
use crate::address::Endpoint;
use crate::server::datagram::{DatagramSocket, Peer};

/// How often, and how long apart, a peer whose queue is full is tried again. On Unix sockets poll(2)
/// says writable while sendto(2) says EAGAIN, so it cannot be waited for.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(5);

/// The headers of IP and UDP that go with each packet, in bytes.
const HEADERS: usize = 28;

/// What a server makes of its replies.
#[derive(Clone, Copy)]
pub(crate) struct Replies {
    /// A handler that wrote nothing answers with an empty packet.
    pub(crate) to_nothing: bool,
    /// All that is sent is no longer than so many times the question.
    pub(crate) max_amplification: Option<u32>,
}

/// One packet, and where its reply goes.
pub(crate) struct Datagram {
    socket: Arc<DatagramSocket>,
    peer: Peer,
    packet: Vec<u8>,
    position: AtomicUsize,
    reply: Mutex<Vec<u8>>,
    has_written: AtomicBool,
    replies: Replies,
    /// Bytes of the packets that were sent, with their headers.
    sent: AtomicUsize,
    cut: AtomicBool,
}

impl Datagram {
    pub(crate) fn new(
        socket: Arc<DatagramSocket>,
        peer: Peer,
        packet: Vec<u8>,
        replies: Replies,
    ) -> Self {
        Datagram {
            socket,
            peer,
            packet,
            position: AtomicUsize::new(0),
            reply: Mutex::default(),
            has_written: AtomicBool::new(false),
            replies,
            sent: AtomicUsize::new(0),
            cut: AtomicBool::new(false),
        }
    }

    /// How much longer the reply can become.
    fn room(&self, reply: &[u8]) -> usize {
        self.replies.max_amplification.map_or(usize::MAX, |factor| {
            let question = self.packet.len() + HEADERS;
            let most = usize::try_from(factor).map_or(usize::MAX, |factor| question * factor);
            let sent = self.sent.load(Relaxed) + HEADERS + reply.len();
            most.saturating_sub(sent)
        })
    }

    fn send_packet(&self, packet: &[u8]) -> io::Result<()> {
        for attempt in 1.. {
            match self.socket.send_to(packet, &self.peer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if attempt == TRIES || self.cut.load(Relaxed) {
                        return Err(error);
                    }
                    std::thread::sleep(PAUSE);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
        Ok(())
    }
}

impl Connection for Datagram {
    fn recv(&self, buf: &mut [u8], _timeout: Option<Duration>) -> io::Result<usize> {
        let position = self.position.load(Relaxed);
        let count = buf.len().min(self.packet.len() - position);
        buf[..count].copy_from_slice(&self.packet[position..][..count]);
        self.position.store(position + count, Relaxed);
        Ok(count)
    }

    fn send(&self, buf: &[u8], _timeout: Option<Duration>) -> io::Result<usize> {
        if !self.peer.has_address() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let mut reply = lock(&self.reply);
        if reply.len() + buf.len() > self.socket.longest_reply() {
            return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
        }
        if buf.len() > self.room(&reply) {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        reply.extend_from_slice(buf);
        self.has_written.store(true, Relaxed);
        Ok(buf.len())
    }

    fn flush(&self) -> io::Result<()> {
        let reply = std::mem::take(&mut *lock(&self.reply));
        // Nothing written, nothing sent: Python's empty packet is for who asks for it.
        if reply.is_empty() {
            return Ok(());
        }
        self.sent.fetch_add(HEADERS + reply.len(), Relaxed);
        self.send_packet(&reply)
    }

    fn finish(&self) -> io::Result<()> {
        if self.replies.to_nothing && !self.has_written.load(Relaxed) {
            return self.send_packet(&[]);
        }
        self.flush()
    }

    fn input(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn server_address(&self) -> Endpoint {
        self.socket.server_address(&self.peer)
    }

    fn discard(&self) {
        lock(&self.reply).clear();
    }

    fn abort(&self) {
        self.cut.store(true, Relaxed);
    }
}
