//! Python's `BaseServer`: the one loop under every transport, and the hooks. The functions stand in
//! the order in which Python calls them.

mod accept;
mod bind;
mod control;
pub(crate) mod datagram;
mod listener;
mod service;
mod tcp;
mod udp;
mod unix;

#[cfg(test)]
mod tests;

use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};

use crate::address::Endpoint;
use crate::concurrency::Concurrency;
use crate::events;
use crate::handler::Ended;
use crate::poll;
use accept::{AcceptError, Backoff, classify};
pub use bind::{BindError, bind_and_activate};
use control::Control;
pub use control::{Quota, ShutdownHandle};
pub use listener::{Accepted, BindOptions, Listener};
pub use service::Service;

/// What Python lets a subclass of the server override, with Python's defaults.
pub trait ServerHooks: Send + Sync {
    /// Whether a request is served. An `Err` refuses this one request (Python's loop would die).
    ///
    /// # Errors
    ///
    /// Whatever kept the hook from deciding; it is logged.
    fn verify_request(&self, _client_address: &Endpoint) -> Result<bool, String> {
        Ok(true)
    }

    /// A handler failed. The log has its event already; Python prints a traceback here.
    fn handle_error(&self, _client_address: &Endpoint, _ended: &Ended) {}

    /// [`Server::handle_request`] ran out of [`Server::timeout`].
    fn handle_timeout(&self) {}

    /// After every turn of [`Server::serve_forever`], whether or not a request came.
    fn service_actions(&self) {}
}

/// Python's defaults and nothing else.
#[derive(Debug, Default)]
pub struct DefaultHooks;

impl ServerHooks for DefaultHooks {}

/// One listener and its loop. Several servers can share a [`Service`] and its concurrency.
pub struct Server {
    listener: Box<dyn Listener>,
    service: Arc<Service>,
    concurrency: Arc<dyn Concurrency>,
    control: Arc<Control>,
    quota: Arc<Quota>,
    /// Python's `timeout`: of [`Server::handle_request`].
    pub timeout: Option<Duration>,
}

/// What the loop knows between two turns.
#[derive(Default)]
struct Turn {
    backoff: Backoff,
    /// Nothing is taken before this moment.
    paused_until: Option<Instant>,
    /// Requests in flight are at their limit: whoever ends wakes the loop.
    full: bool,
    /// Packets dropped for their length, and when that was told last.
    too_long: u64,
    too_long_told: Option<Instant>,
}

impl Server {
    /// A server on a listener that accepts already.
    ///
    /// # Errors
    ///
    /// No descriptor is left for the loop's waker.
    pub fn new(
        listener: Box<dyn Listener>,
        service: Arc<Service>,
        concurrency: Arc<dyn Concurrency>,
        quota: Arc<Quota>,
    ) -> std::io::Result<Self> {
        Ok(Server {
            listener,
            service,
            concurrency,
            control: Arc::new(Control::new()?),
            quota,
            timeout: None,
        })
    }

    /// Python's `server_address`, as `tcp://127.0.0.1:9999`.
    pub fn server_address(&self) -> String {
        self.listener.server_address()
    }

    /// Python's `shutdown`, for any thread: see [`ShutdownHandle::shutdown`].
    pub fn shutdown_handle(&self) -> ShutdownHandle {
        ShutdownHandle::new(self.control.clone())
    }

    /// Takes and processes requests until `shutdown`, or until the quota of requests is used up.
    /// `poll_interval` is the beat of `service_actions` where no request comes; shutdown wakes the
    /// loop at once.
    pub fn serve_forever(&self, poll_interval: Option<Duration>) {
        let _running = self.control.begin();
        let mut turn = Turn::default();
        while !self.control.shutdown_is_requested() && !self.quota.is_used_up() {
            if self.wait(&mut turn, poll_interval) {
                self.handle_request_noblock(&mut turn);
            }
            self.service.hooks.service_actions();
        }
    }

    /// One request, or [`ServerHooks::handle_timeout`] after [`Server::timeout`].
    pub fn handle_request(&self) {
        let mut turn = Turn::default();
        let end = self
            .timeout
            .and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if self.wait(&mut turn, left) && self.handle_request_noblock(&mut turn) {
                return;
            }
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
        let timeout = timeout.into_iter().chain(pause).min();
        if let Err(error) = poll::wait_any(watched, timeout) {
            self.pause(turn, &error);
            return false;
        }
        if fds[0].any() == Some(true) {
            self.control.waker().reset();
            turn.full = false;
        }
        fds[1].any() == Some(true) && !turn.full
    }

    /// Takes one request that waits; `false` where there was none.
    fn handle_request_noblock(&self, turn: &mut Turn) -> bool {
        let Some(mut permit) = self.concurrency.reserve(self.control.waker()) else {
            turn.full = true;
            return false;
        };
        // Looked at after reserving: a stop that has found nothing in flight must find nothing later.
        if self.control.shutdown_is_requested() {
            return false;
        }
        let Some(ticket) = self.quota.take() else {
            return false;
        };
        let accepted = match self.listener.get_request() {
            Ok(Some(accepted)) => accepted,
            Ok(None) => {
                turn.too_long += 1;
                self.tell_too_long(turn);
                return false;
            }
            Err(error) => {
                if classify(&error) == AcceptError::Lasting {
                    self.pause(turn, &error);
                }
                return false;
            }
        };
        turn.paused_until = None;
        if turn.backoff.succeeded() {
            events::accept_recovered(self.service.name());
        }
        ticket.use_up();
        if !self.verify_request(&accepted.client_address) {
            accepted.connection.shutdown_request();
            return true;
        }
        let request = Arc::new(self.service.request(self.listener.transport(), accepted));
        permit.attach(request.clone());
        if let Err(error) = self.concurrency.process_request(permit, request.clone()) {
            self.service.not_served(&request, &error);
        }
        true
    }

    fn verify_request(&self, client_address: &Endpoint) -> bool {
        let verify = || self.service.hooks.verify_request(client_address);
        let verified = catch_unwind(AssertUnwindSafe(verify))
            .unwrap_or_else(|_| Err("verify_request panicked".to_owned()));
        match verified {
            Ok(true) => true,
            Ok(false) => {
                self.refuse(client_address, "verify_request");
                false
            }
            Err(error) => {
                self.refuse(client_address, &error);
                false
            }
        }
    }

    fn refuse(&self, client_address: &Endpoint, detail: &str) {
        events::refused(self.service.name(), &client_address.to_string(), detail);
    }

    /// A flood of packets that are too long is no flood of events: one a second says how many.
    fn tell_too_long(&self, turn: &mut Turn) {
        let now = Instant::now();
        if turn
            .too_long_told
            .is_none_or(|told| now - told >= Duration::from_secs(1))
        {
            turn.too_long_told = Some(now);
            events::packet_too_long(self.service.name(), turn.too_long);
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

/// Python's `fileno`.
impl AsFd for Server {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.fileno()
    }
}
