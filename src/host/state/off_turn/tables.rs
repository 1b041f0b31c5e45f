//! Its dictionaries: `sys.modules`, the loggers, the environment.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::{Named, Table};
use crate::host::ownership::import_state::ImportState;
use crate::host::ownership::marks;
use crate::host::ownership::rules::Ownership;
use crate::host::python::contents;
use crate::host::python::modules::own_name;
use crate::host::state::layers::Replaced;
use crate::host::state::layers::dict::{DictLayer, DictShare, Hides};
use crate::host::state::world::World;

/// A dictionary with what one project has of it; no share for a project that was retired.
struct TablePart<'a> {
    layer: &'a mut DictLayer,
    share: Option<&'a mut DictShare>,
    hides: Hides,
}

impl World {
    fn table_part(&mut self, state: &ImportState, which: Named) -> TablePart<'_> {
        let (parts, shares) = self.parts_and_shares(state);
        let (layer, share, hides) = match which {
            Named::Modules => parts.modules.layer(shares.map(|shares| &mut shares.modules)),
            Named::Loggers => parts.loggers.layer(shares.map(|shares| &mut shares.loggers)),
        };
        TablePart { layer, share, hides }
    }

    pub(super) fn daemons_table<'a, 'py>(&'a self, py: Python<'py>, which: Named) -> &'a Bound<'py, PyDict> {
        let layer = match which {
            Named::Modules => self.parts().modules.dict(),
            Named::Loggers => self.parts().loggers.dict(),
        };
        if self.in_place().is_none() { layer.live(py) } else { layer.base(py) }
    }

    pub(super) fn table<'py>(
        &mut self,
        py: Python<'py>,
        state: &Arc<ImportState>,
        which: Table,
        replaced: &mut Replaced,
    ) -> PyResult<Bound<'py, PyDict>> {
        match which {
            Table::Named(which) => self.table_seen_by(py, state, which, replaced),
            Table::Environment => self.environment_seen_by(py, state, replaced),
        }
    }

    pub(super) fn entry<'py>(
        &mut self,
        py: Python<'py>,
        state: &Arc<ImportState>,
        which: Table,
        key: &Bound<'py, PyAny>,
        replaced: &mut Replaced,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        match which {
            Table::Named(which) => Ok(self.entry_seen_by(py, state, which, key)),
            Table::Environment => Ok(contents::get(&self.environment_seen_by(py, state, replaced)?, key)),
        }
    }

    pub(super) fn set<'py>(
        &mut self,
        py: Python<'py>,
        state: &Arc<ImportState>,
        which: Table,
        key: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
        replaced: &mut Replaced,
    ) -> PyResult<()> {
        match which {
            Table::Named(which) => self.set_named(py, state, which, key, value, replaced),
            Table::Environment => {
                let change = (key.clone().unbind(), Some(value.clone().unbind()));
                self.change_environment(py, state, change, replaced)
            }
        }
    }

    fn table_seen_by<'py>(
        &mut self,
        py: Python<'py>,
        state: &Arc<ImportState>,
        which: Named,
        replaced: &mut Replaced,
    ) -> PyResult<Bound<'py, PyDict>> {
        let (here, nothing) = (self.is_in_place(state), self.in_place().is_none());
        let TablePart { layer, share, hides } = self.table_part(state, which);
        if here {
            return layer.live(py).copy();
        }
        if nothing {
            layer.refresh(py, replaced)?;
        }
        let rules = &*state.rules(py);
        let hidden = |key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>| hides(rules, key, value);
        if let Some(share) = share {
            return layer.combine(py, share, replaced, hidden)?.dict(py).copy();
        }
        let seen = PyDict::new(py);
        for (key, value) in contents::items(layer.base(py)) {
            if !hidden(&key, &value) {
                seen.set_item(key, value)?;
            }
        }
        for (key, reference) in remains(py, state, which).iter().flat_map(contents::items) {
            if let Some(module) = contents::referent(&reference) {
                seen.set_item(key, module)?;
            }
        }
        Ok(seen)
    }

    fn entry_seen_by<'py>(
        &mut self,
        py: Python<'py>,
        state: &Arc<ImportState>,
        which: Named,
        key: &Bound<'py, PyAny>,
    ) -> Option<Bound<'py, PyAny>> {
        if self.is_in_place(state) {
            return contents::get(self.table_part(state, which).layer.live(py), key);
        }
        let own = match self.table_part(state, which).share {
            Some(share) => share.own_entry(key),
            None => remains(py, state, which)
                .and_then(|remains| contents::referent(&contents::get(&remains, key)?)),
        };
        own.or_else(|| {
            let value = contents::get(self.daemons_table(py, which), key)?;
            let hides = self.table_part(state, which).hides;
            (!hides(&state.rules(py), key, &value)).then_some(value)
        })
    }

    fn set_named<'py>(
        &mut self,
        py: Python<'py>,
        state: &Arc<ImportState>,
        which: Named,
        key: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
        replaced: &mut Replaced,
    ) -> PyResult<()> {
        let known = self.entry_seen_by(py, state, which, key);
        if known.as_ref().is_some_and(|known| known.is(value)) {
            return Ok(());
        }
        replaced.extend(known.map(Bound::unbind));
        let is_shared = {
            let rules = &*state.rules(py);
            let name = key.cast::<PyString>()?.to_string_lossy();
            match which {
                Named::Modules => rules.of_name(&name) == Ownership::Shared,
                // One that it makes is its own, as in its turn.
                Named::Loggers => false,
            }
        };
        if which == Named::Modules && !is_shared {
            self.mark_by_hand(py, state, key, value)?;
        }
        let here = self.is_in_place(state);
        self.note_taken(state, which, key);
        let TablePart { layer, share, .. } = self.table_part(state, which);
        match share {
            _ if here => layer.live(py).set_item(key, value),
            _ if is_shared => layer.share_entry(key, value, replaced),
            Some(share) => layer.set_own(share, key, value, replaced),
            // Whoever uses what a dropped core's code loads keeps it.
            None => match (remains(py, state, which), contents::reference(value)) {
                (Some(remains), Some(reference)) => remains.set_item(key, reference),
                _ => Ok(()),
            },
        }
    }

    /// Notes what a parked project's code is about to take away or replace.
    fn note_taken(&mut self, state: &Arc<ImportState>, which: Named, key: &Bound<'_, PyAny>) {
        if which == Named::Modules
            && !self.is_in_place(state)
            && let (_, Some(shares)) = self.parts_and_shares(state)
        {
            shares.modules.note_taken(key);
        }
    }

    /// Marks a module that the project's code has made as its own. Not one of the daemon's that it gives
    /// another name to.
    fn mark_by_hand(
        &self,
        py: Python<'_>,
        state: &Arc<ImportState>,
        name: &Bound<'_, PyAny>,
        module: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let daemons = self.daemons_table(py, Named::Modules);
        let is_daemons = own_name(module)
            .and_then(|name| contents::get(daemons, PyString::new(py, &name).as_any()))
            .is_some_and(|known| known.is(module));
        let name = name.cast::<PyString>()?.to_string_lossy();
        let is_somebodys = marks::owner_of_module(module).is_some();
        if is_daemons || is_somebodys || state.rules(py).is_alias(&name, module) {
            return Ok(());
        }
        marks::mark(module, &marks::new(py, state)?)
    }

    pub(super) fn remove_named<'py>(
        &mut self,
        py: Python<'py>,
        state: &Arc<ImportState>,
        which: Named,
        key: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let here = self.is_in_place(state);
        self.note_taken(state, which, key);
        let TablePart { layer, share, .. } = self.table_part(state, which);
        match share {
            _ if here => layer.live(py).del_item(key),
            Some(share) => layer.remove_own(share, key).map(drop),
            None => {
                let remains =
                    remains(py, state, which).filter(|remains| contents::get(remains, key).is_some());
                remains.map_or(Ok(()), |remains| remains.del_item(key))
            }
        }
    }
}

/// What is left of a retired project's modules.
fn remains<'py>(py: Python<'py>, state: &ImportState, which: Named) -> Option<Bound<'py, PyDict>> {
    state.remains(py).filter(|_| which == Named::Modules).cloned()
}
