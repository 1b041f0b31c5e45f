//! A place for one value, for which a thread or a future waits.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    state: Mutex<State<T>>,
    delivered: Condvar,
}

#[derive(Debug)]
struct State<T> {
    value: Option<T>,
    waker: Option<Waker>,
}

impl<T> Mailbox<T> {
    pub(super) fn new() -> Self {
        Self { state: Mutex::new(State { value: None, waker: None }), delivered: Condvar::new() }
    }

    /// Delivers a value, unless there is one that was not taken.
    pub(super) fn deliver(&self, value: T) {
        let waker = {
            let mut state = self.state.lock();
            if state.value.is_some() {
                return;
            }
            state.value = Some(value);
            state.waker.take()
        };
        self.delivered.notify_all();
        // Not under the lock, as an executor may poll at once. A waker that panics must not end a thread of
        // the pool.
        if let Some(waker) = waker
            && catch_unwind(AssertUnwindSafe(|| waker.wake())).is_err()
        {
            tracing::error!("the waker of a call's handle has panicked");
        }
    }

    /// Waits for the value. `None` if it has not come by the deadline.
    pub(super) fn take_until(&self, deadline: Instant) -> Option<T> {
        let mut state = self.state.lock();
        while state.value.is_none() {
            if self.delivered.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        state.value.take()
    }

    /// Waits for the value.
    pub(crate) fn take(&self) -> T {
        let mut state = self.state.lock();
        loop {
            if let Some(value) = state.value.take() {
                return value;
            }
            self.delivered.wait(&mut state);
        }
    }

    /// Takes the value if it has come, else has the task woken when it does.
    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<T> {
        let waker = context.waker().clone();
        let mut state = self.state.lock();
        match state.value.take() {
            Some(value) => Poll::Ready(value),
            None => {
                let previous = state.waker.replace(waker);
                drop(state);
                // Not under the lock: it may hold the last reference to a task, and that to handles of the
                // pool.
                drop(previous);
                Poll::Pending
            }
        }
    }
}
