//! Short connections: connect, send, end the own side, read until the server's end, close.

use super::{Load, PATIENCE, own_cpu};
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, SockAddr, Socket, Type};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

/// What each connection does.
#[derive(Clone, Copy)]
pub struct Connections<'a> {
    /// The server.
    pub to: SocketAddr,
    /// What is sent.
    pub message: &'a [u8],
    /// What must come back.
    pub reply: &'a [u8],
}

impl Connections<'_> {
    /// So many clients for so long, each with its next connection once the last has ended; on so many threads.
    pub fn closed_loop(self, clients: usize, time: Duration, threads: usize) -> Result<Load> {
        let until = Instant::now() + time;
        thread::scope(|scope| {
            let each: Vec<_> = (0..threads)
                .map(|number| {
                    let share = clients / threads + usize::from(number < clients % threads);
                    scope.spawn(move || Clients::new(self)?.closed_loop(share, until))
                })
                .collect();
            each.into_iter()
                .try_fold(Load::default(), |all, one| match one.join() {
                    Ok(load) => Ok(all.beside(load?)),
                    Err(_) => bail!("a thread of the load generator has panicked"),
                })
        })
    }

    /// Connections at a rate, whatever becomes of those before; each is given up after `patience`. Also how many
    /// there were: fewer than asked for, where the clients cannot make so many or `most` wait already. What is
    /// served after `time` does not count.
    pub fn open_loop(
        self,
        rate: f64,
        time: Duration,
        patience: Duration,
        most: usize,
    ) -> Result<(Load, u64)> {
        Clients::new(self)?.open_loop(rate, time, patience, most)
    }
}

struct Slot {
    socket: Socket,
    began: Instant,
    is_sent: bool,
}

struct Clients<'a> {
    work: Connections<'a>,
    epoll: Epoll,
    slots: Vec<Option<Slot>>,
    buffer: Vec<u8>,
    begun: u64,
}

impl<'a> Clients<'a> {
    fn new(work: Connections<'a>) -> Result<Self> {
        Ok(Clients {
            work,
            epoll: Epoll::new(EpollCreateFlags::empty()).context("no epoll")?,
            slots: Vec::new(),
            buffer: vec![0; 64 << 10],
            begun: 0,
        })
    }

    fn closed_loop(&mut self, clients: usize, until: Instant) -> Result<Load> {
        let (began, cpu) = (Instant::now(), own_cpu());
        let mut load = Load::default();
        self.slots.resize_with(clients, || None);
        for slot in 0..clients {
            self.begin(slot)?;
        }
        let mut under_way = clients;
        let mut events = [EpollEvent::empty(); 256];
        while under_way > 0 {
            let ready = self.wait(&mut events, PATIENCE)?;
            if ready == 0 {
                bail!("{under_way} clients have not been answered within {PATIENCE:?}");
            }
            for event in &events[..ready] {
                let slot = usize::try_from(event.data())?;
                let Some(latency) = self.go_on(slot)? else {
                    continue;
                };
                load.latencies.push(latency);
                match Instant::now() < until {
                    true => self.begin(slot)?,
                    false => under_way -= 1,
                }
            }
        }
        load.wall = began.elapsed();
        load.cpu = own_cpu().saturating_sub(cpu);
        Ok(load)
    }

    fn open_loop(
        &mut self,
        rate: f64,
        time: Duration,
        patience: Duration,
        most: usize,
    ) -> Result<(Load, u64)> {
        let (began, cpu) = (Instant::now(), own_cpu());
        let mut load = Load::default();
        let mut free: Vec<usize> = (0..most).collect();
        self.slots.resize_with(most, || None);
        // In the order in which they were begun, so that the oldest is looked at first.
        let mut oldest: VecDeque<(usize, Instant)> = VecDeque::new();
        let mut events = [EpollEvent::empty(); 256];
        let mut due = 0_u64;
        loop {
            let now = began.elapsed();
            let until_now = (rate * now.min(time).as_secs_f64()) as u64;
            // A few at a time, so that those under way are heard in between.
            let some = until_now.saturating_sub(due).min(32);
            due += some;
            for _ in 0..some {
                let Some(slot) = free.pop() else {
                    continue;
                };
                match self.begin(slot) {
                    Ok(()) => oldest.push_back((slot, Instant::now())),
                    Err(_) => {
                        load.failed += 1;
                        free.push(slot);
                    }
                }
            }
            while let Some((slot, since)) = oldest.front().copied() {
                let is_it = self.slots[slot]
                    .as_ref()
                    .is_some_and(|slot| slot.began <= since);
                if is_it && since.elapsed() < patience {
                    break;
                }
                oldest.pop_front();
                if is_it {
                    self.slots[slot] = None;
                    free.push(slot);
                    load.failed += 1;
                }
            }
            if now >= time && oldest.is_empty() {
                break;
            }
            let nap = if until_now > due { 0 } else { 1 };
            let ready = self.wait(&mut events, Duration::from_millis(nap))?;
            for event in &events[..ready] {
                let slot = usize::try_from(event.data())?;
                match self.go_on(slot) {
                    Ok(None) => continue,
                    Ok(Some(latency)) if began.elapsed() < time => load.latencies.push(latency),
                    // Served when nobody comes any more.
                    Ok(Some(_)) => {}
                    Err(_) => {
                        self.slots[slot] = None;
                        load.failed += 1;
                    }
                }
                free.push(slot);
            }
        }
        load.wall = time;
        load.cpu = own_cpu().saturating_sub(cpu);
        Ok((load, self.begun))
    }

    fn wait(&self, events: &mut [EpollEvent], most: Duration) -> Result<usize> {
        match self.epoll.wait(events, EpollTimeout::try_from(most)?) {
            Err(Errno::EINTR) => Ok(0),
            ready => Ok(ready?),
        }
    }

    /// On the loopback the connection is there when connect(2) returns, though it does not say so: what is to be
    /// sent is sent at once, and only what does not go waits for its turn.
    fn begin(&mut self, slot: usize) -> Result<()> {
        let began = Instant::now();
        let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None)?;
        // A pair of addresses has 28,000 ports, and a port rests for a second before it is used again.
        setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
        let last = u8::try_from(self.begun % 16)?;
        let from = SocketAddr::from((Ipv4Addr::new(127, 0, 1, 1 + last), 0));
        socket.bind(&SockAddr::from(from))?;
        self.begun += 1;
        match socket.connect(&SockAddr::from(self.work.to)) {
            Err(error) if error.raw_os_error() != Some(Errno::EINPROGRESS as i32) => {
                return Err(error).context("cannot connect");
            }
            _ => {}
        }
        let mut new = Slot {
            socket,
            began,
            is_sent: false,
        };
        new.send(self.work.message)?;
        self.epoll
            .add(&new.socket, EpollEvent::new(new.awaits(), slot as u64))?;
        self.slots[slot] = Some(new);
        Ok(())
    }

    /// The latency, where its request has been answered; its socket is closed then.
    fn go_on(&mut self, number: usize) -> Result<Option<Duration>> {
        let Some(slot) = &mut self.slots[number] else {
            // An event of a connection that was given up in the same round.
            return Ok(None);
        };
        if !slot.is_sent {
            slot.send(self.work.message)?;
            if slot.is_sent {
                let event = &mut EpollEvent::new(slot.awaits(), number as u64);
                self.epoll.modify(&slot.socket, event)?;
            }
            return Ok(None);
        }
        // The server has ended its side: all it has to say is here.
        let mut got = 0;
        while got < self.buffer.len() {
            let count = match (&slot.socket).read(&mut self.buffer[got..]) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                count => count.context("the connection broke off")?,
            };
            got += count;
            if count == 0 || got >= self.work.reply.len() {
                break;
            }
        }
        if &self.buffer[..got] != self.work.reply {
            bail!(
                "a wrong answer: {:?} in place of {:?}",
                String::from_utf8_lossy(&self.buffer[..got]),
                String::from_utf8_lossy(self.work.reply)
            );
        }
        let latency = slot.began.elapsed();
        self.slots[number] = None;
        Ok(Some(latency))
    }
}

impl Slot {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        match self.socket.send(message) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Ok(count) if count == message.len() => {}
            Ok(count) => bail!("{count} of {} bytes sent", message.len()),
            Err(error) => return Err(error).context("cannot send"),
        }
        self.socket.shutdown(Shutdown::Write)?;
        self.is_sent = true;
        Ok(())
    }

    fn awaits(&self) -> EpollFlags {
        match self.is_sent {
            true => EpollFlags::EPOLLRDHUP,
            false => EpollFlags::EPOLLOUT,
        }
    }
}
