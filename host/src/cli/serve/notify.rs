//! What a service manager is told that asks for it (sd_notify(3)).

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::NotifyState;

/// How long a manager may be busy.
const BUSY: Duration = Duration::from_secs(1);

/// Tells all of it at once.
pub(super) fn notify(states: &[NotifyState<'_>]) {
    // A manager that does not listen is no reason not to serve.
    let _ = send(states);
}

/// The handler is read again; a second [`NotifyState::Ready`] says that this is over.
pub(super) fn reloading() {
    // A manager that has asked for it (`Type=notify-reload`) takes nothing without the time.
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        notify(&[NotifyState::Reloading, now]);
    }
}

/// What the crate's own function does, which knows no abstract names.
fn send(states: &[NotifyState<'_>]) -> io::Result<()> {
    let Some(name) = env::var_os("NOTIFY_SOCKET") else {
        return Ok(());
    };
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(&name)?,
    };
    let lines: String = states.iter().map(|state| format!("{state}\n")).collect();
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(BUSY))?;
    socket.send_to_addr(lines.as_bytes(), &address)?;
    Ok(())
}
