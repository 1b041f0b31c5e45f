//! Whose the code is that imports.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::ownership::{self, Origin, Owner};
use super::pin;
use super::state::ImportState;
use super::world::World;

/// The top-level names of the libraries that any core of this process has brought along.
static LIBRARIES: RwLock<Option<HashSet<String>>> = RwLock::new(None);

/// Notes the libraries that a core brings along.
pub(super) fn note_libraries(names: &HashSet<String>) {
    let mut known = LIBRARIES.write().unwrap_or_else(PoisonError::into_inner);
    known.get_or_insert_default().extend(names.iter().cloned());
}

/// Whether projects may have modules of this name of their own.
fn is_toolkits(name: &str) -> bool {
    let top = ownership::top_level(name);
    let is_library = || {
        let known = LIBRARIES.read().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().is_some_and(|known| known.contains(top))
    };
    ownership::recipe_takes(top) || is_library()
}

/// Whose code with these globals is, or the code that is running now, where it imports a module of that name. Code of a
/// state that gave way to another is that one's.
pub(super) fn owner(
    py: Python<'_>,
    globals: Option<&Bound<'_, PyDict>>,
    name: &Bound<'_, PyAny>,
) -> Option<Arc<ImportState>> {
    owner_by_marks(py, globals, name).map(|state| state.current())
}

fn owner_by_marks(
    py: Python<'_>,
    globals: Option<&Bound<'_, PyDict>>,
    name: &Bound<'_, PyAny>,
) -> Option<Arc<ImportState>> {
    let running;
    let globals = match globals {
        Some(globals) => globals,
        None => {
            running = running_globals(py)?;
            &running
        }
    };
    let owner = ownership::owner_of_globals(globals);
    if owner.is_some() {
        return owner;
    }
    // Modules have a loader, if only `None`. Code that was given globals of its own, by `exec`, is whose the code is that
    // runs it.
    let is_module = globals.contains(intern!(py, "__loader__")).unwrap_or(true);
    if !is_module {
        return owner_from_frames(py, name);
    }
    // A module that a project's code loads by hand, as hooks are, is that project's too.
    if !name.extract::<&str>().is_ok_and(is_toolkits) {
        return None;
    }
    // What code of a state that gave way loads is its successor's, like all that it imports.
    let owner = owner_from_frames(py, name)?.current();
    // Where it cannot be marked, its next import is told in the same way.
    let _ = claim(py, globals, Arc::clone(&owner));
    Some(owner)
}

/// The globals of the Python code that is calling us.
pub(super) fn running_globals(py: Python<'_>) -> Option<Bound<'_, PyDict>> {
    // SAFETY: the interpreter is held; the result is a borrowed reference that the running frame keeps alive, or null
    // where no Python code is running.
    let globals = unsafe { Bound::from_borrowed_ptr_or_opt(py, ffi::PyEval_GetGlobals()) };
    globals?.cast_into().ok()
}

/// The frame of the Python code that is calling us.
fn running_frame(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    // SAFETY: the interpreter is held; the result is a borrowed reference to the running frame, or null.
    unsafe { Bound::from_borrowed_ptr_or_opt(py, ffi::PyEval_GetFrame().cast()) }
}

/// The address of the running frame, 0 for none. It tells the frame as long as that runs.
pub(super) fn frame_address(py: Python<'_>) -> usize {
    running_frame(py).map_or(0, |frame| frame.as_ptr() as usize)
}

/// Whose the innermost code is that has a say in an import of that name: a project's, or another module's where the name
/// is none of Toolkit's. Code that a lease of this thread was taken from has none.
fn owner_from_frames(py: Python<'_>, name: &Bound<'_, PyAny>) -> Option<Arc<ImportState>> {
    let past_modules = name.extract::<&str>().is_ok_and(is_toolkits);
    let leased_from = pin::leased_from();
    let mut frame = running_frame(py);
    while let Some(running) = frame {
        if leased_from == Some(running.as_ptr() as usize) {
            return None;
        }
        let globals = running.getattr(intern!(py, "f_globals")).ok()?.cast_into::<PyDict>().ok()?;
        let owner = ownership::owner_of_globals(&globals);
        let is_module = || globals.contains(intern!(py, "__loader__")).unwrap_or(true);
        if owner.is_some() || !past_modules && is_module() {
            return owner;
        }
        frame = running.getattr(intern!(py, "f_back")).ok().filter(|back| !back.is_none());
    }
    None
}

/// Marks the module with these globals if it is from the folders of the project that is in place. For threads that hold it.
///
/// The first import statement of a module runs before anybody else can, so a module is marked from then on: threads that
/// it starts are told, and so are modules that never enter `sys.modules`.
pub(super) fn claim_for_place(py: Python<'_>, globals: &Bound<'_, PyDict>) -> PyResult<()> {
    let in_place = World::lock(py)?.in_place().cloned();
    in_place.map_or(Ok(()), |state| claim(py, globals, state))
}

fn claim(py: Python<'_>, globals: &Bound<'_, PyDict>, state: Arc<ImportState>) -> PyResult<()> {
    let text = |key| PyResult::Ok(globals.get_item(key)?.and_then(|text| text.extract::<String>().ok()));
    let Some(file) = text(intern!(py, "__file__"))? else { return Ok(()) };
    let name = text(intern!(py, "__name__"))?.unwrap_or_default();
    let owned = state.contents(py).rules.owns_module(&name, &Origin::Path(file));
    if owned { ownership::mark_globals(globals, &Bound::new(py, Owner { state })?) } else { Ok(()) }
}
