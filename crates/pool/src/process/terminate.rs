//! How a process is ended: it is asked, then gets SIGTERM, then SIGKILL, each after the grace period of the
//! step before.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::link::Link;
use super::worker::Worker;
use crate::options::{Grace, later};

/// How long a process may take to end after SIGKILL. Beyond it only the system can be the reason.
pub(super) const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// A step that ends a process. Later ones are stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// Asks it over its pipe.
    Ask,
    /// SIGTERM to its process group.
    Terminate,
    /// SIGKILL to its process group.
    Kill,
}

/// The end of one process.
#[derive(Debug, Default)]
pub(super) struct Termination {
    link: Option<Box<Link>>,
    taken: Option<Taken>,
}

#[derive(Clone, Copy, Debug)]
struct Taken {
    step: Step,
    /// When the next step is due, unless the grace period has no limit.
    due: Option<Instant>,
}

impl Termination {
    /// Takes a step, unless that or a stronger one was taken before. The link is kept, so that the process
    /// can write until it has ended. `None` for a template, which was asked over its socket.
    pub(super) fn request(
        &mut self,
        worker: &Worker,
        step: Step,
        link: Option<Box<Link>>,
        grace: Grace,
        now: Instant,
    ) {
        if let Some(link) = link {
            self.link = Some(link);
        }
        if self.taken.is_none_or(|taken| taken.step < step) {
            self.take(worker, step, grace, now);
        }
    }

    /// Takes the next step if the grace period of the last one is over.
    pub(super) fn escalate(&mut self, worker: &Worker, grace: Grace, now: Instant) {
        match self.taken {
            Some(Taken { step: Step::Ask, due: Some(due) }) if due <= now => {
                self.take(worker, Step::Terminate, grace, now);
            }
            Some(Taken { step: Step::Terminate, due: Some(due) }) if due <= now => {
                self.take(worker, Step::Kill, grace, now);
            }
            _ => {}
        }
    }

    fn take(&mut self, worker: &Worker, step: Step, grace: Grace, now: Instant) {
        let (step, timeout) = match step {
            Step::Ask if self.link.as_mut().is_none_or(|link| link.ask_to_end()) => (Step::Ask, grace.asked),
            // It cannot be asked.
            Step::Ask | Step::Terminate => {
                worker.process.signal_group(Signal::TERM);
                (Step::Terminate, grace.terminated)
            }
            Step::Kill => {
                let (project, pid) = (&*worker.project, worker.pid());
                tracing::warn!(project, pid, "a worker did not end in time: killing it");
                worker.process.signal_group(Signal::KILL);
                (Step::Kill, Some(KILL_TIMEOUT))
            }
        };
        self.taken = Some(Taken { step, due: timeout.map(|timeout| later(now, timeout)) });
    }

    /// Whether a step was taken.
    pub(super) fn has_begun(&self) -> bool {
        self.taken.is_some()
    }

    /// When [`escalate`](Self::escalate) is to be called next.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        self.taken?.due.filter(|_| !self.has_failed(now))
    }

    /// Whether the process has outlived SIGKILL.
    pub(super) fn has_failed(&self, now: Instant) -> bool {
        matches!(self.taken, Some(Taken { step: Step::Kill, due: Some(due) }) if due <= now)
    }
}
