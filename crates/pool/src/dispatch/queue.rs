//! The calls of one slot that wait.

use std::collections::VecDeque;

use super::effects::{Types, Waiting};

/// First come, first served.
pub(super) struct Queue<T: Types> {
    entries: VecDeque<Entry<T>>,
}

struct Entry<T: Types> {
    waiting: Waiting<T>,
    /// How many starts have failed while it waited.
    failed_starts: u32,
}

impl<T: Types> Queue<T> {
    pub(super) fn new() -> Self {
        Self { entries: VecDeque::new() }
    }

    pub(super) fn push(&mut self, waiting: Waiting<T>) {
        self.entries.push_back(Entry { waiting, failed_starts: 0 });
    }

    /// Puts a call that was dispatched and not sent to the front.
    pub(super) fn put_back(&mut self, call: T::Call) {
        self.entries.push_front(Entry { waiting: Waiting::Call(call), failed_starts: 0 });
    }

    pub(super) fn pop(&mut self) -> Option<Waiting<T>> {
        self.entries.pop_front().map(|entry| entry.waiting)
    }

    /// Counts a failed start. Returns those that have waited for more failed starts than `retries`.
    pub(super) fn start_failed(&mut self, retries: u32) -> Vec<Waiting<T>> {
        let mut failed = Vec::new();
        for mut entry in std::mem::take(&mut self.entries) {
            entry.failed_starts += 1;
            if entry.failed_starts <= retries {
                self.entries.push_back(entry);
            } else {
                failed.push(entry.waiting);
            }
        }
        failed
    }

    /// Returns whether the call was in the queue.
    pub(super) fn remove(&mut self, call: &T::Call) -> bool {
        let place = self.entries.iter().position(|entry| entry.waiting.is(call));
        place.and_then(|place| self.entries.remove(place)).is_some()
    }

    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Waiting<T>> + use<T> {
        std::mem::take(&mut self.entries).into_iter().map(|entry| entry.waiting)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
