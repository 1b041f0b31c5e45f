//! Many cores in one interpreter: each project's import state is put in place for a lease and parked after it.
//!
//! See [`Host`] for how to use it, and `ARCHITECTURE.md` for how it works.

mod audit;
mod bindings;
mod builder;
mod caller;
mod contents;
mod first_import;
mod gate;
mod import_locks;
mod judge;
mod late_import;
mod layers;
mod lease;
mod log_levels;
mod log_records;
mod names;
mod overlay;
mod ownership;
mod pin;
mod private_state;
mod recipe;
mod residents;
mod retire;
mod state;
mod threads;
mod time_limit;
mod warning_filters;
mod world;
mod zip_code;
mod zip_directories;

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

pub use audit::ForeignModule;
pub use builder::HostBuilder;
pub use lease::Lease;
pub(crate) use pin::{Pin, Turn};
pub(crate) use private_state::PrivateState;
pub use recipe::import_sgtk;
pub use residents::Resident;
pub(crate) use time_limit::TimeLimit;
pub(crate) use warning_filters::WarningFilters;

use self::first_import::Settings;
use self::gate::{Key, Manner};
use self::residents::Residents;
use self::state::ImportState;
use self::world::{GATE, World};
use crate::error::{Error, Result};
use crate::interpreter::Interpreter;
use sgtk_config::{Configs, CoreLocation};

/// Numbers the states of all hosts, so that the gate can tell them apart.
static NEXT_KEY: AtomicU64 = AtomicU64::new(1);

/// Serves many projects from one interpreter, each with its own Toolkit core.
///
/// A [`lease`](Self::lease) puts the project's modules, `sys.path` entries, finders, environment and loggers in place;
/// when the last lease ends they are parked, and the interpreter is the daemon's own again. The first lease of a project
/// imports its core, later ones take microseconds.
///
/// A host is cheap to clone and to share between threads. Several hosts of one process share the interpreter, and so
/// wait for each other's leases. When the last clone of a host is dropped, its parked cores are dropped as well.
///
/// # Examples
/// ```no_run
/// use pyo3::prelude::*;
/// use sgtk_host::Host;
///
/// let host = Host::builder().configs("/mnt/sgtk/configs").build()?;
/// let version: String = host.with_sgtk("project_a", |sgtk| sgtk.getattr("__version__")?.extract())?;
/// # Ok::<(), sgtk_host::Error>(())
/// ```
#[derive(Clone)]
pub struct Host {
    inner: Arc<Inner>,
}

struct Inner {
    interpreter: Interpreter,
    configs: Configs,
    settings: Settings,
    max_resident: Option<usize>,
    revalidate_after: Duration,
    lease_timeout: Option<Duration>,
    forward_logs: bool,
    residents: Residents,
    /// The states that are somebody else's.
    private: Mutex<Vec<Weak<PrivateState>>>,
    /// The folders and zips of cores that bootstraps start from, again and again: what was compiled of them is kept.
    started_from: Mutex<HashSet<String>>,
    closed: AtomicBool,
}

impl Host {
    /// Options for a host. All have defaults.
    pub fn builder() -> HostBuilder {
        HostBuilder::default()
    }

    /// The interpreter that the host uses.
    #[must_use]
    pub fn interpreter(&self) -> Interpreter {
        self.inner.interpreter
    }

    /// Options for a pool of workers with the host's configurations, plugin folders and Python.
    #[cfg(unix)]
    pub fn worker_pool(&self) -> sgtk_pool::WorkerPoolBuilder {
        let pool = sgtk_pool::WorkerPool::builder().config_rules(self.inner.configs.clone());
        let folders = &self.inner.settings.plugin_paths;
        let pool = folders.iter().fold(pool, |pool, folder| pool.plugin_path(folder));
        // A program that joined an interpreter without an executable leaves the choice to the pool.
        let executable = self.inner.interpreter.executable();
        if executable.is_file() { pool.python(executable) } else { pool }
    }

    /// The configurations that the host serves.
    pub fn configs(&self) -> &Configs {
        &self.inner.configs
    }

    /// Puts the project's core in place until the lease is dropped, and gives its `sgtk`.
    ///
    /// The first time imports the core. Where another project is in place, this waits for its turn, detached from the
    /// interpreter, first come first served. A thread that holds a lease may lease the same project again.
    ///
    /// # Errors
    /// [`Error::Config`] where the project has no core, before anything waits;
    /// [`Error::NestedLease`] where this thread holds another project;
    /// [`Error::LeaseTimeout`] after [`HostBuilder::lease_timeout`];
    /// [`Error::HostShutDown`] after [`Host::shutdown`];
    /// [`Error::Import`] and [`Error::WrongCore`] from the first import,
    /// after which the interpreter is as it was before.
    pub fn lease<'py>(&self, py: Python<'py>, project: &str) -> Result<Lease<'py>> {
        self.refuse_if_closed(project)?;
        let key = match self.inner.residents.key(project) {
            Some(key) => key,
            None => {
                // Whoever has no core need not wait to be told.
                self.inner.configs.locate(project)?;
                self.inner.residents.key_or_new(project)
            }
        };
        let bring = || self.bring(py, &key);
        let pin = Pin::acquire(py, &key, Manner::Queue, self.inner.lease_timeout, bring)?;
        self.inner.residents.touch(project);
        Lease::new(py, pin)
    }

    /// Attaches, leases the project, runs `body` with its `sgtk`, and parks the project again.
    ///
    /// # Errors
    /// Those of [`Host::lease`], and [`Error::Python`] where `body` returns a Python exception.
    pub fn with_sgtk<T>(
        &self,
        project: &str,
        body: impl FnOnce(&Bound<'_, PyModule>) -> PyResult<T>,
    ) -> Result<T> {
        Python::attach(|py| {
            let lease = self.lease(py, project)?;
            let span = tracing::info_span!("lease", project);
            let outcome = span.in_scope(|| body(&lease));
            let value = outcome?;
            lease.finish()?;
            Ok(value)
        })
    }

    /// The projects whose cores are imported, the least recently used first.
    #[must_use]
    pub fn resident(&self) -> Vec<Resident> {
        Python::attach(|py| self.inner.residents.list(py))
    }

    /// How many threads of the process wait for their turn, here and at other hosts. Where it stays above zero, leases are
    /// too long.
    #[must_use]
    pub fn waiting(&self) -> usize {
        GATE.waiting()
    }

    /// Walks all modules that the host's projects own, and those that are visible now, and names each that comes from
    /// another project's core. The answer must be empty, always.
    ///
    /// Takes milliseconds for each project; meant for tests and health checks.
    ///
    /// # Errors
    /// A Python error while looking, which is not to be expected.
    pub fn audit(&self, py: Python<'_>) -> Result<Vec<ForeignModule>> {
        let mut foreign = Vec::new();
        let mut note = |project: Option<&str>, found: Vec<(String, String)>| {
            foreign.extend(found.into_iter().map(|(module, found)| ForeignModule {
                project: project.map(str::to_owned),
                module,
                found,
            }));
        };
        for state in self.inner.states() {
            note(Some(state.project()), audit::foreign_modules(&state.modules(py), &state));
        }
        let (visible, in_place) = {
            let mut world = World::lock(py)?;
            if world.in_place().is_none() {
                world.send_strays_home(py)?;
            }
            (world.modules(py), world.in_place().cloned())
        };
        match in_place {
            Some(state) => note(Some(state.project()), audit::foreign_modules(&visible, &state)),
            None => note(None, audit::marked_modules(&visible)),
        }
        Ok(foreign)
    }

    /// Drops a project's parked core and gives its memory back; the next lease imports it anew. Waits for its leases to
    /// end. Returns whether there was one.
    ///
    /// # Errors
    /// [`Error::NestedLease`] where this thread holds a lease,
    /// [`Error::LeaseTimeout`] after [`HostBuilder::lease_timeout`].
    pub fn evict(&self, py: Python<'_>, project: &str) -> Result<bool> {
        let turn = pin::Turn::take(py, &new_key(project), self.inner.lease_timeout)?;
        let evicted = self.inner.evict(py, project, "asked to");
        drop(turn);
        Ok(evicted)
    }

    /// Refuses all that is asked for from now on.
    pub(crate) fn close(&self) {
        self.inner.closed.store(true, Ordering::Release);
    }

    /// # Errors
    /// [`Error::HostShutDown`], naming what was asked for.
    pub(crate) fn refuse_if_closed(&self, target: &str) -> Result<()> {
        if self.inner.closed.load(Ordering::Acquire) {
            return Err(Error::HostShutDown { target: target.to_owned() });
        }
        Ok(())
    }

    /// Waits until all who had their turn, or waited for it, when this was called are through.
    ///
    /// # Errors
    /// [`Error::NestedLease`] where this thread holds a lease, [`Error::LeaseTimeout`] after the host's limit.
    pub(crate) fn wait_for_all(&self, py: Python<'_>) -> Result<()> {
        wait_for_all(py, self.inner.lease_timeout)
    }

    /// Drops all parked cores.
    ///
    /// # Errors
    /// The first error; the others are dropped all the same.
    pub(crate) fn evict_all(&self, py: Python<'_>) -> Result<()> {
        let projects = self.inner.residents.states();
        let evicted = projects.iter().map(|state| self.evict(py, state.project()).map(drop));
        // All of them, before the first error is told.
        evicted.collect::<Vec<_>>().into_iter().collect()
    }

    /// Whether both are handles of one host.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Puts a project in place, for the thread whose turn it is: its parked state, or a new one.
    fn bring(&self, py: Python<'_>, key: &Key) -> Result<Arc<ImportState>> {
        let (inner, project) = (&*self.inner, key.project());
        // It may have been shut down while this waited.
        self.refuse_if_closed(project)?;
        if let Some(changed) = inner.residents.outdated(project, inner.revalidate_after) {
            tracing::info!(project, changed = ?changed, "core changed on disk, importing it anew");
            inner.evict(py, project, "changed on disk");
        }
        if let Some(state) = inner.residents.get(project) {
            return self.put_back(py, &state);
        }
        let location = inner.configs.locate(project)?;
        self.import(py, key, location)
    }

    fn put_back(&self, py: Python<'_>, state: &Arc<ImportState>) -> Result<Arc<ImportState>> {
        let inner = &*self.inner;
        let brought = inner.enter_again(py, state, |sgtk| inner.residents.is_verified(state, sgtk));
        if brought.is_err() {
            // Whatever the project's code has done to it, it is not to be used again.
            inner.evict(py, state.project(), "not its own core any more");
        }
        brought
    }

    fn import(&self, py: Python<'_>, key: &Key, location: CoreLocation) -> Result<Arc<ImportState>> {
        let inner = &*self.inner;
        let seen = residents::Seen::of(&location);
        let state = inner.first_import(py, key.clone(), location)?;
        let sgtk = first_import::sgtk_in_place(py, &state)?;
        inner.residents.insert(&state, seen, &sgtk);
        if let Some(most) = inner.max_resident {
            for project in inner.residents.beyond(most, state.project()) {
                inner.evict(py, &project, "least recently used");
            }
        }
        Ok(state)
    }
}

impl Inner {
    /// Puts a parked state in place and sees that it is what it was. Where it is not, it is taken out again.
    fn enter_again(
        &self,
        py: Python<'_>,
        state: &Arc<ImportState>,
        is_verified: impl FnOnce(&Bound<'_, PyModule>) -> bool,
    ) -> Result<Arc<ImportState>> {
        let start = Instant::now();
        let brought = late_import::bring_back(py, state)?;
        let verified = first_import::sgtk_in_place(py, state).and_then(|sgtk| {
            let verified = is_verified(&sgtk) && first_import::is_tank(py, &sgtk)?;
            if verified { Ok(()) } else { first_import::verify(py, state, sgtk.as_any()) }
        });
        if let Err(error) = verified {
            self.take_out(py)?;
            return Err(error);
        }
        tracing::debug!(
            project = state.project(),
            core = %state.location().install_core().display(),
            modules = state.modules(py).len(),
            micros = start.elapsed().as_micros() as u64,
            "entered"
        );
        Ok(brought)
    }

    fn add_private(&self, state: &Arc<PrivateState>) {
        let mut private = self.private.lock().unwrap_or_else(PoisonError::into_inner);
        private.retain(|state| state.strong_count() > 0);
        private.push(Arc::downgrade(state));
    }

    /// All states of the host's: its projects', and those that are somebody else's.
    fn states(&self) -> Vec<Arc<ImportState>> {
        let private: Vec<_> = {
            let private = self.private.lock().unwrap_or_else(PoisonError::into_inner);
            private.iter().filter_map(Weak::upgrade).collect()
        };
        let private = private.iter().filter_map(|state| state.state());
        self.residents.states().into_iter().chain(private).collect()
    }

    /// The folders and zips that the host's states import from.
    fn roots_in_use(&self, py: Python<'_>) -> Vec<String> {
        let started_from = self.started_from.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let states = self.states().into_iter();
        states.flat_map(|state| state.contents(py).rules.roots().to_vec()).chain(started_from).collect()
    }

    /// Keeps what the import system knows of a state's folders and zips when that is dropped.
    fn keep_known(&self, py: Python<'_>, state: &ImportState) {
        let roots = state.contents(py).rules.roots().to_vec();
        self.started_from.lock().unwrap_or_else(PoisonError::into_inner).extend(roots);
    }

    fn first_import(&self, py: Python<'_>, key: Key, location: CoreLocation) -> Result<Arc<ImportState>> {
        self.import_after(py, key, location, None)
    }

    /// As `first_import`, into a state that has the environment's changes of the one `before` it, which it is to replace.
    fn import_after(
        &self,
        py: Python<'_>,
        key: Key,
        location: CoreLocation,
        before: Option<&Arc<ImportState>>,
    ) -> Result<Arc<ImportState>> {
        let prepare = |project: &str| {
            if self.forward_logs { log_records::forward(py, project) } else { Ok(()) }
        };
        // What is in place without a lease goes out of the way first; the turn's end puts it back.
        self.take_out(py)?;
        first_import::first_import(py, &self.settings, key, location, before, prepare)
    }

    fn take_out(&self, py: Python<'_>) -> Result<()> {
        let (replaced, outcome) = World::lock(py)?.place(py, None);
        drop(replaced);
        Ok(outcome?)
    }

    /// Drops a project's state, which is parked. Returns whether there was one.
    fn evict(&self, py: Python<'_>, project: &str, why: &str) -> bool {
        let Some(state) = self.residents.remove(project) else { return false };
        let start = Instant::now();
        let modules = state.modules(py).len();
        retire::retire(py, &state, &self.roots_in_use(py));
        tracing::info!(
            project,
            core = %state.location().install_core().display(),
            modules,
            micros = start.elapsed().as_micros() as u64,
            why,
            "evicted"
        );
        true
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let started_from: Vec<String> =
            self.started_from.get_mut().unwrap_or_else(PoisonError::into_inner).drain().collect();
        if !started_from.is_empty() {
            let forgotten =
                Python::attach(|py| retire::forget_paths(py, &started_from.iter().collect::<Vec<_>>()));
            if let Err(error) = forgotten {
                tracing::warn!(%error, "failed to forget the cores that bootstraps started from");
            }
        }
        for state in self.residents.states() {
            Python::attach(|py| {
                // Nobody can lease from a host that is gone; a lease or a late import may still hold the state in place.
                if !retire::is_left_to_its_holders(py, &state) {
                    self.evict(py, state.project(), "its host was dropped");
                }
            });
        }
    }
}

/// Waits until all who had their turn, or waited for it, when this was called are through, at whatever host.
///
/// # Errors
/// [`Error::NestedLease`] where this thread holds a lease, [`Error::LeaseTimeout`] after `limit`.
pub(crate) fn wait_for_all(py: Python<'_>, limit: Option<Duration>) -> Result<()> {
    Turn::take(py, &new_key("all projects"), limit).map(drop)
}

fn new_key(project: &str) -> Key {
    Key::new(NEXT_KEY.fetch_add(1, Ordering::Relaxed), project)
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base: &Path = self.inner.configs.base();
        f.debug_struct("Host").field("configs", &base).finish_non_exhaustive()
    }
}
