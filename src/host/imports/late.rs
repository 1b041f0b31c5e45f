//! Late imports: an `import` that a project's code runs on another thread, or after the project was parked,
//! is served from that project's modules and never from whatever is in place by then.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::wanted::Wanted;
use crate::host::gate::{GATE, Manner};
use crate::host::lease::leaving;
use crate::host::lease::pin::Pin;
use crate::host::ownership::import_state::ImportState;
use crate::host::ownership::marks;
use crate::host::python::contents::{self, referent};
use crate::host::python::import::{as_one_import, is_nested, module_count};
use crate::host::python::modules::{all_loaded, module_dict, text_of};
use crate::host::python::names::Names;
use crate::host::state::world::{World, note_imported, put_back, settle};

/// How long a late import waits for its project's turn.
static TIMEOUT: RwLock<Option<Duration>> = RwLock::new(Some(Duration::from_secs(30)));

/// Why a dropped core's code gets no modules but those that are still alive.
const SUPERSEDED: &str = "its core was dropped or imported anew since";

/// Sets how long late imports wait for their turn, for all hosts of the process. `None` waits forever.
/// Default: 30 s.
///
/// A late import is one that code of a parked project runs, or code of any project on a thread that holds no
/// lease of it. Where a module has to be loaded for it, it waits for the project's turn; then it fails with
/// an `ImportError`.
pub fn set_late_import_timeout(timeout: impl Into<Option<Duration>>) {
    *TIMEOUT.write() = timeout.into();
}

/// What an import is for: the module, by its full name where that is known, and the code that asks.
#[derive(Clone, Copy, Default)]
pub(super) struct Asked<'a, 'py> {
    pub(super) name: Option<&'a Bound<'py, PyAny>>,
    pub(super) globals: Option<&'a Bound<'py, PyDict>>,
}

impl Asked<'_, '_> {
    /// Whether the module is not there yet.
    fn loads(&self, py: Python<'_>) -> bool {
        let name = self.name.filter(|name| name.is_exact_instance_of::<PyString>());
        name.is_some_and(|name| all_loaded(py).is_some_and(|all| contents::get(&all, name).is_none()))
    }
}

/// Runs an import for a thread that holds the project in place, and marks the modules that it brought.
pub(super) fn adopting<'py>(
    py: Python<'py>,
    asked: Asked<'_, 'py>,
    import: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let loads = asked.loads(py);
    if loads {
        // What a library for all does to the standard library while it is loaded is for all, too.
        settle(py, asked.globals.and_then(file_of).as_deref())?;
    }
    let before = module_count(py);
    let imported = as_one_import(import);
    if module_count(py) != before {
        note_imported(py)?;
        let module = asked.name.filter(|_| loads).and_then(|name| contents::get(&all_loaded(py)?, name));
        if let Some(globals) = module.and_then(|module| module_dict(&module)) {
            settle(py, file_of(&globals).as_deref())?;
        }
        if !is_nested() {
            World::lock(py)?.adopt(py)?;
            leaving::note_damage(py)?;
        }
    }
    imported
}

/// The file that code with these globals is from.
fn file_of(globals: &Bound<'_, PyDict>) -> Option<String> {
    text_of(globals.get_item(&Names::of(globals.py()).file))
}

/// An import by a project's code on a thread that does not hold the project.
pub(super) fn late<'py>(
    py: Python<'py>,
    state: &Arc<ImportState>,
    wanted: Option<Wanted<'py>>,
    pass_on: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let Some(wanted) = wanted else { return in_own_turn(py, state, "what cannot be told", pass_on) };
    let entries = state.entries();
    let (own, daemon, claimed, in_place) = {
        let world = World::lock(py)?;
        let in_place = world.is_in_place(state);
        // What was imported since it was put in place is not among its own yet, but visible.
        let own = if in_place { Some(world.modules(py)) } else { world.modules_of(py, state) };
        let own = own.unwrap_or_else(|| PyDict::new(py));
        let claimed = state.rules(py).of_name(&wanted.absolute).is_hidden();
        (own, world.daemon_modules(py), claimed, in_place)
    };
    // Of the daemon's modules it may have those that it would see in place.
    let shared = |name: &str| {
        let module = daemon.get_item(name).ok()??;
        let ownership = state.rules(py).of_entry(PyString::new(py, name).as_any(), &module);
        (!ownership.is_hidden()).then_some(module)
    };
    if in_place && GATE.is_moving(state.key()) {
        // Another thread is importing the core, and may wait for this one, which the core's import has
        // started.
        return adopting(py, Asked::default(), pass_on);
    }
    if let Some(served) = wanted.from(|name| own.get_item(name).ok().flatten())
        && (!in_place || is_still_in_place(py, state, entries)?)
    {
        return Ok(served);
    }
    if !claimed && let Some(served) = wanted.from(shared) {
        return Ok(served);
    }
    if state.is_retired() {
        let served = state
            .remains(py)
            .and_then(|remains| wanted.from(|name| referent(&remains.get_item(name).ok()??)));
        return match served {
            Some(served) => Ok(served),
            // A shared module; but what is in place may have one of that name.
            None if !claimed => pass_on().and_then(|module| match marks::owner_of_module(&module) {
                Some(other) if !Arc::ptr_eq(&other, state) => {
                    let why = format!("what is in place is project '{}''s", other.project());
                    Err(refusal(state, &wanted.absolute, &why))
                }
                _ => Ok(module),
            }),
            None => Err(refusal(state, &wanted.absolute, SUPERSEDED)),
        };
    }
    in_own_turn(py, state, &wanted.absolute, pass_on)
}

/// Imports what has to be loaded first, with the project in place.
fn in_own_turn<'py>(
    py: Python<'py>,
    state: &Arc<ImportState>,
    wanted: &str,
    pass_on: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let bring = || put_back(py, state).map(|()| Arc::clone(state));
    let timeout = *TIMEOUT.read();
    match Pin::acquire(py, state.key(), Manner::Join, timeout, bring) {
        // While this waited, the project's core may have been imported anew.
        Ok(pin) if !Arc::ptr_eq(pin.state(), state) => Err(refusal(state, wanted, SUPERSEDED)),
        Ok(pin) => {
            let name = PyString::new(py, wanted);
            let asked = Asked { name: Some(name.as_any()), globals: None };
            let imported = adopting(py, asked, pass_on);
            drop(pin);
            imported
        }
        Err(error) => Err(refusal(state, wanted, &error.to_string())),
    }
}

/// Whether the state is in place and never left since it had that many entries: looking at a module may have
/// run its `__getattr__`, and meanwhile others.
fn is_still_in_place(py: Python<'_>, state: &Arc<ImportState>, entries: u64) -> PyResult<bool> {
    let in_place = World::lock(py)?.is_in_place(state);
    Ok(in_place && state.entries() == entries)
}

fn refusal(state: &ImportState, module: &str, why: &str) -> PyErr {
    PyImportError::new_err(format!(
        "cannot import '{module}' for project '{}' (core {}): {why}",
        state.project(),
        state.location().install_core().display(),
    ))
}

/// An import by the daemon's own code while a project is in place that hides a module of the daemon's.
pub(super) fn serve_the_daemon<'py>(
    py: Python<'py>,
    wanted: Option<&Wanted<'py>>,
) -> Option<Bound<'py, PyAny>> {
    let wanted = wanted?;
    let (daemon, live, is_outside) = {
        let world = World::lock(py).ok()?;
        (world.daemon_modules(py), world.modules(py), world.is_outside())
    };
    // What stays in place outside leases is what the daemon has asked to see.
    if is_outside && live.contains(&wanted.absolute).ok()? {
        return None;
    }
    let known = daemon.get_item(&wanted.absolute).ok()??;
    let is_hidden = !live.get_item(&wanted.absolute).ok()?.is_some_and(|visible| visible.is(&known));
    is_hidden.then(|| wanted.from(|name| daemon.get_item(name).ok().flatten())).flatten()
}
