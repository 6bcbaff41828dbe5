//! Orders for the handler `tests/handlers/script.wat`, and its answers.

use std::time::Duration;

/// An import of the module ABI that takes a pointer and a length, by the number that the script has
/// for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Import {
    Read = 0,
    ReadLine = 1,
    Write = 2,
    ClientAddress = 3,
    ServerAddress = 4,
}

impl Import {
    /// Every one.
    pub(crate) const ALL: [Import; 5] = [
        Import::Read,
        Import::ReadLine,
        Import::Write,
        Import::ClientAddress,
        Import::ServerAddress,
    ];
}

/// One order. What it answers is said where it answers anything.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op<'a> {
    /// Ends the step with 0.
    Return,
    /// Ends the step with 1: an error that the handler reports.
    Fail,
    /// `unreachable`, in a function named after the step.
    Trap,
    /// Loops for ever.
    Spin,
    /// `proc_exit` of WASI.
    Exit(u32),
    /// Writes the text (up to 255 bytes).
    Write(&'a str),
    /// Writes so many bytes at once (up to 500,000). Answers the result.
    WriteMany(u32),
    /// Writes without end, and reports an error when that fails.
    WriteForEver,
    /// Answers the result.
    Flush,
    /// Prints a line (up to 255 bytes) on standard output.
    Print(&'a str),
    /// Prints a line (up to 255 bytes) on standard error.
    PrintError(&'a str),
    /// Answers the result, then what was read.
    Read(u32),
    /// Answers the result, then what was read.
    ReadLine(u32),
    /// Answers the result, then as much of the text as fits in so many bytes.
    ClientAddress(u32),
    /// Answers the result, then as much of the text as fits in so many bytes.
    ServerAddress(u32),
    /// Answers the number.
    Transport,
    /// Answers the number, 64 bits.
    Id,
    /// Milliseconds. Answers the result.
    SetTimeout(i64),
    /// Answers the result.
    SetNodelay(i32),
    /// Pages of 64 KiB. Answers the result: the old size, or -1.
    GrowMemory(u32),
    /// Elements. Answers the result: the old size, or -1.
    GrowTable(u32),
    /// Sleeps in `poll_oneoff`.
    Sleep(Duration),
    /// Sleeps so many nanoseconds in `poll_oneoff`.
    SleepNanos(u64),
    /// Calls an import with this pointer and length. Answers the result.
    Pointer(Import, u32, u32),
}

/// The orders as bytes.
pub(crate) fn script(orders: &[Op<'_>]) -> Vec<u8> {
    orders.iter().flat_map(|order| order.encoded()).collect()
}

impl Op<'_> {
    fn encoded(self) -> Vec<u8> {
        let text = |letter: u8, text: &str| {
            let len = u8::try_from(text.len()).expect("a text of up to 255 bytes");
            [&[letter, len], text.as_bytes()].concat()
        };
        let number = |letter: u8, bytes: &[u8]| [&[letter], bytes].concat();
        match self {
            Op::Return => vec![b'.'],
            Op::Fail => vec![b'e'],
            Op::Trap => vec![b't'],
            Op::Spin => vec![b'l'],
            Op::Exit(code) => number(b'x', &code.to_le_bytes()),
            Op::Write(bytes) => text(b'w', bytes),
            Op::WriteMany(n) => number(b'b', &n.to_le_bytes()),
            Op::WriteForEver => vec![b'W'],
            Op::Flush => vec![b'F'],
            Op::Print(line) => text(b'o', line),
            Op::PrintError(line) => text(b'O', line),
            Op::Read(n) => number(b'r', &n.to_le_bytes()),
            Op::ReadLine(n) => number(b'R', &n.to_le_bytes()),
            Op::ClientAddress(n) => number(b'c', &n.to_le_bytes()),
            Op::ServerAddress(n) => number(b'a', &n.to_le_bytes()),
            Op::Transport => vec![b'k'],
            Op::Id => vec![b'i'],
            Op::SetTimeout(ms) => number(b'T', &ms.to_le_bytes()),
            Op::SetNodelay(on) => number(b'N', &on.to_le_bytes()),
            Op::GrowMemory(pages) => number(b'm', &pages.to_le_bytes()),
            Op::GrowTable(elements) => number(b'M', &elements.to_le_bytes()),
            Op::Sleep(time) => {
                let nanos = u64::try_from(time.as_nanos()).expect("less than 584 years");
                Op::SleepNanos(nanos).encoded()
            }
            Op::SleepNanos(nanos) => number(b'z', &nanos.to_le_bytes()),
            Op::Pointer(import, ptr, len) => [
                &[b'p', import as u8][..],
                &ptr.to_le_bytes(),
                &len.to_le_bytes(),
            ]
            .concat(),
        }
    }
}

/// What the handler answered, read from its beginning.
pub(crate) struct Answers(pub(crate) Vec<u8>);

impl Answers {
    /// So many bytes.
    pub(crate) fn bytes(&mut self, n: usize) -> Vec<u8> {
        assert!(self.0.len() >= n, "{n} bytes expected, {:?} left", self.0);
        self.0.drain(..n).collect()
    }

    /// So many bytes, which are text.
    pub(crate) fn text(&mut self, n: usize) -> String {
        String::from_utf8(self.bytes(n)).expect("text")
    }

    /// A result.
    pub(crate) fn result(&mut self) -> i32 {
        i32::from_le_bytes(self.bytes(4).try_into().expect("four bytes"))
    }

    /// A request's number.
    pub(crate) fn id(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes(8).try_into().expect("eight bytes"))
    }

    /// A result that counts bytes, and these bytes.
    pub(crate) fn counted(&mut self) -> Vec<u8> {
        let n = self.result();
        self.bytes(usize::try_from(n).unwrap_or_else(|_| panic!("an error: {n}")))
    }

    /// Nothing is left.
    pub(crate) fn end(self) {
        assert!(self.0.is_empty(), "more than was expected: {:?}", self.0);
    }
}
