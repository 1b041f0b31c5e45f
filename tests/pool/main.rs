//! Worker processes, from calls to storms.
#![cfg(target_os = "linux")]

mod calls;
mod endings;
mod processes;
mod queues;
mod storm;
mod supervision;
mod support;
