//! A process that project code has forked, by `os.fork` or `multiprocessing`. Of all threads it has only the
//! one that has forked, so nobody else will ever end a turn in it: that project has it for good. The daemon's
//! own code is not to go on in it a second time.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::{PyRuntimeError, PySystemExit};
use pyo3::prelude::*;

use crate::error::Error;
use crate::host::gate::{GATE, held};
use crate::host::ownership::import_state::ImportState;
use crate::host::python::import::import_for_host;
use crate::host::state::world;

static IS_CHILD: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// How often the thread that has forked held its project then.
    static HELD_AT_FORK: Cell<usize> = const { Cell::new(0) };
}

/// The status of a child that comes back to the daemon's code, where it is not known what it came back with.
const CAME_BACK: i32 = 1;

/// Whether this process is such a child.
pub(crate) fn is_child() -> bool {
    IS_CHILD.load(Ordering::Relaxed)
}

/// Gives the process, which was forked just now, to the project that this thread holds, or else to `state`,
/// whose code has forked it off its turn.
///
/// # Errors
/// What has forked cannot go on: another thread was at the gate at that very moment.
pub(crate) fn begin(py: Python<'_>, state: Option<&Arc<ImportState>>) -> PyResult<()> {
    IS_CHILD.store(true, Ordering::Relaxed);
    let refused = || PyRuntimeError::new_err("the process was forked while a thread was taking its turn");
    let places = held::places();
    if let Some(key) = held::key() {
        HELD_AT_FORK.set(places.len());
        return GATE.begin_in_child(Some(&key), places).then_some(()).ok_or_else(refused);
    }
    let state = state.filter(|state| !state.is_retired());
    let place = GATE.next_place_in_child().ok_or_else(refused)?;
    let begun = GATE.begin_in_child(state.map(|state| state.key()), vec![place]);
    if let Some(state) = state {
        held::push(state.key(), place, 0);
        HELD_AT_FORK.set(1);
    }
    begun.then_some(()).ok_or_else(refused)?;
    world::place(py, state)
}

/// Ends the process where it is a child that comes back to the code which holds the project: the daemon's.
/// `error` is what it came back with, where that is known, and where there was none.
pub(crate) fn end_where_it_came_back(py: Python<'_>, came_back_with: Option<Option<&PyErr>>) {
    if !is_child() || HELD_AT_FORK.get() == 0 || held::places().len() > HELD_AT_FORK.get() {
        return;
    }
    let status = match came_back_with {
        Some(None) => 0,
        Some(Some(error)) => status_of(py, error),
        None => CAME_BACK,
    };
    end(py, status);
}

/// As Python has it: that of `SystemExit`, or 1 after a traceback.
fn status_of(py: Python<'_>, error: &PyErr) -> i32 {
    if !error.is_instance_of::<PySystemExit>(py) {
        say(py, &format!("in a process that project code has forked: {}", Error::from(error.clone_ref(py))));
        return 1;
    }
    match error.value(py).getattr("code") {
        Ok(code) if code.is_none() => 0,
        Ok(code) => code.extract().unwrap_or(1),
        Err(_) => 1,
    }
}

/// Writes a line to standard error, past what other threads may have locked when the process was forked.
pub(crate) fn say(py: Python<'_>, line: &str) {
    let line = format!("{}\n", sgtk_config::keys::redacted(line));
    // Where it cannot be written, nobody reads it.
    drop(import_for_host(py, "os").and_then(|os| os.call_method1("write", (2, line.as_bytes()))));
}

/// Ends the process without its `atexit` functions, which are its parent's.
fn end(py: Python<'_>, status: i32) -> ! {
    for stream in ["stdout", "stderr"] {
        // Closed, or its reader is gone.
        drop(import_for_host(py, "sys").and_then(|sys| sys.getattr(stream)?.call_method0("flush")));
    }
    drop(import_for_host(py, "os").and_then(|os| os.call_method1("_exit", (status & 0xff,))));
    std::process::abort()
}
