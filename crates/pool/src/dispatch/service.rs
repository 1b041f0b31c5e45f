//! How long a worker has served its slot, and what others that wait make of it.

use std::time::Instant;

use crate::options::Rules;

/// A worker's service so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Service {
    /// Calls that it has answered.
    answered: u64,
    /// When its slice began.
    slice: Instant,
    /// Since when it has nothing to do, if so.
    idle: Instant,
}

impl Service {
    /// A worker that is new, or given its first call.
    pub(super) fn new(now: Instant) -> Self {
        Self { answered: 0, slice: now, idle: now }
    }

    /// It has answered a call.
    pub(super) fn answer(&mut self) {
        self.answered += 1;
    }

    pub(super) fn has_answered(&self) -> bool {
        self.answered > 0
    }

    /// It has nothing to do.
    pub(super) fn rest(self, now: Instant) -> Self {
        Self { idle: now, ..self }
    }

    /// It has something to do again. One that comes as soon as it may belongs to the slice before, as else a
    /// project whose calls come one after the other would never end its own.
    pub(super) fn resume(self, rules: &Rules, now: Instant) -> Self {
        let same = !rules.linger.is_zero() && now.saturating_duration_since(self.idle) <= rules.linger;
        if same { self } else { Self { slice: now, ..self } }
    }

    pub(super) fn idle_since(&self) -> Instant {
        self.idle
    }

    pub(super) fn slice_is_over(&self, rules: &Rules, now: Instant) -> bool {
        rules.slice.is_some_and(|slice| now.saturating_duration_since(self.slice) >= slice)
    }

    /// Until when it stays though it has nothing to do from now on and others wait, if it does.
    pub(super) fn lingers(&self, rules: &Rules, now: Instant) -> Option<Instant> {
        let stays = !rules.linger.is_zero() && !self.slice_is_over(rules, now);
        stays.then(|| now + rules.linger)
    }

    pub(super) fn is_worn_out(&self, rules: &Rules) -> bool {
        rules.recycle_after.is_some_and(|calls| self.answered >= calls)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::options::BackOff;

    fn rules(linger: u64) -> Rules {
        let back_off = BackOff { first: Duration::ZERO, longest: Duration::ZERO, circuit: None };
        let (linger, slice) = (Duration::from_millis(linger), Some(Duration::from_millis(100)));
        Rules { queue_limit: None, retries: 0, recycle_after: None, slice, linger, back_off }
    }

    #[test]
    fn calls_that_follow_at_once_belong_to_one_slice_which_ends() {
        let (rules, start) = (rules(10), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        let mut service = Service::new(start);
        for now in [20, 40, 60, 80] {
            assert_eq!(service.rest(at(now)).lingers(&rules, at(now)), Some(at(now + 10)));
            service = service.rest(at(now)).resume(&rules, at(now + 10));
        }
        assert!(service.slice_is_over(&rules, at(100)));
        assert_eq!(service.rest(at(100)).lingers(&rules, at(100)), None);
    }

    #[test]
    fn a_call_after_a_pause_begins_a_slice() {
        let (rules, start) = (rules(10), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        let service = Service::new(start).rest(at(70)).resume(&rules, at(81));
        assert!(!service.slice_is_over(&rules, at(180)));
        assert!(service.slice_is_over(&rules, at(181)));
    }

    #[test]
    fn nobody_lingers_unless_it_is_asked_for() {
        let (rules, now) = (rules(0), Instant::now());
        assert_eq!(Service::new(now).lingers(&rules, now), None);
    }
}
