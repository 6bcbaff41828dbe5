//! Random numbers for one request, straight from the system.
//!
//! A generator of this process would be inherited by its children, who would all draw the same; and
//! wasmtime-wasi draws each byte of a list by itself, which would be a system call for each.

use std::convert::Infallible;
use std::sync::Arc;

use rand::rand_core::{Rng, TryRng, UnwrapErr};
use rand::rngs::SysRng;

use crate::request::Request;

/// What one system call brings, in bytes.
const AT_ONCE: usize = 1024;

/// The same where the request is recorded: what is not used is in the recording, too.
const RECORDED_AT_ONCE: usize = 64;

/// Made for a request, in the process that serves it, and gone with it.
#[derive(Default)]
pub(super) struct SystemRandom {
    /// Used from its end.
    left: Vec<u8>,
    /// Whose journal has what is drawn.
    request: Option<Arc<Request>>,
}

impl SystemRandom {
    /// For a request.
    pub(super) fn of(request: &Arc<Request>) -> Self {
        SystemRandom {
            left: Vec::new(),
            request: Some(request.clone()),
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        let system = |bytes: &mut [u8]| {
            UnwrapErr(SysRng).fill_bytes(bytes);
            Ok::<_, Infallible>(())
        };
        let Ok(()) = match &self.request {
            Some(request) => request.random(bytes, system),
            None => system(bytes),
        };
    }

    fn draw<const N: usize>(&mut self) -> [u8; N] {
        if self.left.len() < N {
            let is_recorded = self.request.as_ref().is_some_and(|r| r.journal().is_some());
            let size = if is_recorded {
                RECORDED_AT_ONCE
            } else {
                AT_ONCE
            };
            let mut drawn = vec![0; size];
            self.fill(&mut drawn);
            self.left = drawn;
        }
        let mut drawn = [0; N];
        let from = self.left.len() - N;
        drawn.copy_from_slice(&self.left[from..]);
        self.left.truncate(from);
        drawn
    }
}

impl TryRng for SystemRandom {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_ne_bytes(self.draw()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_ne_bytes(self.draw()))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.fill(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_number_is_drawn_twice() {
        let mut random = SystemRandom::default();
        let drawn: HashSet<_> = (0..10_000).map(|_| random.next_u64()).collect();
        assert_eq!(drawn.len(), 10_000);
        let mut others = [SystemRandom::default(), SystemRandom::default()];
        let [one, two] = others.each_mut().map(Rng::next_u64);
        assert_ne!(one, two);
    }

    #[test]
    fn what_is_left_is_used_before_more_is_fetched() {
        let mut random = SystemRandom::default();
        random.next_u32();
        assert_eq!(random.left.len(), AT_ONCE - 4);
        random.next_u64();
        assert_eq!(random.left.len(), AT_ONCE - 12);
    }
}
