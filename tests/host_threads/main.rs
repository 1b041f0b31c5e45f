//! Many cores in one interpreter, with many threads and for long. Each test runs in a process of its own, as
//! the interpreter, its import state and its environment are the process's.
#![cfg(unix)]

mod by_others;
mod collector;
mod counter;
#[allow(dead_code, reason = "shared with the sequential tests; each binary uses its part")]
#[path = "../daemon_code/mod.rs"]
mod daemon_code;
mod habits;
mod half_loaded;
mod late_imports;
mod limits;
#[path = "../listener/mod.rs"]
mod listener;
mod loggers;
mod memory;
mod nested;
mod observability;
mod off_turn;
mod process_settings;
mod scene;
mod standard_library;
mod state;
mod staying_true;
#[allow(dead_code, unused_imports, reason = "shared with the sequential tests; each binary uses its part")]
#[path = "../host/support.rs"]
mod support;
mod thread_pools;
mod thread_states;
mod threads;
mod time_limits;
mod two_hosts;
mod workshop;
