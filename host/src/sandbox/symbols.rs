//! Where in its source a place in a handler's code is: functions, and where the file has DWARF also files and lines.
//!
//! A table says it. It is made where the file is compiled and lies with the compiled code. Where requests are served it
//! is only looked up: neither debug information nor a compiler's names are read there, since a file can be made with
//! which that takes for ever.

mod names;
mod read;
mod table;

use std::fmt;

use wasmtime::FrameInfo;

pub(super) use names::without_names;
pub(crate) use read::{lines, names_only};
use table::Table;

/// A handler's functions, files and lines, by place.
#[derive(Default)]
pub(crate) struct Symbols(Table);

impl Symbols {
    /// What [`lines`] or [`names_only`] has made.
    pub(crate) fn new(table: Vec<u8>) -> Self {
        Symbols(Table(table))
    }

    /// How many functions stand for one place in the file.
    #[cfg(feature = "parts")]
    pub(crate) fn count(&self, place: u32) -> usize {
        self.0.frames(place).count()
    }

    /// What stands for one frame: its function, after those that the compiler has put into it.
    pub(crate) fn functions(&self, frame: &FrameInfo) -> impl Iterator<Item = Function<'_>> {
        let number = frame.func_index();
        let place = frame
            .module_offset()
            .and_then(|offset| u32::try_from(offset).ok());
        let mut frames = place
            .into_iter()
            .flat_map(|place| self.0.frames(place))
            .peekable();
        // A module of the host's, or a table that is not there.
        let unknown = frames.peek().is_none().then_some(Function {
            name: Name::Number(number),
            file: None,
            line: None,
        });
        let known = frames.map(move |frame| Function {
            name: match self.0.string(frame.name) {
                Some(name) => Name::Known(name),
                None => Name::Number(number),
            },
            file: self.0.string(frame.file),
            line: (frame.line > 0).then_some(frame.line),
        });
        unknown.into_iter().chain(known)
    }
}

/// A function as a person would name it, and where in its source.
pub(crate) struct Function<'a> {
    pub(crate) name: Name<'a>,
    pub(crate) file: Option<&'a str>,
    pub(crate) line: Option<u32>,
}

/// What a function is called.
pub(crate) enum Name<'a> {
    Known(&'a str),
    /// Its number in the module: the file has no name for it.
    Number(u32),
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Known(name) => f.write_str(name),
            Name::Number(number) => write!(f, "function {number}"),
        }
    }
}

impl fmt::Display for Function<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)?;
        match (self.file, self.line) {
            (Some(file), Some(line)) => write!(f, " ({file}:{line})"),
            _ => Ok(()),
        }
    }
}
