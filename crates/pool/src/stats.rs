//! Figures of a pool.

use std::sync::atomic::{AtomicU64, Ordering};

use super::error::{Delivery, PoolError};
use super::inner::Inner;
use super::slot::Work;

/// What a pool has done, and what it is doing. Counted from its making.
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
    /// Starts that failed.
    pub failed_starts: u64,
    /// Workers that ended by themselves.
    pub lost: u64,
    /// Workers that were stopped as a call's time was up.
    pub too_slow: u64,
    /// Workers that were replaced: too many calls, too much memory, a core that has changed.
    pub recycled: u64,
    /// Workers that made room for another project's.
    pub evicted: u64,
    /// Workers that were ended as they had nothing to do.
    pub idle_ended: u64,
    /// What there is of each project that was called, sorted by name.
    pub projects: Vec<ProjectStats>,
}

/// What there is of one project.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProjectStats {
    /// The project's name.
    pub project: String,
    /// What its worker does.
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

/// What a project's worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WorkerState {
    /// There is none.
    Absent,
    /// There is none, and calls wait until it is time to try again after failures.
    BackingOff,
    /// Other projects' workers have all places.
    WaitingForRoom,
    /// It starts, or enters the project.
    Starting,
    /// It waits for a call.
    Idle,
    /// It runs a call.
    Busy,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) succeeded: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) may_have_run: AtomicU64,
    pub(super) started: AtomicU64,
    pub(super) forked: AtomicU64,
    pub(super) failed_starts: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) too_slow: AtomicU64,
    pub(super) recycled: AtomicU64,
    pub(super) evicted: AtomicU64,
    pub(super) idle_ended: AtomicU64,
}

impl Counters {
    pub(super) fn count<T>(&self, outcome: &Result<T, PoolError>) {
        let counter = match outcome.as_ref().map_err(PoolError::delivery) {
            Ok(_) => &self.succeeded,
            Err(Delivery::Ran) => &self.failed,
            Err(Delivery::MayHaveRun) => &self.may_have_run,
            Err(Delivery::NeverRan) => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Inner {
    pub(super) fn stats(&self) -> PoolStats {
        let counters = &self.counters;
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut projects: Vec<_> = self
            .slots()
            .into_iter()
            .map(|slot| {
                let state = slot.lock();
                ProjectStats {
                    project: slot.project.to_string(),
                    state: match &state.work {
                        Work::Absent => WorkerState::Absent,
                        Work::Delayed => WorkerState::BackingOff,
                        Work::Waiting => WorkerState::WaitingForRoom,
                        Work::Starting => WorkerState::Starting,
                        Work::Idle(_) => WorkerState::Idle,
                        Work::Busy => WorkerState::Busy,
                    },
                    pid: state.pid,
                    queued: state.queue.len(),
                    calls: state.counts.calls,
                    starts: state.counts.starts,
                    losses: state.counts.losses,
                    failures: state.failures.count(),
                }
            })
            .collect();
        projects.sort_by(|one, other| one.project.cmp(&other.project));
        PoolStats {
            succeeded: of(&counters.succeeded),
            failed: of(&counters.failed),
            may_have_run: of(&counters.may_have_run),
            started: of(&counters.started),
            forked: of(&counters.forked),
            failed_starts: of(&counters.failed_starts),
            lost: of(&counters.lost),
            too_slow: of(&counters.too_slow),
            recycled: of(&counters.recycled),
            evicted: of(&counters.evicted),
            idle_ended: of(&counters.idle_ended),
            projects,
        }
    }
}
