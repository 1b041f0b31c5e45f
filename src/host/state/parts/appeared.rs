//! Entries that have appeared in a dictionary since a project was put in place: which of them a library for
//! all has made while it was loaded.

use pyo3::prelude::*;

use crate::host::python::contents;
use crate::host::state::layers::Replaced;
use crate::host::state::layers::dict::{DictLayer, DictShare};

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Appeared {
    /// The names of those that a library for all has made.
    for_all: Vec<Py<PyAny>>,
    /// The name that was last in the dictionary when these were looked for.
    newest: Option<Py<PyAny>>,
    /// Whether all are the daemon's, as the project was in place outside leases.
    are_daemons: bool,
}

impl Appeared {
    /// Takes those that have appeared since as made by a library for all, or not.
    pub(super) fn settle(
        &mut self,
        py: Python<'_>,
        layer: &DictLayer,
        share: &DictShare,
        is_for_all: bool,
    ) -> PyResult<()> {
        let live = layer.live(py);
        let names = match &self.newest {
            Some(newest) => contents::keys_after(live, Some(newest))?,
            None => layer.changes(py, share).into_iter().map(|(name, _)| name).collect(),
        };
        if is_for_all {
            self.for_all.extend(names.into_iter().map(Bound::unbind));
        }
        self.newest = contents::newest_key(live)?.map(Bound::unbind);
        Ok(())
    }

    /// Takes all for the daemon's.
    pub(super) fn keep_for_daemon(&mut self) {
        self.are_daemons = true;
    }

    /// Whether the entry with the name at this address was made by nobody's code, or by the daemon's.
    pub(super) fn is_for_all(&self, name: usize) -> bool {
        self.are_daemons || self.for_all.iter().any(|for_all| for_all.as_ptr() as usize == name)
    }

    /// The project is leaving.
    pub(super) fn forget(&mut self, replaced: &mut Replaced) {
        replaced.append(&mut self.for_all);
        replaced.extend(self.newest.take());
        self.are_daemons = false;
    }
}
