//! The types of a module's functions, as text.

use std::fmt::Display;

use wasmparser::{
    BinaryReaderError, CompositeInnerType, FuncType, FunctionSectionReader, TypeSectionReader,
};

use crate::text::{LONGEST_NAME, clipped};

/// Types, and which of them each function has.
#[derive(Default)]
pub(super) struct Signatures {
    /// `None` is a type that is not a function's.
    types: Vec<Option<FuncType>>,
    /// Imported functions come first.
    functions: Vec<u32>,
}

impl Signatures {
    pub(super) fn types(
        &mut self,
        section: TypeSectionReader<'_>,
    ) -> Result<(), BinaryReaderError> {
        for group in section {
            for ty in group?.into_types() {
                self.types.push(match ty.composite_type.inner {
                    CompositeInnerType::Func(function) => Some(function),
                    _ => None,
                });
            }
        }
        Ok(())
    }

    pub(super) fn imported(&mut self, ty: u32) {
        self.functions.push(ty);
    }

    pub(super) fn functions(
        &mut self,
        section: FunctionSectionReader<'_>,
    ) -> Result<(), BinaryReaderError> {
        for ty in section {
            self.functions.push(ty?);
        }
        Ok(())
    }

    pub(super) fn of_function(&self, index: u32) -> String {
        match self.functions.get(index as usize) {
            Some(ty) => self.of_type(*ty),
            None => "function".to_owned(),
        }
    }

    pub(super) fn of_type(&self, index: u32) -> String {
        match self.types.get(index as usize) {
            Some(Some(function)) => signature(function.params(), function.results()),
            _ => "function".to_owned(),
        }
    }
}

/// `(i32, i32) -> (i32)`: parameters and results as the text format names them.
fn signature<T: Display>(params: &[T], results: &[T]) -> String {
    let list = |types: &[T]| {
        let types: Vec<_> = types.iter().map(ToString::to_string).collect();
        types.join(", ")
    };
    clipped(
        &format!("({}) -> ({})", list(params), list(results)),
        LONGEST_NAME,
    )
}
