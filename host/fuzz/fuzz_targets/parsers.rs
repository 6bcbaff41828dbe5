//! Whatever a person types: each option's value, and addresses. No panic; what is understood and shown again is
//! understood as the same.
#![no_main]
#![forbid(unsafe_code)]

use clap::Parser;
use libfuzzer_sys::fuzz_target;
use sandsock::config::{
    AdmissionOptions, ConnectGrant, DirGrant, EnvGrant, Grants, LimitOptions, LoadOptions,
    ServiceOptions,
};
use sandsock::{Server, handler_fn};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    limits: LimitOptions,
    #[command(flatten)]
    load: LoadOptions,
    #[command(flatten)]
    service: ServiceOptions,
    #[command(flatten)]
    admission: AdmissionOptions,
    #[command(flatten)]
    grants: Grants,
}

/// Options that take a value.
const OPTIONS: [&str; 27] = [
    "--deadline",
    "--idle-timeout",
    "--cpu-limit",
    "--memory-limit",
    "--max-input",
    "--max-output",
    "--log-limit",
    "--max-handler-size",
    "--compile-timeout",
    "--compile-memory",
    "--max-packet",
    "--linger",
    "--shutdown-grace",
    "--max-in-flight",
    "--backlog",
    "--max-requests",
    "--socket-mode",
    "--socket-owner",
    "--allow",
    "--deny",
    "--rate-per-source",
    "--max-per-source",
    "--max-amplification",
    "--deny-source-ports",
    "--env",
    "--dir",
    "--allow-connect",
];

fn parse(option: &str, value: &str) -> Option<Line> {
    Line::try_parse_from(["sandsock", &format!("{option}={value}")]).ok()
}

fuzz_target!(|input: (u8, &str)| {
    let (which, text) = input;
    let Some(option) = OPTIONS.get(usize::from(which) % (OPTIONS.len() + 1)) else {
        if let Ok(server) = Server::unbound(text, handler_fn(|_| Ok(()))) {
            let shown = server.server_address();
            let again = Server::unbound(shown, handler_fn(|_| Ok(()))).expect("what it shows");
            assert_eq!(again.server_address(), shown);
        }
        return;
    };
    let Some(line) = parse(option, text) else {
        return;
    };
    let shown = match *option {
        "--deadline" => line.limits.deadline.to_string(),
        "--memory-limit" => line.limits.memory_limit.to_string(),
        "--compile-memory" => line.load.compile_memory.to_string(),
        "--linger" => line.service.linger.to_string(),
        _ => {
            let _: (&[EnvGrant], &[DirGrant], &[ConnectGrant]) = (
                &line.grants.env,
                &line.grants.dir,
                &line.grants.allow_connect,
            );
            return;
        }
    };
    let again = parse(option, &shown).expect("what it shows");
    assert_eq!(again.limits.deadline, line.limits.deadline, "{shown}");
    assert_eq!(
        again.limits.memory_limit, line.limits.memory_limit,
        "{shown}"
    );
    assert_eq!(
        again.load.compile_memory, line.load.compile_memory,
        "{shown}"
    );
    assert_eq!(again.service.linger, line.service.linger, "{shown}");
});
