//! A call that was submitted.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use crate::dispatch::{Dispatcher, Slot, Submitted};
use crate::error::PoolError;
use crate::options::after;
use crate::wire::Reply;

/// A call that was submitted: to be waited for, polled, or awaited from any executor.
///
/// Dropping it withdraws the call: if it was not sent it never will be; if it runs, it runs to its end and
/// its result is dropped. [`detach`](Self::detach) has it made nevertheless, [`abort`](Self::abort) ends it.
#[must_use = "dropping it withdraws the call"]
pub struct CallHandle<T> {
    dispatcher: Weak<Dispatcher>,
    slot: Arc<Slot>,
    call: Arc<Submitted>,
    taken: bool,
    result: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned + 'static> CallHandle<T> {
    pub(crate) fn new(dispatcher: &Arc<Dispatcher>, slot: Arc<Slot>, call: Arc<Submitted>) -> Self {
        let dispatcher = Arc::downgrade(dispatcher);
        Self { dispatcher, slot, call, taken: false, result: PhantomData }
    }

    /// Waits for the result.
    ///
    /// # Errors
    /// As [`WorkerPool::call`](crate::WorkerPool::call), and [`PoolError::Taken`].
    pub fn wait(mut self) -> Result<T, PoolError> {
        if self.taken {
            return Err(self.already_taken());
        }
        let outcome = self.call.wait();
        self.decode(outcome)
    }

    /// Waits for the result at most this long. `None` if it has not come by then, when the call goes on, and
    /// once it was taken.
    ///
    /// # Errors
    /// As [`WorkerPool::call`](crate::WorkerPool::call).
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<Result<T, PoolError>> {
        self.wait_until(after(timeout))
    }

    /// The result if it has come. `None` until then, and once it was taken.
    ///
    /// # Errors
    /// As [`WorkerPool::call`](crate::WorkerPool::call).
    pub fn try_wait(&mut self) -> Option<Result<T, PoolError>> {
        self.wait_until(Instant::now())
    }

    fn wait_until(&mut self, deadline: Instant) -> Option<Result<T, PoolError>> {
        if self.taken {
            return None;
        }
        let outcome = self.call.wait_until(deadline)?;
        Some(self.decode(outcome))
    }

    /// Ends the call with [`PoolError::Aborted`]. A call that waits is never sent. The worker of a call that
    /// runs gets SIGTERM, and SIGKILL after the pool's [`grace`](crate::WorkerPoolBuilder::grace); the
    /// project's next call waits for its end. Does nothing once the call has ended.
    pub fn abort(&self) {
        if let Some(dispatcher) = self.dispatcher.upgrade() {
            dispatcher.abort(&self.slot, &self.call);
        }
    }

    /// Has the call made without anybody waiting for its result.
    pub fn detach(mut self) {
        self.taken = true;
    }

    fn already_taken(&self) -> PoolError {
        let call = self.call.call.request.name.clone();
        PoolError::Taken { project: self.slot.project.to_string(), call }
    }

    fn decode(&mut self, outcome: Result<Reply, PoolError>) -> Result<T, PoolError> {
        self.taken = true;
        outcome?.decode(&self.slot.project, &self.call.call.request.name)
    }
}

impl<T: DeserializeOwned + 'static> Future for CallHandle<T> {
    type Output = Result<T, PoolError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.taken {
            return Poll::Ready(Err(self.already_taken()));
        }
        self.call.poll(context).map(|outcome| self.decode(outcome))
    }
}

impl<T> Drop for CallHandle<T> {
    fn drop(&mut self) {
        if !self.taken
            && let Some(dispatcher) = self.dispatcher.upgrade()
        {
            dispatcher.withdraw(&self.slot, &self.call);
        }
    }
}

impl<T> fmt::Debug for CallHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (project, call) = (&self.slot.project, &self.call.call.request.name);
        f.debug_struct("CallHandle").field("project", project).field("call", call).finish()
    }
}
