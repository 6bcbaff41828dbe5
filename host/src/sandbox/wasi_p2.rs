//! `wasi:cli/imports@0.2` for components.
//!
//! wasmtime-wasi's own, but for what can block: polls and clocks end with the request, `rfile` and
//! `wfile` are straight on the connection, a granted folder opens regular files and folders only, and
//! connections go to granted addresses.

mod paths;

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, random, sync};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView};
use wasmtime_wasi::{WasiView, async_trait};
use wasmtime_wasi_io::bindings::wasi::io::poll as async_poll;

use super::file_streams;
use super::guest::Guest;
use super::listing;
use super::network;
use super::wait::{self, trap};
use crate::recording::Clock;
use crate::request::{IoError, Request};

pub(super) fn add_to_linker(l: &mut Linker<Guest>) -> wasmtime::Result<()> {
    type G = Guest;
    cli::environment::add_to_linker::<G, WasiCli>(l, G::cli)?;
    cli::exit::add_to_linker::<G, WasiCli>(l, G::cli)?;
    cli::stdin::add_to_linker::<G, WasiCli>(l, G::cli)?;
    cli::stdout::add_to_linker::<G, WasiCli>(l, G::cli)?;
    cli::stderr::add_to_linker::<G, WasiCli>(l, G::cli)?;
    cli::terminal_input::add_to_linker::<G, WasiCli>(l, G::cli)?;
    cli::terminal_output::add_to_linker::<G, WasiCli>(l, G::cli)?;
    cli::terminal_stdin::add_to_linker::<G, WasiCli>(l, G::cli)?;
    cli::terminal_stdout::add_to_linker::<G, WasiCli>(l, G::cli)?;
    cli::terminal_stderr::add_to_linker::<G, WasiCli>(l, G::cli)?;
    clocks::wall_clock::add_to_linker::<G, WasiClocks>(l, G::clocks)?;
    clocks::monotonic_clock::add_to_linker::<G, Waiting>(l, waiting)?;
    filesystem::preopens::add_to_linker::<G, WasiFilesystem>(l, G::filesystem)?;
    sync::filesystem::types::add_to_linker::<G, WasiFilesystem>(l, G::filesystem)?;
    wasmtime_wasi_io::bindings::wasi::io::error::add_to_linker::<G, Table>(l, table)?;
    sync::io::poll::add_to_linker::<G, Waiting>(l, waiting)?;
    sync::io::streams::add_to_linker::<G, Table>(l, table)?;
    random::random::add_to_linker::<G, WasiRandom>(l, G::random)?;
    random::insecure::add_to_linker::<G, WasiRandom>(l, G::random)?;
    random::insecure_seed::add_to_linker::<G, WasiRandom>(l, G::random)?;
    network::add_to_linker(l)?;
    l.allow_shadowing(true);
    let mut files = l.instance(FILESYSTEM)?;
    paths::add_to_linker(&mut files)?;
    file_streams::add_to_linker(&mut files)?;
    listing::add_to_linker(&mut files)?;
    l.allow_shadowing(false);
    Ok(())
}

/// The name under which wasmtime-wasi links its `wasi:filesystem/types`.
const FILESYSTEM: &str = "wasi:filesystem/types@0.2.12";

struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}

fn table(guest: &mut Guest) -> &mut ResourceTable {
    guest.table()
}

/// The table and the request that bounds every wait.
struct Waiting<'a> {
    table: &'a mut ResourceTable,
    request: Arc<Request>,
}

impl HasData for Waiting<'static> {
    type Data<'a> = Waiting<'a>;
}

fn waiting(guest: &mut Guest) -> Waiting<'_> {
    Waiting {
        request: guest.request.clone(),
        table: guest.ctx().table,
    }
}

impl sync::io::poll::Host for Waiting<'_> {
    fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        let count = pollables.len();
        self.wait(|table, request| {
            wait::block_on(request, count, async_poll::Host::poll(table, pollables))
        })
    }
}

impl sync::io::poll::HostPollable for Waiting<'_> {
    fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        let there = self.wait(|table, request| {
            let ready = async_poll::HostPollable::ready(table, pollable);
            let is_ready = wait::block_on(request, 1, ready)?;
            Ok(is_ready.map(|is_ready| if is_ready { vec![0] } else { Vec::new() }))
        })?;
        Ok(!there.is_empty())
    }

    fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.wait(|table, request| {
            let block = async_poll::HostPollable::block(table, pollable);
            let is_there = wait::block_on(request, 1, block)?;
            Ok(is_there.map(|()| vec![0]))
        })?;
        Ok(())
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        async_poll::HostPollable::drop(self.table, pollable)
    }
}

/// Nanoseconds since the request's start.
impl clocks::monotonic_clock::Host for Waiting<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.request.now(Clock::Monotonic))
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.subscribe(self.request.started(), when)
    }

    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.subscribe(Instant::now(), duration)
    }
}

impl Waiting<'_> {
    /// By way of the request's journal: the numbers of what is there.
    fn wait(
        &mut self,
        wait: impl FnOnce(&mut ResourceTable, &Request) -> Result<wasmtime::Result<Vec<u32>>, IoError>,
    ) -> wasmtime::Result<Vec<u32>> {
        let mut failed = None;
        let there = self.request.waited(|| {
            Ok(wait(self.table, &self.request)?.unwrap_or_else(|error| {
                failed = Some(error);
                Vec::new()
            }))
        });
        match failed {
            Some(error) => Err(error),
            None => there.map_err(trap),
        }
    }

    fn subscribe(&mut self, from: Instant, nanos: u64) -> wasmtime::Result<Resource<DynPollable>> {
        // A time that the clock cannot tell never comes.
        let timer = Timer(from.checked_add(Duration::from_nanos(nanos)));
        let timer = self.table.push(timer)?;
        subscribe(self.table, timer)
    }
}

/// A moment that is waited for; `None` never comes.
struct Timer(Option<Instant>);

#[async_trait]
impl Pollable for Timer {
    async fn ready(&mut self) {
        std::future::poll_fn(|_| match self.0 {
            Some(when) if when <= Instant::now() => std::task::Poll::Ready(()),
            when => {
                wait::at(when);
                std::task::Poll::Pending
            }
        })
        .await;
    }
}
