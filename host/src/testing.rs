//! A server for tests: a handler on a free port, for as long as the test wants it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::handler::{Ended, RequestHandler};
use crate::outcome::Outcome;
use crate::request::{Request, lock};
use crate::server::{Server, ServerError, ServerHooks, ServerOptions, ShutdownHandle};

/// How long a test waits for what must come: it is reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// A handler that is served on `127.0.0.1`, at a port that nobody else has. Dropping it ends it.
///
/// In a crate of one's own, with `sandsock` as a dev-dependency, this is a test of what clients meet: the compiled
/// file, a real socket, and the limits that `sandsock serve` has.
///
/// ```no_run
/// use sandsock::{Loader, TestServer, WasmHandler};
///
/// // After `cargo build --target wasm32-wasip1 --release`.
/// let file = "target/wasm32-wasip1/release/hello.wasm";
/// let server = TestServer::start(WasmHandler::load(&Loader::new(file))?)?;
/// assert_eq!("你好".as_bytes(), server.ask("hello,server\n")?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A client can be whatever speaks to a socket, and what has failed is known at the end:
///
/// ```
/// use std::io::{Read, Write};
/// use std::net::TcpStream;
/// use sandsock::{Loader, Outcome, TestServer, WasmHandler};
///
/// // Writes back up to 64 bytes; a `!` traps.
/// let file = br#"(module
///   (import "rfile" "read" (func $read (param i32 i32) (result i32)))
///   (import "wfile" "write" (func $write (param i32 i32) (result i32)))
///   (memory (export "memory") 1)
///   (func (export "handle")
///     (local $read i32)
///     (local.set $read (call $read (i32.const 0) (i32.const 64)))
///     (if (i32.eq (i32.load8_u (i32.const 0)) (i32.const 33)) (then unreachable))
///     (drop (call $write (i32.const 0) (local.get $read)))))"#;
/// let server = TestServer::start(WasmHandler::from_bytes(&Loader::new("echo.wat"), file)?)?;
///
/// let mut client = TcpStream::connect(server.address())?;
/// client.write_all(b"hello")?;
/// let mut reply = String::new();
/// client.read_to_string(&mut reply)?;
/// assert_eq!("hello", reply);
///
/// assert_eq!(b"", &*server.ask("!")?);
/// let failures = server.stop();
/// assert_eq!(Outcome::Trap, failures[0].outcome);
/// assert!(failures[0].detail.contains("unreachable"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TestServer {
    address: SocketAddr,
    is_udp: bool,
    failures: Arc<Failures>,
    shutdown: ShutdownHandle,
    serving: Option<JoinHandle<()>>,
}

/// A request that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestFailure {
    /// The one word for it.
    pub outcome: Outcome,
    /// What failed, and where: the log's text, of which the client sees nothing.
    pub detail: String,
}

#[derive(Default)]
struct Failures(Mutex<Vec<TestFailure>>);

impl ServerHooks for Failures {
    fn handle_error(&self, _request: &Request, ended: &Ended) {
        lock(&self.0).push(TestFailure {
            outcome: ended.outcome,
            detail: ended.detail.clone().unwrap_or_default(),
        });
    }
}

impl TestServer {
    /// Over TCP, as `sandsock serve` does by default.
    ///
    /// # Errors
    ///
    /// [`ServerError`].
    pub fn start(handler: impl RequestHandler + 'static) -> Result<Self, ServerError> {
        Self::with_options("tcp", handler, ServerOptions::default())
    }

    /// Over UDP.
    ///
    /// # Errors
    ///
    /// [`ServerError`].
    pub fn start_udp(handler: impl RequestHandler + 'static) -> Result<Self, ServerError> {
        Self::with_options("udp", handler, ServerOptions::default())
    }

    /// Over `tcp` or `udp`, with options of the test's own; their hooks are the server's.
    ///
    /// # Errors
    ///
    /// [`ServerError`]; another transport has no port.
    pub fn with_options(
        transport: &str,
        handler: impl RequestHandler + 'static,
        options: ServerOptions,
    ) -> Result<Self, ServerError> {
        let failures = Arc::new(Failures::default());
        let options = ServerOptions {
            hooks: failures.clone(),
            ..options
        };
        let at = format!("{transport}://127.0.0.1:0");
        let mut server = Server::with_options(&at, handler, options)?;
        let bound = server.server_address().rsplit('/').next();
        let address = bound
            .and_then(|address| address.parse().ok())
            .ok_or_else(|| io::Error::other("a test's server is one of TCP or UDP"))?;
        let shutdown = server.shutdown_handle();
        let serving = thread::Builder::new()
            .name("test-server".to_owned())
            .spawn(move || {
                // Clients see that it has ended.
                let _ = server.serve_forever(None);
            })?;
        Ok(TestServer {
            address,
            is_udp: transport == "udp",
            failures,
            shutdown,
            serving: Some(serving),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A client's whole request: sends all of `bytes` and nothing more, and returns everything that comes back; of
    /// UDP, the first packet.
    ///
    /// # Errors
    ///
    /// What the system says; `WouldBlock` where nothing comes for a minute.
    pub fn ask(&self, bytes: impl AsRef<[u8]>) -> io::Result<Vec<u8>> {
        if self.is_udp {
            let client = UdpSocket::bind("127.0.0.1:0")?;
            client.set_read_timeout(Some(PATIENCE))?;
            client.send_to(bytes.as_ref(), self.address)?;
            let mut packet = vec![0; 1 << 16];
            let length = client.recv(&mut packet)?;
            packet.truncate(length);
            return Ok(packet);
        }
        let mut client = TcpStream::connect(self.address)?;
        client.set_read_timeout(Some(PATIENCE))?;
        client.write_all(bytes.as_ref())?;
        client.shutdown(Shutdown::Write)?;
        let mut reply = Vec::new();
        client.read_to_end(&mut reply)?;
        Ok(reply)
    }

    /// Lets the requests in flight end, and says which of all did not succeed, in the order of their ends.
    pub fn stop(mut self) -> Vec<TestFailure> {
        self.end();
        lock(&self.failures.0).clone()
    }

    fn end(&mut self) {
        self.shutdown.shutdown();
        if let Some(serving) = self.serving.take() {
            // A panic of the loop has been told by the panic hook.
            let _ = serving.join();
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.end();
    }
}
