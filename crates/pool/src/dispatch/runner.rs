//! A thread that exists while there is work for it. A slot's runner starts its workers and makes its
//! submitted calls.

use std::io;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// How long the thread waits for another job before it ends. Starting a thread costs more than keeping one.
const LINGER: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Runner<J> {
    state: Mutex<State<J>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<J> {
    /// At most one, as a slot has one worker.
    job: Option<J>,
    running: bool,
    thread: Option<JoinHandle<()>>,
    closed: bool,
}

/// Why a job was not taken.
#[derive(Debug)]
pub(super) enum NotTaken {
    Closed,
    NoThread(io::Error),
}

impl<J> Default for Runner<J> {
    fn default() -> Self {
        let state = State { job: None, running: false, thread: None, closed: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }
}

impl<J> Runner<J> {
    /// Hands over a job. `spawn` starts the thread, which calls [`next`](Self::next) until there is none.
    ///
    /// # Errors
    /// The job comes back if there is no thread for it.
    pub(super) fn give(
        &self,
        job: J,
        spawn: impl FnOnce() -> io::Result<JoinHandle<()>>,
    ) -> Result<(), (J, NotTaken)> {
        let mut state = self.state.lock();
        if !state.running {
            if state.closed {
                return Err((job, NotTaken::Closed));
            }
            match spawn() {
                Ok(thread) => {
                    state.running = true;
                    state.thread = Some(thread);
                }
                Err(error) => return Err((job, NotTaken::NoThread(error))),
            }
        }
        state.job = Some(job);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// For the thread: waits for a job. `None` ends the thread.
    pub(super) fn next(&self) -> Option<J> {
        let until = Instant::now() + LINGER;
        let mut state = self.state.lock();
        loop {
            let job = state.job.take();
            if job.is_some() {
                return job;
            }
            if state.closed || self.changed.wait_until(&mut state, until).timed_out() && state.job.is_none() {
                state.running = false;
                return None;
            }
        }
    }

    /// Has the thread end when it has done its job, and starts no other. Returns the thread.
    pub(super) fn close(&self) -> Option<JoinHandle<()>> {
        let mut state = self.state.lock();
        state.closed = true;
        let thread = state.thread.take();
        drop(state);
        self.changed.notify_all();
        thread
    }
}
