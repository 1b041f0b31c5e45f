//! A link to a worker, and what is remembered of the worker between calls.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sgtk_config::Fingerprint;

use super::capacity::Permit;
use crate::process::Link;

/// How often the memory of a busy worker is measured.
const MEASURE_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Session {
    pub(super) link: Box<Link>,
    pub(super) permit: Arc<Permit>,
    /// The core's files when it was imported, and when they were last compared. `None` for a bootstrap.
    fingerprint: Option<Fingerprint>,
    compared: Instant,
    /// When its memory was last measured. `None` before its first call.
    measured: Option<Instant>,
}

impl Session {
    pub(super) fn new(
        link: Box<Link>,
        permit: Arc<Permit>,
        fingerprint: Option<Fingerprint>,
        now: Instant,
    ) -> Box<Self> {
        Box::new(Self { link, permit, fingerprint, compared: now, measured: None })
    }

    /// Whether the worker uses more memory than this many bytes, as far as that was measured now.
    pub(super) fn is_oversized(&mut self, limit: Option<u64>) -> bool {
        let Some(limit) = limit else { return false };
        if self.measured.is_some_and(|measured| measured.elapsed() < MEASURE_EVERY) {
            return false;
        }
        self.measured = Some(Instant::now());
        let worker = &self.link.worker;
        let memory = worker.resident_memory().filter(|memory| *memory > limit);
        if let Some(memory) = memory {
            let (project, pid) = (&*worker.project, worker.pid());
            tracing::warn!(
                project,
                pid,
                memory,
                limit,
                "the worker uses more memory than it may and is replaced"
            );
        }
        memory.is_some()
    }

    /// The files to compare with what they are now, if the last comparison is older than `age`.
    pub(super) fn due_comparison(&self, age: Option<Duration>) -> Option<&Fingerprint> {
        let age = age?;
        self.fingerprint.as_ref().filter(|_| self.compared.elapsed() >= age)
    }

    pub(super) fn set_compared(&mut self) {
        self.compared = Instant::now();
    }
}
