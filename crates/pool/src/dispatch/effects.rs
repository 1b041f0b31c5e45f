//! What goes into the state machine of a slot and what comes out of it.

use std::sync::Arc;
use std::time::Instant;

use super::failures::Open;
use crate::error::StartError;

/// What the machine handles without looking into it. A test has others than the pool.
pub(super) trait Types {
    /// The way to talk to a worker.
    type Link;
    type Worker: Clone;
    type Call: Clone;
    type Prewarm;
    /// Allows one process.
    type Permit;

    fn worker(link: &Self::Link) -> Self::Worker;
    /// A number that no other worker of the slot has.
    fn number(worker: &Self::Worker) -> u64;
    fn deadline(call: &Self::Call) -> Option<Instant>;
    fn is_same(one: &Self::Call, other: &Self::Call) -> bool;
}

/// What waits for a worker.
pub(super) enum Waiting<T: Types> {
    Call(T::Call),
    /// Only that there is a worker.
    Prewarm(T::Prewarm),
}

impl<T: Types> Waiting<T> {
    pub(super) fn is_late(&self, now: Instant) -> bool {
        match self {
            Self::Call(call) => T::deadline(call).is_some_and(|deadline| deadline <= now),
            Self::Prewarm(_) => false,
        }
    }

    pub(super) fn is(&self, call: &T::Call) -> bool {
        matches!(self, Self::Call(other) if T::is_same(other, call))
    }
}

/// What has to be done after an event, without the slot's lock and in order.
pub(super) enum Effect<T: Types> {
    /// Call `State::permitted` with a permit, now or later.
    RequestPermit,
    ReleasePermit(T::Permit),
    /// Start a worker, then call `State::started` or `State::start_failed`.
    Start(T::Permit),
    /// Call `State::retry_due` at this time.
    RetryAt(Instant),
    /// The worker has nothing to do. If others still wait at this time, end workers that have not.
    MakeRoomAt(Instant),
    /// Make the call, then call `State::released` or `State::given_up` with the link.
    Dispatch {
        link: T::Link,
        call: T::Call,
    },
    /// End the worker.
    Retire {
        link: T::Link,
        reason: Retirement,
    },
    /// Drop the link of a worker that has ended.
    Discard(T::Link),
    /// Fail a call that runs and terminate its worker, whose link another thread has.
    Abort {
        worker: T::Worker,
        call: T::Call,
    },
    Fail {
        waiting: Waiting<T>,
        why: Refusal,
    },
    Ready(T::Prewarm),
    /// The queue has become shorter.
    RoomFreed,
}

/// Why a worker is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retirement {
    /// The pool was shut down.
    ShutDown,
    /// Another slot waits for a worker.
    Evicted,
    /// It was idle for too long.
    Idle,
    /// It has answered as many calls as it may, uses too much memory, or a call has changed what is its own.
    Recycled,
    /// Its core has changed.
    Outdated,
    /// A caller of the pool asked for it.
    Replaced,
    /// Its call timed out.
    TimedOut,
    /// Its call was aborted.
    Aborted,
    /// It broke the protocol.
    Protocol,
}

/// Why a call or a prewarm fails without having run.
#[derive(Clone, Debug)]
pub(super) enum Refusal {
    ShutDown,
    TimedOut,
    Aborted,
    CircuitOpen(Open),
    NotStarted(Arc<StartError>),
    NoThread(Arc<std::io::Error>),
}

/// The answer to `State::admit`.
pub(super) enum Admission<L> {
    Queued,
    /// The worker was idle and the call is to be made at once, by the thread that has asked.
    Dispatched(L),
    Full,
    Refused(Refusal),
}

/// Who makes a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MadeBy {
    /// The thread that admits it.
    Caller,
    /// The slot's runner.
    Runner,
}

/// Why a thread gives up a link.
#[derive(Debug)]
pub(super) enum GiveUp {
    TimedOut,
    Protocol,
    /// The core has changed. The call was not sent.
    Outdated,
    /// The worker has ended by itself.
    Ended {
        sent: bool,
        cause: Arc<StartError>,
    },
}

/// What happened to the call of a link that was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is at the front of the queue again.
    Requeued,
    /// It was aborted.
    Aborted,
    /// The pool was shut down.
    ShutDown,
    Failed,
}

pub(super) type Effects<T> = Vec<Effect<T>>;

/// A slot in numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    pub(super) calls: u64,
    pub(super) starts: u64,
    pub(super) losses: u64,
    pub(super) queued: usize,
    /// In a row.
    pub(super) failures: u32,
}
