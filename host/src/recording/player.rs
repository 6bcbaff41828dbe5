//! Gives a handler what a recording has: of each kind in its order, however the kinds are mixed, so that a handler
//! that was changed since then can be run as well.

use std::collections::VecDeque;

use super::{Clock, Event, Fail, Timed};

pub(super) struct Player {
    received: VecDeque<Result<Vec<u8>, Fail>>,
    /// Whether the end of input was received: it can be received again.
    has_ended: bool,
    sent: u64,
    /// How many bytes were sent before sending failed, and how it failed.
    send_failed: VecDeque<(u64, Fail)>,
    /// Bytes that were sent at all: what failed last fails again where nothing was sent after it.
    sent_in_all: u64,
    flushes: VecDeque<Result<(), Fail>>,
    wall: Readings,
    monotonic: Readings,
    random: VecDeque<u8>,
    ready: VecDeque<Result<Vec<u32>, Fail>>,
    missed: Vec<String>,
}

#[derive(Default)]
struct Readings {
    left: VecDeque<u64>,
    last: u64,
}

impl Player {
    pub(super) fn new(events: &[Timed]) -> Self {
        let mut player = Player {
            received: VecDeque::new(),
            has_ended: false,
            sent: 0,
            send_failed: VecDeque::new(),
            sent_in_all: 0,
            flushes: VecDeque::new(),
            wall: Readings::default(),
            monotonic: Readings::default(),
            random: VecDeque::new(),
            ready: VecDeque::new(),
            missed: Vec::new(),
        };
        for timed in events {
            match &timed.event {
                Event::Received(bytes) => player.received.push_back(Ok(bytes.0.to_vec())),
                Event::ReceiveFailed(fail) => player.received.push_back(Err(fail.clone())),
                Event::Sent(bytes) => player.sent_in_all += bytes.0.len() as u64,
                Event::SentMore(count) => {
                    player.sent_in_all = player.sent_in_all.saturating_add(*count);
                }
                Event::SendFailed(fail) => {
                    let failed = (player.sent_in_all, fail.clone());
                    player.send_failed.push_back(failed);
                }
                Event::Flushed => player.flushes.push_back(Ok(())),
                Event::FlushFailed(fail) => player.flushes.push_back(Err(fail.clone())),
                Event::Clock(Clock::Wall, reading) => player.wall.left.push_back(*reading),
                Event::Clock(Clock::Monotonic, reading) => {
                    player.monotonic.left.push_back(*reading);
                }
                Event::Random(bytes) => player.random.extend(&*bytes.0),
                Event::Ready(ready) => player.ready.push_back(Ok(ready.clone())),
                Event::WaitFailed(fail) => player.ready.push_back(Err(fail.clone())),
                Event::Printed(..)
                | Event::Folder { .. }
                | Event::File { .. }
                | Event::NotRecorded(_)
                | Event::Ended(_) => {}
            }
        }
        player
    }

    /// What was wanted that the recording does not have.
    pub(super) fn missed(&self) -> Vec<String> {
        self.missed.clone()
    }

    fn miss(&mut self, what: &str) {
        if !self.missed.iter().any(|missed| missed == what) {
            self.missed.push(what.to_owned());
        }
    }

    pub(super) fn receive(&mut self, buf: &mut [u8]) -> Result<usize, Fail> {
        let mut piece = match self.received.pop_front() {
            Some(Ok(piece)) => piece,
            Some(Err(fail)) => return Err(fail),
            None if self.has_ended => return Ok(0),
            None => {
                self.miss("it reads on where the recording's last read was: it is told that the input ends there");
                self.has_ended = true;
                return Ok(0);
            }
        };
        self.has_ended |= piece.is_empty();
        if piece.len() > buf.len() {
            let rest = piece.split_off(buf.len());
            self.received.push_front(Ok(rest));
        }
        buf[..piece.len()].copy_from_slice(&piece);
        Ok(piece.len())
    }

    pub(super) fn send(&mut self, length: usize) -> Result<usize, Fail> {
        let room = match self.send_failed.front() {
            None => length as u64,
            Some((before, fail)) if *before <= self.sent => {
                let fail = fail.clone();
                let is_final = self.send_failed.len() == 1 && self.sent_in_all <= *before;
                if !is_final {
                    self.send_failed.pop_front();
                }
                return Err(fail);
            }
            Some((before, _)) => (before - self.sent).min(length as u64),
        };
        self.sent += room;
        Ok(usize::try_from(room).unwrap_or(length))
    }

    pub(super) fn flush(&mut self) -> Result<(), Fail> {
        self.flushes.pop_front().unwrap_or(Ok(()))
    }

    pub(super) fn clock(&mut self, clock: Clock, now: u64) -> u64 {
        let readings = match clock {
            Clock::Wall => &mut self.wall,
            Clock::Monotonic => &mut self.monotonic,
        };
        if let Some(reading) = readings.left.pop_front() {
            readings.last = reading;
            return reading;
        }
        // It goes on from the last reading, and never stands still.
        readings.last = match readings.last {
            0 => now,
            last => last.saturating_add(1000),
        };
        let reading = readings.last;
        self.miss("it reads a clock more often than the recording has it");
        reading
    }

    pub(super) fn random(&mut self, bytes: &mut [u8]) {
        let count = bytes.len().min(self.random.len());
        for (byte, drawn) in bytes.iter_mut().zip(self.random.drain(..count)) {
            *byte = drawn;
        }
        if count < bytes.len() {
            self.miss("it draws more random bytes than the recording has: they are 0");
            bytes[count..].fill(0);
        }
    }

    /// `None` where the recording has no more.
    pub(super) fn ready(&mut self) -> Option<Result<Vec<u32>, Fail>> {
        let ready = self.ready.pop_front();
        if ready.is_none() {
            self.miss("it waits more often than the recording has it");
        }
        ready
    }
}
