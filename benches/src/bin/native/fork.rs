//! A process for each connection, as many at a time as Python's `max_children`.

#![expect(unsafe_code, reason = "fork(2)")]

use super::{buffer, serve};
use anyhow::Result;
use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use std::net::TcpListener;

/// Python's default, and ours.
const MOST: usize = 40;

pub(super) fn serve_forever(listener: &TcpListener) -> Result<()> {
    let mut children = 0;
    let mut buffer = buffer();
    loop {
        let (stream, _) = listener.accept()?;
        // SAFETY: this process has one thread, so no lock can be held by another that the child has not.
        match unsafe { fork() }? {
            ForkResult::Child => {
                serve(stream, &mut buffer);
                std::process::exit(0);
            }
            ForkResult::Parent { .. } => children += 1,
        }
        drop(stream);
        while children > 0 {
            let how = match children < MOST {
                true => WaitPidFlag::WNOHANG,
                false => WaitPidFlag::empty(),
            };
            match waitpid(None, Some(how)) {
                Ok(WaitStatus::StillAlive) => break,
                Ok(_) => children -= 1,
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
