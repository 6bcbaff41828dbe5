//! `setup` → `handle` → `finish`, in Python's order, and what a failure on the way means.

use wasmtime::{Store, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::backtrace::describe;
use super::coredump::CoreDump;
use super::instances;
use super::{Failure, Handled};
use crate::sandbox::{Guest, Symbols};
use crate::text::clipped;

/// What is called in an instance, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Setup,
    Handle,
    Finish,
}

impl Step {
    pub(super) const ALL: [Step; 3] = [Step::Setup, Step::Handle, Step::Finish];

    /// The name of the export.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Step::Setup => "setup",
            Step::Handle => "handle",
            Step::Finish => "finish",
        }
    }
}

/// Why a step failed.
#[derive(Debug)]
pub(super) enum StepError {
    /// The handler reported an error: the next steps may run.
    Reported(String),
    /// `setup` reported an error: nothing more runs.
    NotBegun(String),
    /// No code of the instance may run again: it trapped, broke the contract, or exited.
    Ended(wasmtime::Error),
    /// There was no instance: the host could not make one.
    NotSetUp(wasmtime::Error),
}

/// An error of a call.
impl From<wasmtime::Error> for StepError {
    fn from(error: wasmtime::Error) -> Self {
        StepError::Ended(error)
    }
}

impl StepError {
    /// An error of instantiation: the start function is guest code and can trap or exit.
    pub(super) fn of_set_up(error: wasmtime::Error) -> Self {
        match error.is::<Trap>() || error.is::<WasmBacktrace>() || error.is::<I32Exit>() {
            true => StepError::Ended(error),
            false => StepError::NotSetUp(error),
        }
    }
}

/// Calls the steps as Python calls its methods: after an error of `setup` nothing more runs, after an
/// error of `handle` still `finish` does, after a trap nothing. The first error is the request's.
pub(super) fn run(mut call: impl FnMut(Step) -> Result<(), StepError>) -> Result<(), StepError> {
    call(Step::Setup).map_err(|error| match error {
        StepError::Reported(text) => StepError::NotBegun(text),
        other => other,
    })?;
    let handled = call(Step::Handle);
    if let Err(StepError::Ended(_)) = handled {
        return handled;
    }
    match (handled, call(Step::Finish)) {
        // An exit with 0 ends the instance; it does not undo what `handle` has reported.
        (Err(reported), Err(StepError::Ended(error))) if is_exit_0(&error) => Err(reported),
        (_, Err(StepError::Ended(error))) => Err(StepError::Ended(error)),
        (handled, finished) => handled.and(finished),
    }
}

fn is_exit_0(error: &wasmtime::Error) -> bool {
    matches!(error.downcast_ref(), Some(I32Exit(0)))
}

/// What an exit code of `proc_exit` or `wasi:cli/exit` means.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum ExitCode {
    /// Of a command: an error that it reports.
    Reported,
    /// Of the other kinds: a trap.
    Trap,
}

/// Puts together how the instance ended.
pub(super) fn handled(
    store: Store<Guest>,
    result: Result<(), StepError>,
    exit_code: ExitCode,
    symbols: &Symbols,
) -> Handled {
    let memory = &store.data().memory;
    let (has_refused, memory_peak) = (memory.has_refused(), memory.peak());
    let mut coredump = None;
    let mut store = Some(store);
    let result = match result {
        Ok(()) => Ok(()),
        Err(StepError::Reported(text)) => Err(Failure::Reported(clipped(&text, LONGEST_REPORT))),
        Err(StepError::NotBegun(text)) => Err(Failure::NotBegun(clipped(&text, LONGEST_REPORT))),
        Err(StepError::NotSetUp(error)) => Err(Failure::Host(clipped(
            &format!("{error:#}"),
            LONGEST_REPORT,
        ))),
        Err(StepError::Ended(error)) => match error.downcast_ref::<I32Exit>() {
            Some(I32Exit(0)) => Ok(()),
            Some(I32Exit(code)) if exit_code == ExitCode::Reported => {
                Err(Failure::Reported(format!("exit code {code}")))
            }
            Some(I32Exit(code)) => Err(Failure::Trap(format!("exit with code {code}"))),
            None => {
                let described = describe(&error, symbols);
                coredump = store.take().and_then(|store| CoreDump::new(store, error));
                Err(Failure::Trap(described))
            }
        },
    };
    let result = result.map_err(|failure| match failure {
        Failure::Reported(text)
        | Failure::NotBegun(text)
        | Failure::Trap(text)
        | Failure::Host(text)
            if has_refused =>
        {
            Failure::Memory(text)
        }
        other => other,
    });
    if let Some(store) = store {
        instances::give_back(store);
    }
    Handled {
        result,
        memory_peak,
        coredump,
    }
}

/// The longest text that a handler reports, in characters: it comes from the handler, and ends up in the log.
const LONGEST_REPORT: usize = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(fail: &[(Step, bool)]) -> (Vec<Step>, Result<(), StepError>) {
        let mut called = Vec::new();
        let result = run(|step| {
            called.push(step);
            match fail.iter().find(|(at, _)| *at == step) {
                Some((_, true)) => Err(StepError::Ended(Trap::Interrupt.into())),
                Some((at, false)) => Err(StepError::Reported(at.name().to_owned())),
                None => Ok(()),
            }
        });
        (called, result)
    }

    #[test]
    fn the_order_is_pythons() {
        use Step::{Finish, Handle, Setup};
        for (fail, called) in [
            (vec![], vec![Setup, Handle, Finish]),
            (vec![(Setup, false)], vec![Setup]),
            (vec![(Setup, true)], vec![Setup]),
            (vec![(Handle, false)], vec![Setup, Handle, Finish]),
            (vec![(Handle, true)], vec![Setup, Handle]),
            (vec![(Finish, false)], vec![Setup, Handle, Finish]),
        ] {
            assert_eq!(called, steps(&fail).0, "{fail:?}");
        }
        let both = [(Handle, false), (Finish, false)];
        assert!(matches!(steps(&both).1, Err(StepError::Reported(at)) if at == "handle"));
        let worse = [(Handle, false), (Finish, true)];
        assert!(matches!(steps(&worse).1, Err(StepError::Ended(_))));
    }
}
