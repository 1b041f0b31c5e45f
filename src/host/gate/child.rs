//! The gate in a process that was forked: of all threads only the one that has forked is there.

use std::mem;

use super::{Gate, Key, Phase, Place};

impl Gate {
    /// A place for a thread that has none. `None` where another thread had the gate's lock at the very moment
    /// of the fork: it stays locked.
    pub(crate) fn next_place_in_child(&self) -> Option<Place> {
        let mut inner = self.inner.try_lock()?;
        let place = Place(inner.next);
        inner.next += 1;
        Some(place)
    }

    /// Has `key`'s project be in place for holders with these places alone, and nobody wait; without a key,
    /// has nothing be in place. What one of the places is moving it goes on moving. `false` where the gate is
    /// locked for good.
    pub(crate) fn begin_in_child(&self, key: Option<&Key>, places: Vec<Place>) -> bool {
        let Some(mut inner) = self.inner.try_lock() else { return false };
        // Who waited is not there: nobody is to be woken, and what they share with the queue stays theirs.
        mem::forget(mem::take(&mut inner.queue));
        inner.closed_by = None;
        inner.passes = 0;
        inner.moves += 1;
        let moves = matches!(&inner.phase, Phase::Moving(_, place) if places.contains(place));
        if !moves {
            inner.phase = key.map_or(Phase::Free, |key| Phase::InPlace(key.clone(), places));
        }
        true
    }
}
