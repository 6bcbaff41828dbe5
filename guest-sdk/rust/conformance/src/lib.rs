//! What every SDK is held to (`guest-sdk/conformance/README.md`), in Rust.

#![forbid(unsafe_code)]

use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, ErrorKind, Read, Write};
use std::time::Duration;

use sandsock_guest::{Handler, Request, Result};

#[derive(Default)]
struct Conformance {
    order: String,
}

impl Handler for Conformance {
    fn setup(&mut self, request: &mut Request) -> Result {
        self.order = line(request)?;
        match self.order.as_str() {
            "refuse" => Err("refused in setup".into()),
            _ => Ok(()),
        }
    }

    fn handle(&mut self, request: &mut Request) -> Result {
        let (word, rest) = self.order.split_once(' ').unwrap_or((&self.order, ""));
        match word {
            "" => request.wfile.write_all(b"empty\n")?,
            "hello" => {
                let name = line(request)?;
                request
                    .wfile
                    .write_all(format!("hello, {name}\n").as_bytes())?;
            }
            "echo" => echo(request)?,
            "lines" => lines(request)?,
            "mixed" => mixed(request)?,
            "timeout" => {
                request.set_timeout(Some(Duration::from_millis(rest.parse()?)));
                let mut text = String::new();
                match request.rfile.read_line(&mut text) {
                    Err(error) if error.kind() == ErrorKind::TimedOut => {
                        request.wfile.write_all(b"timed out\n")?;
                    }
                    read => {
                        read?;
                        let text = text.trim_end_matches('\n');
                        request
                            .wfile
                            .write_all(format!("got {text}\n").as_bytes())?;
                    }
                }
            }
            "datagrams" => {
                for text in ["one", "two"] {
                    request.wfile.write_all(text.as_bytes())?;
                    request.wfile.flush()?;
                }
            }
            "about" => {
                let about = format!(
                    "{}\n{}\n{}\n{}\n",
                    request.client_address(),
                    request.server_address(),
                    request.transport(),
                    request.id()
                );
                request.wfile.write_all(about.as_bytes())?;
            }
            "random" => {
                let number = RandomState::new().hash_one(());
                writeln!(request.wfile, "{number}")?;
            }
            "print" => {
                println!("{rest}");
                request.wfile.write_all(b"printed\n")?;
            }
            "pour" => loop {
                request.wfile.write_all(&[b'x'; 64 << 10])?;
            },
            "steps" => request.wfile.write_all(b"handle\n")?,
            "fail" => {
                request.wfile.write_all(b"before\n")?;
                return Err(rest.to_owned().into());
            }
            "crash" => {
                request.wfile.write_all(b"before\n")?;
                panic!("{rest}");
            }
            _ => return Err(format!("no such order: {}", self.order).into()),
        }
        Ok(())
    }

    fn finish(&mut self, request: &mut Request) -> Result {
        if self.order == "steps"
            || self.order.starts_with("fail")
            || self.order.starts_with("crash")
        {
            request.wfile.write_all(b"finish\n")?;
        }
        Ok(())
    }
}

sandsock_guest::handler!(Conformance);

fn line(request: &mut Request) -> Result<String> {
    let mut line = String::new();
    request.rfile.read_line(&mut line)?;
    Ok(line.trim_end_matches('\n').to_owned())
}

fn echo(request: &mut Request) -> Result {
    loop {
        let bytes = request.rfile.fill_buf()?;
        if bytes.is_empty() {
            return Ok(());
        }
        request.wfile.write_all(bytes)?;
        let length = bytes.len();
        request.rfile.consume(length);
    }
}

fn lines(request: &mut Request) -> Result {
    for line in request.rfile.by_ref().lines() {
        let line = line?;
        let answer = match line.split(' ').collect::<Vec<_>>()[..] {
            ["add", a, b] => match (a.parse::<i64>(), b.parse::<i64>()) {
                (Ok(a), Ok(b)) => format!("{}\n", a + b),
                _ => unknown(&line),
            },
            ["quit"] => {
                request.wfile.write_all(b"bye\n")?;
                return Ok(());
            }
            _ => unknown(&line),
        };
        request.wfile.write_all(answer.as_bytes())?;
    }
    Ok(())
}

fn unknown(line: &str) -> String {
    format!("error: what is `{line}`?\n")
}

fn mixed(request: &mut Request) -> Result {
    let mut three = [0; 3];
    request.rfile.read_exact(&mut three)?;
    let mut text = Vec::new();
    request.rfile.read_until(b'\n', &mut text)?;
    let mut rest = Vec::new();
    request.rfile.read_to_end(&mut rest)?;
    let text = text.strip_suffix(b"\n").unwrap_or(&text);
    let all = [b"[", &three[..], b"][", text, b"][", &rest, b"]"].concat();
    request.wfile.write_all(&all)?;
    Ok(())
}
