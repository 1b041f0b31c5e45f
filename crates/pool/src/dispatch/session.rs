//! A link to a worker, and what is remembered of the worker between calls.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;
use sgtk_config::Changed;

use super::capacity::Permit;
use crate::process::{FilesRead, Link};
use crate::wire;

/// How often the memory of a busy worker is measured.
const MEASURE_EVERY: Duration = Duration::from_millis(100);

/// What a worker says that has taken its plugins' modules out.
#[derive(Deserialize)]
struct Forgotten {
    #[serde(rename = "forgotten")]
    _modules: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) link: Box<Link>,
    pub(super) permit: Arc<Permit>,
    read: FilesRead,
    /// When they were last looked at.
    looked: Instant,
    /// Why it goes on although they have changed.
    kept: Option<String>,
    /// When its memory was last measured. `None` before its first call.
    measured: Option<Instant>,
}

impl Session {
    pub(super) fn new(link: Box<Link>, permit: Arc<Permit>, read: FilesRead, now: Instant) -> Box<Self> {
        Box::new(Self { link, permit, read, looked: now, kept: None, measured: None })
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

    /// Whether the last look at its files is older than `age`.
    pub(super) fn is_look_due(&self, age: Option<Duration>) -> bool {
        age.is_some_and(|age| self.looked.elapsed() >= age)
    }

    /// The files that are not what it has read.
    pub(super) fn look(&mut self) -> Changed {
        self.looked = Instant::now();
        self.read.changed(self.kept.is_some())
    }

    /// Has the worker load its plugins anew when they are imported next. Returns whether it does.
    pub(super) fn load_plugins_anew(&mut self, deadline: Instant) -> bool {
        // Before they are loaded: what changes meanwhile is seen with the next look.
        let Some(now) = self.read.plugins_now() else { return false };
        let Ok(request) = wire::encode(&json!({"load_anew": true})) else { return false };
        let Ok(answer) = self.link.exchange(&request, &mut 0, Some(deadline)) else { return false };
        let is_done = serde_json::from_slice::<Forgotten>(answer.body()).is_ok();
        if is_done {
            (self.read, self.kept) = (now, None);
        }
        is_done
    }

    /// Notes why it goes on although its files have changed; `None` where they have not. Returns whether that
    /// is news.
    pub(super) fn keep(&mut self, why: Option<String>) -> bool {
        let is_news = self.kept != why;
        self.kept = why;
        is_news
    }
}
