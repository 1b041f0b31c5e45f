//! From a call to its outcome: the queue, whose turn it is, and who makes the call.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::builder::WhenFull;
use super::capacity::Permit;
use super::error::{PoolError, StartError};
use super::inner::Inner;
use super::link::{Fault, Link};
use super::request::{Reply, Request};
use super::slot::{Attendance, Job, Slot, State, Work};
use super::supervisor::{Command, Step};
use super::ticket::{Ticket, Turn};
use crate::config::Fingerprint;

/// How long the report of a worker's end is waited for: what it has printed is read first.
const REPORT: Duration = Duration::from_secs(3);

/// How often a busy worker's memory is looked at.
const WEIGH_EVERY: Duration = Duration::from_millis(100);

/// What is left to do when the slot's lock has been let go.
#[derive(Debug, Default)]
#[must_use = "what is left to do has to be done, without the lock"]
pub(super) struct After {
    failed: Vec<(Arc<Ticket>, PoolError)>,
    warm: Vec<Arc<Ticket>>,
    evict: bool,
    permit: Option<Permit>,
}

impl After {
    pub(super) fn run(self, inner: &Inner) {
        for (ticket, error) in self.failed {
            ticket.fail(error);
        }
        for ticket in self.warm {
            ticket.finish(Ok(None));
        }
        if self.evict && inner.capacity.is_wanted() {
            inner.evict_idle();
        }
        drop(self.permit);
    }
}

/// The next call of an attendant: with the link, and how much of it was sent already.
pub(super) struct Next {
    pub(super) link: Box<Link>,
    pub(super) ticket: Arc<Ticket>,
    pub(super) sent: usize,
}

/// What became of a call that had its turn.
pub(super) struct Made {
    /// `None` where it could not be sent and waits again, at the front of the queue.
    pub(super) outcome: Option<Result<Reply, PoolError>>,
    /// For an attendant: what it is to do next.
    pub(super) next: Option<Next>,
}

/// Who asks for the next turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Caller,
    Attendant,
}

impl Inner {
    /// Makes a call on the caller's own thread, when its turn comes.
    pub(super) fn call(self: &Arc<Self>, slot: &Arc<Slot>, request: Request) -> Result<Reply, PoolError> {
        let deadline = request.limit.and_then(|limit| Instant::now().checked_add(limit));
        let ticket = Ticket::new(Some(request), deadline, true);
        let mut turn = match self.queue(slot, &ticket)? {
            Some(link) => Turn::Mine(link, 0),
            None => ticket.wait_turn(),
        };
        loop {
            match turn {
                Turn::Mine(link, 0) if deadline.is_some_and(|end| end <= Instant::now()) => {
                    let none = self.pass_on(slot, link, By::Caller, false);
                    debug_assert!(none.is_none(), "only attendants get the next turn");
                    return Err(too_late(slot, &ticket, false));
                }
                Turn::Mine(link, sent) => match self.make(slot, link, &ticket, sent, By::Caller).outcome {
                    Some(outcome) => return outcome,
                    None => turn = ticket.wait_turn(),
                },
                Turn::Failed(error) => return Err(error),
                Turn::TooLate => {
                    slot.forget(&ticket);
                    return Err(too_late(slot, &ticket, false));
                }
            }
        }
    }

    /// Has the slot's attendant make a call, or start a worker where there is no request.
    pub(super) fn submit(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        request: Option<Request>,
    ) -> Result<Arc<Ticket>, PoolError> {
        let limit = request.as_ref().and_then(|request| request.limit);
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let ticket = Ticket::new(request, deadline, false);
        self.queue(slot, &ticket)?;
        if let Some(at) = deadline {
            self.supervisor.send(Command::Expire { at, slot: Arc::clone(slot), ticket: Arc::clone(&ticket) });
        }
        Ok(ticket)
    }

    /// Puts a call at the end of the queue; or gives the idle worker at once to a caller that makes its call itself.
    fn queue(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        ticket: &Arc<Ticket>,
    ) -> Result<Option<Box<Link>>, PoolError> {
        let mut state = slot.lock();
        loop {
            if state.closed {
                return Err(slot.shut_down());
            }
            if ticket.own_thread && state.queue.is_empty() && matches!(state.work, Work::Idle(_)) {
                let Work::Idle(link) = std::mem::replace(&mut state.work, Work::Busy) else { continue };
                drop(state);
                return match self.checked(slot, link) {
                    Some(mut link) => {
                        link.since = Instant::now();
                        ticket.claim();
                        Ok(Some(link))
                    }
                    None => self.queue(slot, ticket),
                };
            }
            let limit = self.options.queue_limit;
            if ticket.request.is_none() || state.queue.len() < limit {
                break;
            }
            let left = ticket.deadline.map(|end| end.saturating_duration_since(Instant::now()));
            match (self.options.when_full, left) {
                (WhenFull::Refuse, _) => {
                    return Err(PoolError::QueueFull { project: slot.project.to_string(), limit });
                }
                (WhenFull::Wait, Some(Duration::ZERO)) => {
                    drop(state);
                    return Err(too_late(slot, ticket, false));
                }
                (WhenFull::Wait, Some(left)) => {
                    let waited = slot.room.wait_timeout(state, left);
                    state = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
                }
                (WhenFull::Wait, None) => {
                    let waited = slot.room.wait(state);
                    state = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
                }
            }
        }
        state.queue.push_back(Arc::clone(ticket));
        let after = match std::mem::replace(&mut state.work, Work::Busy) {
            Work::Idle(link) => self.give_job(slot, &mut state, Job::Make(link)),
            other => {
                state.work = other;
                self.want(slot, &mut state)
            }
        };
        drop(state);
        after.run(self);
        Ok(None)
    }

    /// Sees to it that a slot with calls in its queue gets a worker.
    pub(super) fn want(self: &Arc<Self>, slot: &Arc<Slot>, state: &mut State) -> After {
        let mut after = After::default();
        if state.closed || state.queue.is_empty() || !matches!(state.work, Work::Absent | Work::Delayed) {
            return after;
        }
        let now = Instant::now();
        if state.failures.open(&slot.project, &self.options.back_off, now).is_some() {
            after.failed.extend(state.queue.drain(..).filter_map(|ticket| {
                let error = state.failures.open(&slot.project, &self.options.back_off, now)?;
                Some((ticket, error))
            }));
            state.work = Work::Absent;
            slot.room.notify_all();
            return after;
        }
        if let Some(next) = state.failures.wait(now) {
            if !matches!(state.work, Work::Delayed) {
                state.work = Work::Delayed;
                self.supervisor.send(Command::TryAgain { at: next, slot: Arc::clone(slot) });
            }
            return after;
        }
        match self.capacity.request(self, slot) {
            Some(permit) => {
                state.work = Work::Starting;
                self.give_job(slot, state, Job::Start(permit))
            }
            None => {
                state.work = Work::Waiting;
                after.evict = true;
                after
            }
        }
    }

    /// A slot that waited for leave to start a worker has it.
    pub(super) fn permitted(self: &Arc<Self>, slot: &Arc<Slot>, permit: Permit) {
        let mut state = slot.lock();
        let mut after = After::default();
        let waits = matches!(state.work, Work::Waiting);
        if waits && !state.queue.is_empty() && !state.closed {
            state.work = Work::Starting;
            after = self.give_job(slot, &mut state, Job::Start(permit));
        } else {
            if waits {
                state.work = Work::Absent;
            }
            after.permit = Some(permit);
        }
        drop(state);
        after.run(self);
    }

    /// The time to wait after failures is over.
    pub(super) fn try_again(self: &Arc<Self>, slot: &Arc<Slot>) {
        let mut state = slot.lock();
        if matches!(state.work, Work::Delayed) {
            state.work = Work::Absent;
        }
        let after = self.want(slot, &mut state);
        drop(state);
        after.run(self);
    }

    /// A submitted call's time is up; where it has not been sent it never will be.
    pub(super) fn expire(&self, slot: &Arc<Slot>, ticket: &Arc<Ticket>) {
        ticket.fail(too_late(slot, ticket, false));
        slot.forget(ticket);
    }

    /// Gives the attendant something to do, and life where there is none.
    fn give_job(self: &Arc<Self>, slot: &Arc<Slot>, state: &mut State, job: Job) -> After {
        state.job = Some(job);
        match state.attendance {
            Attendance::Working => After::default(),
            Attendance::Lingering => {
                slot.job.notify_one();
                After::default()
            }
            Attendance::Nobody => match self.spawn_attendant(slot) {
                Ok(thread) => {
                    state.attendance = Attendance::Working;
                    state.thread = Some(thread);
                    After::default()
                }
                Err(error) => self.without_attendant(slot, state, error),
            },
        }
    }

    fn without_attendant(&self, slot: &Slot, state: &mut State, error: std::io::Error) -> After {
        let mut after = After::default();
        state.work = match state.job.take() {
            Some(Job::Make(link)) => Work::Idle(link),
            Some(Job::Start(permit)) => {
                after.permit = Some(permit);
                Work::Absent
            }
            None => Work::Absent,
        };
        let error = PoolError::System { action: "start a thread", cause: Arc::new(error) };
        after.failed.extend(state.queue.drain(..).map(|ticket| (ticket, error.clone())));
        slot.room.notify_all();
        after
    }

    /// Makes a call: sends what has not been sent, waits for the answer, gives the link on.
    pub(super) fn make(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        mut link: Box<Link>,
        ticket: &Arc<Ticket>,
        mut sent: usize,
        by: By,
    ) -> Made {
        let Some(request) = &ticket.request else {
            return Made { outcome: None, next: self.pass_on(slot, link, by, false) };
        };
        let fault = match link.exchange(&request.frame, &mut sent, ticket.deadline) {
            Ok(frame) => match request.outcome(frame, &link.worker) {
                Ok(outcome) => {
                    link.calls += 1;
                    self.counters.count(&outcome);
                    return Made { outcome: Some(outcome), next: self.settle(slot, link, by) };
                }
                Err(how) => Fault::Nonsense(format!("it sent {how}")),
            },
            Err(fault) => fault,
        };
        let sent = sent >= request.frame.len();
        let error = match fault {
            Fault::Deadline => {
                self.counters.too_slow.fetch_add(1, Ordering::Relaxed);
                self.part_with(slot, link, Step::Term);
                too_late(slot, ticket, sent)
            }
            Fault::Nonsense(how) => {
                let (pid, project) = (link.worker.pid(), slot.project.to_string());
                tracing::error!(project, pid, "a worker cannot be talked to any more: {how}");
                let worker = Arc::clone(&link.worker);
                self.part_with(slot, link, Step::Term);
                let output = worker.wait_ended(REPORT).map(|ended| ended.output.clone()).unwrap_or_default();
                PoolError::WorkerLost { project, call: request.name.clone(), pid, how, output, sent }
            }
            Fault::Ended => {
                let (how, output) = self.report(&link);
                let (pid, project) = (link.worker.pid(), slot.project.to_string());
                let lost = self.lost(slot, link, &how, &output, (!sent).then_some(ticket));
                if !sent && lost {
                    return Made { outcome: None, next: None };
                }
                PoolError::WorkerLost { project, call: request.name.clone(), pid, how, output, sent }
            }
        };
        let outcome = Err(error);
        self.counters.count(&outcome);
        Made { outcome: Some(outcome), next: None }
    }

    /// How a worker has ended, and its last lines.
    pub(super) fn report(&self, link: &Link) -> (String, String) {
        match link.worker.wait_ended(REPORT) {
            Some(ended) => (format!("it {}", ended.exit), ended.output.clone()),
            None => ("it ended".to_owned(), String::new()),
        }
    }

    /// A worker has ended by itself. A call that was not sent goes back to the front of the queue, unless the pool is
    /// closed: whether it has.
    fn lost(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        link: Box<Link>,
        how: &str,
        output: &str,
        unsent: Option<&Arc<Ticket>>,
    ) -> bool {
        let mut state = slot.lock();
        self.note_loss(&mut state, &link, how, output);
        let back = unsent.filter(|_| !state.closed);
        if let Some(ticket) = back {
            ticket.wait_again();
            state.queue.push_front(Arc::clone(ticket));
        }
        state.work = Work::Absent;
        state.pid = None;
        let after = self.want(slot, &mut state);
        drop(state);
        after.run(self);
        drop(link);
        back.is_some()
    }

    fn note_loss(&self, state: &mut State, link: &Link, how: &str, output: &str) {
        state.counts.losses += 1;
        self.counters.lost.fetch_add(1, Ordering::Relaxed);
        if link.calls == 0 && !state.closed {
            let (how, output) = (how.trim_start_matches("it ").to_owned(), output.to_owned());
            let cause = StartError::Crashed { pid: link.worker.pid(), how, output };
            state.failures.add(Arc::new(cause), &self.options.back_off);
        }
    }

    /// For the supervisor: a worker has ended. Where it was idle nobody else will notice.
    pub(super) fn ended_idle(self: &Arc<Self>, slot: &Arc<Slot>, number: u64, how: &str, output: &str) {
        let mut state = slot.lock();
        let link = match std::mem::replace(&mut state.work, Work::Absent) {
            Work::Idle(link) if link.worker.number == number => link,
            other => {
                state.work = other;
                return;
            }
        };
        state.pid = None;
        self.note_loss(&mut state, &link, how, output);
        drop(state);
        let (project, pid) = (&*slot.project, link.worker.pid());
        tracing::warn!(project, pid, "an idle worker was lost: {how}");
    }

    /// Ends a worker whose link nobody is to have any more.
    pub(super) fn part_with(self: &Arc<Self>, slot: &Arc<Slot>, link: Box<Link>, step: Step) {
        self.supervisor.end(link, step);
        let mut state = slot.lock();
        state.work = Work::Absent;
        state.pid = None;
        let after = self.want(slot, &mut state);
        drop(state);
        after.run(self);
    }

    /// After a call that was answered: gives the link on, unless the worker is to be replaced.
    fn settle(self: &Arc<Self>, slot: &Arc<Slot>, mut link: Box<Link>, by: By) -> Option<Next> {
        let now = Instant::now();
        if let Some(reason) = self.unfit(&mut link, now) {
            let (project, pid) = (&*slot.project, link.worker.pid());
            tracing::debug!(project, pid, reason, "replacing a worker");
            self.counters.recycled.fetch_add(1, Ordering::Relaxed);
            {
                let mut state = slot.lock();
                state.counts.calls += 1;
                state.failures.clear();
            }
            self.part_with(slot, link, Step::Ask);
            return None;
        }
        let link = self.checked(slot, link)?;
        self.pass_on(slot, link, by, true)
    }

    fn unfit(&self, link: &mut Link, now: Instant) -> Option<&'static str> {
        if self.options.recycle_after.is_some_and(|calls| link.calls >= calls) {
            return Some("it has answered as many calls as it may");
        }
        let most = self.options.recycle_above?;
        if now.duration_since(link.weighed) >= WEIGH_EVERY || link.calls == 1 {
            link.weighed = now;
            if link.worker.process.resident_memory().is_some_and(|memory| memory > most) {
                return Some("it has more memory than it may");
            }
        }
        None
    }

    /// Looks at the core's files from time to time: a worker whose core was upgraded or repointed is replaced.
    fn checked(self: &Arc<Self>, slot: &Arc<Slot>, mut link: Box<Link>) -> Option<Box<Link>> {
        let Some(entered) = &link.fingerprint else { return Some(link) };
        if link.verified.elapsed() < self.options.revalidate_after {
            return Some(link);
        }
        let changed = match self.options.configs.locate(&slot.project) {
            Ok(location) => *entered != Fingerprint::of(&location),
            // A share that is away for a moment: what is in memory works on.
            Err(_) => false,
        };
        if changed {
            tracing::info!(
                project = &*slot.project,
                pid = link.worker.pid(),
                "the core has changed: replacing a worker"
            );
            self.counters.recycled.fetch_add(1, Ordering::Relaxed);
            self.part_with(slot, link, Step::Ask);
            return None;
        }
        link.verified = Instant::now();
        Some(link)
    }

    /// Gives the link to the next call; an attendant may get it back with a call to make. Without a next call the worker
    /// is idle, or gives up its place to another project's.
    pub(super) fn pass_on(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        mut link: Box<Link>,
        by: By,
        answered: bool,
    ) -> Option<Next> {
        let now = Instant::now();
        let mut after = After::default();
        let mut state = slot.lock();
        if answered {
            state.counts.calls += 1;
            state.failures.clear();
        }
        // Looked at under the lock, see the module `slot`.
        if link.worker.is_dead() {
            drop(state);
            let (how, output) = self.report(&link);
            self.lost(slot, link, &how, &output, None);
            return None;
        }
        let mut end = state.closed;
        let mut turn = None;
        while !end && turn.is_none() {
            let Some(front) = state.queue.front() else {
                end = self.capacity.is_wanted();
                break;
            };
            if self.capacity.is_wanted() && now.duration_since(link.since) >= self.options.slice {
                end = true;
                break;
            }
            if !front.own_thread && front.request.is_some() && by == By::Caller {
                state.work = Work::Busy;
                let given = self.give_job(slot, &mut state, Job::Make(link));
                drop(state);
                after.run(self);
                given.run(self);
                return None;
            }
            let Some(ticket) = state.queue.pop_front() else { break };
            slot.room.notify_one();
            if ticket.request.is_none() {
                after.warm.push(ticket);
            } else if ticket.claim() {
                turn = Some(ticket);
            }
        }
        if end {
            state.work = Work::Absent;
            state.pid = None;
            // A slot that gives up its worker to others waits for another one like they do.
            let wanted = self.want(slot, &mut state);
            drop(state);
            self.supervisor.end(link, Step::Ask);
            after.run(self);
            wanted.run(self);
            return None;
        }
        let next = match turn {
            Some(ticket) => {
                state.work = Work::Busy;
                drop(state);
                // The worker begins while the caller's thread wakes up, or the last call's outcome is told.
                let sent = ticket.request.as_ref().map_or(0, |request| link.begin(&request.frame));
                if ticket.own_thread {
                    ticket.give_turn(link, sent);
                    None
                } else {
                    Some(Next { link, ticket, sent })
                }
            }
            None => {
                link.since = now;
                state.work = Work::Idle(link);
                drop(state);
                None
            }
        };
        after.run(self);
        next
    }

    /// A worker could not be started.
    pub(super) fn start_failed(self: &Arc<Self>, slot: &Arc<Slot>, error: StartError) {
        let cause = Arc::new(error);
        tracing::warn!(project = &*slot.project, "failed to start a worker: {cause}");
        self.counters.failed_starts.fetch_add(1, Ordering::Relaxed);
        let mut after = After::default();
        let mut state = slot.lock();
        state.failures.add(Arc::clone(&cause), &self.options.back_off);
        state.work = Work::Absent;
        state.pid = None;
        let error = PoolError::NotStarted { project: slot.project.to_string(), cause };
        let mut kept = std::collections::VecDeque::new();
        for ticket in state.queue.drain(..) {
            if ticket.retried.fetch_add(1, Ordering::Relaxed) < self.options.retries {
                kept.push_back(ticket);
            } else {
                after.failed.push((ticket, error.clone()));
            }
        }
        state.queue = kept;
        slot.room.notify_all();
        let wanted = self.want(slot, &mut state);
        drop(state);
        after.run(self);
        wanted.run(self);
    }
}

fn too_late(slot: &Slot, ticket: &Ticket, sent: bool) -> PoolError {
    let (call, limit) = match &ticket.request {
        Some(request) => (request.name.clone(), request.limit.unwrap_or_default()),
        None => (String::new(), Duration::ZERO),
    };
    PoolError::TimeLimit { project: slot.project.to_string(), call, limit, sent }
}
