//! An event daemon for ShotGrid (Flow Production Tracking) that runs the plugins of shotgunEvents, with its
//! configuration file.
//!
//! The program is `sgtk-eventd`; this library is what it is made of, for its own tests and for engines behind
//! [`queue`].
//!
//! | part | knows | never |
//! | --- | --- | --- |
//! | [`source`] | sites, cursor, missing ids: events in order | plugins |
//! | [`queue`] | lanes, in order, one in flight, retries, dead letters | Python |
//! | [`lanes`] | which plugin, which project: which lane, which worker | how events are stored |
//! | [`plugins`] | files, callbacks, filters | delivery |
//! | [`projects`] | whose configuration is where | plugins |
//! | [`delivery`] | what has become of a call: what becomes of its event | |
//! | [`report`] | logs, mails, numbers | decisions |
//! | [`control`] | commands, the page | how any of it is done |
//! | [`config`] | the file: typed options, or why a key has no effect | |
//! | `nats` | the queue on NATS JetStream, with the feature of that name | Python |
//! | [`site`] | addresses and keys of sites | |
//! | [`workers`] | the pool, for all others | |

#![cfg(unix)]
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may"))]

pub mod cli;
pub mod config;
pub mod control;
pub mod delivery;
pub mod event;
#[cfg(feature = "embedded")]
mod in_process;
pub mod lanes;
#[cfg(feature = "nats")]
pub mod nats;
pub mod plugins;
pub mod projects;
pub mod queue;
pub mod report;
pub mod site;
pub mod source;
pub mod workers;
