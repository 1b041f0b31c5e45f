//! One process as the supervisor sees it: its output, its end, and how it is ended.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fd::{AsFd, OwnedFd};
use rustix::process::Signal;
use sgtk_config::keys::Secrets;

use super::child::Exit;
use super::link::Link;
use super::output::{More, Output, Records, SHARE, Stream, Tail, held};
use super::spawn::Outputs;
use super::terminate::{Step, Termination};
use super::worker::{Ended, Worker};
use crate::options::Grace;

/// How long to wait for a template to report the exit status of a worker that it has forked. It has nothing
/// else to do, so only a busy machine makes it slow.
const STATUS_TIMEOUT: Duration = Duration::from_secs(5);

/// The same where the template has ended: what it has reported before may still be on its way.
const LAST_STATUS_TIMEOUT: Duration = Duration::from_millis(500);

/// Who reaps a process that is not a child of this one.
pub(super) trait Reaper: Send + Sync + fmt::Debug {
    /// Asks for the process to be reaped, without waiting. Returns whether its status will be reported.
    fn reap(&self, pid: u32) -> bool;

    /// Whether it may still report a status.
    fn is_alive(&self) -> bool;
}

/// Called once, when a process was reaped.
pub(crate) type OnEnd = Box<dyn FnOnce(&Worker, &Ended) + Send>;

/// A process, from its start until it was reaped.
pub(super) struct Watched {
    worker: Arc<Worker>,
    on_end: Option<OnEnd>,
    /// The template that has forked it.
    parent: Option<Arc<dyn Reaper>>,
    stdout: Option<Output>,
    stderr: Option<Output>,
    records: Option<Records>,
    /// What the records' had, once those are closed: it is hidden as long as the process is watched.
    secrets: Option<Secrets>,
    /// Closing it kills the process, so it is closed last.
    _lifeline: OwnedFd,
    tail: Tail,
    termination: Termination,
    /// A pipe was not read to its end.
    more: bool,
    /// When it was seen to have ended.
    ended: Option<Instant>,
    exit: Option<Exit>,
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("worker", &self.worker).finish_non_exhaustive()
    }
}

impl Watched {
    pub(super) fn new(
        worker: Arc<Worker>,
        outputs: Outputs,
        parent: Option<Arc<dyn Reaper>>,
        on_end: Option<OnEnd>,
    ) -> Self {
        Self {
            worker,
            on_end,
            parent,
            stdout: Some(Output::new(outputs.stdout, Stream::Out)),
            stderr: Some(Output::new(outputs.stderr, Stream::Error)),
            records: Some(Records::new(outputs.records)),
            secrets: None,
            _lifeline: outputs.lifeline,
            tail: Tail::default(),
            termination: Termination::default(),
            more: false,
            ended: None,
            exit: None,
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.worker.pid()
    }

    pub(super) fn is(&self, worker: &Worker) -> bool {
        self.worker.number == worker.number
    }

    /// The descriptors to poll.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let alive = self.ended.is_none();
        let process = self.worker.process.descriptor();
        let outputs = [&self.stdout, &self.stderr].into_iter().flatten().map(|output| output.pipe.as_fd());
        let records = self.records.as_ref().map(|records| records.pipe.as_fd());
        outputs.chain(records).chain(process).filter(move |_| alive)
    }

    /// Whether [`attend`](Self::attend) has to be called though no descriptor is ready.
    pub(super) fn is_due(&self) -> bool {
        self.more || self.ended.is_some() || self.worker.process.descriptor().is_none()
    }

    /// When to look at it next, whatever its descriptors say.
    pub(super) fn next_due(&self, now: Instant) -> Option<Instant> {
        let at_once = (self.more || self.exit.is_some()).then_some(now);
        at_once.into_iter().chain(self.termination.due(now)).min()
    }

    pub(super) fn is_being_ended(&self) -> bool {
        self.termination.has_begun()
    }

    /// Whether it has outlived SIGKILL.
    pub(super) fn cannot_be_ended(&self, now: Instant) -> bool {
        self.termination.has_failed(now)
    }

    /// Ends it by this step, or goes on from a stronger one.
    pub(super) fn end(&mut self, step: Step, link: Option<Box<Link>>, grace: Grace, now: Instant) {
        // Once it has ended, its process id may be another's.
        if self.ended.is_none() {
            self.termination.request(&self.worker, step, link, grace, now);
        }
    }

    /// Takes the next step to end it, if that is due.
    pub(super) fn escalate(&mut self, grace: Grace, now: Instant) {
        if self.ended.is_none() {
            self.termination.escalate(&self.worker, grace, now);
        }
    }

    /// Takes the status that the template has reported.
    pub(super) fn set_status(&mut self, status: i32) {
        self.exit = Some(match status & 0x7f {
            0 => Exit::Status(status >> 8 & 0xff),
            signal => Exit::Signal(signal),
        });
    }

    /// Reads its output, and reaps it if it has ended. Returns whether that is done.
    pub(super) fn attend(&mut self) -> bool {
        if self.ended.is_none() {
            // Checked before the pipes are read, so that what it wrote before its end is read too.
            let ended = self.worker.process.has_ended();
            self.read(|_| SHARE);
            if !ended {
                return false;
            }
            self.reap();
        }
        if self.exit.is_some() {
            return true;
        }
        let Some(parent) = &self.parent else { return true };
        let timeout = if parent.is_alive() { STATUS_TIMEOUT } else { LAST_STATUS_TIMEOUT };
        self.ended.is_some_and(|seen| seen.elapsed() > timeout)
    }

    fn reap(&mut self) {
        self.ended = Some(Instant::now());
        self.worker.mark_dead();
        // What it has started ends with it. The group is still its own, as it was not reaped.
        self.worker.process.signal_group(Signal::KILL);
        match &self.parent {
            Some(parent) => {
                if !parent.reap(self.pid()) {
                    self.exit = Some(Exit::Unknown);
                }
            }
            None => self.exit = self.worker.process.reap(),
        }
        // What the pipes hold now is all that it can have written itself. What comes later is another
        // process's that has them open, and that may never stop.
        self.read(held);
        self.more = false;
    }

    /// Reads its output, of each pipe up to the number of bytes that `most` gives.
    fn read(&mut self, most: impl Fn(&OwnedFd) -> usize) {
        let (project, pid) = (&*self.worker.project, self.worker.pid());
        let read =
            |output: &mut Option<Output>| output.as_mut().map(|output| output.read(most(&output.pipe)));
        let outputs = [read(&mut self.stdout), read(&mut self.stderr)];
        // After that: a process tells of a key before it can print it, so that all keys in what was read are
        // known now, if all records are read.
        let records = self.records.as_mut();
        let records = records.map(|records| records.read(project, pid, SHARE.max(held(&records.pipe))));
        for (output, read) in [&mut self.stdout, &mut self.stderr].into_iter().zip(outputs) {
            if let Some(open) = output {
                open.emit(project, pid, &mut self.tail);
            }
            if read == Some(More::Never)
                && let Some(mut closed) = output.take()
            {
                closed.finish(project, pid, &mut self.tail);
            }
        }
        if records == Some(More::Never) {
            self.secrets = self.records.take().and_then(Records::into_secrets);
        }
        self.more = records.into_iter().chain(outputs.into_iter().flatten()).any(|read| read == More::Now);
    }

    /// Reports that it has ended.
    pub(super) fn finish(mut self) {
        let (project, pid) = (Arc::clone(&self.worker.project), self.pid());
        for output in [&mut self.stdout, &mut self.stderr].into_iter().flatten() {
            output.finish(&project, pid, &mut self.tail);
        }
        let exit = self.exit.unwrap_or(Exit::Unknown);
        tracing::debug!(project = &*project, pid, "a worker {exit}");
        let ended = Arc::new(Ended { exit, output: self.tail.text() });
        self.worker.set_ended(Arc::clone(&ended));
        let on_end = self.on_end.take();
        let worker = Arc::clone(&self.worker);
        // Its descriptors are closed before another worker may take its place.
        drop(self);
        if let Some(on_end) = on_end {
            on_end(&worker, &ended);
        }
    }
}
