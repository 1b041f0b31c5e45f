//! Threads that run a project's code.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::exceptions::PySystemExit;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error::Error;
use crate::host::ownership::import_state::ImportState;
use crate::host::ownership::marks;
use crate::host::python::collector::CollectorPaused;
use crate::host::python::contents;
use crate::host::python::frames::outwards;
use crate::host::python::import::import_for_host;
use crate::host::python::modules::function_globals;
use crate::host::python::time_limit::{raise_in, take_back};

/// How long a thread may take to end by itself before it is asked to.
const BY_ITSELF: Duration = Duration::from_secs(1);

/// Waits, detached, until no other thread runs code of these states; those that do not end by themselves
/// within a second are made to raise `SystemExit`. Returns the names of those that are left at the deadline.
///
/// Python raises an exception in another thread between two of its instructions. A thread that waits in C,
/// for a lock or a socket, is not reached before it returns.
pub(crate) fn end(py: Python<'_>, states: &[Arc<ImportState>], deadline: Instant) -> Vec<String> {
    let asked_from = Instant::now() + BY_ITSELF;
    let mut asked: Vec<u64> = Vec::new();
    let mut pause = Duration::from_millis(1);
    loop {
        let left = match running(py, states) {
            Ok(left) => left,
            Err(error) => {
                // As an error of the crate's, which shows no keys.
                let error = Error::from(error);
                tracing::warn!(%error, "failed to look for a project's threads");
                return Vec::new();
            }
        };
        let now = Instant::now();
        for ident in asked.iter().filter(|asked| !left.iter().any(|thread| thread.ident == **asked)) {
            // A thread of the daemon's outlives the project's code: what that was too late for is not to
            // reach other code.
            take_back(py, *ident as std::ffi::c_long);
        }
        if left.is_empty() || now >= deadline {
            return left.into_iter().map(|thread| thread.name).collect();
        }
        if now >= asked_from {
            for thread in left.iter().filter(|thread| !asked.contains(&thread.ident)) {
                // Once each: a second one would hit the code that ends it in good order.
                raise_in(py, thread.ident as std::ffi::c_long, &py.get_type::<PySystemExit>());
            }
            asked = left.iter().map(|thread| thread.ident).collect();
        }
        py.detach(|| std::thread::sleep(pause));
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

struct Running {
    ident: u64,
    name: String,
}

/// The other threads of Python's that are to run code of these states, or are running it now.
fn running(py: Python<'_>, states: &[Arc<ImportState>]) -> PyResult<Vec<Running>> {
    let threading = import_for_host(py, "threading")?;
    let this: u64 = threading.call_method0("get_ident")?.extract()?;
    let running = running_now(py, states)?;
    let mut found = Vec::new();
    for thread in threading.call_method0("enumerate")?.try_iter()? {
        let thread = thread?;
        let Ok(ident) = thread.getattr("ident")?.extract::<u64>() else { continue };
        if ident == this {
            continue;
        }
        // What project code has started begins with a function of its own, which is running from then on.
        let is_its_own = is_to_run(&thread, states) || running.contains(&ident);
        if is_its_own && thread.is_instance(&threading.getattr("Timer")?)? {
            // It waits in C for as long as it was set to, unless it is told not to.
            // One whose own code raises is asked to end as any other thread is.
            let _ = thread.call_method0("cancel");
        }
        if is_its_own {
            found.push(Running { ident, name: thread.getattr("name")?.str()?.to_string() });
        }
    }
    Ok(found)
}

/// Whether a thread's own `run`, or the function that it was given, is code of one of the states.
fn is_to_run(thread: &Bound<'_, PyAny>, states: &[Arc<ImportState>]) -> bool {
    let run = thread.get_type().getattr("run").ok();
    // `function` is a timer's.
    let given = ["_target", "function"].into_iter().filter_map(|name| thread.getattr(name).ok());
    run.into_iter().chain(given).any(|function| {
        let function = function.getattr("__func__").unwrap_or(function);
        function_globals(&function).is_some_and(|globals| is_of(&globals, states))
    })
}

/// The numbers of the threads that run code of one of the states.
///
/// All of it without a moment in which another thread has the interpreter: a frame of another thread's is
/// looked at only as long as that thread does not go on.
fn running_now(py: Python<'_>, states: &[Arc<ImportState>]) -> PyResult<HashSet<u64>> {
    let current_frames = import_for_host(py, "sys")?.getattr("_current_frames")?;
    // Making frames allocates, and destructors may be any code.
    let _paused = CollectorPaused::new(py);
    let frames = current_frames.call0()?.cast_into::<PyDict>()?;
    let mut running = HashSet::new();
    for (ident, frame) in contents::items(&frames) {
        let globals = outwards(frame).filter_map(|frame| frame.globals());
        if globals.into_iter().any(|globals| is_of(&globals, states)) {
            running.insert(ident.extract()?);
        }
    }
    Ok(running)
}

fn is_of(globals: &Bound<'_, PyDict>, states: &[Arc<ImportState>]) -> bool {
    let owner = marks::owner_of_globals(globals);
    owner.is_some_and(|owner| states.iter().any(|state| Arc::ptr_eq(state, &owner)))
}
