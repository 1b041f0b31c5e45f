//! The current folder, which is the process's.
//!
//! `os.chdir` and `os.fchdir` are wrapped once, so that a change is known without asking the system at every
//! swap.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};

use super::import::import_for_host;

/// The functions that were there before.
static PREVIOUS: PyOnceLock<[Py<PyAny>; 2]> = PyOnceLock::new();

/// Whether a project is in place, so that changes are not the daemon's.
static IS_WATCHED: AtomicBool = AtomicBool::new(false);

/// The daemon's folder, once it was left.
static LEFT: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Wraps the functions, once.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    let os = import_for_host(py, "os")?;
    let mut first = false;
    PREVIOUS.get_or_try_init(py, || {
        first = true;
        PyResult::Ok([os.getattr("chdir")?.unbind(), os.getattr("fchdir")?.unbind()])
    })?;
    if !first {
        return Ok(());
    }
    let system = import_for_host(py, os.getattr("name")?.extract::<&str>()?)?;
    for module in [os, system] {
        module.setattr("chdir", wrap_pyfunction!(chdir, py)?)?;
        module.setattr("fchdir", wrap_pyfunction!(fchdir, py)?)?;
    }
    Ok(())
}

/// Remembers the folder that is left from now on.
pub(crate) fn watch() {
    IS_WATCHED.store(true, Ordering::Relaxed);
}

/// Ends [`watch`], and gives the folder that was left since, where one was.
pub(crate) fn left() -> Option<PathBuf> {
    IS_WATCHED.store(false, Ordering::Relaxed);
    LEFT.lock().take()
}

/// The daemon's folder, where a project has left it.
pub(crate) fn daemons() -> Option<PathBuf> {
    LEFT.lock().clone()
}

/// Remembers the folder, before another becomes the current one.
pub(crate) fn note() {
    if IS_WATCHED.load(Ordering::Relaxed)
        && let Ok(current) = std::env::current_dir()
    {
        LEFT.lock().get_or_insert(current);
    }
}

fn call(
    py: Python<'_>,
    which: usize,
    arguments: &Bound<'_, PyTuple>,
    named: Option<&Bound<'_, PyDict>>,
) -> PyResult<Py<PyAny>> {
    note();
    let previous = PREVIOUS.get(py).and_then(|previous| previous.get(which));
    let previous = previous.ok_or_else(|| PyRuntimeError::new_err("os.chdir is not wrapped yet"))?;
    previous.call(py, arguments, named)
}

/// Changes the current folder of the process.
#[pyfunction]
#[pyo3(signature = (*arguments, **named))]
fn chdir(
    py: Python<'_>,
    arguments: &Bound<'_, PyTuple>,
    named: Option<&Bound<'_, PyDict>>,
) -> PyResult<Py<PyAny>> {
    call(py, 0, arguments, named)
}

/// Changes the current folder of the process to one that is open.
#[pyfunction]
#[pyo3(signature = (*arguments, **named))]
fn fchdir(
    py: Python<'_>,
    arguments: &Bound<'_, PyTuple>,
    named: Option<&Bound<'_, PyDict>>,
) -> PyResult<Py<PyAny>> {
    call(py, 1, arguments, named)
}
