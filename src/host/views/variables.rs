//! `os.environ`, and the functions by which it tells the process.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;

use super::{Kind, attributes_of, interpose, off_turn};
use crate::host::state::off_turn::Table;

/// `os.putenv` and `os.unsetenv` as they were.
static PREVIOUS: PyOnceLock<[Py<PyAny>; 2]> = PyOnceLock::new();

pub(super) fn install(py: Python<'_>) -> PyResult<()> {
    let os = py.import("os")?;
    for name in ["environ", "environb"] {
        // Windows has no bytes.
        let Ok(environ) = os.getattr(name) else { continue };
        let data = Kind::Table(Table::Environment);
        interpose(&environ, &environ.get_type(), &attributes_of(&environ)?, &[("_data", data)], &[])?;
    }
    PREVIOUS.get_or_try_init(py, || {
        PyResult::Ok([os.getattr("putenv")?.unbind(), os.getattr("unsetenv")?.unbind()])
    })?;
    os.setattr("putenv", wrap_pyfunction!(putenv, py)?)?;
    os.setattr("unsetenv", wrap_pyfunction!(unsetenv, py)?)
}

/// A project whose turn it is not has its variables to itself: its view tells the process, where they are in
/// place.
fn tell_process(py: Python<'_>, function: usize, arguments: &Bound<'_, PyTuple>) -> PyResult<()> {
    if off_turn(py).is_some() {
        return Ok(());
    }
    let previous = PREVIOUS.get(py).and_then(|previous| previous.get(function));
    let previous = previous.ok_or_else(|| PyRuntimeError::new_err("the environment is not wrapped yet"))?;
    previous.bind(py).call1(arguments).map(drop)
}

#[pyfunction]
#[pyo3(signature = (*arguments))]
fn putenv(py: Python<'_>, arguments: &Bound<'_, PyTuple>) -> PyResult<()> {
    tell_process(py, 0, arguments)
}

#[pyfunction]
#[pyo3(signature = (*arguments))]
fn unsetenv(py: Python<'_>, arguments: &Bound<'_, PyTuple>) -> PyResult<()> {
    tell_process(py, 1, arguments)
}
