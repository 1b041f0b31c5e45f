//! What waits in queues: calls that their callers make, submitted calls, prewarms.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::mailbox::Mailbox;
use super::session::Session;
use crate::error::PoolError;
use crate::wire::{Reply, Request};

/// A call on its way to a worker.
#[derive(Debug)]
pub(crate) struct PendingCall {
    pub(crate) request: Request,
    pub(super) timeout: Option<Duration>,
    pub(super) run_timeout: Option<Duration>,
    pub(super) deadline: Option<Instant>,
}

impl PendingCall {
    pub(crate) fn new(request: Request, timeout: Option<Duration>, run_timeout: Option<Duration>) -> Self {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Self { request, timeout, run_timeout, deadline }
    }

    /// The deadline of its run, which begins now, and the timeout that sets it.
    pub(super) fn run_deadline(&self) -> Option<(Instant, Duration)> {
        let run = self.run_timeout.and_then(|timeout| Some((Instant::now().checked_add(timeout)?, timeout)));
        self.deadline.zip(self.timeout).into_iter().chain(run).min()
    }
}

/// The link, once it is the call's turn, and how many bytes of the request were already sent.
pub(super) type Turn = Result<(Box<Session>, usize), PoolError>;

/// A call that a waiting thread makes itself.
#[derive(Debug)]
pub(super) struct Direct {
    pub(super) call: PendingCall,
    pub(super) turn: Mailbox<Turn>,
}

/// A call that the slot's runner makes.
#[derive(Debug)]
pub(crate) struct Submitted {
    pub(crate) call: PendingCall,
    pub(super) outcome: Mailbox<Result<Reply, PoolError>>,
}

impl Submitted {
    pub(crate) fn wait(&self) -> Result<Reply, PoolError> {
        self.outcome.take()
    }

    pub(crate) fn wait_until(&self, deadline: Instant) -> Option<Result<Reply, PoolError>> {
        self.outcome.take_until(deadline)
    }

    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<Result<Reply, PoolError>> {
        self.outcome.poll(context)
    }
}

/// A call in the queue of its slot.
#[derive(Clone, Debug)]
pub(super) enum Queued {
    Direct(Arc<Direct>),
    Submitted(Arc<Submitted>),
}

impl Queued {
    pub(super) fn call(&self) -> &PendingCall {
        match self {
            Self::Direct(direct) => &direct.call,
            Self::Submitted(submitted) => &submitted.call,
        }
    }

    /// Ends it without its having run.
    pub(super) fn fail(&self, error: PoolError) {
        match self {
            Self::Direct(direct) => direct.turn.deliver(Err(error)),
            Self::Submitted(submitted) => submitted.outcome.deliver(Err(error)),
        }
    }
}

/// Waits for a worker, and for nothing of it.
pub(crate) type Prewarm = Arc<Mailbox<Result<(), PoolError>>>;
