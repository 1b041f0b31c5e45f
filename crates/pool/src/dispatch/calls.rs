//! How calls are made and workers are started.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use sgtk_config::keys::redacted;

use super::capacity::Permit;
use super::dispatcher::Dispatcher;
use super::effects::{Admission, Fate, GiveUp, MadeBy, Waiting};
use super::mailbox::Mailbox;
use super::pending::{Direct, PendingCall, Prewarm, Queued, Submitted, Turn};
use super::session::Session;
use super::slot::{Job, Real, Slot};
use crate::error::{PoolError, StartError};
use crate::options::WhenFull;
use crate::process::{Fault, Timer, Worker};
use crate::wire::{Left, Reply};

/// What became of a call that was dispatched.
enum Made {
    Ended(Result<Reply, PoolError>),
    /// It could not be sent and is at the front of the queue again.
    Requeued,
}

impl Dispatcher {
    /// Makes a call on the caller's thread, as soon as it is its turn.
    pub(crate) fn call(self: &Arc<Self>, slot: &Arc<Slot>, call: PendingCall) -> Result<Reply, PoolError> {
        let direct = Arc::new(Direct { call, turn: Mailbox::new() });
        let queued = Queued::Direct(Arc::clone(&direct));
        let (mut session, mut sent) = match self.admit(slot, &queued, MadeBy::Caller)? {
            Some(session) => (session, 0),
            None => self.wait_turn(slot, &direct, &queued)?,
        };
        loop {
            match self.make(slot, session, &direct.call, sent) {
                Made::Ended(outcome) => return outcome,
                Made::Requeued => (session, sent) = self.wait_turn(slot, &direct, &queued)?,
            }
        }
    }

    fn wait_turn(self: &Arc<Self>, slot: &Arc<Slot>, direct: &Direct, queued: &Queued) -> Turn {
        let Some(deadline) = direct.call.deadline else { return direct.turn.take() };
        if let Some(turn) = direct.turn.take_until(deadline) {
            return turn;
        }
        if self.update(slot, |state, effects| state.withdraw(queued, effects)) {
            return Err(slot.timed_out(&direct.call, false));
        }
        // It was dispatched, or has failed, just now.
        direct.turn.take()
    }

    /// Has the slot's runner make a call.
    pub(crate) fn submit(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        call: PendingCall,
    ) -> Result<Arc<Submitted>, PoolError> {
        let submitted = Arc::new(Submitted { call, outcome: Mailbox::new() });
        self.admit(slot, &Queued::Submitted(Arc::clone(&submitted)), MadeBy::Runner)?;
        if let Some(at) = submitted.call.deadline {
            let (dispatcher, call) = (Arc::downgrade(self), Arc::downgrade(&submitted));
            self.supervisor.at(at, Expiry { dispatcher, slot: Arc::clone(slot), call });
        }
        Ok(submitted)
    }

    /// Nobody wants the result of a submitted call any more.
    pub(crate) fn withdraw(self: &Arc<Self>, slot: &Arc<Slot>, call: &Arc<Submitted>) {
        let queued = Queued::Submitted(Arc::clone(call));
        self.update(slot, |state, effects| state.withdraw(&queued, effects));
    }

    /// Ends a submitted call, and its worker if it runs.
    pub(crate) fn abort(self: &Arc<Self>, slot: &Arc<Slot>, call: &Arc<Submitted>) {
        let queued = Queued::Submitted(Arc::clone(call));
        self.update(slot, |state, effects| state.abort(&queued, effects));
    }

    /// Has a worker started if there is none.
    pub(crate) fn prewarm(self: &Arc<Self>, slot: &Arc<Slot>) -> Prewarm {
        let prewarm = Arc::new(Mailbox::new());
        let admission = self.update(slot, |state, effects| {
            let waiting = Waiting::Prewarm(Arc::clone(&prewarm));
            state.admit(waiting, MadeBy::Runner, Instant::now(), self.capacity.is_short(), effects)
        });
        if let Admission::Refused(why) = admission {
            prewarm.deliver(Err(slot.refused(None, why)));
        }
        prewarm
    }

    /// Puts a call into the queue; or returns the session of an idle worker, to make it at once.
    fn admit(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        queued: &Queued,
        made_by: MadeBy,
    ) -> Result<Option<Box<Session>>, PoolError> {
        loop {
            let admission = self.update(slot, |state, effects| {
                let waiting = Waiting::<Real>::Call(queued.clone());
                state.admit(waiting, made_by, Instant::now(), self.capacity.is_short(), effects)
            });
            match admission {
                Admission::Queued => return Ok(None),
                Admission::Dispatched(session) => return Ok(Some(session)),
                Admission::Refused(why) => return Err(slot.refused(Some(queued.call()), why)),
                Admission::Full if self.options.when_full == WhenFull::Wait => {
                    self.wait_for_room(slot, queued.call().deadline);
                }
                Admission::Full => {
                    let limit = self.options.rules.queue_limit.unwrap_or(usize::MAX);
                    return Err(PoolError::QueueFull { project: slot.project.to_string(), limit });
                }
            }
        }
    }

    fn wait_for_room(&self, slot: &Slot, deadline: Option<Instant>) {
        let mut state = slot.state.lock();
        while state.is_full() {
            match deadline {
                Some(deadline) => {
                    if slot.room.wait_until(&mut state, deadline).timed_out() {
                        return;
                    }
                }
                None => slot.room.wait(&mut state),
            }
        }
    }

    /// Sends the rest of a call, waits for its answer, and gives the link back.
    fn make(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        mut session: Box<Session>,
        call: &PendingCall,
        mut sent: usize,
    ) -> Made {
        if sent == 0
            && session.is_look_due(self.options.revalidate_after)
            && self.is_outdated(slot, &mut session, call.run_deadline().map(|(at, _)| at))
        {
            return self.give_up_outdated(slot, session, call);
        }
        let request = &call.request;
        let worker = Arc::clone(&session.link.worker);
        let deadline = call.run_deadline();
        let fault = match session.link.exchange(&request.frame, &mut sent, deadline.map(|(at, _)| at)) {
            Ok(frame) => match request.read_answer(frame, &slot.project, worker.pid()) {
                Ok(answered) => {
                    self.counters.count(&answered.outcome);
                    let is_damaged =
                        answered.left.is_some_and(|left| self.tell_left(slot, call, &worker, &left));
                    let unfit = is_damaged || session.is_oversized(self.options.recycle_above);
                    self.update(slot, |state, effects| {
                        let others_wait = self.capacity.is_short();
                        state.released(session, unfit, Instant::now(), others_wait, effects);
                    });
                    return Made::Ended(answered.outcome);
                }
                Err(what) => Fault::Protocol(format!("sent {what}")),
            },
            Err(fault) => fault,
        };
        let sent = sent >= request.frame.len();
        let (project, pid) = (slot.project.to_string(), worker.pid());
        let lost = |project, how: &str, output| {
            let (call, how) = (request.name.clone(), format!("it {how}"));
            PoolError::WorkerLost { project, call, pid, how, output, sent }
        };
        let (fate, error) = match fault {
            Fault::TimedOut => {
                let fate = self.give_up(slot, session, GiveUp::TimedOut);
                let timeout = deadline.map_or_else(Duration::default, |(_, timeout)| timeout);
                (fate, PoolError::TimedOut { project, call: request.name.clone(), timeout, sent })
            }
            Fault::Protocol(how) => {
                tracing::error!(project = &*slot.project, pid, "ending a worker that {how}");
                let fate = self.give_up(slot, session, GiveUp::Protocol);
                (fate, lost(project, &how, worker.last_output()))
            }
            Fault::Ended => {
                let (how, output) = worker.report();
                let cause = Arc::new(StartError::Crashed { pid, how: how.clone(), output: output.clone() });
                let fate = self.give_up(slot, session, GiveUp::Ended { sent, cause });
                (fate, lost(project, &how, output))
            }
        };
        let error = match fate {
            Fate::Requeued => return Made::Requeued,
            Fate::Aborted => slot.aborted(call, sent),
            Fate::ShutDown | Fate::Failed => error,
        };
        let outcome = Err(error);
        self.counters.count(&outcome);
        Made::Ended(outcome)
    }

    /// Tells what a call did to its project's import state. Returns whether its worker is to be replaced.
    fn tell_left(&self, slot: &Slot, call: &PendingCall, worker: &Worker, left: &Left) -> bool {
        let (project, pid, call) = (&*slot.project, worker.pid(), &call.request.name);
        let what = redacted(&left.what.join("; ")).into_owned();
        let then = if left.replace { "the worker is replaced" } else { "it was undone" };
        if left.news || left.replace {
            tracing::warn!(
                project,
                pid,
                call,
                "call '{call}' has changed what is the worker's own: {what}; {then}"
            );
        } else {
            tracing::debug!(project, pid, call, "again: {what}; {then}");
        }
        left.replace
    }

    fn give_up(self: &Arc<Self>, slot: &Arc<Slot>, session: Box<Session>, why: GiveUp) -> Fate {
        self.update(slot, |state, effects| state.given_up(session, why, Instant::now(), effects))
    }

    fn give_up_outdated(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        session: Box<Session>,
        call: &PendingCall,
    ) -> Made {
        let (project, pid) = (&*slot.project, session.link.worker.pid());
        tracing::info!(project, pid, "files have changed on disk: replacing a worker");
        match self.give_up(slot, session, GiveUp::Outdated) {
            Fate::Requeued => Made::Requeued,
            Fate::Aborted => Made::Ended(Err(slot.aborted(call, false))),
            Fate::ShutDown => Made::Ended(Err(slot.shut_down())),
            Fate::Failed => Made::Ended(Err(slot.timed_out(call, false))),
        }
    }

    /// On the thread of the slot's runner.
    pub(super) fn run_job(self: &Arc<Self>, slot: &Arc<Slot>, job: Job) {
        match job {
            Job::Make(session, submitted, sent) => {
                if let Made::Ended(outcome) = self.make(slot, session, &submitted.call, sent) {
                    submitted.outcome.deliver(outcome);
                }
            }
            // The pool was shut down meanwhile.
            Job::Start(permit) if slot.state.lock().is_closed() => drop(permit),
            Job::Start(permit) => match self.start_worker(slot, permit) {
                Ok(session) => self.update(slot, |state, effects| {
                    state.started(session, Instant::now(), self.capacity.is_short(), effects);
                }),
                Err(error) => {
                    tracing::warn!(project = &*slot.project, "failed to start a worker: {error}");
                    if !error.is_of_the_moment() {
                        self.counters.failed_starts.fetch_add(1, Ordering::Relaxed);
                    }
                    let cause = Arc::new(error);
                    self.update(slot, |state, effects| state.start_failed(&cause, Instant::now(), effects));
                }
            },
        }
    }

    fn start_worker(self: &Arc<Self>, slot: &Arc<Slot>, permit: Permit) -> Result<Box<Session>, StartError> {
        let begun = Instant::now();
        let permit = Arc::new(permit);
        let end = EndOfWorker {
            dispatcher: Arc::downgrade(self),
            slot: Arc::clone(slot),
            permit: Arc::clone(&permit),
        };
        let started = self.launcher.spawn(
            &slot.project,
            &slot.target,
            Box::new(|worker, ended| {
                end.report(worker.number, worker.pid(), &ended.exit.to_string(), &ended.output);
            }),
        );
        let ready = started.and_then(|starting| {
            let (worker, forked) = (Arc::clone(starting.worker()), starting.forked);
            self.update(slot, |state, _| state.spawned(worker));
            Ok((self.launcher.enter(&slot.project, &slot.target, starting)?, forked))
        });
        let (ready, forked) = ready.inspect_err(|_| permit.announce_end())?;
        let counter = if forked { &self.counters.forked } else { &self.counters.started };
        counter.fetch_add(1, Ordering::Relaxed);
        let (project, pid) = (&*slot.project, ready.link.worker.pid());
        let micros = begun.elapsed().as_micros() as u64;
        tracing::info!(project, pid, forked, micros, "a worker is ready");
        Ok(Session::new(ready.link, permit, ready.read, Instant::now()))
    }
}

/// What happens when a worker has ended. Its permit goes to the next worker after that.
struct EndOfWorker {
    dispatcher: Weak<Dispatcher>,
    slot: Arc<Slot>,
    permit: Arc<Permit>,
}

impl EndOfWorker {
    fn report(self, number: u64, pid: u32, how: &str, output: &str) {
        let Some(dispatcher) = self.dispatcher.upgrade() else { return };
        let cause = StartError::Crashed { pid, how: how.to_owned(), output: output.to_owned() };
        let was_idle = dispatcher.update(&self.slot, |state, effects| {
            state.ended(number, Arc::new(cause), Instant::now(), effects)
        });
        if was_idle {
            tracing::warn!(project = &*self.slot.project, pid, "an idle worker was lost: it {how}");
        }
        drop(self.permit);
    }
}

/// Fails a submitted call at its deadline, unless it was sent.
struct Expiry {
    dispatcher: Weak<Dispatcher>,
    slot: Arc<Slot>,
    call: Weak<Submitted>,
}

impl Timer for Expiry {
    fn is_obsolete(&self) -> bool {
        self.call.strong_count() == 0
    }

    fn fire(self: Box<Self>) {
        if let (Some(dispatcher), Some(call)) = (self.dispatcher.upgrade(), self.call.upgrade()) {
            let queued = Queued::Submitted(call);
            dispatcher.update(&self.slot, |state, effects| state.expire(&queued, effects));
        }
    }
}
