//! The root logger's handlers, as a project sees them.

use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::host::ownership::import_state::ImportState;
use crate::host::python::contents;
use crate::host::python::modules::loaded;
use crate::host::python::names::Names;
use crate::host::state::layers::Replaced;
use crate::host::state::world::World;

impl World {
    /// The root logger's handlers as the project sees them: the list itself, where it is in place or has one
    /// of its own.
    pub(super) fn handlers_seen_by<'py>(
        &mut self,
        py: Python<'py>,
        state: &ImportState,
    ) -> PyResult<Bound<'py, PyList>> {
        let nothing = self.in_place().is_none();
        let (parts, shares) = self.parts_and_shares(state);
        let shares = shares.map(|shares| &*shares);
        let given = shares.map(|shares| &shares.standard_attributes);
        let given = given.and_then(|given| parts.standard_attributes.own_root_handlers(py, given));
        given.map_or_else(
            || parts.standard_lists.handlers_seen(py, shares.map(|shares| &shares.standard_lists), nothing),
            Ok,
        )
    }

    pub(super) fn set_handlers(
        &mut self,
        py: Python<'_>,
        state: &ImportState,
        entries: &Bound<'_, PyList>,
        replaced: &mut Replaced,
    ) -> PyResult<()> {
        let (parts, shares) = self.parts_and_shares(state);
        let Some(shares) = shares else { return Ok(()) };
        match parts.standard_attributes.own_root_handlers(py, &shares.standard_attributes) {
            Some(list) => {
                replaced.extend(contents::list_items(&list));
                contents::replace_list(&list, &contents::list_items(entries))
            }
            None => {
                parts.standard_lists.set_handlers(py, &mut shares.standard_lists, entries, replaced);
                Ok(())
            }
        }
    }
}

/// The list that the root logger has in its own dictionary.
pub(super) fn live_handlers(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    let names = Names::of(py);
    let root = loaded(py, &names.logging).and_then(|logging| logging.get_item(&names.root).ok()?);
    let handlers = root.and_then(|root| {
        let attributes = root.getattr(&names.dict).ok()?.cast_into::<PyDict>().ok()?;
        attributes.get_item(&names.handlers).ok()??.cast_into::<PyList>().ok()
    });
    handlers.ok_or_else(|| PyAttributeError::new_err("logging.root.handlers"))
}
