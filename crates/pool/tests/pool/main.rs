//! Worker processes, from calls to storms.
#![cfg(target_os = "linux")]

mod bootstrapped;
mod calls;
mod control;
mod endings;
mod forked;
mod misbehaving;
mod output;
mod processes;
mod queues;
mod storm;
mod supervision;
mod support;
mod values;
mod versions;
