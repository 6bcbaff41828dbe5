//! The memory limit: the sum over an instance's memories and tables, and over what the host holds for it.

use wasmtime::ResourceLimiter;

/// What a table's element takes in the host, in bytes.
const ELEMENT: usize = size_of::<usize>();

/// More instances, memories or tables than any toolchain makes are a mistake or an attack.
const MOST: usize = 1_000;

/// Counts what one instance has, and refuses more than the limit.
#[derive(Debug)]
pub(crate) struct MemoryLimiter {
    limit: u64,
    /// Bytes of memories and tables. Nothing of an instance ever shrinks.
    now: u64,
    /// Bytes that the host holds for the instance at this moment.
    held: u64,
    /// The most that both were together before the host last let go of something.
    peak_before: u64,
    /// The last growth, to be taken back where the system refuses it.
    last: u64,
    refused: bool,
}

impl MemoryLimiter {
    /// `limit` in bytes.
    pub(crate) fn new(limit: u64) -> Self {
        MemoryLimiter {
            limit,
            now: 0,
            held: 0,
            peak_before: 0,
            last: 0,
            refused: false,
        }
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes at their most.
    pub(crate) fn peak(&self) -> u64 {
        self.peak_before.max(self.now.saturating_add(self.held))
    }

    /// Whether a growth was refused for the limit's sake.
    pub(crate) fn has_refused(&self) -> bool {
        self.refused
    }

    /// The host is about to hold so many bytes more for the guest.
    ///
    /// # Errors
    ///
    /// The limit does not allow them: the request ends as `memory-limit`.
    pub(crate) fn hold(&mut self, bytes: usize) -> wasmtime::Result<()> {
        let held = self.held.saturating_add(bytes as u64);
        if !self.admits(self.now, held) {
            return Err(wasmtime::format_err!(
                "the host would hold {held} bytes for it beside its own {}",
                self.now
            ));
        }
        self.held = held;
        Ok(())
    }

    /// The host holds so many bytes less.
    pub(crate) fn let_go(&mut self, bytes: usize) {
        self.peak_before = self.peak();
        self.held = self.held.saturating_sub(bytes as u64);
    }

    fn grow(&mut self, current: usize, desired: usize) -> bool {
        self.last = desired.saturating_sub(current) as u64;
        let wanted = self.now.saturating_add(self.last);
        if !self.admits(wanted, self.held) {
            self.last = 0;
            return false;
        }
        self.now = wanted;
        true
    }

    fn admits(&mut self, now: u64, held: u64) -> bool {
        let both = now.saturating_add(held);
        if both > self.limit {
            self.refused = true;
            return false;
        }
        true
    }

    fn grow_failed(&mut self) {
        self.now -= std::mem::take(&mut self.last);
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired))
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.grow_failed();
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let bytes = |elements: usize| elements.saturating_mul(ELEMENT);
        Ok(self.grow(bytes(current), bytes(desired)))
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.grow_failed();
        Ok(())
    }

    fn instances(&self) -> usize {
        MOST
    }

    fn tables(&self) -> usize {
        MOST
    }

    fn memories(&self) -> usize {
        MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_counts() {
        let mut limiter = MemoryLimiter::new(100);
        assert!(limiter.grow(0, 60));
        assert!(!limiter.grow(0, 60));
        assert!(limiter.has_refused());
        assert!(limiter.grow(0, 40));
        assert!(!limiter.grow(60, usize::MAX));
        assert_eq!(100, limiter.peak());
    }

    #[test]
    fn a_growth_that_the_system_refused_is_not_counted() {
        let mut limiter = MemoryLimiter::new(100);
        assert!(limiter.grow(0, 60));
        limiter.grow_failed();
        limiter.grow_failed();
        assert_eq!(0, limiter.peak());
        assert!(limiter.grow(0, 100));
    }

    #[test]
    fn what_the_host_holds_counts_for_as_long_as_it_does() {
        let mut limiter = MemoryLimiter::new(100);
        assert!(limiter.grow(0, 60));
        assert!(limiter.hold(30).is_ok());
        assert!(!limiter.grow(60, 80));
        limiter.let_go(30);
        assert!(limiter.grow(60, 90));
        assert_eq!(90, limiter.peak());
        assert!(limiter.hold(usize::MAX).is_err());
        assert!(limiter.hold(10).is_ok());
        assert_eq!(100, limiter.peak());
    }
}
