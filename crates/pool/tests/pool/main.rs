//! Worker processes, from calls to storms.
#![cfg(target_os = "linux")]

mod bootstrap_options;
mod bootstrapped;
mod calls;
mod compiled;
mod control;
mod endings;
mod forked;
mod keys;
mod misbehaving;
mod never_imported;
mod output;
mod own_state;
mod prepared;
mod processes;
mod queues;
mod storm;
mod supervision;
mod support;
mod unattended;
mod upgrades;
mod values;
mod versions;
