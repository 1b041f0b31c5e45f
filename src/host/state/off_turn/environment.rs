//! The environment's variables.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::host::ownership::import_state::ImportState;
use crate::host::state::layers::Replaced;
use crate::host::state::layers::overlay::Change;
use crate::host::state::world::World;

impl World {
    pub(super) fn environment_seen_by<'py>(
        &mut self,
        py: Python<'py>,
        state: &Arc<ImportState>,
        replaced: &mut Replaced,
    ) -> PyResult<Bound<'py, PyDict>> {
        let (here, nothing) = (self.is_in_place(state), self.in_place().is_none());
        let (parts, shares) = self.parts_and_shares(state);
        if here {
            return parts.environment.live(py).copy();
        }
        if nothing {
            parts.environment.refresh(py, replaced)?;
        }
        parts.environment.seen_by(py, state, shares.map(|shares| &shares.environment))
    }

    /// Gives a variable a value, or none.
    pub(super) fn change_environment(
        &mut self,
        py: Python<'_>,
        state: &Arc<ImportState>,
        change: Change,
        replaced: &mut Replaced,
    ) -> PyResult<()> {
        let here = self.is_in_place(state);
        let (parts, shares) = self.parts_and_shares(state);
        if here {
            return parts.environment.change(py, change);
        }
        if let Some(shares) = shares {
            parts.environment.edit(py, &mut shares.environment, change, replaced);
        }
        Ok(())
    }
}
