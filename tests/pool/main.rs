//! Worker processes, from calls to storms.
#![cfg(target_os = "linux")]

mod calls;
mod queues;
mod supervision;
mod support;
