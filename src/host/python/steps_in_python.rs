//! `bootstrap.py`, loaded once for the process.

use pyo3::call::PyCallArgs;
use pyo3::exceptions::PyNameError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use sgtk_config::BOOTSTRAP_STEPS;

static FUNCTIONS: PyOnceLock<Py<PyDict>> = PyOnceLock::new();

/// Loads the functions, and what of the standard library they need: while nothing is in place, so that it is
/// the daemon's.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    FUNCTIONS.get_or_try_init(py, || load(py)).map(drop)
}

fn load(py: Python<'_>) -> PyResult<Py<PyDict>> {
    let globals = PyDict::new(py);
    globals.set_item("__name__", "sgtk_host.bootstrap")?;
    // As modules have it: its imports are its own, not its callers'.
    globals.set_item("__loader__", py.None())?;
    let code = py.import("builtins")?.getattr("compile")?;
    let code = code.call1((BOOTSTRAP_STEPS, "<sgtk-host>/bootstrap.py", "exec"))?;
    py.import("builtins")?.getattr("exec")?.call1((code, &globals))?;
    Ok(globals.unbind())
}

/// Calls one of the functions.
pub(crate) fn call<'py>(
    py: Python<'py>,
    name: &str,
    arguments: impl PyCallArgs<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    function(py, name)?.call1(arguments)
}

/// As [`call`], with named arguments too.
pub(crate) fn call_with<'py>(
    py: Python<'py>,
    name: &str,
    arguments: impl PyCallArgs<'py>,
    named: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    function(py, name)?.call(arguments, Some(named))
}

/// One of the functions.
pub(crate) fn function<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let functions = FUNCTIONS.get_or_try_init(py, || load(py))?.bind(py);
    functions.get_item(name)?.ok_or_else(|| PyNameError::new_err(name.to_owned()))
}
