//! Has the import system ask for [code that is known](Codes) before it compiles a project's sources.
//!
//! Two functions are wrapped once: `zipimport`'s, as CPython keeps no compiled code of what is in zips, and
//! that of the loader of sources in folders, since compiled code beside them may be of a source that was
//! there before.

use std::sync::Arc;

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyString};

use crate::host::gate::held;
use crate::host::ownership::import_state::ImportState;
use crate::host::python::import::import_for_host;
use crate::host::python::modules::is_in_stdlib;
use crate::host::state::world::World;

unsafe extern "C" {
    // In CPython since 3.0, and not among pyo3's declarations.
    fn PyInstanceMethod_New(function: *mut ffi::PyObject) -> *mut ffi::PyObject;
}

/// `zipimport`'s own function.
static COMPILE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// `SourceLoader`'s own.
static LOADER: PyOnceLock<LoaderFunctions> = PyOnceLock::new();

struct LoaderFunctions {
    get_code: Py<PyAny>,
    source_to_code: Py<PyAny>,
}

/// Wraps the functions, once. A Python whose import system works in another way goes without.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    install_for_zips(py)?;
    install_for_folders(py)
}

fn install_for_zips(py: Python<'_>) -> PyResult<()> {
    const NAME: &str = "_compile_source";
    let zipimport = import_for_host(py, "zipimport")?;
    let Some(own) = zipimport.getattr_opt(NAME)? else { return Ok(()) };
    if COMPILE.set(py, own.unbind()).is_ok() {
        zipimport.setattr(NAME, wrap_pyfunction!(compile_source, py)?)?;
    }
    Ok(())
}

fn install_for_folders(py: Python<'_>) -> PyResult<()> {
    let loader = import_for_host(py, "importlib.machinery")?.getattr("SourceFileLoader")?;
    let functions = LoaderFunctions {
        get_code: loader.getattr("get_code")?.unbind(),
        source_to_code: loader.getattr("source_to_code")?.unbind(),
    };
    if LOADER.set(py, functions).is_err() {
        return Ok(());
    }
    let function = wrap_pyfunction!(get_code, py)?;
    // SAFETY: the interpreter is held and the function is alive. The result is a new reference or null with
    // an exception set. A function in C is no method by itself.
    let method = unsafe { Bound::from_owned_ptr_or_err(py, PyInstanceMethod_New(function.as_ptr()))? };
    loader.setattr("get_code", method)
}

/// The project for which this thread imports. Other code's imports are left alone.
pub(super) fn importing(py: Python<'_>) -> Option<Arc<ImportState>> {
    if !held::holds_any() {
        return None;
    }
    World::lock(py).ok()?.in_place().cloned()
}

/// Compiles a zip's source, or gives what was compiled from the same before.
#[pyfunction]
fn compile_source(py: Python<'_>, path: &Bound<'_, PyAny>, source: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let compile = || match COMPILE.get(py) {
        Some(compile) => compile.call1(py, (path, source)),
        None => Err(PyImportError::new_err("zipimport is not wrapped yet")),
    };
    match (importing(py), path.extract::<&str>(), source.cast::<PyBytes>()) {
        (Some(state), Ok(path), Ok(bytes)) => state.codes().code(py, path, bytes.as_bytes(), compile),
        _ => compile(),
    }
}

/// The code object of a module, as `SourceLoader.get_code` gives it.
#[pyfunction]
fn get_code(loader: &Bound<'_, PyAny>, fullname: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let py = loader.py();
    let Some(own) = LOADER.get(py) else {
        return Err(PyImportError::new_err("the loader of sources is not wrapped yet"));
    };
    let as_usual = || own.get_code.call1(py, (loader, fullname));
    // What a loader does on its own to sources is in no key.
    let compiles_as_usual = loader.get_type().getattr(intern!(py, "source_to_code"))?.is(&own.source_to_code);
    let Some(state) = importing(py).filter(|_| compiles_as_usual) else { return as_usual() };
    let path = loader.call_method1(intern!(py, "get_filename"), (fullname,))?;
    let Ok(path) = path.cast_into::<PyString>() else { return as_usual() };
    let Ok(name) = path.to_str() else { return as_usual() };
    if !is_projects(py, &state, name) {
        return as_usual();
    }
    // Where it cannot be read, the loader tells in its own way, or has compiled code without a source.
    let Ok(source) = loader.call_method1(intern!(py, "get_data"), (&path,)) else { return as_usual() };
    let Ok(bytes) = source.cast::<PyBytes>() else { return as_usual() };
    state.codes().code(py, name, bytes.as_bytes(), || {
        if state.codes().are_stored() {
            // Never from beside the source: it may be of another one.
            Ok(loader.call_method1(intern!(py, "source_to_code"), (bytes, &path))?.unbind())
        } else {
            as_usual()
        }
    })
}

/// Whether a source is of the project's, or of nothing that is installed in this Python.
fn is_projects(py: Python<'_>, state: &ImportState, path: &str) -> bool {
    let is_installed = || {
        is_in_stdlib(path) || ["site-packages", "dist-packages"].iter().any(|folder| path.contains(folder))
    };
    state.rules(py).roots().contain(path) || !is_installed()
}
