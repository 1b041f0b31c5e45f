//! How a slot gets a worker: when, with leave from the others, and on which thread.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::capacity::Permit;
use super::error::{PoolError, StartError};
use super::inner::Inner;
use super::slot::{Attendance, Job, Slot, State, Work};
use super::supervisor::Command;
use super::ticket::Ticket;
use super::turns::too_late;

/// What is left to do when the slot's lock has been let go.
#[derive(Debug, Default)]
#[must_use = "what is left to do has to be done, without the lock"]
pub(super) struct After {
    pub(super) failed: Vec<(Arc<Ticket>, PoolError)>,
    pub(super) warm: Vec<Arc<Ticket>>,
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

impl Inner {
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
    pub(super) fn give_job(self: &Arc<Self>, slot: &Arc<Slot>, state: &mut State, job: Job) -> After {
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
