//! Signals: the first SIGTERM or SIGINT asks to stop, a second one stops now; SIGHUP reads again.

use std::io;
use std::process;
use std::sync::mpsc::Sender;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::log;
use super::serve::Message;

/// Listens for signals on a thread of its own and passes them on.
///
/// # Errors
///
/// No thread or descriptor is to be had.
pub(super) fn listen(messages: Sender<Message>) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    thread::Builder::new()
        .name("signals".to_owned())
        .stack_size(256 << 10)
        .spawn(move || {
            let mut is_stopping = false;
            for signal in signals.forever() {
                let message = match signal {
                    SIGHUP => Message::Reload,
                    _ if is_stopping => {
                        log::flush();
                        process::exit(128 + signal);
                    }
                    _ => {
                        is_stopping = true;
                        Message::Stop(signal_name(signal))
                    }
                };
                // Where nobody listens any more the program is at its end.
                let _ = messages.send(message);
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
