//! Python's `socketserver`, where the request handler is a WebAssembly file in a sandbox of its own.
//!
//! ```text
//!  client ─▶ get_request ─▶ verify_request ─▶ process_request ─▶ finish_request ─▶ shutdown_request ─▶ close_request
//!            server/{tcp,     ServerHooks       concurrency/       handler.rs        request/stream.rs
//!            udp,unix}                          {serial,threads,    setup
//!                                              fork}                handle ◀─▶ rfile / wfile ◀─▶ socket
//!                                                                    finish      request/{stream,datagram}
//!                                                                      ▲
//!                                       handler/{module,component}    three kinds of .wasm, and native ones
//!                                       sandbox/{engine,memory,wasi}  one way to be held
//! ```
//!
//! No async: a request is a thread, or the loop itself, and every blocking call in it carries a time
//! limit. `handler/` knows nothing of sockets, `server/` nothing of Wasm, `concurrency/` neither;
//! `sandbox/` is the only place that configures the Wasm engine.
//!
//! A program starts with [`Server`]: an address, and a [`WasmHandler`] or a function as the handler. The
//! folder `examples` of this crate has whole programs.
//!
//! # Where Python's names are
//!
//! | Python | here |
//! |---|---|
//! | `BaseServer` | `BaseServer`, in `server.rs` |
//! | `TCPServer`, `UDPServer`, `UnixStreamServer`, `UnixDatagramServer` | [`Server`], by its address; `server/tcp.rs`, `server/udp.rs`, `server/unix.rs` |
//! | `ThreadingMixIn`, `ForkingMixIn`, no mix-in | [`ServerOptions::concurrency`]; `concurrency/threads.rs`, `concurrency/fork.rs`, `concurrency/serial.rs` |
//! | `bind_and_activate` | [`Server::new`], [`Server::with_options`]; without it [`Server::unbound`], [`Server::server_bind`], [`Server::server_activate`] |
//! | `serve_forever`, `handle_request` | [`Server::serve_forever`], [`Server::handle_request`] |
//! | `shutdown` | [`Server::shutdown_handle`], [`ShutdownHandle::shutdown`], from any thread and from a hook |
//! | `server_close`, `server_address`, `fileno` | [`Server::server_close`], [`Server::server_address`], [`Server::fileno`] |
//! | `timeout`, `max_children`, `daemon_threads`, `block_on_close` | [`ServerOptions`] |
//! | `request_queue_size`, `allow_reuse_address`, `allow_reuse_port`, `max_packet_size`, `address_family` | [`BindOptions`]; the family is the address's |
//! | `get_request` | `Listener::get_request`, in `server/listener.rs` |
//! | `verify_request`, `handle_error`, `handle_timeout`, `service_actions` | [`ServerHooks`] |
//! | `process_request` | `Concurrency::process_request`, in `concurrency.rs` |
//! | `process_request_thread` | `Service::process_request_thread`, in `server/service.rs` |
//! | `collect_children` | `Fork::collect_children`, in `concurrency/fork.rs` |
//! | `__enter__`, `__exit__` | dropping the [`Server`] closes it |
//! | `finish_request`, `RequestHandlerClass` | [`RequestHandler::finish_request`]: [`WasmHandler`], [`native`], [`handler_fn`] |
//! | `shutdown_request`, `close_request` | `request/stream.rs` and `server/service.rs` |
//! | `BaseRequestHandler`: `setup`, `handle`, `finish` | the handler's exports, called by `handler/life.rs`; for native ones [`BaseRequestHandler`] |
//! | `StreamRequestHandler`, `DatagramRequestHandler`: `rfile`, `wfile` | `request/stream.rs`, `request/datagram.rs`; for native ones [`Request::rfile`], [`Request::wfile`] |
//! | `rbufsize`, `wbufsize` | guests buffer what they read; what they write goes out at once |
//! | `disable_nagle_algorithm` | `--nodelay`, [`BindOptions::disable_nagle_algorithm`], or a handler's `set_nodelay` |

mod address;
mod admission;
mod apart;
mod concurrency;
pub mod config;
mod coredump;
mod events;
mod forked;
mod handler;
pub mod harden;
mod outcome;
mod poll;
mod private;
mod recording;
mod request;
mod sandbox;
mod server;
mod sync;
mod testing;
mod text;

#[doc(hidden)]
pub mod cli;
#[cfg(feature = "parts")]
#[doc(hidden)]
pub mod parts;

pub use address::{AddressError, Endpoint, Transport};
pub use handler::{
    BaseRequestHandler, CoreDump, Ended, Failure, Handled, HandlerError, Kind, LoadError, LoadInfo,
    Loader, RequestHandler, WasmHandler, handler_fn, native,
};
pub use outcome::Outcome;
pub use request::{InMemory, IoError, PeerCredentials, Request};
pub use sandbox::{Cache, CacheError, Snapshot, Ticker};
pub use server::{
    BindError, BindOptions, DefaultHooks, Server, ServerError, ServerHooks, ServerOptions,
    ShutdownHandle, SocketFile,
};
pub use testing::{TestFailure, TestServer};
