//! Threads that are kept: one that has served a connection waits for the next, and a new one starts only
//! where none waits.

use super::{buffer, serve};
use anyhow::Result;
use std::collections::VecDeque;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

#[derive(Default)]
struct Hall {
    waiting: Mutex<Waiting>,
    /// Somebody has come in.
    comes: Condvar,
}

#[derive(Default)]
struct Waiting {
    connections: VecDeque<TcpStream>,
    threads: usize,
}

pub(super) fn serve_forever(listener: &TcpListener) -> Result<()> {
    let hall = Arc::new(Hall::default());
    loop {
        let (stream, _) = listener.accept()?;
        let mut waiting = hall.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.connections.push_back(stream);
        let is_short = waiting.connections.len() > waiting.threads;
        drop(waiting);
        if is_short {
            let hall = hall.clone();
            std::thread::spawn(move || keep_serving(&hall));
        } else {
            hall.comes.notify_one();
        }
    }
}

fn keep_serving(hall: &Hall) {
    let mut buffer = buffer();
    loop {
        let mut waiting = hall.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let stream = loop {
            if let Some(stream) = waiting.connections.pop_front() {
                break stream;
            }
            waiting.threads += 1;
            waiting = hall
                .comes
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
            waiting.threads -= 1;
        };
        drop(waiting);
        serve(stream, &mut buffer);
    }
}
