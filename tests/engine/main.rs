//! Engines: bootstrapped from the fixtures' site into import states of their own. Each test runs in a process
//! of its own, as the interpreter, its import state, its threads and `SHOTGUN_HOME` are the process's.

#[path = "../daemon_code/mod.rs"]
mod daemon_code;

mod alive;
mod at_once;
mod cycles;
mod destroy;
mod document;
mod exchanged;
mod failures;
mod keys;
mod late_imports;
mod left_behind;
mod lent;
#[allow(dead_code, reason = "shared with other tests; each binary uses its part")]
#[path = "../listener/mod.rs"]
mod listener;
mod locked;
mod never_imported;
mod off_turn;
mod options;
mod outcome;
mod prepared;
mod progress;
mod recipe;
mod rewritten;
mod steered;
mod support;
mod unattended;
