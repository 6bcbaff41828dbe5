//! What the log tells: every event of a running service, each by one function. `log.rs` turns them
//! into lines.

use std::cell::Cell;
use std::fmt::Display;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use nix::unistd::{getegid, geteuid};

use crate::admission::Refusal;
use crate::forked::is_child;
use crate::harden::InForce;
use crate::outcome::Outcome;
use crate::request::PeerCredentials;

/// The target of what `-q` leaves out.
pub(crate) const PER_REQUEST: &str = "sandsock::request";

/// The target of what guests print; `-q` leaves it out, too.
pub(crate) const GUEST: &str = "sandsock::request::guest";

/// The target of what `run` counts.
pub(crate) const HOST_CALL: &str = "sandsock::host-call";

/// A handler calls a function of ours. Nobody listens but `run`: in `serve` it is the reading of one number. Those of
/// wasmtime-wasi are spans with the same two fields.
#[inline]
pub(crate) fn host_call(interface: &'static str, function: &'static str) {
    tracing::trace!(target: HOST_CALL, module = interface, function);
}

/// As [`host_call`], for one that calls functions of wasmtime-wasi that the handler has not called: it lasts until
/// what this returns is dropped.
#[inline]
pub(crate) fn host_call_of_several(
    interface: &'static str,
    function: &'static str,
) -> tracing::span::EnteredSpan {
    tracing::trace_span!(target: HOST_CALL, "host call", module = interface, function).entered()
}

/// A request that has ended.
pub(crate) struct RequestEnded<'a> {
    pub(crate) service: &'a str,
    pub(crate) id: u64,
    pub(crate) client: &'a dyn Display,
    /// Whom the system knows the client of a Unix stream to be.
    pub(crate) peer: Option<PeerCredentials>,
    pub(crate) outcome: Outcome,
    pub(crate) duration: Duration,
    pub(crate) cpu: Duration,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) memory_peak: u64,
    pub(crate) log_dropped: u64,
    pub(crate) detail: Option<&'a str>,
    /// The file of its recording.
    pub(crate) record: Option<&'a str>,
    pub(crate) coredump: Option<&'a Path>,
}

/// One request has ended.
pub(crate) fn request(ended: &RequestEnded<'_>) {
    macro_rules! emit {
        ($level:ident) => {
            tracing::event!(
                target: PER_REQUEST,
                tracing::Level::$level,
                event = "request",
                service = ended.service,
                id = ended.id,
                client = %ended.client,
                peer_pid = ended.peer.map(|peer| peer.pid),
                peer_uid = ended.peer.map(|peer| peer.uid),
                peer_gid = ended.peer.map(|peer| peer.gid),
                thread = thread(),
                pid = child(),
                outcome = ended.outcome.as_str(),
                duration_us = micros(ended.duration),
                cpu_us = micros(ended.cpu),
                bytes_in = ended.bytes_in,
                bytes_out = ended.bytes_out,
                memory_peak = ended.memory_peak,
                log_dropped = (ended.log_dropped > 0).then_some(ended.log_dropped),
                detail = ended.detail,
                record = ended.record,
                coredump = ended.coredump.map(|file| file.display().to_string()),
            )
        };
    }
    match ended.outcome {
        Outcome::Ok => emit!(INFO),
        Outcome::HostError => emit!(ERROR),
        _ => emit!(WARN),
    }
}

/// What `run` has seen of its request beside the event `request`.
pub(crate) fn ran(calls: &str, datagrams: Option<&str>, profile: Option<&str>) {
    tracing::info!(target: PER_REQUEST, event = "ran", calls, datagrams, profile);
}

/// A handler has printed a line.
pub(crate) fn guest(service: &str, id: u64, stream: &str, line: &str) {
    tracing::info!(
        target: GUEST,
        event = "guest",
        service,
        id,
        thread = thread(),
        pid = child(),
        stream,
        line,
    );
}

/// A listener accepts.
pub(crate) fn listening(service: &str, address: &str) {
    tracing::debug!(event = "listening", service, address);
}

/// What the program has given up.
pub(crate) fn hardened(capabilities: &str, in_force: &InForce) {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    let InForce {
        landlock, seccomp, ..
    } = in_force;
    let lacks = in_force.lacks.join(", ");
    macro_rules! tell {
        ($level:ident) => {
            tracing::$level!(
                event = "hardened",
                user,
                group,
                capabilities,
                landlock,
                seccomp,
                lacks
            )
        };
    }
    match lacks.is_empty() {
        true => tell!(info),
        false => tell!(warn),
    }
}

/// Requests were not let in: so many since the last event of their kind, and who was the last of them.
pub(crate) fn refused(
    service: &str,
    refusal: Refusal,
    count: u64,
    client: &dyn Display,
    detail: Option<&str>,
) {
    tracing::warn!(
        event = "refused",
        service,
        outcome = "refused",
        reason = refusal.as_str(),
        count,
        client = %client,
        detail,
    );
}

/// A packet was longer than the limit.
pub(crate) fn packet_too_long(service: &str, dropped: u64) {
    tracing::warn!(
        event = "packet-too-long",
        service,
        dropped,
        detail = "longer than --max-packet, dropped"
    );
}

/// No request can be taken for now.
pub(crate) fn accept_failed(service: &str, error: &std::io::Error) {
    tracing::error!(
        event = "accept-failed",
        service,
        detail = %error,
        hint = "trying again every 100 ms to 1 s; raise the limit on open files, or lower --max-in-flight"
    );
}

/// Requests are taken again.
pub(crate) fn accept_recovered(service: &str) {
    tracing::info!(event = "accept-recovered", service);
}

/// A signal or the last of `--max-requests` ends the service.
pub(crate) fn shutting_down(reason: &str, in_flight: usize, grace: Duration) {
    tracing::info!(
        event = "shutting-down",
        reason,
        in_flight,
        grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX)
    );
}

/// The service has ended; `cut` requests did not end by themselves.
pub(crate) fn stopped(cut: usize) {
    if cut > 0 {
        tracing::warn!(
            event = "stopped",
            cut,
            detail = "requests that had not ended when --shutdown-grace was over were cut"
        );
    } else {
        tracing::info!(event = "stopped", cut);
    }
}

/// A process was started that takes requests and forks a child for each.
pub(crate) fn fork_started(service: &str, pid: u32) {
    tracing::debug!(event = "fork-started", service, pid);
}

/// A process that forks has died; the connections that wait are served by the next one.
pub(crate) fn fork_died(service: &str, pid: u32, detail: &str, again_in: Duration) {
    tracing::error!(
        event = "fork-died",
        service,
        pid,
        detail,
        again_in_ms = u64::try_from(again_in.as_millis()).unwrap_or(u64::MAX)
    );
}

/// A process that forks could not be started again.
pub(crate) fn fork_failed(service: &str, detail: &str, again_in: Duration) {
    tracing::error!(
        event = "fork-failed",
        service,
        detail,
        again_in_ms = u64::try_from(again_in.as_millis()).unwrap_or(u64::MAX)
    );
}

/// What a process of ours has written to its standard error: the words of one that aborts.
pub(crate) fn fork_said(detail: &str) {
    tracing::error!(event = "fork-said", pid = child(), detail);
}

/// A process that forks can tell nothing any more: what it shares with its children for that was shut down by one of them.
pub(crate) fn fork_silenced(service: &str, pid: u32) {
    tracing::error!(
        event = "fork-silenced",
        service,
        pid,
        detail = "one of its children has shut its log down: another process takes its place, what is in flight goes on unheard"
    );
}

/// A handler is in service.
pub(crate) fn loaded(service: &str, handler: &str, kind: &str, cached: bool, took: Duration) {
    tracing::info!(
        event = "loaded",
        service,
        handler,
        kind,
        cached,
        duration_us = micros(took)
    );
}

/// A handler could not be loaded again: the old one stays.
pub(crate) fn reload_failed(service: &str, detail: &str) {
    tracing::error!(
        event = "reload-failed",
        service,
        detail,
        hint = "the old handler stays in service"
    );
}

/// The host itself has failed: a request is lost, and a bug is to be reported.
pub(crate) fn panic(detail: &str) {
    tracing::error!(event = "panic", thread = thread(), pid = child(), detail);
}

/// Something is not as the operator would want it, and the program goes on.
pub(crate) fn warning(detail: &str) {
    tracing::warn!(event = "warning", pid = child(), detail);
}

thread_local! {
    /// For which child this thread speaks.
    static CHILD: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Tells what a forked child has said that has this number.
pub(crate) fn of_child(pid: u32, tell: impl FnOnce()) {
    CHILD.set(Some(pid));
    tell();
    CHILD.set(None);
}

/// The thread's name, as Python has it; of a forked child its number says more.
fn thread() -> Option<String> {
    match child() {
        Some(_) => None,
        None => Some(std::thread::current().name().unwrap_or("").to_owned()),
    }
}

fn child() -> Option<u32> {
    /// A child's own number. Its parent has none, so that no child inherits one.
    static OWN: OnceLock<u32> = OnceLock::new();
    let own = || is_child().then(|| *OWN.get_or_init(std::process::id));
    CHILD.get().or_else(own)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
