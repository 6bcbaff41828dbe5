//! What of a request's way no program can reach, for `benches/parts.rs` and the fuzz targets. Only with the feature
//! `parts`.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};

use crate::address::Endpoint;
use crate::admission::Admission;
use crate::concurrency::{Concurrency, Permit, Process, Threads};
use crate::config::{AdmissionOptions, Limit, Limits};
use crate::poll::Waker;
use crate::request::{InMemory, Request};
use crate::sandbox::symbols::{self, Symbols};

/// The way of a request from the loop to the thread that serves it, without a loop, and with nothing to serve.
pub struct ToThread {
    admission: Admission,
    client: Endpoint,
    threads: Threads,
    waker: Arc<Waker>,
    served: Receiver<()>,
}

impl ToThread {
    /// Every option of admission is in use, and lets the request in.
    ///
    /// # Errors
    ///
    /// No descriptor is left.
    ///
    /// # Panics
    ///
    /// No: its own networks and rate can be read.
    pub fn new() -> std::io::Result<Self> {
        let network = |text: &str| text.parse().expect("a network");
        let admission = Admission::new(AdmissionOptions {
            allow: vec![network("::1/128"), network("127.0.0.0/8")],
            deny: vec![network("192.0.2.0/24"), network("198.51.100.0/24")],
            rate_per_source: Limit::at("4000000000/1s".parse().expect("a rate")),
            max_per_source: Limit::at(1_000),
            ..AdmissionOptions::default()
        });
        let (done, served) = mpsc::channel();
        let process: Arc<Process> = Arc::new(move |_, _| {
            // Who does not wait for it has gone.
            let _ = done.send(());
        });
        Ok(ToThread {
            admission,
            client: SocketAddr::from((Ipv4Addr::LOCALHOST, 4711)).into(),
            threads: Threads::new(1_000, process),
            waker: Arc::new(Waker::new()?),
            served,
        })
    }

    /// Lets one request in; whether it found room.
    pub fn admit(&self) -> bool {
        self.admitted().is_some()
    }

    fn admitted(&self) -> Option<Permit> {
        let mut permit = self.threads.reserve(&self.waker)?;
        let admitted = self.admission.admit(&self.client, Some(&mut permit));
        admitted.is_ok().then_some(permit)
    }

    /// Hands one request over, and waits for the thread to say that it has it.
    pub fn there_and_back(&self) -> bool {
        let Some(mut permit) = self.admitted() else {
            return false;
        };
        let request = Request::in_memory(InMemory::new(""), &Limits::default());
        let request = Arc::new(request);
        permit.attach(&request);
        let handed_over = self.threads.process_request(permit, request);
        handed_over.is_ok() && self.served.recv().is_ok()
    }
}

/// The tables that a handler's names and debug information come to, and what a trap finds there.
#[derive(Debug)]
pub struct SymbolTables {
    /// Bytes of the longer one.
    pub length: usize,
    /// The most functions that stand for one of the places.
    pub functions: usize,
}

/// Reads them as the process does that compiles, and looks places up as a trap does.
pub fn symbol_tables(wasm: &[u8], places: impl Iterator<Item = u32> + Clone) -> SymbolTables {
    let tables = [symbols::names_only(wasm), symbols::lines(wasm, true)];
    let length = tables.iter().map(Vec::len).max().unwrap_or(0);
    let functions = tables.map(|table| {
        let symbols = Symbols::new(table);
        places.clone().map(|place| symbols.count(place)).max()
    });
    SymbolTables {
        length,
        functions: functions.into_iter().flatten().max().unwrap_or(0),
    }
}
