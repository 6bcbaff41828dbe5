//! A server of the benchmark: started, until it says where it listens; ended, by its number.

use crate::process::Processes;
use anyhow::{Context, Result, anyhow, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a server may take until it listens: an interpreter of 18 MB may have to be compiled first.
const TO_LISTEN: Duration = Duration::from_secs(120);
/// How long it may take to end once it is told to.
const TO_END: Duration = Duration::from_secs(20);

/// It is killed where it is dropped without having been stopped.
pub struct Server {
    child: Child,
    /// Open until the end: a server that says more must not be killed by it.
    _stdout: BufReader<ChildStdout>,
    said: File,
    address: SocketAddr,
    took: Duration,
    line: String,
}

impl Server {
    /// Starts it and waits for its first line: `listening tcp://127.0.0.1:4711`, or a port alone.
    pub fn start(command: &mut Command) -> Result<Self> {
        let line = shown(command);
        let mut said = tempfile::tempfile().context("no temporary file")?;
        let began = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(said.try_clone()?)
            .spawn()
            .with_context(|| format!("cannot start `{line}`"))?;
        let mut stdout = BufReader::new(child.stdout.take().context("no pipe")?);
        match address(&mut stdout) {
            Ok(address) => Ok(Server {
                child,
                _stdout: stdout,
                said,
                address,
                took: began.elapsed(),
                line,
            }),
            Err(error) => {
                // It may be there still, and must not stay.
                let _ = child.kill();
                let _ = child.wait();
                Err(error.context(format!("`{line}` does not listen{}", text_of(&mut said))))
            }
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From the start to the line that it listens.
    pub fn took(&self) -> Duration {
        self.took
    }

    /// Its processes.
    pub fn processes(&self) -> Processes {
        Processes(self.child.id())
    }

    /// Its first process's number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What is wrong with its work is said with what it has to say itself.
    pub fn explain<T>(&mut self, result: Result<T>) -> Result<T> {
        result.map_err(|error| error.context(format!("`{}`{}", self.line, text_of(&mut self.said))))
    }

    /// Tells it to end, and waits until it has.
    pub fn stop(mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let said = text_of(&mut self.said);
            bail!("`{}` has ended by itself ({status}){said}", self.line);
        }
        let pid = Pid::from_raw(self.child.id().cast_signed());
        kill(pid, Signal::SIGTERM).with_context(|| format!("cannot end `{}`", self.line))?;
        let until = Instant::now() + TO_END;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > until {
                bail!(
                    "`{}` does not end within {TO_END:?}; it is killed",
                    self.line
                );
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already where it was stopped.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn address(stdout: &mut BufReader<ChildStdout>) -> Result<SocketAddr> {
    let mut ready = [PollFd::new(stdout.get_ref().as_fd(), PollFlags::POLLIN)];
    if poll(&mut ready, PollTimeout::try_from(TO_LISTEN)?)? == 0 {
        bail!("it says nothing");
    }
    let mut line = String::new();
    stdout.read_line(&mut line)?;
    parse(line.trim_end()).ok_or_else(|| anyhow!("its first line is {line:?}"))
}

fn parse(line: &str) -> Option<SocketAddr> {
    if let Ok(port) = line.parse::<u16>() {
        return Some((Ipv4Addr::LOCALHOST, port).into());
    }
    let address = line.strip_prefix("listening ")?;
    address.split_once("://")?.1.parse().ok()
}

fn text_of(file: &mut File) -> String {
    let mut text = String::new();
    let read = file
        .rewind()
        .and_then(|()| file.take(4096).read_to_string(&mut text));
    match read {
        Ok(0) | Err(_) => String::new(),
        Ok(_) => format!(", and says:\n{}", text.trim_end()),
    }
}

/// As a person would type it.
pub fn shown(command: &Command) -> String {
    let words = [command.get_program()]
        .into_iter()
        .chain(command.get_args())
        .map(|word| word.to_string_lossy());
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_line_names_a_port() {
        let expected = "127.0.0.1:4711".parse().ok();
        assert_eq!(parse("listening tcp://127.0.0.1:4711"), expected);
        assert_eq!(parse("listening udp://127.0.0.1:4711"), expected);
        assert_eq!(parse("4711"), expected);
        assert_eq!(parse("error: no"), None);
    }

    #[test]
    fn what_does_not_listen_is_an_error_with_what_it_said() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo 'no port for me' >&2"]);
        let error = Server::start(&mut command).err().expect("it has ended");
        assert!(format!("{error:#}").contains("no port for me"), "{error:#}");
    }
}
