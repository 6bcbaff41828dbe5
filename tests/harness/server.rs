//! The built program, served on a port or path of the test's own, and ended with the test.

#![expect(unsafe_code, reason = "descriptors that are handed over")]

use super::finished::{Finished, finish, wait};
use super::{
    Client, Log, PATIENCE, PATIENCE_TO_COMPILE, Process, Recording, Transport, cache_home,
    is_request, program, signal,
};
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::io::Error;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Every way to process a request.
pub(crate) const CONCURRENCIES: [&str; 3] = ["serial", "threads", "fork"];

/// `sandsock serve`, to be started. Without more it serves `tcp://127.0.0.1:0` and logs JSON.
pub(crate) struct Serve {
    wrapper: Vec<OsString>,
    address: String,
    handler: OsString,
    options: Vec<OsString>,
    handler_args: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    handed_over: Vec<(RawFd, OwnedFd)>,
    dir: TempDir,
}

impl Serve {
    /// Serves this file.
    pub(crate) fn new(handler: impl AsRef<Path>) -> Self {
        Self {
            wrapper: Vec::new(),
            address: Transport::Tcp.any_address(Path::new("")),
            handler: handler.as_ref().into(),
            options: vec!["--log-format".into(), "json".into()],
            handler_args: Vec::new(),
            environment: vec![("XDG_CACHE_HOME".into(), cache_home().into())],
            handed_over: Vec::new(),
            dir: TempDir::new().expect("a temporary folder"),
        }
    }

    /// At this address.
    pub(crate) fn at(mut self, address: impl Into<String>) -> Self {
        self.address = address.into();
        self
    }

    /// At an address of this transport that nobody else has.
    pub(crate) fn on(self, transport: Transport) -> Self {
        let address = transport.any_address(self.dir.path());
        self.at(address)
    }

    /// With these options, separated by blanks.
    pub(crate) fn with(mut self, options: &str) -> Self {
        self.options
            .extend(options.split_whitespace().map(OsString::from));
        self
    }

    /// With one more option or value, as it stands.
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.options.push(arg.as_ref().into());
        self
    }

    /// Records these of its requests, in a folder that goes with the server.
    pub(crate) fn recording(self, when: &str) -> Self {
        let folder = recordings_in(self.dir.path());
        self.arg("--record")
            .arg(folder)
            .arg("--record-when")
            .arg(when)
    }

    /// With the log as text for people.
    pub(crate) fn text_log(mut self) -> Self {
        self.options.drain(..2);
        self
    }

    /// With arguments for the handler.
    pub(crate) fn handler_args(mut self, args: &[&str]) -> Self {
        self.handler_args.extend(args.iter().map(OsString::from));
        self
    }

    /// With a variable in the program's own environment.
    pub(crate) fn environment(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.into(), value.as_ref().into()));
        self
    }

    /// With this descriptor of the test's under that number, which may be a standard stream's.
    pub(crate) fn hand_over(mut self, number: RawFd, fd: impl Into<OwnedFd>) -> Self {
        self.handed_over.push((number, fd.into()));
        self
    }

    /// Started by another program, which is handed the command line.
    pub(crate) fn through(mut self, wrapper: &[impl AsRef<OsStr>]) -> Self {
        self.wrapper = wrapper.iter().map(|word| word.as_ref().into()).collect();
        self
    }

    fn command(&self) -> Command {
        let mut line = self.wrapper.clone();
        line.push(program().into());
        line.push("serve".into());
        line.extend(self.options.iter().cloned());
        // All tests again, for a concurrency that they do not name themselves.
        if let Some(concurrency) = std::env::var_os("SANDSOCK_TEST_CONCURRENCY")
            && !self.options.iter().any(|o| o == "--concurrency")
        {
            line.extend(["--concurrency".into(), concurrency]);
        }
        // And for the kernel to tell of each system call that is not allowed (`cargo xtask calls`).
        if let Some(harden) = std::env::var_os("SANDSOCK_TEST_HARDEN")
            && !self.options.iter().any(|o| o == "--harden")
        {
            line.extend(["--harden".into(), harden]);
        }
        line.push(self.address.clone().into());
        line.push(self.handler.clone());
        if !self.handler_args.is_empty() {
            line.push("--".into());
            line.extend(self.handler_args.iter().cloned());
        }
        let mut command = Command::new(&line[0]);
        command
            .args(&line[1..])
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let handed_over: Vec<_> = self.handed_over.iter().map(above_all_numbers).collect();
        let hand_over = move || {
            for (number, fd) in &handed_over {
                // SAFETY: dup2(2) takes two numbers; what it replaces, if anything, is the child's own.
                if unsafe { libc::dup2(fd.as_raw_fd(), *number) } < 0 {
                    return Err(Error::last_os_error());
                }
            }
            Ok(())
        };
        // SAFETY: between fork and exec it calls dup2(2) alone, which signal-safety(7) allows.
        unsafe { command.pre_exec(hand_over) };
        command
    }

    /// Starts it where it says nothing on standard output.
    pub(crate) fn start_unheard(self) -> Server {
        Server::spawn(self.command(), self.dir)
    }

    /// Starts it, and waits until it listens.
    pub(crate) fn start(self) -> Server {
        Server::start(self.command(), self.dir)
            .unwrap_or_else(|log| panic!("it does not listen:\n{}", log.join("\n")))
    }

    /// Starts it, and waits for nothing.
    pub(crate) fn spawn(self) -> Server {
        Server::spawn(self.command(), self.dir)
    }

    /// Starts it, and waits until it listens, or has ended without: then its log. `dir` goes with it.
    pub(crate) fn try_start_in(self, dir: TempDir) -> Result<Server, Vec<String>> {
        Server::start(self.command(), dir)
    }

    /// Runs it to its end, which has to come by itself.
    pub(crate) fn run_to_end(self) -> Finished {
        finish(self.command(), b"")
    }
}

/// A server that runs. Dropping it kills it.
pub(crate) struct Server {
    child: Child,
    said: Log,
    log: Log,
    dir: TempDir,
}

impl Server {
    /// Starts a program that says where it listens as `serve` does; `dir` goes with it. Waits until it
    /// listens, or has ended without: then its log. Its standard output and standard error are pipes.
    pub(crate) fn start(command: Command, dir: TempDir) -> Result<Self, Vec<String>> {
        let server = Server::spawn(command, dir);
        let until = Instant::now() + PATIENCE_TO_COMPILE;
        loop {
            // Looked at first: what it says before it ends is there then.
            let has_ended = server.said.has_ended();
            if !server.said.lines().is_empty() {
                return Ok(server);
            }
            if has_ended {
                return Err(server.log.whole());
            }
            assert!(Instant::now() < until, "it neither listens nor ends");
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn spawn(mut command: Command, dir: TempDir) -> Self {
        let mut child = command.spawn().expect("the program starts");
        let said = Log::follow(child.stdout.take().expect("a pipe"));
        let log = Log::follow(child.stderr.take().expect("a pipe"));
        Server {
            child,
            said,
            log,
            dir,
        }
    }

    /// The address of its only listener.
    pub(crate) fn address(&self) -> String {
        self.listening(1).remove(0)
    }

    /// The addresses of its first `n` listeners.
    pub(crate) fn listening(&self, n: usize) -> Vec<String> {
        let until = Instant::now() + PATIENCE;
        loop {
            let lines = self.said.lines();
            if lines.len() >= n {
                return lines
                    .iter()
                    .map(|line| {
                        line.strip_prefix("listening ")
                            .unwrap_or_else(|| panic!("not a line about listening: {line:?}"))
                            .to_owned()
                    })
                    .collect();
            }
            assert!(Instant::now() < until, "{n} listeners expected: {lines:?}");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// A new client of its first listener.
    pub(crate) fn connect(&self) -> Client {
        Client::connect(&self.address())
    }

    /// A request of a client of its own: all of it sent, then everything that comes back.
    pub(crate) fn ask(&self, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        self.connect().ask(bytes)
    }

    /// What it says on standard output.
    pub(crate) fn said(&self) -> &Log {
        &self.said
    }

    /// Its log.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// The events of the first `n` requests that ended; waits for them.
    pub(crate) fn requests(&self, n: usize) -> Vec<Value> {
        self.log.wait_for(n, is_request)
    }

    /// The event of the first request that ended; waits for it.
    pub(crate) fn request(&self) -> Value {
        self.requests(1).remove(0)
    }

    /// With `fork`: the processes that take requests, one for each listener.
    pub(crate) fn loops(&self) -> Vec<Process> {
        self.process().children()
    }

    /// The process that takes requests; with several listeners, one of them.
    pub(crate) fn acceptor(&self) -> Process {
        let loops = self.loops();
        loops.first().copied().unwrap_or(self.process())
    }

    /// The process.
    pub(crate) fn process(&self) -> Process {
        Process(self.child.id())
    }

    /// Ends it, so that all of it is written: what [`Serve::recording`] has recorded, by the number of the request
    /// (they are written as they end, and a client may have its answer before).
    #[track_caller]
    pub(crate) fn recorded(&mut self) -> Vec<Recording> {
        assert!(self.terminate().success(), "{:?}", self.log.lines());
        let mut recorded = Recording::all_in(&self.recordings());
        recorded.sort_by_key(|recording| recording.header("id").as_u64());
        recorded
    }

    /// The folder that [`Serve::recording`] writes to.
    pub(crate) fn recordings(&self) -> PathBuf {
        recordings_in(self.dir.path())
    }

    /// A folder that goes with the server.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Asks it to stop and waits until it has.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.process().signal(signal::TERM);
        self.wait()
    }

    /// Waits until it ends.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait(&mut self.child, PATIENCE)
            .unwrap_or_else(|| panic!("it does not end; its log:\n{}", self.log.lines().join("\n")))
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_some()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself: there is nothing to kill then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn recordings_in(dir: &Path) -> PathBuf {
    dir.join("recordings")
}

/// The same under a number that nobody wants to hand it over as: none is replaced before it was taken.
fn above_all_numbers((number, fd): &(RawFd, OwnedFd)) -> (RawFd, OwnedFd) {
    let copy = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(100)).expect("a descriptor");
    // SAFETY: fcntl has made it, and nobody else knows of it.
    (*number, unsafe { OwnedFd::from_raw_fd(copy) })
}
