//! Finds modules of another project's core among a project's: there must be none, ever.

use std::path::Path;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::cores::core_of;
use super::import_state::ImportState;
use super::marks;
use super::roots::is_under;
use super::toolkit_names::is_core_name;
use crate::host::python::contents;
use crate::host::python::modules::{self, Origin};

/// The modules among `modules` that the state must not have, with where they come from: those of another Toolkit core's
/// files, and those that are marked as another state's, or lead to one.
pub(crate) fn foreign_modules(
    modules: &Bound<'_, PyDict>,
    state: &Arc<ImportState>,
) -> Vec<(String, String)> {
    let mut foreign = Vec::new();
    for (name, module) in contents::items(modules) {
        let Ok(name) = name.cast::<PyString>() else { continue };
        let name = name.to_string_lossy().into_owned();
        // What is nobody's is the daemon's or the interpreter's own.
        let Some(owner) = marks::owner_of_module(&module) else { continue };
        let found = if Arc::ptr_eq(&owner, state) {
            foreign_place(state, &name, &module).or_else(|| leads_to_another(&module, state))
        } else {
            Some(format!("a module of project '{}'", owner.project()))
        };
        foreign.extend(found.map(|found| (name, found)));
    }
    foreign
}

/// Where one of the project's own modules comes from, if that is another core.
fn foreign_place(state: &ImportState, name: &str, module: &Bound<'_, PyAny>) -> Option<String> {
    let Origin::Path(path) = modules::origin(module) else { return None };
    if is_under(&path, state.location().install_core()) {
        return None;
    }
    let is_in_core = core_of(Path::new(&path)).is_some();
    // A root that the project's code has added is its own only where it is no other core's.
    let is_own_place = !is_in_core && state.rules(module.py()).roots().contain(&path);
    (!is_own_place && (is_core_name(name) || is_in_core)).then_some(path)
}

/// A global of the module's that is another state's module, or a function of one.
fn leads_to_another(module: &Bound<'_, PyAny>, state: &Arc<ImportState>) -> Option<String> {
    let dict = modules::module_dict(module)?;
    contents::items(&dict).iter().find_map(|(name, value)| {
        let owner = marks::owner_of_value(value)?;
        let is_other = !Arc::ptr_eq(&owner, state);
        is_other.then(|| format!("its global '{name}' is project '{}''s", owner.project()))
    })
}

/// The marked modules that the daemon's own state must not have.
pub(crate) fn marked_modules(modules: &Bound<'_, PyDict>) -> Vec<(String, String)> {
    let marked = contents::items(modules).into_iter().filter_map(|(name, module)| {
        let owner = marks::owner_of_module(&module)?;
        Some((name.to_string(), format!("a module of project '{}'", owner.project())))
    });
    marked.collect()
}
