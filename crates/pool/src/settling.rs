//! What becomes of a worker after a call: the next call's, idle, replaced, or lost.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::error::StartError;
use super::inner::Inner;
use super::link::Link;
use super::slot::{Job, Slot, State, Work};
use super::supervisor::Step;
use super::ticket::Ticket;
use super::turns::{By, Next, too_late};
use super::wants::After;
use sgtk_config::Fingerprint;

/// How often a busy worker's memory is looked at.
const WEIGH_EVERY: Duration = Duration::from_millis(100);

impl Inner {
    /// How a worker has ended, and its last lines.
    pub(super) fn report(&self, link: &Link) -> (String, String) {
        match link.worker.how_ended() {
            Some(ended) => (format!("it {}", ended.exit), ended.output.clone()),
            None => ("it ended".to_owned(), String::new()),
        }
    }

    /// A worker has ended by itself. A call that was not sent goes back to the front of the queue, unless the pool is
    /// closed or nobody wants it any more: whether it has.
    pub(super) fn lost(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        link: Box<Link>,
        how: &str,
        output: &str,
        unsent: Option<&Arc<Ticket>>,
    ) -> bool {
        let mut state = slot.lock();
        self.note_loss(&mut state, &link, how, output);
        let back = unsent.filter(|ticket| !state.closed && ticket.wait_again());
        if let Some(ticket) = back {
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

    pub(super) fn note_loss(&self, state: &mut State, link: &Link, how: &str, output: &str) {
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
    pub(super) fn settle(self: &Arc<Self>, slot: &Arc<Slot>, mut link: Box<Link>, by: By) -> Option<Next> {
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

    pub(super) fn unfit(&self, link: &mut Link, now: Instant) -> Option<&'static str> {
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
    pub(super) fn checked(self: &Arc<Self>, slot: &Arc<Slot>, mut link: Box<Link>) -> Option<Box<Link>> {
        let Some(entered) = &link.fingerprint else { return Some(link) };
        if link.verified.elapsed() < self.options.revalidate_after {
            return Some(link);
        }
        let changed = match self.options.configs.locate(&slot.project) {
            Ok(location) => *entered != Fingerprint::quick(&location),
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
            } else if ticket.is_late(now) {
                // Whoever waits for it has not noticed yet.
                let error = too_late(slot, &ticket, false);
                after.failed.push((ticket, error));
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
}
