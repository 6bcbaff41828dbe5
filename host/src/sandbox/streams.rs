//! A component's standard input, output and error: on the connection and on the log.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

use super::wait::{self, trap};
use crate::request::{IoError, LogStream, Request};

/// The most that is read or written in one call of a stream, in bytes.
const CHUNK: usize = 64 << 10;

/// A component's standard input: `rfile`, for kind command.
pub(super) struct Input(pub(super) Arc<Request>);

impl IsTerminal for Input {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for Input {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        // For WASI 0.3, which is not linked.
        Box::new(tokio::io::empty())
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(Input(self.0.clone()))
    }
}

#[async_trait]
impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let is_there = || {
            let is_there = self.0.wait_readable(Some(Duration::ZERO))?;
            Ok(if is_there { vec![0] } else { Vec::new() })
        };
        match self.0.waited(is_there) {
            Ok(there) if there.is_empty() => Ok(Bytes::new()),
            Ok(_) => self.receive(size),
            Err(error) => Err(stream_error(error)),
        }
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.receive(size)
    }
}

impl Input {
    fn receive(&mut self, size: usize) -> StreamResult<Bytes> {
        if size == 0 {
            return Ok(Bytes::new());
        }
        let mut buf = vec![0; size.min(CHUNK)];
        match self.0.read(&mut buf) {
            Ok(0) => Err(StreamError::Closed),
            Ok(count) => {
                buf.truncate(count);
                Ok(buf.into())
            }
            Err(error) => Err(stream_error(error)),
        }
    }
}

#[async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        std::future::poll_fn(|_| match self.0.wait_readable(Some(Duration::ZERO)) {
            Ok(false) => {
                wait::for_input();
                std::task::Poll::Pending
            }
            // What ends a read makes it ready: the read says what it was.
            Ok(true) | Err(_) => std::task::Poll::Ready(()),
        })
        .await;
    }
}

/// A component's standard output and standard error.
pub(super) enum Output {
    /// `wfile`, for kind command.
    Wfile(Arc<Request>),
    Log(Arc<Request>, LogStream),
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // For WASI 0.3, which is not linked.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(match self {
            Output::Wfile(request) => Output::Wfile(request.clone()),
            Output::Log(request, stream) => Output::Log(request.clone(), *stream),
        })
    }
}

#[async_trait]
impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        match self {
            Output::Wfile(request) => request.write(&bytes).map_err(stream_error),
            Output::Log(request, stream) => request.print(*stream, &bytes).map_err(stream_error),
        }
    }

    fn flush(&mut self) -> StreamResult<()> {
        // A command's datagram is one reply: its flushes are the language's, not the handler's.
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(CHUNK)
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

fn stream_error(error: IoError) -> StreamError {
    match error {
        IoError::Ended => StreamError::Trap(trap(error)),
        IoError::BrokenPipe => StreamError::Closed,
        other => StreamError::LastOperationFailed(wasmtime::Error::new(other)),
    }
}
