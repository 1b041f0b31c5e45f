//! What is left to do between CPython's own initialisation and the first user's code.

use std::path::PathBuf;

use pyo3::prelude::*;

use super::signals::Sigint;

/// Completes a fresh interpreter on the thread that initialised it, and tells its `sys.executable`.
pub(super) fn complete(py: Python<'_>, sigint: Sigint, search_path: &[PathBuf]) -> PyResult<PathBuf> {
    sigint.keep(py)?;
    // The thread that imports it first is `threading.main_thread()` for good, up to 3.12: not to be left to
    // chance.
    py.import("threading")?;
    let path = py.import("sys")?.getattr("path")?;
    for folder in search_path {
        path.call_method1("append", (folder.as_os_str(),))?;
    }
    executable(py)
}

/// Python's `sys.executable`, empty where it has none.
pub(super) fn executable(py: Python<'_>) -> PyResult<PathBuf> {
    Ok(py.import("sys")?.getattr("executable")?.extract::<Option<PathBuf>>()?.unwrap_or_default())
}
