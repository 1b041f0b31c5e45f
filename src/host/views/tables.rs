//! Views that are dictionaries.

use std::sync::Arc;

use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::call::Call;
use crate::host::ownership::import_state::ImportState;
use crate::host::python::contents;
use crate::host::state::off_turn::{self, Table, plain_key};

/// The dictionary as the project sees it now.
pub(super) fn snapshot<'py>(
    py: Python<'py>,
    state: &Arc<ImportState>,
    which: Table,
) -> PyResult<Bound<'py, PyDict>> {
    off_turn::table(py, state, which)
}

/// Gives the project's dictionary these entries. What is missing of the daemon's stays.
pub(super) fn replace(
    py: Python<'_>,
    state: &Arc<ImportState>,
    which: Table,
    entries: &Bound<'_, PyDict>,
) -> PyResult<()> {
    for name in off_turn::own_names(py, state, which)? {
        if !entries.contains(&name)? {
            off_turn::remove_entry(py, state, which, &plain_key(&name)?)?;
        }
    }
    set_all(py, state, which, entries)
}

fn set_all(
    py: Python<'_>,
    state: &Arc<ImportState>,
    which: Table,
    entries: &Bound<'_, PyDict>,
) -> PyResult<()> {
    for (key, value) in contents::items(entries) {
        off_turn::set_entry(py, state, which, &plain_key(&key)?, &value)?;
    }
    Ok(())
}

/// Calls a method of `dict` on what the project sees, and keeps what it changes.
pub(super) fn call<'py>(
    state: &Arc<ImportState>,
    which: Table,
    call: Call<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = call.py();
    let none = || py.None().into_bound(py);
    let missing = |key: &Bound<'py, PyAny>| PyKeyError::new_err(key.clone().unbind());
    // What has other arguments than it should have goes to the plain method, which raises.
    match (call.name, call.others.as_slice()) {
        ("__setitem__", [key, value]) => {
            off_turn::set_entry(py, state, which, &plain_key(key)?, value)?;
            Ok(none())
        }
        ("__delitem__", [key]) if call.key().is_some() => {
            match off_turn::remove_entry(py, state, which, &plain_key(key)?)? {
                Some(_) => Ok(none()),
                None => Err(missing(key)),
            }
        }
        ("pop", [key, default @ ..]) if call.key().is_some() && default.len() < 2 => {
            let removed = off_turn::remove_entry(py, state, which, &plain_key(key)?)?;
            removed.or_else(|| default.first().cloned()).ok_or_else(|| missing(key))
        }
        ("setdefault", [key, default @ ..]) if default.len() < 2 => {
            let default = default.first().cloned().unwrap_or_else(none);
            off_turn::set_missing_entry(py, state, which, &plain_key(key)?, &default)
        }
        ("popitem", []) => {
            // The daemon's cannot be taken out, so they are not given out either.
            for name in off_turn::own_names(py, state, which)?.into_iter().rev() {
                if let Some(value) = off_turn::remove_entry(py, state, which, &plain_key(&name)?)? {
                    return Ok(PyTuple::new(py, [name, value])?.into_any());
                }
            }
            Err(PyKeyError::new_err("popitem(): the project has no entries of its own"))
        }
        ("clear", []) => {
            for name in off_turn::own_names(py, state, which)? {
                off_turn::remove_entry(py, state, which, &plain_key(&name)?)?;
            }
            Ok(none())
        }
        ("update" | "__ior__", others) => {
            // The plain method knows all forms of arguments.
            let entries = PyDict::new(py);
            entries.as_any().call_method(
                "update",
                PyTuple::new(py, others)?,
                call.named.filter(|_| call.name == "update"),
            )?;
            set_all(py, state, which, &entries)?;
            Ok(if call.name == "update" { none() } else { call.view.clone() })
        }
        ("__getitem__" | "get" | "__contains__", [_, ..]) if call.key().is_some() => {
            read(state, which, &call)
        }
        _ => call.on(off_turn::table(py, state, which)?.as_any()),
    }
}

/// Looks one name up. The plain method does the rest, on a dictionary that has nothing else.
fn read<'py>(state: &Arc<ImportState>, which: Table, call: &Call<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = call.py();
    let found = PyDict::new(py);
    if let Some(key) = call.key() {
        let key = plain_key(key)?;
        if let Some(value) = off_turn::entry(py, state, which, &key)? {
            found.set_item(key, value)?;
        }
    }
    call.on(found.as_any())
}
