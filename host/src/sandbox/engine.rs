//! The engine's configuration: which Wasm features are on, how instances are pooled, what ticks.

use std::sync::LazyLock;

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    RegallocAlgorithm, ResourcesRequired, WasmBacktraceDetails, WasmFeatures,
};

use super::ticker::Ticker;

/// The stack that guest code may use, in bytes. It does not reserve a thread's stack, see below.
const WASM_STACK: usize = 512 << 10;

/// The stack of a thread that serves requests: guest code's and a reserve for the host calls that it
/// makes. If the thread's stack ended first, the process would abort instead of the instance trapping.
pub(crate) const THREAD_STACK: usize = WASM_STACK + (1536 << 10);

/// Wasm that handlers may use. Everything else, threads and 64-bit memories among it, is off.
const FEATURES: [WasmFeatures; 14] = [
    WasmFeatures::MUTABLE_GLOBAL,
    WasmFeatures::SATURATING_FLOAT_TO_INT,
    WasmFeatures::SIGN_EXTENSION,
    WasmFeatures::MULTI_VALUE,
    WasmFeatures::BULK_MEMORY,
    WasmFeatures::REFERENCE_TYPES,
    WasmFeatures::CALL_INDIRECT_OVERLONG,
    WasmFeatures::FLOATS,
    WasmFeatures::SIMD,
    WasmFeatures::RELAXED_SIMD,
    WasmFeatures::TAIL_CALL,
    WasmFeatures::MULTI_MEMORY,
    WasmFeatures::EXTENDED_CONST,
    WasmFeatures::COMPONENT_MODEL,
];

/// Pages of a slot that stay mapped from one request to the next, in bytes: resetting what a small
/// handler touches is cheaper than faulting it in again.
const KEEP_MEMORY: usize = 256 << 10;
const KEEP_TABLE: usize = 64 << 10;

/// Elements that a table of the pool has room for at most; the memory limit comes first, by default.
const TABLE_ELEMENTS: u64 = 16 << 20;

/// An instance's state in the host, in bytes, where the memory limit allows more.
const LARGEST_STATE: u64 = 64 << 20;

/// What the host may have of one instance beside its memories and tables, in bytes: its globals, functions and core
/// instances.
pub(crate) fn largest_state(memory_limit: u64) -> u64 {
    memory_limit.min(LARGEST_STATE)
}

/// Engines that understand each other's compiled code.
pub(crate) struct Engines;

impl Engines {
    /// For compiling: it sets no instance up. A process whose ticker is [`Ticker::Child`] is going to fork,
    /// so that no thread may be left from it.
    ///
    /// # Errors
    ///
    /// The processor or system is not supported.
    pub(crate) fn compiling(ticker: Ticker) -> wasmtime::Result<Engine> {
        Engine::new(config().parallel_compilation(ticker == Ticker::Thread))
    }

    /// For running a module's initialisation once, bounded by the engine's fuel: no thread has to tick. Its code is
    /// made quickly, not made fast.
    ///
    /// # Errors
    ///
    /// The processor or system is not supported.
    pub(crate) fn initialising(ticker: Ticker) -> wasmtime::Result<Engine> {
        let mut config = config();
        config
            .epoch_interruption(false)
            .consume_fuel(true)
            .cranelift_opt_level(OptLevel::None)
            .cranelift_regalloc_algorithm(RegallocAlgorithm::SinglePass)
            // One instance has no use of an image that all would share.
            .memory_init_cow(false)
            .parallel_compilation(ticker == Ticker::Thread);
        Engine::new(&config)
    }

    /// For serving: with a pool for `instances` at one time of what a handler requires, and with what
    /// moves its epoch; with `coredumps` a trap takes note of what it leaves.
    ///
    /// # Errors
    ///
    /// The address space is too small for the pool, or no thread is to be had.
    pub(crate) fn serving(
        required: &ResourcesRequired,
        instances: u32,
        memory_limit: u64,
        ticker: Ticker,
        coredumps: bool,
    ) -> wasmtime::Result<Engine> {
        let mut config = config();
        // Compiled code is the same with it.
        config.coredump_on_trap(coredumps);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(
            required,
            instances,
            memory_limit,
        )));
        let engine = Engine::new(&config)?;
        ticker.start(&engine)?;
        // Made here once, and not in each child.
        LazyLock::force(&RUNTIME);
        Ok(engine)
    }
}

fn config() -> Config {
    let mut config = Config::new();
    config.wasm_features(WasmFeatures::all(), false);
    for feature in FEATURES {
        config.wasm_features(feature, true);
    }
    config
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK)
        // Unused, since nothing runs asynchronously; it has to be larger than Wasm's own stack.
        .async_stack_size(THREAD_STACK)
        .concurrency_support(false)
        // Where in the source a trap is, is looked up in a table: see `symbols.rs`.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config
}

fn pool(
    required: &ResourcesRequired,
    instances: u32,
    memory_limit: u64,
) -> PoolingAllocationConfig {
    let memories = required.num_memories.max(1);
    let tables = required.num_tables.max(1);
    let elements = memory_limit / size_of::<usize>() as u64;
    let elements = elements
        .min(TABLE_ELEMENTS)
        .max(required.max_initial_table_size.unwrap_or(0));
    // A pool's memory is at most what 32 bits can address.
    let memory = memory_limit.min(1 << 32).next_multiple_of(64 << 10);
    let state = usize::try_from(largest_state(memory_limit)).unwrap_or(usize::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_memories(instances.saturating_mul(memories))
        .max_memories_per_module(memories)
        .max_memories_per_component(memories)
        .max_memory_size(usize::try_from(memory).unwrap_or(usize::MAX))
        .total_tables(instances.saturating_mul(tables))
        .max_tables_per_module(tables)
        .max_tables_per_component(tables)
        .table_elements(usize::try_from(elements).unwrap_or(usize::MAX))
        // Instances themselves live on the heap: these are limits and reserve nothing.
        .total_core_instances(u32::MAX)
        .total_component_instances(u32::MAX)
        .max_core_instances_per_component(10_000)
        .max_core_instance_size(state)
        .max_component_instance_size(state)
        // Async stacks: there are none, and each would slow a fork down.
        .total_stacks(0)
        .max_unused_warm_slots(instances.saturating_mul(memories))
        .linear_memory_keep_resident(KEEP_MEMORY)
        .table_keep_resident(KEEP_TABLE)
        // A slot is free as soon as its instance is gone: batches would be cheaper only for large
        // memories, and while one is being given back the pool is smaller than the requests in flight.
        .decommit_batch_size(1)
        // An open report upstream: pages that were swapped out are not reset by it.
        .pagemap_scan(Enabled::No);
    pool
}

/// What runs the futures of wasmtime-wasi: no thread, no timer, no poller. All of them are ready at
/// once, since files are read on the request's own thread and everything that waits is ours.
static RUNTIME: LazyLock<Option<tokio::runtime::Runtime>> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().build().ok());

/// Without it wasmtime-wasi would start a runtime with threads of its own.
pub(crate) fn enter_runtime() -> Option<tokio::runtime::EnterGuard<'static>> {
    RUNTIME.as_ref().map(|runtime| runtime.enter())
}
