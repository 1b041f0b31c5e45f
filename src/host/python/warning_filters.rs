//! The filters of `warnings`, to be put back after Toolkit's code has failed.

use pyo3::prelude::*;
use pyo3::types::PyList;

use super::contents;
use super::import::import_for_host;

/// The filters of `warnings`: the list and what was in it.
///
/// They are no part of the import state, as `warnings.catch_warnings` puts lists of its own there for a
/// while.
pub(crate) struct WarningFilters<'py> {
    warnings: Bound<'py, PyModule>,
    list: Bound<'py, PyAny>,
    entries: Vec<Py<PyAny>>,
}

impl<'py> WarningFilters<'py> {
    pub(crate) fn now(py: Python<'py>) -> PyResult<Self> {
        let warnings = import_for_host(py, "warnings")?;
        let list = warnings.getattr("filters")?;
        let entries = list.cast::<PyList>().map(contents::list_items).unwrap_or_default();
        Ok(Self { warnings, list, entries })
    }

    pub(crate) fn restore(&self) -> PyResult<()> {
        let same_entries =
            self.list.cast::<PyList>().is_ok_and(|list| contents::same_list(list, &self.entries));
        if same_entries && self.warnings.getattr("filters")?.is(&self.list) {
            return Ok(());
        }
        if let Ok(list) = self.list.cast::<PyList>() {
            contents::replace_list(list, &self.entries)?;
        }
        self.set_list()
    }

    /// Has `warnings` use the list that it used before, with what is in the one that it uses now.
    pub(crate) fn keep_list(&self) -> PyResult<()> {
        let now = self.warnings.getattr("filters")?;
        if now.is(&self.list) {
            return Ok(());
        }
        if let (Ok(list), Ok(now)) = (self.list.cast::<PyList>(), now.cast::<PyList>()) {
            contents::replace_list(list, &contents::list_items(now))?;
        }
        self.set_list()
    }

    fn set_list(&self) -> PyResult<()> {
        self.warnings.setattr("filters", &self.list)?;
        // The function that tells the C part of `warnings` is called otherwise since Python 3.14.
        let mutated = self.warnings.getattr("_filters_mutated");
        mutated.or_else(|_| self.warnings.getattr("_filters_mutated_lock_held"))?.call0().map(drop)
    }
}
