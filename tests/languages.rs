//! The handler that every SDK has (`guest-sdk/conformance/README.md`), put the same questions in each language, over
//! all transports and under every concurrency. `cargo xtask test languages:: -- --nocapture` prints a row for each.

mod article;
mod new;
mod questions;

use crate::harness::{CONCURRENCIES, Serve, Server, Transport, language, toolchains};
use questions::{Expected, QUESTIONS, Question};
use serde_json::Value;
use std::cell::Cell as Count;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

/// What becomes of a failure that nobody has foreseen.
#[derive(Clone, Copy, PartialEq)]
enum Crash {
    /// The SDK catches it: an error that is reported, and `finish` runs.
    IsReported,
    /// The instance ends.
    Traps,
}

/// A handler in one language.
struct Language {
    name: &'static str,
    /// In `target/languages`.
    file: &'static str,
    crash: Crash,
    /// What a traceback in the log has.
    traceback: &'static str,
}

fn row(language: &Language) {
    let Some(file) = language_file(language.file) else {
        return;
    };
    for transport in Transport::all() {
        for concurrency in CONCURRENCIES {
            let server = Serve::new(&file)
                .on(transport)
                .with("--compile-timeout 10m")
                .with("--concurrency")
                .arg(concurrency)
                .start();
            let cell = Cell {
                language,
                transport,
                what: format!("{}, {transport:?}, {concurrency}", language.name),
                server,
                asked: Count::new(0),
            };
            for question in QUESTIONS {
                cell.ask(question);
            }
            if !transport.is_datagram() {
                cell.times_out();
                cell.echoes_ten_megabytes();
                cell.pours_until_the_client_goes();
            } else {
                cell.sends_two_datagrams();
            }
            cell.is_told_about_the_request();
            cell.draws_another_number_in_each_request();
        }
    }
    println!("{}", costs(language.name, &file));
}

fn language_file(file: &str) -> Option<PathBuf> {
    let path = language(file);
    if path.is_file() {
        return Some(path);
    }
    skipped(file);
    None
}

/// Says so; where all languages have to be there, as in CI, that is a failure.
fn skipped(what: &str) {
    assert!(
        std::env::var_os("SANDSOCK_ALL_LANGUAGES").is_none(),
        "{what} is not there"
    );
    eprintln!("SKIPPED: {what} is not there: `cargo xtask toolchains` brings the compilers");
}

/// The PATH, with the compilers that `cargo xtask toolchains` has brought.
fn path_with_compilers() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = [toolchains("bin"), toolchains("node/node_modules/.bin")];
    let all = folders.into_iter().chain(std::env::split_paths(&path));
    std::env::join_paths(all).expect("a PATH")
}

/// Whether a program is on it; where it is not, what needs it is skipped.
fn is_there(program: &str) -> bool {
    let path = path_with_compilers();
    let is_there = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    if !is_there {
        skipped(program);
    }
    is_there
}

/// A handler, as served over one transport under one concurrency.
struct Cell<'a> {
    language: &'a Language,
    transport: Transport,
    what: String,
    server: Server,
    asked: Count<usize>,
}

impl Cell<'_> {
    fn ask(&self, question: &Question) {
        let what = format!("{}: {}", self.what, question.name);
        let (answer, outcome, said) = match question.expected {
            Expected::Ok(answer) => (answer, "ok", ""),
            Expected::Prints(answer, said) => (answer, "ok", said),
            Expected::Fails(answer, said) => (answer, "handler-error", said),
            Expected::Crashes(reported, trapped, said) => match self.language.crash {
                Crash::IsReported => (reported, "handler-error", said),
                Crash::Traps => (trapped, "trap", said),
            },
        };
        let mut client = self.server.connect();
        client.send(question.input);
        client.finish_sending();
        // Of a packet that has no answer there is only the event.
        let has_answer = !self.transport.is_datagram() || !answer.is_empty() && outcome != "trap";
        if has_answer {
            let received = client.receive_all();
            let text = String::from_utf8_lossy;
            assert_eq!(text(&received), text(answer), "{what}");
        }
        let (event, log) = self.next_request();
        assert_eq!(event["outcome"], outcome, "{what}: {event}");
        assert!(log.contains(said), "{what}: {said:?} expected in {log}");
        if matches!(question.expected, Expected::Crashes(..)) && outcome != "trap" {
            let traceback = self.language.traceback;
            assert!(
                log.contains(traceback),
                "{what}: {traceback:?} expected in {log}"
            );
        }
    }

    /// The event of the next request, each of which ends before another one begins; and all that the log says of
    /// it, its event included.
    fn next_request(&self) -> (Value, String) {
        self.asked.set(self.asked.get() + 1);
        let event = self
            .server
            .requests(self.asked.get())
            .pop()
            .expect("an event");
        let events = self.server.log().events();
        let of_it = events.iter().filter(|e| e["id"] == event["id"]);
        let log = of_it.map(ToString::to_string).collect();
        (event, log)
    }

    fn times_out(&self) {
        let mut silent = self.server.connect();
        silent.send("timeout 60\n");
        assert_eq!(silent.receive(10), b"timed out\n", "{}", self.what);
        let answer = self.server.ask("timeout 50000\nhi\n");
        assert_eq!(
            String::from_utf8_lossy(&answer),
            "got hi\n",
            "{}",
            self.what
        );
    }

    fn echoes_ten_megabytes(&self) {
        let bytes: Vec<u8> = (0..10_u32 << 20).map(|n| (n * 7 % 251) as u8).collect();
        let mut client = self.server.connect();
        let mut sender = client.twin();
        let received = thread::scope(|scope| {
            scope.spawn(|| {
                sender.send("echo\n");
                sender.send(&bytes);
                sender.finish_sending();
            });
            client.receive_all()
        });
        assert!(
            received == bytes,
            "{}: {} bytes came back",
            self.what,
            received.len()
        );
    }

    fn pours_until_the_client_goes(&self) {
        let mut client = self.server.connect();
        client.send("pour\n");
        client.receive(1 << 20);
        client.reset();
        let gone = |e: &Value| e["outcome"] == "client-gone";
        let events = self.server.log().wait_for(1, gone);
        assert!(
            events[0]["bytes_out"].as_u64() >= Some(1 << 20),
            "{}",
            self.what
        );
    }

    fn sends_two_datagrams(&self) {
        let mut client = self.server.connect();
        client.send("datagrams\n");
        for expected in ["one", "two"] {
            let packet = client.receive_all();
            assert_eq!(String::from_utf8_lossy(&packet), expected, "{}", self.what);
        }
    }

    /// What the language's generator starts from must not be the same for all that start from one snapshot.
    fn draws_another_number_in_each_request(&self) {
        let draws = [(); 3].map(|()| {
            let mut client = self.server.connect();
            client.send("random\n");
            client.finish_sending();
            String::from_utf8(client.receive_all()).expect("text")
        });
        let [one, two, three] = &draws;
        let are_numbers = draws.iter().all(|n| n.trim_end().parse::<f64>().is_ok());
        let differ = one != two && two != three && three != one;
        assert!(are_numbers && differ, "{}: {draws:?}", self.what);
    }

    fn is_told_about_the_request(&self) {
        let mut client = self.server.connect();
        let own_address = client.address();
        client.send("about\n");
        client.finish_sending();
        let answer = String::from_utf8(client.receive_all()).expect("text");
        let lines: Vec<_> = answer.lines().collect();
        let address = self.server.address();
        let (scheme, place) = address.split_once("://").expect("a scheme");
        assert_eq!(lines[..3], [&own_address, place, scheme], "{}", self.what);
        assert!(
            lines[3].parse::<u64>().is_ok_and(|id| id > 1),
            "{}: {answer}",
            self.what
        );
    }
}

/// Size of the file, and at the median over many requests what one of them costs and has.
fn costs(name: &str, file: &Path) -> String {
    const REQUESTS: usize = 200;
    let server = Serve::new(file)
        .with("--concurrency threads --compile-timeout 10m")
        .start();
    for _ in 0..REQUESTS {
        assert_eq!(server.ask("hello\nyou\n"), b"hello, you\n");
    }
    let events = server.requests(REQUESTS);
    let median = |field: &str| {
        let mut all: Vec<_> = events.iter().filter_map(|e| e[field].as_u64()).collect();
        all.sort_unstable();
        all[all.len() / 2]
    };
    let size = fs::metadata(file).expect("a file").len();
    format!(
        "| {name} | {} KiB | {} µs | {} KiB |",
        size.div_ceil(1024),
        median("cpu_us"),
        median("memory_peak").div_ceil(1024)
    )
}

macro_rules! languages {
    ($($test:ident: $name:literal, $file:literal, $crash:ident, $traceback:literal;)*) => { $(
        #[test]
        fn $test() {
            row(&Language {
                name: $name,
                file: $file,
                crash: Crash::$crash,
                traceback: $traceback,
            });
        }
    )* };
}

languages! {
    rust_module: "Rust, module", "rust.wasm", Traps, "";
    rust_component: "Rust, component", "rust.component.wasm", Traps, "";
    c: "C", "c.wasm", Traps, "";
    zig: "Zig", "zig.wasm", Traps, "";
    go: "Go", "go.wasm", IsReported, "goroutine";
    assemblyscript: "AssemblyScript", "assemblyscript.wasm", Traps, "";
    python: "Python", "python.wasm", IsReported, "Traceback (most recent call last)";
    javascript: "JavaScript", "javascript.wasm", IsReported, "handle@";
}
