//! Recordings on their way from a child to the supervisor, which writes them: in pieces, since a message has a
//! longest length.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::words::{PIECE, tell};
use crate::concurrency::Table;
use crate::recording::{Kept, Sink, is_file_name};

/// Bytes of a recording in one message.
const LENGTH: usize = 64 << 10;

/// Recordings of which pieces are still to come; those of children that have died are never whole.
const MOST: usize = 1024;

/// More than a recording with all of its bytes escaped, in bytes.
const LONGEST: usize = 8 << 20;

/// Bytes that wait for the rest of their recordings, of all children together.
const WAITING: usize = 64 << 20;

/// What the second byte of a message says.
const FIRST: u8 = 1;
const LAST: u8 = 2;

/// A child's way to the supervisor.
pub(super) struct ToSupervisor {
    pub(super) channel: Arc<OwnedFd>,
    pub(super) table: Arc<Table>,
}

impl Sink for ToSupervisor {
    fn keep(&self, kept: Kept) {
        let name = kept.name.as_deref().unwrap_or_default();
        let whole = kept.whole();
        let count = whole.len().div_ceil(LENGTH);
        for (number, piece) in whole.chunks(LENGTH).enumerate() {
            let (mut place, mut name_line) = (0, ["", ""]);
            if number == 0 {
                place |= FIRST;
                name_line = [name, "\n"];
            }
            if number + 1 == count {
                place |= LAST;
            }
            let [name, end] = name_line.map(str::as_bytes);
            // In one call, without a copy of what can be long.
            if tell(&self.channel, &[&[PIECE, place], name, end, piece]).is_err() {
                self.table.counters().lines_lost.fetch_add(1, Relaxed);
                return;
            }
        }
    }
}

/// What has come of recordings so far, by the child that they are of.
#[derive(Default)]
pub(in crate::cli) struct Pieces {
    begun: BTreeMap<u32, Vec<u8>>,
    /// Bytes of all of them.
    waiting: usize,
}

impl Pieces {
    /// Takes what is behind [`PIECE`] in a message of this child's; a recording, once it is whole. One that is too long is
    /// lost as a whole: half of it would make those behind it in the same file unreadable.
    pub(in crate::cli) fn add(&mut self, child: u32, message: &[u8]) -> Option<Kept> {
        let (place, piece) = message.split_first()?;
        // A number is used again after its process has died.
        if place & FIRST != 0 {
            self.remove(child);
            self.begun.insert(child, Vec::new());
        }
        if self.begun.get(&child)?.len() + piece.len() > LONGEST {
            self.remove(child);
            return None;
        }
        self.make_room(child, piece.len());
        let whole = self.begun.get_mut(&child)?;
        whole.extend_from_slice(piece);
        self.waiting += piece.len();
        if place & LAST == 0 {
            return None;
        }
        let whole = self.remove(child)?;
        let end = whole.iter().position(|byte| *byte == b'\n')?;
        let name = str::from_utf8(&whole[..end]).ok()?;
        (name.is_empty() || is_file_name(name)).then(|| Kept {
            head: None,
            name: (!name.is_empty()).then(|| name.to_owned()),
            bytes: whole[end + 1..].to_vec(),
        })
    }

    /// Others go that have begun: who has not gone on has died.
    fn make_room(&mut self, child: u32, bytes: usize) {
        while self.begun.len() > MOST || self.waiting + bytes > WAITING {
            let other = self.begun.keys().copied().find(|other| *other != child);
            let Some(other) = other else { return };
            self.remove(other);
        }
    }

    fn remove(&mut self, child: u32) -> Option<Vec<u8>> {
        let whole = self.begun.remove(&child)?;
        self.waiting -= whole.len();
        Some(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(place: u8, bytes: &[u8]) -> Vec<u8> {
        [&[place][..], bytes].concat()
    }

    fn whole(text: &[u8]) -> Option<(Option<String>, Vec<u8>)> {
        let kept = Pieces::default().add(7, &piece(FIRST | LAST, text))?;
        Some((kept.name, kept.bytes))
    }

    const NAME: &str = "20260101T000000-echo-7.jsonl";

    #[test]
    fn pieces_of_children_side_by_side_become_whole() {
        let mut pieces = Pieces::default();
        assert!(pieces.add(1, &piece(FIRST, NAME.as_bytes())).is_none());
        assert!(pieces.add(2, &piece(FIRST, b"\nof ")).is_none());
        assert!(pieces.add(1, &piece(0, b"\na")).is_none());
        let second = pieces.add(2, &piece(LAST, b"two")).expect("it is whole");
        assert_eq!(second.name, None);
        assert_eq!(second.bytes, b"of two");
        let first = pieces.add(1, &piece(LAST, b"b")).expect("it is whole");
        assert_eq!(first.name.as_deref(), Some(NAME));
        assert_eq!(first.bytes, b"ab");
        assert_eq!((pieces.begun.len(), pieces.waiting), (0, 0));
    }

    #[test]
    fn a_name_is_no_path() {
        assert_eq!(whole(b"\nx"), Some((None, b"x".to_vec())));
        let named = [NAME.as_bytes(), b"\nx"].concat();
        assert_eq!(whole(&named), Some((Some(NAME.to_owned()), b"x".to_vec())));
        let long = format!("2{}.jsonl", "0".repeat(300));
        for name in [
            "..",
            ".",
            "/etc/passwd.jsonl",
            "../2.jsonl",
            "2/../../x.jsonl",
            "2/x.jsonl",
            "2\0.jsonl",
            "notes.jsonl",
            "2026.txt",
            ".sandsock-x",
            "2 .jsonl",
            "2\r.jsonl",
            "2\u{fc}.jsonl",
            &*long,
        ] {
            assert_eq!(whole(format!("{name}\nx").as_bytes()), None, "{name:?}");
        }
        assert_eq!(whole(b"\xff\nx"), None);
        assert_eq!(whole(b"no end"), None);
    }

    #[test]
    fn a_recording_that_never_ends_is_lost_and_takes_bounded_memory() {
        let mut pieces = Pieces::default();
        let part = vec![b'x'; LENGTH];
        pieces.add(1, &piece(FIRST, b"\n"));
        for _ in 0..2 * LONGEST / LENGTH {
            assert!(pieces.add(1, &piece(0, &part)).is_none());
            assert!(pieces.waiting <= LONGEST);
        }
        assert!(
            pieces.add(1, &piece(LAST, b"end")).is_none(),
            "half of it is none"
        );
        assert_eq!((pieces.begun.len(), pieces.waiting), (0, 0));
    }

    #[test]
    fn many_children_that_never_end_take_bounded_memory_and_others_are_kept() {
        let mut pieces = Pieces::default();
        let part = vec![b'x'; LENGTH];
        for child in 0..5 * MOST as u32 {
            pieces.add(child, &piece(FIRST, b"\n"));
            pieces.add(child, &piece(0, &part));
            assert!(pieces.begun.len() <= MOST && pieces.waiting <= WAITING);
        }
        assert!(pieces.waiting > WAITING / 2);
        let new = pieces.add(1 << 20, &piece(FIRST | LAST, b"\nnew"));
        assert!(new.is_some(), "who comes later is not kept out");
    }

    #[test]
    fn what_is_no_piece_is_nothing() {
        let mut pieces = Pieces::default();
        for message in [&b""[..], b"\x03", b"\x03abc", b"\xff\0\0\0\0"] {
            assert!(pieces.add(1, message).is_none());
        }
        assert!(pieces.add(1, &piece(LAST, b"\nnever begun")).is_none());
        // The child before with that number has died in the middle.
        pieces.add(1, &piece(FIRST, b"\nold"));
        let new = pieces
            .add(1, &piece(FIRST | LAST, b"\nnew"))
            .expect("it is whole");
        assert_eq!(new.bytes, b"new");
    }
}
