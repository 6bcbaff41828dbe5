//! Why an instance has trapped, and where in the handler: one line for the log.

use wasmtime::WasmBacktrace;

use crate::sandbox::Symbols;
use crate::text::clipped;

/// Functions of a backtrace that are told; deep recursion has hundreds of thousands.
const FUNCTIONS: usize = 24;

/// The longest cause, in characters.
const LONGEST_CAUSE: usize = 200;

/// The cause, and where in the handler it happened, innermost function first.
pub(super) fn describe(error: &wasmtime::Error, symbols: &Symbols) -> String {
    let mut text = clipped(&error.root_cause().to_string(), LONGEST_CAUSE);
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else {
        return text;
    };
    let frames = backtrace.frames().iter();
    let mut functions = frames.flat_map(|frame| symbols.functions(frame));
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
