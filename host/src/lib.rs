//! Python's `socketserver`, where the request handler is a WebAssembly file in a sandbox of its own.
//!
//! ```text
//!  client ─▶ get_request ─▶ verify_request ─▶ process_request ─▶ finish_request ─▶ shutdown_request ─▶ close_request
//!            server/{tcp,     ServerHooks       concurrency/       handler.rs        request/stream.rs
//!            udp,unix}                          {serial,threads}     setup
//!                                                                    handle ◀─▶ rfile / wfile ◀─▶ socket
//!                                                                    finish      request/{stream,datagram}
//!                                                                      ▲
//!                                       handler/{module,component}    three kinds of .wasm
//!                                       sandbox/{engine,memory,wasi}  one way to be held
//! ```
//!
//! No async: a request is a thread, or the loop itself, and every blocking call in it carries a time
//! limit. `handler/` knows nothing of sockets, `server/` nothing of Wasm, `concurrency/` neither;
//! `sandbox/` is the only place that configures the Wasm engine.
//!
//! # Where Python's names are
//!
//! | Python | here |
//! |---|---|
//! | `BaseServer` | [`Server`], in `server.rs` |
//! | `serve_forever`, `handle_request`, `timeout` | [`Server::serve_forever`], [`Server::handle_request`], [`Server::timeout`] |
//! | `shutdown` | [`ShutdownHandle::shutdown`], in `server/control.rs` |
//! | `server_address`, `fileno` | [`Server::server_address`], [`Server`]'s `AsFd` |
//! | `server_bind`, `server_activate`, `bind_and_activate`, `server_close` | [`bind_and_activate`], in `server/bind.rs`; dropping the server closes it |
//! | `request_queue_size`, `allow_reuse_address`, `allow_reuse_port`, `max_packet_size`, `address_family` | [`BindOptions`]; the family is the address's |
//! | `TCPServer`, `UDPServer`, `UnixStreamServer`, `UnixDatagramServer` | `server/tcp.rs`, `server/udp.rs`, `server/unix.rs` |
//! | `get_request` | [`Listener::get_request`] |
//! | `verify_request`, `handle_error`, `handle_timeout`, `service_actions` | [`ServerHooks`] |
//! | `process_request`, `ThreadingMixIn` | [`Concurrency::process_request`], [`Threads`], [`Serial`] |
//! | `process_request_thread` | [`Service`], in `server/service.rs` |
//! | `daemon_threads`, `block_on_close` | [`InFlight::join`] waits for a grace, [`InFlight::cut`] ends the rest |
//! | `finish_request`, `RequestHandlerClass` | [`RequestHandler::finish_request`], [`WasmHandler`] |
//! | `shutdown_request`, `close_request` | `request/stream.rs` and `server/service.rs` |
//! | `BaseRequestHandler`: `setup`, `handle`, `finish` | the handler's exports, called by `handler/life.rs` |
//! | `StreamRequestHandler`, `DatagramRequestHandler`: `rfile`, `wfile` | `request/stream.rs`, `request/datagram.rs` |
//! | `rbufsize`, `wbufsize` | guests buffer what they read; what they write goes out at once |
//! | `disable_nagle_algorithm` | `--nodelay`, or a handler's `set_nodelay` |
//! | `ForkingMixIn`, `max_children`, `collect_children` | not yet |

mod address;
mod concurrency;
pub mod config;
mod events;
mod handler;
mod outcome;
mod poll;
mod request;
mod sandbox;
mod server;

#[doc(hidden)]
pub mod cli;

pub use address::{AddressError, Endpoint, ListenAddress, Place, Transport};
pub use concurrency::{Concurrency, InFlight, Permit, Process, Serial, Threads};
pub use handler::{
    Ended, Failure, Handled, Kind, LoadError, LoadInfo, Loader, RequestHandler, WasmHandler,
};
pub use outcome::Outcome;
pub use request::{Connection, InMemory, IoError, PeerCredentials, Request};
pub use sandbox::{Cache, CacheError};
pub use server::{
    Accepted, BindError, BindOptions, DefaultHooks, Listener, Quota, Server, ServerHooks, Service,
    ShutdownHandle, bind_and_activate,
};
