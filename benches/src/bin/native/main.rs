//! Servers as one would write them in Rust without a sandbox: `bench-native threads|spawn|fork|serial|udp`.
//! Each byte goes back.

#![deny(unsafe_code)]

mod fork;
mod threads;

use anyhow::{Context, Result, bail};
use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read, Write, stdout};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};

fn main() -> Result<()> {
    let how = std::env::args().nth(1).unwrap_or_default();
    if how == "udp" {
        return udp();
    }
    let listener = listen()?;
    match how.as_str() {
        "serial" => {
            let mut buffer = buffer();
            loop {
                serve(listener.accept()?.0, &mut buffer);
            }
        }
        "spawn" => loop {
            let (stream, _) = listener.accept()?;
            std::thread::spawn(move || serve(stream, &mut buffer()));
        },
        "threads" => threads::serve_forever(&listener),
        "fork" => fork::serve_forever(&listener),
        _ => bail!("one of threads, spawn, fork, serial, udp"),
    }
}

fn listen() -> Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(1024)?;
    let listener = TcpListener::from(socket);
    say(&format!("tcp://{}", listener.local_addr()?))?;
    Ok(listener)
}

fn say(address: &str) -> Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "listening {address}")?;
    out.flush().context("nobody reads where this listens")
}

/// Of the bulk stream's chunks.
fn buffer() -> Vec<u8> {
    vec![0; 64 << 10]
}

/// A client that goes away is no matter of the server's.
fn serve(mut stream: TcpStream, buffer: &mut [u8]) {
    while let Ok(count @ 1..) = stream.read(buffer) {
        if stream.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}

/// The loop of recvfrom(2) and sendto(2).
fn udp() -> Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    say(&format!("udp://{}", socket.local_addr()?))?;
    let mut buffer = buffer();
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((count, from)) => drop(socket.send_to(&buffer[..count], from)),
            // An ICMP error of an earlier answer.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(error.into()),
        }
    }
}
