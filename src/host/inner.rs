//! What the handles of one host share: its settings, its states, and how a project is brought in place.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pyo3::prelude::*;
use sgtk_config::keys::Secrets;
use sgtk_config::{CodeCache, Configs, CoreLocation, CoreWatch, CoresOnDisk, ProjectRef, ProjectWatch};

use super::dependent::Dependent;
use super::gate::{Key, Manner};
use super::imports::first::{Settings, Wanted, first_import};
use super::imports::on_import::Purpose;
use super::imports::{late_loads, log_records};
use super::lease::pin::Pin;
use super::lease::quiet::wait_for_imports;
use super::ownership::foreign::Clean;
use super::ownership::import_state::ImportState;
use super::ownership::roots::Roots;
use super::state::off_turn::put_back_taken;
use super::state::retire;
use super::state::verify::verify_again;
use super::state::world::{modules_of, place, put_back};
use super::upkeep::found::FoundProjects;
use super::upkeep::residents::Residents;
use crate::error::{Error, Result};
use crate::interpreter::Interpreter;

/// See the module's documentation.
pub(crate) struct Inner {
    /// Itself.
    pub(super) this: Weak<Self>,
    pub(super) interpreter: Interpreter,
    pub(super) configs: Configs,
    pub(super) settings: Settings,
    pub(super) code_cache: CodeCache,
    pub(super) max_resident: Option<usize>,
    pub(super) revalidate_after: Option<Duration>,
    pub(super) lease_timeout: Option<Duration>,
    pub(super) forward_logs: bool,
    pub(super) residents: Residents,
    pub(super) cores: CoresOnDisk,
    pub(super) found: FoundProjects,
    /// All that the host has imported: the residents' states and those that are somebody else's.
    pub(super) states: Mutex<Vec<Imported>>,
    /// The states that a bootstrap of code's own has put others in the place of, outside leases.
    pub(super) superseded: Mutex<Vec<Arc<ImportState>>>,
    /// What was found in order when modules were looked at last, by the number of their state.
    pub(super) clean: Mutex<HashMap<u64, Clean>>,
    /// The folders and zips of cores that bootstraps start from, again and again: what was compiled of them
    /// is kept.
    pub(super) started_from: Mutex<Roots>,
    /// What ends with the host, in the order in which it was begun.
    pub(super) dependents: Mutex<Vec<Weak<dyn Dependent>>>,
    pub(super) closed: AtomicBool,
    /// The host's own keys, which are hidden as long as it lives.
    pub(super) _secrets: Secrets,
}

/// A state, and the files of its core as they were before it was imported.
pub(super) struct Imported {
    state: Weak<ImportState>,
    watch: Arc<CoreWatch>,
}

impl Inner {
    /// Holds the project in place.
    ///
    /// # Errors
    /// As [`Host::lease`](super::Host::lease).
    pub(super) fn pin(&self, py: Python<'_>, project: &str) -> Result<Pin> {
        self.refuse_if_closed(project)?;
        let key = match self.residents.key(project) {
            Some(key) => key,
            None => {
                // A project without a core is an error at once, before anything waits.
                self.configs.locate(project)?;
                self.residents.key_or_new(project)
            }
        };
        let pin = Pin::acquire(py, &key, Manner::Queue, self.lease_timeout, || self.bring(py, &key))?;
        self.residents.touch(project);
        Ok(pin)
    }

    /// The folder of a project's configuration.
    ///
    /// # Errors
    /// As [`Configs::find`].
    pub(super) fn folder(&self, project: ProjectRef) -> Result<String> {
        self.found.folder(&self.configs, project, |folder| self.residents.get(folder).is_some())
    }

    /// # Errors
    /// [`Error::HostShutDown`], naming what was asked for.
    pub(super) fn refuse_if_closed(&self, target: &str) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::HostShutDown { target: target.to_owned() });
        }
        Ok(())
    }

    /// Puts a project in place, for the thread whose turn it is: its parked state, or a new one.
    fn bring(&self, py: Python<'_>, key: &Key) -> Result<Arc<ImportState>> {
        let project = key.project();
        // It may have been shut down while this waited.
        self.refuse_if_closed(project)?;
        let Some(state) = self.residents.get(project) else {
            return self.import_resident(py, key);
        };
        if let Some(successor) = self.successor(py, key, &state) {
            return Ok(successor);
        }
        if let Err(error) = self.enter_again(py, &state) {
            // Whatever the project's code has done to it, it is not to be used again.
            self.evict(py, project, "not its own core any more");
            return Err(error);
        }
        Ok(state)
    }

    fn import_resident(&self, py: Python<'_>, key: &Key) -> Result<Arc<ImportState>> {
        let location = self.configs.locate(key.project())?;
        let (state, watch) = match self.import_known(py, key, &location)? {
            Some(imported) => imported,
            None => {
                let watch = ProjectWatch::before_import(&location, &self.settings.plugin_paths);
                let wanted = Wanted::for_leases(key.clone(), location);
                (self.import_watched(py, wanted, watch.core().clone())?, watch)
            }
        };
        // Out and in again: so that what it is by itself is known.
        place(py, None)?;
        place(py, Some(&state))?;
        state.discount_entry();
        self.residents.insert(&state, watch);
        if let Some(most) = self.max_resident {
            for project in self.residents.beyond(most, state.project()) {
                self.evict(py, &project, "least recently used");
            }
        }
        Ok(state)
    }

    /// Imports a core whose files another project's import has read: they are looked at once, afterwards.
    /// `None` where they are others by then, so that they have to be looked at before the import as well.
    fn import_known(
        &self,
        py: Python<'_>,
        key: &Key,
        location: &CoreLocation,
    ) -> Result<Option<(Arc<ImportState>, ProjectWatch)>> {
        let Some(last) = self.cores.last_imported(location.install_core()) else { return Ok(None) };
        let watch = ProjectWatch::since_import(location, &last, &self.settings.plugin_paths);
        let wanted = Wanted::for_leases(key.clone(), location.clone());
        let changing = match self.import_unchecked(py, wanted, watch.core().clone()) {
            Ok(state) => match self.cores.imported(location, last) {
                Ok(()) => return Ok(Some((state, watch))),
                Err(changing) => {
                    self.take_back(py, &state)?;
                    changing
                }
            },
            Err(error) => last.changed_meanwhile(location).ok_or(error)?,
        };
        tracing::debug!(project = key.project(), %changing, "the core's files are not those of the last import");
        Ok(None)
    }

    /// Puts a parked state in place and sees that it is what it was. Where it is not, it is taken out again.
    pub(super) fn enter_again(&self, py: Python<'_>, state: &Arc<ImportState>) -> Result<()> {
        let start = Instant::now();
        put_back_taken(py, state)?;
        put_back(py, state)?;
        if let Err(error) = verify_again(py, state) {
            place(py, None)?;
            return Err(error);
        }
        tracing::debug!(
            project = state.project(),
            core = %state.location().install_core().display(),
            modules = modules_of(py, state).len(),
            micros = start.elapsed().as_micros() as u64,
            "entered"
        );
        Ok(())
    }

    /// Imports a core into a state of its own.
    ///
    /// # Errors
    /// Those of a first import, and [`Error::CoreChanging`] where the core is not whole, or was not all the
    /// while. Nothing is in place then.
    pub(super) fn import(&self, py: Python<'_>, wanted: Wanted<'_>) -> Result<Arc<ImportState>> {
        let watch = CoreWatch::before_import(&wanted.location);
        self.import_watched(py, wanted, watch)
    }

    /// As [`import`](Self::import), where the core's files were looked at just now.
    pub(super) fn import_watched(
        &self,
        py: Python<'_>,
        wanted: Wanted<'_>,
        watch: CoreWatch,
    ) -> Result<Arc<ImportState>> {
        if wanted.before.is_some() {
            // In the middle of a bootstrap: Toolkit has just copied it, and compares what it got itself.
            return self.import_unchecked(py, wanted, watch);
        }
        let before = self.cores.whole(&watch)?;
        let state = self.import_unchecked(py, wanted, watch)?;
        if let Err(error) = self.cores.imported(state.location(), before) {
            self.take_back(py, &state)?;
            return Err(error.into());
        }
        Ok(state)
    }

    /// Drops a state that was imported just now.
    fn take_back(&self, py: Python<'_>, state: &Arc<ImportState>) -> Result<()> {
        // Threads that the core has started may be importing still.
        wait_for_imports(py, state);
        place(py, None)?;
        self.retire(py, state);
        Ok(())
    }

    fn import_unchecked(
        &self,
        py: Python<'_>,
        wanted: Wanted<'_>,
        watch: CoreWatch,
    ) -> Result<Arc<ImportState>> {
        let prepare = |project: &str| {
            if self.forward_logs { log_records::forward(py, project) } else { Ok(()) }
        };
        // What is in place without a lease goes out of the way first; the turn's end puts it back.
        place(py, None)?;
        let watch = Arc::new(watch);
        let purpose = wanted.purpose;
        let state = first_import(py, &self.settings, wanted, prepare)?;
        if purpose != Purpose::Bootstrap {
            // An engine has files of its own.
            late_loads::guard(py, &watch)?;
        }
        let mut states = self.states.lock();
        states.retain(|imported| imported.state.strong_count() > 0);
        states.push(Imported { state: Arc::downgrade(&state), watch });
        drop(states);
        self.serve_bootstraps(py, &state);
        Ok(state)
    }

    /// All states of the host's that can be put in place.
    pub(super) fn states(&self) -> Vec<Arc<ImportState>> {
        self.watched_states().into_iter().map(|(state, _)| state).collect()
    }

    /// As [`states`](Self::states), each with the files of its core as they were before its import.
    pub(super) fn watched_states(&self) -> Vec<(Arc<ImportState>, Arc<CoreWatch>)> {
        let all = self.states.lock();
        let states = all.iter().filter_map(|one| Some((one.state.upgrade()?, Arc::clone(&one.watch))));
        let states = states.collect::<Vec<_>>();
        drop(all);
        states.into_iter().filter(|(state, _)| !state.is_retired() && !state.has_successor()).collect()
    }

    /// Keeps what the import system knows of a state's folders and zips when that is dropped.
    pub(super) fn keep_known(&self, py: Python<'_>, state: &ImportState) {
        let roots = state.rules(py).roots().clone();
        self.started_from.lock().extend(&roots);
    }

    /// Drops a project's state, which is parked, and gives its memory back in time. Returns whether there was
    /// one.
    pub(super) fn evict(&self, py: Python<'_>, project: &str, why: &str) -> bool {
        let Some(state) = self.residents.remove(project) else { return false };
        self.let_go(py, &state, &self.roots_of_others(py, &[&state]), why);
        retire::reclaim_in_time(py);
        true
    }

    /// As [`evict`](Self::evict), but for the memory.
    fn let_go(&self, py: Python<'_>, state: &Arc<ImportState>, kept: &Roots, why: &str) {
        let start = Instant::now();
        let modules = modules_of(py, state).len();
        retire::let_go(py, state, kept);
        tracing::info!(
            project = state.project(),
            core = %state.location().install_core().display(),
            modules,
            micros = start.elapsed().as_micros() as u64,
            why,
            "evicted"
        );
    }

    /// Drops a state that is not in place, but not what the import system knows for other states.
    pub(super) fn retire(&self, py: Python<'_>, state: &Arc<ImportState>) {
        retire::retire(py, state, &self.roots_of_others(py, &[state]));
    }

    /// As [`retire`](Self::retire), but for the memory.
    pub(super) fn let_go_of(&self, py: Python<'_>, state: &Arc<ImportState>) {
        retire::let_go(py, state, &self.roots_of_others(py, &[state]));
    }

    fn roots_of_others(&self, py: Python<'_>, states: &[&Arc<ImportState>]) -> Roots {
        let mut kept = self.started_from.lock().clone();
        let ids: HashSet<u64> = states.iter().map(|state| state.id()).collect();
        for other in self.states().iter().filter(|other| !ids.contains(&other.id())) {
            kept.extend(other.rules(py).roots());
        }
        kept
    }

    /// Drops the states of all projects, which are parked.
    pub(super) fn evict_all(&self, py: Python<'_>, why: &str) {
        let states = self.residents.states();
        let kept = self.roots_of_others(py, &states.iter().collect::<Vec<_>>());
        for state in &states {
            self.residents.remove(state.project());
            self.let_go(py, state, &kept, why);
        }
        retire::reclaim_all(py);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let started_from = std::mem::take(self.started_from.get_mut());
        if !started_from.is_empty()
            && let Err(error) = Python::attach(|py| retire::forget_paths(py, &started_from))
        {
            tracing::warn!(%error, "failed to forget the cores that bootstraps started from");
        }
        Python::attach(|py| {
            for state in self.residents.states() {
                // Nobody can lease from a host that is gone; a lease or a late import may still hold the
                // state in place.
                if retire::leave_to_its_holders(py, &state) {
                    self.residents.remove(state.project());
                }
            }
            self.evict_all(py, "its host was dropped");
        });
    }
}
