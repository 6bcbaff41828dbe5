//! Handlers in this program's own language, where a `.wasm` could stand: for tests, and for what an
//! embedder trusts. They run without a sandbox: the deadline and the idle timeout bound what they read,
//! write and sleep through their [`Request`], and nothing else does. A panic is what a trap is to a
//! `.wasm`: it ends the request, `finish` does not run, and the server goes on.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::life::{self, Step, StepError};
use super::{Failure, Handled, RequestHandler, panic_text};
use crate::request::Request;

/// What a handler reports (Python: what it raises). Its text is for the log and never for the client.
pub type HandlerError = Box<dyn Error + Send + Sync>;

/// Python's `BaseRequestHandler`: made anew for each request. `finish` runs where `setup` succeeded, also
/// after an error of `handle`, but not after a panic.
pub trait BaseRequestHandler {
    /// Before [`BaseRequestHandler::handle`].
    ///
    /// # Errors
    ///
    /// Whatever the handler reports; nothing more of it runs then.
    fn setup(&mut self, _request: &Request) -> Result<(), HandlerError> {
        Ok(())
    }

    /// Serves the request.
    ///
    /// # Errors
    ///
    /// Whatever the handler reports.
    fn handle(&mut self, request: &Request) -> Result<(), HandlerError>;

    /// After [`BaseRequestHandler::handle`].
    ///
    /// # Errors
    ///
    /// Whatever the handler reports.
    fn finish(&mut self, _request: &Request) -> Result<(), HandlerError> {
        Ok(())
    }
}

/// A handler from a type: `make` is called for each request, as Python calls `RequestHandlerClass`.
///
/// ```
/// use std::io::{BufRead, Write};
/// use std::sync::Arc;
/// use sandsock::{BaseRequestHandler, HandlerError, InMemory, Request, RequestHandler, native};
///
/// /// Says how many lines the client has sent.
/// #[derive(Default)]
/// struct Count(usize);
///
/// impl BaseRequestHandler for Count {
///     fn handle(&mut self, request: &Request) -> Result<(), HandlerError> {
///         for line in request.rfile().lines() {
///             line?;
///             self.0 += 1;
///         }
///         Ok(())
///     }
///
///     fn finish(&mut self, request: &Request) -> Result<(), HandlerError> {
///         Ok(write!(request.wfile(), "{} lines", self.0)?)
///     }
/// }
///
/// let handler = native(Count::default);
/// let connection = InMemory::new("one\ntwo\n");
/// let request = Request::in_memory(connection.clone(), &Default::default());
/// assert!(handler.finish_request(&Arc::new(request)).result.is_ok());
/// assert_eq!(b"2 lines", &*connection.output());
/// ```
pub fn native<H: BaseRequestHandler>(
    make: impl Fn() -> H + Send + Sync + 'static,
) -> impl RequestHandler {
    Native(make)
}

/// A handler from a function: all that it does is `handle`. [`Server`](crate::Server) has an example.
pub fn handler_fn(
    handle: impl Fn(&Request) -> Result<(), HandlerError> + Send + Sync + 'static,
) -> impl RequestHandler {
    let handle = Arc::new(handle);
    Native(move || Function(handle.clone()))
}

struct Native<M>(M);

impl<H: BaseRequestHandler, M: Fn() -> H + Send + Sync> RequestHandler for Native<M> {
    fn finish_request(&self, request: &Arc<Request>) -> Handled {
        let run = || {
            let mut handler = (self.0)();
            life::run(|step| {
                let result = match step {
                    Step::Setup => handler.setup(request),
                    Step::Handle => handler.handle(request),
                    Step::Finish => handler.finish(request),
                };
                result.map_err(|error| StepError::Reported(error.to_string()))
            })
        };
        // Of what it may leave half done, its request ends, and its own state is the embedder's business.
        let result = match catch_unwind(AssertUnwindSafe(run)) {
            Ok(result) => result.map_err(|error| match error {
                StepError::Reported(text) => Failure::Reported(text),
                StepError::NotBegun(text) => Failure::NotBegun(text),
                StepError::Ended(error) | StepError::NotSetUp(error) => {
                    Failure::Host(format!("{error:#}"))
                }
            }),
            Err(panic) => Err(Failure::Trap(format!("panic: {}", panic_text(&*panic)))),
        };
        Handled {
            result,
            memory_peak: 0,
            coredump: None,
        }
    }
}

struct Function<F>(Arc<F>);

impl<F: Fn(&Request) -> Result<(), HandlerError>> BaseRequestHandler for Function<F> {
    fn handle(&mut self, request: &Request) -> Result<(), HandlerError> {
        (self.0)(request)
    }
}
