//! The Python threads that a program's end waits for: those started by `threading` that are not daemons.
//!
//! `threading._shutdown` would do, but up to 3.12 it waits for the main thread as well unless called on it,
//! and Python's main thread is whichever thread of the program started it.

use std::thread;
use std::time::Duration;

use pyo3::prelude::*;

/// How long to look away while a thread is about to begin.
const PAUSE: Duration = Duration::from_millis(1);

/// Asks executors to end and waits for all threads, without a limit.
pub(super) fn end(py: Python<'_>) -> PyResult<()> {
    let asked = run_threading_exits(py);
    loop {
        let threads = waited_for(py)?;
        if threads.is_empty() {
            return asked;
        }
        for thread in threads {
            if thread.call_method0("is_alive")?.is_truthy()? {
                thread.call_method0("join")?;
            } else {
                py.detach(|| thread::sleep(PAUSE));
            }
        }
    }
}

/// Runs what `concurrent.futures` has registered, without which its idle threads never end.
fn run_threading_exits(py: Python<'_>) -> PyResult<()> {
    let threading = py.import("threading")?;
    // Private and since 3.9; the executors' threads are waited for in vain where it goes.
    let Some(exits) = threading.getattr_opt("_threading_atexits")? else { return Ok(()) };
    let mut outcome = Ok(());
    while exits.is_truthy()? {
        if let Err(error) = exits.call_method0("pop")?.call0() {
            outcome = Err(error);
        }
    }
    outcome
}

/// The names of the threads that are waited for now.
pub(super) fn names(py: Python<'_>) -> PyResult<Vec<String>> {
    waited_for(py)?
        .iter()
        .map(|thread| Ok(thread.getattr("name")?.str()?.to_string_lossy().into_owned()))
        .collect()
}

fn waited_for(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyAny>>> {
    let threading = py.import("threading")?;
    // It is alive until Python is finalized, even if the program's thread has ended.
    let main = threading.call_method0("main_thread")?;
    let mut waited_for = Vec::new();
    for thread in threading.call_method0("enumerate")?.try_iter()? {
        let thread = thread?;
        if !thread.is(&main) && !thread.getattr("daemon")?.is_truthy()? {
            waited_for.push(thread);
        }
    }
    Ok(waited_for)
}
