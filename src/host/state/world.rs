//! The interpreter's own state and whose it is now: puts import states in place and takes them out.
//!
//! [`place`] is the one way from one state to another. It runs with the interpreter held from start to end
//! and executes no Python code: all that it does is C-level work on dictionaries and lists, the collector is
//! paused, and whatever is replaced is kept alive until everything is in place and the world is unlocked.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::{MutexExt, PyOnceLock};
use pyo3::types::{PyDict, PyString};

use super::layers::Replaced;
use super::part::Visit;
use super::parts::core_names::LostNames;
use super::parts::environment::Environment;
use super::parts::modules::Modules;
use super::parts::standard_attributes::StandardAttributes;
use super::parts::{Parts, Shares};
use crate::error::{Error, Result};
use crate::host::ownership::acting;
use crate::host::ownership::import_state::ImportState;
use crate::host::ownership::marks;
use crate::host::ownership::rules::Ownership;
use crate::host::python::collector::CollectorPaused;
use crate::host::python::contents;
use crate::host::python::import_locks::ImportLocks;
use crate::host::python::modules::{all_loaded, find_stdlib, is_in_stdlib, origin};
use crate::host::python::names::Names;
use crate::host::python::noted;

static WORLD: PyOnceLock<Mutex<World>> = PyOnceLock::new();

/// See the module's documentation.
pub(crate) struct World {
    parts: Parts,
    /// What each state has of the parts, by the state's number.
    shares: HashMap<u64, Shares>,
    import_locks: ImportLocks,
    /// The state that the interpreter holds now beside the daemon's own.
    in_place: Option<Arc<ImportState>>,
    /// The state that stays in place outside leases: the last `import_sgtk`'s.
    outside: Option<Arc<ImportState>>,
}

/// Gets to know the interpreter. To be called before anything else here, and before imports are wrapped.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    Names::prepare(py);
    marks::prepare(py);
    acting::prepare(py)?;
    CollectorPaused::prepare(py)?;
    find_stdlib(py)?;
    WORLD.get_or_try_init(py, || World::new(py).map(Mutex::new)).map(drop)
}

/// Puts `target` in place of whatever is there; `None` for the daemon's own state alone.
///
/// Only for the thread that the gate let in. Does all that it can even where something fails on the way.
///
/// # Errors
/// The first Python error: no memory, or a `sys.path` that is no list any more, for example.
pub(crate) fn place(py: Python<'_>, target: Option<&Arc<ImportState>>) -> PyResult<()> {
    let mut replaced = Replaced::new();
    // Unlocked at the end of the statement: dropping what was replaced may run Python code.
    let placed = World::lock(py)?.place(py, target, &mut replaced);
    drop(replaced);
    placed
}

/// As [`place`], for what is to be in place outside leases. `open` is called when all is in place, before
/// anything that was replaced is dropped: destructors may ask for a turn.
///
/// What is in place is taken out as it was when it came, where it is `damaged`.
pub(crate) fn place_outside(py: Python<'_>, damaged: bool, open: impl FnOnce()) -> PyResult<()> {
    let mut replaced = Replaced::new();
    let placed = World::lock(py).and_then(|mut world| {
        let outside = world.outside.clone();
        let undone = if damaged { world.undo(py, &mut replaced) } else { Ok(()) };
        undone.and(world.place(py, outside.as_ref(), &mut replaced))
    });
    open();
    drop(replaced);
    placed
}

/// Puts a parked state in place.
///
/// # Errors
/// [`Error::Dropped`] where it was retired, else as [`place`].
pub(crate) fn put_back(py: Python<'_>, state: &Arc<ImportState>) -> Result<()> {
    if state.is_retired() {
        return Err(Error::Dropped { project: state.project().to_owned() });
    }
    Ok(place(py, Some(state))?)
}

/// Gives a new state its shares, with `path` at the front of `sys.path`. Where it replaces the state
/// `before`, it has the environment's changes of that one.
pub(crate) fn add(
    py: Python<'_>,
    state: &ImportState,
    path: &[String],
    before: Option<&ImportState>,
) -> PyResult<()> {
    let mut shares = Shares::new(py);
    shares.path.start_with(path.iter().map(|entry| PyString::new(py, entry).into_any().unbind()).collect());
    let mut replaced = Replaced::new();
    let mut world = World::lock(py)?;
    match (state.base(), before.and_then(|before| world.shares.get(&before.id()))) {
        (Some(base), _) => {
            if let Some(bases) = world.shares.get_mut(&base.id()) {
                bases.hand_on(py, &mut shares, &mut replaced);
                Modules::lend(py, &base, &bases.modules, &bases.path, &mut shares.modules)?;
            }
        }
        (None, Some(before)) => {
            Environment::inherit(py, &before.environment, &mut shares.environment, &mut replaced);
        }
        (None, None) => {}
    }
    world.shares.insert(state.id(), shares);
    drop(world);
    drop(replaced);
    Ok(())
}

/// Gives what the code of a guest's base has put into the guest, and is not its core's, back to the base.
/// Neither is in place.
pub(crate) fn hand_back(py: Python<'_>, guest: &ImportState) -> PyResult<()> {
    let Some(base) = guest.base() else { return Ok(()) };
    let mut replaced = Replaced::new();
    let mut world = World::lock(py)?;
    if let Some(mut guests) = world.shares.remove(&guest.id()) {
        if let Some(bases) = world.shares.get_mut(&base.id()) {
            guests.hand_on(py, bases, &mut replaced);
        }
        world.shares.insert(guest.id(), guests);
    }
    drop(world);
    drop(replaced);
    Ok(())
}

/// Takes a state's shares away, which is not in place. To be dropped when nothing is locked.
pub(crate) fn remove(py: Python<'_>, state: &ImportState) -> PyResult<Option<Shares>> {
    Ok(World::lock(py)?.shares.remove(&state.id()))
}

/// The modules that a state owns, by name. Not those that were imported since it was last put in place; none
/// for one that was retired.
pub(crate) fn modules_of<'py>(py: Python<'py>, state: &ImportState) -> Bound<'py, PyDict> {
    let none = PyDict::new(py);
    let Ok(world) = World::lock(py) else { return none };
    world.modules_of(py, state).unwrap_or(none)
}

/// Gives `TANK_CURRENT_PC` the value that it has to have after the first import, the project's own
/// configuration or none, and marks the modules that were imported as the project's. For the state that is in
/// place.
pub(crate) fn settle_first_import(py: Python<'_>) -> PyResult<()> {
    let world = World::lock(py)?;
    let Some(state) = &world.in_place else { return Ok(()) };
    world.parts.environment.set_current_pc(py, state.location().current_pc())?;
    world.adopt(py)
}

/// Takes modules of the standard library that have been imported into what is in place as the daemon's,
/// before the code that has imported them can change them.
pub(crate) fn note_imported(py: Python<'_>) -> PyResult<()> {
    if all_loaded(py).is_some_and(|modules| StandardAttributes::are_known(&modules)) {
        return Ok(());
    }
    noted::prepare_loaded(py)?;
    let mut replaced = Replaced::new();
    let noted = World::lock(py).and_then(|mut world| world.note_imported(py, &mut replaced));
    drop(replaced);
    noted
}

/// Takes what has changed of the standard library since, while a project is in place, as that of the code
/// from this file: the project's, or everybody's where the file is nobody's. It stays in place.
pub(crate) fn settle(py: Python<'_>, file: Option<&str>) -> PyResult<()> {
    let mut replaced = Replaced::new();
    let settled = World::lock(py).and_then(|mut world| world.settle(py, file, &mut replaced));
    drop(replaced);
    settled
}

/// Puts names back that code has taken from the top modules of the core in place.
pub(crate) fn restore_names(py: Python<'_>) -> PyResult<Vec<LostNames>> {
    let mut replaced = Replaced::new();
    let restored = World::lock(py).and_then(|mut world| world.restore_names(py, &mut replaced));
    drop(replaced);
    restored
}

/// Takes variables away from the environment, as the code of the project that is in place might.
pub(crate) fn drop_variables(py: Python<'_>, names: &[&str]) -> PyResult<()> {
    World::lock(py)?.parts.environment.drop_variables(py, names)
}

/// Gives variables of the environment values, as the code of the project that is in place might.
pub(crate) fn set_variables(py: Python<'_>, variables: &[(String, String)]) -> PyResult<()> {
    World::lock(py)?.parts.environment.set_variables(py, variables)
}

/// What of a state is not as its core needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// This module of its core is gone, or another is in its place.
    Module(String),
    /// Its core's folder, or a plugin folder, is not on `sys.path` any more.
    Path,
    /// A finder or a hook of its own is gone.
    Finders,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Module(name) => write!(f, "module '{name}' was taken away or replaced"),
            Self::Path => f.write_str("the core's folder, or a plugin folder, was taken from sys.path"),
            Self::Finders => f.write_str("a finder was taken from sys.meta_path or sys.path_hooks"),
        }
    }
}

impl World {
    fn new(py: Python<'_>) -> PyResult<Self> {
        Ok(Self {
            parts: Parts::new(py)?,
            shares: HashMap::new(),
            import_locks: ImportLocks::new(py)?,
            in_place: None,
            outside: None,
        })
    }

    /// The world. Hold it for moments only and run no Python code meanwhile.
    ///
    /// # Errors
    /// It was not prepared.
    pub(crate) fn lock(py: Python<'_>) -> PyResult<MutexGuard<'_, Self>> {
        let world = WORLD.get(py).ok_or_else(|| PyRuntimeError::new_err("no host was built yet"))?;
        // Nothing is meant to detach while it is locked; should anything, waiting detached keeps that from
        // being the end.
        Ok(world.lock_py_attached(py))
    }

    pub(crate) fn in_place(&self) -> Option<&Arc<ImportState>> {
        self.in_place.as_ref()
    }

    /// Whether the state is in place.
    pub(crate) fn is_in_place(&self, state: &Arc<ImportState>) -> bool {
        self.in_place.as_ref().is_some_and(|in_place| Arc::ptr_eq(in_place, state))
    }

    /// Whether what is in place is what stays there outside leases.
    pub(crate) fn is_outside(&self) -> bool {
        matches!((&self.in_place, &self.outside), (Some(here), Some(outside)) if Arc::ptr_eq(here, outside))
    }

    /// The install folders of the cores that the daemon has on its own `sys.path`.
    pub(crate) fn daemon_cores(&self, py: Python<'_>) -> HashSet<PathBuf> {
        self.parts.path.cores(py, self.in_place.is_some())
    }

    /// The state that stays in place outside leases.
    pub(crate) fn outside(&self) -> Option<&Arc<ImportState>> {
        self.outside.as_ref()
    }

    /// Has a state stay in place outside leases, and returns the one before.
    pub(crate) fn set_outside(&mut self, state: Option<Arc<ImportState>>) -> Option<Arc<ImportState>> {
        std::mem::replace(&mut self.outside, state)
    }

    /// The parts, and what the state has of them; nothing for one that was retired.
    pub(super) fn parts_and_shares(&mut self, state: &ImportState) -> (&mut Parts, Option<&mut Shares>) {
        (&mut self.parts, self.shares.get_mut(&state.id()))
    }

    pub(super) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// `sys.modules`.
    pub(crate) fn modules<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        self.parts.modules.live(py).clone()
    }

    /// The modules that the daemon sees outside leases.
    pub(crate) fn daemon_modules<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        if self.in_place.is_none() { self.modules(py) } else { self.parts.modules.base(py).clone() }
    }

    /// As the function [`modules_of`], where the state was not retired.
    pub(crate) fn modules_of<'py>(&self, py: Python<'py>, state: &ImportState) -> Option<Bound<'py, PyDict>> {
        Some(self.shares.get(&state.id())?.modules.by_name(py).clone())
    }

    /// The variables of the environment that the project in place has changed, with the daemon's values.
    pub(crate) fn daemons_variables(&self, py: Python<'_>) -> Vec<(OsString, Option<OsString>)> {
        if self.in_place.is_none() { Vec::new() } else { self.parts.environment.daemons_variables(py) }
    }

    /// Whether the project that is in place hides modules of the daemon's. Needs no lock.
    pub(crate) fn hides_daemons_modules() -> bool {
        Modules::hide_daemons()
    }

    fn place(
        &mut self,
        py: Python<'_>,
        target: Option<&Arc<ImportState>>,
        replaced: &mut Replaced,
    ) -> PyResult<()> {
        let is_there = match (&self.in_place, target) {
            (Some(here), Some(there)) => Arc::ptr_eq(here, there),
            (None, None) => true,
            _ => false,
        };
        if is_there {
            return Ok(());
        }
        let _paused = CollectorPaused::new(py);
        let mut outcome = Ok(());
        let is_outside = self.is_outside();
        if let Some(state) = self.in_place.take() {
            outcome = self.leave(py, &state, replaced, is_outside);
        }
        if let Some(state) = target {
            let entered = self.enter(py, state, replaced);
            self.in_place = Some(Arc::clone(state));
            outcome = outcome.and(entered);
        }
        outcome
    }

    fn enter(&mut self, py: Python<'_>, state: &Arc<ImportState>, replaced: &mut Replaced) -> PyResult<()> {
        self.return_misplaced(py)?;
        let is_first = state.count_entry() == 0;
        let Self { parts, shares, .. } = self;
        let shares = shares.get_mut(&state.id()).ok_or_else(|| {
            PyRuntimeError::new_err(format!("the import state of project '{}' was dropped", state.project()))
        })?;
        let rules = &mut *state.rules(py);
        parts.enter(
            &mut Visit { py, state, rules, replaced, is_first, modules: None, daemons_modules: 0 },
            shares,
        )
    }

    fn leave(
        &mut self,
        py: Python<'_>,
        state: &Arc<ImportState>,
        replaced: &mut Replaced,
        is_outside: bool,
    ) -> PyResult<()> {
        let Self { parts, shares, .. } = self;
        // One that was retired in place is taken out all the same.
        let shares = shares.entry(state.id()).or_insert_with(|| Shares::new(py));
        let rules = &mut *state.rules(py);
        let mut visit =
            Visit { py, state, rules, replaced, is_first: false, modules: None, daemons_modules: 0 };
        parts.leave(&mut visit, shares, is_outside)
    }

    /// Takes what is in place out, as it was when it came.
    fn undo(&mut self, py: Python<'_>, replaced: &mut Replaced) -> PyResult<()> {
        let _paused = CollectorPaused::new(py);
        let Some(state) = self.in_place.take() else { return Ok(()) };
        let Self { parts, shares, .. } = self;
        let Some(shares) = shares.get_mut(&state.id()) else { return Ok(()) };
        let rules = &mut *state.rules(py);
        let mut visit =
            Visit { py, state: &state, rules, replaced, is_first: false, modules: None, daemons_modules: 0 };
        parts.undo(&mut visit, shares)
    }

    /// What code has taken away, or put another in the place of, of what the state in place needs to be
    /// itself. Little more than a look where nothing has.
    pub(crate) fn damage(&self, py: Python<'_>) -> Option<Damage> {
        // A guest is dropped in any case.
        let state = self.in_place.as_ref().filter(|state| state.base().is_none())?;
        let shares = self.shares.get(&state.id())?;
        let rules = state.rules(py);
        if let Some(module) = self.parts.modules.lost(py, &shares.modules) {
            return Some(Damage::Module(module));
        }
        if self.parts.path.lacks(py, &shares.path, rules.needed()) {
            return Some(Damage::Path);
        }
        self.parts.finders.lacks(py, &shares.finders).then_some(Damage::Finders)
    }

    fn restore_names(&mut self, py: Python<'_>, replaced: &mut Replaced) -> PyResult<Vec<LostNames>> {
        // A guest is dropped in any case.
        let state = self.in_place.as_ref().filter(|state| state.base().is_none());
        let shares = state.and_then(|state| self.shares.get_mut(&state.id()));
        shares.map_or_else(|| Ok(Vec::new()), |shares| shares.modules.restore_names(py, replaced))
    }

    /// Whether `sgtk` is another module than the one of the state in place that was verified, or is gone.
    pub(crate) fn core_is_replaced(&self, py: Python<'_>) -> bool {
        let Some(state) = self.in_place.as_ref().filter(|state| state.was_verified()) else { return false };
        let sgtk = contents::get(self.parts.modules.live(py), Names::of(py).sgtk.bind(py).as_any());
        !sgtk.is_some_and(|sgtk| state.is_verified(&sgtk))
    }

    /// The modules that appeared with the state that is in place, and are marked as its own.
    pub(crate) fn newcomers<'py>(&self, py: Python<'py>) -> contents::Items<'py> {
        let Some(state) = &self.in_place else { return Vec::new() };
        let Some(shares) = self.shares.get(&state.id()) else { return Vec::new() };
        // Another core may have given the project's own modules other names.
        let own = contents::items(shares.modules.by_name(py)).into_iter();
        let own: HashSet<usize> = own.map(|(_, module)| module.as_ptr() as usize).collect();
        let mut found = self.parts.modules.dict().changes(py, shares.modules.share());
        found.retain(|(_, module)| {
            let is_marked = marks::owner_of_module(module).is_some_and(|owner| Arc::ptr_eq(&owner, state));
            is_marked && !own.contains(&(module.as_ptr() as usize))
        });
        found
    }

    /// Marks the modules that were imported since the state was put in place as the project's, so that their
    /// late imports are told from others' at once and not only when the project leaves.
    pub(crate) fn adopt(&self, py: Python<'_>) -> PyResult<()> {
        let Some(state) = &self.in_place else { return Ok(()) };
        let Some(shares) = self.shares.get(&state.id()) else { return Ok(()) };
        let _paused = CollectorPaused::new(py);
        let made = !self.is_outside();
        self.parts.modules.sort(py, state, &state.rules(py), &shares.modules, made).map(drop)
    }

    fn note_imported(&mut self, py: Python<'_>, replaced: &mut Replaced) -> PyResult<()> {
        let Some(state) = &self.in_place else { return Ok(()) };
        let _paused = CollectorPaused::new(py);
        let modules = self.parts.modules.live(py);
        self.parts.standard_attributes.note_imported(modules, &state.rules(py), replaced)
    }

    fn settle(&mut self, py: Python<'_>, file: Option<&str>, replaced: &mut Replaced) -> PyResult<()> {
        // What stays in place outside leases changes nothing of its own.
        let Some(state) = self.in_place.clone().filter(|_| !self.is_outside()) else { return Ok(()) };
        let _paused = CollectorPaused::new(py);
        let Self { parts, shares, .. } = self;
        let Some(shares) = shares.get_mut(&state.id()) else { return Ok(()) };
        let is_for_all = file.is_some_and(|file| {
            !state.rules(py).roots().contain(file) && (is_in_stdlib(file) || parts.path.leads_to(py, file))
        });
        parts.modules.settle(py, &shares.modules, is_for_all)?;
        parts.loggers.settle(py, &shares.loggers, is_for_all)?;
        parts.standard_lists.settle(py, &mut shares.standard_lists, is_for_all, replaced);
        parts.standard_attributes.settle(py, &mut shares.standard_attributes, is_for_all, replaced)
    }

    /// Gives projects' modules that are found among the daemon's own to their projects. Only while nothing is
    /// in place.
    pub(crate) fn return_misplaced(&mut self, py: Python<'_>) -> PyResult<()> {
        for misplaced in self.parts.modules.remove_misplaced(py)? {
            // What a dropped core's code loads is nobody's: its users keep it alive.
            if let Some(shares) = self.shares.get_mut(&misplaced.owner.id()) {
                shares.modules.take_in(&misplaced.name, &misplaced.module)?;
            }
        }
        Ok(())
    }

    /// The modules of the state in place that another thread is still importing.
    pub(crate) fn initializing(&self, py: Python<'_>) -> Vec<String> {
        let Some(state) = &self.in_place else { return Vec::new() };
        let mut busy = self.import_locks.held_by_others(py);
        if busy.is_empty() {
            return busy;
        }
        let rules = state.rules(py);
        let live = self.parts.modules.live(py);
        busy.retain(|name| {
            let loaded = live.get_item(name).ok().flatten();
            rules.of_name(name).is_hidden()
                || loaded.is_some_and(|module| rules.of_module(name, &origin(&module)) == Ownership::Own)
        });
        busy
    }
}
