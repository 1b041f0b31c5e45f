//! An import state that is no parked project's of the host's, but of the one who made it: an engine's.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use super::gate::{Key, Manner};
use super::pin::{self, Pin, Turn};
use super::state::ImportState;
use super::world::World;
use super::{Host, first_import, new_key, retire, threads};
use crate::error::{Error, Result};
use sgtk_config::{Configs, CoreLocation};

/// See the module's documentation.
///
/// It is made in one turn of the gate's: [`take_turn`](Self::take_turn), [`import`](Self::import), perhaps
/// [`swap`](Self::swap), [`settle`](Self::settle). Then it is pinned whenever it is to be used, and retired once. Where
/// making it fails, the turn's end takes it out of the interpreter, and [`retire`](Self::retire) does the rest.
pub(crate) struct PrivateState {
    host: Host,
    key: Key,
    states: Mutex<States>,
    /// The address of the `sgtk` module that was verified. The state keeps it alive.
    verified: AtomicUsize,
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
        let state = Arc::new(Self {
            host: host.clone(),
            key: new_key(label),
            states: Mutex::default(),
            verified: AtomicUsize::new(0),
        });
        host.inner.add_private(&state);
        state
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
    /// [`Error::NestedLease`] where this thread holds a project, [`Error::LeaseTimeout`] after the host's limit.
    pub(crate) fn take_turn<'py>(&self, py: Python<'py>) -> Result<Turn<'py>> {
        Turn::take(py, &self.key, self.host.inner.lease_timeout)
    }

    /// Imports `sgtk` from a core, in this thread's turn.
    ///
    /// # Errors
    /// Those of a first import; nothing is in place then.
    pub(crate) fn import(&self, py: Python<'_>, location: CoreLocation) -> Result<()> {
        let state = self.host.inner.first_import(py, self.key.clone(), location)?;
        self.host.inner.keep_known(py, &state);
        self.states().now = Some(state);
        Ok(())
    }

    /// Imports another core in the place of the one that was imported. Whatever runs or is left of that one imports from the
    /// new core from now on, which is what Toolkit's own core swap means by it; but the new core has libraries, finders
    /// and loggers of its own.
    ///
    /// # Errors
    /// Those of a first import; the core before is in place again then.
    pub(crate) fn swap(&self, py: Python<'_>, location: CoreLocation) -> Result<()> {
        let before = self.current()?;
        pin::wait_for_imports(py, &before);
        // Out first: leaving tells what the environment's changes are.
        self.host.inner.take_out(py)?;
        let swapped = self.host.inner.import_after(py, self.key.clone(), location, Some(&before));
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

    /// Ends the making: verifies what is in place, has it used for a pipeline configuration, and drops what gave way to it.
    ///
    /// # Errors
    /// [`Error::WrongCore`], [`Error::NotInPlace`].
    pub(crate) fn settle(&self, py: Python<'_>, configuration: PathBuf) -> Result<()> {
        let state = self.current()?;
        state.settle(state.location().clone().for_configuration(configuration));
        {
            let world = World::lock(py)?;
            world.set_current_pc(py).and_then(|()| world.adopt(py))?;
        }
        let sgtk = first_import::sgtk_in_place(py, &state)?;
        first_import::verify(py, &state, sgtk.as_any())?;
        self.verified.store(sgtk.as_ptr() as usize, Ordering::Relaxed);
        Ok(())
    }

    /// Drops the states that gave way. What is left of their code has its successor's modules.
    pub(crate) fn retire_those_before(&self, py: Python<'_>) {
        let before = std::mem::take(&mut self.states().before);
        for state in &before {
            retire::retire(py, state, &self.host.inner.roots_in_use(py));
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
            let is_verified =
                |sgtk: &Bound<'_, PyModule>| self.verified.load(Ordering::Relaxed) == sgtk.as_ptr() as usize;
            self.host.inner.enter_again(py, &state, is_verified)
        };
        Pin::acquire(py, &self.key, manner, self.host.inner.lease_timeout, bring)
    }

    /// The `sgtk` module that is in place. Only while it is.
    ///
    /// # Errors
    /// [`Error::NotInPlace`].
    pub(crate) fn sgtk<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyModule>> {
        first_import::sgtk_in_place(py, &*self.current()?)
    }

    /// How many modules it owns, when it is parked.
    pub(crate) fn modules(&self, py: Python<'_>) -> usize {
        self.current().map_or(0, |state| state.modules(py).len())
    }

    /// Waits for the threads that run the state's code to end, and asks those that do not to exit. Returns the names of
    /// those that are still there after `grace`. Only while it is in place.
    pub(crate) fn end_threads(&self, py: Python<'_>, grace: Duration) -> Vec<String> {
        let states = {
            let states = self.states();
            states.now.iter().chain(&states.before).cloned().collect::<Vec<_>>()
        };
        threads::end(py, &states, Instant::now() + grace)
    }

    /// Drops the state for good and gives its memory back. Where a late import of a thread that is left has it in place at
    /// this moment, that thread does so when it lets go.
    pub(crate) fn retire(&self, py: Python<'_>) {
        self.retire_those_before(py);
        let state = {
            let mut states = self.states();
            states.ending = true;
            states.now.take()
        };
        let Some(state) = state else { return };
        if !retire::is_left_to_its_holders(py, &state) {
            retire::retire(py, &state, &self.host.inner.roots_in_use(py));
        }
    }

    /// The state that is put in place, where there is one.
    pub(super) fn state(&self) -> Option<Arc<ImportState>> {
        self.states().now.clone()
    }

    fn current(&self) -> Result<Arc<ImportState>> {
        self.state().ok_or_else(|| self.dropped())
    }

    fn dropped(&self) -> Error {
        Error::Dropped { project: self.key.project().to_owned() }
    }

    fn states(&self) -> std::sync::MutexGuard<'_, States> {
        // Held for moments only, and never while Python code runs.
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts back what a failed swap has taken out, so that the code which asked for the swap can go on and tell of it.
fn place_again(py: Python<'_>, state: &Arc<ImportState>) {
    let placed = World::lock(py).and_then(|mut world| {
        let (replaced, outcome) = world.place(py, Some(state));
        drop(world);
        drop(replaced);
        outcome
    });
    if let Err(error) = placed {
        tracing::error!(project = state.project(), %error, "failed to put a core back after a failed swap");
    }
}
