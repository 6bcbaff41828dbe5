//! `rfile` and `wfile` against a model of Python's: whatever pieces the network cuts the bytes into, and
//! whatever calls fail in between, a handler sees what `BufferedReader` over a `BytesIO` would show it.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Connection, Request, lock};
use crate::address::{Endpoint, Transport};
use crate::config::Limits;

/// What the system makes of one call.
#[derive(Clone, Copy, Debug)]
enum Call {
    /// At most so many bytes go through.
    Short(usize),
    /// A signal came (EINTR).
    Interrupted,
    /// It fails, and the next may not (ENOBUFS).
    Fails,
}

/// A connection over a bad network. What it should do is repeated as often as needed.
struct Flaky {
    input: Vec<u8>,
    calls: Vec<Call>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    call: usize,
    received: usize,
    sent: Vec<u8>,
}

impl Flaky {
    /// How many bytes of so many go through.
    fn goes_through(&self, state: &mut State, wanted: usize) -> io::Result<usize> {
        let call = self.calls[state.call % self.calls.len()];
        state.call += 1;
        match call {
            Call::Short(most) => Ok(wanted.min(most)),
            Call::Interrupted => Err(io::ErrorKind::Interrupted.into()),
            Call::Fails => Err(io::Error::from_raw_os_error(nix::libc::ENOBUFS)),
        }
    }
}

impl Connection for Flaky {
    fn recv(&self, buf: &mut [u8], _timeout: Option<Duration>) -> io::Result<usize> {
        let mut state = lock(&self.state);
        let rest = &self.input[state.received..];
        let count = self.goes_through(&mut state, buf.len().min(rest.len()))?;
        buf[..count].copy_from_slice(&rest[..count]);
        state.received += count;
        Ok(count)
    }

    fn send(&self, buf: &[u8], _timeout: Option<Duration>) -> io::Result<usize> {
        let mut state = lock(&self.state);
        let count = self.goes_through(&mut state, buf.len())?;
        state.sent.extend_from_slice(&buf[..count]);
        Ok(count)
    }

    fn input(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn server_address(&self) -> Endpoint {
        Endpoint::Unnamed
    }
}

/// What a handler does.
#[derive(Clone, Debug)]
enum Step {
    Read(usize),
    ReadLine(usize),
    Write(Vec<u8>),
}

/// Python's `BytesIO`, as far as it is asked for here.
struct Model<'a> {
    rest: &'a [u8],
}

impl<'a> Model<'a> {
    /// `readline(size)`.
    fn readline(&mut self, size: usize) -> &'a [u8] {
        let newline = self.rest.iter().position(|byte| *byte == b'\n');
        let line = newline.map_or(self.rest.len(), |at| at + 1);
        self.read(line.min(size))
    }

    /// `read(size)`.
    fn read(&mut self, size: usize) -> &'a [u8] {
        let (read, rest) = self.rest.split_at(size.min(self.rest.len()));
        self.rest = rest;
        read
    }
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let call = prop_oneof![
        6 => (1..40_usize).prop_map(Call::Short),
        2 => Just(Call::Short(100_000)),
        1 => Just(Call::Interrupted),
        1 => Just(Call::Fails),
    ];
    // One at least that goes through, or nothing ever would.
    vec(call, 0..12).prop_map(|mut calls| {
        calls.push(Call::Short(7));
        calls
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = || vec(any::<u8>(), 0..100);
    vec(
        prop_oneof![
            (0..50_usize).prop_map(Step::Read),
            (0..50_usize).prop_map(Step::ReadLine),
            Just(Step::ReadLine(20_000)),
            bytes().prop_map(Step::Write),
        ],
        0..40,
    )
}

/// Lines, most of them short; together less than what an error may lose of a line.
fn input() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![4 => any::<u8>(), 1 => Just(b'\n')], 0..2_000)
}

proptest! {
    #[test]
    fn a_handler_sees_what_bytes_io_would_show_it(
        input in input(),
        calls in calls(),
        steps in steps(),
    ) {
        let state = Arc::<Mutex<State>>::default();
        let connection = Flaky { input: input.clone(), calls, state: state.clone() };
        let request = Request::new(
            1,
            "test".into(),
            Transport::Tcp,
            Endpoint::Unnamed,
            Box::new(connection),
            &Limits::default(),
        );
        let mut model = Model { rest: &input };
        let mut written = Vec::new();
        for step in steps {
            match step {
                // As soon as one byte is there (Python: `read1`); none where none was asked for, and at the end.
                Step::Read(size) => {
                    let mut buffer = vec![0; size];
                    if let Ok(count) = request.read(&mut buffer) {
                        prop_assert!(count > 0 || size == 0 || model.rest.is_empty());
                        prop_assert_eq!(&buffer[..count], model.read(count));
                    }
                }
                Step::ReadLine(size) => {
                    let mut buffer = vec![0; size];
                    // After an error nothing of the line is lost.
                    if let Ok(count) = request.read_line(&mut buffer) {
                        prop_assert_eq!(&buffer[..count], model.readline(size));
                    }
                }
                Step::Write(bytes) => {
                    let before = request.bytes_out();
                    let result = request.write(&bytes);
                    let sent = usize::try_from(request.bytes_out() - before).unwrap();
                    prop_assert!(result.is_err() || sent == bytes.len());
                    // Where it failed, what went out is the beginning, and is counted.
                    written.extend_from_slice(&bytes[..sent]);
                }
            }
            prop_assert_eq!(&lock(&state).sent, &written);
            let read = input.len() - model.rest.len();
            prop_assert_eq!(request.bytes_in(), read as u64);
        }
    }
}
