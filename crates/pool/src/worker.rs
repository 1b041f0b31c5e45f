//! What everybody may know of a worker: who it is, whether it lives, how it ended.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::process::{Exit, Process, after};

/// How long the supervisor may take to tell how a process has ended: it reaps it, which a template may take its time for,
/// and reads what it has printed.
const ENDED: Duration = Duration::from_secs(20);

/// A worker process, from its start to its end. Talking to it takes the [`Link`](super::link::Link), of which there is one.
#[derive(Debug)]
pub(super) struct Worker {
    /// Never used twice in a pool, unlike process ids.
    pub(super) number: u64,
    pub(super) project: Arc<str>,
    pub(super) process: Process,
    /// Set before the slot is looked at for an idle link, see [`Slot`](super::slot::Slot).
    dead: AtomicBool,
    end: Mutex<Option<Arc<Ended>>>,
    ended: Condvar,
}

/// What a worker has left.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) exit: Exit,
    /// The last lines of its output.
    pub(super) output: String,
}

impl Worker {
    pub(super) fn new(number: u64, project: Arc<str>, process: Process) -> Self {
        let dead = AtomicBool::new(false);
        Self { number, project, process, dead, end: Mutex::default(), ended: Condvar::new() }
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    pub(super) fn mark_dead(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }

    /// For the supervisor, when it has reaped the process and read the rest of its output.
    pub(super) fn set_ended(&self, ended: Ended) {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(ended));
        self.ended.notify_all();
    }

    /// How a process that has ended did so, once the supervisor has reaped it. `None` only where that does not get to it.
    pub(super) fn how_ended(&self) -> Option<Arc<Ended>> {
        self.wait_ended(ENDED)
    }

    /// Waits for what [`set_ended`](Self::set_ended) tells. `None` where the process lives on.
    pub(super) fn wait_ended(&self, limit: Duration) -> Option<Arc<Ended>> {
        let until = after(limit);
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(ended) = &*end {
                return Some(Arc::clone(ended));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            (end, _) = self.ended.wait_timeout(end, left).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
