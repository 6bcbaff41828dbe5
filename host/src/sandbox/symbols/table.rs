//! The table, in bytes, as it is kept: it is never unpacked.
//!
//! All numbers have 32 bits, little-endian. First come the numbers of places, frames and strings. A place is the offset
//! in the file from which on a frame stands for the code, and the frame; places are in the order of offsets. A frame is a
//! name, a file, a line, and the frame of the function that this one was put into. A string is where it ends in the
//! bytes that follow the ends of all of them.

use std::collections::HashMap;
use std::iter;

/// No name, no file, no function around.
pub(super) const NONE: u32 = u32::MAX;

/// The largest table, in bytes.
const LARGEST: usize = 16 << 20;

/// Bytes of it that only functions' names may take, so that the lines of one function do not cost the names of all
/// others.
const OF_NAMES: usize = 4 << 20;

/// Functions that are told of one place: one that the compiler has kept, and what it has put into that.
pub(super) const DEEPEST: usize = 25;

/// Words of the head, a place, a frame and a string.
const HEAD: usize = 3;
const PLACE: usize = 2;
const FRAME: usize = 4;
const STRING: usize = 1;

const WORD: usize = size_of::<u32>();

/// A function at a place.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Frame {
    pub(super) name: u32,
    pub(super) file: u32,
    /// 0 where it is not known.
    pub(super) line: u32,
    /// The function that this one was put into.
    pub(super) within: u32,
}

/// A table that can be looked up. Whatever its bytes are, it answers in bounded time.
#[derive(Default)]
pub(super) struct Table(pub(super) Vec<u8>);

impl Table {
    fn word(&self, index: usize) -> Option<u32> {
        let bytes = self.0.get(index.checked_mul(WORD)?..)?;
        Some(u32::from_le_bytes(*bytes.first_chunk()?))
    }

    fn head(&self) -> Option<[usize; HEAD]> {
        let count = |index| Some(self.word(index)? as usize);
        Some([count(0)?, count(1)?, count(2)?])
    }

    /// The innermost function at this place comes first.
    pub(super) fn frames(&self, place: u32) -> impl Iterator<Item = Frame> {
        let mut next = self.frame_at(place);
        iter::from_fn(move || {
            let frame = self.frame(next?)?;
            next = Some(frame.within);
            Some(frame)
        })
        .take(DEEPEST)
    }

    /// That of the last place that is not behind this one.
    fn frame_at(&self, place: u32) -> Option<u32> {
        let [places, ..] = self.head()?;
        let (mut from, mut to) = (0, places);
        while from < to {
            let middle = from + (to - from) / 2;
            match self.word(HEAD + middle * PLACE)? <= place {
                true => from = middle + 1,
                false => to = middle,
            }
        }
        self.word(HEAD + from.checked_sub(1)? * PLACE + 1)
    }

    fn frame(&self, number: u32) -> Option<Frame> {
        let [places, frames, _] = self.head()?;
        let number = usize::try_from(number).ok().filter(|n| *n < frames)?;
        let start = HEAD + places * PLACE + number * FRAME;
        Some(Frame {
            name: self.word(start)?,
            file: self.word(start + 1)?,
            line: self.word(start + 2)?,
            within: self.word(start + 3)?,
        })
    }

    pub(super) fn string(&self, number: u32) -> Option<&str> {
        let [places, frames, strings] = self.head()?;
        let number = usize::try_from(number).ok().filter(|n| *n < strings)?;
        let ends = HEAD + places * PLACE + frames * FRAME;
        let start = match number.checked_sub(1) {
            Some(before) => self.word(ends + before * STRING)? as usize,
            None => 0,
        };
        let end = self.word(ends + number * STRING)? as usize;
        let bytes = self.0.get((ends + strings * STRING) * WORD..)?;
        std::str::from_utf8(bytes.get(start..end)?).ok()
    }
}

/// A table that is being made, in the order of places.
#[derive(Default)]
pub(super) struct Builder {
    places: Vec<[u32; PLACE]>,
    frames: Vec<Frame>,
    frame_numbers: HashMap<Frame, u32>,
    ends: Vec<u32>,
    text: String,
    string_numbers: HashMap<String, u32>,
    bytes: usize,
}

impl Builder {
    /// Whether there is room for more than the names of functions.
    pub(super) fn has_room(&self) -> bool {
        self.bytes < LARGEST - OF_NAMES
    }

    /// Room for so many bytes more.
    fn take(&mut self, bytes: usize) -> bool {
        let has_room = self.bytes + bytes <= LARGEST;
        if has_room {
            self.bytes += bytes;
        }
        has_room
    }

    /// The number of a string, [`NONE`] where there is no room.
    pub(super) fn string(&mut self, text: &str) -> u32 {
        if let Some(number) = self.string_numbers.get(text) {
            return *number;
        }
        if !self.take(text.len() + STRING * WORD) {
            return NONE;
        }
        let number = number(self.ends.len());
        self.text.push_str(text);
        self.ends.push(self::number(self.text.len()));
        self.string_numbers.insert(text.to_owned(), number);
        number
    }

    /// The number of a frame, [`NONE`] where there is no room.
    pub(super) fn frame(&mut self, frame: Frame) -> u32 {
        if let Some(number) = self.frame_numbers.get(&frame) {
            return *number;
        }
        if !self.take(FRAME * WORD) {
            return NONE;
        }
        let number = number(self.frames.len());
        self.frames.push(frame);
        self.frame_numbers.insert(frame, number);
        number
    }

    /// From this offset on the code is this frame's.
    pub(super) fn place(&mut self, offset: u32, frame: u32) {
        let last = self.places.last().copied();
        let is_the_same = last.is_some_and(|[_, of_last]| of_last == frame);
        let is_in_order = last.is_none_or(|[last, _]| last < offset);
        if !is_the_same && is_in_order && self.take(PLACE * WORD) {
            self.places.push([offset, frame]);
        }
    }

    pub(super) fn finish(self) -> Vec<u8> {
        let head = [self.places.len(), self.frames.len(), self.ends.len()].map(number);
        let frames = self.frames.iter().flat_map(|frame| {
            let Frame {
                name,
                file,
                line,
                within,
            } = *frame;
            [name, file, line, within]
        });
        let words = head.into_iter().chain(self.places.into_iter().flatten());
        let words = words.chain(frames).chain(self.ends);
        let mut table: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
        table.extend_from_slice(self.text.as_bytes());
        table
    }
}

/// It is less than [`LARGEST`].
fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(NONE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table() -> Vec<u8> {
        let mut builder = Builder::default();
        let (outer, file, inner) = (
            builder.string("outer"),
            builder.string("a.c"),
            builder.string("inner"),
        );
        let around = builder.frame(Frame {
            name: outer,
            file,
            line: 7,
            within: NONE,
        });
        let inlined = builder.frame(Frame {
            name: inner,
            file,
            line: 2,
            within: around,
        });
        builder.place(10, around);
        builder.place(20, inlined);
        builder.place(30, around);
        builder.finish()
    }

    fn told(table: &Table, place: u32) -> Vec<(&str, u32)> {
        let frames = table.frames(place);
        frames
            .map(|frame| (table.string(frame.name).unwrap(), frame.line))
            .collect()
    }

    #[test]
    fn a_place_is_of_the_last_entry_that_is_not_behind_it() {
        let table = Table(table());
        assert_eq!(Vec::<(&str, u32)>::new(), told(&table, 9));
        for place in [10, 19, 30, u32::MAX] {
            assert_eq!(vec![("outer", 7)], told(&table, place));
        }
        for place in [20, 29] {
            assert_eq!(vec![("inner", 2), ("outer", 7)], told(&table, place));
        }
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let mut builder = Builder::default();
        let mut kept = 0;
        for number in 0..2_000_000 {
            let name = builder.string(&format!("{number:200}"));
            let frame = builder.frame(Frame {
                name,
                file: NONE,
                line: 0,
                within: NONE,
            });
            builder.place(number, frame);
            kept += u32::from(name != NONE);
        }
        assert!(!builder.has_room());
        let table = builder.finish();
        assert!(table.len() <= LARGEST + HEAD * WORD, "{}", table.len());
        assert!(kept > 50_000, "{kept}");
        let table = Table(table);
        assert_eq!(format!("{:200}", 1_000), told(&table, 1_000)[0].0);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_table_that_answers(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            place in any::<u32>(),
        ) {
            let mut made = table();
            for (at, byte) in changes {
                let at = at.index(made.len());
                made[at] = byte;
            }
            for bytes in [made, std::mem::take(&mut bytes)] {
                let table = Table(bytes);
                let frames: Vec<_> = table.frames(place).collect();
                prop_assert!(frames.len() <= DEEPEST);
                for frame in frames {
                    let _ = (table.string(frame.name), table.string(frame.file));
                }
            }
        }
    }
}
