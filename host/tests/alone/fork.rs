//! `ConcurrencyKind::Fork`: each request in a child of this process.

use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use sandsock::config::ConcurrencyKind;
use sandsock::{
    Ended, HandlerError, Loader, Outcome, Request, RequestHandler, Server, ServerHooks,
    ServerOptions, ShutdownHandle, WasmHandler, handler_fn,
};
use tempfile::TempDir;

use crate::client::{Client, Transport};
use crate::{PATIENCE, no_children};

fn server(
    transport: Transport,
    handler: impl RequestHandler + 'static,
    options: ServerOptions,
) -> (Server, TempDir) {
    let dir = TempDir::new().unwrap();
    let options = ServerOptions {
        concurrency: ConcurrencyKind::Fork,
        ..options
    };
    let address = transport.any_address(dir.path());
    let server = Server::with_options(&address, handler, options).unwrap();
    (server, dir)
}

/// A client that has sent all that it is going to send.
fn asking(server: &Server, bytes: &str) -> Client {
    let mut client = Client::connect(server.server_address());
    client.send(bytes);
    client.finish_sending();
    client
}

/// Says what it was sent, and in which process.
fn tells_its_process() -> impl RequestHandler {
    handler_fn(|request| {
        let mut word = String::new();
        request.rfile().read_to_string(&mut word)?;
        Ok(write!(request.wfile(), "{word} {}", std::process::id())?)
    })
}

pub(crate) fn native_handlers_fork() {
    for transport in Transport::all() {
        let (mut server, _dir) = server(transport, tells_its_process(), Default::default());
        let mut clients = ["one", "two"].map(|word| asking(&server, word));
        let mut answers = Vec::new();
        for client in &mut clients {
            server.handle_request().unwrap();
            answers.push(String::from_utf8(client.receive_all()).unwrap());
        }
        let here = std::process::id().to_string();
        for (answer, word) in answers.iter().zip(["one", "two"]) {
            let (said, process) = answer.split_once(' ').unwrap();
            assert_eq!(said, word, "{transport:?}");
            assert_ne!(process, here);
        }
        assert_ne!(answers[0][4..], answers[1][4..]);
    }
}

/// Neither compiling nor serving may leave a thread behind; the limits hold in a child, too.
pub(crate) fn wasm_handlers_fork() {
    const FILE: &[u8] = br#"(module
      (import "rfile" "read" (func $read (param i32 i32) (result i32)))
      (import "wfile" "write" (func $write (param i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "handle")
        (local $read i32)
        (local.set $read (call $read (i32.const 0) (i32.const 64)))
        (loop $spin (br_if $spin (i32.eq (i32.load8_u (i32.const 0)) (i32.const 33))))
        (drop (call $write (i32.const 0) (local.get $read)))))"#;
    let loader = Loader::new("spin.wat").for_children();
    let handler = Arc::new(WasmHandler::from_bytes(&loader, FILE).unwrap());
    for transport in Transport::all() {
        let (hooks, mut failures) = FailureToPipe::new();
        let options = ServerOptions {
            hooks,
            limits: sandsock::config::Limits {
                cpu: Some(Duration::from_millis(50)),
                ..Default::default()
            },
            ..ServerOptions::default()
        };
        let (mut server, _dir) = server(transport, handler.clone(), options);
        let mut clients = ["hello", "!", "again"].map(|word| asking(&server, word));
        for _ in &clients {
            server.handle_request().unwrap();
        }
        assert_eq!(clients[0].receive_all(), b"hello", "{transport:?}");
        assert_eq!(clients[2].receive_all(), b"again", "{transport:?}");
        drop(server);
        assert_eq!(failures.all(), "cpu-limit", "{transport:?}");
    }
}

pub(crate) fn only_own_children_are_collected() {
    let mut before = Command::new("sh").args(["-c", "exit 7"]).spawn().unwrap();
    let (mut server, _dir) = server(Transport::Tcp, tells_its_process(), Default::default());
    let mut meanwhile = None;
    for n in 0..3 {
        let mut client = asking(&server, "word");
        server.handle_request().unwrap();
        assert!(client.receive_all().starts_with(b"word "));
        if n == 1 {
            meanwhile = Some(Command::new("sh").args(["-c", "exit 8"]).spawn().unwrap());
        }
    }
    server.server_close();
    assert_eq!(before.wait().unwrap().code(), Some(7));
    assert_eq!(meanwhile.unwrap().wait().unwrap().code(), Some(8));
}

/// Counts timeouts.
#[derive(Default)]
struct Timeouts(AtomicUsize);

impl ServerHooks for Timeouts {
    fn handle_timeout(&self) {
        self.0.fetch_add(1, SeqCst);
    }
}

pub(crate) fn at_max_children_accepting_waits() {
    let hooks = Arc::new(Timeouts::default());
    let options = ServerOptions {
        max_children: Some(2),
        hooks: hooks.clone(),
        timeout: Some(Duration::from_millis(200)),
        ..ServerOptions::default()
    };
    let (mut server, _dir) = server(Transport::Tcp, tells_its_process(), options);
    let [first, second, third] = [0, 1, 2].map(|_| Client::connect(server.server_address()));
    for _ in 0..3 {
        server.handle_request().unwrap();
    }
    assert_eq!(hooks.0.load(SeqCst), 1, "the third has to wait");
    third.has_received_nothing();
    first.ask("first");
    server.options.timeout = None;
    server.handle_request().unwrap();
    for client in [second, third] {
        assert!(client.ask("later").starts_with(b"later "));
    }
    assert_eq!(hooks.0.load(SeqCst), 1);
}

/// 40, and not what threads have.
pub(crate) fn max_children_is_pythons() {
    let hooks = Arc::new(Timeouts::default());
    let options = ServerOptions {
        hooks: hooks.clone(),
        timeout: Some(Duration::from_millis(200)),
        ..ServerOptions::default()
    };
    let (mut server, _dir) = server(Transport::Unix, tells_its_process(), options);
    let clients: Vec<_> = (0..41)
        .map(|_| Client::connect(server.server_address()))
        .collect();
    for served in 1..=41 {
        server.handle_request().unwrap();
        assert_eq!(hooks.0.load(SeqCst), usize::from(served == 41), "{served}");
    }
    // Closing them would say nothing: each child has them, too.
    for mut client in clients {
        client.finish_sending();
    }
}

/// Writes the outcome of what fails into a pipe, which a child shares with its parent.
struct FailureToPipe(PipeWriter);

struct Failures(PipeReader, Arc<FailureToPipe>);

impl FailureToPipe {
    fn new() -> (Arc<Self>, Failures) {
        let (reader, writer) = pipe().unwrap();
        let hooks = Arc::new(FailureToPipe(writer));
        (hooks.clone(), Failures(reader, hooks))
    }
}

impl Failures {
    /// All of them, once every process that could write one has ended.
    fn all(&mut self) -> String {
        // The end of what is there already: ours is the last writer, and it stays.
        (&self.1.0).write_all(b"\n").unwrap();
        let mut all = String::new();
        let mut byte = [0];
        while self.0.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
            all.push(char::from(byte[0]));
        }
        all
    }
}

impl ServerHooks for FailureToPipe {
    fn handle_error(&self, _request: &Request, ended: &Ended) {
        (&self.0)
            .write_all(ended.outcome.as_str().as_bytes())
            .unwrap();
    }
}

fn fails_as_it_is_told(request: &Request) -> Result<(), HandlerError> {
    let mut word = String::new();
    request.rfile().read_to_string(&mut word)?;
    match word.as_str() {
        "error" => Err("as it was told".into()),
        "panic" => panic!("as it was told"),
        "abort" => std::process::abort(),
        "exit" => std::process::exit(0),
        "crash" => crash(),
        _ => Ok(request.wfile().write_all(b"fine")?),
    }
}

/// As code does that has lost its way.
#[expect(unsafe_code, reason = "no safe code crashes")]
fn crash() -> ! {
    // SAFETY: nothing is ever mapped there; the process ends, and it is a child of the test.
    unsafe { std::ptr::without_provenance_mut::<u8>(8).write_volatile(1) };
    unreachable!("it has crashed")
}

pub(crate) fn failures_in_a_child_are_told_there() {
    for transport in Transport::all() {
        for (word, outcome) in [
            ("fine", ""),
            ("error", Outcome::HandlerError.as_str()),
            ("panic", Outcome::Trap.as_str()),
        ] {
            let (hooks, mut failures) = FailureToPipe::new();
            let options = ServerOptions {
                hooks,
                ..ServerOptions::default()
            };
            let (mut server, _dir) = server(transport, handler_fn(fails_as_it_is_told), options);
            let _client = asking(&server, word);
            server.handle_request().unwrap();
            server.server_close();
            assert_eq!(failures.all(), outcome, "{transport:?} {word}");
        }
    }
}

pub(crate) fn a_child_that_dies_is_nobody_elses_end() {
    for transport in [Transport::Tcp, Transport::Unix] {
        let handler = handler_fn(fails_as_it_is_told);
        let (mut server, _dir) = server(transport, handler, Default::default());
        for word in ["abort", "crash", "exit"] {
            let mut dying = asking(&server, word);
            server.handle_request().unwrap();
            assert_eq!(dying.receive_all(), b"", "{transport:?} {word}");
            let mut next = asking(&server, "next");
            server.handle_request().unwrap();
            assert_eq!(next.receive_all(), b"fine", "{transport:?} {word}");
        }
    }
}

/// Answers after a while.
fn takes_its_time() -> impl RequestHandler {
    handler_fn(|request| {
        thread::sleep(Duration::from_millis(150));
        Ok(request.wfile().write_all(b"whole")?)
    })
}

pub(crate) fn closing_waits_for_children() {
    for transport in Transport::all() {
        let (mut server, _dir) = server(transport, takes_its_time(), Default::default());
        let mut client = asking(&server, "");
        server.handle_request().unwrap();
        server.server_close();
        assert!(no_children(), "{transport:?}");
        assert_eq!(client.receive_all(), b"whole", "{transport:?}");
    }
}

pub(crate) fn closing_cuts_what_does_not_end() {
    for transport in [Transport::Tcp, Transport::Unix] {
        for daemon_threads in [false, true] {
            let (hooks, mut failures) = FailureToPipe::new();
            let options = ServerOptions {
                hooks,
                daemon_threads,
                shutdown_grace: match daemon_threads {
                    // It would be waited for, and with it this test.
                    true => Duration::from_secs(3600),
                    false => Duration::from_millis(50),
                },
                ..ServerOptions::default()
            };
            let (mut server, _dir) = server(transport, tells_its_process(), options);
            let mut client = Client::connect(server.server_address());
            server.handle_request().unwrap();
            server.server_close();
            assert!(no_children());
            assert_eq!(client.receive_all(), b"", "{transport:?}");
            assert_eq!(failures.all(), "cut", "{transport:?} {daemon_threads}");
        }
    }
}

/// Ends the loop after so many turns.
struct Turns {
    left: AtomicUsize,
    shutdown: OnceLock<ShutdownHandle>,
}

impl ServerHooks for Turns {
    fn service_actions(&self) {
        if self.left.fetch_sub(1, SeqCst) == 1 {
            self.shutdown.get().unwrap().shutdown();
        }
    }
}

pub(crate) fn shutdown_ends_a_loop_that_forks() {
    for transport in Transport::all() {
        let hooks = Arc::new(Turns {
            left: AtomicUsize::new(20),
            shutdown: OnceLock::new(),
        });
        let options = ServerOptions {
            hooks: hooks.clone(),
            ..ServerOptions::default()
        };
        let (mut server, _dir) = server(transport, tells_its_process(), options);
        hooks.shutdown.set(server.shutdown_handle()).ok().unwrap();
        let mut clients = ["one", "two", "three"].map(|word| asking(&server, word));
        server
            .serve_forever(Some(Duration::from_millis(5)))
            .unwrap();
        for (client, word) in clients.iter_mut().zip(["one", "two", "three"]) {
            let answer = client.receive_all();
            assert!(answer.starts_with(word.as_bytes()), "{transport:?}");
        }
    }
}

pub(crate) fn starts_and_stops_leave_no_child() {
    for transport in Transport::all() {
        for race in 0..20 {
            let hooks = Arc::new(Turns {
                left: AtomicUsize::new(race + 1),
                shutdown: OnceLock::new(),
            });
            let options = ServerOptions {
                hooks: hooks.clone(),
                daemon_threads: race % 2 == 0,
                ..ServerOptions::default()
            };
            let (mut server, _dir) = server(transport, tells_its_process(), options);
            hooks.shutdown.set(server.shutdown_handle()).ok().unwrap();
            let _clients = ["one", "two"].map(|word| asking(&server, word));
            server.serve_forever(Some(Duration::ZERO)).unwrap();
            server.server_close();
            assert!(no_children(), "{transport:?}");
        }
    }
}

/// Such a request is not served, its client sees the end, and it is told here.
pub(crate) fn a_thread_that_was_started_meanwhile() {
    let (hooks, mut failures) = FailureToPipe::new();
    let options = ServerOptions {
        hooks,
        ..ServerOptions::default()
    };
    let (mut server, _dir) = server(Transport::Tcp, handler_fn(fails_as_it_is_told), options);
    let mut first = asking(&server, "fine");
    server.handle_request().unwrap();
    assert_eq!(first.receive_all(), b"fine");
    let (until, mut end) = pipe().unwrap();
    let thread = thread::spawn(move || (&until).read(&mut [0]).unwrap());
    let mut second = asking(&server, "fine");
    server.handle_request().unwrap();
    assert_eq!(second.receive_all(), b"");
    assert_eq!(failures.all(), "host-error");
    end.write_all(b"!").unwrap();
    thread.join().unwrap();
    // A thread that has been joined may still be about to leave the process.
    let until = Instant::now() + PATIENCE;
    while std::fs::read_dir("/proc/self/task").unwrap().count() > 1 {
        assert!(Instant::now() < until, "the thread does not end");
    }
    let mut third = asking(&server, "fine");
    server.handle_request().unwrap();
    assert_eq!(third.receive_all(), b"fine");
}
