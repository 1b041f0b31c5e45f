//! When a caller looks for an answer for a moment before it sleeps until there is one.
//!
//! To sleep and be woken costs as much as a short call: where a core is free for the caller, looking is
//! cheaper. Where none is, or calls take longer, it is wasted, so it is done only as long as it helps.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long a caller looks: about as long as it takes to be woken on an idle machine.
const LONGEST: Duration = Duration::from_micros(40);

/// After so many calls in a row whose answers were not found, a caller goes to sleep at once.
const MISSES: u32 = 4;

/// But for each one of so many calls, as answers may come quickly again.
const EVERY: u32 = 64;

/// How many callers there is a core for, and one for the worker of each.
static PAIRS_OF_CORES: LazyLock<usize> =
    LazyLock::new(|| std::thread::available_parallelism().map_or(0, |cores| cores.get() / 2));

/// The callers of this process that wait for an answer.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// A caller that waits for an answer, as long as this lives.
pub(super) struct Waiting(());

impl Waiting {
    pub(super) fn begin() -> Self {
        WAITING.fetch_add(1, Ordering::Relaxed);
        Self(())
    }

    /// Whether there are cores for all callers that wait, and for their workers.
    fn has_cores(&self) -> bool {
        WAITING.load(Ordering::Relaxed) <= *PAIRS_OF_CORES
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What looking for answers has come to so far.
#[derive(Debug, Default)]
pub(super) struct Spin {
    /// Calls in a row whose answer was not found, up to [`MISSES`].
    misses: u32,
    /// Calls in a row for which nobody has looked.
    skipped: u32,
}

impl Spin {
    /// Looks for an answer where that is likely to help. `found` looks once.
    pub(super) fn look(&mut self, waiting: &Waiting, found: impl FnMut() -> bool) -> bool {
        waiting.has_cores() && self.is_due() && self.note(until_found(found))
    }

    fn is_due(&mut self) -> bool {
        if self.misses < MISSES || self.skipped + 1 >= EVERY {
            self.skipped = 0;
            return true;
        }
        self.skipped += 1;
        false
    }

    fn note(&mut self, found: bool) -> bool {
        self.misses = if found { 0 } else { (self.misses + 1).min(MISSES) };
        found
    }
}

fn until_found(mut found: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < LONGEST {
        if found() {
            return true;
        }
        std::hint::spin_loop();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_looks_as_long_as_answers_are_found_and_rarely_when_they_are_not() {
        let mut spin = Spin::default();
        for _ in 0..1_000 {
            assert!(spin.is_due());
            assert!(spin.note(true));
        }
        let misses = (0..1_000).filter(|_| spin.is_due() && !spin.note(false)).count();
        assert_eq!(misses, (MISSES + (1_000 - MISSES) / EVERY) as usize);
        let next = (0..EVERY).position(|_| spin.is_due()).unwrap();
        assert!(next < EVERY as usize && spin.note(true));
        assert!(spin.is_due(), "one answer that is found is enough");
    }
}
