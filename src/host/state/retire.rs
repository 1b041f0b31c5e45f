//! Dropping an import state for good, so that its memory comes back.
//!
//! Taking a core's modules out of `sys.modules` frees nothing by itself: `typing` keeps the classes that were
//! subscripted in its caches, `logging` and the import system keep theirs, and the rest hangs together in
//! cycles.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::world::{self, World};
use crate::host::ownership::import_state::ImportState;
use crate::host::ownership::roots::Roots;
use crate::host::python::at_exit;
use crate::host::python::code;
use crate::host::python::contents;
use crate::host::python::import::import_for_host;
use crate::host::python::import_caches;

/// States that were dropped since garbage was collected. Changed with the interpreter held.
static DROPPED: AtomicUsize = AtomicUsize::new(0);

/// Of so many states that are alive, what one that was dropped has left may wait to be collected.
const ALIVE_FOR_EACH_DROPPED: usize = 8;

/// Empties a state that is not in place. Its modules that somebody still holds keep working: their late
/// imports find each other, or fail with an error that names the project.
///
/// Files and folders under `kept` are another state's too: what the import system knows of them stays.
pub(crate) fn retire(py: Python<'_>, state: &Arc<ImportState>, kept: &Roots) {
    let_go(py, state, kept);
    reclaim_in_time(py);
}

/// As [`retire`], but for the memory, which [`reclaim`] gives back for any number of states at once.
pub(crate) fn let_go(py: Python<'_>, state: &Arc<ImportState>, kept: &Roots) {
    DROPPED.fetch_add(1, Ordering::Relaxed);
    at_exit::run(py, state.id());
    state.set_retired();
    match weak_references(py, &world::modules_of(py, state)) {
        Ok(remains) => state.keep_remains(py, remains),
        Err(error) => {
            tracing::warn!(
                project = state.project(), %error,
                "failed to keep track of a dropped core's modules"
            );
        }
    }
    // Log handlers go with the loggers, and files with their handlers, unless somebody else holds them too.
    let removed = world::remove(py, state);
    drop(state.take_views());
    state.codes().retire();
    let roots = state.rules(py).roots().without(kept);
    // From here on Python code runs: nothing is locked.
    let steps = [
        ("forget its folders and zips", forget_paths(py, &roots)),
        ("clear typing's caches", clear_typing_caches(py)),
        ("take its modules out", removed.map(drop)),
    ];
    for (step, outcome) in steps {
        if let Err(error) = outcome {
            tracing::warn!(project = state.project(), %error, "failed to {step} while dropping a core");
        }
    }
}

/// Collects what is left of dropped states where that is much of what there is. It looks at all objects of
/// the interpreter, so that each time would take the longer the more states are alive.
pub(crate) fn reclaim_in_time(py: Python<'_>) {
    if DROPPED.load(Ordering::Relaxed) * ALIVE_FOR_EACH_DROPPED > ImportState::alive() {
        reclaim(py);
    }
}

/// Collects what is left of dropped states, and gives the memory back.
pub(crate) fn reclaim(py: Python<'_>) {
    DROPPED.store(0, Ordering::Relaxed);
    if let Err(error) = collect_garbage(py) {
        tracing::warn!(%error, "failed to collect garbage after dropping a core");
    }
    trim_heap();
}

/// As [`reclaim`], with what was kept for projects that come back: none is to come.
pub(crate) fn reclaim_all(py: Python<'_>) {
    code::forget_dropped();
    reclaim(py);
}

/// Where the state is in place at this moment, by a lease or a late import, has its last holder retire it.
/// Returns whether it is.
pub(crate) fn leave_to_its_holders(py: Python<'_>, state: &Arc<ImportState>) -> bool {
    let in_place = World::lock(py).is_ok_and(|world| world.is_in_place(state));
    if in_place {
        state.set_orphaned();
    }
    in_place
}

/// Forgets what the import system remembers of the folders and zips under `roots`.
pub(crate) fn forget_paths(py: Python<'_>, roots: &Roots) -> PyResult<()> {
    import_caches::forget(py, |path| roots.contain(path))
}

/// The modules by name, as weak references, of those that can be referred to so.
fn weak_references<'py>(py: Python<'py>, modules: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyDict>> {
    let (remains, reference) = (PyDict::new(py), import_for_host(py, "weakref")?.getattr("ref")?);
    for (name, module) in contents::items(modules) {
        if let Ok(reference) = reference.call1((module,)) {
            remains.set_item(name, reference)?;
        }
    }
    Ok(remains)
}

/// `typing` caches every subscription, with the classes that were in it.
fn clear_typing_caches(py: Python<'_>) -> PyResult<()> {
    for clear in import_for_host(py, "typing")?.getattr("_cleanups")?.try_iter()? {
        clear?.call0()?;
    }
    Ok(())
}

fn collect_garbage(py: Python<'_>) -> PyResult<()> {
    import_for_host(py, "gc")?.call_method0("collect").map(drop)
}

/// Has the C library give the pages that became free back to the system. CPython does so with its own.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn trim_heap() {
    // SAFETY: takes no pointer and may be called from any thread at any time.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim_heap() {}
