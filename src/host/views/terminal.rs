//! Project code has no terminal: what it asks fails at once, and its children have no standard input unless it gives them one.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyCFunction, PyDict, PyTuple};

use crate::host::gate::held;
use crate::host::ownership::acting::acting_for;
use crate::host::python::children;
use crate::host::state::world::World;

static FUNCTIONS: PyOnceLock<Py<PyDict>> = PyOnceLock::new();

/// Wraps what reads the terminal and what starts children, once for the process.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    FUNCTIONS.get_or_try_init(py, || load(py)).map(drop)
}

fn load(py: Python<'_>) -> PyResult<Py<PyDict>> {
    let is_projects = |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| -> PyResult<bool> {
        Ok(held::holds_any() || acting_for(arguments.py()).is_some())
    };
    let globals = PyDict::new(py);
    globals.set_item("__name__", "sgtk_host.terminal")?;
    // As modules have it: its imports are its own, not its callers'.
    globals.set_item("__loader__", py.None())?;
    let started = |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| -> PyResult<()> {
        let (py, pid) = (arguments.py(), arguments.get_item(0)?.extract()?);
        let state = match acting_for(py) {
            Some(state) => Some(state),
            None => World::lock(py)?.in_place().cloned(),
        };
        if let Some(state) = state {
            children::note(state.id(), pid);
        }
        Ok(())
    };
    globals.set_item("is_projects", PyCFunction::new_closure(py, None, None, is_projects)?)?;
    globals.set_item("started", PyCFunction::new_closure(py, None, None, started)?)?;
    let builtins = py.import("builtins")?;
    let code = (include_str!("terminal.py"), "<sgtk-host>/terminal.py", "exec");
    builtins.getattr("exec")?.call1((builtins.getattr("compile")?.call1(code)?, &globals))?;
    globals.as_any().get_item("install")?.call0()?;
    Ok(globals.unbind())
}

/// Gives the project that is in place a standard input that is at its end.
pub(crate) fn take_standard_input_away(py: Python<'_>) -> PyResult<()> {
    let functions = FUNCTIONS.get(py).ok_or_else(|| PyRuntimeError::new_err("no host was built yet"))?;
    functions.bind(py).as_any().get_item("take_standard_input_away")?.call0().map(drop)
}
