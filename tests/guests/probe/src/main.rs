//! A guest of the tests: an ordinary WASI program, which does what its first line of input says and
//! prints what came of it. It knows nothing of sandsock.

#![forbid(unsafe_code)]

use std::env;
use std::fs;
use std::io::{self, BufRead, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::process;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

fn main() {
    let mut line = String::new();
    if let Err(error) = io::stdin().lock().read_line(&mut line) {
        eprintln!("reading: {error}");
        process::exit(1);
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    if let Err(error) = carry_out(&words) {
        println!(
            "error: {:?} {}",
            error.kind(),
            error.raw_os_error().unwrap_or(0)
        );
    }
}

fn carry_out(words: &[&str]) -> io::Result<()> {
    match words {
        ["echo"] => io::copy(&mut io::stdin().lock(), &mut io::stdout().lock()).map(drop),
        ["arguments"] => {
            env::args()
                .skip(1)
                .for_each(|argument| println!("{argument}"));
            Ok(())
        }
        ["environment"] => {
            let mut variables: Vec<_> = env::vars().collect();
            variables.sort();
            variables
                .iter()
                .for_each(|(name, value)| println!("{name}={value}"));
            Ok(())
        }
        ["read", path] => fs::read(path).and_then(|bytes| io::stdout().write_all(&bytes)),
        ["count", path] => {
            let count = io::copy(&mut fs::File::open(path)?, &mut io::sink())?;
            println!("{count}");
            Ok(())
        }
        ["open", path] => {
            let mut files = Vec::new();
            let refusal = loop {
                match fs::File::open(path) {
                    Ok(file) => files.push(file),
                    Err(refusal) => break refusal,
                }
            };
            println!("{} files", files.len());
            Err(refusal)
        }
        ["stream", name] => {
            println!("{} streams", streams(name));
            Ok(())
        }
        ["touch", name] => touch(name).map(|()| println!("touched")),
        ["write", path, text] => fs::write(path, text).map(|()| println!("written")),
        ["list", path] => {
            let names = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.file_name()));
            let mut names = names.collect::<io::Result<Vec<_>>>()?;
            names.sort();
            names
                .iter()
                .for_each(|name| println!("{}", name.to_string_lossy()));
            Ok(())
        }
        ["rename", from, to] => fs::rename(from, to).map(|()| println!("renamed")),
        ["link", from, to] => fs::hard_link(from, to).map(|()| println!("linked")),
        ["remove", path] => fs::remove_file(path).map(|()| println!("removed")),
        ["sleep", millis] => {
            thread::sleep(Duration::from_millis(number(millis)));
            println!("slept");
            Ok(())
        }
        ["spin"] => loop {
            std::hint::spin_loop();
        },
        ["allocate", bytes] => {
            let size = usize::try_from(number(bytes)).unwrap_or(usize::MAX);
            let mut memory: Vec<u8> = Vec::new();
            memory
                .try_reserve_exact(size)
                .map_err(|_| io::ErrorKind::OutOfMemory)?;
            println!("allocated {}", memory.capacity());
            Ok(())
        }
        ["complain", rest @ ..] => {
            eprintln!("{}", rest.join(" "));
            Ok(())
        }
        ["exit", code] => {
            println!("about to exit");
            process::exit(i32::try_from(number(code)).unwrap_or(1));
        }
        ["random"] => {
            random();
            Ok(())
        }
        ["clocks"] => {
            let started = Instant::now();
            for _ in 0..3 {
                println!("{:?} {:?}", SystemTime::now(), started.elapsed());
            }
            Ok(())
        }
        ["wait"] => wait(),
        ["connect", host] => {
            let mut reply = String::new();
            TcpStream::connect(host)?.read_to_string(&mut reply)?;
            println!("{reply}");
            Ok(())
        }
        ["fill", host] => {
            let mut stream = TcpStream::connect(host)?;
            loop {
                stream.write_all(&[b'x'; 4096])?;
            }
        }
        ["connections", host] => {
            let mut streams = Vec::new();
            let refusal = loop {
                match TcpStream::connect(host) {
                    Ok(stream) => streams.push(stream),
                    Err(refusal) => break refusal,
                }
            };
            println!("{} connections", streams.len());
            Err(refusal)
        }
        ["bind"] => TcpListener::bind("127.0.0.1:0").map(|_| println!("bound")),
        ["udp", host] => {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.send_to(b"x", host).map(|_| println!("sent"))
        }
        ["lookup", name] => {
            for address in (*name, 0).to_socket_addrs()? {
                println!("{}", address.ip());
            }
            Ok(())
        }
        ["exchange", host, bytes] => exchange(host, number(bytes)),
        ["panic"] => panic!("asked to"),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// How many streams of a file in the first granted folder there can be, where each outlives the
/// descriptor that it was made from.
#[cfg(target_env = "p2")]
fn streams(name: &str) -> usize {
    use wasip2::filesystem::preopens::get_directories;
    use wasip2::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};
    let folders = get_directories();
    let open = || {
        let file = folders[0].0.open_at(
            PathFlags::empty(),
            name,
            OpenFlags::empty(),
            DescriptorFlags::READ,
        );
        file.ok()?.read_via_stream(0).ok()
    };
    std::iter::from_fn(open).collect::<Vec<_>>().len()
}

/// WASI preview 1 has none.
#[cfg(not(target_env = "p2"))]
fn streams(_name: &str) -> usize {
    0
}

/// Sets the times of what a name in the first folder leads to.
#[cfg(target_env = "p2")]
fn touch(name: &str) -> io::Result<()> {
    use wasip2::clocks::wall_clock::Datetime;
    use wasip2::filesystem::preopens::get_directories;
    use wasip2::filesystem::types::{NewTimestamp, PathFlags};
    let time = NewTimestamp::Timestamp(Datetime {
        seconds: 1_000_000_000,
        nanoseconds: 5,
    });
    get_directories()[0]
        .0
        .set_times_at(
            PathFlags::SYMLINK_FOLLOW,
            name,
            NewTimestamp::NoChange,
            time,
        )
        .map_err(|code| io::Error::other(code.message()))
}

/// The standard library sets the times of what is open: `tests/fifos.rs` has its own program for it.
#[cfg(not(target_env = "p2"))]
fn touch(_name: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Sends so many bytes without ever waiting for them to be taken, reads as many meanwhile, and waits for
/// whichever can go on: one that waits for one direction alone would be stuck.
#[cfg(target_env = "p2")]
fn exchange(host: &str, bytes: u64) -> io::Result<()> {
    use wasip2::io::poll::poll;
    use wasip2::io::streams::StreamError;
    use wasip2::sockets::instance_network::instance_network;
    use wasip2::sockets::network::{
        ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress,
    };
    use wasip2::sockets::tcp::ShutdownType;
    use wasip2::sockets::tcp_create_socket::create_tcp_socket;

    let refused = |code: ErrorCode| io::Error::other(code.message());
    let host: std::net::SocketAddrV4 = host.parse().map_err(io::Error::other)?;
    let [a, b, c, d] = host.ip().octets();
    let address = IpSocketAddress::Ipv4(Ipv4SocketAddress {
        port: host.port(),
        address: (a, b, c, d),
    });
    let socket = create_tcp_socket(IpAddressFamily::Ipv4).map_err(refused)?;
    socket
        .start_connect(&instance_network(), address)
        .map_err(refused)?;
    socket.subscribe().block();
    let (input, output) = socket.finish_connect().map_err(refused)?;
    let (can_read, can_write) = (input.subscribe(), output.subscribe());
    let (mut sent, mut received) = (0, 0);
    loop {
        let room = output.check_write().map_err(io::Error::other)?;
        let count = room.min(bytes - sent);
        if count > 0 {
            let piece: Vec<u8> = (sent..sent + count).map(|n| (n % 251) as u8).collect();
            output.write(&piece).map_err(io::Error::other)?;
            sent += count;
            if sent == bytes {
                socket.shutdown(ShutdownType::Send).map_err(refused)?;
            }
        }
        match input.read(1 << 16) {
            Ok(piece) => {
                let is_right = |(n, byte): (u64, &u8)| *byte == (n % 251) as u8;
                if !(received..).zip(&piece).all(is_right) {
                    return Err(io::Error::other("what came back is not what was sent"));
                }
                received += piece.len() as u64;
            }
            Err(StreamError::Closed) => break,
            Err(error) => return Err(io::Error::other(error)),
        }
        if sent < bytes {
            poll(&[&can_read, &can_write]);
        } else {
            poll(&[&can_read]);
        }
    }
    println!("{received} bytes");
    Ok(())
}

/// WASI preview 1 has no sockets to connect.
#[cfg(not(target_env = "p2"))]
fn exchange(_host: &str, _bytes: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Waits for input, ten milliseconds at a time, and says each time what came.
#[cfg(target_env = "p2")]
fn wait() -> io::Result<()> {
    use wasip2::cli::stdin::get_stdin;
    use wasip2::clocks::monotonic_clock::subscribe_duration;
    use wasip2::io::poll::poll;
    let input = get_stdin();
    let there = input.subscribe();
    loop {
        let ready = poll(&[&there, &subscribe_duration(10_000_000)]);
        println!("{ready:?}");
        if ready.contains(&0) {
            return Ok(());
        }
    }
}

/// The standard library has no poll: `tests/replay.rs` has its own program for it.
#[cfg(not(target_env = "p2"))]
fn wait() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Two numbers of 64 bits from each source of randomness that WASI has.
#[cfg(target_env = "p2")]
fn random() {
    use wasip2::random::{insecure, insecure_seed, random};
    let (a, b) = insecure_seed::insecure_seed();
    println!("{a:x}\n{b:x}");
    for get in [random::get_random_u64, insecure::get_insecure_random_u64] {
        println!("{:x}\n{:x}", get(), get());
    }
}

/// Two numbers of 64 bits from what hash tables are seeded with: `random_get`.
#[cfg(not(target_env = "p2"))]
fn random() {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let number = || RandomState::new().build_hasher().finish();
    println!("{:x}\n{:x}", number(), number());
}

fn number(word: &str) -> u64 {
    word.parse().unwrap_or(0)
}
