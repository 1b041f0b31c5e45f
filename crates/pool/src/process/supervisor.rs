//! The thread that watches the processes of a pool: their output, their ends, and timers.
//!
//! It gets commands by a channel and never waits for a call.

use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{cmp, io};

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;

use super::child::{pipe, set_nonblocking, timespec};
use super::link::Link;
use super::terminate::{KILL_TIMEOUT, Step};
use super::watch::Watched;
use super::worker::Worker;
use crate::error::PoolError;
use crate::options::Grace;

/// How often processes without a pidfd are polled.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The number of timers from which on obsolete ones are removed.
const SWEEP: usize = 256;

/// Something to do at a time, on the supervisor's thread.
pub(crate) trait Timer: Send {
    /// Whether it still has something to do. Obsolete timers are removed.
    fn is_obsolete(&self) -> bool {
        false
    }

    /// Does it. Must not block.
    fn fire(self: Box<Self>);
}

enum Command {
    /// Watch a process that was just started.
    Watch(Box<Watched>),
    /// End a process by this step or a stronger one.
    End {
        worker: Arc<Worker>,
        link: Option<Box<Link>>,
        step: Step,
    },
    Timer {
        at: Instant,
        timer: Box<dyn Timer>,
    },
    /// The exit status of a worker, from the template that has forked it.
    Status {
        pid: u32,
        status: i32,
    },
    /// Drop all timers, and terminate at a time whatever is alive then or started later. `None`: never.
    Close {
        at: Option<Instant>,
    },
    /// Return when no process is left.
    Stop,
}

/// The sending side of the supervisor.
#[derive(Debug)]
pub(crate) struct Supervisor {
    commands: Sender<Command>,
    wake: OwnedFd,
    thread: Mutex<Option<JoinHandle<Vec<u32>>>>,
}

impl Supervisor {
    /// Starts the thread.
    ///
    /// # Errors
    /// What could not be made, and the system's error.
    pub(crate) fn start(grace: Grace) -> Result<Self, (&'static str, io::Error)> {
        let (sender, receiver) = mpsc::channel();
        let pipe = || -> io::Result<_> {
            let (woken, wake) = pipe()?;
            set_nonblocking(&woken)?;
            set_nonblocking(&wake)?;
            Ok((woken, wake))
        };
        let (woken, wake) = pipe().map_err(|cause| ("make a pipe", cause))?;
        let mut supervision = Supervision::new(receiver, woken, grace);
        let builder = std::thread::Builder::new().name("sgtk-pool".to_owned());
        let thread = builder.spawn(move || supervision.run()).map_err(|cause| ("start a thread", cause))?;
        Ok(Self { commands: sender, wake, thread: Mutex::new(Some(thread)) })
    }

    /// Whether the caller runs on the supervisor's thread.
    pub(crate) fn is_this_thread(&self) -> bool {
        let thread = self.thread.lock();
        thread.as_ref().is_some_and(|thread| thread.thread().id() == std::thread::current().id())
    }

    fn send(&self, command: Command) {
        // It fails only after the thread has returned, when no process is left.
        if self.commands.send(command).is_ok() {
            // It fails if the pipe is full, when the thread will wake anyway.
            let _ = rustix::io::write(&self.wake, &[1]);
        }
    }

    pub(super) fn watch(&self, watched: Watched) {
        self.send(Command::Watch(Box::new(watched)));
    }

    /// Ends a process. The link of a worker is kept until it has ended.
    pub(crate) fn end(&self, worker: &Arc<Worker>, link: Option<Box<Link>>, step: Step) {
        self.send(Command::End { worker: Arc::clone(worker), link, step });
    }

    pub(super) fn set_status(&self, pid: u32, status: i32) {
        self.send(Command::Status { pid, status });
    }

    /// Has a timer fire at a time, unless the pool is closed by then.
    pub(crate) fn at(&self, at: Instant, timer: impl Timer + 'static) {
        self.send(Command::Timer { at, timer: Box::new(timer) });
    }

    /// Drops all timers, and terminates at a time whatever is alive then or started later. `None`: never.
    pub(crate) fn close(&self, at: Option<Instant>) {
        self.send(Command::Close { at });
    }

    /// Waits until no process is left.
    ///
    /// # Errors
    /// [`PoolError::StillRunning`] names processes that have outlived SIGKILL.
    pub(crate) fn stop(&self) -> Result<(), PoolError> {
        self.send(Command::Stop);
        let thread = self.thread.lock().take();
        let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) else {
            return Ok(());
        };
        match thread.join() {
            Ok(pids) if pids.is_empty() => Ok(()),
            Ok(pids) => Err(PoolError::StillRunning { pids, timeout: KILL_TIMEOUT }),
            Err(_) => {
                tracing::error!("the pool's supervisor has panicked");
                Ok(())
            }
        }
    }
}

/// A timer in the heap, which has the earliest first.
struct Scheduled {
    at: Instant,
    timer: Box<dyn Timer>,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> cmp::Ordering {
        other.at.cmp(&self.at)
    }
}

/// The state of the supervisor's thread.
struct Supervision {
    commands: Receiver<Command>,
    woken: OwnedFd,
    grace: Grace,
    processes: Vec<Watched>,
    timers: BinaryHeap<Scheduled>,
    /// The number of timers at which obsolete ones are removed next.
    sweep_at: usize,
    closed: bool,
    /// From when on all processes are terminated.
    terminate_at: Option<Instant>,
    stop: bool,
}

impl Supervision {
    fn new(commands: Receiver<Command>, woken: OwnedFd, grace: Grace) -> Self {
        Self {
            commands,
            woken,
            grace,
            processes: Vec::new(),
            timers: BinaryHeap::new(),
            sweep_at: SWEEP,
            closed: false,
            terminate_at: None,
            stop: false,
        }
    }

    /// Returns the processes that could not be ended.
    fn run(&mut self) -> Vec<u32> {
        loop {
            self.take_commands();
            self.fire_timers();
            let now = Instant::now();
            self.terminate(now);
            if self.stop && self.processes.iter().all(|process| process.cannot_be_ended(now)) {
                return self.processes.iter().map(Watched::pid).collect();
            }
            let ready = self.wait(now);
            self.attend(&ready);
        }
    }

    fn take_commands(&mut self) {
        let mut buffer = [0; 64];
        while rustix::io::read(&self.woken, &mut buffer).is_ok_and(|read| read == buffer.len()) {}
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Watch(watched) => self.processes.push(*watched),
                Command::End { worker, link, step } => {
                    let (grace, now) = (self.grace, Instant::now());
                    // It may have ended already.
                    if let Some(process) = self.processes.iter_mut().find(|process| process.is(&worker)) {
                        process.end(step, link, grace, now);
                    }
                }
                Command::Timer { at, timer } => self.schedule(at, timer),
                Command::Status { pid, status } => {
                    for process in self.processes.iter_mut().filter(|process| process.pid() == pid) {
                        process.set_status(status);
                    }
                }
                Command::Close { at } => {
                    self.closed = true;
                    self.timers.clear();
                    self.terminate_at = self.terminate_at.into_iter().chain(at).min();
                }
                Command::Stop => {
                    self.stop = true;
                    self.terminate_at = Some(Instant::now());
                }
            }
        }
    }

    /// Most calls end long before their timeout, so their timers are removed before that.
    fn schedule(&mut self, at: Instant, timer: Box<dyn Timer>) {
        if self.closed {
            return;
        }
        if self.timers.len() >= self.sweep_at {
            self.timers.retain(|scheduled| !scheduled.timer.is_obsolete());
            self.sweep_at = SWEEP.max(2 * self.timers.len());
        }
        self.timers.push(Scheduled { at, timer });
    }

    fn fire_timers(&mut self) {
        let now = Instant::now();
        while self.timers.peek().is_some_and(|timer| timer.at <= now) {
            if let Some(scheduled) = self.timers.pop() {
                scheduled.timer.fire();
            }
        }
    }

    fn terminate(&mut self, now: Instant) {
        let all = self.terminate_at.is_some_and(|at| at <= now);
        for process in &mut self.processes {
            // A process that was asked to end has its grace period.
            if all && !process.is_being_ended() {
                process.end(Step::Terminate, None, self.grace, now);
            }
            process.escalate(self.grace, now);
        }
    }

    /// Waits for something to happen. Returns which processes to attend to.
    fn wait(&self, now: Instant) -> Vec<bool> {
        let times = [self.timers.peek().map(|timer| timer.at), self.terminate_at.filter(|at| *at > now)];
        let due = self.processes.iter().filter_map(|process| process.next_due(now));
        let interval = self.processes.iter().any(Watched::is_due).then(|| now + POLL_INTERVAL);
        let next = times.into_iter().flatten().chain(due).chain(interval).min();
        let timeout = next.map(|next| timespec(next.saturating_duration_since(now)));

        let mut descriptors = vec![PollFd::new(&self.woken, PollFlags::IN)];
        let mut owners = vec![None];
        for (index, process) in self.processes.iter().enumerate() {
            for descriptor in process.descriptors() {
                descriptors.push(PollFd::from_borrowed_fd(descriptor, PollFlags::IN));
                owners.push(Some(index));
            }
        }
        let mut ready: Vec<bool> = self.processes.iter().map(Watched::is_due).collect();
        if let Err(error) = poll(&mut descriptors, timeout.as_ref())
            && error != rustix::io::Errno::INTR
        {
            tracing::error!(%error, "polling worker processes failed");
            std::thread::sleep(POLL_INTERVAL);
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

    /// Attends to the processes that are ready, until one of them has ended. Removing it changes the order of
    /// the others, which are found ready again by the next round.
    fn attend(&mut self, ready: &[bool]) {
        for (index, _) in ready.iter().enumerate().filter(|(_, ready)| **ready) {
            if self.processes.get_mut(index).is_some_and(Watched::attend) {
                return self.processes.swap_remove(index).finish();
            }
        }
    }
}
