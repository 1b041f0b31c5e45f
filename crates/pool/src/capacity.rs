//! How many workers there may be at a time, and who is next.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::inner::Inner;
use super::slot::Slot;

/// Permits for worker processes, given first come first served.
#[derive(Debug)]
pub(super) struct Capacity {
    most: usize,
    state: Mutex<State>,
    /// Slots that wait, less workers that are ending already.
    pressure: AtomicIsize,
}

#[derive(Debug, Default)]
struct State {
    live: usize,
    ending: usize,
    waiting: VecDeque<Arc<Slot>>,
}

/// Leave for one process, from before it is started until it has ended.
///
/// Not to be dropped under a slot's lock: the next slot gets it then.
#[derive(Debug)]
#[must_use = "dropping it gives it to the next slot"]
pub(super) struct Permit {
    inner: Arc<Inner>,
    ending: bool,
}

impl Capacity {
    pub(super) fn new(most: Option<usize>) -> Self {
        Self { most: most.unwrap_or(usize::MAX), state: Mutex::default(), pressure: AtomicIsize::new(0) }
    }

    /// A permit now, or a place in the queue for one.
    pub(super) fn request(&self, inner: &Arc<Inner>, slot: &Arc<Slot>) -> Option<Permit> {
        let mut state = self.lock();
        // Those that wait come first.
        if state.live < self.most && state.waiting.is_empty() {
            state.live += 1;
            return Some(Permit { inner: Arc::clone(inner), ending: false });
        }
        state.waiting.push_back(Arc::clone(slot));
        self.note(&state);
        None
    }

    /// Whether a worker should end so that another slot can have one.
    pub(super) fn is_wanted(&self) -> bool {
        self.pressure.load(Ordering::SeqCst) > 0
    }

    pub(super) fn forget_waiting(&self) {
        let mut state = self.lock();
        state.waiting.clear();
        self.note(&state);
    }

    fn note(&self, state: &State) {
        let pressure = state.waiting.len() as isize - state.ending as isize;
        self.pressure.store(pressure, Ordering::SeqCst);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Says that the process is about to end, so that no other one has to for the slot that waits.
    pub(super) fn is_ending(&mut self) {
        if !self.ending {
            self.ending = true;
            let capacity = &self.inner.capacity;
            let mut state = capacity.lock();
            state.ending += 1;
            capacity.note(&state);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let capacity = &self.inner.capacity;
        let next = {
            let mut state = capacity.lock();
            if self.ending {
                state.ending -= 1;
            }
            let next = state.waiting.pop_front();
            if next.is_none() {
                state.live -= 1;
            }
            capacity.note(&state);
            next
        };
        if let Some(slot) = next {
            let inner = &self.inner;
            inner.permitted(&slot, Permit { inner: Arc::clone(inner), ending: false });
        }
    }
}
