//! Marks in modules' dictionaries that name the project they belong to.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::import_state::ImportState;
use super::rules::{Ownership, Rules};
use super::toolkit_names;
use crate::host::python::modules::{self, module_dict};
use crate::host::python::names::Names;

/// Names the project that a module belongs to, from within the module's own dictionary.
///
/// A mark in the dictionary lives and dies with it, and is found from any function's globals, also when the
/// module itself is gone. (A table of addresses would name a project for whatever takes a dead dictionary's
/// place.)
#[pyclass(frozen, module = "sgtk_host")]
pub(crate) struct Owner {
    state: Arc<ImportState>,
}

#[pymethods]
impl Owner {
    fn __repr__(&self) -> String {
        format!("<module of project '{}'>", self.state.project())
    }

    /// A copy of a module's dictionary (`copy.deepcopy` too) belongs to the same project.
    fn __deepcopy__(slf: Py<Self>, _memo: Py<PyAny>) -> Py<Self> {
        slf
    }
}

/// Makes the class, which lets go of the interpreter. To be called before anything is locked.
pub(crate) fn prepare(py: Python<'_>) {
    py.get_type::<Owner>();
}

/// A mark of the project's, to be set with [`mark`].
pub(crate) fn new<'py>(py: Python<'py>, state: &Arc<ImportState>) -> PyResult<Bound<'py, Owner>> {
    Bound::new(py, Owner { state: Arc::clone(state) })
}

/// Marks a module as the project's.
pub(crate) fn mark(module: &Bound<'_, PyAny>, owner: &Bound<'_, Owner>) -> PyResult<()> {
    module_dict(module).map_or(Ok(()), |dict| mark_globals(&dict, owner))
}

/// Marks a module, by its dictionary, as the project's.
pub(crate) fn mark_globals(globals: &Bound<'_, PyDict>, owner: &Bound<'_, Owner>) -> PyResult<()> {
    globals.set_item(&Names::of(globals.py()).mark, owner)
}

/// The project whose dictionary of globals this is, if it is one's.
pub(crate) fn owner_of_globals(globals: &Bound<'_, PyDict>) -> Option<Arc<ImportState>> {
    let mark = globals.get_item(&Names::of(globals.py()).mark).ok()??;
    Some(Arc::clone(&mark.cast_exact::<Owner>().ok()?.get().state))
}

/// The project that a module belongs to, if it was marked.
pub(crate) fn owner_of_module(module: &Bound<'_, PyAny>) -> Option<Arc<ImportState>> {
    owner_of_globals(&module_dict(module)?)
}

/// The project that a module, or a function's module, belongs to, if it was marked.
pub(crate) fn owner_of_value(value: &Bound<'_, PyAny>) -> Option<Arc<ImportState>> {
    match modules::function_globals(value) {
        Some(globals) => owner_of_globals(&globals),
        None => owner_of_module(value),
    }
}

/// Whose an entry of `sys.modules` is, seen from the project `state`: by its mark, else by its name and
/// place.
pub(crate) fn classify(
    rules: &Rules,
    state: &Arc<ImportState>,
    name: &str,
    module: &Bound<'_, PyAny>,
) -> Ownership {
    match owner_of_module(module) {
        Some(owner) if Arc::ptr_eq(&owner, state) => Ownership::Own,
        Some(_) => Ownership::Other,
        None if toolkit_names::is_generated(name) && !modules::has_begun(module) => Ownership::Loading,
        None => rules.of_module(name, &modules::origin(module)),
    }
}

/// Whether an entry of the daemon's modules is a hook or a bundle that nothing told yet whose it is: nobody
/// but a project's code loads such.
pub(crate) fn is_unclaimed(name: &Bound<'_, PyAny>) -> bool {
    name.cast::<PyString>().is_ok_and(|name| toolkit_names::is_generated(&name.to_string_lossy()))
}
