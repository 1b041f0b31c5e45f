//! Many cores in one interpreter, on the fixture cores. Each test runs in a process of its own, as the
//! interpreter, its import state and its environment are the process's.

mod beside_a_pool;
mod compiled_code;
mod daemon;
#[path = "../daemon_code/mod.rs"]
mod daemon_code;
mod exactness;
mod failures;
mod growth;
mod kinds;
mod never_imported;
mod paths;
mod plugins;
mod prepared;
mod projects;
mod properties;
mod recipe;
mod shared_objects;
mod support;
mod swaps;
mod unattended;
mod upgrades;
