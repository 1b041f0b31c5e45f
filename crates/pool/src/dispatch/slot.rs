//! The place of a project's worker in the pool.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::capacity::Permit;
use super::effects::{Refusal, Types};
use super::failures::Open;
use super::pending::{PendingCall, Prewarm, Queued, Submitted};
use super::runner::Runner;
use super::session::Session;
use super::state::State;
use crate::error::PoolError;
use crate::lane::Lane;
use crate::options::Rules;
use crate::process::{Target, Worker};

/// What the pool's slots are made of.
#[derive(Debug)]
pub(super) enum Real {}

impl Types for Real {
    type Link = Box<Session>;
    type Worker = Arc<Worker>;
    type Call = Queued;
    type Prewarm = Prewarm;
    type Permit = Permit;

    fn worker(session: &Box<Session>) -> Arc<Worker> {
        Arc::clone(&session.link.worker)
    }

    fn number(worker: &Arc<Worker>) -> u64 {
        worker.number
    }

    fn deadline(call: &Queued) -> Option<Instant> {
        call.call().deadline
    }

    fn is_same(one: &Queued, other: &Queued) -> bool {
        std::ptr::eq(one.call(), other.call())
    }
}

/// The slot's lock is held for moments only: never while a process is waited for, a pipe is read, a waker is
/// called, or another slot's lock is held.
pub(crate) struct Slot {
    pub(crate) project: Arc<str>,
    /// `None` for the project's main lane.
    pub(super) lane: Option<Box<str>>,
    pub(super) target: Target,
    pub(super) state: Mutex<State<Real>>,
    /// The queue has become shorter, or the slot was closed.
    pub(super) room: Condvar,
    pub(super) runner: Runner<Job>,
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("project", &self.project)
            .field("lane", &self.lane)
            .finish_non_exhaustive()
    }
}

/// Work for the slot's runner.
#[derive(Debug)]
pub(super) enum Job {
    Start(Permit),
    /// A submitted call, of which so many bytes were sent already.
    Make(Box<Session>, Arc<Submitted>, usize),
}

impl Slot {
    pub(super) fn new(lane: Lane<'_>, target: Target, rules: Rules) -> Arc<Self> {
        Arc::new(Self {
            project: Arc::from(lane.project()),
            lane: lane.name().map(Box::from),
            target,
            state: Mutex::new(State::new(rules)),
            room: Condvar::new(),
            runner: Runner::default(),
        })
    }
}

/// The errors of calls for the slot's project.
impl Slot {
    /// The error of a call, or of a prewarm, that was not sent.
    pub(super) fn refused(&self, call: Option<&PendingCall>, why: Refusal) -> PoolError {
        let project = self.project.to_string();
        match (why, call) {
            (Refusal::TimedOut, Some(call)) => self.timed_out(call, false),
            (Refusal::Aborted, Some(call)) => self.aborted(call, false),
            // Prewarms have no deadline and are not aborted.
            (Refusal::ShutDown | Refusal::TimedOut | Refusal::Aborted, _) => self.shut_down(),
            (Refusal::CircuitOpen(open), _) => {
                let Open { failures, remaining, cause } = open;
                PoolError::CircuitOpen { project, failures, next_try: remaining, cause }
            }
            (Refusal::NotStarted(cause), _) => PoolError::NotStarted { project, cause },
            (Refusal::NoThread(cause), _) => PoolError::System { action: "start a thread", cause },
        }
    }

    pub(super) fn timed_out(&self, call: &PendingCall, sent: bool) -> PoolError {
        let (project, name) = (self.project.to_string(), call.request.name.clone());
        PoolError::TimedOut { project, call: name, timeout: call.timeout.unwrap_or_default(), sent }
    }

    pub(super) fn aborted(&self, call: &PendingCall, sent: bool) -> PoolError {
        PoolError::Aborted { project: self.project.to_string(), call: call.request.name.clone(), sent }
    }

    /// The error of a call that was sent, at least in part, to a worker that did not answer.
    pub(super) fn lost(&self, call: &PendingCall, pid: u32, how: &str) -> PoolError {
        PoolError::WorkerLost {
            project: self.project.to_string(),
            call: call.request.name.clone(),
            pid,
            how: format!("it {how}"),
            output: String::new(),
            sent: true,
        }
    }

    pub(crate) fn shut_down(&self) -> PoolError {
        PoolError::ShutDown { project: self.project.to_string() }
    }
}
