//! What was received for `read_line` beyond the line: the next read begins with it.

use super::IoError;

/// Received in one piece; a longer line is handed over in parts, so nothing grows with it.
const CAPACITY: usize = 8 * 1024;

/// Bytes that were received and not read yet.
#[derive(Default)]
pub(super) struct Lookahead {
    bytes: Vec<u8>,
    start: usize,
}

impl Lookahead {
    pub(super) fn is_empty(&self) -> bool {
        self.start == self.bytes.len()
    }

    fn waiting(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Moves what is there, and fits, to the front of `buf`.
    pub(super) fn take(&mut self, buf: &mut [u8]) -> usize {
        let count = self.waiting().len().min(buf.len());
        buf[..count].copy_from_slice(&self.bytes[self.start..][..count]);
        self.start += count;
        if self.is_empty() {
            self.bytes.clear();
            self.start = 0;
        }
        count
    }

    /// Through `\n`, or `buf.len()` bytes, or the end of input. `recv` fills the room it is given.
    ///
    /// A line up to the capacity is taken only when it is whole, so an error loses nothing of it. Of a
    /// longer one what was handed over already is lost with the error, as in Python.
    pub(super) fn take_line(
        &mut self,
        buf: &mut [u8],
        mut recv: impl FnMut(&mut [u8]) -> Result<usize, IoError>,
    ) -> Result<usize, IoError> {
        let mut taken = 0;
        let mut searched = 0;
        loop {
            let room = buf.len() - taken;
            let waiting = self.waiting();
            let end = waiting[searched..]
                .iter()
                .position(|byte| *byte == b'\n')
                .map(|at| searched + at + 1);
            searched = waiting.len();
            if end.is_some() || waiting.len() >= room {
                let count = end.unwrap_or(room).min(room);
                return Ok(taken + self.take(&mut buf[taken..][..count]));
            }
            if waiting.len() >= CAPACITY {
                taken += self.take(&mut buf[taken..]);
                searched = 0;
            }
            match self.fill(&mut recv) {
                Ok(0) => return Ok(taken + self.take(&mut buf[taken..])),
                Ok(_) => {}
                // A part of a line must not be taken for the whole: what was handed over is lost.
                Err(error) => return Err(error),
            }
        }
    }

    fn fill(
        &mut self,
        recv: &mut impl FnMut(&mut [u8]) -> Result<usize, IoError>,
    ) -> Result<usize, IoError> {
        self.bytes.drain(..self.start);
        self.start = 0;
        let before = self.bytes.len();
        self.bytes.resize(CAPACITY, 0);
        let result = recv(&mut self.bytes[before..]);
        self.bytes
            .truncate(before + result.as_ref().copied().unwrap_or(0));
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Receives the parts one after the other, an error where there is one.
    fn script(
        parts: Vec<Result<&'static [u8], IoError>>,
    ) -> impl FnMut(&mut [u8]) -> Result<usize, IoError> {
        let mut parts = parts.into_iter();
        move |room| {
            let part = parts.next().unwrap_or(Ok(b""))?;
            room[..part.len()].copy_from_slice(part);
            Ok(part.len())
        }
    }

    fn line(
        ahead: &mut Lookahead,
        len: usize,
        recv: &mut impl FnMut(&mut [u8]) -> Result<usize, IoError>,
    ) -> Result<Vec<u8>, IoError> {
        let mut buf = vec![0; len];
        let count = ahead.take_line(&mut buf, recv)?;
        buf.truncate(count);
        Ok(buf)
    }

    #[test]
    fn lines_end_at_newline_length_or_end_of_input() {
        let mut ahead = Lookahead::default();
        let mut recv = script(vec![Ok(b"ab"), Ok(b"c\nde\nfgh"), Ok(b"ij")]);
        assert_eq!(Ok(b"abc\n".to_vec()), line(&mut ahead, 100, &mut recv));
        assert_eq!(Ok(b"de".to_vec()), line(&mut ahead, 2, &mut recv));
        assert_eq!(Ok(b"\n".to_vec()), line(&mut ahead, 2, &mut recv));
        assert_eq!(Ok(b"fghij".to_vec()), line(&mut ahead, 100, &mut recv));
        assert_eq!(Ok(b"".to_vec()), line(&mut ahead, 100, &mut recv));
        assert_eq!(Ok(b"".to_vec()), line(&mut ahead, 0, &mut recv));
    }

    #[test]
    fn a_timeout_in_the_middle_of_a_line_loses_nothing() {
        let mut ahead = Lookahead::default();
        let mut recv = script(vec![Ok(b"ab"), Err(IoError::TimedOut), Ok(b"c\n")]);
        assert_eq!(Err(IoError::TimedOut), line(&mut ahead, 100, &mut recv));
        assert_eq!(Ok(b"abc\n".to_vec()), line(&mut ahead, 100, &mut recv));
    }

    #[test]
    fn a_part_of_a_long_line_is_not_taken_for_the_whole() {
        let mut ahead = Lookahead::default();
        let mut left = CAPACITY + 1;
        let mut recv = |room: &mut [u8]| {
            let count = room.len().min(left);
            left -= count;
            match count {
                0 => Err(IoError::TimedOut),
                count => Ok(count),
            }
        };
        assert_eq!(
            Err(IoError::TimedOut),
            line(&mut ahead, 3 * CAPACITY, &mut recv)
        );
    }

    #[test]
    fn a_line_longer_than_the_capacity_passes_through() {
        let mut ahead = Lookahead::default();
        let total = 3 * CAPACITY + 7;
        let mut left = total;
        let mut recv = |room: &mut [u8]| {
            let count = room.len().min(left).min(1000);
            room[..count].fill(b'x');
            left -= count;
            Ok(count)
        };
        let got = line(&mut ahead, 1_000_000, &mut recv).unwrap();
        assert_eq!(total, got.len());
        assert!(ahead.bytes.capacity() <= 2 * CAPACITY);
    }
}
