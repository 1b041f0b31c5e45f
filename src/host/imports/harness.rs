//! Threads that have imported a project with `import_sgtk`, which is in place for the whole process.
//!
//! The tests of one binary run on several threads: between one test's `import_sgtk` and its `import sgtk`
//! another test may have imported its own project. The first one's import is refused then, instead of giving
//! it the other's core.

use std::cell::RefCell;
use std::sync::Arc;

use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::host::ownership::import_state::ImportState;
use crate::host::ownership::toolkit_names::top_level;
use crate::host::state::world::World;

/// The packages that a core is.
const CORE: [&str; 3] = ["sgtk", "tank", "tank_vendor"];

thread_local! {
    /// The project that this thread has imported last.
    static IMPORTED: RefCell<Option<Imported>> = const { RefCell::new(None) };
}

struct Imported {
    project: String,
    /// The number of its state.
    state: u64,
}

/// Notes that this thread has imported a project, which stays in place.
pub(crate) fn note_imported(state: &ImportState) {
    let imported = Imported { project: state.project().to_owned(), state: state.id() };
    note(Some(imported));
}

/// Notes that nothing stays in place any more, as this thread wishes.
pub(crate) fn note_forgotten() {
    note(None);
}

fn note(imported: Option<Imported>) {
    // An error where the thread is ending.
    let _ = IMPORTED.try_with(|slot| slot.replace(imported));
}

/// For code that is nobody's on a thread that holds nothing, where it imports a module of this name.
///
/// # Errors
/// `ImportError` where it is the core's, and what stays in place is another project than the one that this
/// thread imported.
pub(super) fn refuse_anothers(py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<()> {
    let refuse = |imported: &RefCell<Option<Imported>>| {
        let imported = imported.borrow();
        let Some(imported) = imported.as_ref() else { return Ok(()) };
        if !name.cast::<PyString>().is_ok_and(|name| CORE.contains(&top_level(&name.to_string_lossy()))) {
            return Ok(());
        }
        let now = World::lock(py)?.outside().map(Arc::clone);
        match now {
            Some(now) if now.id() != imported.state && now.project() != imported.project => {
                Err(PyImportError::new_err(format!(
                    "this thread imported project '{}' with import_sgtk, but '{}' is in place now: another \
                     thread imported it since. Use Host::with_sgtk, or a process for each test",
                    imported.project,
                    now.project()
                )))
            }
            _ => Ok(()),
        }
    };
    IMPORTED.try_with(refuse).unwrap_or(Ok(()))
}
