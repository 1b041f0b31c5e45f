//! An import state that is no parked project's of the host's, but of the one who made it: an engine's.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use pyo3::prelude::*;
use sgtk_config::{Configs, CoreLocation};

use super::gate::{Key, Manner, held};
use super::handle::Host;
use super::imports::caller;
use super::imports::first::Wanted;
use super::imports::on_import::Purpose;
use super::lease::pin::Pin;
use super::lease::quiet::wait_for_imports;
use super::lease::threads;
use super::lease::turn::Turn;
use super::ownership::import_state::ImportState;
use super::python::children;
use super::state::retire;
use super::state::verify::{sgtk_for_lease, sgtk_in_place, verify};
use super::state::world::{self, modules_of, place};
use super::upkeep::plugins::Plugins;
use crate::error::{Error, Result};

/// See the module's documentation.
///
/// It is made in one turn of the gate's: [`take_turn`](Self::take_turn), [`import`](Self::import), perhaps
/// [`swap`](Self::swap), [`settle`](Self::settle). Then it is pinned whenever it is to be used, and retired
/// once. Where making it fails, the turn's end takes it out of the interpreter, and [`retire`](Self::retire)
/// does the rest.
pub(crate) struct PrivateState {
    host: Host,
    key: Key,
    states: Mutex<States>,
    plugins: Plugins,
}

#[derive(Default)]
struct States {
    /// What is put in place.
    now: Option<Arc<ImportState>>,
    /// Those that gave way to it, whose code may be running still.
    before: Vec<Arc<ImportState>>,
    /// Whether it comes to its end: nobody puts it in place any more.
    ending: bool,
}

impl PrivateState {
    /// A state of `host`'s with nothing in it. Errors and logs call it by its label.
    pub(crate) fn new(host: &Host, label: &str) -> Arc<Self> {
        let plugins = Plugins::new(&host.inner.settings.plugin_paths);
        Arc::new(Self { host: host.clone(), key: Key::unique(label), states: Mutex::default(), plugins })
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    pub(crate) fn configs(&self) -> &Configs {
        &self.host.inner.configs
    }

    /// Waits for the turn to make the state.
    ///
    /// # Errors
    /// [`Error::NestedLease`] where this thread holds a project, [`Error::LeaseTimeout`] after the host's
    /// limit.
    pub(crate) fn take_turn<'py>(&self, py: Python<'py>) -> Result<Turn<'py>> {
        Turn::take(py, &self.key, self.host.inner.lease_timeout)
    }

    /// Imports `sgtk` from a core, in this thread's turn.
    ///
    /// # Errors
    /// Those of a first import; nothing is in place then.
    pub(crate) fn import(&self, py: Python<'_>, location: CoreLocation) -> Result<()> {
        let state = self.host.inner.import(py, self.wanted(location, None))?;
        self.host.inner.keep_known(py, &state);
        self.states().now = Some(state);
        Ok(())
    }

    /// Imports another core in the place of the one that was imported. Whatever runs or is left of that one
    /// imports from the new core from now on, which is what Toolkit's own core swap means by it; but the new
    /// core has libraries, finders and loggers of its own.
    ///
    /// # Errors
    /// Those of a first import; the core before is in place again then.
    pub(crate) fn swap(&self, py: Python<'_>, location: CoreLocation) -> Result<()> {
        let before = self.current()?;
        wait_for_imports(py, &before);
        // Out first: leaving tells what the environment's changes are.
        place(py, None)?;
        let swapped = self.host.inner.import(py, self.wanted(location, Some(&before)));
        match swapped {
            Ok(state) => {
                before.give_way_to(&state);
                let mut states = self.states();
                states.now = Some(state);
                states.before.push(before);
                Ok(())
            }
            Err(error) => {
                place_again(py, &before);
                Err(error)
            }
        }
    }

    fn wanted<'a>(&self, location: CoreLocation, before: Option<&'a Arc<ImportState>>) -> Wanted<'a> {
        Wanted { key: self.key.clone(), location, before, is_guest: false, purpose: Purpose::Bootstrap }
    }

    /// Completes the state: has it used for a pipeline configuration, and verifies what is in place.
    ///
    /// # Errors
    /// [`Error::WrongCore`], [`Error::NotInPlace`].
    pub(crate) fn settle(&self, py: Python<'_>, configuration: PathBuf) -> Result<()> {
        let state = self.current()?;
        state.settle(state.location().clone().for_configuration(configuration));
        world::settle_first_import(py)?;
        let sgtk = sgtk_in_place(py, &state)?;
        verify(py, &state, &sgtk)
    }

    /// The processes that its code was seen to start, on whatever thread, and that have not ended.
    pub(crate) fn children(&self) -> Vec<i32> {
        let ids: Vec<u64> = {
            let states = self.states();
            states.now.iter().chain(&states.before).map(|state| state.id()).collect()
        };
        children::noted(|whose| ids.contains(&whose))
    }

    /// Has bootstraps of code's own, in leases of the state, end with the lease.
    pub(crate) fn serve_bootstraps(&self, py: Python<'_>) {
        if let Some(state) = self.state() {
            self.host.inner.serve_bootstraps(py, &state);
        }
    }

    /// Drops the states that gave way. What is left of their code has its successor's modules. Their memory
    /// comes back when the collector runs next, or with this one's: looking at all objects of the interpreter
    /// takes a sixth of a bootstrap.
    pub(crate) fn let_go_of_those_before(&self, py: Python<'_>) {
        let before = std::mem::take(&mut self.states().before);
        for state in &before {
            self.host.inner.let_go_of(py, state);
        }
    }

    /// Puts the state in place, or shares it, until the pin is dropped.
    ///
    /// # Errors
    /// As [`Host::lease`](super::Host::lease), and [`Error::Dropped`] once its [end](Self::end) has begun.
    pub(crate) fn pin(&self, py: Python<'_>) -> Result<Pin> {
        self.acquire(py, Manner::Queue)
    }

    /// As [`pin`](Self::pin), after all who hold it have let go of it.
    ///
    /// # Errors
    /// Those of [`pin`](Self::pin), and [`Error::NestedLease`] where this thread holds the state itself.
    pub(crate) fn pin_alone(&self, py: Python<'_>) -> Result<Pin> {
        self.acquire(py, Manner::Alone)
    }

    /// Has nobody put the state in place from now on, but for late imports of its own code.
    pub(crate) fn end(&self) {
        self.states().ending = true;
    }

    /// Whether it was dropped for good.
    pub(crate) fn is_retired(&self) -> bool {
        let states = self.states();
        states.ending && states.now.is_none()
    }

    fn acquire(&self, py: Python<'_>, manner: Manner) -> Result<Pin> {
        let bring = || {
            if self.states().ending {
                return Err(self.dropped());
            }
            let state = self.current()?;
            let inner = &self.host.inner;
            let is_edited = inner.revalidate_after.is_some_and(|after| {
                self.plugins.are_edited(py, self.key.project(), after, inner.cores.settle())
            });
            inner.enter_again(py, &state)?;
            if is_edited && let Err(error) = self.plugins.take_out(py, &state) {
                place(py, None)?;
                return Err(error);
            }
            Ok(state)
        };
        Pin::acquire(py, &self.key, manner, self.host.inner.lease_timeout, bring)
    }

    /// The `sgtk` module that is in place. Only while it is.
    ///
    /// # Errors
    /// [`Error::NotInPlace`].
    pub(crate) fn sgtk<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyModule>> {
        sgtk_for_lease(py, &*self.current()?)
    }

    /// Whether the code that is running on this thread is the state's: the thread holds it, or, off its turn,
    /// the code is from its modules.
    pub(crate) fn is_running(&self, py: Python<'_>) -> bool {
        held::holds_itself(&self.key)
            || caller::owner_of_running_code(py).is_some_and(|state| *state.key() == self.key)
    }

    /// How many modules it owns, when it is parked.
    pub(crate) fn modules(&self, py: Python<'_>) -> usize {
        self.current().map_or(0, |state| modules_of(py, &state).len())
    }

    /// Waits for the threads that run the state's code to end, and asks those that do not to exit. Returns
    /// the names of those that are still there after `grace`. Only while it is in place.
    pub(crate) fn end_threads(&self, py: Python<'_>, grace: Duration) -> Vec<String> {
        let states = {
            let states = self.states();
            states.now.iter().chain(&states.before).cloned().collect::<Vec<_>>()
        };
        threads::end(py, &states, Instant::now() + grace)
    }

    /// Drops the state for good, and gives its memory back in time. Where a late import of a thread that is
    /// left has it in place at this moment, that thread does so when it lets go.
    pub(crate) fn retire(&self, py: Python<'_>) {
        self.let_go_of_those_before(py);
        let state = {
            let mut states = self.states();
            states.ending = true;
            states.now.take()
        };
        if let Some(state) = state
            && !retire::leave_to_its_holders(py, &state)
        {
            self.host.inner.let_go_of(py, &state);
        }
        retire::reclaim_in_time(py);
    }

    /// The state that is put in place, where there is one.
    fn state(&self) -> Option<Arc<ImportState>> {
        self.states().now.clone()
    }

    fn current(&self) -> Result<Arc<ImportState>> {
        self.state().ok_or_else(|| self.dropped())
    }

    fn dropped(&self) -> Error {
        Error::Dropped { project: self.key.project().to_owned() }
    }

    fn states(&self) -> MutexGuard<'_, States> {
        // Held for moments only, and never while Python code runs.
        self.states.lock()
    }
}

/// Puts back what a failed swap has taken out, so that the code which asked for the swap can go on and tell
/// of it.
fn place_again(py: Python<'_>, state: &Arc<ImportState>) {
    if let Err(error) = place(py, Some(state)) {
        tracing::error!(project = state.project(), %error, "failed to put a core back after a failed swap");
    }
}
