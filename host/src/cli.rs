//! The command line: one file a verb. An error is one `error:` line that says what, where and what to
//! do; its causes stand below it.

mod check;
mod compile;
mod fork_loop;
mod hardening;
mod log;
mod new;
mod replay;
mod run;
mod serve;
mod signals;
mod this_program;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use nix::sys::signal::{SigHandler, Signal, signal};

use compile::CompileProcess;

use crate::config::{CoredumpOptions, Grants, LimitOptions, LoadOptions, ServiceOptions};
use crate::events;
use crate::handler::{LoadError, Loader, WasmHandler};
use crate::harden::Harden;
use crate::sandbox::capacity::{Capacity, capacity};
use crate::sandbox::{Cache, Compiled};
use crate::text::Printable;

/// Python's socketserver, where the request handler is a WebAssembly file in a sandbox of its own.
///
/// Every request is served by a fresh instance of the handler: nothing of one request is left for the
/// next, and nothing of the host is visible but what you grant.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const AFTER_HELP: &str = "\
Examples:
  sandsock serve tcp://127.0.0.1:9999 hello.wasm
  sandsock serve --concurrency serial unix:///run/echo.sock echo.wasm
  sandsock serve --dir ./plans::/finger tcp://[::]:79 finger.wasm
  echo hello | sandsock run hello.wasm
  sandsock check hello.wasm
  sandsock new hello --lang rust
  sandsock serve --record recordings tcp://127.0.0.1:9999 hello.wasm
  sandsock test recordings hello.wasm

`sandsock VERB --help` tells what each verb takes.";

#[derive(Subcommand)]
enum Verb {
    /// Serve a handler on an address
    Serve(serve::ServeArgs),
    /// Serve one request offline: standard input is rfile, standard output is wfile
    Run(run::RunArgs),
    /// Say what a file is and whether it would be served
    Check(check::CheckArgs),
    /// Make a new handler project, in a language of your choice
    New(new::NewArgs),
    /// Run a recorded request again, offline
    Replay(replay::ReplayArgs),
    /// Run a folder of recordings again, as tests
    Test(replay::TestArgs),
    #[command(hide = true)]
    ForkLoop(fork_loop::ForkLoopArgs),
    #[command(hide = true)]
    Compile(compile::CompileArgs),
}

/// What grants have to lie apart from.
const COREDUMPS: &str = "the folder of core dumps (--coredump)";

/// The handler and what it is given: the same for every verb.
#[derive(Args)]
struct HandlerArgs {
    /// The handler: a .wasm or .wat file
    handler: PathBuf,
    /// Arguments of a handler of kind command
    #[arg(last = true)]
    args: Vec<String>,
    #[command(flatten)]
    limits: LimitOptions,
    #[command(flatten)]
    grants: Grants,
    #[command(flatten)]
    load: LoadOptions,
}

impl HandlerArgs {
    /// Loads a handler; what was compiled is for another process.
    fn load(&self, loader: &Loader) -> Result<(WasmHandler, Compiled), LoadError> {
        WasmHandler::compiled_by(&CompileProcess::new(&self.load, Harden::default()), loader)
    }

    fn loader(&self, instances: u32) -> anyhow::Result<Loader> {
        Ok(Loader {
            cache: cache(&self.load)?,
            ..self.loader_without_cache(instances)
        })
    }

    fn loader_without_cache(&self, instances: u32) -> Loader {
        let mut grants = self.grants.clone();
        grants.args.clone_from(&self.args);
        Loader {
            max_size: self.load.max_handler_size.get().map_or(u64::MAX, |s| s.0),
            memory_limit: self.limits.limits().memory,
            grants,
            instances,
            ..Loader::new(&self.handler)
        }
    }

    /// The requests in flight that `serve` would have with these options.
    fn capacity(
        &self,
        service: &ServiceOptions,
        coredump: &CoredumpOptions,
    ) -> anyhow::Result<Capacity> {
        let (asked, concurrency) = (service.max_in_flight, service.concurrency);
        capacity(asked, concurrency, &self.grants, coredump.at_one_time())
            .map_err(anyhow::Error::msg)
    }

    /// The folder of the cache, which is made where it is not there.
    fn cache_folder(&self) -> Option<PathBuf> {
        let folder = match &self.load.cache {
            Some(folder) if folder.as_os_str() == "off" => return None,
            Some(folder) => folder.clone(),
            None => Cache::default_folder()?,
        };
        // Whether it can be used, and why not, is said when it is.
        let _ = Cache::open(&folder);
        Some(folder)
    }

    /// The name of a service: its handler's, without the ending.
    fn service_name(&self) -> String {
        let name = self.handler.file_stem().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }
}

/// How a handler is loaded that is not served.
#[derive(Args, Clone)]
struct LoadArgs {
    #[command(flatten)]
    options: LoadOptions,
}

impl LoadArgs {
    fn cache(&self) -> anyhow::Result<Option<Cache>> {
        cache(&self.options)
    }
}

/// The cache that was asked for has to work; the user's own is used where it does.
fn cache(options: &LoadOptions) -> anyhow::Result<Option<Cache>> {
    match &options.cache {
        Some(folder) if folder.as_os_str() == "off" => Ok(None),
        Some(folder) => Ok(Some(Cache::open(folder)?)),
        None => Ok(
            Cache::default_folder().and_then(|folder| match Cache::open(&folder) {
                Ok(cache) => Some(cache),
                Err(error) => {
                    events::warning(&error.to_string());
                    None
                }
            }),
        ),
    }
}

/// Runs the program, on its only thread.
#[expect(unsafe_code, reason = "a signal is ignored, a variable is set")]
pub fn main() -> ExitCode {
    // Where RUST_BACKTRACE is set, for panics, each errno that WASI hands to a guest would else take a backtrace, and
    // some 10 us with it.
    if std::env::var_os("RUST_LIB_BACKTRACE").is_none() {
        // SAFETY: no other thread is there to read the environment.
        unsafe { std::env::set_var("RUST_LIB_BACKTRACE", "0") };
    }
    // A log or cache that is full up (ulimit -f) is an error of the write, as in Python, and not the end.
    // SAFETY: to ignore a signal runs no code.
    let _ = unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) };
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let error = printable(error);
            if !serve::client_has_stderr() {
                // It is a person's terminal that is gone if this cannot be written.
                let _ = error.print();
            }
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let result = match cli.verb {
        Verb::Serve(args) => serve::main(args),
        Verb::Run(args) => run::main(args),
        Verb::Check(args) => check::main(args),
        Verb::New(args) => new::main(args),
        Verb::Replay(args) => replay::main(args),
        Verb::Test(args) => replay::test(args),
        Verb::ForkLoop(args) => fork_loop::main(args),
        Verb::Compile(args) => compile::main(args),
    };
    log::flush();
    match result {
        Ok(code) => code,
        Err(error) => {
            let causes = error.chain().map(ToString::to_string);
            // Names and paths may be made to act on a terminal, or to look like a line of ours.
            let causes: Vec<_> = causes.map(|cause| Printable(&cause).to_string()).collect();
            // A reader that has gone learns it from the exit code.
            // In one piece: a loop's error is one message to its supervisor.
            let error_text = format!("error: {}\n", causes.join("\n  caused by: "));
            let _ = io::stderr().write_all(error_text.as_bytes());
            ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
        }
    }
}

/// What is wrong with the arguments, in an error that quotes them as they can be printed.
fn printable(error: clap::Error) -> clap::Error {
    let arguments = std::env::args_os();
    let shown = arguments.map(|argument| Printable(&argument.to_string_lossy()).to_string());
    // What is wrong as it stands is wrong with a `\n` in it, too.
    Cli::try_parse_from(shown).err().unwrap_or(error)
}

/// What can be seen on the command line is wrong: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);
