//! A pool's statistics.

use std::sync::atomic::{AtomicU64, Ordering};

use super::error::{Delivery, PoolError};

/// What a pool has done since it was built, and what it is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Calls that returned a result.
    pub succeeded: u64,
    /// Calls whose function ran and failed.
    pub failed: u64,
    /// Calls that were sent and may have run.
    pub may_have_run: u64,
    /// Workers that were started as a process of their own.
    pub started: u64,
    /// Workers that were forked from a template.
    pub forked: u64,
    /// Processes that workers are forked from, at present.
    pub templates: usize,
    /// Starts that failed, but for those that were not tried because of what is on disk at this moment.
    pub failed_starts: u64,
    /// Workers that ended by themselves.
    pub lost: u64,
    /// Workers that were ended because a call timed out.
    pub timed_out: u64,
    /// Workers that were replaced: after so many calls, for their memory, or because the core has changed.
    pub recycled: u64,
    /// Idle workers, and workers after their slice, that were ended for another project.
    pub evicted: u64,
    /// Workers that were ended because they were idle for too long.
    pub idle_ended: u64,
    /// Each project that was called, and each of its lanes, sorted by name.
    pub projects: Vec<ProjectStats>,
}

/// The statistics of a project, or of one of its lanes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProjectStats {
    /// The project's name.
    pub project: String,
    /// The lane's name. `None` for the project's main lane.
    pub lane: Option<String>,
    /// The state of its worker.
    pub state: WorkerState,
    /// Its worker's process id.
    pub pid: Option<u32>,
    /// Calls that wait.
    pub queued: usize,
    /// Calls that were answered.
    pub calls: u64,
    /// Workers that were started.
    pub starts: u64,
    /// Workers that ended by themselves.
    pub losses: u64,
    /// Failures in a row: starts that failed, and workers that ended in their first call.
    pub failures: u32,
}

/// The state of a project's worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WorkerState {
    /// There is none.
    Absent,
    /// There is none after failures, and calls wait for the next attempt.
    BackingOff,
    /// There is none, and calls wait as there are `max_workers` workers.
    AwaitingPermit,
    /// It starts, or enters its project.
    Starting,
    /// It waits for a call.
    Idle,
    /// It runs a call.
    Busy,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) succeeded: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) may_have_run: AtomicU64,
    pub(crate) started: AtomicU64,
    pub(crate) forked: AtomicU64,
    pub(crate) failed_starts: AtomicU64,
    pub(crate) timed_out: AtomicU64,
    pub(crate) recycled: AtomicU64,
    pub(crate) evicted: AtomicU64,
    pub(crate) idle_ended: AtomicU64,
}

impl Counters {
    pub(crate) fn count<T>(&self, outcome: &Result<T, PoolError>) {
        let counter = match outcome.as_ref().map_err(PoolError::delivery) {
            Ok(_) => &self.succeeded,
            Err(Delivery::Ran) => &self.failed,
            Err(Delivery::MayHaveRun) => &self.may_have_run,
            Err(Delivery::NeverRan) => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Counters {
    /// `projects` in any order.
    pub(crate) fn stats(&self, templates: usize, mut projects: Vec<ProjectStats>) -> PoolStats {
        projects.sort_by(|one, other| (&one.project, &one.lane).cmp(&(&other.project, &other.lane)));
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PoolStats {
            succeeded: count(&self.succeeded),
            failed: count(&self.failed),
            may_have_run: count(&self.may_have_run),
            started: count(&self.started),
            forked: count(&self.forked),
            templates,
            failed_starts: count(&self.failed_starts),
            lost: projects.iter().map(|project| project.losses).sum(),
            timed_out: count(&self.timed_out),
            recycled: count(&self.recycled),
            evicted: count(&self.evicted),
            idle_ended: count(&self.idle_ended),
            projects,
        }
    }
}
