//! What a file says of itself, read without compiling it: a file that is refused is looked at, too.
//!
//! The file is hostile. What is kept of it is bounded; nothing is read whose reader would call itself for
//! each level of nesting (types of components), and what cannot be read ends the report and not the program.

mod producers;
mod signatures;

use wasmparser::{
    BinaryReaderError, ComponentExternalKind, Encoding, ExternalKind, Imports, KnownCustom, Name,
    Parser, Payload, TypeRef,
};

pub(crate) use producers::{Producers, Tool};
use signatures::Signatures;

use crate::text;

/// Imports and exports that are kept of a file; the rest are counted.
pub(crate) const MOST: usize = 1000;

/// Components within components that are looked into. Each level costs the reader memory.
const DEEPEST: usize = 100;

/// A page of memory, where a file does not say another size, and an element of a table, in bytes.
const PAGE: u64 = 64 << 10;
const ELEMENT: u64 = size_of::<usize>() as u64;

/// What was found in a file.
#[derive(Default)]
pub(crate) struct Inspected {
    pub(crate) is_component: bool,
    /// It was read to its end: nothing of it is missing here.
    pub(crate) is_whole: bool,
    pub(crate) imports: Counted<Import>,
    pub(crate) exports: Counted<Export>,
    /// It exports `handle`.
    pub(crate) has_handle: bool,
    /// It exports what a WASI program begins with.
    pub(crate) has_start: bool,
    /// Bytes of the memories and tables of all its modules at the start.
    pub(crate) initial_memory: u64,
    /// As much as they can grow to; `None` where one has no maximum.
    pub(crate) maximum_memory: Option<u64>,
    pub(crate) producers: Producers,
    /// Of the largest module: what a backtrace can name.
    pub(crate) has_function_names: bool,
    /// Of the largest module: source lines in a backtrace (DWARF).
    pub(crate) has_line_numbers: bool,
}

/// A list of which only so much is kept.
#[derive(Debug)]
pub(crate) struct Counted<T> {
    pub(crate) kept: Vec<T>,
    /// All that there are.
    pub(crate) count: usize,
}

impl<T> Default for Counted<T> {
    fn default() -> Self {
        Counted {
            kept: Vec::new(),
            count: 0,
        }
    }
}

impl<T> Counted<T> {
    fn push(&mut self, make: impl FnOnce() -> T) {
        self.count += 1;
        if self.kept.len() < MOST {
            self.kept.push(make());
        }
    }
}

/// What a file asks for: of a component one whole interface, whose `name` is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Import {
    pub(crate) from: String,
    pub(crate) name: String,
    /// As the contract writes it: `(i32, i32) -> (i32)`, `memory`.
    pub(crate) ty: String,
}

/// What a file gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Export {
    pub(crate) name: String,
    pub(crate) ty: String,
}

/// One core module on the way.
#[derive(Default)]
struct Module {
    size: usize,
    producers: Producers,
    has_function_names: bool,
    has_line_numbers: bool,
}

/// Reads a file in the binary format, as far as it can be read.
pub(crate) fn inspect(wasm: &[u8]) -> Inspected {
    let mut reading = Reading {
        found: Inspected {
            maximum_memory: Some(0),
            ..Inspected::default()
        },
        ..Reading::default()
    };
    // What is wrong with the file is for the compiler to say.
    reading.found.is_whole = reading.read(wasm).unwrap_or(false);
    reading.end()
}

/// What was read so far, and where reading is.
#[derive(Default)]
struct Reading {
    found: Inspected,
    /// The modules and components that are open, the file itself first.
    open: Vec<Module>,
    /// Of the file itself, where it is a module.
    signatures: Signatures,
    /// The file itself, and the largest module in it.
    outermost: Producers,
    largest: Module,
}

impl Reading {
    /// Whether it came to the end.
    fn read(&mut self, wasm: &[u8]) -> Result<bool, BinaryReaderError> {
        for payload in Parser::new(0).parse_all(wasm) {
            self.payload(payload?)?;
            if self.open.len() > DEEPEST {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn payload(&mut self, payload: Payload<'_>) -> Result<(), BinaryReaderError> {
        let is_outermost = self.open.len() == 1;
        match payload {
            Payload::Version { encoding, .. } if self.open.is_empty() => {
                self.found.is_component = encoding == Encoding::Component;
                self.open.push(Module::default());
            }
            Payload::ModuleSection {
                unchecked_range, ..
            } => self.open.push(Module {
                size: unchecked_range.len(),
                ..Module::default()
            }),
            Payload::ComponentSection { .. } => self.open.push(Module::default()),
            Payload::End(_) => self.close(),
            Payload::TypeSection(types) if is_outermost => self.signatures.types(types)?,
            Payload::FunctionSection(functions) if is_outermost => {
                self.signatures.functions(functions)?;
            }
            Payload::ImportSection(imports) if is_outermost => {
                for group in imports {
                    self.imports(group?)?;
                }
            }
            Payload::ExportSection(exports) if is_outermost => {
                for export in exports {
                    let export = export?;
                    self.found.has_handle |= export.name == "handle";
                    self.found.has_start |= export.name == "_start";
                    let ty = match export.kind {
                        ExternalKind::Func | ExternalKind::FuncExact => {
                            self.signatures.of_function(export.index)
                        }
                        ExternalKind::Memory => "memory".to_owned(),
                        ExternalKind::Table => "table".to_owned(),
                        ExternalKind::Global => "global".to_owned(),
                        ExternalKind::Tag => "tag".to_owned(),
                    };
                    self.found.exports.push(|| Export {
                        name: text::name(export.name),
                        ty,
                    });
                }
            }
            Payload::ComponentImportSection(imports) if is_outermost => {
                for import in imports {
                    let import = import?;
                    self.found.imports.push(|| Import {
                        from: text::name(import.name.name),
                        name: String::new(),
                        ty: import.ty.kind().desc().to_owned(),
                    });
                }
            }
            Payload::ComponentExportSection(exports) if is_outermost => {
                for export in exports {
                    let export = export?;
                    let name = export.name.name;
                    if export.kind == ComponentExternalKind::Type {
                        continue;
                    }
                    self.found.has_handle |= name == "handle";
                    self.found.has_start |= name.starts_with("wasi:cli/run@0.2.");
                    self.found.exports.push(|| Export {
                        name: text::name(name),
                        ty: export.kind.desc().to_owned(),
                    });
                }
            }
            Payload::MemorySection(memories) => {
                for memory in memories {
                    let memory = memory?;
                    let shift = memory.page_size_log2.unwrap_or(PAGE.ilog2());
                    let page = 1_u64.checked_shl(shift).unwrap_or(u64::MAX);
                    self.takes(memory.initial, memory.maximum, page);
                }
            }
            Payload::TableSection(tables) => {
                for table in tables {
                    let table = table?.ty;
                    self.takes(table.initial, table.maximum, ELEMENT);
                }
            }
            Payload::CustomSection(section) => self.custom(&section),
            _ => {}
        }
        Ok(())
    }

    fn imports(&mut self, group: Imports<'_>) -> Result<(), BinaryReaderError> {
        // Others are of a proposal that is off: the compiler says so.
        if let Imports::Single(_, import) = group {
            let ty = match import.ty {
                TypeRef::Func(ty) | TypeRef::FuncExact(ty) => {
                    self.signatures.imported(ty);
                    self.signatures.of_type(ty)
                }
                TypeRef::Memory(_) => "memory".to_owned(),
                TypeRef::Table(_) => "table".to_owned(),
                TypeRef::Global(_) => "global".to_owned(),
                TypeRef::Tag(_) => "tag".to_owned(),
            };
            self.found.imports.push(|| Import {
                from: text::name(import.module),
                name: text::name(import.name),
                ty,
            });
        }
        Ok(())
    }

    fn takes(&mut self, initial: u64, maximum: Option<u64>, unit: u64) {
        let bytes = |count: u64| count.saturating_mul(unit);
        let found = &mut self.found;
        found.initial_memory = found.initial_memory.saturating_add(bytes(initial));
        found.maximum_memory = found
            .maximum_memory
            .zip(maximum)
            .map(|(sum, maximum)| sum.saturating_add(bytes(maximum)));
    }

    fn custom(&mut self, section: &wasmparser::CustomSectionReader<'_>) {
        let Some(module) = self.open.last_mut() else {
            return;
        };
        match section.as_known() {
            KnownCustom::Producers(producers) => module.producers.read(producers),
            KnownCustom::Name(names) => {
                module.has_function_names |= names
                    .into_iter()
                    .map_while(Result::ok)
                    .any(|name| matches!(name, Name::Function(names) if names.count() > 0));
            }
            _ => module.has_line_numbers |= section.name() == ".debug_line",
        }
    }

    /// The innermost that is open has ended.
    fn close(&mut self) {
        let Some(ended) = self.open.pop() else {
            return;
        };
        if self.open.is_empty() {
            self.outermost = ended.producers.clone();
            if !self.found.is_component {
                self.largest = ended;
            }
        } else if ended.size > self.largest.size {
            self.largest = ended;
        }
    }

    fn end(mut self) -> Inspected {
        // A file that is cut off has ended nowhere.
        while !self.open.is_empty() {
            self.close();
        }
        let mut found = self.found;
        found.producers = self.outermost;
        // Beside it a component has adapters, which are somebody else's and in another language.
        found.producers.join(&self.largest.producers);
        found.has_function_names = self.largest.has_function_names;
        found.has_line_numbers = self.largest.has_line_numbers;
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Inspected {
        inspect(&wat::parse_str(text).unwrap())
    }

    #[test]
    fn a_module_is_read_with_its_signatures() {
        let found = of(r#"(module
            (import "rfile" "read" (func (param i32 i32) (result i32)))
            (memory (export "memory") 2 4)
            (table 3 5 funcref)
            (func $named (export "handle") (result i32) (i32.const 0)))"#);
        assert_eq!(
            vec![Import {
                from: "rfile".to_owned(),
                name: "read".to_owned(),
                ty: "(i32, i32) -> (i32)".to_owned(),
            }],
            found.imports.kept
        );
        let exports = found.exports.kept.iter().map(|e| (&*e.name, &*e.ty));
        assert_eq!(
            vec![("memory", "memory"), ("handle", "() -> (i32)")],
            exports.collect::<Vec<_>>()
        );
        assert_eq!(2 * PAGE + 3 * ELEMENT, found.initial_memory);
        assert_eq!(Some(4 * PAGE + 5 * ELEMENT), found.maximum_memory);
        assert!(found.has_function_names && !found.has_line_numbers);
    }

    #[test]
    fn of_a_component_the_largest_module_counts() {
        let found = of(r#"(component
            (import "acme:bank/vault@1.0.0" (instance))
            (core module (func $adapter))
            (core module (memory 1) (data "a much longer one: a much longer one: a much longer one")
                (@producers (language "C" "23"))))"#);
        assert!(found.is_component);
        assert_eq!("acme:bank/vault@1.0.0", found.imports.kept[0].from);
        assert_eq!(None, found.maximum_memory);
        assert!(!found.has_function_names);
        assert_eq!("C", found.producers.languages[0].name);
    }

    #[test]
    fn whatever_the_bytes_are_it_ends() {
        let whole = wat::parse_str(
            r#"(component (core module (func (export "f"))) (import "a" (func)) (export "b" (func 0)))"#,
        )
        .unwrap();
        for end in 0..whole.len() {
            inspect(&whole[..end]);
            let mut other = whole.clone();
            other[end] ^= 0x55;
            inspect(&other);
        }
    }

    /// Types that nest as deep as the file is long: their reader would use up the stack.
    #[test]
    fn types_that_nest_are_not_followed() {
        let depth = 1_000_000;
        let mut body = vec![1];
        for _ in 0..depth {
            body.extend([0x42, 1, 1]);
        }
        let mut wasm = b"\0asm\x0d\0\x01\0\x07".to_vec();
        let mut length = body.len();
        while length >= 0x80 {
            wasm.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        wasm.push(length as u8);
        wasm.extend(body);
        assert!(inspect(&wasm).is_component);
    }
}
