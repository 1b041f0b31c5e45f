//! The state machine of a slot: its queue, and the state of its worker.
//!
//! It is pure: each event is a method that changes the state and returns what has to be done as [`Effect`]s,
//! which
//! [`Dispatcher::update`](super::dispatcher::Dispatcher::update) carries out after it has released the slot's
//! lock. Time comes in as an argument. The folder's documentation has its states and its races.

use std::mem;
use std::sync::Arc;
use std::time::Instant;

use super::effects::{
    Admission, Effect, Effects, Fate, Figures, GiveUp, MadeBy, Refusal, Retirement, Types, Waiting,
};
use super::failures::Failures;
use super::queue::Queue;
use super::service::Service;
use crate::error::StartError;
use crate::options::{Rules, later};
use crate::stats::WorkerState;

pub(super) struct State<T: Types> {
    rules: Rules,
    queue: Queue<T>,
    phase: Phase<T>,
    failures: Failures,
    closed: bool,
    figures: Figures,
}

enum Phase<T: Types> {
    Absent,
    /// A timer is set for the next attempt.
    BackingOff,
    /// A permit was requested.
    AwaitingPermit,
    Starting {
        worker: Option<T::Worker>,
        replace: bool,
    },
    Idle {
        link: T::Link,
        service: Service,
    },
    Busy {
        worker: T::Worker,
        service: Service,
        running: Running<T>,
    },
}

/// The call that a worker runs.
struct Running<T: Types> {
    call: T::Call,
    /// Nobody wants its result.
    abandoned: bool,
    /// Its worker is being terminated because of it.
    aborted: bool,
    /// Its worker was seen to have ended.
    ended: bool,
    /// Its worker is to be retired afterwards.
    replace: bool,
}

impl<T: Types> State<T> {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            queue: Queue::new(),
            phase: Phase::Absent,
            failures: Failures::default(),
            closed: false,
            figures: Figures::default(),
        }
    }

    /// A call or a prewarm comes.
    pub(super) fn admit(
        &mut self,
        waiting: Waiting<T>,
        made_by: MadeBy,
        now: Instant,
        others_wait: bool,
        effects: &mut Effects<T>,
    ) -> Admission<T::Link> {
        if self.closed {
            return Admission::Refused(Refusal::ShutDown);
        }
        if waiting.is_late(now) {
            return Admission::Refused(Refusal::TimedOut);
        }
        if let (Waiting::Call(call), MadeBy::Caller, Phase::Idle { .. }) = (&waiting, made_by, &self.phase)
            && let Phase::Idle { link, service } = mem::replace(&mut self.phase, Phase::Absent)
        {
            self.run(&link, service.resume(&self.rules, now), call.clone());
            return Admission::Dispatched(link);
        }
        if self.is_full() && matches!(waiting, Waiting::Call(_)) {
            return Admission::Full;
        }
        self.queue.push(waiting);
        match mem::replace(&mut self.phase, Phase::Absent) {
            Phase::Idle { link, service } => {
                self.dispatch(link, service.resume(&self.rules, now), now, others_wait, effects);
            }
            phase => {
                self.phase = phase;
                self.want_worker(now, effects);
            }
        }
        Admission::Queued
    }

    /// The permit that was requested.
    pub(super) fn permitted(&mut self, permit: T::Permit, effects: &mut Effects<T>) {
        let awaited = matches!(self.phase, Phase::AwaitingPermit);
        if awaited && !self.queue.is_empty() && !self.closed {
            self.phase = Phase::Starting { worker: None, replace: false };
            effects.push(Effect::Start(permit));
            return;
        }
        if awaited {
            self.phase = Phase::Absent;
        }
        effects.push(Effect::ReleasePermit(permit));
    }

    /// The wait after failures is over.
    pub(super) fn retry_due(&mut self, now: Instant, effects: &mut Effects<T>) {
        if matches!(self.phase, Phase::BackingOff) {
            self.phase = Phase::Absent;
        }
        self.want_worker(now, effects);
    }

    /// The start has come as far as a process.
    pub(super) fn spawned(&mut self, worker: T::Worker) {
        if let Phase::Starting { worker: slot, .. } = &mut self.phase {
            *slot = Some(worker);
        }
    }

    /// A worker is ready.
    pub(super) fn started(
        &mut self,
        link: T::Link,
        now: Instant,
        others_wait: bool,
        effects: &mut Effects<T>,
    ) {
        self.figures.starts += 1;
        let replace = matches!(self.phase, Phase::Starting { replace: true, .. });
        let service = Service::new(now);
        if self.closed {
            self.retire(link, Retirement::ShutDown, now, effects);
        } else if replace {
            self.retire(link, Retirement::Replaced, now, effects);
        } else {
            self.dispatch(link, service, now, others_wait, effects);
        }
    }

    pub(super) fn start_failed(&mut self, cause: &Arc<StartError>, now: Instant, effects: &mut Effects<T>) {
        self.phase = Phase::Absent;
        let failed = self.queue.start_failed(self.rules.retries);
        Self::fail(failed, &Refusal::NotStarted(Arc::clone(cause)), effects);
        if !cause.is_of_the_moment() {
            self.failures.add(Arc::clone(cause), &self.rules.back_off, now);
            self.want_worker(now, effects);
        } else if !self.closed && !self.queue.is_empty() {
            // Files are about to change. Who has retries left gets the next look at them then, or with the
            // next that comes; nobody else has to wait.
            self.phase = Phase::BackingOff;
            effects.push(Effect::RetryAt(later(now, self.rules.back_off.first)));
        }
    }

    /// There is no thread to start a worker on, or to make the call of this link on. All that wait fail.
    pub(super) fn runner_failed(
        &mut self,
        link: Option<T::Link>,
        why: &Refusal,
        now: Instant,
        others_wait: bool,
        effects: &mut Effects<T>,
    ) {
        let phase = mem::replace(&mut self.phase, Phase::Absent);
        let (running, service) = match phase {
            Phase::Busy { service, running, .. } => (Some(Waiting::Call(running.call)), service),
            _ => (None, Service::new(now)),
        };
        let all = running.into_iter().chain(self.queue.take_all());
        Self::fail(all, why, effects);
        match link {
            Some(link) if self.closed => self.retire(link, Retirement::ShutDown, now, effects),
            Some(link) => self.dispatch(link, service, now, others_wait, effects),
            None => {}
        }
    }

    /// A call was answered. `unfit`: the worker uses more memory than it may, or
    /// its project's import state is not what it was.
    pub(super) fn released(
        &mut self,
        link: T::Link,
        unfit: bool,
        now: Instant,
        others_wait: bool,
        effects: &mut Effects<T>,
    ) {
        self.figures.calls += 1;
        self.failures.clear();
        let Phase::Busy { mut service, running, .. } = mem::replace(&mut self.phase, Phase::Absent) else {
            // Nobody but the holder of the link ends `Busy`.
            return self.retire(link, Retirement::Protocol, now, effects);
        };
        service.answer();
        if running.ended {
            self.figures.losses += 1;
            effects.push(Effect::Discard(link));
            self.want_worker(now, effects);
        } else if self.closed {
            self.retire(link, Retirement::ShutDown, now, effects);
        } else if running.aborted {
            self.retire(link, Retirement::Aborted, now, effects);
        } else if running.replace {
            self.retire(link, Retirement::Replaced, now, effects);
        } else if service.is_worn_out(&self.rules) || unfit {
            self.retire(link, Retirement::Recycled, now, effects);
        } else if others_wait && service.slice_is_over(&self.rules, now) {
            self.retire(link, Retirement::Evicted, now, effects);
        } else {
            self.dispatch(link, service, now, others_wait, effects);
        }
    }

    /// A call was not answered: its worker is ended, if it has not ended by itself.
    pub(super) fn given_up(
        &mut self,
        link: T::Link,
        why: GiveUp,
        now: Instant,
        effects: &mut Effects<T>,
    ) -> Fate {
        let Phase::Busy { service, running, .. } = mem::replace(&mut self.phase, Phase::Absent) else {
            // Nobody but the holder of the link ends `Busy`.
            self.retire(link, Retirement::Protocol, now, effects);
            return Fate::Failed;
        };
        let unsent = matches!(why, GiveUp::Outdated | GiveUp::Ended { sent: false, .. });
        let is_late = T::deadline(&running.call).is_some_and(|deadline| deadline <= now);
        let fate = if running.aborted {
            Fate::Aborted
        } else if !unsent || running.abandoned || is_late {
            Fate::Failed
        } else if self.closed {
            Fate::ShutDown
        } else {
            self.queue.put_back(running.call);
            Fate::Requeued
        };
        let reason = match why {
            GiveUp::TimedOut => Retirement::TimedOut,
            GiveUp::Protocol => Retirement::Protocol,
            GiveUp::Outdated => Retirement::Outdated,
            GiveUp::Ended { cause, .. } => {
                if !running.aborted {
                    self.lose(service, cause, now);
                }
                effects.push(Effect::Discard(link));
                self.want_worker(now, effects);
                return fate;
            }
        };
        self.retire(link, reason, now, effects);
        fate
    }

    /// A worker has ended. Returns whether it was idle, when nobody else would notice.
    pub(super) fn ended(
        &mut self,
        number: u64,
        cause: Arc<StartError>,
        now: Instant,
        effects: &mut Effects<T>,
    ) -> bool {
        match &mut self.phase {
            Phase::Busy { worker, running, .. } if T::number(worker) == number => running.ended = true,
            Phase::Idle { link, .. } if T::number(&T::worker(link)) == number => {
                if let Phase::Idle { link, service } = mem::replace(&mut self.phase, Phase::Absent) {
                    self.lose(service, cause, now);
                    effects.push(Effect::Discard(link));
                }
                return true;
            }
            _ => {}
        }
        false
    }

    /// Retires the worker if it has been idle since this time or longer.
    pub(super) fn retire_idle(
        &mut self,
        since: Instant,
        reason: Retirement,
        effects: &mut Effects<T>,
    ) -> bool {
        let is_due = self.idle_since().is_some_and(|idle| idle <= since);
        if is_due && let Phase::Idle { link, .. } = mem::replace(&mut self.phase, Phase::Absent) {
            effects.push(Effect::Retire { link, reason });
        }
        is_due
    }

    /// Retires the worker now if it is idle, else after its start or its call. Earlier failures are
    /// forgotten.
    pub(super) fn replace(&mut self, now: Instant, effects: &mut Effects<T>) {
        self.failures.clear();
        match mem::replace(&mut self.phase, Phase::Absent) {
            Phase::Idle { link, .. } => self.retire(link, Retirement::Replaced, now, effects),
            Phase::Starting { worker, .. } => self.phase = Phase::Starting { worker, replace: true },
            Phase::Busy { worker, service, running } => {
                self.phase = Phase::Busy { worker, service, running: Running { replace: true, ..running } };
            }
            Phase::BackingOff | Phase::Absent => self.want_worker(now, effects),
            Phase::AwaitingPermit => self.phase = Phase::AwaitingPermit,
        }
    }

    /// Nobody wants the call's result any more. Returns whether it was removed from the queue and will never
    /// be sent.
    pub(super) fn withdraw(&mut self, call: &T::Call, effects: &mut Effects<T>) -> bool {
        if let Phase::Busy { running, .. } = &mut self.phase
            && T::is_same(&running.call, call)
        {
            running.abandoned = true;
            return false;
        }
        let removed = self.queue.remove(call);
        if removed {
            effects.push(Effect::RoomFreed);
        }
        removed
    }

    /// The call's deadline has passed. It fails unless it was sent.
    pub(super) fn expire(&mut self, call: &T::Call, effects: &mut Effects<T>) {
        if self.queue.remove(call) {
            Self::fail([Waiting::Call(call.clone())], &Refusal::TimedOut, effects);
        }
    }

    /// Ends the call: it fails if it waits; its worker is terminated if it runs.
    pub(super) fn abort(&mut self, call: &T::Call, effects: &mut Effects<T>) {
        if let Phase::Busy { worker, running, .. } = &mut self.phase
            && T::is_same(&running.call, call)
        {
            if !running.aborted {
                running.aborted = true;
                effects.push(Effect::Abort { worker: worker.clone(), call: call.clone() });
            }
        } else if self.queue.remove(call) {
            Self::fail([Waiting::Call(call.clone())], &Refusal::Aborted, effects);
        }
    }

    /// The pool is shut down. What waits fails, what runs may end.
    pub(super) fn close(&mut self, effects: &mut Effects<T>) {
        self.closed = true;
        Self::fail(self.queue.take_all(), &Refusal::ShutDown, effects);
        match mem::replace(&mut self.phase, Phase::Absent) {
            Phase::Idle { link, .. } => effects.push(Effect::Retire { link, reason: Retirement::ShutDown }),
            // Whoever has it retires it.
            phase @ (Phase::Starting { .. } | Phase::Busy { .. }) => self.phase = phase,
            Phase::Absent | Phase::BackingOff | Phase::AwaitingPermit => {}
        }
    }

    /// Gives an unused link to the next call. Without one the worker becomes idle, or makes room for another
    /// slot's.
    fn dispatch(
        &mut self,
        link: T::Link,
        service: Service,
        now: Instant,
        others_wait: bool,
        effects: &mut Effects<T>,
    ) {
        while let Some(waiting) = self.queue.pop() {
            effects.push(Effect::RoomFreed);
            let is_late = waiting.is_late(now);
            match waiting {
                Waiting::Prewarm(prewarm) => effects.push(Effect::Ready(prewarm)),
                // Whoever waits for it has not noticed yet.
                waiting if is_late => effects.push(Effect::Fail { waiting, why: Refusal::TimedOut }),
                Waiting::Call(call) => {
                    self.run(&link, service, call.clone());
                    effects.push(Effect::Dispatch { link, call });
                    return;
                }
            }
        }
        if others_wait {
            match service.lingers(&self.rules, now) {
                Some(until) => effects.push(Effect::MakeRoomAt(until)),
                None => return self.retire(link, Retirement::Evicted, now, effects),
            }
        }
        self.phase = Phase::Idle { link, service: service.rest(now) };
    }

    fn run(&mut self, link: &T::Link, service: Service, call: T::Call) {
        let running = Running { call, abandoned: false, aborted: false, ended: false, replace: false };
        self.phase = Phase::Busy { worker: T::worker(link), service, running };
    }

    fn retire(&mut self, link: T::Link, reason: Retirement, now: Instant, effects: &mut Effects<T>) {
        self.phase = Phase::Absent;
        effects.push(Effect::Retire { link, reason });
        self.want_worker(now, effects);
    }

    /// Counts a worker that has ended by itself: as a failure if it has not answered a call.
    fn lose(&mut self, service: Service, cause: Arc<StartError>, now: Instant) {
        self.figures.losses += 1;
        if !service.has_answered() && !self.closed {
            self.failures.add(cause, &self.rules.back_off, now);
        }
    }

    /// Gets a worker for what waits, if there is none and none is on its way.
    fn want_worker(&mut self, now: Instant, effects: &mut Effects<T>) {
        let there_is_none = matches!(self.phase, Phase::Absent | Phase::BackingOff);
        if self.closed || self.queue.is_empty() || !there_is_none {
            return;
        }
        if let Some(open) = self.failures.open(&self.rules.back_off, now) {
            self.phase = Phase::Absent;
            Self::fail(self.queue.take_all(), &Refusal::CircuitOpen(open), effects);
        } else if let Some(next) = self.failures.next_attempt(now) {
            if matches!(self.phase, Phase::Absent) {
                self.phase = Phase::BackingOff;
                effects.push(Effect::RetryAt(next));
            }
        } else {
            self.phase = Phase::AwaitingPermit;
            effects.push(Effect::RequestPermit);
        }
    }

    fn fail(waiting: impl IntoIterator<Item = Waiting<T>>, why: &Refusal, effects: &mut Effects<T>) {
        effects.extend(waiting.into_iter().map(|waiting| Effect::Fail { waiting, why: why.clone() }));
        effects.push(Effect::RoomFreed);
    }

    /// Whether [`admit`](Self::admit) would find no room for a call.
    pub(super) fn is_full(&self) -> bool {
        !self.closed && self.rules.queue_limit.is_some_and(|limit| self.queue.len() >= limit)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Since when the worker is idle, if it is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Idle { service, .. } => Some(service.idle_since()),
            _ => None,
        }
    }

    /// The slot's worker, if there is a process.
    pub(super) fn worker(&self) -> Option<T::Worker> {
        match &self.phase {
            Phase::Starting { worker, .. } => worker.clone(),
            Phase::Idle { link, .. } => Some(T::worker(link)),
            Phase::Busy { worker, .. } => Some(worker.clone()),
            Phase::Absent | Phase::BackingOff | Phase::AwaitingPermit => None,
        }
    }

    pub(super) fn worker_state(&self) -> WorkerState {
        match &self.phase {
            Phase::Absent => WorkerState::Absent,
            Phase::BackingOff => WorkerState::BackingOff,
            Phase::AwaitingPermit => WorkerState::AwaitingPermit,
            Phase::Starting { .. } => WorkerState::Starting,
            Phase::Idle { .. } => WorkerState::Idle,
            Phase::Busy { .. } => WorkerState::Busy,
        }
    }

    pub(super) fn figures(&self) -> Figures {
        Figures { queued: self.queue.len(), failures: self.failures.count(), ..self.figures }
    }
}
