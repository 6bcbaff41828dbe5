//! Why an instance has trapped, and where in the handler: one line for the log. All of its names are the handler's
//! own, and may be made to hurt whoever reads them: each is bounded before it is put together.

use std::fmt::{self, Write};

use wasmtime::{FrameInfo, FrameSymbol, WasmBacktrace};

use crate::text::clipped;

/// Functions of a backtrace that are told; deep recursion has hundreds of thousands.
const FUNCTIONS: usize = 24;

/// The longest part of the text, in characters.
const LONGEST_PART: usize = 200;

/// A longer name is told as it stands, in bytes: what a compiler has made is shorter.
const LONGEST_MANGLED: usize = 4096;

/// The cause, and where in the handler it happened, innermost function first.
pub(super) fn describe(error: &wasmtime::Error) -> String {
    let mut text = clipped(&error.root_cause().to_string(), LONGEST_PART);
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else {
        return text;
    };
    let mut functions = backtrace.frames().iter().flat_map(functions);
    for number in 0..FUNCTIONS {
        let Some(function) = functions.next() else {
            return text;
        };
        text.push_str(if number == 0 { " in " } else { " < " });
        text.push_str(&function.to_string());
    }
    if functions.next().is_some() {
        text.push_str(" < …");
    }
    text
}

/// A function as a person would name it, and where in its source.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) file: Option<String>,
    pub(crate) line: Option<u32>,
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, " ({file}:{line})"),
            _ => Ok(()),
        }
    }
}

/// What stands for one frame: its function, after those that the compiler has put into it.
pub(crate) fn functions(frame: &FrameInfo) -> Vec<Function> {
    let of_frame = || match frame.func_name() {
        Some(name) => readable(name),
        None => format!("function {}", frame.func_index()),
    };
    let of = |symbol: &FrameSymbol, name: Option<String>| Function {
        name: name
            .or_else(|| symbol.name().map(readable))
            .unwrap_or_else(of_frame),
        file: symbol.file().map(source),
        line: symbol.line(),
    };
    let Some((own, inlined)) = frame.symbols().split_last() else {
        return vec![Function {
            name: of_frame(),
            file: None,
            line: None,
        }];
    };
    let inlined = inlined.iter().take(FUNCTIONS);
    // DWARF can lack the path that the function's own name has.
    let own = of(own, frame.func_name().map(readable));
    inlined
        .map(|symbol| of(symbol, None))
        .chain([own])
        .collect()
}

/// A source file, for people: of Rust's own library without the digest of its release.
fn source(file: &str) -> String {
    let of_rust = file.strip_prefix("/rustc/");
    let file = of_rust
        .and_then(|rest| rest.split_once('/'))
        .map_or(file, |(_, rest)| rest);
    clipped(file, LONGEST_PART)
}

/// A function's name as its source has it: Rust's and C++'s compilers make others of them.
fn readable(name: &str) -> String {
    if name.len() > LONGEST_MANGLED {
        return clipped(name, LONGEST_PART);
    }
    let mut readable = Bounded::default();
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        // Without the digest of Rust's older names.
        if write!(readable, "{rust:#}").is_ok() || readable.is_full {
            return readable.finish();
        }
    } else if name.starts_with("_Z")
        && let Ok(symbol) = cpp_demangle::Symbol::new(name)
        && (symbol
            .structured_demangle(&mut readable, &cpp_demangle::DemangleOptions::default())
            .is_ok()
            || readable.is_full)
    {
        return readable.finish();
    }
    clipped(name, LONGEST_PART)
}

/// Takes a part's characters and then no more: a short name can stand for one that has no end.
#[derive(Default)]
struct Bounded {
    text: String,
    characters: usize,
    is_full: bool,
}

impl Bounded {
    fn finish(mut self) -> String {
        if self.is_full {
            self.text.push('…');
        }
        self.text
    }
}

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if self.characters == LONGEST_PART {
                self.is_full = true;
                return Err(fmt::Error);
            }
            self.text.push(character);
            self.characters += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_source() {
        for (mangled, name) in [
            (
                "_ZN4core9panicking5panic17h0123456789abcdefE",
                "core::panicking::panic",
            ),
            ("_RNvCs6VSzBVxLrBa_5crate3run", "crate::run"),
            ("_ZN5shape6Circle4areaEi", "shape::Circle::area(int)"),
            ("main.handle", "main.handle"),
            ("_Zero", "_Zero"),
            ("", ""),
        ] {
            assert_eq!(name, readable(mangled));
        }
    }

    #[test]
    fn a_name_that_would_grow_without_end_is_cut_off() {
        // Each piece stands for two of the one before it.
        let mut piece = "1a".to_owned();
        for _ in 0..60 {
            piece = format!("4pairI{piece}S_E");
            let name = readable(&format!("_Z1f{piece}"));
            assert!(name.chars().count() <= LONGEST_PART + 1, "{name}");
        }
        let long = readable(&"x".repeat(1 << 20));
        assert_eq!(LONGEST_PART + 1, long.chars().count());
    }
}
