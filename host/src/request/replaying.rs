//! In the place of a client, where a request runs again: all that it sent and took comes from the request's journal.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::{Connection, PeerCredentials};
use crate::address::Endpoint;

/// A connection that is never asked.
pub(crate) struct Replaying {
    server_address: Endpoint,
    peer: Option<PeerCredentials>,
}

impl Replaying {
    /// Of a request that had come to this address, from this peer.
    pub(crate) fn new(server_address: Endpoint, peer: Option<PeerCredentials>) -> Self {
        Replaying {
            server_address,
            peer,
        }
    }
}

impl Connection for Replaying {
    fn recv(&self, _buf: &mut [u8], _timeout: Option<Duration>) -> io::Result<usize> {
        Ok(0)
    }

    fn send(&self, buf: &[u8], _timeout: Option<Duration>) -> io::Result<usize> {
        Ok(buf.len())
    }

    fn input(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn server_address(&self) -> Endpoint {
        self.server_address.clone()
    }

    fn peer_credentials(&self) -> Option<PeerCredentials> {
        self.peer
    }
}
