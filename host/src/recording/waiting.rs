//! Recordings between requests and who writes them: bounded, and handed over so that a request pays next to nothing.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::keeper::Kept;
use super::recorder::Head;
use crate::request::lock;

/// Recordings that wait to be written, and bytes in them; more are lost.
const MOST: usize = 4096;
const MOST_BYTES: usize = 64 << 20;

/// Who writes gathers for so long what else comes: to wake it for each recording would cost requests more than
/// recording them does.
const GATHERING: Duration = Duration::from_millis(5);

/// Room that is kept for the next recordings, in bytes.
const ROOM: usize = 1 << 20;

#[derive(Default)]
pub(super) struct Waiting {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    batch: Batch,
    /// Who writes sleeps until something comes.
    is_idle: bool,
    /// Nothing comes any more.
    is_finished: bool,
}

/// What is written together.
#[derive(Default)]
pub(super) struct Batch {
    /// Each for a file of its own.
    pub(super) failures: Vec<(String, Vec<u8>)>,
    failures_bytes: usize,
    /// One behind the other: copied here, so that whoever has made one gives its memory back itself. Where many
    /// threads allocate what one gives back, the allocator costs more than all else of recording.
    successes: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
    /// The first line of each, until it stands there.
    heads: Vec<Option<Head>>,
    heads_bytes: usize,
    /// Room for them when they do.
    whole: Vec<u8>,
}

impl Batch {
    fn len(&self) -> usize {
        self.failures.len() + self.ends.len()
    }

    fn bytes(&self) -> usize {
        self.failures_bytes + self.successes.len() + self.heads_bytes
    }

    fn clear(&mut self) {
        self.failures.clear();
        self.failures_bytes = 0;
        self.successes.clear();
        self.successes.shrink_to(ROOM);
        self.ends.clear();
        self.heads.clear();
        self.heads_bytes = 0;
    }

    pub(super) fn push(&mut self, mut kept: Kept) {
        if let Some(name) = kept.name.take() {
            let bytes = kept.whole().into_owned();
            self.failures_bytes += bytes.len();
            self.failures.push((name, bytes));
            return;
        }
        self.successes.extend_from_slice(&kept.bytes);
        self.ends.push(self.successes.len());
        self.heads_bytes += kept.head.as_ref().map_or(0, Head::size);
        self.heads.push(kept.head);
    }

    /// Puts each first line in its place.
    fn put_heads(&mut self) {
        self.whole.clear();
        let mut from = 0;
        for (end, head) in self.ends.iter_mut().zip(self.heads.drain(..)) {
            if let Some(head) = head {
                head.push(&mut self.whole);
            }
            self.whole.extend_from_slice(&self.successes[from..*end]);
            from = *end;
            *end = self.whole.len();
        }
        self.heads_bytes = 0;
        std::mem::swap(&mut self.successes, &mut self.whole);
        self.whole.shrink_to(ROOM);
    }

    /// The successes in pieces of whole recordings: how many, and their bytes, up to `largest` where that is possible.
    pub(super) fn pieces(&self, largest: usize) -> impl Iterator<Item = (u64, &[u8])> {
        let mut ends = self.ends.iter().copied().peekable();
        let mut from = 0;
        std::iter::from_fn(move || {
            let mut to = ends.next()?;
            let mut count = 1;
            while let Some(next) = ends.next_if(|next| next - from <= largest) {
                to = next;
                count += 1;
            }
            let piece = &self.successes[from..to];
            from = to;
            Some((count, piece))
        })
    }
}

impl Waiting {
    /// Whether there is room for it.
    pub(super) fn push(&self, kept: Kept) -> bool {
        let mut state = lock(&self.state);
        let is_full = state.batch.len() >= MOST
            || state.batch.bytes().saturating_add(kept.size()) > MOST_BYTES;
        if is_full || state.is_finished {
            return false;
        }
        state.batch.push(kept);
        if std::mem::take(&mut state.is_idle) || state.batch.len() == MOST / 2 {
            self.changed.notify_one();
        }
        true
    }

    /// Nothing comes any more.
    pub(super) fn finish(&self) {
        lock(&self.state).is_finished = true;
        self.changed.notify_one();
    }

    /// Puts all that has come into a batch, once something has; `false` at the end.
    pub(super) fn next(&self, batch: &mut Batch) -> bool {
        batch.clear();
        let mut state = lock(&self.state);
        while state.batch.len() == 0 && !state.is_finished {
            state.is_idle = true;
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state.is_idle = false;
        if !state.is_finished && state.batch.len() < MOST / 2 {
            let waited = self.changed.wait_timeout(state, GATHERING);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        std::mem::swap(&mut state.batch, batch);
        drop(state);
        batch.put_heads();
        batch.len() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn success(length: usize) -> Kept {
        Kept {
            name: None,
            head: None,
            bytes: vec![b'x'; length],
        }
    }

    #[test]
    fn pieces_are_whole_recordings() {
        let mut batch = Batch::default();
        for length in [3, 4, 2, 20, 1] {
            batch.push(success(length));
        }
        let pieces = |largest| -> Vec<_> {
            let pieces = batch.pieces(largest);
            pieces.map(|(count, bytes)| (count, bytes.len())).collect()
        };
        assert_eq!(pieces(7), [(2, 7), (1, 2), (1, 20), (1, 1)]);
        assert_eq!(pieces(1000), [(5, 30)]);
        assert_eq!(pieces(0).len(), 5);
        assert_eq!(Batch::default().pieces(7).count(), 0);
    }

    #[test]
    fn more_than_there_is_room_for_is_refused() {
        let waiting = Waiting::default();
        assert!((0..MOST).all(|_| waiting.push(success(1))));
        assert!(!waiting.push(success(1)), "too many");
        let mut batch = Batch::default();
        assert!(waiting.next(&mut batch));
        assert_eq!(
            batch
                .pieces(usize::MAX)
                .map(|(count, _)| count)
                .sum::<u64>(),
            MOST as u64
        );
        let failure = |length| Kept {
            name: Some("name".to_owned()),
            ..success(length)
        };
        assert!(waiting.push(failure(MOST_BYTES / 2)));
        assert!(waiting.push(success(MOST_BYTES / 2)));
        assert!(!waiting.push(success(1)), "too large");
        assert!(waiting.next(&mut batch));
        assert_eq!((batch.failures.len(), batch.ends.len()), (1, 1));
    }

    #[test]
    fn what_waits_at_the_end_is_handed_over_and_nothing_after_it() {
        let waiting = Waiting::default();
        assert!(waiting.push(success(1)));
        waiting.finish();
        assert!(!waiting.push(success(1)));
        let mut batch = Batch::default();
        assert!(waiting.next(&mut batch));
        assert!(!waiting.next(&mut batch));
    }
}
