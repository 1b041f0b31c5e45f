//! A worker process as all parts of the pool see it: its identity, whether it is alive, how it ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::child::{Exit, Process};
use crate::options::after;

/// How long to wait for the report of a process's end. The supervisor reaps it first, which a template may
/// take its time for, and reads its remaining output.
const REPORT: Duration = Duration::from_secs(20);

/// A worker process, from its start to its end. Talking to it takes its [`Link`](super::link::Link).
#[derive(Debug)]
pub(crate) struct Worker {
    /// Unique within the pool, unlike process ids.
    pub(crate) number: u64,
    /// For log events.
    pub(crate) project: Arc<str>,
    pub(super) process: Process,
    dead: AtomicBool,
    end: Mutex<Option<Arc<Ended>>>,
    ended: Condvar,
}

/// How a worker has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) exit: Exit,
    /// The last lines of its output.
    pub(crate) output: String,
}

impl Worker {
    pub(super) fn new(number: u64, project: Arc<str>, process: Process) -> Self {
        let (dead, end, ended) = (AtomicBool::new(false), Mutex::default(), Condvar::new());
        Self { number, project, process, dead, end, ended }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Resident memory in bytes, where the system tells it.
    pub(crate) fn resident_memory(&self) -> Option<u64> {
        self.process.resident_memory()
    }

    /// Whether its process was seen to have ended.
    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    pub(super) fn mark_dead(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }

    /// Reports its end, once it was reaped and the rest of its output was read.
    pub(super) fn set_ended(&self, ended: Arc<Ended>) {
        *self.end.lock() = Some(ended);
        self.ended.notify_all();
    }

    /// Waits for the report of its end: how it ended, for a sentence that begins with "it", and its last
    /// output.
    pub(crate) fn report(&self) -> (String, String) {
        match self.wait_ended() {
            Some(ended) => (ended.exit.to_string(), ended.output.clone()),
            None => ("ended".to_owned(), String::new()),
        }
    }

    /// As [`report`](Self::report), for a process whose end has another reason: its last output alone.
    pub(crate) fn last_output(&self) -> String {
        self.wait_ended().map_or_else(String::new, |ended| ended.output.clone())
    }

    fn wait_ended(&self) -> Option<Arc<Ended>> {
        let until = after(REPORT);
        let mut end = self.end.lock();
        while end.is_none() {
            if self.ended.wait_until(&mut end, until).timed_out() {
                break;
            }
        }
        end.clone()
    }
}
