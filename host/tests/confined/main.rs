//! What code finds that has broken out of WebAssembly: handlers in Rust try, from inside, what the process
//! has given up. A process cannot have it back, so each test is a process of its own.

#[path = "../../../tests/harness/client.rs"]
#[allow(dead_code, reason = "the program's tests use all of it")]
mod client;
mod escapes;
mod hangs;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use sandsock::config::ConcurrencyKind;
use sandsock::harden::{Harden, Needs, confine_compiler, confine_forker, confine_program};
use sandsock::{Request, Server, ServerOptions, handler_fn};
use serde_json::Value;

use client::Client;
use escapes::{ESCAPES, escape, prepare};

/// How long a test waits for what must come. It is reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

#[expect(unsafe_code, reason = "each test is a forked process")]
fn main() {
    let tests: [(&str, fn()); 12] = [
        ("who_gave_up_nothing_may", who_gave_up_nothing_may),
        ("a_forked_child_is_ended", a_forked_child_is_ended),
        (
            "a_forked_child_reads_what_was_granted",
            a_forked_child_reads_what_was_granted,
        ),
        (
            "a_child_that_hangs_is_killed_and_the_next_client_served",
            hangs::a_child_that_hangs_is_killed_and_the_next_client_served,
        ),
        (
            "a_child_that_computes_for_ever_is_ended_by_the_system",
            hangs::a_child_that_computes_for_ever_is_ended_by_the_system,
        ),
        ("a_program_is_refused", a_program_is_refused),
        ("a_program_makes_a_call_that_was_asked_for", || {
            a_call_gets_through(ConcurrencyKind::Serial, Harden::Auto, &["keyctl"]);
        }),
        ("a_forked_child_makes_a_call_that_was_asked_for", || {
            a_call_gets_through(ConcurrencyKind::Fork, Harden::Auto, &["keyctl"]);
        }),
        ("a_program_makes_a_call_that_is_logged", || {
            a_call_gets_through(ConcurrencyKind::Serial, Harden::Log, &[]);
        }),
        ("a_forked_child_makes_a_call_that_is_logged", || {
            a_call_gets_through(ConcurrencyKind::Fork, Harden::Log, &[]);
        }),
        ("a_compiler_is_refused", || a_compiler_is_refused(false)),
        ("a_compiler_that_runs_code_is_refused_as_much", || {
            a_compiler_is_refused(true);
        }),
    ];
    // Cargo hands on what it was given for all tests.
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let mut passed = 0;
    for (name, test) in tests {
        if wanted.as_ref().is_some_and(|wanted| !name.contains(wanted)) {
            continue;
        }
        // SAFETY: this process has one thread.
        match unsafe { fork() }.expect("a process") {
            ForkResult::Child => {
                test();
                std::process::exit(0);
            }
            ForkResult::Parent { child } => {
                let status = waitpid(child, None).expect("a child");
                assert_eq!(status, WaitStatus::Exited(child, 0), "{name}");
            }
        }
        println!("test {name} ... ok");
        passed += 1;
    }
    println!("\ntest result: ok. {passed} passed; 0 failed; 0 ignored");
}

/// The events of this process, in JSON.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<u8>>>);

impl Write for Events {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Events {
    fn listen() -> Self {
        let events = Events::default();
        let writer = events.clone();
        tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_writer(move || writer.clone())
            .init();
        events
    }

    /// What became of the request of this number, in this process.
    fn of_request(&self, id: usize) -> Value {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).expect("text");
        let events = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let is_it = |event: &Value| event["event"] == "request" && event["id"] == id;
        events.into_iter().find(is_it).unwrap_or_default()
    }
}

/// Serves what `escape` says of each word.
fn server(concurrency: ConcurrencyKind) -> Server {
    let handler = handler_fn(|request: &Request| {
        let mut word = String::new();
        io::Read::read_to_string(&mut request.rfile(), &mut word)?;
        Ok(request.wfile().write_all(escape(&word).as_bytes())?)
    });
    let options = ServerOptions {
        concurrency,
        ..ServerOptions::default()
    };
    let mut server = Server::with_options("tcp://127.0.0.1:0", handler, options).expect("a port");
    prepare();
    // What it shares with its children is made at its first request.
    let greeted = asking(&server, ["greet"]).remove(0);
    server.handle_request().unwrap();
    assert_eq!(answer(greeted), "hello");
    server
}

/// Clients that have asked already: there are no new sockets later.
fn asking<'a>(server: &Server, words: impl IntoIterator<Item = &'a str>) -> Vec<Client> {
    let ask = |word: &str| {
        let mut client = Client::connect(server.server_address());
        client.send(word);
        client.finish_sending();
        client
    };
    words.into_iter().map(ask).collect()
}

fn answer(mut client: Client) -> String {
    String::from_utf8(client.receive_all()).expect("text")
}

fn a_forked_child_is_ended() {
    let events = Events::listen();
    let mut server = server(ConcurrencyKind::Fork);
    let clients = asking(&server, ESCAPES.iter().map(|escape| escape.word));
    let greeted = asking(&server, ["greet"]).remove(0);
    let in_force = confine_forker(Harden::Auto, &Needs::default()).expect("this kernel's best");
    assert!(in_force.seccomp, "{in_force:?}");
    let mut answers = Vec::new();
    for client in clients {
        server.handle_request().unwrap();
        answers.push(answer(client));
    }
    server.handle_request().unwrap();
    assert_eq!(answer(greeted), "hello", "those who do no harm are served");
    server.server_close();
    for (number, (escape, answer)) in ESCAPES.iter().zip(answers).enumerate() {
        let (word, event) = (escape.word, events.of_request(number + 2));
        match escape.call {
            Some(call) => {
                assert_eq!(answer, "", "{word}: {event}");
                assert_eq!(event["outcome"], "host-error", "{word}: {event}");
                let detail = event["detail"].as_str().unwrap_or_default();
                // Who starts a thread holds signals back meanwhile, so that the call has no name.
                let says = match word {
                    "thread" => "a system call that is not allowed".to_owned(),
                    _ => format!("it called {call},"),
                };
                assert!(detail.contains(&says), "{word}: {event}");
            }
            // Landlock's, where the kernel knows it.
            None if in_force.lacks.is_empty() => assert_eq!(answer, "EPERM", "{word}"),
            None => {}
        }
    }
}

fn a_forked_child_reads_what_was_granted() {
    let dir = tempfile::tempdir().unwrap();
    let granted = dir.path().join("granted");
    std::fs::create_dir(&granted).unwrap();
    std::fs::write(granted.join("file"), "content").unwrap();
    std::fs::write(dir.path().join("beside"), "content").unwrap();
    let mut server = server(ConcurrencyKind::Fork);
    let words = ["granted/file", "beside"].map(|name| {
        let path = dir.path().join(name);
        format!("read {}", path.display())
    });
    let clients = asking(&server, words.iter().map(String::as_str));
    let needs = Needs {
        read: vec![granted],
        ..Needs::default()
    };
    let in_force = confine_forker(Harden::Auto, &needs).expect("this kernel's best");
    let answers = clients.into_iter().map(|client| {
        server.handle_request().unwrap();
        answer(client)
    });
    let answers: Vec<_> = answers.collect();
    assert_eq!(answers[0], "read");
    if in_force.landlock.starts_with("abi") {
        assert_eq!(answers[1], "EACCES");
    }
    server.server_close();
}

fn a_program_is_refused() {
    let mut server = server(ConcurrencyKind::Serial);
    let clients = asking(&server, ESCAPES.iter().map(|escape| escape.word));
    let in_force = confine_program(Harden::Auto, &Needs::default()).expect("this kernel's best");
    assert!(in_force.seccomp, "{in_force:?}");
    for (client, escape) in clients.into_iter().zip(&ESCAPES) {
        server.handle_request().unwrap();
        let answer = answer(client);
        // Landlock's, where the kernel knows it.
        let of_landlock = ["EACCES"].contains(&escape.program)
            || ["kill", "kill-a-thread", "abstract-socket"].contains(&escape.word);
        let is_enforced = in_force.lacks.is_empty() || !of_landlock;
        if is_enforced {
            assert_eq!(answer, escape.program, "{}", escape.word);
        }
    }
}

/// The system answers then, and not the filter.
fn a_call_gets_through(concurrency: ConcurrencyKind, harden: Harden, calls: &[&str]) {
    let mut server = server(concurrency);
    let asking = asking(&server, ["keyring"]).remove(0);
    let needs = Needs {
        calls: calls.iter().map(|call| call.parse().unwrap()).collect(),
        ..Needs::default()
    };
    let confine = match concurrency {
        ConcurrencyKind::Fork => confine_forker,
        _ => confine_program,
    };
    confine(harden, &needs).expect("this kernel's best");
    server.handle_request().unwrap();
    let answer = answer(asking);
    assert!(!["", "EPERM"].contains(&answer.as_str()), "{answer}");
    server.server_close();
}

/// That the others are refused is not the machine's doing. (What would do harm is not tried.)
fn who_gave_up_nothing_may() {
    prepare();
    for word in [
        "read /etc/passwd",
        "create",
        "udp",
        "netlink",
        "thread",
        "run-memory",
        "anonymous-file",
        "kill",
        "kill-a-thread",
        "process",
        "unix",
        "limit-of-another",
        "run-protected-memory",
        "abstract-socket",
    ] {
        let result = escape(word);
        assert!(
            ["started", "read"].contains(&result.as_str()),
            "{word}: {result}"
        );
    }
    assert_eq!(escape("tcp"), "ECONNREFUSED");
}

fn a_compiler_is_refused(runs_code: bool) {
    prepare();
    let escapes = ESCAPES.iter().filter(|escape| !escape.compiler.is_empty());
    let in_force = confine_compiler(Harden::Auto, runs_code).expect("this kernel's best");
    assert!(in_force.seccomp, "{in_force:?}");
    for tried in escapes {
        assert_eq!(escape(tried.word), tried.compiler, "{}", tried.word);
    }
    // Its threads it still has.
    assert_eq!(std::thread::spawn(|| 1 + 1).join().expect("a thread"), 2);
}
