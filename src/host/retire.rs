//! Dropping an import state for good, so that its memory comes back.
//!
//! Taking a core's modules out of `sys.modules` frees nothing by itself: `typing` keeps the classes that were subscripted
//! in its caches, `logging` and the import system keep theirs, and the rest hangs together in cycles.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::contents;
use super::late_import::import_for_host;
use super::layers::DictShare;
use super::overlay::OverlayShare;
use super::state::ImportState;
use super::world::World;
use super::zip_code;

/// Empties a state that is not in place. Its modules that somebody still holds keep working: their late imports find
/// each other, or fail with an error that names the project.
///
/// Files and folders under `kept` (each ending in a separator) are another state's too: what the import system knows of
/// them stays.
pub(super) fn retire(py: Python<'_>, state: &Arc<ImportState>, kept: &[String]) {
    state.set_retired();
    let remains = match weak_references(py, &state.modules(py)) {
        Ok(remains) => Some(remains.unbind()),
        Err(error) => {
            tracing::warn!(project = state.project(), %error, "failed to keep track of a dropped core's modules");
            None
        }
    };
    // Made before anything is locked: an allocation may start the collector, which runs destructors.
    let (no_modules, no_loggers) = (DictShare::new(py), DictShare::new(py));
    let (strong, roots) = {
        let contents = &mut *state.contents(py);
        contents.remains = remains;
        // Log handlers go with the loggers, and files with their handlers, unless somebody else holds them too.
        let strong = (
            std::mem::replace(&mut contents.modules, no_modules),
            std::mem::replace(&mut contents.loggers, no_loggers),
            std::mem::take(&mut contents.bindings),
            std::mem::take(&mut contents.path),
            std::mem::replace(&mut contents.sys, OverlayShare::new()),
            std::mem::replace(&mut contents.environ, OverlayShare::new()),
            [std::mem::take(&mut contents.meta_path), std::mem::take(&mut contents.path_hooks)],
        );
        (strong, contents.rules.roots().to_vec())
    };
    let forgotten: Vec<&String> = roots.iter().filter(|root| !kept.contains(root)).collect();
    // From here on Python code runs: nothing is locked.
    let steps = [
        ("forget its folders and zips", forget_paths(py, &forgotten)),
        ("clear typing's caches", clear_typing_caches(py)),
    ];
    drop(strong);
    let collected = import_for_host(py, "gc").and_then(|gc| gc.call_method0("collect")).map(drop);
    trim_heap();
    for (step, outcome) in steps.into_iter().chain([("collect garbage", collected)]) {
        if let Err(error) = outcome {
            tracing::warn!(project = state.project(), %error, "failed to {step} while dropping a core");
        }
    }
}

/// Has the C library give the pages that became free back to the system. CPython does so with its own.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn trim_heap() {
    // SAFETY: takes no pointer and may be called from any thread at any time.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim_heap() {}

/// Whether the state is in place at this moment, by a lease or a late import whose end is not ours to wait for: whoever
/// lets go of it last then retires it.
pub(super) fn is_left_to_its_holders(py: Python<'_>, state: &Arc<ImportState>) -> bool {
    let in_place = World::lock(py)
        .is_ok_and(|world| world.in_place().is_some_and(|in_place| Arc::ptr_eq(in_place, state)));
    if in_place {
        state.set_orphaned();
    }
    in_place
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

/// Forgets what the import system, `linecache` and `importlib.metadata` know of the folders and zips under `roots`, each with
/// a separator at its end.
pub(super) fn forget_paths(py: Python<'_>, roots: &[&String]) -> PyResult<()> {
    let under = |path: &str| {
        roots.iter().any(|root| {
            path.starts_with(root.as_str()) || root.strip_suffix(std::path::MAIN_SEPARATOR) == Some(path)
        })
    };
    let caches =
        [("sys", "path_importer_cache"), ("zipimport", "_zip_directory_cache"), ("linecache", "cache")];
    for (module, cache) in caches {
        let Ok(cache) = import_for_host(py, module).and_then(|module| module.getattr(cache)) else {
            continue;
        };
        let Ok(cache) = cache.cast_into::<PyDict>() else { continue };
        for (path, _) in contents::items(&cache) {
            if path.cast::<PyString>().is_ok_and(|path| under(&path.to_string_lossy())) {
                cache.del_item(path)?;
            }
        }
    }
    zip_code::forget(under);
    // importlib.metadata keeps the zips that it looked into open.
    let modules = import_for_host(py, "sys")?.getattr("modules")?.cast_into::<PyDict>()?;
    if let Some(metadata) = modules.get_item("importlib.metadata")? {
        metadata.getattr("MetadataPathFinder")?.call0()?.call_method0("invalidate_caches")?;
    }
    Ok(())
}

/// `typing` caches every subscription, with the classes that were in it.
fn clear_typing_caches(py: Python<'_>) -> PyResult<()> {
    for clear in import_for_host(py, "typing")?.getattr("_cleanups")?.try_iter()? {
        clear?.call0()?;
    }
    Ok(())
}
