//! A whole server in one value, for programs that embed one: Python's `TCPServer` and its sisters with
//! a mix-in. The address says which of them it is.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use super::bind::{BindError, server_activate, server_bind};
use super::control::{Control, Quota, ShutdownHandle};
use super::listener::{BindOptions, Listener};
use super::service::Service;
use super::{BaseServer, DefaultHooks, ServerHooks};
use crate::address::{AddressError, ListenAddress};
use crate::concurrency::{Concurrency, Fork, Process, Serial, Table, Threads};
use crate::config::{ConcurrencyKind, Limits, ServiceOptions};
use crate::handler::RequestHandler;

/// Python's attributes of a server, with our defaults. Those of the socket are looked at by
/// [`Server::server_bind`] and [`Server::server_activate`], the others when the first request is taken.
pub struct ServerOptions {
    /// What the log calls the service.
    pub name: String,
    /// Of [`Server::handle_request`]; Python's default, too, is no limit.
    pub timeout: Option<Duration>,
    /// How the socket is made: `request_queue_size`, `allow_reuse_address`, `allow_reuse_port`,
    /// `max_packet_size` and more.
    pub socket: BindOptions,
    /// Python's mix-in.
    pub concurrency: ConcurrencyKind,
    /// With [`ConcurrencyKind::Fork`] Python's `max_children`; the same for threads, where Python has no
    /// limit. At the limit accepting waits.
    pub max_children: usize,
    /// Requests in flight are cut when the server is closed.
    pub daemon_threads: bool,
    /// Closing waits for requests in flight, for [`ServerOptions::shutdown_grace`]; then they are cut.
    pub block_on_close: bool,
    /// See [`ServerOptions::block_on_close`]. Python waits without a limit.
    pub shutdown_grace: Duration,
    /// What bounds each request. For a `.wasm` they are those that it was loaded with, too.
    pub limits: Limits,
    /// How long what a client still sends is read off after the reply.
    pub linger: Duration,
    /// What a subclass would override.
    pub hooks: Arc<dyn ServerHooks>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        let (service, limits) = (ServiceOptions::default(), Limits::default());
        ServerOptions {
            name: "server".to_owned(),
            timeout: None,
            socket: BindOptions::new(&service, &limits),
            concurrency: service.concurrency,
            max_children: service.concurrency.default_max_in_flight() as usize,
            daemon_threads: false,
            block_on_close: true,
            shutdown_grace: service.shutdown_grace.into(),
            limits,
            linger: service.linger.into(),
            hooks: Arc::new(DefaultHooks),
        }
    }
}

/// A server for one address.
///
/// ```
/// use std::io::{BufRead, Read, Write};
/// use sandsock::{Server, handler_fn};
///
/// let mut server = Server::new(
///     "tcp://127.0.0.1:0",
///     handler_fn(|request| {
///         let mut line = String::new();
///         request.rfile().read_line(&mut line)?;
///         write!(request.wfile(), "hello, {}", line.trim())?;
///         Ok(())
///     }),
/// )?;
/// let address = server.server_address().expect("it is bound");
/// let shutdown = server.shutdown_handle();
/// let serving = std::thread::spawn(move || server.serve_forever(None));
///
/// let address = address.strip_prefix("tcp://").expect("as it was asked for");
/// let mut client = std::net::TcpStream::connect(address)?;
/// client.write_all(b"world\n")?;
/// let mut reply = String::new();
/// client.read_to_string(&mut reply)?;
/// assert_eq!("hello, world", reply);
///
/// shutdown.shutdown();
/// serving.join().expect("no panic")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Server {
    /// Python's attributes.
    pub options: ServerOptions,
    address: ListenAddress,
    handler: Arc<dyn RequestHandler>,
    control: Arc<Control>,
    state: State,
}

enum State {
    Unbound,
    Bound(Box<dyn Listener>),
    Serving {
        server: BaseServer,
        concurrency: Arc<dyn Concurrency>,
    },
}

/// Why a server cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address does not parse.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// It cannot be bound or listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// No descriptor is left for the loop's waker.
    #[error("the server cannot be made: {0}")]
    System(#[from] io::Error),
}

impl Server {
    /// Python's constructor: binds and listens, with the default options.
    ///
    /// # Errors
    ///
    /// [`ServerError`]; nothing is left bound then.
    pub fn new(address: &str, handler: impl RequestHandler + 'static) -> Result<Self, ServerError> {
        let mut server = Server::unbound(address, handler)?;
        server.server_bind()?;
        server.server_activate()?;
        Ok(server)
    }

    /// Python's constructor with `bind_and_activate=False`: set the options, then call
    /// [`Server::server_bind`] and [`Server::server_activate`].
    ///
    /// # Errors
    ///
    /// [`ServerError::Address`], [`ServerError::System`].
    pub fn unbound(
        address: &str,
        handler: impl RequestHandler + 'static,
    ) -> Result<Self, ServerError> {
        Ok(Server {
            options: ServerOptions::default(),
            address: address.parse()?,
            handler: Arc::new(handler),
            control: Arc::new(Control::new()?),
            state: State::Unbound,
        })
    }

    /// Binds. A name that stands for several addresses is bound at the first, as in Python.
    ///
    /// # Errors
    ///
    /// [`BindError`]; nothing is left bound then.
    pub fn server_bind(&mut self) -> Result<(), BindError> {
        let bound = server_bind(&self.address, &self.options.socket)?;
        // There is at least one.
        self.state = bound
            .into_iter()
            .next()
            .map_or(State::Unbound, State::Bound);
        Ok(())
    }

    /// Listens; before it, connections are refused.
    ///
    /// # Errors
    ///
    /// [`BindError`]: listen(2) fails. Before [`Server::server_bind`] there is nothing to do.
    pub fn server_activate(&mut self) -> Result<(), BindError> {
        match self.listener() {
            Some(listener) => server_activate(listener, &self.address, &self.options.socket),
            None => Ok(()),
        }
    }

    /// What the system says after [`Server::server_bind`], as `tcp://127.0.0.1:9999`.
    pub fn server_address(&self) -> Option<String> {
        self.listener().map(Listener::server_address)
    }

    /// The listener's descriptor, for another program's loop; `None` before [`Server::server_bind`].
    pub fn fileno(&self) -> Option<BorrowedFd<'_>> {
        self.listener().map(Listener::fileno)
    }

    /// Python's `shutdown`, for any thread, before and while it serves, and for a hook.
    pub fn shutdown_handle(&self) -> ShutdownHandle {
        ShutdownHandle::new(self.control.clone())
    }

    /// Serves until [`ShutdownHandle::shutdown`]; it can be called again afterwards. `poll_interval` is
    /// the beat of [`ServerHooks::service_actions`] where no request comes, and shutdown does not wait
    /// for it.
    ///
    /// # Errors
    ///
    /// The server is not bound, or `fork` is asked for in a process with several threads.
    pub fn serve_forever(&mut self, poll_interval: Option<Duration>) -> io::Result<()> {
        self.base()?.serve_forever(poll_interval);
        Ok(())
    }

    /// Serves one request, or calls [`ServerHooks::handle_timeout`] after [`ServerOptions::timeout`].
    ///
    /// # Errors
    ///
    /// As [`Server::serve_forever`].
    pub fn handle_request(&mut self) -> io::Result<()> {
        let timeout = self.options.timeout;
        self.base()?.handle_request(timeout);
        Ok(())
    }

    /// Closes the listener. What becomes of requests in flight is for
    /// [`ServerOptions::block_on_close`] and [`ServerOptions::daemon_threads`] to say. Dropping the
    /// server does the same.
    pub fn server_close(&mut self) {
        // Taken out, so that a listener is closed here in any case.
        let State::Serving { concurrency, .. } = std::mem::replace(&mut self.state, State::Unbound)
        else {
            return;
        };
        if self.options.daemon_threads {
            concurrency.close(Duration::ZERO);
        } else if self.options.block_on_close {
            concurrency.close(self.options.shutdown_grace);
        }
    }

    fn listener(&self) -> Option<&dyn Listener> {
        match &self.state {
            State::Unbound => None,
            State::Bound(listener) => Some(&**listener),
            State::Serving { server, .. } => Some(server.listener()),
        }
    }

    /// The loop, made at the first request from what the options say then.
    fn base(&mut self) -> io::Result<&BaseServer> {
        if matches!(self.state, State::Bound(_)) {
            let service = Arc::new(self.service());
            let concurrency = self.concurrency(service.clone())?;
            if let State::Bound(listener) = std::mem::replace(&mut self.state, State::Unbound) {
                let quota = Arc::new(Quota::new(None));
                let control = self.control.clone();
                let server =
                    BaseServer::new(listener, service, concurrency.clone(), quota, control);
                self.state = State::Serving {
                    server,
                    concurrency,
                };
            }
        }
        match &self.state {
            State::Serving { server, .. } => Ok(server),
            _ => Err(io::Error::new(
                io::ErrorKind::NotConnected,
                "the server is not bound: call server_bind and server_activate first",
            )),
        }
    }

    fn service(&self) -> Service {
        Service::new(
            &self.options.name,
            self.handler.clone(),
            self.options.limits.clone(),
            self.options.linger,
            self.options.hooks.clone(),
        )
    }

    fn concurrency(&self, service: Arc<Service>) -> io::Result<Arc<dyn Concurrency>> {
        let losing = service.clone();
        let process: Arc<Process> = Arc::new(move |request, told| {
            service.process_request_thread(request, told);
        });
        let max = self.options.max_children;
        Ok(match self.options.concurrency {
            ConcurrencyKind::Serial => Arc::new(Serial::new(process)),
            ConcurrencyKind::Threads => Arc::new(Threads::new(max, process)),
            ConcurrencyKind::Fork => Arc::new(Fork::new(
                Table::create(max)?,
                None,
                self.control.waker().clone(),
                process,
                Arc::new(move |lost| losing.lost(&lost)),
            )?),
        })
    }
}

/// As Python's `with`: what was bound is closed.
impl Drop for Server {
    fn drop(&mut self) {
        self.server_close();
    }
}
