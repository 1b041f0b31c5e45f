//! One project's place in the pool: its queue, and what there is of a worker.
//!
//! # The states of a worker's slot
//! ```text
//!                     a call comes              permit          ready
//!          ┌──────► Absent ───────► Waiting ───────► Starting ───────► Busy ◄──────┐
//!          │          │ ▲                               │               │ ▲        │ a call comes
//!          │          ▼ │ time is up                    │ failed        │ │ next   │
//!          │        Delayed (after failures)            │               ▼ │        │
//!          └────────────────────────────────────────────┴──────────── settled ──► Idle
//!            lost, too slow, unfit, evicted, too long idle               │          │
//!          ◄─────────────────────────────────────────────────────────────┴──────────┘
//! ```
//! Every change is made under the slot's lock, which is held for moments only: never while a process is waited for, a
//! pipe is read, a ticket's waker is called or another slot's lock is held. Within it a ticket's lock and the capacity's
//! may be taken.
//!
//! Exactly one thread has the [`Link`] of a `Busy` slot: a caller that makes its own call, or the slot's attendant, which
//! makes the calls that were submitted and starts workers. It ends the state by `settled`, which gives the link to the
//! next call in the queue, or by ending the worker. So the answer of one call cannot reach another: a link whose call was
//! left alone is not given on.
//!
//! # Races, and what decides them
//! - *A call is given up while its turn comes*: the ticket's phase decides, which one of the two moves out of `Waiting`. A
//!   caller whose time was up but that has its turn gives the link on, with nothing sent.
//! - *A worker dies between two calls*: the supervisor marks it dead first and looks for an idle link then; whoever makes
//!   a link idle looks at the mark under the lock. One of them sees the other. A call that finds the worker dead before
//!   it was sent goes back to the front of the queue.
//! - *Two want to start a worker*: only `Absent` leads to `Waiting` or `Starting`.
//! - *A slot goes idle while another begins to wait for a permit*: the one that waits says so and then looks at all slots;
//!   the one that goes idle looks for waiting ones under its lock. One of them sees the other.
//! - *Shutdown while callers wait*: `closed` is set under the lock, and every wait ends by it.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::capacity::Permit;
use super::error::{PoolError, StartError};
use super::link::Link;
use super::process::after;
use super::ticket::Ticket;
use sgtk_config::Bootstrap;

/// What a worker of the slot enters.
#[derive(Debug)]
pub(super) enum Target {
    /// A centralized configuration, by the project's name.
    Project,
    /// An engine of its own.
    Bootstrap(Box<Bootstrap>),
}

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) project: Arc<str>,
    pub(super) target: Target,
    state: Mutex<State>,
    /// A place in the queue has become free, or the slot was closed.
    pub(super) room: Condvar,
    /// There is a job for the attendant, or the slot was closed.
    pub(super) job: Condvar,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) queue: VecDeque<Arc<Ticket>>,
    pub(super) work: Work,
    pub(super) failures: Failures,
    pub(super) job: Option<Job>,
    pub(super) attendance: Attendance,
    pub(super) thread: Option<JoinHandle<()>>,
    pub(super) closed: bool,
    pub(super) pid: Option<u32>,
    pub(super) counts: Counts,
}

/// What there is of a worker. See the module.
#[derive(Debug)]
pub(super) enum Work {
    Absent,
    Delayed,
    Waiting,
    Starting,
    Idle(Box<Link>),
    Busy,
}

/// What the attendant is to do.
#[derive(Debug)]
pub(super) enum Job {
    Start(Permit),
    Make(Box<Link>),
}

/// Whether the slot has an attendant's thread, and whether that waits for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attendance {
    Nobody,
    Working,
    Lingering,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) calls: u64,
    pub(super) starts: u64,
    pub(super) losses: u64,
}

impl Slot {
    pub(super) fn new(project: Arc<str>, target: Target) -> Arc<Self> {
        let state = State {
            queue: VecDeque::new(),
            work: Work::Absent,
            failures: Failures::default(),
            job: None,
            attendance: Attendance::Nobody,
            thread: None,
            closed: false,
            pid: None,
            counts: Counts::default(),
        };
        Arc::new(Self {
            project,
            target,
            state: Mutex::new(state),
            room: Condvar::new(),
            job: Condvar::new(),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn shut_down(&self) -> PoolError {
        PoolError::ShutDown { project: self.project.to_string() }
    }

    /// Takes a call that was given up out of the queue, so that it takes no place there.
    pub(super) fn forget(&self, ticket: &Arc<Ticket>) {
        let mut state = self.lock();
        let before = state.queue.len();
        state.queue.retain(|queued| !Arc::ptr_eq(queued, ticket));
        if state.queue.len() < before {
            self.room.notify_one();
        }
    }
}

/// Failures in a row: starts that failed, and workers that ended before they had answered a call.
#[derive(Debug, Default)]
pub(super) struct Failures {
    count: u32,
    last: Option<Arc<StartError>>,
    next_try: Option<Instant>,
}

/// When to try again after failures.
#[derive(Clone, Copy, Debug)]
pub(super) struct BackOff {
    pub(super) first: Duration,
    pub(super) most: Duration,
    /// From how many failures on calls fail at once until the next try.
    pub(super) circuit: u32,
}

impl Failures {
    pub(super) fn add(&mut self, cause: Arc<StartError>, back_off: &BackOff) {
        self.count = self.count.saturating_add(1);
        self.last = Some(cause);
        // Once may be chance; from the second on each wait is twice the one before.
        let delay = match self.count {
            0 | 1 => Duration::ZERO,
            count => {
                let doublings = (count - 2).min(30);
                back_off.first.saturating_mul(1 << doublings).min(back_off.most)
            }
        };
        self.next_try = Some(after(delay));
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    pub(super) fn clear(&mut self) {
        if self.count > 0 {
            *self = Self::default();
        }
    }

    /// When a worker may be started, where that is later than `now`.
    pub(super) fn wait(&self, now: Instant) -> Option<Instant> {
        self.next_try.filter(|next| *next > now)
    }

    /// The error of calls that come while the circuit is open.
    pub(super) fn open(&self, project: &str, back_off: &BackOff, now: Instant) -> Option<PoolError> {
        let next = self.wait(now).filter(|_| self.count >= back_off.circuit)?;
        Some(PoolError::CircuitOpen {
            project: project.to_owned(),
            failures: self.count,
            next_try: next - now,
            cause: Arc::clone(self.last.as_ref()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACK_OFF: BackOff =
        BackOff { first: Duration::from_secs(10), most: Duration::from_secs(60), circuit: 4 };

    fn cause() -> Arc<StartError> {
        Arc::new(StartError::Path { path: "p".into() })
    }

    #[test]
    fn each_wait_is_twice_the_one_before_up_to_the_most() {
        let mut failures = Failures::default();
        let mut waits = Vec::new();
        for _ in 0..6 {
            failures.add(cause(), &BACK_OFF);
            let now = Instant::now();
            waits.push(failures.wait(now).map_or(0.0, |next| (next - now).as_secs_f64()).round() as u64);
        }
        assert_eq!(waits, [0, 10, 20, 40, 60, 60]);
    }

    #[test]
    fn the_circuit_opens_after_so_many_failures_and_until_the_next_try() {
        let mut failures = Failures::default();
        for _ in 0..3 {
            failures.add(cause(), &BACK_OFF);
        }
        let now = Instant::now();
        assert!(failures.wait(now).is_some() && failures.open("p", &BACK_OFF, now).is_none());
        failures.add(cause(), &BACK_OFF);
        let now = Instant::now();
        let error = failures.open("p", &BACK_OFF, now).unwrap();
        assert!(matches!(error, PoolError::CircuitOpen { failures: 4, .. }), "{error:?}");
        assert!(failures.open("p", &BACK_OFF, now + Duration::from_secs(41)).is_none());
        failures.clear();
        assert_eq!((failures.count(), failures.wait(now)), (0, None));
    }
}
