//! The host's look at all of its modules.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use sgtk_config::Fingerprint;

use super::handle::Host;
use super::ownership::foreign::{
    Clean, foreign_modules, holding_modules, modules_not_the_daemons, rewritten_modules,
};
use super::ownership::import_state::ImportState;
use super::state::world::{World, modules_of};
use crate::error::Result;

/// A module that is not what it should be: one of a project that comes from another's core for instance.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ForeignModule {
    /// The project that has the module, or nothing for the daemon's own state.
    pub project: Option<String>,
    /// The module's name.
    pub module: String,
    /// What is wrong with it: where it comes from, whose it is, what it holds.
    pub found: String,
}

impl fmt::Display for ForeignModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let project = self.project.as_deref().unwrap_or("the daemon");
        write!(f, "'{}' of {project}: {}", self.module, self.found)
    }
}

impl Host {
    /// Walks all modules that the host's projects own, and those that are visible now, and names each
    ///
    /// - that comes from another project's core, or has a global that is another project's,
    /// - whose file has changed since its core was imported, so that what it imports from now on is of
    ///   another version,
    /// - that is everybody's and has a global that holds a project's object, or leads to one: all projects
    ///   and the daemon would share it. [`HostBuilder::per_project`](super::HostBuilder::per_project) gives
    ///   each its own.
    ///
    /// The answer must be empty, always.
    ///
    /// Takes milliseconds for each project; meant for tests and health checks.
    ///
    /// # Errors
    /// A Python error while looking, which is not to be expected.
    pub fn audit(&self, py: Python<'_>) -> Result<Vec<ForeignModule>> {
        let look = Look::now(py)?;
        let mut foreign = self.foreign(py, &look, |_| true, |_| Clean::default());
        // Each core's files once, however many projects are on it.
        let mut cores = HashMap::new();
        for (state, watch) in self.inner.watched_states() {
            let changed = py.detach(|| {
                let core = watch.location().install_core();
                let now = cores.entry(core.to_owned()).or_insert_with(|| Fingerprint::of_core(core));
                watch.changed_from(now)
            });
            let modules = look.modules_of(py, &state);
            note(&mut foreign, Some(state.project()), rewritten_modules(&modules, &changed));
        }
        note(&mut foreign, None, holding_modules(py, &look.shared(py)?)?);
        Ok(foreign)
    }

    /// What these projects could have changed: their own modules and those that are visible now. Modules that
    /// have not changed since they were looked at last are passed over, so that it takes a fraction of a
    /// millisecond.
    ///
    /// For checks after each swap, as the example `doctor` makes them; files and shared modules' globals are
    /// [`audit`](Self::audit)'s.
    ///
    /// # Errors
    /// As [`audit`](Self::audit).
    pub fn audit_projects(&self, py: Python<'_>, projects: &[&str]) -> Result<Vec<ForeignModule>> {
        let look = Look::now(py)?;
        let clean = |state: &ImportState| self.inner.clean.lock().remove(&state.id()).unwrap_or_default();
        Ok(self.foreign(py, &look, |state| projects.contains(&state.project()), clean))
    }

    fn foreign(
        &self,
        py: Python<'_>,
        look: &Look<'_>,
        is_wanted: impl Fn(&ImportState) -> bool,
        clean: impl Fn(&ImportState) -> Clean,
    ) -> Vec<ForeignModule> {
        let mut foreign = Vec::new();
        let states = self.inner.states();
        let parked = states.iter().filter(|state| !look.is_in_place(state) && is_wanted(state));
        for state in parked.chain(&look.in_place) {
            let mut clean = clean(state);
            let found =
                foreign_modules(&look.modules_of(py, state), state, Some(&look.daemons_cores), &mut clean);
            note(&mut foreign, Some(state.project()), found);
            self.inner.clean.lock().insert(state.id(), clean);
        }
        if look.in_place.is_none() {
            note(&mut foreign, None, modules_not_the_daemons(&look.visible, &look.daemons_cores));
        }
        self.inner.clean.lock().retain(|id, _| states.iter().any(|state| state.id() == *id));
        foreign
    }
}

/// The modules at one moment.
struct Look<'py> {
    visible: Bound<'py, PyDict>,
    /// The daemon's own, also those that are out of sight.
    daemons: Bound<'py, PyDict>,
    /// The cores that the daemon has on its own path.
    daemons_cores: HashSet<PathBuf>,
    in_place: Option<Arc<ImportState>>,
}

impl<'py> Look<'py> {
    fn now(py: Python<'py>) -> PyResult<Self> {
        let mut world = World::lock(py)?;
        if world.in_place().is_none() {
            world.return_misplaced(py)?;
        }
        Ok(Self {
            visible: world.modules(py),
            daemons: world.daemon_modules(py),
            daemons_cores: world.daemon_cores(py),
            in_place: world.in_place().cloned(),
        })
    }

    /// The modules that are everybody's, among others.
    fn shared(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let shared = PyDict::new(py);
        shared.update(self.visible.as_mapping())?;
        shared.update(self.daemons.as_mapping())?;
        Ok(shared)
    }

    fn is_in_place(&self, state: &Arc<ImportState>) -> bool {
        self.in_place.as_ref().is_some_and(|in_place| Arc::ptr_eq(in_place, state))
    }

    /// What a state owns; where it is in place, what is visible.
    fn modules_of(&self, py: Python<'py>, state: &Arc<ImportState>) -> Bound<'py, PyDict> {
        if self.is_in_place(state) { self.visible.clone() } else { modules_of(py, state) }
    }
}

fn note(foreign: &mut Vec<ForeignModule>, project: Option<&str>, found: Vec<(String, String)>) {
    foreign.extend(found.into_iter().map(|(module, found)| ForeignModule {
        project: project.map(str::to_owned),
        module,
        found,
    }));
}
