//! What the processes of a loop say to the one that supervises them: lines of the log, recordings, that it accepts.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};

use super::Message;
use crate::cli::fork_loop::{ACCEPTING, GUEST_LINE, LINE, PIECE, Pieces};
use crate::cli::log;
use crate::events;
use crate::recording::{Keeper, Sink};

/// The longest message; a longer one would not fit into the sender's buffer either.
const LONGEST_MESSAGE: usize = 256 << 10;

/// Recordings are gathered for so long: to be woken for each would cost requests more than to record them does.
const GATHERING: Duration = Duration::from_millis(5);

/// Not where so many bytes have come at once: children would wait for room in the channel.
const MUCH: usize = 32 << 10;

/// Passes on what a loop and its children say, until none of them is left.
pub(super) fn pass_on(
    channel: &OwnedFd,
    number: u64,
    keeper: Option<&Keeper>,
    messages: &Sender<Message>,
) {
    let mut pieces = Pieces::default();
    let mut buffer = vec![0; LONGEST_MESSAGE];
    // Bytes of recordings since the last look in vain.
    let mut gathered = 0;
    loop {
        let flags = match gathered {
            0 => MsgFlags::empty(),
            _ => MsgFlags::MSG_DONTWAIT,
        };
        let length = match recv(channel.as_raw_fd(), &mut buffer, flags) {
            Ok(0) => return,
            Ok(length) => length,
            Err(Errno::EINTR) => continue,
            Err(Errno::EAGAIN) => {
                if gathered < MUCH {
                    thread::sleep(GATHERING);
                }
                gathered = 0;
                continue;
            }
            Err(_) => return,
        };
        match buffer[..length] {
            [LINE, ref line @ ..] => log::line(log::Of::Host, line),
            [GUEST_LINE, ref line @ ..] => log::line(log::Of::Guest, line),
            [PIECE, ref piece @ ..] => {
                gathered += length;
                if let (Some(recording), Some(keeper)) = (pieces.add(piece), keeper) {
                    keeper.keep(recording);
                }
            }
            [ACCEPTING] => drop(messages.send(Message::Accepting(number))),
            ref said => events::fork_said(String::from_utf8_lossy(said).trim_end()),
        }
    }
}
