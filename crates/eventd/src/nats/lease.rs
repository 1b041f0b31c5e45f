//! The lease: while a host may run what it was given.
//!
//! The server gives a message to somebody else when it has heard nothing for `ack_wait`. A host that was
//! frozen, or cut off, does not know that this has happened; so it runs a message only on the connection that
//! it was pulled on, and only while the server has answered within 0.6 of that time.

use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
/// Time since the machine was started, with the time for which it was asleep.
pub(super) fn now() -> Duration {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let clock = rustix::time::ClockId::Monotonic;
    let time = rustix::time::clock_gettime(clock);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// When something was pulled: how often the lease had lapsed by then, and the connection been lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Epoch {
    pub(super) lapses: u64,
    pub(super) connections: u64,
}

impl Epoch {
    /// Whether what was pulled in this epoch may be run in another. What was begun goes on over a connection
    /// that was lost for so short a time that the lease held.
    pub(super) fn allows(self, now: Epoch, begun: bool) -> bool {
        self.lapses == now.lapses && (begun || self.connections == now.connections)
    }
}

/// The part of `ack_wait` for which the server may be silent.
const PART: f64 = 0.6;

/// See the module.
#[derive(Debug)]
pub(super) struct Lease {
    limit: Duration,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// When the last question was asked that the server has answered.
    asked: Option<Duration>,
    epoch: Epoch,
    lapsed: bool,
}

impl Lease {
    pub(super) fn new(ack_wait: Duration) -> Lease {
        Lease {
            limit: ack_wait.mul_f64(PART),
            inner: Mutex::new(Inner { asked: None, epoch: Epoch::default(), lapsed: true }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// The epoch, where the lease holds now.
    pub(super) fn holds(&self, now: Duration) -> Option<Epoch> {
        let mut inner = self.lock();
        inner.look(now, self.limit);
        (!inner.lapsed).then_some(inner.epoch)
    }

    /// The epoch, whether or not the lease holds.
    pub(super) fn epoch(&self, now: Duration) -> Epoch {
        let mut inner = self.lock();
        inner.look(now, self.limit);
        inner.epoch
    }

    /// The server has answered a question of this time. What was silent for too long stays ended: the answer
    /// is for what is pulled from now on.
    pub(super) fn answered(&self, asked: Duration, now: Duration) {
        let mut inner = self.lock();
        inner.look(now, self.limit);
        if now.saturating_sub(asked) < self.limit && inner.asked.is_none_or(|last| last < asked) {
            inner.asked = Some(asked);
            inner.lapsed = false;
        }
    }

    /// The connection was lost: what was pulled on it is not to be begun.
    pub(super) fn disconnected(&self) {
        self.lock().epoch.connections += 1;
    }
}

impl Inner {
    fn look(&mut self, now: Duration, limit: Duration) {
        let late = self.asked.is_none_or(|asked| now.saturating_sub(asked) >= limit);
        if late && !self.lapsed {
            self.lapsed = true;
            self.epoch.lapses += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_holds_while_the_server_answers() {
        let lease = Lease::new(seconds(10));
        assert_eq!(lease.holds(seconds(0)), None);
        lease.answered(seconds(0), seconds(1));
        assert!(lease.holds(seconds(5)).is_some());
        lease.answered(seconds(4), seconds(5));
        assert!(lease.holds(seconds(9)).is_some());
        assert_eq!(lease.holds(seconds(10)), None);
    }

    #[test]
    fn what_was_pulled_before_a_silence_stays_ended_when_the_server_answers_again() {
        let lease = Lease::new(seconds(10));
        lease.answered(seconds(0), seconds(0));
        let before = lease.epoch(seconds(1));
        // Frozen: nobody has looked in between, and the answer is read first.
        lease.answered(seconds(29), seconds(30));
        let after = lease.holds(seconds(30)).unwrap();
        assert!(!before.allows(after, false) && !before.allows(after, true));
    }

    #[test]
    fn an_old_answer_that_was_read_late_renews_nothing() {
        let lease = Lease::new(seconds(10));
        lease.answered(seconds(0), seconds(0));
        lease.answered(seconds(1), seconds(30));
        assert_eq!(lease.holds(seconds(30)), None);
    }

    #[test]
    fn a_lost_connection_ends_what_was_pulled_and_not_what_was_begun() {
        let lease = Lease::new(seconds(10));
        lease.answered(seconds(0), seconds(0));
        let before = lease.epoch(seconds(1));
        lease.disconnected();
        let after = lease.holds(seconds(1)).unwrap();
        assert!(!before.allows(after, false) && before.allows(after, true));
    }
}
