//! What the processes of a loop say to the one that supervises them: lines of the log, events, recordings, that it accepts.
//!
//! The kernel says of each message whose it is (unix(7), `SO_PASSCRED`): a child may say less than its loop.

use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixCredentials, recvmsg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use super::Message;
use super::said;
use crate::cli::fork_loop::{ACCEPTING, EVENT, LINE, PIECE, Pieces};
use crate::cli::log;
use crate::events;
use crate::recording::{Keeper, Sink};

/// The longest message; a longer one would not fit into the sender's buffer either.
const LONGEST_MESSAGE: usize = 256 << 10;

/// Recordings are gathered for so long: to be woken for each would cost requests more than to record them does.
const GATHERING: Duration = Duration::from_millis(5);

/// Not where so many bytes have come at once: children would wait for room in the channel.
const MUCH: usize = 32 << 10;

/// What is said in another form is told up to so many characters.
const LONGEST_WORDS: usize = 2000;

/// How often is looked, and how many times, whether a loop that says nothing any more has ended.
const LOOK: Duration = Duration::from_millis(20);
const LOOKS: u32 = 100;

/// A loop, and what the supervisor has of it.
pub(super) struct Heard<'a> {
    pub(super) channel: OwnedFd,
    pub(super) service: &'a str,
    /// Of the loop, among all that were started.
    pub(super) number: u64,
    pub(super) pid: Pid,
    pub(super) keeper: Option<&'a Keeper>,
    pub(super) messages: &'a Sender<Message>,
}

impl Heard<'_> {
    /// Passes on what a loop and its children say, until none of them is left, or one of them has silenced all.
    pub(super) fn pass_on(&self) {
        let mut pieces = Pieces::default();
        let mut buffer = vec![0; LONGEST_MESSAGE];
        // Bytes of recordings since the last look in vain.
        let mut gathered = 0;
        loop {
            let flags = match gathered {
                0 => MsgFlags::empty(),
                _ => MsgFlags::MSG_DONTWAIT,
            };
            match receive(&self.channel, &mut buffer, flags) {
                Ok(Some((said_by, length))) => {
                    if self.pass_on_one(said_by, &buffer[..length], &mut pieces) {
                        gathered += length;
                    }
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    if gathered < MUCH {
                        thread::sleep(GATHERING);
                    }
                    gathered = 0;
                }
                Ok(None) | Err(_) => break,
            }
        }
        if !self.has_ended() {
            let _ = self.messages.send(Message::Silenced(self.number));
        }
    }

    /// Whether it was a part of a recording.
    fn pass_on_one(&self, said_by: Pid, message: &[u8], pieces: &mut Pieces) -> bool {
        let child = said_by.as_raw().cast_unsigned();
        match message {
            [LINE, line @ ..] if said_by == self.pid => log::line(log::Of::Host, line),
            [ACCEPTING] if said_by == self.pid => {
                let _ = self.messages.send(Message::Accepting(self.number));
            }
            [PIECE, piece @ ..] => {
                if let (Some(recording), Some(keeper)) = (pieces.add(child, piece), self.keeper) {
                    keeper.keep(recording);
                }
                return true;
            }
            [EVENT, event @ ..] if said::tell(self.service, child, event).is_some() => {}
            [] => {}
            words => {
                let words = String::from_utf8_lossy(words);
                let words: String = words.trim_end().chars().take(LONGEST_WORDS).collect();
                events::of_child(child, || events::fork_said(&words));
            }
        }
        false
    }

    /// Whether the loop's process has ended: it has closed the channel a moment before that can be seen.
    fn has_ended(&self) -> bool {
        let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        (0..LOOKS).any(|_| match waitid(Id::Pid(self.pid), look) {
            Ok(WaitStatus::StillAlive) => {
                thread::sleep(LOOK);
                false
            }
            // Ended, and maybe waited for already.
            _ => true,
        })
    }
}

/// Who has said so many bytes, which are in the buffer; `None` at the end. An empty message is none: it has a sender.
fn receive(
    channel: &OwnedFd,
    buffer: &mut [u8],
    flags: MsgFlags,
) -> nix::Result<Option<(Pid, usize)>> {
    let mut control = cmsg_space!(UnixCredentials);
    let mut parts = [IoSliceMut::new(buffer)];
    let flags = flags | MsgFlags::MSG_CMSG_CLOEXEC;
    let received = recvmsg::<()>(channel.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let sender = received.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::ScmCredentials(sender) => Some(Pid::from_raw(sender.pid())),
        _ => None,
    });
    Ok(sender.map(|sender| (sender, received.bytes)))
}
