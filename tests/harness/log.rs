//! The JSON log of a server, as it is written: read on a thread, and waited for.

use super::PATIENCE;
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

/// Lines of a log. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    grown: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    /// The lines that are JSON objects.
    events: Vec<Value>,
    ended: bool,
}

/// An event `request`: a request has ended.
pub(crate) fn is_request(event: &Value) -> bool {
    event["event"] == "request"
}

/// An event `guest`: a guest printed a line.
pub(crate) fn is_guest(event: &Value) -> bool {
    event["event"] == "guest"
}

impl Log {
    /// Reads `source` to its end, on a thread of its own.
    pub(crate) fn follow(source: impl Read + Send + 'static) -> Self {
        let log = Self::default();
        let writer = log.clone();
        thread::spawn(move || {
            for line in BufReader::new(source).split(b'\n') {
                let Ok(line) = line else { break };
                writer.push(String::from_utf8_lossy(&line).into_owned());
            }
            writer.0.state.lock().unwrap().ended = true;
            writer.0.grown.notify_all();
        });
        log
    }

    fn push(&self, line: String) {
        let mut state = self.0.state.lock().unwrap();
        if let Ok(event @ Value::Object(_)) = serde_json::from_str(&line) {
            state.events.push(event);
        }
        state.lines.push(line);
        self.0.grown.notify_all();
    }

    /// The first `n` events that `wanted` takes, old ones included; waits until there are as many.
    pub(crate) fn wait_for(&self, n: usize, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let until = Instant::now() + PATIENCE;
        let mut state = self.0.state.lock().unwrap();
        loop {
            let found: Vec<Value> = state
                .events
                .iter()
                .filter(|e| wanted(e))
                .take(n)
                .cloned()
                .collect();
            if found.len() == n {
                return found;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(
                !state.ended && !left.is_zero(),
                "{} of {n} events came; the log {}:\n{}",
                found.len(),
                if state.ended { "ended" } else { "so far" },
                shown(&state.lines),
            );
            state = self.0.grown.wait_timeout(state, left).unwrap().0;
        }
    }

    /// The events so far.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.0.state.lock().unwrap().events.clone()
    }

    /// Whether whoever wrote it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.0.state.lock().unwrap().ended
    }

    /// The lines so far from the first one that a request is behind.
    pub(crate) fn lines_of_requests(&self) -> Vec<String> {
        let of_a_request = |line: &String| {
            ["request", "guest"]
                .iter()
                .any(|event| line.contains(&format!(r#""event":"{event}""#)))
        };
        self.lines()
            .into_iter()
            .skip_while(|line| !of_a_request(line))
            .collect()
    }

    /// The lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.state.lock().unwrap().lines.clone()
    }

    /// All lines, once whoever wrote them has ended.
    pub(crate) fn whole(&self) -> Vec<String> {
        let state = self.0.state.lock().unwrap();
        let (state, _) = self
            .0
            .grown
            .wait_timeout_while(state, PATIENCE, |state| !state.ended)
            .unwrap();
        assert!(state.ended, "the log goes on:\n{}", shown(&state.lines));
        state.lines.clone()
    }

    /// Waits for a line of any form that `wanted` takes.
    pub(crate) fn wait_for_line(&self, wanted: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + PATIENCE;
        let mut state = self.0.state.lock().unwrap();
        loop {
            if let Some(line) = state.lines.iter().find(|line| wanted(line)) {
                return line.clone();
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(
                !state.ended && !left.is_zero(),
                "that line did not come:\n{}",
                shown(&state.lines)
            );
            state = self.0.grown.wait_timeout(state, left).unwrap().0;
        }
    }
}

/// The end of a log, for a person who looks at a failed test.
fn shown(lines: &[String]) -> String {
    let from = lines.len().saturating_sub(40);
    lines[from..].iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "  {line}");
        text
    })
}
