//! From a call to its outcome: the queue, whose turn it is, and who makes the call.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::builder::WhenFull;
use super::error::PoolError;
use super::inner::Inner;
use super::link::{Fault, Link};
use super::request::{Reply, Request};
use super::slot::{Job, Slot, Work};
use super::supervisor::{Command, Step};
use super::ticket::{Ticket, Turn};

/// How long the last words of a worker that is being ended are waited for: it need not end that soon.
pub(super) const REPORT: Duration = Duration::from_secs(3);

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
            self.supervisor.send(Command::Expire {
                at,
                slot: Arc::clone(slot),
                ticket: Arc::downgrade(&ticket),
            });
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
            Work::Idle(mut link) => {
                // Its slice begins now, not when it went idle.
                link.since = Instant::now();
                self.give_job(slot, &mut state, Job::Make(link))
            }
            other => {
                state.work = other;
                self.want(slot, &mut state)
            }
        };
        drop(state);
        after.run(self);
        Ok(None)
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
}

pub(super) fn too_late(slot: &Slot, ticket: &Ticket, sent: bool) -> PoolError {
    let (call, limit) = match &ticket.request {
        Some(request) => (request.name.clone(), request.limit.unwrap_or_default()),
        None => (String::new(), Duration::ZERO),
    };
    PoolError::TimeLimit { project: slot.project.to_string(), call, limit, sent }
}
