//! Real handlers that wasm-mutate has changed: they are refused, or served within their limits.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use sandsock::config::Grants;
use sandsock_fuzz::{load, serve};
use wasm_mutate::WasmMutate;

/// What a client could send.
const INPUTS: [&[u8]; 3] = [b"", b"hello,server\n", &[0xff; 300]];

fuzz_target!(|module: &[u8]| {
    if let Ok(handler) = load(module, &Grants::default()) {
        for input in INPUTS {
            serve(&handler, input);
        }
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    // Now and then bytes of the file, and not what they mean; wasm-mutate can do with valid files alone.
    if seed % 8 == 0 || wasmparser::validate(&data[..size]).is_err() {
        return fuzzer_mutate(data, size, max_size);
    }
    let module = data[..size].to_vec();
    let mut mutate = WasmMutate::default();
    mutate.seed(u64::from(seed)).fuel(1000);
    let mutated = mutate.run(&module).ok().and_then(|mut found| found.next());
    match mutated {
        Some(Ok(mutated)) if mutated.len() <= max_size => {
            data[..mutated.len()].copy_from_slice(&mutated);
            mutated.len()
        }
        _ => fuzzer_mutate(data, size, max_size),
    }
});
