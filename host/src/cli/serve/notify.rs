//! What a service manager is told that asks for it (sd_notify(3)).

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::OnceLock;
use std::time::Duration;

use sd_notify::NotifyState;

/// How long a manager may be busy.
const BUSY: Duration = Duration::from_secs(1);

/// Connected to the manager; `None` where nobody asks.
static MANAGER: OnceLock<Option<UnixDatagram>> = OnceLock::new();

/// Connects to whoever asks: a program that has given up what it does not need opens no more sockets.
pub(super) fn connect() {
    // A manager that does not listen is no reason not to serve.
    MANAGER.get_or_init(|| open().ok().flatten());
}

/// Tells all of it at once.
pub(super) fn notify(states: &[NotifyState<'_>]) {
    let Some(Some(manager)) = MANAGER.get() else {
        return;
    };
    let lines: String = states.iter().map(|state| format!("{state}\n")).collect();
    let _ = manager.send(lines.as_bytes());
}

/// The handler is read again; a second [`NotifyState::Ready`] says that this is over.
pub(super) fn reloading() {
    // A manager that has asked for it (`Type=notify-reload`) takes nothing without the time.
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        notify(&[NotifyState::Reloading, now]);
    }
}

/// As the crate's own function, which knows no abstract names.
fn open() -> io::Result<Option<UnixDatagram>> {
    let Some(name) = env::var_os("NOTIFY_SOCKET") else {
        return Ok(None);
    };
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(&name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(BUSY))?;
    socket.connect_addr(&address)?;
    Ok(Some(socket))
}
