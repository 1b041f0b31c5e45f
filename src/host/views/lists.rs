//! Views that are lists.

use std::sync::Arc;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PySlice};

use super::call::Call;
use crate::host::ownership::import_state::ImportState;
use crate::host::python::contents;
use crate::host::state::off_turn::{self, List};

/// How often a method is called anew that ran Python code while another thread changed the list.
const TRIES: usize = 16;

/// The list as the project sees it now.
pub(super) fn snapshot<'py>(
    py: Python<'py>,
    state: &Arc<ImportState>,
    which: List,
) -> PyResult<Bound<'py, PyList>> {
    off_turn::list(py, state, which)
}

/// Gives a view these entries below its methods, for C code that looks there.
pub(super) fn fill(view: &Bound<'_, PyAny>, entries: &Bound<'_, PyList>) -> PyResult<()> {
    let view = view.cast::<PyList>()?;
    let before = contents::list_items(view);
    if contents::same_list(entries, &before) {
        return Ok(());
    }
    contents::replace_list(view, &contents::list_items(entries))
}

/// Gives the project's list these entries, whatever it has.
pub(super) fn replace(
    py: Python<'_>,
    state: &Arc<ImportState>,
    which: List,
    entries: &Bound<'_, PyList>,
) -> PyResult<()> {
    let before = off_turn::list(py, state, which)?;
    off_turn::replace_list(py, state, which, &before, entries).map(drop)
}

/// Calls a method of `list` on what the project sees, and keeps what it changes.
pub(super) fn call<'py>(
    state: &Arc<ImportState>,
    which: List,
    mut call: Call<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = call.py();
    if call.name == "__radd__" {
        let other = call.others.first().cloned().unwrap_or_else(|| PyList::empty(py).into_any());
        return match other.cast::<PyList>() {
            Ok(other) => call.method.call1((other, off_turn::list(py, state, which)?)),
            Err(_) => Ok(py.NotImplemented().into_bound(py)),
        };
    }
    // An iterator can be run through once only, and may be Python code: before the list is looked at.
    let takes_many = match call.name {
        "extend" | "__iadd__" => true,
        "__setitem__" => call.others.first().is_some_and(|index| index.is_instance_of::<PySlice>()),
        _ => false,
    };
    if takes_many && let Some(entries) = call.others.last_mut() {
        let list = PyList::empty(py);
        list.call_method1("extend", (&*entries,))?;
        *entries = list.into_any();
    }
    for _ in 0..TRIES {
        let before = off_turn::list(py, state, which)?;
        let list = before.get_slice(0, before.len());
        let outcome = call.on(list.as_any());
        let is_changed = !contents::same_list(&list, &contents::list_items(&before));
        if !is_changed || off_turn::replace_list(py, state, which, &before, &list)? {
            // In-place operators give the object itself.
            return outcome.map(|result| if result.is(&list) { call.view.clone() } else { result });
        }
    }
    Err(PyRuntimeError::new_err(format!("{which:?} was changed by other threads all the time")))
}
