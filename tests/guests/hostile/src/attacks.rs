//! What a handler may try against its host and its neighbours, by name.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant, SystemTime};
use std::{env, fs, process, thread};

const MIB: usize = 1 << 20;

/// Carries out one attack. `greet` is none: it is what a neighbour asks for.
pub(crate) fn carry_out(
    order: &str,
    rfile: &mut dyn Read,
    wfile: &mut dyn Write,
) -> io::Result<()> {
    match order {
        "greet" => wfile.write_all(b"hello"),

        // Time.
        "spin" => loop {
            std::hint::spin_loop();
        },
        "copy" => copy(),
        "ask-the-time" => loop {
            black_box((Instant::now(), SystemTime::now()));
        },
        "yield" => loop {
            thread::yield_now();
        },
        "flush" => loop {
            wfile.flush()?;
        },
        "random" => loop {
            black_box(RandomState::new().build_hasher().finish());
        },
        "stat" => loop {
            let _ = black_box(fs::metadata("/nothing"));
        },
        "sleep" => loop {
            thread::sleep(Duration::MAX);
        },
        "nap" => loop {
            thread::sleep(Duration::from_millis(1));
        },
        "nap-for-no-time" => loop {
            thread::sleep(Duration::ZERO);
        },

        // Memory and stack.
        "grow" => grow(),
        "grow-at-once" => {
            black_box(vec![1_u8; 1 << 30]);
            Ok(())
        }
        "recurse" => {
            black_box(recurse(black_box(1)));
            Ok(())
        }

        // The log.
        "print" => loop {
            eprintln!("all work and no play makes Jack a dull boy");
        },
        "print-at-length" => {
            eprint!("{}", "x".repeat(4 * MIB));
            Ok(())
        }
        "print-empty-lines" => {
            eprint!("{}", "\n".repeat(MIB));
            Ok(())
        }
        "forge-the-log" => {
            let forged = r#"{"level":"ERROR","event":"request","id":1,"outcome":"ok"}"#;
            eprint!("\r\n{forged}\r{forged}\u{1b}[2J\u{85}{forged}\u{2028}{forged}\n");
            Ok(())
        }

        // The client.
        "read" => loop {
            let mut byte = [0];
            if rfile.read(&mut byte)? == 0 {
                return Ok(());
            }
        },
        "write" => loop {
            wfile.write_all(&[b'x'; 4096])?;
        },
        "write-byte-by-byte" => loop {
            wfile.write_all(b"x")?;
        },

        // The end.
        "panic" => panic!("asked to"),
        "exit" => process::exit(3),
        "abort" => process::abort(),
        "fail-at-length" => Err(io::Error::other("x".repeat(4 * MIB))),
        "spawn" => loop {
            // Where there are threads, each of them spins.
            thread::spawn(|| {
                loop {
                    std::hint::spin_loop();
                }
            });
        },

        // The host.
        "escape" => escape(wfile),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// Each is one instruction that takes long.
fn copy() -> ! {
    let mut bytes = vec![1_u8; 4 * MIB];
    loop {
        bytes.copy_within(..3 * MIB, MIB);
        black_box(&mut bytes);
    }
}

fn grow() -> ! {
    let mut all = Vec::new();
    loop {
        all.push(vec![1_u8; MIB]);
        black_box(&mut all);
    }
}

fn recurse(depth: u64) -> u64 {
    match depth {
        0 => 0,
        depth => recurse(black_box(depth + 1)) + 1,
    }
}

/// Says what of the host can be seen or reached.
fn escape(wfile: &mut dyn Write) -> io::Result<()> {
    let mut reached: Vec<String> = Vec::new();
    let mut tried = |what: &str, is_there: bool| {
        if is_there {
            reached.push(what.to_owned());
        }
    };
    for path in [
        "/",
        ".",
        "..",
        "/etc/passwd",
        "/proc/self/environ",
        "../../../etc/passwd",
    ] {
        tried(path, fs::metadata(path).is_ok() || fs::read(path).is_ok());
        tried(path, fs::read_dir(path).is_ok());
    }
    tried("writing", fs::write("/tmp/escaped", "x").is_ok());
    tried("writing here", fs::write("escaped", "x").is_ok());
    for name in ["PATH", "HOME", "USER", "XDG_CACHE_HOME"] {
        tried(name, env::var_os(name).is_some());
    }
    tried("arguments", env::args().count() > 1);
    tried("connecting", TcpStream::connect("127.0.0.1:22").is_ok());
    tried("listening", TcpListener::bind("127.0.0.1:0").is_ok());
    tried("packets", UdpSocket::bind("127.0.0.1:0").is_ok());
    let sent = UdpSocket::bind("0.0.0.0:0").and_then(|s| s.send_to(b"x", "127.0.0.1:9"));
    tried("sending packets", sent.is_ok());
    let name = std::net::ToSocketAddrs::to_socket_addrs("localhost:1");
    tried("names", name.is_ok_and(|mut found| found.next().is_some()));
    tried(
        "processes",
        process::Command::new("/bin/true").spawn().is_ok(),
    );
    match reached.is_empty() {
        true => wfile.write_all(b"nothing"),
        false => wfile.write_all(reached.join(", ").as_bytes()),
    }
}
