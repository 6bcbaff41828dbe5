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
use crate::concurrency::{Concurrency, Fork, Lifetime, Process, Serial, Table, Threads};
use crate::config::{ConcurrencyKind, Limits, ServiceOptions};
use crate::handler::RequestHandler;

/// Python's attributes of a server, with our defaults. Those of the socket are looked at by
/// [`Server::server_bind`] and [`Server::server_activate`]; those about closing and the timeout when they
/// are needed; the others when the server serves for the first time, and not again.
#[derive(Clone)]
pub struct ServerOptions {
    /// What the log calls the service.
    pub name: String,
    /// Of [`Server::handle_request`]; Python's default, too, is no limit.
    pub timeout: Option<Duration>,
    /// How the socket is made: `request_queue_size`, `allow_reuse_address`, `allow_reuse_port`,
    /// `max_packet_size` and more.
    pub socket: BindOptions,
    /// Python's mix-in. [`ConcurrencyKind::Fork`] asks for a process with one thread, and for a `.wasm`
    /// that was loaded with [`Loader::for_children`](crate::Loader::for_children); while the server lives,
    /// SIGCHLD, SIGUSR1 and SIGUSR2 have handlers beside the program's own.
    pub concurrency: ConcurrencyKind,
    /// Requests in flight, at which accepting waits: with [`ConcurrencyKind::Fork`] Python's `max_children`,
    /// and the same for threads, where Python has no limit. `None` for 40 children, as in Python, or 1024
    /// threads; [`ConcurrencyKind::Serial`] has one request at a time in any case.
    pub max_children: Option<usize>,
    /// Closing the server cuts the requests in flight; in Python they end with the program.
    pub daemon_threads: bool,
    /// Closing waits for requests in flight, for [`ServerOptions::shutdown_grace`]; then they are cut.
    /// Without it they are left to themselves.
    pub block_on_close: bool,
    /// See [`ServerOptions::block_on_close`]. Python waits without a limit.
    pub shutdown_grace: Duration,
    /// What bounds each request. A `.wasm` has no more memory than it was loaded with, either. With
    /// [`ConcurrencyKind::Fork`] a child that is there 3 s after the deadline and `linger` is killed, and one that
    /// takes over a second more than the CPU limit is ended, whatever its handler is.
    pub limits: Limits,
    /// How long what a client still sends is read off after the reply, so that it arrives.
    pub linger: Duration,
    /// What a subclass would override.
    pub hooks: Arc<dyn ServerHooks>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        let service = ServiceOptions::default();
        ServerOptions {
            name: "server".to_owned(),
            timeout: None,
            socket: BindOptions::default(),
            concurrency: service.concurrency,
            max_children: None,
            daemon_threads: false,
            block_on_close: true,
            shutdown_grace: service.shutdown_grace.into(),
            limits: Limits::default(),
            linger: service.linger.into(),
            hooks: Arc::new(DefaultHooks),
        }
    }
}

/// A server for one address: `tcp://HOST:PORT`, `udp://HOST:PORT`, `unix:///PATH` or `unixgram:///PATH`.
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
/// let address = server.server_address().to_owned();
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
///
/// What it logs are events of the crate `tracing`: a program that wants to see them sets a subscriber.
pub struct Server {
    /// Python's attributes.
    pub options: ServerOptions,
    address: ListenAddress,
    server_address: String,
    handler: Arc<dyn RequestHandler>,
    control: Arc<Control>,
    state: State,
}

enum State {
    Closed,
    Bound {
        listener: Box<dyn Listener>,
        is_active: bool,
    },
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
        Server::with_options(address, handler, ServerOptions::default())
    }

    /// Python's constructor of a class whose attributes were set: binds and listens.
    ///
    /// ```
    /// use sandsock::config::ConcurrencyKind;
    /// use sandsock::{BindOptions, Server, ServerOptions, handler_fn};
    ///
    /// let options = ServerOptions {
    ///     concurrency: ConcurrencyKind::Serial,
    ///     socket: BindOptions {
    ///         request_queue_size: 5,
    ///         ..BindOptions::default()
    ///     },
    ///     ..ServerOptions::default()
    /// };
    /// let server = Server::with_options("tcp://127.0.0.1:0", handler_fn(|_| Ok(())), options)?;
    /// # Ok::<(), sandsock::ServerError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ServerError`]; nothing is left bound then.
    pub fn with_options(
        address: &str,
        handler: impl RequestHandler + 'static,
        options: ServerOptions,
    ) -> Result<Self, ServerError> {
        let mut server = Server::unbound(address, handler)?;
        server.options = options;
        server.server_bind()?;
        server.server_activate()?;
        Ok(server)
    }

    /// Python's constructor with `bind_and_activate=False`: [`Server::server_bind`] and
    /// [`Server::server_activate`] are for the caller, and between them what the socket needs beside.
    ///
    /// ```
    /// use sandsock::{Server, handler_fn};
    ///
    /// let mut server = Server::unbound("tcp://127.0.0.1:0", handler_fn(|_| Ok(())))?;
    /// assert_eq!("tcp://127.0.0.1:0", server.server_address());
    /// server.options.socket.allow_reuse_port = true;
    /// server.server_bind()?;
    /// assert_ne!("tcp://127.0.0.1:0", server.server_address());
    /// server.server_activate()?;
    /// # Ok::<(), sandsock::ServerError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ServerError::Address`], [`ServerError::System`].
    pub fn unbound(
        address: &str,
        handler: impl RequestHandler + 'static,
    ) -> Result<Self, ServerError> {
        let address: ListenAddress = address.parse()?;
        Ok(Server {
            options: ServerOptions::default(),
            server_address: address.to_string(),
            address,
            handler: Arc::new(handler),
            control: Arc::new(Control::new()?),
            state: State::Closed,
        })
    }

    /// Binds; a Unix socket has its file from here on. Of a name with several addresses it is the first that
    /// this machine has.
    ///
    /// # Errors
    ///
    /// [`BindError`], also where it is bound already. What was bound before still is, and nothing else.
    pub fn server_bind(&mut self) -> Result<(), BindError> {
        if self.listener().is_some() {
            return Err(self.misused("it is bound already: call server_close first"));
        }
        let options = BindOptions {
            receive_timeout: self.options.limits.idle_timeout,
            ..self.options.socket.clone()
        };
        if let Some(listener) = server_bind(&self.address, &options, 1)?.pop() {
            self.server_address = listener.server_address();
            self.state = State::Bound {
                // Packets come as soon as there is a name to send them to: listen(2) is for connections.
                is_active: listener.transport().is_datagram(),
                listener,
            };
        }
        Ok(())
    }

    /// Listens; before it, connections are refused. For datagrams, as in Python, there is nothing to do.
    ///
    /// # Errors
    ///
    /// [`BindError`]: listen(2) fails, or it is not bound.
    pub fn server_activate(&mut self) -> Result<(), BindError> {
        let Some(listener) = self.listener() else {
            return Err(self.misused("it is not bound: call server_bind first"));
        };
        server_activate(listener, &self.address, &self.options.socket)?;
        if let State::Bound { is_active, .. } = &mut self.state {
            *is_active = true;
        }
        Ok(())
    }

    fn misused(&self, problem: &str) -> BindError {
        BindError::new(&self.address, problem.to_owned())
    }

    /// What was asked for; from [`Server::server_bind`] on what the system says, as `tcp://127.0.0.1:9999`.
    /// It stays when the server is closed.
    pub fn server_address(&self) -> &str {
        &self.server_address
    }

    /// The listener's descriptor, for a loop of the caller's; `None` while it is not bound, which is why a
    /// `Server` is no [`AsFd`](std::os::fd::AsFd), but what is returned is one. Where it is readable,
    /// [`Server::handle_request`] with a `timeout` of zero serves one request and does not wait for another.
    pub fn fileno(&self) -> Option<BorrowedFd<'_>> {
        self.listener().map(Listener::fileno)
    }

    /// Python's `shutdown`, for any thread, before and while it serves, and for a hook.
    pub fn shutdown_handle(&self) -> ShutdownHandle {
        ShutdownHandle::new(self.control.clone())
    }

    /// Serves until [`ShutdownHandle::shutdown`]; it can be called again afterwards. `poll_interval` is
    /// the beat of [`ServerHooks::service_actions`] where no request comes (Python: 0.5 s; `None` for none),
    /// and shutdown does not wait for it.
    ///
    /// With [`ConcurrencyKind::Serial`] and [`ConcurrencyKind::Fork`] requests are served on the stack of the
    /// thread that calls this.
    ///
    /// # Errors
    ///
    /// The server does not listen, or `fork` is asked for in a process with several threads.
    pub fn serve_forever(&mut self, poll_interval: Option<Duration>) -> io::Result<()> {
        self.base()?.serve_forever(poll_interval);
        Ok(())
    }

    /// Serves one request, or calls [`ServerHooks::handle_timeout`] after [`ServerOptions::timeout`].
    /// [`ShutdownHandle::shutdown`] ends the wait, where Python's does nothing.
    ///
    /// # Errors
    ///
    /// As [`Server::serve_forever`].
    pub fn handle_request(&mut self) -> io::Result<()> {
        let timeout = self.options.timeout;
        self.base()?.handle_request(timeout);
        Ok(())
    }

    /// Closes the listener. What becomes of requests in flight is for [`ServerOptions::block_on_close`] and
    /// [`ServerOptions::daemon_threads`] to say. Once is enough, more do nothing; dropping the server does the
    /// same. It can be bound again.
    pub fn server_close(&mut self) {
        let state = std::mem::replace(&mut self.state, State::Closed);
        let State::Serving {
            server,
            concurrency,
        } = state
        else {
            return;
        };
        // First, so that nobody waits to be accepted while requests in flight end.
        drop(server);
        if self.options.daemon_threads {
            concurrency.close(Duration::ZERO);
        } else if self.options.block_on_close {
            concurrency.close(self.options.shutdown_grace);
        }
    }

    fn listener(&self) -> Option<&dyn Listener> {
        match &self.state {
            State::Closed => None,
            State::Bound { listener, .. } => Some(&**listener),
            State::Serving { server, .. } => Some(server.listener()),
        }
    }

    /// The loop, made for the first request from what the options say then.
    fn base(&mut self) -> io::Result<&BaseServer> {
        if let State::Bound {
            is_active: true, ..
        } = &self.state
        {
            let service = Arc::new(self.service());
            let concurrency = self.concurrency(service.clone())?;
            if let State::Bound { listener, .. } = std::mem::replace(&mut self.state, State::Closed)
            {
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
            State::Bound { .. } => Err(io::Error::new(
                io::ErrorKind::NotConnected,
                "the server does not listen: call server_activate first",
            )),
            State::Closed => Err(io::Error::new(
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
        let kind = self.options.concurrency;
        let max = self
            .options
            .max_children
            .unwrap_or(kind.default_max_in_flight() as usize);
        Ok(match kind {
            ConcurrencyKind::Serial => Arc::new(Serial::new(process)),
            ConcurrencyKind::Threads => Arc::new(Threads::new(max, process)),
            ConcurrencyKind::Fork => Arc::new(Fork::new(
                Table::create(max, 0)?,
                None,
                self.control.waker().clone(),
                process,
                Arc::new(move |lost| losing.lost(&lost)),
                Lifetime::new(&self.options.limits, self.options.linger, 0),
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
