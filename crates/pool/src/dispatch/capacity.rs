//! How many workers there may be at a time, and which slot gets the next one.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};

use parking_lot::Mutex;

/// Permits for worker processes, first come, first served.
#[derive(Debug)]
pub(super) struct Capacity {
    limit: Option<usize>,
    state: Mutex<State>,
    /// Slots that wait, less workers that are already ending.
    pressure: AtomicIsize,
}

#[derive(Default)]
struct State {
    live: usize,
    ending: usize,
    waiting: VecDeque<Box<dyn FnOnce(Permit) + Send>>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.waiting.len();
        let (live, ending) = (self.live, self.ending);
        f.debug_struct("State")
            .field("live", &live)
            .field("ending", &ending)
            .field("waiting", &waiting)
            .finish()
    }
}

/// Allows one process, from before it is started until it has ended.
///
/// Must not be dropped under a slot's lock, as it then goes to the next slot.
#[derive(Debug)]
#[must_use = "dropping it gives it to the next slot"]
pub(super) struct Permit {
    capacity: Arc<Capacity>,
    ending: AtomicBool,
}

impl Capacity {
    pub(super) fn new(limit: Option<usize>) -> Arc<Self> {
        Arc::new(Self { limit, state: Mutex::default(), pressure: AtomicIsize::new(0) })
    }

    /// Calls `grant` with a permit: later, on another thread, if there is none now. Returns whether it was
    /// called.
    pub(super) fn request(self: &Arc<Self>, grant: impl FnOnce(Permit) + Send + 'static) -> bool {
        let mut state = self.state.lock();
        // Those that wait come first.
        if state.waiting.is_empty() && self.limit.is_none_or(|limit| state.live < limit) {
            state.live += 1;
            drop(state);
            grant(Permit::new(self));
            return true;
        }
        state.waiting.push_back(Box::new(grant));
        self.set_pressure(&state);
        false
    }

    /// Whether a worker should end so that another slot can have one.
    pub(super) fn is_short(&self) -> bool {
        self.pressure.load(Ordering::SeqCst) > 0
    }

    /// Forgets the slots that wait, for a pool that is closed.
    pub(super) fn close(&self) {
        let waiting = {
            let mut state = self.state.lock();
            let waiting = std::mem::take(&mut state.waiting);
            self.set_pressure(&state);
            waiting
        };
        drop(waiting);
    }

    fn set_pressure(&self, state: &State) {
        let pressure = state.waiting.len() as isize - state.ending as isize;
        self.pressure.store(pressure, Ordering::SeqCst);
    }
}

impl Permit {
    fn new(capacity: &Arc<Capacity>) -> Self {
        Self { capacity: Arc::clone(capacity), ending: AtomicBool::new(false) }
    }

    /// Announces the end of the process, so that no other worker is ended for the slot that waits.
    pub(super) fn announce_end(&self) {
        if !self.ending.swap(true, Ordering::SeqCst) {
            let mut state = self.capacity.state.lock();
            state.ending += 1;
            self.capacity.set_pressure(&state);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let next = {
            let mut state = self.capacity.state.lock();
            if *self.ending.get_mut() {
                state.ending -= 1;
            }
            let next = state.waiting.pop_front();
            if next.is_none() {
                state.live -= 1;
            }
            self.capacity.set_pressure(&state);
            next
        };
        if let Some(grant) = next {
            grant(Permit::new(&self.capacity));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn permits_are_granted_in_the_order_of_the_requests() {
        let capacity = Capacity::new(Some(1));
        let (sender, granted) = mpsc::channel();
        let request = |number: u32| {
            let sender = sender.clone();
            capacity.request(move |permit| sender.send((number, permit)).unwrap())
        };
        assert_eq!([request(1), request(2), request(3)], [true, false, false]);
        for expected in 1..=3 {
            let (number, permit) = granted.try_recv().unwrap();
            assert_eq!(number, expected);
            assert!(granted.try_recv().is_err(), "there is one at a time");
            drop(permit);
        }
        assert!(request(4), "the permit is free again");
    }

    #[test]
    fn a_worker_that_is_ending_relieves_the_pressure_of_one_slot() {
        let capacity = Capacity::new(Some(1));
        let (sender, granted) = mpsc::channel();
        let request = || {
            let sender = sender.clone();
            capacity.request(move |permit| sender.send(permit).unwrap())
        };
        request();
        let permit = granted.try_recv().unwrap();
        assert!(!capacity.is_short());
        request();
        assert!(capacity.is_short());
        permit.announce_end();
        permit.announce_end();
        assert!(!capacity.is_short());
        request();
        assert!(capacity.is_short());
        drop(permit);
        assert!(capacity.is_short(), "the last one still waits");
        capacity.close();
        assert!(!capacity.is_short());
    }
}
