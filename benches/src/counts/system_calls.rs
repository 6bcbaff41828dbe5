//! System calls of a request, by strace: each of one client's requests after the other, on all threads and in all
//! processes of the server.

use super::{Counts, HANDLERS};
use crate::competitors::{Competitor, MESSAGE, Program};
use crate::load::PATIENCE;
use crate::server::Server;
use crate::world::World;
use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// The difference of two runs is the requests' alone.
const FEW: u32 = 20;
const MANY: u32 = 220;

/// Of what not every third request makes nothing is said: it depends on time, and on who is first.
const SELDOM: f64 = 0.3;

/// Why they cannot be counted here, if so.
pub(super) fn count(world: &World, found: &mut Counts) -> Result<Option<String>> {
    let trial = Command::new("strace")
        .args(["-D", "-f", "-o", "/dev/null", "true"])
        .output();
    match trial {
        Err(_) => return Ok(Some("strace is not installed".to_owned())),
        Ok(output) if !output.status.success() => {
            return Ok(Some("strace is not allowed here".to_owned()));
        }
        Ok(_) => {}
    }
    for scheme in ["tcp", "udp"] {
        for concurrency in ["serial", "threads", "fork"] {
            for (name, handler) in HANDLERS {
                let mut competitor = Competitor::new(name, Program::Sandsock(handler, concurrency));
                competitor.scheme = scheme;
                let what = format!("{scheme}, {concurrency}, {name}: system calls");
                let few = of(world, &competitor, FEW)?;
                let many = of(world, &competitor, MANY)?;
                let mut all = 0.0;
                for (call, count) in many {
                    let before = few.get(&call).copied().unwrap_or(0.0);
                    let each = (count - before) / f64::from(MANY - FEW);
                    if each >= SELDOM {
                        all += each;
                        found.insert(format!("{what}: {call}"), each);
                    }
                }
                found.insert(what, all);
            }
        }
    }
    Ok(None)
}

/// All system calls of a server from its start to its end, by name.
fn of(world: &World, competitor: &Competitor, requests: u32) -> Result<Counts> {
    let folder = tempfile::tempdir()?;
    let trace = folder.path().join("trace");
    let serve = competitor.command(world)?;
    // With -D the server is the process that is started here, and strace another.
    let mut strace = Command::new("strace");
    strace
        .args(["-D", "-f", "-qq", "-c", "-o"])
        .arg(&trace)
        .arg(serve.get_program())
        .args(serve.get_args());
    let mut server = Server::start(&mut strace)?;
    let to = server.address();
    let asked = (0..requests).try_for_each(|_| match competitor.scheme {
        "udp" => packet(to, competitor.reply()),
        _ => connection(to, competitor.reply()),
    });
    server.explain(asked)?;
    server.stop()?;
    let table = table(&trace)?;
    Ok(table.lines().filter_map(line).collect())
}

/// It is written once the last process has ended, and its last line comes last.
fn table(trace: &Path) -> Result<String> {
    let until = Instant::now() + PATIENCE;
    loop {
        let text = std::fs::read_to_string(trace).unwrap_or_default();
        if text.trim_end().ends_with(" total") {
            return Ok(text);
        }
        if Instant::now() > until {
            bail!("strace has not written what it counted within {PATIENCE:?}");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// A line of strace's table: its share of the time, seconds, µs a call, calls, errors where there are some, the name.
fn line(line: &str) -> Option<(String, f64)> {
    let words: Vec<_> = line.split_whitespace().collect();
    let (calls, name) = (words.get(3)?.parse().ok()?, *words.last()?);
    (name != "total").then(|| (name.to_owned(), calls))
}

fn connection(to: SocketAddr, expected: &[u8]) -> Result<()> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(MESSAGE)?;
    stream.shutdown(Shutdown::Write)?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    is(&reply, expected)
}

fn packet(to: SocketAddr, expected: &[u8]) -> Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send_to(MESSAGE, to)?;
    let mut reply = [0; 100];
    let count = socket.recv(&mut reply).context("no answer")?;
    is(&reply[..count], expected)
}

fn is(reply: &[u8], expected: &[u8]) -> Result<()> {
    if reply != expected {
        bail!("a wrong answer: {:?}", String::from_utf8_lossy(reply));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_table_has_calls_and_a_name_and_perhaps_errors() {
        let plain = " 56.66    0.104959         477       220           close";
        assert_eq!(line(plain), Some(("close".to_owned(), 220.0)));
        let failing = " 56.66    0.104959         477       220         1 futex";
        assert_eq!(line(failing), Some(("futex".to_owned(), 220.0)));
        for other in [
            "100.00    0.185246         346       535         6 total",
            "------ ----------- ----------- --------- --------- ----------------",
            "% time     seconds  usecs/call     calls    errors syscall",
        ] {
            assert_eq!(line(other), None);
        }
    }
}
