//! One project's import state as an owner of modules: which core it is, and what became of it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard};
use pyo3::prelude::*;
use pyo3::sync::{MutexExt, PyOnceLock};
use pyo3::types::PyDict;
use sgtk_config::CoreLocation;

use super::rules::{DeclaredNames, Rules};
use crate::host::gate::Key;
use crate::host::python::code::Codes;

/// One project's import state, in place or parked. What it has put into the interpreter is kept by the
/// [`World`](crate::host::state::world::World).
pub(crate) struct ImportState {
    id: u64,
    key: Key,
    /// The core that was to be imported.
    imported: CoreLocation,
    /// The same core with what became known of it since.
    settled: OnceLock<CoreLocation>,
    /// The state that took this one's place.
    successor: OnceLock<Arc<ImportState>>,
    /// The state that this one is a guest of.
    base: Mutex<Option<Arc<ImportState>>>,
    rules: Mutex<Rules>,
    /// The address of the `sgtk` module that was verified. The state keeps it alive.
    verified: AtomicUsize,
    /// After the state was retired: its modules by name, as weak references.
    remains: PyOnceLock<Py<PyDict>>,
    /// What its code has been given of the interpreter while it did not have its turn; nothing any more once
    /// it is retired.
    views: Mutex<Option<Views>>,
    codes: Codes,
    retired: AtomicBool,
    orphaned: AtomicBool,
    entries: AtomicU64,
}

/// Objects by small numbers.
type Views = [Option<Py<PyAny>>; 7];

/// Those of the process that are not retired.
static ALIVE: AtomicUsize = AtomicUsize::new(0);

impl Drop for ImportState {
    fn drop(&mut self) {
        self.set_retired();
    }
}

impl ImportState {
    /// A state that owns nothing yet. `path` is to stand at the front of `sys.path`: the core's `python`
    /// folder and the plugin folders.
    pub(crate) fn new(
        key: Key,
        location: CoreLocation,
        path: &[String],
        names: Arc<DeclaredNames>,
        provided: HashSet<String>,
        codes: Codes,
    ) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        ALIVE.fetch_add(1, Ordering::Relaxed);
        let mut rules = Rules::new(names, provided);
        for root in path {
            rules.add_needed_root(root);
        }
        for root in [Some(location.install_core().to_owned()), location.install_core().canonicalize().ok()] {
            if let Some(root) = root.as_deref().and_then(|root| root.to_str()) {
                rules.add_root(root);
            }
        }
        Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            key,
            imported: location,
            settled: OnceLock::new(),
            successor: OnceLock::new(),
            base: Mutex::new(None),
            rules: Mutex::new(rules),
            verified: AtomicUsize::new(0),
            remains: PyOnceLock::new(),
            views: Mutex::new(Some(Views::default())),
            codes,
            retired: AtomicBool::new(false),
            orphaned: AtomicBool::new(false),
            entries: AtomicU64::new(0),
        })
    }

    /// A state of the same core that owns nothing.
    pub(crate) fn like(other: &Self, key: Key) -> Arc<Self> {
        Self::new(key, other.location().clone(), &[], Arc::default(), HashSet::new(), other.codes.another())
    }

    /// The number of the state, which no other of the process has.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    pub(crate) fn project(&self) -> &str {
        self.key.project()
    }

    pub(crate) fn location(&self) -> &CoreLocation {
        self.settled.get().unwrap_or(&self.imported)
    }

    /// Completes what is known of the core: for which configuration it is used. Only the first call counts.
    pub(crate) fn settle(&self, location: CoreLocation) {
        let _ = self.settled.set(location);
    }

    /// The rules by which the state's own is told. Hold them for moments only and run no Python code
    /// meanwhile.
    pub(crate) fn rules(&self, py: Python<'_>) -> MutexGuard<'_, Rules> {
        self.rules.lock_py_attached(py)
    }

    /// Has another state take this one's place, as a bootstrap's core takes that of the core it started from:
    /// code of this one imports from that one from now on. Once.
    pub(crate) fn give_way_to(&self, successor: &Arc<ImportState>) {
        let _ = self.successor.set(Arc::clone(successor));
    }

    /// Whether another state took this one's place.
    pub(crate) fn has_successor(&self) -> bool {
        self.successor.get().is_some()
    }

    /// The state that this one's code imports from: its successor where it has one, else itself.
    pub(crate) fn current(self: &Arc<Self>) -> Arc<Self> {
        let mut state = self;
        while let Some(successor) = state.successor.get() {
            state = successor;
        }
        Arc::clone(state)
    }

    /// Makes this state a guest of another: code of that one has put it in place, for as long as that one
    /// would be there. Modules of that one which are no core's are seen in it too. Once.
    pub(crate) fn be_guest_of(&self, base: &Arc<ImportState>) {
        *self.base.lock() = Some(Arc::clone(base));
    }

    /// The state that this one is a guest of; nothing any more once it was dropped.
    pub(crate) fn base(&self) -> Option<Arc<ImportState>> {
        self.base.lock().clone()
    }

    /// Whether this one is a guest of the other, or of a guest of it.
    pub(crate) fn is_guest_of(&self, other: &Arc<ImportState>) -> bool {
        std::iter::successors(self.base(), |base| base.base()).any(|base| Arc::ptr_eq(&base, other))
    }

    /// Notes that this `sgtk` module, which the state keeps alive, is its own core's.
    pub(crate) fn note_verified(&self, sgtk: &Bound<'_, PyModule>) {
        self.verified.store(sgtk.as_ptr() as usize, Ordering::Relaxed);
    }

    /// Whether `sgtk` is the module that was verified.
    pub(crate) fn is_verified(&self, sgtk: &Bound<'_, PyAny>) -> bool {
        self.verified.load(Ordering::Relaxed) == sgtk.as_ptr() as usize
    }

    /// Whether its `sgtk` was verified.
    pub(crate) fn was_verified(&self) -> bool {
        self.verified.load(Ordering::Relaxed) != 0
    }

    /// Whether the state was dropped for good.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    pub(crate) fn set_retired(&self) {
        if !self.retired.swap(true, Ordering::AcqRel) {
            ALIVE.fetch_sub(1, Ordering::Relaxed);
        }
        // One that gave way to its guest keeps that one.
        drop(self.base.lock().take());
    }

    /// How many states of the process are not retired.
    pub(crate) fn alive() -> usize {
        ALIVE.load(Ordering::Relaxed)
    }

    /// Keeps track of a retired state's modules, for those that somebody still holds.
    pub(crate) fn keep_remains(&self, py: Python<'_>, modules: Bound<'_, PyDict>) {
        let _ = self.remains.set(py, modules.unbind());
    }

    /// A retired state's modules by name, as weak references.
    pub(crate) fn remains<'py>(&self, py: Python<'py>) -> Option<&Bound<'py, PyDict>> {
        self.remains.get(py).map(|remains| remains.bind(py))
    }

    /// The code objects of its modules, which others on the same files have as well.
    pub(crate) fn codes(&self) -> &Codes {
        &self.codes
    }

    /// The view that was kept under a number.
    pub(crate) fn view<'py>(&self, py: Python<'py>, index: usize) -> Option<Bound<'py, PyAny>> {
        let views = self.views.lock();
        Some(views.as_ref()?.get(index)?.as_ref()?.bind(py).clone())
    }

    /// Keeps a view under a number, where there is none yet, and returns the one there is.
    pub(crate) fn keep_view<'py>(&self, index: usize, view: Bound<'py, PyAny>) -> Bound<'py, PyAny> {
        let mut views = self.views.lock();
        match views.as_mut().and_then(|views| views.get_mut(index)) {
            Some(kept) => kept.get_or_insert_with(|| view.clone().unbind()).bind(view.py()).clone(),
            None => view,
        }
    }

    /// Lets go of the views, which keep the state alive. To be dropped when nothing is locked.
    pub(crate) fn take_views(&self) -> impl Sized + use<> {
        self.views.lock().take()
    }

    /// Whether the state's host has gone while it was in place: whoever takes it out is to retire it.
    pub(crate) fn is_orphaned(&self) -> bool {
        self.orphaned.load(Ordering::Acquire)
    }

    pub(crate) fn set_orphaned(&self) {
        self.orphaned.store(true, Ordering::Release);
    }

    /// How often the state was put in place.
    pub(crate) fn entries(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    /// Takes back that one entry was counted: of a state that was taken out and put in again only to be
    /// looked at.
    pub(crate) fn discount_entry(&self) {
        self.entries.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts one entry more and returns how many there were before.
    pub(crate) fn count_entry(&self) -> u64 {
        self.entries.fetch_add(1, Ordering::Relaxed)
    }
}
