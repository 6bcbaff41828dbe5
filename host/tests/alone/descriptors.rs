//! Descriptors, counted while nobody else opens any.

use std::time::Duration;

use sandsock::config::ConcurrencyKind;
use sandsock::{Server, handler_fn};
use tempfile::TempDir;

use crate::client::Transport;

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// As many as CPython's own test has.
const BINDS: usize = 1024;

pub(crate) fn failed_binds_leave_no_descriptor() {
    let folder = TempDir::new().unwrap();
    let missing = folder.path().join("missing");
    for transport in Transport::all() {
        let taken = {
            let dir = TempDir::new().unwrap();
            let address = transport.any_address(dir.path());
            (Server::new(&address, handler_fn(|_| Ok(()))).unwrap(), dir)
        };
        let mut addresses = vec![taken.0.server_address().to_owned()];
        if matches!(transport, Transport::Unix | Transport::Unixgram) {
            addresses.push(transport.any_address(&missing));
        }
        let before = descriptors();
        for n in 0..BINDS {
            let address = &addresses[n % addresses.len()];
            assert!(Server::new(address, handler_fn(|_| Ok(()))).is_err());
        }
        assert_eq!(descriptors(), before, "{transport:?}");
        let mut server = Server::unbound(&addresses[0], handler_fn(|_| Ok(()))).unwrap();
        for _ in 0..BINDS {
            assert!(server.server_bind().is_err());
        }
        drop(server);
        assert_eq!(descriptors(), before, "{transport:?}");
        drop(taken);
        let before = descriptors();
        for n in 0..BINDS {
            let dir = TempDir::new().unwrap();
            let address = transport.any_address(dir.path());
            let mut server = Server::new(&address, handler_fn(|_| Ok(()))).unwrap();
            if n % 16 == 0 {
                server.options.timeout = Some(Duration::ZERO);
                server.options.concurrency = ConcurrencyKind::Fork;
                server.handle_request().unwrap();
            }
        }
        assert_eq!(descriptors(), before, "{transport:?}");
    }
}
