//! The table of a file, from its name section and its DWARF.
//!
//! Both are whatever somebody has put there. Reading DWARF can take any time and memory, and a name of C++ can take for
//! ever: who does not trust a file does it in a process that is held, and has the names alone before that
//! ([`names_only`]).

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use addr2line::gimli::{self, Dwarf, EndianSlice, LittleEndian, SectionId};
use nix::time::{ClockId, clock_gettime};
use wasmparser::{FunctionBody, KnownCustom, Name, Parser, Payload, TypeRef};

use super::names::{plain, readable, source};
use super::table::{Builder, DEEPEST, Frame, NONE};

/// CPU time of this thread after which no more DWARF is looked into: the functions that follow have names alone.
const LONGEST: Duration = Duration::from_secs(5);

/// Entries of DWARF within one another: what reads them goes down by recursion. Compilers stay below a hundred.
const DEEPEST_ENTRY: isize = 256;

type Slice<'a> = EndianSlice<'a, LittleEndian>;
type Lines<'a> = addr2line::Context<Slice<'a>>;

/// Functions by the names that the file's name section has, as they stand there. It takes as long as the file is large.
pub(crate) fn names_only(wasm: &[u8]) -> Vec<u8> {
    table(wasm, Detail::Names)
}

/// Functions, inlined ones too, files and lines; names as the source has them. Those of C++ only with `cpp`: nothing
/// bounds what reads them.
pub(crate) fn lines(wasm: &[u8], cpp: bool) -> Vec<u8> {
    table(wasm, Detail::Lines { cpp })
}

#[derive(Clone, Copy, PartialEq)]
enum Detail {
    Names,
    Lines { cpp: bool },
}

fn table(wasm: &[u8], detail: Detail) -> Vec<u8> {
    let mut maker = Maker {
        builder: Builder::default(),
        detail,
        readable: HashMap::new(),
        end: cpu_time() + LONGEST,
    };
    let mut module = Module::default();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload {
            // Of a module in a component, or of the file.
            Ok(Payload::Version { .. }) => module = Module::default(),
            Ok(Payload::End(_)) => maker.add(&std::mem::take(&mut module)),
            Ok(payload) => module.take(payload),
            Err(_) => break,
        }
    }
    maker.builder.finish()
}

fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// What a core module says of its functions.
#[derive(Default)]
struct Module<'a> {
    /// Functions that it imports: their numbers come first.
    imported: u32,
    code: Range<usize>,
    bodies: Vec<FunctionBody<'a>>,
    names: HashMap<u32, &'a str>,
    debug: HashMap<&'a str, &'a [u8]>,
}

impl<'a> Module<'a> {
    fn take(&mut self, payload: Payload<'a>) {
        match payload {
            Payload::ImportSection(imports) => {
                let imports = imports.into_imports().map_while(Result::ok);
                let functions = imports
                    .filter(|import| matches!(import.ty, TypeRef::Func(_) | TypeRef::FuncExact(_)));
                self.imported = u32::try_from(functions.count()).unwrap_or(u32::MAX);
            }
            Payload::CodeSectionStart { range, .. } => self.code = range,
            Payload::CodeSectionEntry(body) => self.bodies.push(body),
            Payload::CustomSection(section) => match section.as_known() {
                KnownCustom::Name(parts) => {
                    for part in parts.map_while(Result::ok) {
                        if let Name::Function(names) = part {
                            let names = names.into_iter().map_while(Result::ok);
                            self.names.extend(names.map(|name| (name.index, name.name)));
                        }
                    }
                }
                _ if section.name().starts_with(".debug_") => {
                    self.debug.insert(section.name(), section.data());
                }
                _ => {}
            },
            _ => {}
        }
    }

    /// What knows its lines.
    fn lines(&self) -> Option<Lines<'a>> {
        if self.debug.is_empty() {
            return None;
        }
        let section = |id: SectionId| -> Result<_, gimli::Error> {
            let data = self.debug.get(id.name()).copied().unwrap_or_default();
            Ok(EndianSlice::new(data, LittleEndian))
        };
        let dwarf = Dwarf::load(section).ok()?;
        match is_shallow(&dwarf) {
            true => Lines::from_dwarf(dwarf).ok(),
            false => None,
        }
    }
}

/// Whether its entries can be read by recursion.
fn is_shallow(dwarf: &Dwarf<Slice<'_>>) -> bool {
    let mut headers = dwarf.units();
    while let Ok(Some(header)) = headers.next() {
        let Ok(abbreviations) = dwarf.abbreviations(&header) else {
            continue;
        };
        let mut entries = header.entries(&abbreviations);
        while let Ok(Some(entry)) = entries.next_dfs() {
            if entry.depth() > DEEPEST_ENTRY {
                return false;
            }
        }
    }
    true
}

struct Maker {
    builder: Builder,
    detail: Detail,
    /// Names that have been made readable, by what they were made from.
    readable: HashMap<String, u32>,
    /// When no more DWARF is looked into.
    end: Duration,
}

impl Maker {
    fn add(&mut self, module: &Module<'_>) {
        let lines = match self.detail {
            Detail::Names => None,
            Detail::Lines { .. } => module.lines(),
        };
        for (number, body) in (module.imported..).zip(&module.bodies) {
            let name = match module.names.get(&number) {
                Some(name) => self.name(name),
                None => NONE,
            };
            let function = Frame {
                name,
                file: NONE,
                line: 0,
                within: NONE,
            };
            match &lines {
                Some(lines) if cpu_time() < self.end => {
                    self.add_lines(module, body, function, lines);
                }
                _ => self.place(body.range().start, function),
            }
        }
    }

    /// The lines of one function: of where it begins, and of each of its instructions.
    fn add_lines(
        &mut self,
        module: &Module<'_>,
        body: &FunctionBody<'_>,
        function: Frame,
        lines: &Lines<'_>,
    ) {
        let start = body.range().start;
        self.add_line(module, start, function, lines);
        let Ok(mut operators) = body.get_operators_reader() else {
            return;
        };
        while let Ok((_, offset)) = operators.read_with_offset() {
            self.add_line(module, offset, function, lines);
        }
    }

    fn add_line(&mut self, module: &Module<'_>, offset: usize, function: Frame, lines: &Lines<'_>) {
        // DWARF counts from where the section's content begins.
        let address = offset.saturating_sub(module.code.start) as u64;
        let mut told = match self.builder.has_room() {
            true => self.frames(lines, address),
            false => Vec::new(),
        };
        // Of what the compiler has kept the name section has the path as well.
        let mut within = match told.pop() {
            Some(kept) => Frame {
                name: match function.name {
                    NONE => kept.name,
                    name => name,
                },
                ..kept
            },
            None => function,
        };
        for inlined in told.into_iter().take(DEEPEST - 1).rev() {
            within = Frame {
                within: self.builder.frame(within),
                ..inlined
            };
        }
        self.place(offset, within);
    }

    /// Innermost first.
    fn frames(&mut self, lines: &Lines<'_>, address: u64) -> Vec<Frame> {
        let mut told = Vec::new();
        let Ok(mut frames) = lines.find_frames(address).skip_all_loads() else {
            return told;
        };
        while let Ok(Some(frame)) = frames.next() {
            let name = frame.function.as_ref().and_then(|f| f.raw_name().ok());
            let location = frame.location.as_ref();
            told.push(Frame {
                name: name.map_or(NONE, |name| self.name(&name)),
                file: match location.and_then(|location| location.file) {
                    Some(file) => self.builder.string(&source(file)),
                    None => NONE,
                },
                line: location.and_then(|location| location.line).unwrap_or(0),
                within: NONE,
            });
        }
        told
    }

    fn place(&mut self, offset: usize, frame: Frame) {
        let frame = self.builder.frame(frame);
        if let Ok(offset) = u32::try_from(offset) {
            self.builder.place(offset, frame);
        }
    }

    fn name(&mut self, name: &str) -> u32 {
        let Detail::Lines { cpp } = self.detail else {
            return self.builder.string(&plain(name));
        };
        if let Some(known) = self.readable.get(name) {
            return *known;
        }
        let number = self.builder.string(&readable(name, cpp));
        self.readable.insert(name.to_owned(), number);
        number
    }
}

#[cfg(test)]
mod tests {}
