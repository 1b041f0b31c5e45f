//! Many cores in one interpreter, on the fixture cores. Each test runs in a process of its own, as the interpreter, its
//! import state and its environment are the process's.

mod beside_a_pool;
mod daemon;
#[path = "../daemon_code/mod.rs"]
mod daemon_code;
mod exactness;
mod failures;
mod kinds;
mod plugins;
mod prepared;
mod properties;
mod recipe;
mod support;
mod swaps;
