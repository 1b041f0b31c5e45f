//! The Python side of a worker alone, driven over its pipes, under every Python from 3.7 on that the machine
//! has.
//!
//! The agent is not public, so its sources are taken from the library's own folder. Whoever wants to see what
//! a pool makes of it looks at `tests/pool`.
#![cfg(target_os = "linux")]

#[path = "../../src/agent/mod.rs"]
mod agent;
mod driver;

mod calls;
mod ending;
mod entering;
mod templates;
mod wire;
