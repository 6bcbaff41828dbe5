//! One long stream: chunks are written as fast as they go, and must come back as they were.

use super::{PATIENCE, own_cpu};
use anyhow::{Context, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// What is written, and read, at once.
pub const CHUNK: usize = 64 << 10;

/// Bytes repeat after so many, which no size of a buffer divides: what is moved or lost is seen.
const PERIOD: usize = 251;

/// What one stream was.
pub struct Stream {
    /// Bytes that went there and came back.
    pub bytes: u64,
    /// From the first to the last.
    pub wall: Duration,
    /// CPU time of the client.
    pub cpu: Duration,
}

/// Echoes for so long.
pub fn stream(to: SocketAddr, time: Duration) -> Result<Stream> {
    let pattern: Vec<u8> = (0..CHUNK + PERIOD).map(|n| (n % PERIOD) as u8).collect();
    let at = |position: u64| &pattern[(position % PERIOD as u64) as usize..][..CHUNK];
    let mut socket = TcpStream::connect(to).context("cannot connect")?;
    socket.set_nonblocking(true)?;
    let (began, cpu) = (Instant::now(), own_cpu());
    let (mut sent, mut received) = (0_u64, 0_u64);
    let mut buffer = vec![0; CHUNK];
    let mut is_open = true;
    loop {
        if is_open && began.elapsed() >= time {
            socket.shutdown(Shutdown::Write)?;
            is_open = false;
        }
        let mut has_moved = false;
        if is_open {
            match socket.write(at(sent)) {
                Ok(count) => {
                    sent += count as u64;
                    has_moved = true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("cannot send"),
            }
        }
        match socket.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                if buffer[..count] != at(received)[..count] {
                    bail!("byte {received} or one soon after it is not what was sent");
                }
                received += count as u64;
                has_moved = true;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("the stream broke off"),
        }
        if !has_moved {
            let either = match is_open {
                true => PollFlags::POLLIN | PollFlags::POLLOUT,
                false => PollFlags::POLLIN,
            };
            let mut ready = [PollFd::new(socket.as_fd(), either)];
            if poll(&mut ready, PollTimeout::try_from(PATIENCE)?)? == 0 {
                bail!("not a byte has moved for {PATIENCE:?}");
            }
        }
    }
    if received != sent {
        bail!("{received} of {sent} bytes have come back");
    }
    Ok(Stream {
        bytes: sent,
        wall: began.elapsed(),
        cpu: own_cpu().saturating_sub(cpu),
    })
}
