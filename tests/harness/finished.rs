//! The built program, run to its end.

use super::{Log, PATIENCE_TO_COMPILE, cache_home, program};
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A program that ran to its end.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Exit code, or 128 + the signal that ended it.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) stdout: Vec<u8>,
    /// Standard error.
    pub(crate) stderr: String,
}

impl Finished {
    /// It failed as a program should that is given something wrong: with this exit code, nothing on
    /// standard output, one line `error:`, all of these words, and no panic.
    #[track_caller]
    pub(crate) fn is_an_error(&self, code: i32, words: &[&str]) {
        assert!(self.stdout.is_empty(), "{self:?}");
        self.fails(code, words);
    }

    /// `check` says why a file would not be served; on standard output it tells of the file all the same.
    #[track_caller]
    pub(crate) fn is_a_refusal(&self, words: &[&str]) {
        assert!(!self.stdout.is_empty(), "{self:?}");
        self.fails(1, words);
    }

    #[track_caller]
    fn fails(&self, code: i32, words: &[&str]) {
        let errors = self
            .stderr
            .lines()
            .filter(|line| line.starts_with("error:"))
            .count();
        assert_eq!(errors, 1, "one `error:` line expected: {self:?}");
        assert_eq!(self.code, code, "{self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} expected in: {self:?}");
        }
    }

    /// It did what it was asked to do.
    #[track_caller]
    pub(crate) fn is_a_success(&self) {
        assert_eq!(self.code, 0, "{self:?}");
    }

    /// Standard output as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).expect("text")
    }
}

/// Runs the program to its end with these arguments and this standard input.
pub(crate) fn sandsock<A: AsRef<OsStr>>(args: &[A], stdin: &[u8]) -> Finished {
    let mut command = Command::new(program());
    command
        .args(args)
        .env("XDG_CACHE_HOME", cache_home())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    finish(command, stdin)
}

/// Runs a command to its end; its standard output and standard error are pipes.
pub(super) fn finish(mut command: Command, input: &[u8]) -> Finished {
    let mut child = command.spawn().expect("the program starts");
    if let Some(mut stdin) = child.stdin.take() {
        let input = input.to_vec();
        // An error here is a program that ended without reading it.
        thread::spawn(move || stdin.write_all(&input).ok());
    }
    let mut stdout = child.stdout.take().expect("a pipe");
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        stdout.read_to_end(&mut bytes).expect("a pipe");
        bytes
    });
    let log = Log::follow(child.stderr.take().expect("a pipe"));
    let Some(status) = wait(&mut child, PATIENCE_TO_COMPILE) else {
        let _ = child.kill();
        panic!("it does not end:\n{}", log.lines().join("\n"));
    };
    Finished {
        code: status
            .code()
            .unwrap_or_else(|| 128 + status.signal().expect("a code or a signal")),
        stdout: reader.join().expect("a reader that does not fail"),
        stderr: log.whole().join("\n"),
    }
}

/// Waits until a child ends; none where it does not.
pub(super) fn wait(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let until = Instant::now() + patience;
    while Instant::now() < until {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(2));
    }
    None
}
