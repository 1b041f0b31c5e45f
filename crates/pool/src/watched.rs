//! One process under the supervisor's eyes.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fd::{AsFd, OwnedFd};
use rustix::process::Signal;

use super::inner::Inner;
use super::link::Link;
use super::output::{More, Output, Records, SHARE, Stream, Tail, held};
use super::process::{Exit, after};
use super::slot::Slot;
use super::supervisor::Step;
use super::templates::Template;
use super::wire;
use super::worker::{Ended, Worker};

/// How long a template is waited for, to tell how a worker of its ended. It has nothing else to do, so only a machine
/// that hardly gets to it makes it slow.
const STATUS: Duration = Duration::from_secs(5);

/// The same where the template has ended: what it has told before may still be on its way.
const LAST_STATUS: Duration = Duration::from_millis(500);

/// How long a process has for each step of the ladder.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grace {
    pub(super) asked: Duration,
    pub(super) termed: Duration,
}

impl Grace {
    /// After SIGKILL only the system can be the reason why a process does not end.
    pub(super) const KILLED: Duration = Duration::from_secs(10);
}

/// Where the daemon's ends of a process's pipes are that nobody but the supervisor uses.
#[derive(Debug)]
pub(super) struct Pipes {
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
    pub(super) records: OwnedFd,
    pub(super) lifeline: OwnedFd,
}

/// A process, from its start until it has been reaped.
#[derive(Debug)]
pub(super) struct Watched {
    worker: Arc<Worker>,
    /// `None` for a template.
    slot: Option<Arc<Slot>>,
    /// Which template has forked it, and so reaps it.
    parent: Option<Arc<Template>>,
    stdout: Option<Output>,
    stderr: Option<Output>,
    records: Option<Records>,
    /// Closing it kills the process: its end is the last thing that goes.
    lifeline: OwnedFd,
    tail: Tail,
    link: Option<Box<Link>>,
    rung: Option<(Step, Instant)>,
    more: bool,
    /// When it was seen to have ended, and by which status, while its template has not told.
    ended: Option<Instant>,
    exit: Option<Exit>,
}

impl Watched {
    pub(super) fn new(
        worker: Arc<Worker>,
        slot: Option<Arc<Slot>>,
        parent: Option<Arc<Template>>,
        pipes: Pipes,
    ) -> Self {
        Self {
            worker,
            slot,
            parent,
            stdout: Some(Output::new(pipes.stdout, Stream::Out)),
            stderr: Some(Output::new(pipes.stderr, Stream::Error)),
            records: Some(Records::new(pipes.records)),
            lifeline: pipes.lifeline,
            tail: Tail::default(),
            link: None,
            rung: None,
            more: false,
            ended: None,
            exit: None,
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.worker.pid()
    }

    pub(super) fn is(&self, worker: &Arc<Worker>) -> bool {
        self.worker.number == worker.number
    }

    /// What to wait for.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let alive = self.ended.is_none();
        let process = self.worker.process.descriptor().filter(|_| alive);
        let outputs = [&self.stdout, &self.stderr].into_iter().flatten().map(|output| output.pipe.as_fd());
        let records = self.records.as_ref().map(|records| records.pipe.as_fd());
        outputs.chain(records).filter(move |_| alive).chain(process)
    }

    /// Whether it has to be looked at though nothing tells of it.
    pub(super) fn must_be_looked_at(&self) -> bool {
        self.more || self.ended.is_some() || self.worker.process.descriptor().is_none()
    }

    /// When something has to be done about it.
    pub(super) fn next_time(&self) -> Option<Instant> {
        let now_if_more = (self.more || self.exit.is_some()).then(Instant::now);
        let rung = self.rung.map(|(_, until)| until);
        now_if_more.into_iter().chain(rung).min()
    }

    pub(super) fn is_ending(&self) -> bool {
        self.rung.is_some()
    }

    /// Whether it has survived SIGKILL.
    pub(super) fn is_past_help(&self) -> bool {
        matches!(self.rung, Some((Step::Kill, until)) if until <= Instant::now())
    }

    /// Begins to end it, or goes on from where that has come to.
    pub(super) fn end(&mut self, step: Step, link: Option<Box<Link>>, grace: Grace) {
        if let Some(link) = link {
            self.link = Some(link);
        }
        if self.rung.is_none_or(|(reached, _)| reached < step) {
            self.go(step, grace);
        }
    }

    /// Takes the next step where the time of the last one is up.
    pub(super) fn climb(&mut self, now: Instant, grace: Grace) {
        match self.rung {
            Some((Step::Ask, until)) if until <= now => self.go(Step::Term, grace),
            Some((Step::Term, until)) if until <= now => self.go(Step::Kill, grace),
            _ => {}
        }
    }

    fn go(&mut self, step: Step, grace: Grace) {
        let time = match step {
            Step::Ask if self.ask() => grace.asked,
            Step::Ask => return self.go(Step::Term, grace),
            Step::Term => {
                self.worker.process.signal_group(Signal::TERM);
                grace.termed
            }
            Step::Kill => {
                let (project, pid) = (&*self.worker.project, self.pid());
                tracing::warn!(project, pid, "a worker does not end by itself: killing it");
                self.worker.process.signal_group(Signal::KILL);
                Grace::KILLED
            }
        };
        self.rung = Some((step, after(time)));
    }

    /// A template has no link here: it was asked over its socket.
    fn ask(&mut self) -> bool {
        let frame = wire::encode_text("{\"end\":true}");
        self.link.as_mut().is_none_or(|link| link.begin(&frame) == frame.len())
    }

    /// A template has told how its child ended.
    pub(super) fn set_status(&mut self, status: i32) {
        self.exit = Some(match status & 0x7f {
            0 => Exit::Status(status >> 8 & 0xff),
            signal => Exit::Signal(signal),
        });
    }

    /// Reads what it has said. Returns whether it has ended and been reaped.
    pub(super) fn attend(&mut self) -> bool {
        if self.ended.is_none() {
            // Looked at first: what it has said before its end is read then.
            let ended = self.worker.process.has_ended();
            self.read(|_| SHARE);
            if !ended {
                return false;
            }
            self.see_end();
        }
        if self.exit.is_some() {
            return true;
        }
        let Some(template) = &self.parent else { return true };
        let limit = if template.has_ended() { LAST_STATUS } else { STATUS };
        self.ended.is_some_and(|seen| seen.elapsed() > limit)
    }

    fn see_end(&mut self) {
        self.ended = Some(Instant::now());
        self.worker.mark_dead();
        // What it has started goes with it: the group is its own until it is reaped.
        self.worker.process.signal_group(Signal::KILL);
        match &self.parent {
            Some(template) => {
                if !template.reap(self.pid()) {
                    self.exit = Some(Exit::Unknown);
                }
            }
            None => self.exit = self.worker.process.reap(),
        }
        // What the pipes hold now is all that it can have said itself. What comes later is another process's that has
        // them open, and that may never stop.
        self.read(held);
        self.more = false;
    }

    /// Reads what there is, of each pipe up to the number of bytes that `most` gives.
    fn read(&mut self, most: impl Fn(&OwnedFd) -> usize) {
        let (project, pid) = (&*self.worker.project, self.worker.pid());
        let mut more = false;
        for output in [&mut self.stdout, &mut self.stderr] {
            let read = output.as_mut().map(|output| {
                let most = most(&output.pipe);
                output.read(project, pid, &mut self.tail, most)
            });
            more |= read == Some(More::Now);
            if read == Some(More::Never) {
                *output = None;
            }
        }
        let read = self.records.as_mut().map(|records| records.read(project, pid, most(&records.pipe)));
        more |= read == Some(More::Now);
        if read == Some(More::Never) {
            self.records = None;
        }
        self.more = more;
    }

    /// Tells everybody that it has ended.
    pub(super) fn bury(mut self, inner: &Arc<Inner>) {
        let (project, pid) = (Arc::clone(&self.worker.project), self.pid());
        for output in [&mut self.stdout, &mut self.stderr].into_iter().flatten() {
            output.finish(&project, pid, &mut self.tail);
        }
        let exit = self.exit.unwrap_or(Exit::Unknown);
        tracing::debug!(project = &*project, pid, "a worker {exit}");
        let output = self.tail.text();
        self.worker.set_ended(Ended { exit, output: output.clone() });
        if let Some(slot) = &self.slot {
            inner.ended_idle(slot, self.worker.number, &exit.to_string(), &output);
        }
        let Self { link, lifeline, .. } = self;
        // Its permit may start another slot's worker: last of all.
        drop(lifeline);
        drop(link);
    }
}
