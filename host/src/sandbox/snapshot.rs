//! A module's initialisation, run once when it is compiled: every request starts from the memory that it left.
//!
//! For a runtime whose start takes longer than a request, such as Go's. The module asks for it by exporting
//! `wizer-initialize`, the name that Wizer and its users have; it is called after the start function and
//! `_initialize`, and none of the three is part of a request then. By exporting it a module says that it draws
//! random numbers, and reads clocks, anew in each request where that matters.
//!
//! What initialisation sees has to be the same for every request, or there is no snapshot, and requests initialise
//! as they would without the export: it has the service's arguments and environment, the time of day, a monotonic
//! clock that stands at its beginning, and random bytes. It prints nothing, waits for nothing, opens and closes
//! nothing, and knows of no request.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use rand::rand_core::{Rng, SeedableRng, UnwrapErr};
use rand::rngs::{ChaCha20Rng, SysRng};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wasm_encoder::RawSection;
use wasmparser::{DataKind, Encoding, Parser, Payload};
use wasmtime::error::Context as _;
use wasmtime::{Caller, Engine, Extern, ExternType, Instance, Linker, Module, Store, Val, bail};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtxBuilder};
use wasmtime_wizer::{InstanceState, SnapshotVal, ValType, Wizer};

use super::engine::{Engines, enter_runtime};
use super::memory::MemoryLimiter;
use super::ticker::Ticker;

/// The export that asks for it.
const EXPORT: &str = "wizer-initialize";

/// What initialisation may take: units of the engine's fuel, about one for each instruction. Some seconds.
const FUEL: u64 = 5_000_000_000;

/// The memory that it may have, in bytes: what is not zero of it is part of the compiled code.
const MEMORY: u64 = 256 << 20;

/// What is quoted of what it printed, in bytes.
const PRINTED: usize = 200;

/// What a module's initialisation sees of the service that it is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Surroundings {
    /// The handler's file name, and the operator's arguments.
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    /// Where it has to be the one that was recorded; a new one otherwise.
    pub(crate) origin: Option<Origin>,
}

impl Surroundings {
    /// For another process, and for the cache.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        // Texts and numbers: there is nothing that JSON does not have.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// What a snapshot starts from beside the file and the service's arguments and environment: from the same origin the
/// same memory comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// Of the random bytes that initialisation draws, in hexadecimal.
    seed: String,
    /// The time of day that it reads, in nanoseconds since 1970.
    time: u64,
}

impl Origin {
    fn now() -> Self {
        let mut seed = [0; 32];
        UnwrapErr(SysRng).fill_bytes(&mut seed);
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Origin {
            seed: seed.iter().map(|byte| format!("{byte:02x}")).collect(),
            time: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
        }
    }

    /// A cryptographic generator: who knows the memory does not know the seed.
    fn random(&self) -> ChaCha20Rng {
        ChaCha20Rng::from_seed(Sha256::digest(&self.seed).into())
    }
}

impl HostWallClock for Origin {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.time)
    }
}

/// What became of a module's wish for a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Snapshot {
    /// It has none.
    #[default]
    NotWanted,
    /// Requests start from it.
    Taken,
    /// Why there is none: each request initialises its instance.
    Refused(String),
}

/// Whether a file, in the binary or the text format, could ask for a snapshot: what is compiled of it then depends
/// on more than the file.
pub(crate) fn may_want_snapshot(file: &[u8]) -> bool {
    memchr::memmem::find(file, EXPORT.as_bytes()).is_some()
}

/// The module as it is after its initialisation, and what that started from; where there is no snapshot, nothing, and
/// why. `None` as surroundings says that initialisation would see something that can change from request to request.
pub(crate) fn initialised(
    wasm: &[u8],
    surroundings: Option<&Surroundings>,
    ticker: Ticker,
) -> (Snapshot, Option<(Origin, Vec<u8>)>) {
    if !may_want_snapshot(wasm) || !is_wanted(wasm) {
        return (Snapshot::NotWanted, None);
    }
    let Some(surroundings) = surroundings else {
        let why = "a folder is granted, and what initialisation finds in it could change";
        return (Snapshot::Refused(why.to_owned()), None);
    };
    let origin = surroundings.origin.clone().unwrap_or_else(Origin::now);
    match take(wasm, surroundings, &origin, ticker) {
        Ok(wasm) => (Snapshot::Taken, Some((origin, wasm))),
        Err(error) => (Snapshot::Refused(reason(&error)), None),
    }
}

/// Whether it is a core module with the export.
fn is_wanted(wasm: &[u8]) -> bool {
    for payload in Parser::new(0).parse_all(wasm) {
        match payload {
            Ok(Payload::Version { encoding, .. }) if encoding != Encoding::Module => {
                return false;
            }
            Ok(Payload::ExportSection(exports)) => {
                return exports
                    .into_iter()
                    .any(|export| export.is_ok_and(|export| export.name == EXPORT));
            }
            Ok(_) => {}
            // The compiler will say what is wrong with it.
            Err(_) => return false,
        }
    }
    false
}

/// The innermost cause, without the backtrace that a trap brings.
fn reason(error: &wasmtime::Error) -> String {
    error.root_cause().to_string()
}

fn take(
    wasm: &[u8],
    surroundings: &Surroundings,
    origin: &Origin,
    ticker: Ticker,
) -> wasmtime::Result<Vec<u8>> {
    let wizer = Wizer::new();
    let (context, instrumented) = wizer.instrument(wasm)?;
    let engine = Engines::initialising(ticker)?;
    let module = Module::new(&engine, &instrumented)?;
    let output = MemoryOutputPipe::new(PRINTED);
    let mut store = store(&engine, surroundings, origin, &output)?;
    let ended = initialise(&mut store, &module);
    let printed = output.contents();
    if !printed.is_empty() {
        let printed = String::from_utf8_lossy(&printed);
        bail!("it prints: {}", printed.trim_end());
    }
    let instance = ended?;
    let wasm = ready(wizer.snapshot(&context, &mut State { store, instance }))?;
    without_empty_segments(&wasm)
}

/// Wizer leaves an empty segment in the place of each that the memory now contains, and the engine would go through
/// them for each instance: Go has a thousand. Without the section that counts them no instruction can name one.
fn without_empty_segments(wasm: &[u8]) -> wasmtime::Result<Vec<u8>> {
    let mut module = wasm_encoder::Module::new();
    let mut are_named = false;
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        are_named |= matches!(payload, Payload::DataCountSection { .. });
        match (&payload, payload.as_section()) {
            (Payload::DataSection(segments), _) if !are_named => {
                let mut kept = wasm_encoder::DataSection::new();
                for segment in segments.clone() {
                    let segment = segment?;
                    if !matches!(segment.kind, DataKind::Passive) {
                        kept.raw(&wasm[segment.range]);
                    }
                }
                module.section(&kept);
            }
            (_, Some((id, range))) => {
                module.section(&RawSection {
                    id,
                    data: &wasm[range],
                });
            }
            _ => {}
        }
    }
    Ok(module.finish())
}

/// What an instance has while it is initialised.
struct Initialising {
    wasi: WasiP1Ctx,
    memory: MemoryLimiter,
}

fn store(
    engine: &Engine,
    surroundings: &Surroundings,
    origin: &Origin,
    output: &MemoryOutputPipe,
) -> wasmtime::Result<Store<Initialising>> {
    let wasi = WasiCtxBuilder::new()
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .secure_random(origin.random())
        .wall_clock(origin.clone())
        .monotonic_clock(AtTheBeginning)
        .stdout(output.clone())
        .stderr(output.clone())
        .args(&surroundings.args)
        .envs(&surroundings.env)
        .build_p1();
    let memory = MemoryLimiter::new(MEMORY);
    let mut store = Store::new(engine, Initialising { wasi, memory });
    store.limiter(|state| &mut state.memory);
    store.set_fuel(FUEL)?;
    Ok(store)
}

/// Later readings, in requests, are later than this one: their clock begins with them.
struct AtTheBeginning;

impl HostMonotonicClock for AtTheBeginning {
    fn resolution(&self) -> u64 {
        1
    }

    /// Not 0, which Go's runtime takes for a clock that does not work.
    fn now(&self) -> u64 {
        1
    }
}

fn initialise(store: &mut Store<Initialising>, module: &Module) -> wasmtime::Result<Instance> {
    let _runtime = enter_runtime();
    let instance = linker(module)?.instantiate(&mut *store, module)?;
    for name in ["_initialize", EXPORT] {
        if let Some(Extern::Func(function)) = instance.get_export(&mut *store, name) {
            function
                .typed::<(), ()>(&*store)
                .with_context(|| format!("export `{name}` takes or returns something"))?
                .call(&mut *store, ())?;
        }
    }
    Ok(instance)
}

fn linker(module: &Module) -> wasmtime::Result<Linker<Initialising>> {
    const PREVIEW_1: &str = "wasi_snapshot_preview1";
    let mut linker = Linker::new(module.engine());
    wasmtime_wasi::p1::add_to_linker_sync(&mut linker, |state: &mut Initialising| &mut state.wasi)?;
    linker.allow_shadowing(true);
    for import in module.imports() {
        let ExternType::Func(function) = import.ty() else {
            continue;
        };
        let (from, name) = (import.module().to_owned(), import.name().to_owned());
        let is_of_the_request = from != PREVIEW_1;
        // A wait has no end that a limit could reach; and what became of descriptors would be forgotten.
        let is_refused = matches!(&*name, "poll_oneoff" | "fd_close" | "fd_renumber");
        if is_of_the_request || is_refused {
            linker.func_new(
                import.module(),
                import.name(),
                function,
                move |_: Caller<'_, Initialising>, _: &[Val], _: &mut [Val]| {
                    bail!("it calls `{from}` `{name}`, which only a request can")
                },
            )?;
        }
    }
    Ok(linker)
}

/// What a future brings that waits for nothing.
fn ready(future: impl Future<Output = wasmtime::Result<Vec<u8>>>) -> wasmtime::Result<Vec<u8>> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => bail!("it waits for something"),
    }
}

/// What the instance is at the end of its initialisation.
struct State {
    store: Store<Initialising>,
    instance: Instance,
}

impl InstanceState for State {
    async fn global_get(&mut self, name: &str, _: ValType) -> SnapshotVal {
        let global = self.instance.get_global(&mut self.store, name);
        match global.map(|global| global.get(&mut self.store)) {
            Some(Val::I32(value)) => SnapshotVal::I32(value),
            Some(Val::I64(value)) => SnapshotVal::I64(value),
            Some(Val::F32(value)) => SnapshotVal::F32(value),
            Some(Val::F64(value)) => SnapshotVal::F64(value),
            Some(Val::V128(value)) => SnapshotVal::V128(value.as_u128()),
            // Wizer exports its mutable globals itself, and has refused all that hold references.
            _ => unreachable!("global {name}"),
        }
    }

    async fn memory_contents(&mut self, name: &str, contents: impl FnOnce(&[u8]) + Send) {
        // As for globals.
        if let Some(memory) = self.instance.get_memory(&mut self.store, name) {
            contents(memory.data(&self.store));
        }
    }
}
