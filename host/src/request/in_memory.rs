//! `rfile` and `wfile` in memory: for tests, benchmarks, and wherever a request is needed that nobody
//! sent.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Connection, lock};
use crate::address::Endpoint;

/// Input that is there from the start, and output that is kept.
#[derive(Clone, Default)]
pub struct InMemory {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    input: Vec<u8>,
    read: usize,
    output: Vec<u8>,
}

impl InMemory {
    /// A connection whose client has sent `input` and shut its side down.
    pub fn new(input: impl Into<Vec<u8>>) -> Self {
        let connection = InMemory::default();
        lock(&connection.state).input = input.into();
        connection
    }

    /// What was written so far.
    pub fn output(&self) -> Vec<u8> {
        lock(&self.state).output.clone()
    }
}

impl Connection for InMemory {
    fn recv(&self, buf: &mut [u8], _timeout: Option<Duration>) -> io::Result<usize> {
        let mut state = lock(&self.state);
        let count = buf.len().min(state.input.len() - state.read);
        buf[..count].copy_from_slice(&state.input[state.read..][..count]);
        state.read += count;
        Ok(count)
    }

    fn send(&self, buf: &[u8], _timeout: Option<Duration>) -> io::Result<usize> {
        lock(&self.state).output.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn input(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn server_address(&self) -> Endpoint {
        Endpoint::Unnamed
    }
}
