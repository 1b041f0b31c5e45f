//! A call that waits for its turn, or that somebody else makes.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::error::PoolError;
use super::link::Link;
use super::process::after;
use super::request::{Reply, Request};

/// A call in a project's queue.
///
/// ```text
/// Waiting ──► Claimed ──► Turn ──► Over          the caller makes the call itself, on its own thread
///    │                                          (Claimed: its first bytes are being sent for it already)
///    ├──► Running ──► Done ──► Over              the project's attendant makes it
///    ├──────────────► Done ──► Over              it failed without a turn
///    └──► Over                                   given up before it was sent: it never will be
/// ```
///
/// Whoever moves it out of `Waiting` decides what becomes of it, and only one can.
#[derive(Debug)]
pub(super) struct Ticket {
    /// `None` where only a worker is wanted.
    pub(super) request: Option<Request>,
    pub(super) deadline: Option<Instant>,
    /// Whether a caller's thread waits for the turn, to make the call itself.
    pub(super) own_thread: bool,
    /// How often it was put back because its worker could not be started.
    pub(super) retried: std::sync::atomic::AtomicU32,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    waker: Option<Waker>,
    /// Nobody wants the outcome any more.
    left: bool,
}

#[derive(Debug, Default)]
enum Phase {
    #[default]
    Waiting,
    Claimed,
    Turn(Box<Link>, usize),
    Running,
    Done(Box<Result<Option<Reply>, PoolError>>),
    Over,
}

/// How a caller's wait for its turn ended.
#[derive(Debug)]
pub(super) enum Turn {
    /// It is its own now, with so many bytes of the request sent already.
    Mine(Box<Link>, usize),
    Failed(PoolError),
    /// The time was up first. The call will not be sent.
    TooLate,
}

impl Ticket {
    pub(super) fn new(request: Option<Request>, deadline: Option<Instant>, own_thread: bool) -> Arc<Self> {
        let (state, changed) = (Mutex::default(), Condvar::new());
        Arc::new(Self { request, deadline, own_thread, retried: 0.into(), state, changed })
    }

    /// Takes the call out of waiting, to make it or to give its thread the turn. `false` where it was given up.
    pub(super) fn claim(&self) -> bool {
        let mut state = self.lock();
        let waits = matches!(state.phase, Phase::Waiting);
        if waits {
            state.phase = if self.own_thread { Phase::Claimed } else { Phase::Running };
        }
        waits
    }

    /// For whoever makes the call and finds that it could not be sent: has it wait again, unless it was given up
    /// meanwhile, or its time is up. Returns whether it waits.
    pub(super) fn wait_again(&self) -> bool {
        let mut state = self.lock();
        let again = !state.left && !self.is_late(Instant::now());
        if again {
            state.phase = Phase::Waiting;
        }
        again
    }

    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|end| end <= now)
    }

    /// Gives the caller's thread its turn. After [`claim`](Self::claim).
    pub(super) fn give_turn(&self, link: Box<Link>, sent: usize) {
        self.lock().phase = Phase::Turn(link, sent);
        self.changed.notify_all();
    }

    /// Ends it, for whoever has claimed it.
    pub(super) fn finish(&self, outcome: Result<Option<Reply>, PoolError>) {
        self.end(outcome, false);
    }

    /// Ends it without a turn, unless it has been claimed or given up meanwhile.
    pub(super) fn fail(&self, error: PoolError) {
        self.end(Err(error), true);
    }

    fn end(&self, outcome: Result<Option<Reply>, PoolError>, only_waiting: bool) {
        let waker = {
            let mut state = self.lock();
            match state.phase {
                Phase::Waiting => {}
                Phase::Running if !only_waiting => {}
                _ => return,
            }
            state.phase = Phase::Done(Box::new(outcome));
            state.waker.take()
        };
        self.changed.notify_all();
        // Not under the lock: an executor may poll at once. It is not ours: if it panics, that must not end a thread that
        // others rely on.
        if let Some(waker) = waker
            && catch_unwind(AssertUnwindSafe(|| waker.wake())).is_err()
        {
            tracing::error!("the waker of a call's handle has panicked");
        }
    }

    /// Gives it up, where it was not sent. Returns whether it was given up by this. Where it is being sent it is not begun
    /// again, should that fail.
    pub(super) fn give_up(&self) -> bool {
        let mut state = self.lock();
        state.left = true;
        let waits = matches!(state.phase, Phase::Waiting);
        if waits {
            state.phase = Phase::Over;
        }
        waits
    }

    /// For the caller's thread: waits for its turn.
    pub(super) fn wait_turn(&self) -> Turn {
        let mut state = self.lock();
        loop {
            match mem::replace(&mut state.phase, Phase::Over) {
                Phase::Turn(link, sent) => return Turn::Mine(link, sent),
                Phase::Done(outcome) => match *outcome {
                    Err(error) => return Turn::Failed(error),
                    // Nobody makes a call whose own thread waits for it.
                    Ok(_) => return Turn::TooLate,
                },
                Phase::Over => return Turn::TooLate,
                other @ (Phase::Waiting | Phase::Claimed | Phase::Running) => {
                    let claimed = matches!(other, Phase::Claimed);
                    state.phase = other;
                    let left = self.deadline.map(|end| end.saturating_duration_since(Instant::now()));
                    if left == Some(Duration::ZERO) && !claimed {
                        state.phase = Phase::Over;
                        return Turn::TooLate;
                    }
                    state = match left {
                        // A claimed call's turn comes at once.
                        Some(left) if !claimed => {
                            self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                        }
                        _ => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                    };
                }
            }
        }
    }

    /// For a handle: waits for the outcome, `None` where the time is up first.
    pub(super) fn wait_done(&self, limit: Option<Duration>) -> Option<Result<Option<Reply>, PoolError>> {
        let end = limit.map(after);
        let mut state = self.lock();
        loop {
            if let Some(outcome) = state.take_done() {
                return Some(outcome);
            }
            state = match end.map(|end| end.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return None,
                Some(left) => {
                    self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// For a future.
    pub(super) fn poll_done(&self, waker: &Waker) -> Poll<Result<Option<Reply>, PoolError>> {
        let waker = waker.clone();
        let mut state = self.lock();
        match state.take_done() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                let before = state.waker.replace(waker);
                drop(state);
                // Not under the lock: it may be the last that keeps a task, and that one's own handles.
                drop(before);
                Poll::Pending
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take_done(&mut self) -> Option<Result<Option<Reply>, PoolError>> {
        match mem::replace(&mut self.phase, Phase::Over) {
            Phase::Done(outcome) => Some(*outcome),
            other => {
                self.phase = other;
                None
            }
        }
    }
}
