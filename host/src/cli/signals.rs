//! Signals: the first SIGTERM or SIGINT asks to stop, a second one stops now; SIGHUP reads again;
//! SIGCHLD is about the processes of a service that forks.

use std::io;
use std::process;
use std::thread;

use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::log;

/// What a signal asks for.
pub(super) enum Signal {
    /// End in good order; the signal's name.
    Stop(&'static str),
    /// Read the handler again.
    Reload,
    /// A child has ended or was stopped.
    Child,
}

/// From now on no signal ends the program; they wait to be listened for.
///
/// # Errors
///
/// No descriptor is to be had.
pub(super) fn take() -> io::Result<Signals> {
    Signals::new([SIGTERM, SIGINT, SIGHUP, SIGCHLD])
}

/// Listens for signals on a thread of its own and passes them on.
///
/// # Errors
///
/// No thread is to be had.
pub(super) fn listen(
    mut signals: Signals,
    pass_on: impl Fn(Signal) + Send + 'static,
) -> io::Result<()> {
    thread::Builder::new()
        .name("signals".to_owned())
        .stack_size(256 << 10)
        .spawn(move || {
            let mut is_stopping = false;
            for signal in signals.forever() {
                let asked = match signal {
                    SIGHUP => Signal::Reload,
                    SIGCHLD => Signal::Child,
                    _ if is_stopping => {
                        log::flush();
                        process::exit(128 + signal);
                    }
                    _ => {
                        is_stopping = true;
                        Signal::Stop(signal_name(signal))
                    }
                };
                pass_on(asked);
            }
        })?;
    Ok(())
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        SIGINT => "SIGINT",
        _ => "SIGTERM",
    }
}
