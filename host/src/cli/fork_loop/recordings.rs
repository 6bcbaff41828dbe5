//! Recordings on their way from a child to the supervisor, which writes them: in pieces, since a message has a
//! longest length.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::tell;
use crate::concurrency::Table;
use crate::recording::{Content, Kept, Sink};

/// What the first byte of a message with a piece says.
pub(in crate::cli) const PIECE: u8 = 4;

/// Bytes of a recording in one message.
const LENGTH: usize = 64 << 10;

/// Recordings of which pieces are still to come; those of children that have died are never whole.
const MOST: usize = 64;

/// More than a recording with all of its bytes escaped, in bytes.
const LONGEST: usize = 16 << 20;

/// A child's way to the supervisor.
pub(super) struct ToSupervisor {
    pub(super) channel: Arc<OwnedFd>,
    pub(super) table: Arc<Table>,
}

impl Sink for ToSupervisor {
    fn keep(&self, kept: Kept) {
        let bytes = match kept.content {
            Content::Recording(recording) => recording.to_bytes(),
            Content::Bytes(bytes) => bytes,
        };
        let child = std::process::id().to_le_bytes();
        let name = kept.name.unwrap_or_default();
        let whole = [name.as_bytes(), b"\n", &bytes].concat();
        let count = whole.len().div_ceil(LENGTH);
        for (number, piece) in whole.chunks(LENGTH).enumerate() {
            let is_last = u8::from(number + 1 == count);
            let message = [&[PIECE, is_last][..], &child, piece].concat();
            if tell(&self.channel, &message).is_err() {
                self.table.counters().lines_lost.fetch_add(1, Relaxed);
                return;
            }
        }
    }
}

/// What has come of recordings so far, by the child that they are of.
#[derive(Default)]
pub(in crate::cli) struct Pieces(BTreeMap<[u8; 4], Vec<u8>>);

impl Pieces {
    /// Takes what is behind [`PIECE`] in a message; a recording, once it is whole.
    pub(in crate::cli) fn add(&mut self, message: &[u8]) -> Option<Kept> {
        let (is_last, rest) = message.split_first()?;
        let (child, piece) = rest.split_first_chunk()?;
        if self.0.len() >= MOST && !self.0.contains_key(child) {
            self.0.pop_first();
        }
        let whole = self.0.entry(*child).or_default();
        if whole.len() + piece.len() <= LONGEST {
            whole.extend_from_slice(piece);
        }
        if *is_last == 0 {
            return None;
        }
        let whole = self.0.remove(child)?;
        let end = whole.iter().position(|byte| *byte == b'\n')?;
        let name = str::from_utf8(&whole[..end]).ok()?;
        // It comes from a process that a guest may have broken into: a name, and no path.
        let is_name = name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        is_name.then(|| Kept {
            name: (!name.is_empty()).then(|| name.to_owned()),
            content: Content::Bytes(whole[end + 1..].to_vec()),
        })
    }
}
