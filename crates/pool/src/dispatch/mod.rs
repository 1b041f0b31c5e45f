//! Which call runs when, and on which worker.
//!
//! A *slot* is one project's place in the pool: its queue, and what there is of a worker. [`state`] decides
//! what happens to it, [`dispatcher`] carries that out, [`calls`] makes the calls.
//!
//! # States of a worker
//! ```text
//!   admit                  permitted           started, next call
//!   ┌────► AwaitingPermit ───────────► Starting ─────────────────► Busy ◄───────┐
//!   │        ▲                            │                        │ ▲  │ admit  │ next call
//! Absent     │ retry_due                  │ start_failed           │ └──┼────────┘
//!   │        │                            │               released │    │
//!   └────► BackingOff ◄───────────────────┘                        ▼    │
//!  (after failures)                                               Idle ─┘
//!
//!   Busy, Idle ──► Absent: the worker has ended, or was retired
//! ```
//! A worker's link is in one place: in `Idle`, or with the thread that makes the call of `Busy`. That thread
//! gives it back by [`State::released`] after an answer, which passes it on to the next call, or by
//! [`State::given_up`], after which it is never used again. So the answer of one call cannot reach another.
//!
//! # Races, and how they are decided
//! - *A call is withdrawn, times out or is aborted while it is dispatched*: the slot's lock decides. A call
//!   that is in the queue is removed and never sent; a call that is not was dispatched.
//! - *A worker ends between two calls*: [`State::ended`] removes an idle one, and marks a busy one, which is
//!   not passed on. A call whose worker has ended before anything was sent goes back to the front of the
//!   queue.
//! - *Two events want a worker*: only `Absent` and `BackingOff` lead to a request for a permit.
//! - *A slot becomes idle while another begins to wait for a permit*: the waiting one is counted before it
//!   looks for an idle worker, and `others_wait` is read under the lock before a worker becomes idle. One
//!   sees the other.
//! - *A permit, a timer or a started worker comes too late*: each event checks the state and `closed`, and
//!   what came in vain goes out again as an effect.
//!
//! [`State::released`]: state::State::released
//! [`State::given_up`]: state::State::given_up
//! [`State::ended`]: state::State::ended

mod calls;
mod capacity;
mod dispatcher;
mod effects;
mod failures;
mod mailbox;
mod outdated;
mod pending;
mod queue;
mod runner;
mod service;
mod session;
mod slot;
mod state;
#[cfg(test)]
mod state_model;

pub(crate) use dispatcher::Dispatcher;
pub(crate) use pending::{PendingCall, Submitted};
pub(crate) use slot::Slot;
