//! Compiling, held: in a process of its own, with bounds on its time and memory, and a low priority, so
//! that the services in place run on. A file can be made to take the compiler very long.
//!
//! The file goes there in sealed memory, and the code comes back in memory that is sealed once the process
//! has ended.

#![expect(unsafe_code, reason = "one system call that no crate wraps")]

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::process::{self, Child, ChildStderr, ExitCode, ExitStatus, Stdio};
use std::thread::{self, available_parallelism};
use std::time::{Duration, Instant};

use clap::Args;
use nix::libc;
use nix::poll::PollFlags;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::time::{ClockId, clock_gettime};
use wasmtime::Engine;

use super::this_program::{take, this_program};
use crate::config::{LoadOptions, Size, Span};
use crate::events;
use crate::handler::{self, Compiler, LoadError, Source, looks_like_wasm};
use crate::harden::{Harden, confine_compiler};
use crate::poll;
use crate::sandbox::compiled::{record, seal, share, shareable, shared};
use crate::sandbox::snapshot::{Surroundings, may_want_snapshot};
use crate::sandbox::{Compiled, Engines, Ticker, symbols};

/// Compiles one file for the process that starts it.
#[derive(Args)]
pub(super) struct CompileArgs {
    /// Sealed memory with the file in it
    #[arg(long)]
    file: RawFd,
    /// Memory for the code
    #[arg(long)]
    code: RawFd,
    /// Sealed memory with what the file's initialisation sees, where that is settled
    #[arg(long)]
    surroundings: Option<RawFd>,
    /// As `serve` says
    #[arg(long, value_enum)]
    harden: Harden,
    /// What messages call the file
    path: PathBuf,
}

/// The exit code for a file that is no valid WebAssembly; why stands on standard error.
const INVALID: u8 = 3;

/// The exit code for a file with debug information that takes too long.
const NO_LINES: u8 = 4;

/// CPU time that reading a file's debug information may take.
const SYMBOLS_TIME: Duration = Duration::from_secs(10);

/// Tables of symbols that a process writes which comes to its end.
const TABLES: usize = 2;

pub(super) fn main(args: CompileArgs) -> anyhow::Result<ExitCode> {
    let file = shared(take(args.file)?)?;
    let surroundings = match args.surroundings {
        Some(memory) => Some(serde_json::from_slice::<Surroundings>(&shared(take(
            memory,
        )?)?)?),
        None => None,
    };
    let engine = Engines::compiling(Ticker::Thread).map_err(anyhow::Error::from)?;
    let code = take(args.code)?;
    confine_compiler(args.harden, surroundings.is_some())?;
    let source = Source {
        file: &file,
        path: &args.path,
        surroundings,
        ticker: Ticker::Thread,
    };
    match handler::code(&engine, &source) {
        Ok((compiled, wasm)) => {
            let mut code = std::fs::File::from(code);
            code.write_all(compiled.bytes())?;
            drop(compiled);
            write_symbols(&mut code, &wasm)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(LoadError::Invalid { problem, .. }) => {
            eprint!("{problem}");
            Ok(ExitCode::from(INVALID))
        }
        Err(error) => Err(error.into()),
    }
}

/// Writes what names functions and lines, for traps: first what comes to an end with any file, since this process can be
/// made to end in the second.
fn write_symbols(file: &mut File, wasm: &[u8]) -> io::Result<()> {
    file.write_all(&record(&symbols::names_only(wasm)))?;
    // Not by the limit that is there for it (getrlimit(2)): nothing here may set one any more.
    thread::Builder::new().stack_size(64 << 10).spawn(|| {
        let used = || clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map(Duration::from);
        let start = used();
        while let (Ok(start), Ok(now)) = (start, used())
            && now.saturating_sub(start) < SYMBOLS_TIME
        {
            thread::sleep(Duration::from_millis(100));
        }
        process::exit(i32::from(NO_LINES));
    })?;
    file.write_all(&record(&symbols::lines(wasm, true)))
}

/// Compiles in a process that is held.
pub(super) struct CompileProcess {
    timeout: Option<Span>,
    memory: Option<Size>,
    harden: Harden,
}

/// Most threads of the compiler: each has memory of its own.
const MOST_THREADS: usize = 4;

/// How much less than the services in place it gets where the processors are busy (nice(2)).
const NICENESS: i32 = 10;

/// What is read of a process's last words, in bytes.
const LONGEST_WORDS: usize = 4096;

impl CompileProcess {
    pub(super) fn new(options: &LoadOptions, harden: Harden) -> Self {
        CompileProcess {
            timeout: options.compile_timeout.get(),
            memory: options.compile_memory.get(),
            harden,
        }
    }

    fn run(&self, source: &Source<'_>) -> io::Result<(Ended, OwnedFd)> {
        let (file, code) = (share(source.file)?, shareable()?);
        let surroundings = match &source.surroundings {
            Some(surroundings) if may_want_snapshot(source.file) => {
                Some(share(&surroundings.to_bytes())?)
            }
            _ => None,
        };
        let inherited = [Some(&file), Some(&code), surroundings.as_ref()];
        let inherited = inherited.into_iter().flatten();
        let memory = self.memory.map(|size| size.0);
        let threads =
            available_parallelism().map_or(1, |processors| processors.get().min(MOST_THREADS));
        let mut child = this_program(
            "compile",
            inherited.map(AsRawFd::as_raw_fd).collect(),
            move || hold(memory),
        )
        .arg("--file")
        .arg(file.as_raw_fd().to_string())
        .arg("--code")
        .arg(code.as_raw_fd().to_string())
        .args(surroundings.iter().flat_map(|memory| {
            let number = memory.as_raw_fd().to_string();
            ["--surroundings".to_owned(), number]
        }))
        .arg("--harden")
        .arg(self.harden.as_str())
        .arg("--")
        .arg(source.path)
        .env_clear()
        .env("RAYON_NUM_THREADS", threads.to_string())
        .stderr(Stdio::piped())
        .spawn()?;
        let timeout = self.timeout.map(Duration::from);
        let ended = end(&mut child, timeout);
        // Whatever it was at: nothing of it is left when its code is looked at.
        let _ = child.kill();
        let status = child.wait()?;
        let (words, is_late) = ended?;
        let ended = Ended {
            status,
            words,
            is_late,
        };
        Ok((ended, code))
    }

    /// Why the debug information of a file was not read.
    fn no_lines(&self, ended: &Ended) -> String {
        if ended.status.code() == Some(i32::from(NO_LINES)) {
            return format!(
                "reading its debug information takes more than {} s",
                SYMBOLS_TIME.as_secs()
            );
        }
        self.exceeded(ended).unwrap_or_else(|| {
            format!(
                "what reads its debug information ended with {}",
                ended.status
            )
        })
    }

    /// The limit that ended it.
    fn exceeded(&self, ended: &Ended) -> Option<String> {
        let raise = |value: String, option: &str| {
            format!(
                "it takes more than {value}: raise {option}, if it is to be trusted with so much"
            )
        };
        // The allocator's words in Rust, and the system's (errno(3): ENOMEM, EFBIG).
        let has_no_memory = [
            "memory allocation of",
            "Cannot allocate memory",
            "File too large",
            // Threads have a stack each.
            "thread pool has not been initialized",
        ]
        .iter()
        .any(|words| ended.words.contains(words));
        match (ended.is_late, self.timeout, self.memory) {
            (true, Some(timeout), _) => Some(raise(timeout.to_string(), "--compile-timeout")),
            (_, _, Some(memory)) if has_no_memory => {
                Some(raise(format!("{memory} of memory"), "--compile-memory"))
            }
            _ => None,
        }
    }
}

impl Compiler for CompileProcess {
    fn compile(&self, _engine: &Engine, source: &Source<'_>) -> Result<Compiled, LoadError> {
        let fail = |problem: String| LoadError::Compile {
            path: source.path.to_owned(),
            problem,
        };
        if !looks_like_wasm(source.file, source.path) {
            return Err(LoadError::NotWasm(source.path.to_owned()));
        }
        let (ended, code) = self
            .run(source)
            .map_err(|error| fail(format!("no process is to be had for it: {error}")))?;
        let compiled = seal(&code)
            .and_then(|()| Compiled::of_process(code))
            .map_err(|error| fail(error.to_string()))?;
        if let Some((compiled, tables)) = compiled {
            if tables < TABLES {
                events::warning(&format!(
                    "{}: its traps have no lines, and names as its compiler wrote them: {}",
                    source.path.display(),
                    self.no_lines(&ended)
                ));
            }
            return Ok(compiled);
        }
        let is_invalid = ended.status.code() == Some(i32::from(INVALID));
        Err(match self.exceeded(&ended) {
            Some(problem) => fail(problem),
            None if is_invalid => LoadError::Invalid {
                path: source.path.to_owned(),
                problem: ended.words,
            },
            None => fail(format!(
                "its compiler ended with {}: {}",
                ended.status,
                ended.words.trim()
            )),
        })
    }
}

/// How a process that compiles has ended.
struct Ended {
    status: ExitStatus,
    /// What it said last.
    words: String,
    /// It was ended.
    is_late: bool,
}

/// Waits until the process ends, which its standard error does with it, or for `timeout`; its words, and
/// whether it was too late.
fn end(child: &mut Child, timeout: Option<Duration>) -> io::Result<(String, bool)> {
    let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let Some(mut stderr) = child.stderr.take() else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    let mut words = Vec::new();
    let is_late = loop {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        if !poll::wait(stderr.as_fd(), PollFlags::POLLIN, left)? {
            break true;
        }
        if read(&mut stderr, &mut words)? == 0 {
            break false;
        }
    };
    Ok((String::from_utf8_lossy(&words).into_owned(), is_late))
}

fn read(stderr: &mut ChildStderr, words: &mut Vec<u8>) -> io::Result<usize> {
    let mut buffer = [0; LONGEST_WORDS];
    let length = stderr.read(&mut buffer)?;
    let room = LONGEST_WORDS - words.len();
    words.extend_from_slice(&buffer[..length.min(room)]);
    Ok(length)
}

/// Between fork and exec: what the process may take. The limit on data counts what is written to, and not
/// the address space that allocators reserve (getrlimit(2)); files are its code, which is no larger.
fn hold(memory: Option<u64>) -> io::Result<()> {
    if let Some(memory) = memory {
        for resource in [Resource::RLIMIT_DATA, Resource::RLIMIT_FSIZE] {
            // What we have been given ourselves cannot be raised any more.
            let (_, most) = getrlimit(resource)?;
            setrlimit(resource, memory.min(most), memory.min(most))?;
        }
    }
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    // SAFETY: nice(2) takes a number. That it fails is no reason not to compile.
    unsafe { libc::nice(NICENESS) };
    Ok(())
}
