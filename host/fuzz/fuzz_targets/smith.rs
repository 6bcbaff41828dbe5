//! Modules that wasm-smith makes, which import what we offer: they are refused, or served within their limits,
//! and everything comes back.
#![no_main]
#![forbid(unsafe_code)]

use std::sync::LazyLock;

use libfuzzer_sys::arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use sandsock::config::Grants;
use sandsock_fuzz::{imports, load, serve};
use wasm_smith::{Config, Module};

static OFFERED: LazyLock<Vec<u8>> =
    LazyLock::new(|| wat::parse_str(format!("(module {})", imports())).expect("a module"));

static REQUIRED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let source = r#"(module (func (export "handle")) (func (export "setup")) (memory (export "memory") 1 4))"#;
    wat::parse_str(source).expect("a module")
});

/// What the engine has switched on.
fn config(u: &mut Unstructured<'_>) -> libfuzzer_sys::arbitrary::Result<Config> {
    Ok(Config {
        available_imports: Some(OFFERED.clone()),
        exports: Some(REQUIRED.clone()),
        allow_start_export: u.arbitrary()?,
        max_memories: u.int_in_range(1..=3)?,
        max_memory32_bytes: 1 << 20,
        max_tables: u.int_in_range(0..=3)?,
        max_table_elements: u.int_in_range(0..=100_000)?,
        compact_imports_enabled: false,
        exceptions_enabled: false,
        gc_enabled: false,
        memory64_enabled: false,
        threads_enabled: false,
        wide_arithmetic_enabled: false,
        ..Config::default()
    })
}

fuzz_target!(|input: &[u8]| {
    let mut u = Unstructured::new(input);
    let Ok(mut module) = config(&mut u).and_then(|config| Module::new(config, &mut u)) else {
        return;
    };
    // Half of them end by themselves, or few would come far.
    if bool::arbitrary(&mut u).unwrap_or(true) && module.ensure_termination(1000).is_err() {
        return;
    }
    if let Ok(handler) = load(&module.to_bytes(), &Grants::default()) {
        serve(&handler, u.take_rest());
    }
});
