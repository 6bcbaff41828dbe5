//! What a step of a handler returns, and how an error reads in the log.

use std::any::Any;
use std::{fmt, io};

/// Anything that went wrong: made by `?` from every error, and by `into()` from a text.
///
/// Shown, it is the error's text and after it, each behind a colon, those of what caused it: as in
/// the log. An [`io::Error`] of the system is shown by its kind and number.
pub struct Error(Cause);

/// What a step of a [`Handler`](crate::Handler) returns.
pub type Result<T = ()> = std::result::Result<T, Error>;

type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// The first two need no allocator: a handler that has no other errors is spared one.
enum Cause {
    Text(&'static str),
    Io(io::Error),
    Other(BoxedError),
}

impl Error {
    /// The error as what it was made from, if it was an `E`.
    pub fn downcast_ref<E: std::error::Error + 'static>(&self) -> Option<&E> {
        match &self.0 {
            Cause::Text(_) => None,
            Cause::Io(error) => (error as &dyn Any).downcast_ref(),
            Cause::Other(error) => error.downcast_ref(),
        }
    }
}

impl<E: Into<BoxedError> + 'static> From<E> for Error {
    #[inline]
    fn from(error: E) -> Self {
        let mut error = Some(error);
        if let Some(error) = take(&mut error) {
            return Self(Cause::Io(error));
        }
        if let Some(text) = take(&mut error) {
            return Self(Cause::Text(text));
        }
        match error {
            Some(error) => Self(Cause::Other(error.into())),
            None => Self(Cause::Text("")),
        }
    }
}

/// What is there, if it is a `T`. The compiler knows the answer, and drops the branch not taken.
#[inline]
fn take<T: 'static>(there: &mut dyn Any) -> Option<T> {
    there.downcast_mut::<Option<T>>()?.take()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Cause::Text(text) => f.write_str(text),
            Cause::Io(error) => show_io(error, f),
            Cause::Other(error) => show(error.as_ref(), f),
        }
    }
}

/// As [`Display`](fmt::Display): it is what a failed test shows.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn show(error: &(dyn std::error::Error + 'static), f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{error}")?;
    let mut source = error.source();
    while let Some(cause) = source {
        f.write_str(": ")?;
        write!(f, "{cause}")?;
        source = cause.source();
    }
    Ok(())
}

/// By hand, because the standard library's way makes a small handler several times as large: it asks
/// the C library for the text, allocates it, and can panic.
fn show_io(error: &io::Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match (error.raw_os_error(), error.get_ref()) {
        (Some(MESSAGE_TOO_LONG), _) if cfg!(target_family = "wasm") => f.write_str(TOO_LONG),
        (Some(code), _) => write!(f, "{} (os error {code})", error.kind()),
        (None, Some(inner)) => show(inner, f),
        (None, None) => write!(f, "{}", error.kind()),
    }
}

/// WASI's errno for a reply that is longer than a datagram: [`io::ErrorKind`] has no word for it.
const MESSAGE_TOO_LONG: i32 = 35;

const TOO_LONG: &str = "message too long for a datagram";

pub(crate) fn message_too_long() -> io::Error {
    if cfg!(target_family = "wasm") {
        io::Error::from_raw_os_error(MESSAGE_TOO_LONG)
    } else {
        io::Error::other(TOO_LONG)
    }
}

#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_an_error() {
        assert_eq!(Error::from("no such user").to_string(), "no such user");
        assert_eq!(
            Error::from(format!("no user {}", 7)).to_string(),
            "no user 7"
        );
    }

    #[test]
    fn the_question_mark_takes_any_error() {
        fn parse(text: &str) -> Result<u8> {
            Ok(text.parse()?)
        }
        let error = parse("x").unwrap_err();
        assert_eq!(error.to_string(), "invalid digit found in string");
        assert!(error.downcast_ref::<std::num::ParseIntError>().is_some());
        assert!(error.downcast_ref::<io::Error>().is_none());
    }

    #[test]
    fn an_io_error_keeps_its_kind() {
        let error = Error::from(io::Error::from(io::ErrorKind::TimedOut));
        assert_eq!(error.to_string(), "timed out");
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        assert_eq!(kind, Some(io::ErrorKind::TimedOut));
    }

    #[test]
    fn an_io_error_of_the_system_shows_its_number() {
        let missing = std::fs::read("/no/such/file").unwrap_err();
        assert_eq!(
            Error::from(missing).to_string(),
            "entity not found (os error 2)"
        );
    }

    #[test]
    fn a_reply_too_long_says_so() {
        let text = Error::from(message_too_long()).to_string();
        assert_eq!(text, "message too long for a datagram");
    }

    #[test]
    fn the_log_names_what_caused_an_error() {
        #[derive(Debug)]
        struct Outer(io::Error);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("cannot answer")
            }
        }
        impl std::error::Error for Outer {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(&self.0)
            }
        }
        let direct = Error::from(Outer(message_too_long()));
        assert_eq!(
            direct.to_string(),
            "cannot answer: message too long for a datagram"
        );
        let wrapped = Error::from(io::Error::other(Outer(message_too_long())));
        assert_eq!(
            wrapped.to_string(),
            "cannot answer: message too long for a datagram"
        );
    }
}
