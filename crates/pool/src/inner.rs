//! What all parts of a pool share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::builder::Options;
use super::capacity::Capacity;
use super::error::PoolError;
use super::process::after;
use super::slot::{Slot, Target, Work};
use super::stats::Counters;
use super::supervisor::{Command, Step, Supervisor};
use super::templates::Templates;
use sgtk_config::Bootstrap;
use sgtk_config::keys::Secrets;
use sgtk_config::python::Executables;

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) options: Options,
    pub(super) capacity: Capacity,
    pub(super) pythons: Executables,
    pub(super) templates: Templates,
    pub(super) supervisor: Supervisor,
    pub(super) counters: Counters,
    /// Hides the keys of bootstraps in all that workers say.
    _secrets: Secrets,
    slots: RwLock<Slots>,
    numbers: AtomicU64,
}

#[derive(Debug, Default)]
struct Slots {
    by_project: HashMap<Arc<str>, Arc<Slot>>,
    closed: bool,
}

impl Inner {
    pub(super) fn new(options: Options, supervisor: Supervisor) -> Self {
        Self {
            capacity: Capacity::new(options.max_workers),
            pythons: Executables::default(),
            templates: Templates::default(),
            supervisor,
            counters: Counters::default(),
            _secrets: Secrets::in_use(options.bootstraps.values().flat_map(Bootstrap::secrets)),
            slots: RwLock::default(),
            numbers: AtomicU64::new(1),
            options,
        }
    }

    /// A number for a call or a worker that no other in this pool has.
    pub(super) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// The project's slot, made where it is asked for the first time.
    ///
    /// # Errors
    /// The project has no usable configuration: a name that is none does not stay in memory.
    pub(super) fn slot(&self, project: &str) -> Result<Arc<Slot>, PoolError> {
        let shut_down = || PoolError::ShutDown { project: project.to_owned() };
        {
            let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
            if slots.closed {
                return Err(shut_down());
            }
            if let Some(slot) = slots.by_project.get(project) {
                return Ok(Arc::clone(slot));
            }
        }
        let target = match self.options.bootstraps.get(project) {
            Some(bootstrap) => Target::Bootstrap(Box::new(bootstrap.clone())),
            None => match self.options.configs.locate(project) {
                Ok(_) => Target::Project,
                Err(error) => return Err(PoolError::Config { source: Arc::new(error) }),
            },
        };
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        if slots.closed {
            return Err(shut_down());
        }
        let name: Arc<str> = Arc::from(project);
        let slot = slots.by_project.entry(Arc::clone(&name)).or_insert_with(|| Slot::new(name, target));
        Ok(Arc::clone(slot))
    }

    pub(super) fn slots(&self) -> Vec<Arc<Slot>> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        slots.by_project.values().cloned().collect()
    }

    /// Ends the idle worker that was used least recently, for a slot that waits.
    pub(super) fn evict_idle(&self) {
        let mut oldest: Option<(Instant, Arc<Slot>)> = None;
        for slot in self.slots() {
            let since = match &slot.lock().work {
                Work::Idle(link) => link.since,
                _ => continue,
            };
            if oldest.as_ref().is_none_or(|(found, _)| since < *found) {
                oldest = Some((since, slot));
            }
        }
        let Some((since, slot)) = oldest else { return };
        // It may have got work meanwhile: then it looks for waiting slots itself, when it has done it.
        if let Some(link) = slot.take_idle(|link| link.since == since) {
            self.counters.evicted.fetch_add(1, Ordering::Relaxed);
            self.supervisor.end(link, Step::Ask);
        }
    }

    /// Ends workers that had nothing to do for too long. Returns when to look again.
    pub(super) fn end_idle(&self, limit: Duration) -> Duration {
        let now = Instant::now();
        let mut next = limit;
        for slot in self.slots() {
            let age = match &slot.lock().work {
                Work::Idle(link) => now.saturating_duration_since(link.since),
                _ => continue,
            };
            if age < limit {
                next = next.min(limit - age);
            } else if let Some(link) =
                slot.take_idle(|link| now.saturating_duration_since(link.since) >= limit)
            {
                self.counters.idle_ended.fetch_add(1, Ordering::Relaxed);
                self.supervisor.end(link, Step::Ask);
            }
        }
        next.max(Duration::from_millis(1))
    }

    /// Shuts everything down: queued calls fail, running ones have `grace` to end, then their workers are stopped.
    ///
    /// # Errors
    /// [`PoolError::StillRunning`] names processes that not even SIGKILL has ended.
    pub(super) fn shut_down(&self, grace: Duration) -> Result<(), PoolError> {
        let before =
            std::mem::replace(&mut self.slots.write().unwrap_or_else(PoisonError::into_inner).closed, true);
        if before {
            // Another call sees to it. It may be the one that waits for the very thread that this one is on.
            self.supervisor.send(Command::Close { at: after(grace) });
            return Ok(());
        }
        self.capacity.forget_waiting();
        let mut threads = Vec::new();
        for slot in self.slots() {
            let (tickets, idle, job) = {
                let mut state = slot.lock();
                state.closed = true;
                let idle = match std::mem::replace(&mut state.work, Work::Absent) {
                    Work::Idle(link) => Some(link),
                    // Whoever has it ends it when it is done.
                    busy @ (Work::Busy | Work::Starting) => {
                        state.work = busy;
                        None
                    }
                    Work::Absent | Work::Delayed | Work::Waiting => None,
                };
                threads.extend(state.thread.take());
                (std::mem::take(&mut state.queue), idle, state.job.take())
            };
            slot.room.notify_all();
            slot.job.notify_all();
            for ticket in tickets {
                ticket.fail(slot.shut_down());
            }
            let link = match job {
                Some(super::slot::Job::Make(link)) => Some(link),
                _ => None,
            };
            for link in idle.into_iter().chain(link) {
                self.supervisor.end(link, Step::Ask);
            }
        }
        self.templates.end_all(self);
        self.supervisor.send(Command::Close { at: after(grace) });
        for thread in threads {
            // The last handle may be dropped by a waker on such a thread.
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("a thread of the pool has panicked");
            }
        }
        self.supervisor.stop()
    }
}

impl Slot {
    /// Takes the link of an idle worker, which is about to be ended.
    fn take_idle(&self, which: impl FnOnce(&super::link::Link) -> bool) -> Option<Box<super::link::Link>> {
        let mut state = self.lock();
        match std::mem::replace(&mut state.work, Work::Absent) {
            Work::Idle(link) if which(&link) => {
                state.pid = None;
                Some(link)
            }
            other => {
                state.work = other;
                None
            }
        }
    }
}
