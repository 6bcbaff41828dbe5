//! Packets: each client sends one and waits for its answer before it sends the next.

use super::{Load, own_cpu};
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// A packet that was not answered for so long is lost, and sent again.
const LOST: Duration = Duration::from_secs(1);

struct Client {
    socket: UdpSocket,
    sent: Instant,
    is_done: bool,
}

/// So many clients for so long; each packet must come back as it was sent.
pub fn closed_loop(to: SocketAddr, packet: &[u8], clients: usize, time: Duration) -> Result<Load> {
    let epoll = Epoll::new(EpollCreateFlags::empty()).context("no epoll")?;
    let (began, cpu) = (Instant::now(), own_cpu());
    let mut all = Vec::with_capacity(clients);
    for number in 0..clients {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(to)?;
        socket.set_nonblocking(true)?;
        epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, number as u64))?;
        socket.send(packet).context("cannot send")?;
        all.push(Client {
            socket,
            sent: Instant::now(),
            is_done: false,
        });
    }
    let mut load = Load::default();
    let mut under_way = clients;
    let mut events = [EpollEvent::empty(); 64];
    let mut buffer = vec![0; 64 << 10];
    while under_way > 0 {
        let ready = match epoll.wait(&mut events, EpollTimeout::from(100_u16)) {
            Err(Errno::EINTR) => 0,
            ready => ready?,
        };
        if ready == 0 {
            for client in all.iter_mut().filter(|client| !client.is_done) {
                if client.sent.elapsed() < LOST {
                    continue;
                }
                load.failed += 1;
                if load.failed > 100 {
                    bail!("more than a hundred packets were not answered within {LOST:?}");
                }
                client.socket.send(packet)?;
                client.sent = Instant::now();
            }
        }
        for event in &events[..ready] {
            let client = &mut all[usize::try_from(event.data())?];
            let Ok(count) = client.socket.recv(&mut buffer) else {
                continue;
            };
            if &buffer[..count] != packet {
                let found = String::from_utf8_lossy(&buffer[..count]);
                bail!("a wrong answer: {found:?}");
            }
            if client.is_done {
                continue;
            }
            load.latencies.push(client.sent.elapsed());
            if began.elapsed() < time {
                client.sent = Instant::now();
                client.socket.send(packet).context("cannot send")?;
            } else {
                client.is_done = true;
                under_way -= 1;
            }
        }
    }
    load.wall = began.elapsed();
    load.cpu = own_cpu().saturating_sub(cpu);
    Ok(load)
}
