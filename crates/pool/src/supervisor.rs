//! The thread that sees to all processes of a pool: their output, their ends, and what is to be done at a time.
//!
//! It is told what to do by messages, and shares nothing but what [`Worker`] and [`Slot`] guard themselves. No call goes
//! through it.

use std::collections::BinaryHeap;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{cmp, io};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;

use super::error::PoolError;
use super::inner::Inner;
use super::link::Link;
use super::process::{never_wait, pipe, timespec};
use super::slot::Slot;
use super::ticket::Ticket;
use super::watched::{Grace, Watched};
use super::worker::Worker;

/// How often processes that have no descriptor are looked at.
const LOOK: Duration = Duration::from_millis(20);

/// From how many timers on it is worth to look for useless ones.
const SWEEP: usize = 256;

/// A message to the supervisor.
#[derive(Debug)]
pub(super) enum Command {
    /// See to a process that was just started.
    Watch(Box<Watched>),
    /// End a process, at this step or a later one of the ladder. The link is kept until it has ended.
    End { worker: Arc<Worker>, link: Option<Box<Link>>, step: Step },
    /// Have a slot try to start a worker at a time.
    TryAgain { at: Instant, slot: Arc<Slot> },
    /// Fail a submitted call at a time, unless it was sent by then, or is over and gone.
    Expire { at: Instant, slot: Arc<Slot>, ticket: Weak<Ticket> },
    /// A template has told the status of a worker that it has forked.
    Status { pid: u32, status: i32 },
    /// No more calls: stop what still runs at a time, and everything that is started after it.
    Close { at: Instant },
    /// Return when nothing runs any more.
    Stop,
}

/// How a process is ended: each after the grace of the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// Ask it over its pipe.
    Ask,
    Term,
    Kill,
}

/// The way to the supervisor.
#[derive(Debug)]
pub(super) struct Supervisor {
    commands: Sender<Command>,
    wake: OwnedFd,
    thread: Mutex<Option<JoinHandle<Vec<u32>>>>,
}

/// The supervisor's own end, from which its thread is started.
pub(super) struct Unstarted {
    commands: Receiver<Command>,
    woken: OwnedFd,
}

impl Supervisor {
    pub(super) fn new() -> io::Result<(Self, Unstarted)> {
        let (sender, receiver) = mpsc::channel();
        let (woken, wake) = pipe()?;
        never_wait(&woken)?;
        never_wait(&wake)?;
        let supervisor = Self { commands: sender, wake, thread: Mutex::default() };
        Ok((supervisor, Unstarted { commands: receiver, woken }))
    }

    pub(super) fn start(&self, unstarted: Unstarted, inner: &Arc<Inner>) -> io::Result<()> {
        let mut watch = Watch::new(unstarted, Arc::clone(inner));
        let builder = std::thread::Builder::new().name("sgtk-pool".to_owned());
        let thread = builder.spawn(move || watch.run())?;
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(())
    }

    pub(super) fn is_this_thread(&self) -> bool {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        thread.as_ref().is_some_and(|thread| thread.thread().id() == std::thread::current().id())
    }

    /// Never waits.
    pub(super) fn send(&self, command: Command) {
        // Nobody listens any more only where everything has ended.
        if self.commands.send(command).is_ok() {
            // Full means that it is woken already.
            let _ = rustix::io::write(&self.wake, &[1]);
        }
    }

    /// Ends a worker that nobody is to talk to any more.
    pub(super) fn end(&self, mut link: Box<Link>, step: Step) {
        link.is_ending();
        self.send(Command::End { worker: Arc::clone(&link.worker), link: Some(link), step });
    }

    /// Waits until nothing runs any more.
    ///
    /// # Errors
    /// [`PoolError::StillRunning`] names processes that not even SIGKILL has ended.
    pub(super) fn stop(&self) -> Result<(), PoolError> {
        self.send(Command::Stop);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) else {
            return Ok(());
        };
        match thread.join() {
            Ok(pids) if pids.is_empty() => Ok(()),
            Ok(pids) => Err(PoolError::StillRunning { pids, limit: Grace::KILLED }),
            Err(_) => {
                tracing::error!("the pool's supervisor has panicked");
                Ok(())
            }
        }
    }
}

/// Something to do at a time, the earliest first in a heap.
struct Timer {
    at: Instant,
    due: Due,
}

enum Due {
    TryAgain(Arc<Slot>),
    Expire(Arc<Slot>, Weak<Ticket>),
}

impl Due {
    fn is_of_use(&self) -> bool {
        match self {
            Self::TryAgain(_) => true,
            Self::Expire(_, ticket) => ticket.strong_count() > 0,
        }
    }
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Timer {}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timer {
    fn cmp(&self, other: &Self) -> cmp::Ordering {
        other.at.cmp(&self.at)
    }
}

/// The supervisor's thread.
struct Watch {
    inner: Arc<Inner>,
    commands: Receiver<Command>,
    woken: OwnedFd,
    processes: Vec<Watched>,
    timers: BinaryHeap<Timer>,
    /// At how many timers to look for those that are of no use any more.
    sweep_at: usize,
    /// When to look for workers that have nothing to do.
    idle_look: Option<Instant>,
    /// From when on everything is stopped.
    close: Option<Instant>,
    stop: bool,
}

impl Watch {
    fn new(unstarted: Unstarted, inner: Arc<Inner>) -> Self {
        let idle_look = inner.options.idle_timeout.and_then(|limit| Instant::now().checked_add(limit));
        Self {
            inner,
            commands: unstarted.commands,
            woken: unstarted.woken,
            processes: Vec::new(),
            timers: BinaryHeap::new(),
            sweep_at: SWEEP,
            idle_look,
            close: None,
            stop: false,
        }
    }

    /// Returns the processes that could not be ended.
    fn run(&mut self) -> Vec<u32> {
        loop {
            self.obey();
            let now = Instant::now();
            self.be_on_time(now);
            if self.stop && self.processes.iter().all(Watched::is_past_help) {
                return self.processes.iter().map(Watched::pid).collect();
            }
            let ready = self.wait(now);
            self.attend(&ready);
        }
    }

    fn obey(&mut self) {
        let mut buffer = [0; 64];
        while rustix::io::read(&self.woken, &mut buffer).is_ok_and(|read| read == buffer.len()) {}
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Watch(watched) => self.processes.push(*watched),
                Command::End { worker, link, step } => {
                    let grace = self.inner.options.grace;
                    let mut found = self.processes.iter_mut();
                    match found.find(|process| process.is(&worker)) {
                        Some(process) => process.end(step, link, grace),
                        // It has ended already, and with the link its permit goes on.
                        None => drop(link),
                    }
                }
                Command::TryAgain { at, slot } => self.set_timer(at, Due::TryAgain(slot)),
                Command::Expire { at, slot, ticket } => {
                    self.set_timer(at, Due::Expire(slot, ticket));
                }
                Command::Status { pid, status } => {
                    for process in self.processes.iter_mut().filter(|process| process.pid() == pid) {
                        process.set_status(status);
                    }
                }
                Command::Close { at } => {
                    self.close = Some(self.close.map_or(at, |before| before.min(at)));
                }
                Command::Stop => {
                    self.stop = true;
                    self.close = Some(Instant::now());
                }
            }
        }
    }

    /// Calls are over long before their time is up, mostly: their timers must not pile up until then.
    fn set_timer(&mut self, at: Instant, due: Due) {
        if self.timers.len() >= self.sweep_at {
            self.timers.retain(|timer| timer.due.is_of_use());
            self.sweep_at = SWEEP.max(2 * self.timers.len());
        }
        self.timers.push(Timer { at, due });
    }

    /// Does what is due.
    fn be_on_time(&mut self, now: Instant) {
        while self.timers.peek().is_some_and(|timer| timer.at <= now || self.close.is_some()) {
            match self.timers.pop().map(|timer| timer.due) {
                Some(Due::TryAgain(slot)) => self.inner.try_again(&slot),
                Some(Due::Expire(slot, ticket)) if self.close.is_none() => {
                    if let Some(ticket) = ticket.upgrade() {
                        self.inner.expire(&slot, &ticket);
                    }
                }
                Some(Due::Expire(..)) | None => {}
            }
        }
        if let (Some(limit), Some(at)) = (self.inner.options.idle_timeout, self.idle_look)
            && at <= now
        {
            // No worker that goes idle meanwhile can be due before, so nobody has to say when it does.
            self.idle_look = now.checked_add(self.inner.end_idle(limit));
        }
        let grace = self.inner.options.grace;
        let closed = self.close.is_some_and(|at| at <= now);
        for process in &mut self.processes {
            // What was asked to end has its time to.
            if closed && !process.is_ending() {
                process.end(Step::Term, None, grace);
            }
            process.climb(now, grace);
        }
    }

    /// Waits for something to happen. Returns which processes to look at.
    fn wait(&self, now: Instant) -> Vec<bool> {
        let times =
            [self.timers.peek().map(|timer| timer.at), self.idle_look, self.close.filter(|at| *at > now)];
        let ends = self.processes.iter().filter_map(Watched::next_time);
        let look = self.processes.iter().any(Watched::must_be_looked_at).then(|| now + LOOK);
        let next = times.into_iter().flatten().chain(ends).chain(look).min();
        let left = next.map(|next| timespec(next.saturating_duration_since(now)));

        let mut descriptors = vec![PollFd::new(&self.woken, PollFlags::IN)];
        let mut owners = vec![None];
        for (index, process) in self.processes.iter().enumerate() {
            for descriptor in process.descriptors() {
                descriptors.push(PollFd::from_borrowed_fd(descriptor, PollFlags::IN));
                owners.push(Some(index));
            }
        }
        let mut ready: Vec<bool> = self.processes.iter().map(Watched::must_be_looked_at).collect();
        if let Err(error) = poll(&mut descriptors, left.as_ref())
            && error != rustix::io::Errno::INTR
        {
            tracing::error!(%error, "waiting for worker processes failed");
            std::thread::sleep(LOOK);
            ready.fill(true);
            return ready;
        }
        for (descriptor, owner) in descriptors.iter().zip(owners) {
            if let Some(ready) = owner.and_then(|owner| ready.get_mut(owner))
                && !descriptor.revents().is_empty()
            {
                *ready = true;
            }
        }
        ready
    }

    /// Reads what processes have said, and parts with one that has ended. After that the order is another: the others are
    /// found ready again by the next round.
    fn attend(&mut self, ready: &[bool]) {
        for (index, _) in ready.iter().enumerate().filter(|(_, ready)| **ready) {
            if self.processes.get_mut(index).is_some_and(Watched::attend) {
                return self.processes.swap_remove(index).bury(&self.inner);
            }
        }
    }
}
