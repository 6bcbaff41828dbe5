//! Handlers that attack their host and their neighbours: `tests/guests/hostile` as a module, a component and
//! a program, and by hand `tests/handlers/hostile.wat`, under every limit, over every transport and under
//! every concurrency, while a neighbour asks 32 times a second. Each limit fires in time, the log names it, the neighbour has what it
//! asked for at its usual latency, and what the attack took comes back.

use crate::harness::{
    Client, Serve, Server, Taken, Transport, guest, guest_component, is_request, wat,
};
use Ends::{Cpu, Deadline, Exits, Fails, Idle, Memory, Nothing, Output, Traps, Waits};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// How an attack ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ends {
    /// `cpu-limit`
    Cpu,
    /// `deadline`
    Deadline,
    /// `idle-timeout`; over datagrams there is nothing to wait for
    Idle,
    /// `deadline`; over datagrams there is nothing to wait for, so `cpu-limit`
    Waits,
    /// `memory-limit`
    Memory,
    /// `output-limit`
    Output,
    /// `trap`
    Traps,
    /// `handler-error`
    Fails,
    /// `handler-error` of a program, otherwise `trap`
    Exits,
    /// `ok`: nothing has come of it
    Nothing,
}

/// The attacks, in the words of `tests/guests/hostile/src/attacks.rs`.
const ATTACKS: [(&str, Ends); 28] = [
    ("spin", Cpu),
    ("copy", Cpu),
    ("ask-the-time", Cpu),
    ("yield", Cpu),
    ("flush", Cpu),
    ("random", Cpu),
    ("stat", Cpu),
    ("nap-for-no-time", Cpu),
    ("sleep", Deadline),
    ("nap", Deadline),
    ("grow", Memory),
    ("grow-at-once", Memory),
    ("recurse", Traps),
    ("print", Cpu),
    ("print-at-length", Nothing),
    ("print-empty-lines", Nothing),
    ("forge-the-log", Nothing),
    ("read", Idle),
    ("write", Output),
    ("write-byte-by-byte", Output),
    ("panic", Traps),
    ("exit", Exits),
    ("abort", Traps),
    ("fail-at-length", Fails),
    ("spawn", Traps),
    ("escape", Nothing),
    ("greet", Nothing),
    ("no-such-order", Fails),
];

/// The attacks of `tests/handlers/hostile.wat`: a step, an attack, and what it is called there.
const ATTACKS_BY_HAND: [(&str, Ends); 52] = [
    ("sA spin", Cpu),
    ("iA spin", Cpu),
    ("uA spin", Cpu),
    ("hA spin", Cpu),
    ("fA spin", Cpu),
    ("sB ask-for-the-id", Cpu),
    ("hB ask-for-the-id", Cpu),
    ("hC copy", Cpu),
    ("hD fill", Cpu),
    ("hE grow-a-table", Memory),
    ("hF fill-a-table", Cpu),
    ("sG grow-at-once", Memory),
    ("hG grow-at-once", Memory),
    ("hH grow-two-memories", Memory),
    ("hI call-its-own-tail", Cpu),
    ("sJ recurse-through-a-table", Traps),
    ("hJ recurse-through-a-table", Traps),
    ("sK read-outside", Traps),
    ("hK read-outside", Traps),
    ("hL write-outside", Traps),
    ("hM read-a-line-outside", Traps),
    ("hN address-outside", Traps),
    ("hO poll-too-many", Traps),
    ("sP sleep", Deadline),
    ("hP sleep", Deadline),
    ("hQ too-many-iovecs", Traps),
    ("hR log-the-same-memory", Cpu),
    ("hS draw-numbers", Cpu),
    ("hT clock-outside", Traps),
    ("sU exit", Traps),
    ("uU exit", Traps),
    ("sV trap", Traps),
    ("iV trap", Traps),
    ("uV trap", Traps),
    ("fV trap", Traps),
    ("hW juggle-descriptors", Cpu),
    ("hX report", Fails),
    ("hY set-the-longest-timeout", Idle),
    ("hZ time-out-again-and-again", Waits),
    ("ha divide", Traps),
    ("hb call-nothing", Traps),
    ("hc call-outside", Traps),
    ("hd read-an-empty-input", Cpu),
    ("he open-nothing", Cpu),
    ("hf yield", Cpu),
    ("hg log-control-characters", Nothing),
    ("hh poll-many", Cpu),
    ("hi write-nothing", Cpu),
    ("hj write-too-much", Output),
    ("hk convert-no-number", Traps),
    ("hl switch-nagle", Cpu),
    ("hm copy-the-address-outside", Traps),
];

const CPU_MS: u64 = 100;
/// An attack that is to meet the CPU limit first does so with a twelfth of a processor: the tests beside
/// it are such attacks, too.
const DEADLINE_MS: u64 = 12 * CPU_MS;
const IDLE_MS: u64 = 400;
/// Byte by byte it takes a slow machine a quarter of the CPU limit.
const OUTPUT: u64 = 8 << 10;
const LOG: u64 = 8 << 10;

/// Threads that are kept: as many as there were requests at one time.
const KEPT: usize = 4;

/// What the CPU limit may be late, in milliseconds of CPU time.
const LATE_CPU_MS: u64 = 100;

/// What a limit on time may be late, in milliseconds: who is cut has to come to a processor first.
const LATE_MS: u64 = 400;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Module,
    Component,
    Program,
    ComponentProgram,
    ByHand,
}

impl Kind {
    fn attacks(self) -> &'static [(&'static str, Ends)] {
        match self {
            Kind::ByHand => &ATTACKS_BY_HAND,
            _ => &ATTACKS,
        }
    }

    fn file(self) -> PathBuf {
        match self {
            Kind::Module => guest("hostile"),
            Kind::Component => guest_component("hostile"),
            Kind::Program => guest("hostile-program"),
            Kind::ComponentProgram => guest_component("hostile-program"),
            Kind::ByHand => wat("hostile"),
        }
    }

    fn is_program(self) -> bool {
        matches!(self, Kind::Program | Kind::ComponentProgram)
    }
}

fn serve(kind: Kind, transport: Transport, concurrency: &str) -> Server {
    Serve::new(kind.file())
        .on(transport)
        .with(&format!(
            "--concurrency {concurrency} --memory-limit 16MiB --max-output {OUTPUT} --log-limit {LOG} \
             --cpu-limit {CPU_MS}ms --deadline {DEADLINE_MS}ms --idle-timeout {IDLE_MS}ms"
        ))
        .start()
}

fn greeted(server: &Server) -> Duration {
    let started = Instant::now();
    assert_eq!(server.ask("greet\n"), b"hello");
    started.elapsed()
}

/// The neighbour, until it is told to stop: how long each of its requests took.
fn neighbour(server: &Server, stops: &AtomicBool) -> Vec<Duration> {
    let mut latencies = Vec::new();
    while !stops.load(Relaxed) {
        latencies.push(greeted(server));
        thread::sleep(Duration::from_millis(1000 / 32));
    }
    latencies.sort();
    latencies
}

/// The neighbour stops, also where a test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Carries one attack out: its client, and its event, which is told from others by the length of the order.
fn attack(server: &Server, number: usize, order: &str) -> (Client, Value) {
    let length = 64 + number;
    let mut client = server.connect();
    client.send(format!("{order:<width$}\n", width = length - 1));
    let reader =
        (order.starts_with("write") || order.contains(" write-")).then(|| read_off(&client));
    let is_it = |event: &Value| is_request(event) && event["bytes_in"] == length;
    let event = server.log().wait_for(1, is_it).remove(0);
    if let Some(Some(reader)) = reader {
        reader.join().expect("no panic");
    }
    (client, event)
}

/// Reads a stream off, so that nothing but a limit holds the writer up.
fn read_off(client: &Client) -> Option<thread::JoinHandle<()>> {
    let (Client::Tcp(_) | Client::Unix(_)) = client else {
        return None;
    };
    let mut client = client.twin();
    Some(thread::spawn(move || drop(client.receive_all())))
}

fn is_ended(kind: Kind, transport: Transport, order: &str, ends: Ends, event: &Value) {
    let number = |field: &str| event[field].as_u64().expect("a number");
    let in_time = |field: &str, limit_ms: u64, late_ms: u64| {
        let (took, limit) = (number(field), limit_ms * 1000);
        // The kernel counts a socket's timeout in ticks of up to 10 ms.
        assert!(took + 10_000 >= limit, "{order}: before its time: {event}");
        assert!(took <= limit + late_ms * 1000, "{order}: too late: {event}");
    };
    let outcome = match ends {
        Cpu => "cpu-limit",
        Waits if transport.is_datagram() => "cpu-limit",
        Deadline | Waits => "deadline",
        Idle if transport.is_datagram() => "ok",
        Idle => "idle-timeout",
        Memory => "memory-limit",
        Output => "output-limit",
        Traps => "trap",
        Exits if !kind.is_program() => "trap",
        Exits | Fails => "handler-error",
        Nothing => "ok",
    };
    assert_eq!(event["outcome"], outcome, "{order} as a {kind:?}: {event}");
    match outcome {
        "cpu-limit" => in_time("cpu_us", CPU_MS, LATE_CPU_MS),
        "deadline" => in_time("duration_us", DEADLINE_MS, LATE_MS),
        "idle-timeout" => in_time("duration_us", IDLE_MS, LATE_MS),
        _ => {}
    }
    assert!(number("memory_peak") <= 16 << 20, "{event}");
    assert!(number("bytes_out") <= OUTPUT, "{event}");
    let detail = event["detail"].as_str().unwrap_or_default();
    assert!(detail.len() <= 10_000, "{order}: {}", detail.len());
    let says_much = order.starts_with("print") || order.contains(" log-");
    if says_much || (order == "fail-at-length" && kind.is_program()) {
        assert!(event["log_dropped"].as_u64() > Some(0), "{order}: {event}");
    }
}

fn attacks(kind: Kind, transport: Transport, concurrency: &str) {
    let server = serve(kind, transport, concurrency);
    let mut usual: Vec<_> = (0..20).map(|_| greeted(&server)).collect();
    usual.sort();
    let before = Taken::by(&server);
    let stops = AtomicBool::new(false);
    thread::scope(|scope| {
        // Under `serial` a neighbour waits for its turn.
        let neighbour =
            (concurrency != "serial").then(|| scope.spawn(|| neighbour(&server, &stops)));
        let stop = Stop(&stops);
        for (number, (order, ends)) in kind.attacks().iter().enumerate() {
            let (mut client, event) = attack(&server, number, order);
            is_ended(kind, transport, order, *ends, &event);
            if *order == "escape" {
                client.finish_sending();
                assert_eq!(String::from_utf8_lossy(&client.receive_all()), "nothing");
            }
        }
        drop(stop);
        if let Some(neighbour) = neighbour {
            let latencies = neighbour
                .join()
                .expect("a neighbour that had what it asked for");
            let (median, usual) = (latencies[latencies.len() / 2], usual[usual.len() / 2]);
            assert!(
                median <= usual * 4 + Duration::from_millis(5),
                "{median:?}, {usual:?}"
            );
        }
    });
    greeted(&server);
    before.comes_back(&server, KEPT);
}

macro_rules! cells {
    ($($name:ident: $kind:ident, $transport:ident, $concurrency:literal;)*) => {$(
        #[test]
        fn $name() {
            attacks(Kind::$kind, Transport::$transport, $concurrency);
        }
    )*};
}

cells! {
    a_module_over_tcp_under_serial: Module, Tcp, "serial";
    a_module_over_tcp_under_threads: Module, Tcp, "threads";
    a_module_over_tcp_under_fork: Module, Tcp, "fork";
    a_module_over_udp_under_threads: Module, Udp, "threads";
    a_module_over_unix_under_fork: Module, Unix, "fork";
    a_component_over_tcp_under_threads: Component, Tcp, "threads";
    a_component_over_tcp_under_fork: Component, Tcp, "fork";
    a_component_over_unix_under_serial: Component, Unix, "serial";
    a_component_over_unixgram_under_threads: Component, Unixgram, "threads";
    a_component_over_udp_under_fork: Component, Udp, "fork";
    a_program_over_tcp_under_threads: Program, Tcp, "threads";
    a_program_over_unix_under_threads: Program, Unix, "threads";
    a_program_over_udp_under_serial: Program, Udp, "serial";
    a_program_over_unixgram_under_fork: Program, Unixgram, "fork";
    a_component_program_over_tcp_under_threads: ComponentProgram, Tcp, "threads";
    a_component_program_over_tcp_under_fork: ComponentProgram, Tcp, "fork";
    a_component_program_over_udp_under_serial: ComponentProgram, Udp, "serial";
    a_component_program_over_unixgram_under_threads: ComponentProgram, Unixgram, "threads";
    a_module_by_hand_over_tcp_under_serial: ByHand, Tcp, "serial";
    a_module_by_hand_over_tcp_under_threads: ByHand, Tcp, "threads";
    a_module_by_hand_over_tcp_under_fork: ByHand, Tcp, "fork";
    a_module_by_hand_over_udp_under_serial: ByHand, Udp, "serial";
    a_module_by_hand_over_udp_under_threads: ByHand, Udp, "threads";
    a_module_by_hand_over_udp_under_fork: ByHand, Udp, "fork";
    a_module_by_hand_over_unix_under_serial: ByHand, Unix, "serial";
    a_module_by_hand_over_unix_under_threads: ByHand, Unix, "threads";
    a_module_by_hand_over_unix_under_fork: ByHand, Unix, "fork";
    a_module_by_hand_over_unixgram_under_serial: ByHand, Unixgram, "serial";
    a_module_by_hand_over_unixgram_under_threads: ByHand, Unixgram, "threads";
    a_module_by_hand_over_unixgram_under_fork: ByHand, Unixgram, "fork";
}
