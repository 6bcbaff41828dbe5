//! What serves a request once it was taken: `finish_request` → `shutdown_request` → `close_request`,
//! with `handle_error` where the handler fails.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::ServerHooks;
use super::listener::Accepted;
use crate::address::Transport;
use crate::admission::Admission;
use crate::concurrency::{Counting, Lost};
use crate::config::{AdmissionOptions, Limits};
use crate::coredump::Coredumps;
use crate::events::{self, RequestEnded};
use crate::handler::{Ended, Failure, Handled, RequestHandler, panic_text};
use crate::outcome::Outcome;
use crate::recording::Recorder;
use crate::request::{IoError, Request};

/// A handler with what bounds its requests; all listeners of a service share it.
pub(crate) struct Service {
    name: Arc<str>,
    /// Reloading puts another one here; requests in flight keep theirs.
    handler: RwLock<Arc<dyn RequestHandler>>,
    limits: Limits,
    linger: Duration,
    counters: Counting,
    coredumps: Option<Coredumps>,
    pub(super) hooks: Arc<dyn ServerHooks>,
    pub(super) admission: Admission,
    recorder: Option<Recorder>,
}

impl Service {
    /// A service by the name that the log shows.
    pub(crate) fn new(
        name: &str,
        handler: Arc<dyn RequestHandler>,
        limits: Limits,
        linger: Duration,
        hooks: Arc<dyn ServerHooks>,
    ) -> Self {
        Service {
            name: name.into(),
            handler: RwLock::new(handler),
            limits,
            linger,
            counters: Counting::default(),
            coredumps: None,
            hooks,
            admission: Admission::new(AdmissionOptions::default()),
            recorder: None,
        }
    }

    /// Records its requests.
    pub(crate) fn recorded_by(mut self, recorder: Option<Recorder>) -> Self {
        self.recorder = recorder;
        self
    }

    /// Lets in whom the operator lets in.
    pub(crate) fn admitting(mut self, options: &AdmissionOptions) -> Self {
        self.admission = Admission::new(options.clone());
        self
    }

    /// Numbers its requests together with the other processes of the service.
    pub(crate) fn counted_in(mut self, counters: Counting) -> Self {
        self.counters = counters;
        self
    }

    /// Keeps what traps leave.
    pub(crate) fn keeping(mut self, coredumps: Option<Coredumps>) -> Self {
        self.coredumps = coredumps;
        self
    }

    /// Its name in the log.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// From now on requests are served by another handler.
    pub(crate) fn replace_handler(&self, handler: Arc<dyn RequestHandler>) {
        *self.handler.write().unwrap_or_else(PoisonError::into_inner) = handler;
    }

    /// Numbers a request and starts its clocks.
    pub(crate) fn request(&self, transport: Transport, accepted: Accepted) -> Request {
        let id = self.counters.get().ids.fetch_add(1, Relaxed) + 1;
        let recorder = self.recorder.as_ref();
        Request::new(
            id,
            self.name.clone(),
            transport,
            accepted.client_address,
            accepted.connection,
            &self.limits,
        )
        .journaled(recorder.and_then(|recorder| recorder.begin(id)))
    }

    /// Python's `process_request_thread`: everything that is done for one request, under every
    /// concurrency. A panic on the way costs this request and nothing else. `told` is called once the
    /// request's event is in the log.
    pub(crate) fn process_request_thread(
        &self,
        request: Arc<Request>,
        told: &mut dyn FnMut(Outcome),
    ) -> Ended {
        request.begin_cpu();
        let handler = self
            .handler
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut handled = catch_unwind(AssertUnwindSafe(|| handler.finish_request(&request)))
            .unwrap_or_else(|panic| Handled {
                result: Err(Failure::Host(format!("panic: {}", panic_text(&*panic)))),
                memory_peak: 0,
                coredump: None,
            });
        let coredump = handled.coredump.take();
        let mut ended = end_request(&request, handled);
        // What shutdown has cut has not failed.
        let dumped = self
            .coredumps
            .as_ref()
            .zip(coredump)
            .filter(|_| ended.outcome != Outcome::Cut)
            .and_then(|(folder, dump)| Some((folder, folder.turn()?, dump)));
        ended.coredump = dumped
            .as_ref()
            .map(|(folder, _, _)| folder.file(&self.name, request.id()));
        // Whoever sees the connection close finds the event in the log.
        let recorder = self.recorder.as_ref();
        let record = recorder.and_then(|r| r.name(&self.name, &request, ended.outcome));
        self.log(&request, &ended, record.as_deref());
        told(ended.outcome);
        let may_drain = request.shutdown_request();
        self.handle_error(&request, &ended);
        if may_drain {
            request.drain(self.linger);
        }
        // The client has its answer.
        if let Some(recorder) = recorder {
            let digest = handler.digest();
            recorder.keep(record, digest, &request, &ended);
        }
        // The client has its reply, and its end: nobody waits for the dump, which keeps the descriptor open.
        if let (Some((folder, turn, dump)), Some(file)) = (dumped, &ended.coredump) {
            request.abort();
            folder.keep(turn, dump, file);
        }
        close_request(request);
        ended
    }

    /// Waits until no core dump is being put together, at most until `end`.
    pub(crate) fn wait_for_coredumps(&self, end: Option<Instant>) {
        if let Some(coredumps) = &self.coredumps {
            coredumps.wait(end);
        }
    }

    /// No thread or process was to be had for a request: its connection is closed.
    pub(super) fn not_served(&self, request: &Request, error: &std::io::Error) {
        let ended = Ended {
            outcome: Outcome::HostError,
            duration: request.started().elapsed(),
            cpu: Duration::ZERO,
            memory_peak: 0,
            log_dropped: 0,
            detail: Some(format!("no thread or process is to be had: {error}")),
            coredump: None,
        };
        self.log(request, &ended, None);
        request.shutdown_request();
        self.handle_error(request, &ended);
    }

    fn handle_error(&self, request: &Request, ended: &Ended) {
        if ended.detail.is_some() {
            let handle = || self.hooks.handle_error(request, ended);
            // The panic itself is told by the program's panic hook; the request has ended anyhow.
            let _ = catch_unwind(AssertUnwindSafe(handle));
        }
    }

    /// The event of a request whose process has ended without telling it, or a warning of one that told it and did
    /// not end.
    pub(crate) fn lost(&self, lost: &Lost) {
        if lost.is_told {
            events::warning(&format!("request {} had ended: {}", lost.id, lost.detail));
            return;
        }
        events::request(&RequestEnded {
            service: &self.name,
            id: lost.id,
            client: &lost.client_address,
            peer: None,
            outcome: lost.outcome,
            duration: lost.duration,
            cpu: Duration::ZERO,
            bytes_in: 0,
            bytes_out: 0,
            memory_peak: 0,
            log_dropped: 0,
            detail: Some(&lost.detail),
            record: None,
            coredump: None,
        });
    }

    fn log(&self, request: &Request, ended: &Ended, record: Option<&str>) {
        events::request(&RequestEnded {
            service: &self.name,
            id: request.id(),
            client: request.client_address(),
            peer: request.peer_credentials(),
            outcome: ended.outcome,
            duration: ended.duration,
            cpu: ended.cpu,
            bytes_in: request.bytes_in(),
            bytes_out: request.bytes_out(),
            memory_peak: ended.memory_peak,
            log_dropped: ended.log_dropped,
            detail: ended.detail.as_deref(),
            record,
            coredump: ended.coredump.as_deref(),
        });
    }
}

/// What `wfile` still holds is sent, and all that is known of the request's end is put together.
fn end_request(request: &Request, handled: Handled) -> Ended {
    let mut detail = handled.result.as_ref().err().map(ToString::to_string);
    let sent = match &handled.result {
        // What was collected by an instance that trapped is not sent; after a reported error it is.
        Err(Failure::Trap(_) | Failure::Memory(_) | Failure::Host(_)) => {
            request.discard();
            Ok(())
        }
        // In Python, too, nothing answers for a handler that wrote nothing where `finish` did not run.
        Err(Failure::NotBegun(_)) => request.flush(),
        Ok(()) | Err(Failure::Reported(_)) => request.finish(),
    };
    if let Err(error) = sent {
        detail.get_or_insert_with(|| format!("the reply could not be sent: {error}"));
    }
    // The handler knows only that its write has failed.
    if let Some(detail) = detail.as_mut().filter(|_| request.amplifies()) {
        *detail = format!("{detail}: {}", IoError::Amplifies);
    }
    let mut log = request.log();
    log.finish();
    request.end();
    let by_handler = handled
        .result
        .as_ref()
        .map_or_else(Failure::outcome, |()| Outcome::Ok);
    Ended {
        outcome: request.outcome(by_handler),
        duration: request.started().elapsed(),
        cpu: request.cpu_used(),
        memory_peak: handled.memory_peak,
        log_dropped: log.dropped(),
        detail,
        coredump: None,
    }
}

/// Python's `close_request`: the last owner closes the descriptor.
fn close_request(request: Arc<Request>) {
    drop(request);
}
