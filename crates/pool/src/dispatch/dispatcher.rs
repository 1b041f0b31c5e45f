//! The slots of a pool, and what carries out their effects.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use sgtk_config::keys::Secrets;

use super::capacity::Capacity;
use super::effects::{Effect, Effects, GiveUp, Refusal, Retirement, Waiting};
use super::pending::Queued;
use super::runner::NotTaken;
use super::session::Session;
use super::slot::{Job, Real, Slot};
use super::state::State;
use crate::error::PoolError;
use crate::lane::Lane;
use crate::options::{CallOptions, ProcessOptions, after, later};
use crate::process::{Launcher, Step, Supervisor, Timer};
use crate::stats::{Counters, PoolStats, ProjectStats};

/// What all threads of a pool share.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    pub(crate) options: CallOptions,
    pub(super) counters: Counters,
    pub(crate) launcher: Launcher,
    pub(super) supervisor: Arc<Supervisor>,
    pub(super) capacity: Arc<Capacity>,
    /// Hides the keys of the pool's options in all texts of workers.
    _secrets: Secrets,
    slots: RwLock<Slots>,
    calls: AtomicU64,
}

#[derive(Debug, Default)]
struct Slots {
    /// The lanes of each project, in the order in which they were first called.
    by_project: HashMap<Arc<str>, Vec<Arc<Slot>>>,
    closed: bool,
}

impl Slots {
    fn get(&self, lane: Lane<'_>) -> Option<&Arc<Slot>> {
        self.by_project.get(lane.project())?.iter().find(|slot| slot.lane.as_deref() == lane.name())
    }
}

impl Dispatcher {
    /// # Errors
    /// [`PoolError::System`] if the system refuses a thread or a pipe.
    pub(crate) fn start(options: CallOptions, process: ProcessOptions) -> Result<Arc<Self>, PoolError> {
        let supervisor = Supervisor::start(process.grace)
            .map_err(|(action, cause)| PoolError::System { action, cause: Arc::new(cause) })?;
        let supervisor = Arc::new(supervisor);
        let secrets = Secrets::in_use(process.secrets());
        let dispatcher = Arc::new(Self {
            counters: Counters::default(),
            launcher: Launcher::new(process, Arc::clone(&supervisor)),
            supervisor,
            capacity: Capacity::new(options.max_workers),
            _secrets: secrets,
            slots: RwLock::default(),
            calls: AtomicU64::new(1),
            options,
        });
        if let Some(timeout) = dispatcher.options.idle_timeout {
            let timer = IdleCheck { dispatcher: Arc::downgrade(&dispatcher), timeout };
            dispatcher.supervisor.at(after(timeout), timer);
        }
        Ok(dispatcher)
    }

    /// A number that no other call of the pool has.
    pub(crate) fn next_call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether the caller runs on the supervisor's thread, which must not wait for the pool.
    pub(crate) fn is_supervisor(&self) -> bool {
        self.supervisor.is_this_thread()
    }

    /// The slot of a lane, made when it is first asked for.
    ///
    /// # Errors
    /// The project has no usable configuration. Nothing is kept of such a name.
    pub(crate) fn slot(&self, lane: Lane<'_>) -> Result<Arc<Slot>, PoolError> {
        let project = lane.project();
        let shut_down = || PoolError::ShutDown { project: project.to_owned() };
        {
            let slots = self.slots.read();
            if slots.closed {
                return Err(shut_down());
            }
            if let Some(slot) = slots.get(lane) {
                return Ok(Arc::clone(slot));
            }
        }
        let target = self.launcher.target(project);
        let target = target.map_err(|error| PoolError::Config { source: Arc::new(error) })?;
        let mut slots = self.slots.write();
        if slots.closed {
            return Err(shut_down());
        }
        if let Some(slot) = slots.get(lane) {
            return Ok(Arc::clone(slot));
        }
        let slot = Slot::new(lane, target, self.options.rules);
        slots.by_project.entry(Arc::clone(&slot.project)).or_default().push(Arc::clone(&slot));
        Ok(slot)
    }

    /// Retires the worker of a lane, after its call if it runs one, and forgets earlier failures. Does
    /// nothing for a lane that was never called.
    pub(crate) fn evict(self: &Arc<Self>, lane: Lane<'_>) {
        let slot = self.slots.read().get(lane).cloned();
        if let Some(slot) = slot {
            self.update(&slot, |state, effects| state.replace(Instant::now(), effects));
        }
    }

    fn slots(&self) -> Vec<Arc<Slot>> {
        self.slots.read().by_project.values().flatten().cloned().collect()
    }

    /// Passes an event to a slot, then carries out its effects in order, without the slot's lock.
    pub(super) fn update<R>(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        event: impl FnOnce(&mut State<Real>, &mut Effects<Real>) -> R,
    ) -> R {
        let mut effects = Vec::new();
        let result = event(&mut slot.state.lock(), &mut effects);
        for effect in effects {
            self.carry_out(slot, effect);
        }
        result
    }

    fn carry_out(self: &Arc<Self>, slot: &Arc<Slot>, effect: Effect<Real>) {
        match effect {
            Effect::RequestPermit => self.request_permit(slot),
            Effect::ReleasePermit(permit) => drop(permit),
            Effect::Start(permit) => self.give_job(slot, Job::Start(permit)),
            Effect::RetryAt(at) => {
                let timer = Retry { dispatcher: Arc::downgrade(self), slot: Arc::clone(slot) };
                self.supervisor.at(at, timer);
            }
            Effect::MakeRoomAt(at) => self.supervisor.at(at, MakeRoom { dispatcher: Arc::downgrade(self) }),
            Effect::Dispatch { link: mut session, call } => {
                // The worker begins while the thread that makes the call wakes up, unless that has to look at
                // the core's files first.
                let is_look_due = session.is_look_due(self.options.revalidate_after);
                let sent = if !is_look_due { session.link.begin(&call.call().request.frame) } else { 0 };
                match call {
                    Queued::Direct(direct) => direct.turn.deliver(Ok((session, sent))),
                    Queued::Submitted(submitted) => self.give_job(slot, Job::Make(session, submitted, sent)),
                }
            }
            Effect::Retire { link, reason } => self.retire(slot, *link, reason),
            Effect::Discard(session) => drop(session),
            Effect::Abort { worker, call } => {
                self.supervisor.end(&worker, None, Step::Terminate);
                call.fail(slot.aborted(call.call(), true));
            }
            Effect::Fail { waiting: Waiting::Call(call), why } => {
                call.fail(slot.refused(Some(call.call()), why));
            }
            Effect::Fail { waiting: Waiting::Prewarm(prewarm), why } => {
                prewarm.deliver(Err(slot.refused(None, why)));
            }
            Effect::Ready(prewarm) => prewarm.deliver(Ok(())),
            Effect::RoomFreed => {
                slot.room.notify_all();
            }
        }
    }

    fn request_permit(self: &Arc<Self>, slot: &Arc<Slot>) {
        let (dispatcher, waiting) = (Arc::downgrade(self), Arc::clone(slot));
        let granted = self.capacity.request(move |permit| {
            if let Some(dispatcher) = dispatcher.upgrade() {
                dispatcher.update(&waiting, |state, effects| state.permitted(permit, effects));
            }
        });
        if !granted {
            self.make_room();
        }
    }

    /// Retires idle workers for slots that wait, the one first that was used least recently; later, where it
    /// may be about to get its next call.
    fn make_room(self: &Arc<Self>) {
        while self.capacity.is_short() {
            let idle = self.slots().into_iter().filter_map(|slot| {
                let since = slot.state.lock().idle_since()?;
                Some((since, slot))
            });
            let Some((since, slot)) = idle.min_by_key(|(since, _)| *since) else { return };
            let due = later(since, self.options.rules.linger);
            if due > Instant::now() {
                self.supervisor.at(due, MakeRoom { dispatcher: Arc::downgrade(self) });
                return;
            }
            // If it is busy by now, it sees that others wait when it has finished.
            self.update(&slot, |state, effects| state.retire_idle(since, Retirement::Evicted, effects));
        }
    }

    fn retire(&self, slot: &Slot, session: Session, reason: Retirement) {
        let (step, counter) = match reason {
            Retirement::TimedOut => (Step::Terminate, Some(&self.counters.timed_out)),
            Retirement::Aborted | Retirement::Protocol => (Step::Terminate, None),
            Retirement::Recycled | Retirement::Outdated => (Step::Ask, Some(&self.counters.recycled)),
            Retirement::Evicted => (Step::Ask, Some(&self.counters.evicted)),
            Retirement::Idle => (Step::Ask, Some(&self.counters.idle_ended)),
            Retirement::Replaced | Retirement::ShutDown => (Step::Ask, None),
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        let worker = Arc::clone(&session.link.worker);
        tracing::debug!(project = &*slot.project, pid = worker.pid(), ?reason, "retiring a worker");
        session.permit.announce_end();
        self.supervisor.end(&worker, Some(session.link), step);
    }

    /// Hands a job to the slot's runner, which is started if it does not run.
    fn give_job(self: &Arc<Self>, slot: &Arc<Slot>, job: Job) {
        let spawn = || {
            let (dispatcher, slot) = (Arc::clone(self), Arc::clone(slot));
            let name = format!("sgtk-{}", slot.project.replace('\0', " "));
            std::thread::Builder::new().name(name).spawn(move || {
                while let Some(job) = slot.runner.next() {
                    dispatcher.run_job(&slot, job);
                }
            })
        };
        let Err((job, why)) = slot.runner.give(job, spawn) else { return };
        let why = match why {
            NotTaken::Closed => Refusal::ShutDown,
            NotTaken::NoThread(error) => Refusal::NoThread(Arc::new(error)),
        };
        let session = match job {
            Job::Start(permit) => {
                drop(permit);
                None
            }
            // Its answer would reach the next call.
            Job::Make(session, submitted, 1..) => {
                let error =
                    slot.lost(&submitted.call, session.link.worker.pid(), "was ended before it had answered");
                submitted.outcome.deliver(Err(error));
                self.update(slot, |state, effects| {
                    state.given_up(session, GiveUp::Protocol, Instant::now(), effects)
                });
                return;
            }
            Job::Make(session, ..) => Some(session),
        };
        self.update(slot, |state, effects| {
            state.runner_failed(session, &why, Instant::now(), self.capacity.is_short(), effects);
        });
    }

    /// Shuts the pool down: queued calls fail, running ones have `grace` to finish, then their workers are
    /// terminated.
    ///
    /// # Errors
    /// [`PoolError::StillRunning`] names processes that have outlived SIGKILL.
    pub(crate) fn shut_down(self: &Arc<Self>, grace: Option<Duration>) -> Result<(), PoolError> {
        if std::mem::replace(&mut self.slots.write().closed, true) {
            // The first call waits for the processes. It may wait for this very thread.
            self.supervisor.close(grace.map(after));
            return Ok(());
        }
        let mut threads = Vec::new();
        for slot in self.slots() {
            self.update(&slot, State::close);
            threads.extend(slot.runner.close());
        }
        self.capacity.close();
        self.launcher.close();
        self.supervisor.close(grace.map(after));
        for thread in threads {
            // A waker that drops the last handle may run on such a thread.
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("a thread of the pool has panicked");
            }
        }
        self.launcher.join_trials();
        self.supervisor.stop()?;
        self.launcher.join();
        Ok(())
    }

    pub(crate) fn stats(&self) -> PoolStats {
        let projects = self.slots().into_iter().map(|slot| {
            let state = slot.state.lock();
            let figures = state.figures();
            ProjectStats {
                project: slot.project.to_string(),
                lane: slot.lane.as_deref().map(str::to_owned),
                state: state.worker_state(),
                pid: state.worker().map(|worker| worker.pid()),
                queued: figures.queued,
                calls: figures.calls,
                starts: figures.starts,
                losses: figures.losses,
                failures: figures.failures,
            }
        });
        self.counters.stats(self.launcher.templates(), projects.collect())
    }
}

/// Tries to start a worker after failures.
struct Retry {
    dispatcher: Weak<Dispatcher>,
    slot: Arc<Slot>,
}

impl Timer for Retry {
    fn fire(self: Box<Self>) {
        if let Some(dispatcher) = self.dispatcher.upgrade() {
            dispatcher.update(&self.slot, |state, effects| state.retry_due(Instant::now(), effects));
        }
    }
}

/// Ends workers that have nothing to do, where others wait for their place.
struct MakeRoom {
    dispatcher: Weak<Dispatcher>,
}

impl Timer for MakeRoom {
    fn fire(self: Box<Self>) {
        if let Some(dispatcher) = self.dispatcher.upgrade() {
            dispatcher.make_room();
        }
    }
}

/// Retires workers that have been idle for too long.
struct IdleCheck {
    dispatcher: Weak<Dispatcher>,
    timeout: Duration,
}

impl Timer for IdleCheck {
    fn fire(self: Box<Self>) {
        let Some(dispatcher) = self.dispatcher.upgrade() else { return };
        let now = Instant::now();
        if let Some(since) = now.checked_sub(self.timeout) {
            dispatcher.launcher.end_idle_templates(since);
        }
        // A worker that becomes idle meanwhile is not due before.
        let mut next = self.timeout;
        for slot in dispatcher.slots() {
            let Some(since) = slot.state.lock().idle_since() else { continue };
            let idle = now.saturating_duration_since(since);
            if idle < self.timeout {
                next = next.min(self.timeout - idle);
            } else {
                dispatcher
                    .update(&slot, |state, effects| state.retire_idle(since, Retirement::Idle, effects));
            }
        }
        dispatcher.supervisor.at(after(next), *self);
    }
}
