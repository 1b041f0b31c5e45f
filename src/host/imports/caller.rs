//! Whose the code is that imports.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use parking_lot::RwLock;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::host::gate::held;
use crate::host::ownership::acting::acting_for;
use crate::host::ownership::import_state::ImportState;
use crate::host::ownership::marks;
use crate::host::ownership::rules::Ownership;
use crate::host::ownership::toolkit_names::{is_core_name, top_level};
use crate::host::python::frames::{frames, running_globals};
use crate::host::python::modules::{Origin, is_in_stdlib, is_standard_name, module_dict};
use crate::host::state::world::World;

/// The top-level names of the libraries that any core of this process has brought along, and those that a
/// host's caller says are each project's own.
static LIBRARIES: LazyLock<RwLock<HashSet<String>>> = LazyLock::new(RwLock::default);

/// Notes names that projects may have modules of their own of.
pub(crate) fn note_libraries(names: &HashSet<String>) {
    LIBRARIES.write().extend(names.iter().cloned());
}

/// Whether projects may have modules of this name of their own.
fn may_be_own(name: &str) -> bool {
    let top = top_level(name);
    is_core_name(top) || LIBRARIES.read().contains(top)
}

/// How an import is asked for.
#[derive(Clone, Copy, Default)]
pub(crate) struct Form {
    /// Whether the name counts from the package that asks.
    pub(crate) is_relative: bool,
    /// Whether there are local names, which the statement has in a module's own code and not in functions.
    pub(crate) has_locals: bool,
}

/// Whose code with these globals is, or the code that is running now, where it imports a module of that name.
/// Code of a state that gave way to another is that one's.
pub(crate) fn owner(
    py: Python<'_>,
    globals: Option<&Bound<'_, PyDict>>,
    name: &Bound<'_, PyAny>,
    form: Form,
) -> Option<Arc<ImportState>> {
    owner_by_marks(py, globals, name, form).map(|state| state.current())
}

fn owner_by_marks(
    py: Python<'_>,
    globals: Option<&Bound<'_, PyDict>>,
    name: &Bound<'_, PyAny>,
    form: Form,
) -> Option<Arc<ImportState>> {
    let running;
    let globals = match globals {
        Some(globals) => globals,
        None => {
            running = running_globals(py)?;
            &running
        }
    };
    let owner = marks::owner_of_globals(globals);
    if owner.is_some() {
        return owner;
    }
    // Modules have a loader, if only `None`. Code that was given globals of its own, by `exec`, is whose the
    // code is that runs it.
    let is_module = globals.contains(intern!(py, "__loader__")).unwrap_or(true);
    if !is_module {
        return owner_from_frames(py, name);
    }
    if !name.extract::<&str>().is_ok_and(may_be_own) {
        let by_hand = if form.has_locals { loads_by_hand(py, globals) } else { None };
        return by_hand.or_else(|| if form.is_relative { None } else { asks_by_name(py, globals, name) });
    }
    // In the middle of a bootstrap the frames lead to the core that is given up.
    if let Some(state) = held_owner(py, globals) {
        let _ = claim(py, globals, Arc::clone(&state));
        return Some(state);
    }
    // A module that a project's code loads by hand, as hooks are, is that project's too.
    // What code of a state that gave way loads is its successor's, like all that it imports.
    let owner = owner_from_frames(py, name)?.current();
    // Where it cannot be marked, its next import is told in the same way.
    let _ = claim(py, globals, Arc::clone(&owner));
    Some(owner)
}

/// The state in place, where this thread holds it and the module with these globals is from its own folders.
fn held_owner(py: Python<'_>, globals: &Bound<'_, PyDict>) -> Option<Arc<ImportState>> {
    let state = World::lock(py).ok()?.in_place().cloned().filter(|state| held::holds(state.key()))?;
    let file = globals.get_item(intern!(py, "__file__")).ok()??;
    let file = file.cast::<PyString>().ok()?.to_string_lossy().into_owned();
    let is_own = state.rules(py).roots().contain(&file);
    is_own.then_some(state)
}

/// Whose the code is that is running, whatever others it goes through.
pub(crate) fn owner_of_running_code(py: Python<'_>) -> Option<Arc<ImportState>> {
    // A name that any project has.
    owner_from_frames(py, intern!(py, "tank")).map(|state| state.current())
}

/// Whose the innermost code is that decides on an import of that name: a project's, or another module's where
/// no project has modules of that name. Code that a lease of this thread was taken from does not decide.
fn owner_from_frames(py: Python<'_>, name: &Bound<'_, PyAny>) -> Option<Arc<ImportState>> {
    let past_modules = name.extract::<&str>().is_ok_and(may_be_own);
    let leased_from = held::leased_from();
    for frame in frames(py) {
        if leased_from == Some(frame.address()) {
            return None;
        }
        let globals = frame.globals()?;
        let owner = marks::owner_of_globals(&globals);
        let is_module = || globals.contains(intern!(py, "__loader__")).unwrap_or(true);
        if owner.is_some() || !past_modules && is_module() {
            return owner;
        }
    }
    None
}

/// The project whose code loads the module with these globals by hand: by `exec_module`, `imp.load_source` or
/// the like, not by an import. The module is marked as that project's.
fn loads_by_hand(py: Python<'_>, globals: &Bound<'_, PyDict>) -> Option<Arc<ImportState>> {
    let is_loading = frames(py).next().is_some_and(|frame| frame.is_module());
    let owner = if is_loading { acting_for(py)? } else { return None };
    let name = globals.get_item(intern!(py, "__name__")).ok()??;
    let name = name.cast::<PyString>().ok()?.to_string_lossy();
    let daemons = World::lock(py).ok()?.daemon_modules(py);
    let is_daemons = daemons
        .get_item(&*name)
        .ok()?
        .and_then(|module| module_dict(&module))
        .is_some_and(|known| known.is(globals));
    // A module of the daemon's that is loaded anew stays the daemon's.
    if is_daemons || owner.rules(py).of_name(&name) == Ownership::Shared {
        return None;
    }
    marks::mark_globals(globals, &marks::new(py, &owner).ok()?).ok()?;
    Some(owner)
}

/// The project that code of the standard library, with these globals, acts for where it imports something
/// that is not the standard library's: it does so by the name that its caller gave, as `runpy` and `pkgutil`
/// do.
fn asks_by_name(
    py: Python<'_>,
    globals: &Bound<'_, PyDict>,
    name: &Bound<'_, PyAny>,
) -> Option<Arc<ImportState>> {
    let name = name.cast::<PyString>().ok()?.to_string_lossy();
    if name.starts_with('.') || is_standard_name(py, top_level(&name)) {
        return None;
    }
    let file = globals.get_item(intern!(py, "__file__")).ok()??;
    let is_standard = is_in_stdlib(&file.cast::<PyString>().ok()?.to_string_lossy());
    if is_standard { acting_for(py) } else { None }
}

/// Marks the module with these globals if it is from the folders of the project that is in place. For threads
/// that hold it.
///
/// The first import statement of a module runs before anybody else can, so a module is marked from then on:
/// threads that it starts are told, and so are modules that never enter `sys.modules`.
pub(crate) fn claim_for_place(py: Python<'_>, globals: &Bound<'_, PyDict>) -> PyResult<()> {
    let in_place = World::lock(py)?.in_place().cloned();
    in_place.map_or(Ok(()), |state| claim(py, globals, state))
}

fn claim(py: Python<'_>, globals: &Bound<'_, PyDict>, state: Arc<ImportState>) -> PyResult<()> {
    let text = |key| PyResult::Ok(globals.get_item(key)?.and_then(|text| text.extract::<String>().ok()));
    let Some(file) = text(intern!(py, "__file__"))? else { return Ok(()) };
    let name = text(intern!(py, "__name__"))?.unwrap_or_default();
    let ownership = state.rules(py).of_module(&name, &Origin::Path(file));
    if ownership != Ownership::Own {
        return Ok(());
    }
    marks::mark_globals(globals, &marks::new(py, &state)?)
}
