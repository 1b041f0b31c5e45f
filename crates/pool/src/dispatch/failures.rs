//! Repeated failures of one slot's workers: the wait before the next attempt, and the circuit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::StartError;
use crate::options::{BackOff, later};

/// Failures in a row: starts that failed, and workers that ended before they had answered a call.
#[derive(Debug, Default)]
pub(super) struct Failures {
    count: u32,
    next_attempt: Option<Instant>,
    last: Option<Arc<StartError>>,
}

/// The circuit is open: calls fail at once.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) failures: u32,
    /// How long until the next attempt.
    pub(super) remaining: Duration,
    pub(super) cause: Arc<StartError>,
}

impl Failures {
    pub(super) fn add(&mut self, cause: Arc<StartError>, back_off: &BackOff, now: Instant) {
        self.count = self.count.saturating_add(1);
        self.last = Some(cause);
        // The first failure may be chance. From the second on each wait is twice the one before.
        let delay = match self.count {
            0 | 1 => Duration::ZERO,
            count => {
                let doublings = (count - 2).min(30);
                back_off.first.saturating_mul(1 << doublings).min(back_off.longest)
            }
        };
        self.next_attempt = Some(later(now, delay));
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    pub(super) fn clear(&mut self) {
        if self.count > 0 {
            *self = Self::default();
        }
    }

    /// When a worker may be started, if that is after `now`.
    pub(super) fn next_attempt(&self, now: Instant) -> Option<Instant> {
        self.next_attempt.filter(|next| *next > now)
    }

    /// Whether the circuit is open.
    pub(super) fn open(&self, back_off: &BackOff, now: Instant) -> Option<Open> {
        let next = self.next_attempt(now)?;
        back_off.circuit.filter(|circuit| self.count >= *circuit)?;
        let cause = Arc::clone(self.last.as_ref()?);
        Some(Open { failures: self.count, remaining: next - now, cause })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACK_OFF: BackOff =
        BackOff { first: Duration::from_secs(10), longest: Duration::from_secs(60), circuit: Some(4) };

    fn cause() -> Arc<StartError> {
        Arc::new(StartError::Path { path: "p".into() })
    }

    #[test]
    fn each_wait_is_twice_the_one_before_up_to_the_longest() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        let mut waits = Vec::new();
        for _ in 0..6 {
            failures.add(cause(), &BACK_OFF, now);
            waits.push(failures.next_attempt(now).map_or(0, |next| (next - now).as_secs()));
        }
        assert_eq!(waits, [0, 10, 20, 40, 60, 60]);
    }

    #[test]
    fn the_circuit_opens_after_so_many_failures_and_until_the_next_attempt() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        for _ in 0..3 {
            failures.add(cause(), &BACK_OFF, now);
        }
        assert!(failures.next_attempt(now).is_some() && failures.open(&BACK_OFF, now).is_none());
        failures.add(cause(), &BACK_OFF, now);
        assert_eq!(failures.open(&BACK_OFF, now).unwrap().failures, 4);
        assert!(failures.open(&BackOff { circuit: None, ..BACK_OFF }, now).is_none());
        assert!(failures.open(&BACK_OFF, now + Duration::from_secs(41)).is_none());
        failures.clear();
        assert_eq!((failures.count(), failures.next_attempt(now)), (0, None));
    }
}
