//! Names as people read them. Whatever they are made from is a handler's own, and may be made to hurt whoever reads it:
//! each is bounded before it is put together.

use std::borrow::Cow;
use std::fmt::{self, Write};

use wasmparser::{BinaryReader, KnownCustom, Parser, Payload};

use crate::text::clipped;

/// The longest name, in characters.
const LONGEST: usize = 200;

/// A longer name is told as it stands, in bytes: what a compiler has made is shorter.
const LONGEST_MANGLED: usize = 4096;

/// The longest name of a module that is left in its code, in bytes.
const LONGEST_OF_MODULE: u32 = 128;

/// Parts of a name section: the module's own name, and one that nobody knows.
const OF_MODULE: u8 = 0;
const OF_NOBODY: u8 = 0x7f;

/// The file without the names that the engine would keep, and copy for each frame of a trap: however long they are. All
/// else stays where it is. A module's own name is for core dumps.
pub(crate) fn without_names(wasm: &[u8]) -> Cow<'_, [u8]> {
    let mut changed = Cow::Borrowed(wasm);
    for payload in Parser::new(0).parse_all(wasm).map_while(Result::ok) {
        let Payload::CustomSection(section) = payload else {
            continue;
        };
        if !matches!(section.as_known(), KnownCustom::Name(_)) {
            continue;
        }
        let mut parts = section.data_reader();
        while let Ok((start, kind, length)) = next_part(&mut parts) {
            let stays = kind == OF_MODULE && length <= LONGEST_OF_MODULE;
            if !stays && let Some(kind) = changed.to_mut().get_mut(start) {
                *kind = OF_NOBODY;
            }
        }
    }
    changed
}

/// Where the next part of a name section begins, what it is, and how long it is.
fn next_part(parts: &mut BinaryReader<'_>) -> wasmparser::Result<(usize, u8, u32)> {
    let start = parts.original_position();
    let kind = parts.read_u8()?;
    let length = parts.read_var_u32()?;
    parts.read_bytes(length as usize)?;
    Ok((start, kind, length))
}

/// A source file, for people: of Rust's own library without the digest of its release.
pub(super) fn source(file: &str) -> String {
    let of_rust = file.strip_prefix("/rustc/");
    let file = of_rust
        .and_then(|rest| rest.split_once('/'))
        .map_or(file, |(_, rest)| rest);
    clipped(file, LONGEST)
}

/// A name as it stands.
pub(super) fn plain(name: &str) -> String {
    clipped(name, LONGEST)
}

/// A function's name as its source has it: Rust's and C++'s compilers make others of them. Those of C++ stay as they are
/// without `cpp`: there are short ones that nobody comes to an end with.
pub(super) fn readable(name: &str, cpp: bool) -> String {
    if name.len() > LONGEST_MANGLED {
        return plain(name);
    }
    let mut readable = Bounded::default();
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        // Without the digest of Rust's older names.
        if write!(readable, "{rust:#}").is_ok() || readable.is_full {
            return readable.finish();
        }
    } else if cpp
        && name.starts_with("_Z")
        && let Ok(symbol) = cpp_demangle::Symbol::new(name)
        && (symbol
            .structured_demangle(&mut readable, &cpp_demangle::DemangleOptions::default())
            .is_ok()
            || readable.is_full)
    {
        return readable.finish();
    }
    plain(name)
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
            if self.characters == LONGEST {
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
            assert_eq!(name, readable(mangled, true));
        }
    }

    #[test]
    fn a_name_that_would_grow_without_end_is_cut_off() {
        // Each piece stands for two of the one before it.
        let mut piece = "1a".to_owned();
        for _ in 0..60 {
            piece = format!("4pairI{piece}S_E");
            let name = readable(&format!("_Z1f{piece}"), true);
            assert!(name.chars().count() <= LONGEST + 1, "{name}");
        }
        let long = readable(&"x".repeat(1 << 20), true);
        assert_eq!(LONGEST + 1, long.chars().count());
    }
}
