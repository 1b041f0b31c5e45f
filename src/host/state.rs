//! The import state: all that one project's Toolkit has put into the interpreter.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyDict, PyString};

use super::bindings::Bindings;
use super::gate::Key;
use super::layers::{DictShare, ListShare};
use super::log_levels::Levels;
use super::overlay::OverlayShare;
use super::ownership::Rules;
use sgtk_config::CoreLocation;

/// One project's import state, in place or parked.
///
/// Its contents change only on the thread that the gate let in, attached to the interpreter.
pub(super) struct ImportState {
    key: Key,
    /// The core that was to be imported.
    imported: CoreLocation,
    /// The same core with what became known of it since.
    settled: OnceLock<CoreLocation>,
    /// The state that took this one's place.
    successor: OnceLock<Arc<ImportState>>,
    contents: Mutex<Contents>,
    retired: AtomicBool,
    orphaned: AtomicBool,
    entries: AtomicU64,
}

/// What goes into the interpreter with the project and comes out with it.
pub(super) struct Contents {
    pub(super) modules: DictShare,
    /// Its modules in packages that are everybody's.
    pub(super) bindings: Bindings,
    pub(super) loggers: DictShare,
    /// The levels for all loggers when the project was last in place.
    pub(super) levels: Levels,
    pub(super) path: ListShare,
    pub(super) meta_path: ListShare,
    pub(super) path_hooks: ListShare,
    pub(super) sys: OverlayShare,
    pub(super) environ: OverlayShare,
    pub(super) rules: Rules,
    /// After the state was retired: its modules by name, as weak references.
    pub(super) remains: Option<Py<PyDict>>,
}

impl ImportState {
    /// A state that owns nothing yet but a front of `sys.path`: the core's `python` folder and the plugin folders.
    pub(super) fn new(
        py: Python<'_>,
        key: Key,
        location: CoreLocation,
        path: &[String],
        exempt: Arc<HashSet<String>>,
    ) -> Arc<Self> {
        let mut rules = Rules::new(exempt);
        for root in path {
            rules.add_root(root);
        }
        for root in [Some(location.install_core().to_owned()), location.install_core().canonicalize().ok()] {
            if let Some(root) = root.as_deref().and_then(|root| root.to_str()) {
                rules.add_root(root);
            }
        }
        let front = path.iter().map(|entry| PyString::new(py, entry).into_any().unbind()).collect();
        let contents = Contents {
            modules: DictShare::new(py),
            bindings: Bindings::default(),
            loggers: DictShare::new(py),
            levels: Levels::default(),
            path: ListShare::starting_with(front),
            meta_path: ListShare::default(),
            path_hooks: ListShare::default(),
            sys: OverlayShare::new(),
            environ: OverlayShare::new(),
            rules,
            remains: None,
        };
        Arc::new(Self {
            key,
            imported: location,
            settled: OnceLock::new(),
            successor: OnceLock::new(),
            contents: Mutex::new(contents),
            retired: AtomicBool::new(false),
            orphaned: AtomicBool::new(false),
            entries: AtomicU64::new(0),
        })
    }

    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    pub(super) fn project(&self) -> &str {
        self.key.project()
    }

    pub(super) fn location(&self) -> &CoreLocation {
        self.settled.get().unwrap_or(&self.imported)
    }

    /// Says more of the core: for which configuration it is used. Once; what is said later is not heard.
    pub(super) fn settle(&self, location: CoreLocation) {
        let _ = self.settled.set(location);
    }

    /// Has another state take this one's place, as a bootstrap's core takes that of the core it started from: code of
    /// this one imports from that one from now on. Once.
    pub(super) fn give_way_to(&self, successor: &Arc<ImportState>) {
        let _ = self.successor.set(Arc::clone(successor));
    }

    /// The state that this one's code imports from: its successor where it has one, else itself.
    pub(super) fn current(self: &Arc<Self>) -> Arc<Self> {
        let mut state = self;
        while let Some(successor) = state.successor.get() {
            state = successor;
        }
        Arc::clone(state)
    }

    /// Makes the changes of the environment that another state has made its own, for a state that was never in place.
    pub(super) fn inherit_environment(&self, py: Python<'_>, from: &Self) {
        let inherited = from.contents(py).environ.inherited(py);
        let replaced = std::mem::replace(&mut self.contents(py).environ, inherited);
        drop(replaced);
    }

    /// The contents. Hold them for moments only and run no Python code meanwhile.
    pub(super) fn contents(&self, py: Python<'_>) -> MutexGuard<'_, Contents> {
        self.contents.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)
    }

    /// The modules that the project owns, by name. Not those that were imported since it was last put in place.
    pub(super) fn modules<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        self.contents(py).modules.own.bind(py).clone()
    }

    /// Whether the state was dropped for good.
    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    pub(super) fn set_retired(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// Whether the state's host has gone while it was in place: whoever takes it out is to retire it.
    pub(super) fn is_orphaned(&self) -> bool {
        self.orphaned.load(Ordering::Acquire)
    }

    pub(super) fn set_orphaned(&self) {
        self.orphaned.store(true, Ordering::Release);
    }

    /// How often the state was put in place.
    pub(super) fn entries(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    /// Counts one entry more and returns how many there were before.
    pub(super) fn count_entry(&self) -> u64 {
        self.entries.fetch_add(1, Ordering::Relaxed)
    }
}
