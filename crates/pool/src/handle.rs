//! A call that was submitted.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::error::PoolError;
use super::request::Reply;
use super::slot::Slot;
use super::ticket::Ticket;

/// A call that was submitted: to be waited for, polled, or awaited from any executor.
///
/// Dropping it gives the call up: where it was not sent it never will be, where it runs it ends by itself and its result
/// is thrown away. [`detach`](Self::detach) has it made all the same.
#[must_use = "dropping it gives the call up"]
pub struct CallHandle<T> {
    slot: Arc<Slot>,
    ticket: Arc<Ticket>,
    taken: bool,
    result: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned + 'static> CallHandle<T> {
    pub(super) fn new(slot: Arc<Slot>, ticket: Arc<Ticket>) -> Self {
        Self { slot, ticket, taken: false, result: PhantomData }
    }

    /// Waits for the result.
    ///
    /// # Errors
    /// As [`WorkerPool::call`](super::WorkerPool::call), and [`PoolError::Taken`].
    pub fn wait(mut self) -> Result<T, PoolError> {
        if self.taken {
            return Err(self.nothing_left());
        }
        match self.ticket.wait_done(None) {
            Some(outcome) => self.take(outcome),
            None => Err(self.slot.shut_down()),
        }
    }

    /// Waits for the result for so long. `None` where it has not come by then, and the call goes on; and once it was taken.
    ///
    /// # Errors
    /// As [`WorkerPool::call`](super::WorkerPool::call).
    pub fn wait_timeout(&mut self, limit: Duration) -> Option<Result<T, PoolError>> {
        if self.taken {
            return None;
        }
        let outcome = self.ticket.wait_done(Some(limit))?;
        Some(self.take(outcome))
    }

    /// The result, where it is there. `None` until then, and once it was taken.
    ///
    /// # Errors
    /// As [`WorkerPool::call`](super::WorkerPool::call).
    pub fn poll_result(&mut self) -> Option<Result<T, PoolError>> {
        self.wait_timeout(Duration::ZERO)
    }

    /// Has the call made without anybody waiting for its result.
    pub fn detach(mut self) {
        self.taken = true;
    }

    fn nothing_left(&self) -> PoolError {
        let call = self.ticket.request.as_ref().map_or_else(String::new, |request| request.name.clone());
        PoolError::Taken { project: self.slot.project.to_string(), call }
    }

    fn take(&mut self, outcome: Result<Option<Reply>, PoolError>) -> Result<T, PoolError> {
        self.taken = true;
        let name = self.ticket.request.as_ref().map_or("", |request| &request.name);
        match outcome? {
            Some(reply) => reply.decode(&self.slot.project, name),
            None => Err(self.slot.shut_down()),
        }
    }
}

impl<T: DeserializeOwned + 'static> Future for CallHandle<T> {
    type Output = Result<T, PoolError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.taken {
            return Poll::Ready(Err(self.nothing_left()));
        }
        self.ticket.poll_done(context.waker()).map(|outcome| self.take(outcome))
    }
}

impl<T> Drop for CallHandle<T> {
    fn drop(&mut self) {
        if !self.taken && self.ticket.give_up() {
            self.slot.forget(&self.ticket);
        }
    }
}

impl<T> fmt::Debug for CallHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let call = self.ticket.request.as_ref().map(|request| &request.name);
        f.debug_struct("CallHandle").field("project", &self.slot.project).field("call", &call).finish()
    }
}
