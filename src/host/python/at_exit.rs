//! What projects' code has registered to be called at the end of the process.

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::error::Error;

struct Noted {
    /// A number of whose code it is.
    whose: u64,
    function: Py<PyAny>,
    arguments: Py<PyTuple>,
    named: Py<PyDict>,
}

/// The lock is held for moments, and never while Python code runs.
static NOTED: Mutex<Vec<Noted>> = Mutex::new(Vec::new());

/// Notes a callback.
pub(crate) fn note(
    whose: u64,
    function: &Bound<'_, PyAny>,
    arguments: &Bound<'_, PyTuple>,
    named: &Bound<'_, PyDict>,
) {
    let (function, arguments) = (function.clone().unbind(), arguments.clone().unbind());
    NOTED.lock().push(Noted { whose, function, arguments, named: named.clone().unbind() });
}

/// Forgets a callback, however often it was noted.
pub(crate) fn forget(function: &Bound<'_, PyAny>) {
    let py = function.py();
    let all = std::mem::take(&mut *NOTED.lock());
    let (gone, kept): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|noted| noted.function.bind(py).eq(function).unwrap_or(false));
    // What was noted meanwhile comes after those.
    NOTED.lock().splice(0..0, kept);
    drop(gone);
}

/// Calls, the last first, what was noted for this number, as at the end of a process of its own. What it
/// raises goes to `tracing`.
pub(crate) fn run(py: Python<'_>, whose: u64) {
    call(py, |noted| noted.whose == whose);
}

/// As [`run`], whosever it is.
pub(crate) fn run_all(py: Python<'_>) {
    call(py, |_| true);
}

fn call(py: Python<'_>, is_wanted: impl Fn(&Noted) -> bool) {
    let noted = NOTED.lock().extract_if(.., |noted| is_wanted(noted)).collect::<Vec<_>>();
    for Noted { function, arguments, named, .. } in noted.into_iter().rev() {
        if let Err(error) = function.bind(py).call(arguments.bind(py), Some(named.bind(py))) {
            let error = Error::from(error);
            tracing::warn!(%error, "a callback of a project's for the end has failed");
        }
    }
}
