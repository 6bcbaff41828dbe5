//! Request handlers for sandsock, in Rust.
//!
//! A handler is what Python's `socketserver` calls a `StreamRequestHandler`: it reads
//! [`rfile`](Request::rfile), writes [`wfile`](Request::wfile), and does not know whether a TCP
//! connection, a Unix stream or a datagram stands behind them. Each request has an instance of its
//! own, with fresh memory.
//!
//! ```
//! use std::io::{BufRead, Write};
//!
//! use sandsock_guest::{Handler, Request, Result};
//!
//! /// Answers a line with a greeting.
//! #[derive(Default)]
//! struct Hello;
//!
//! impl Handler for Hello {
//!     fn handle(&mut self, request: &mut Request) -> Result {
//!         let mut line = String::new();
//!         request.rfile.read_line(&mut line)?;
//!         println!("{}", line.trim_end());
//!         request.wfile.write_all("你好".as_bytes())?;
//!         Ok(())
//!     }
//! }
//!
//! sandsock_guest::handler!(Hello);
//!
//! # fn main() -> Result {
//! let mut request = Request::in_memory("hello,server\n");
//! sandsock_guest::test::run::<Hello>(&mut request)?;
//! assert_eq!(request.written(), "你好".as_bytes());
//! # Ok(())
//! # }
//! ```
//!
//! The same source builds three ways:
//!
//! | target | gives |
//! |---|---|
//! | `wasm32-wasip1` | a handler of kind *module*: the fast path |
//! | `wasm32-wasip2` | a handler of kind *component* |
//! | the machine's own | unit tests: [`Request::in_memory`] is the client, [`test::run`] the server |
//!
//! What a handler prints is the server's log, a line an event. An error that it returns is logged,
//! too, with what caused it, and the client sees its connection close. A panic ends the instance.
//!
//! | file | concept |
//! |---|---|
//! | `handler` | [`Handler`], and [`handler!`], which exports one |
//! | `request` | [`Request`]: what is known of the request |
//! | `rfile`, `wfile` | what the client sends, and what it receives |
//! | `error` | what a step returns, and how it reads in the log |
//! | `sys` | the host, one file for each of the three builds |
//! | `export` | what the host calls, in a Wasm build |
//! | `in_memory`, `test` | a client and a server for unit tests, in a native build |

#[cfg(all(target_family = "wasm", not(any(target_env = "p1", target_env = "p2"))))]
compile_error!(
    "a sandsock handler is built for wasm32-wasip1 (module) or wasm32-wasip2 (component)"
);

mod error;
mod handler;
mod request;
mod rfile;
mod sys;
mod wfile;

#[cfg(target_family = "wasm")]
mod export;
#[cfg(not(target_family = "wasm"))]
mod in_memory;
#[cfg(not(target_family = "wasm"))]
pub mod test;

pub use error::{Error, Result};
pub use handler::Handler;
pub use request::{Request, Transport};
pub use rfile::RFile;
pub use wfile::WFile;

/// What [`handler!`] expands to; not for use by hand.
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod __private {
    pub use crate::export::{Slot, finish, handle, setup};
    pub use crate::sys::Outcome;
    #[cfg(target_env = "p2")]
    pub use crate::sys::bindings;
}

/// The examples of the README are tested as this crate's own are.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
