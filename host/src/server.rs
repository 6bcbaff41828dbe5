//! Python's `BaseServer`: the one loop under every transport, and the hooks. The functions stand in
//! the order in which Python calls them.

mod accept;
mod bind;
mod control;
pub(crate) mod datagram;
mod embedded;
mod handed_over;
mod listener;
mod refusals;
#[cfg(all(test, feature = "schedules"))]
mod schedules;
mod service;
mod socket_file;
mod tcp;
mod udp;
mod unix;
mod unix_client;

#[cfg(test)]
mod tests;

use std::os::fd::{AsFd, AsRawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};

use crate::address::Endpoint;
use crate::admission::Refusal;
use crate::concurrency::{Concurrency, Permit};
use crate::events;
use crate::handler::Ended;
use crate::poll;
use crate::request::Request;
use accept::{AcceptError, Backoff, classify};
pub use bind::BindError;
pub(crate) use bind::bind_and_activate;
pub use control::ShutdownHandle;
pub(crate) use control::{Control, Quota};
pub use embedded::{Server, ServerError, ServerOptions};
pub(crate) use handed_over::{handed_over, inherited};
pub use listener::BindOptions;
pub(crate) use listener::{Accepted, Incoming, Listener};
use refusals::Refusals;
pub(crate) use service::Service;
pub use socket_file::SocketFile;

/// What Python lets a subclass of the server override, with Python's defaults. Python's other methods
/// are functions of the same names, and not for overriding: see the table in the crate's documentation.
pub trait ServerHooks: Send + Sync {
    /// Whether a request is served; `false` closes it. It is the loop's own thread that asks, so that
    /// nobody else is served meanwhile, and what is read here the handler does not find. An `Err` or a
    /// panic refuses this one request (Python's loop would die).
    ///
    /// # Errors
    ///
    /// Whatever kept the hook from deciding; it is logged.
    fn verify_request(&self, _request: &Request) -> Result<bool, String> {
        Ok(true)
    }

    /// A request failed: its handler reported an error, trapped or panicked, a limit ended it, or nobody
    /// was to be had to serve it. The log has its event already; Python prints a traceback here. It is
    /// called where the request was served: on its thread, or in its process. A panic is ignored.
    fn handle_error(&self, _request: &Request, _ended: &Ended) {}

    /// [`Server::handle_request`] ran out of [`ServerOptions::timeout`]. A panic goes to its caller.
    fn handle_timeout(&self) {}

    /// After every turn of [`Server::serve_forever`], whether or not a request came, on the loop's own
    /// thread. A panic ends the loop and goes to its caller, as what is raised does in Python.
    fn service_actions(&self) {}
}

/// Python's defaults and nothing else.
#[derive(Debug, Default)]
pub struct DefaultHooks;

impl ServerHooks for DefaultHooks {}

/// One listener and its loop. Several can share a [`Service`] and its concurrency; [`Server`] is the
/// whole of one, as Python has it.
pub(crate) struct BaseServer {
    listener: Box<dyn Listener>,
    service: Arc<Service>,
    concurrency: Arc<dyn Concurrency>,
    control: Arc<Control>,
    quota: Arc<Quota>,
}

/// What the loop knows between two turns.
#[derive(Default)]
struct Turn {
    backoff: Backoff,
    /// Nothing is taken before this moment.
    paused_until: Option<Instant>,
    /// Requests in flight are at their limit: whoever ends wakes the loop.
    full: bool,
    refusals: Refusals,
    rush: Rush,
}

/// Where requests come faster than they are taken, the next one is there already: it is taken without a wait for it,
/// which spares a system call.
#[derive(Default)]
struct Rush {
    /// Requests that were taken since the last wait.
    taken: u32,
    /// Requests to wait for, since one that was hoped for was not there.
    calm: u32,
}

impl Rush {
    /// Then the waker, and what is due, are looked at again.
    const LONGEST: u32 = 16;
    /// What a look in vain costs is spread over so many requests.
    const CALM: u32 = 8;

    fn is_on(&self) -> bool {
        self.calm == 0 && (1..Rush::LONGEST).contains(&self.taken)
    }

    fn waited(&mut self) {
        self.taken = 0;
    }

    fn took(&mut self) {
        self.taken += 1;
        self.calm = self.calm.saturating_sub(1);
    }

    /// No request was there.
    fn ended(&mut self) {
        if self.taken > 0 {
            *self = Rush {
                taken: 0,
                calm: Rush::CALM,
            };
        }
    }
}

/// A loop that found no room is woken when there is some; where another process made it, nobody wakes
/// us, so that it is looked for as often as this.
const LOOK_FOR_ROOM: Duration = Duration::from_millis(50);

impl BaseServer {
    /// A server on a listener that accepts already. `control` holds what wakes its loop.
    pub(crate) fn new(
        listener: Box<dyn Listener>,
        service: Arc<Service>,
        concurrency: Arc<dyn Concurrency>,
        quota: Arc<Quota>,
        control: Arc<Control>,
    ) -> Self {
        if !listener.transport().is_datagram() {
            concurrency.not_for_children(listener.fileno().as_raw_fd());
        }
        BaseServer {
            listener,
            service,
            concurrency,
            control,
            quota,
        }
    }

    pub(crate) fn listener(&self) -> &dyn Listener {
        &*self.listener
    }

    /// Python's `shutdown`, for any thread: see [`ShutdownHandle::shutdown`].
    pub(crate) fn shutdown_handle(&self) -> ShutdownHandle {
        ShutdownHandle::new(self.control.clone())
    }

    /// Takes and processes requests until `shutdown`, or until the quota of requests is used up.
    /// `poll_interval` is the beat of `service_actions` where no request comes; shutdown wakes the
    /// loop at once.
    pub(crate) fn serve_forever(&self, poll_interval: Option<Duration>) {
        let _running = self.control.begin();
        let mut turn = Turn::default();
        while !self.control.shutdown_is_requested() && !self.quota.is_used_up() {
            if self.wait(&mut turn, poll_interval) {
                self.handle_request_noblock(&mut turn);
            }
            self.concurrency.service_actions();
            self.service.hooks.service_actions();
        }
        turn.refusals.end(self.service.name());
    }

    /// One request, or [`ServerHooks::handle_timeout`] after `timeout`, or nothing where `shutdown` ends it.
    pub(crate) fn handle_request(&self, timeout: Option<Duration>) {
        let _running = self.control.begin();
        let mut turn = Turn::default();
        self.handle_request_within(timeout, &mut turn);
        turn.refusals.end(self.service.name());
    }

    fn handle_request_within(&self, timeout: Option<Duration>, turn: &mut Turn) {
        let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if self.wait(turn, left) && self.handle_request_noblock(turn) {
                return;
            }
            self.concurrency.service_actions();
            if left.is_some_and(|left| left.is_zero()) {
                self.service.hooks.handle_timeout();
                return;
            }
            if self.control.shutdown_is_requested() {
                return;
            }
        }
    }

    /// Waits for a request, a waker or the time; `true` where a request may be there.
    fn wait(&self, turn: &mut Turn, timeout: Option<Duration>) -> bool {
        if turn.rush.is_on() && !turn.full && self.listener.never_blocks() {
            return true;
        }
        turn.rush.waited();
        let now = Instant::now();
        let pause = turn
            .paused_until
            .map(|until| until.saturating_duration_since(now))
            .filter(|pause| !pause.is_zero());
        let waker = PollFd::new(self.control.waker().as_fd(), PollFlags::POLLIN);
        let listener = PollFd::new(self.listener.fileno(), PollFlags::POLLIN);
        let mut fds = [waker, listener];
        let watched = if turn.full || pause.is_some() {
            &mut fds[..1]
        } else {
            &mut fds[..]
        };
        let room = turn.full.then_some(LOOK_FOR_ROOM);
        let due = turn.refusals.due();
        let tell = due.map(|due| due.saturating_duration_since(now));
        let actions = self.concurrency.due();
        let actions = actions.map(|due| due.saturating_duration_since(now));
        let timeout = [timeout, pause, room, tell, actions];
        let timeout = timeout.into_iter().flatten().min();
        if let Err(error) = poll::wait_any(watched, timeout) {
            self.pause(turn, &error);
            return false;
        }
        if due.is_some_and(|due| due <= Instant::now()) {
            turn.refusals.tell(self.service.name());
        }
        let was_full = std::mem::take(&mut turn.full);
        if fds[0].any() == Some(true) {
            self.control.waker().reset();
        }
        fds[1].any() == Some(true) && !was_full
    }

    /// Takes one request that waits; `false` where there was none.
    fn handle_request_noblock(&self, turn: &mut Turn) -> bool {
        let permit = self.concurrency.reserve(self.control.waker());
        if permit.is_none() && self.service.admission.waits_for_room() {
            turn.full = true;
            return false;
        }
        // Looked at after reserving: a stop that has found nothing in flight must find nothing later.
        if self.control.shutdown_is_requested() {
            return false;
        }
        let Some(ticket) = self.quota.take() else {
            // Another loop has taken the last, and may yet give it back.
            turn.full = true;
            return false;
        };
        let accepted = match self.listener.get_request() {
            Ok(Incoming::Request(accepted)) => accepted,
            Ok(Incoming::Dropped(refusal, from)) => {
                turn.rush.took();
                turn.refusals.count(refusal, from, None);
                return false;
            }
            Err(error) => {
                turn.rush.ended();
                if classify(&error) == AcceptError::Lasting {
                    self.pause(turn, &error);
                }
                return false;
            }
        };
        turn.rush.took();
        turn.paused_until = None;
        if turn.backoff.succeeded() {
            events::accept_recovered(self.service.name());
        }
        let client_address = &accepted.client_address;
        let mut permit = match self.admit(client_address, permit) {
            Ok(permit) => permit,
            Err(refusal) => {
                if self.listener.is_connection() {
                    // No other one follows it.
                    ticket.use_up();
                }
                let client_address = accepted.client_address;
                turn.refusals.count(refusal, client_address, None);
                return false;
            }
        };
        ticket.use_up();
        let request = Arc::new(self.service.request(self.listener.transport(), accepted));
        permit.attach(&request);
        if let Err(problem) = self.verify_request(&request) {
            request.shutdown_request();
            let client_address = request.client_address().clone();
            turn.refusals
                .count(Refusal::VerifyRequest, client_address, problem);
            return true;
        }
        if let Err(error) = self.concurrency.process_request(permit, request.clone()) {
            self.service.not_served(&request, &error);
        }
        true
    }

    /// Before Python's `verify_request`: what the operator lets in. A connection that is not let in is
    /// closed without a word.
    fn admit(
        &self,
        client_address: &Endpoint,
        mut permit: Option<Permit>,
    ) -> Result<Permit, Refusal> {
        let admission = &self.service.admission;
        admission.admit(client_address, permit.as_mut())?;
        permit.ok_or(Refusal::Overload)
    }

    /// An error is a request that is not served, and why the hook could not decide.
    fn verify_request(&self, request: &Request) -> Result<(), Option<String>> {
        let verify = || self.service.hooks.verify_request(request);
        match catch_unwind(AssertUnwindSafe(verify)) {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(None),
            Ok(Err(problem)) => Err(Some(problem)),
            Err(_) => Err(Some("verify_request panicked".to_owned())),
        }
    }

    fn pause(&self, turn: &mut Turn, error: &std::io::Error) {
        let (pause, first) = turn.backoff.failed();
        turn.paused_until = Some(Instant::now() + pause);
        if first {
            events::accept_failed(self.service.name(), error);
        }
    }
}
