//! Bootstraps that a project's code runs by itself, in a lease: the core that it goes over to is a guest
//! until the lease ends.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyTuple};
use sgtk_config::CoreLocation;

use super::gate::{Key, held};
use super::imports::first::Wanted;
use super::imports::harness;
use super::imports::on_import::Purpose;
use super::inner::Inner;
use super::lease::quiet::wait_for_imports;
use super::lease::turn::Turn;
use super::lease::{guests, leaving};
use super::ownership::culprit::Culprit;
use super::ownership::import_state::ImportState;
use super::python::steps_in_python;
use super::state::world::{self, World, place};
use crate::error::{Error, Result};

impl Inner {
    /// Has bootstraps that code runs with the core in place, which is this state's, be noted and undone when
    /// the lease ends. A core that lacks what it takes goes without.
    pub(super) fn serve_bootstraps(&self, py: Python<'_>, state: &ImportState) {
        let served = self.served_functions(py).and_then(|(exchange, started)| {
            steps_in_python::call(py, "serve_bootstraps", (exchange, started)).map(drop)
        });
        if let Err(error) = served.map_err(Error::from) {
            let project = state.project();
            tracing::warn!(project, %error, "bootstraps by this core's own code will not be undone");
        }
    }

    fn served_functions<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyCFunction>, Bound<'py, PyCFunction>)> {
        let this: Weak<Self> = Weak::clone(&self.this);
        let exchange = move |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| -> PyResult<()> {
            let folder: PathBuf = arguments.get_item(0)?.extract()?;
            let gone = || PyRuntimeError::new_err("the host of this core is gone");
            Ok(this.upgrade().ok_or_else(gone)?.exchange_core(arguments.py(), &folder)?)
        };
        let started = |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| -> PyResult<()> {
            leaving::note_engine(arguments.py())
        };
        let exchange = PyCFunction::new_closure(py, None, None, exchange)?;
        Ok((exchange, PyCFunction::new_closure(py, None, None, started)?))
    }

    /// Ends what bootstraps of code's own have left in what is in place outside leases.
    pub(super) fn end_outside(&self, py: Python<'_>) {
        let before = self.superseded.lock().clone();
        leaving::end_outside(py, &before);
    }

    /// Drops what was in place outside leases, and those whose place it took.
    pub(super) fn retire_outside(&self, py: Python<'_>, before: Option<&Arc<ImportState>>) {
        let superseded = std::mem::take(&mut *self.superseded.lock());
        superseded.iter().chain(before).for_each(|state| self.retire(py, state));
    }

    /// Puts another core in the place of the one that is in place outside leases, until the next
    /// `import_sgtk`. Code of that one goes on with the new one, as after Toolkit's own exchange.
    ///
    /// # Errors
    /// As [`exchange_core`](Self::exchange_core).
    fn exchange_outside(
        &self,
        py: Python<'_>,
        before: &Arc<ImportState>,
        location: CoreLocation,
    ) -> Result<()> {
        let key = Key::unique(before.project());
        let turn = Turn::take(py, &key, self.lease_timeout)?;
        let wanted =
            Wanted { key, location, before: Some(before), is_guest: true, purpose: Purpose::Bootstrap };
        let state = self.import(py, wanted)?;
        place(py, None)?;
        World::lock(py)?.set_outside(Some(Arc::clone(&state)));
        before.give_way_to(&state);
        harness::note_imported(&state);
        self.superseded.lock().push(Arc::clone(before));
        drop(turn);
        Ok(())
    }

    /// Puts another core in the place of the one that this thread holds, until the lease ends: what code of a
    /// lease means that bootstraps by itself.
    ///
    /// # Errors
    /// [`Error::OutsideLease`] where this thread holds no lease, [`Error::LeaseTimeout`] where other threads
    /// go on sharing it, and those of a first import; what was in place is there again then.
    fn exchange_core(&self, py: Python<'_>, python_folder: &Path) -> Result<()> {
        let by = Culprit::running(py).by;
        let (before, is_outside) = {
            let world = World::lock(py)?;
            (world.in_place().cloned(), world.is_outside())
        };
        let Some(before) = before.filter(|state| is_outside || held::holds(state.key())) else {
            return Err(Error::OutsideLease { core: python_folder.to_owned(), by });
        };
        let location = self.configs.bootstrapped_core(before.project(), python_folder)?;
        if is_outside {
            return self.exchange_outside(py, &before, location);
        }
        let key = Key::unique(before.project());
        let exchanged = guests::exchange(py, before.key(), &key)?;
        wait_for_imports(py, &before);
        let wanted =
            Wanted { key, location, before: Some(&before), is_guest: true, purpose: Purpose::Bootstrap };
        match self.import(py, wanted) {
            Ok(guest) => {
                exchanged.keep();
                self.keep_known(py, &guest);
                let this = Weak::clone(&self.this);
                guests::add(&guest, by, move |py, guest| drop_guest(py, this.upgrade(), guest));
                Ok(())
            }
            Err(error) => {
                place(py, Some(&before))?;
                Err(error)
            }
        }
    }
}

fn drop_guest(py: Python<'_>, host: Option<Arc<Inner>>, guest: &Arc<ImportState>) {
    if let Err(error) = world::hand_back(py, guest) {
        tracing::error!(
            project = guest.project(), %error,
            "failed to give back what code has changed beside its core"
        );
    }
    match host {
        Some(host) => host.retire(py, guest),
        None => super::state::retire::retire(py, guest, &super::ownership::roots::Roots::default()),
    }
}
