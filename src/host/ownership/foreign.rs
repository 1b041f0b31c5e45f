//! Finds modules of another project's core among a project's: there must be none, ever.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::cores::core_of;
use super::import_state::ImportState;
use super::marks;
use super::objects::{Owners, Search};
use super::roots::is_under;
use super::toolkit_names::is_core_name;
use crate::host::python::contents;
use crate::host::python::modules::{self, Origin};

/// The modules among `modules` that the state must not have, with where they come from: those of another
/// Toolkit core's files, and those that are marked as another state's, or lead to one. Given the cores that
/// the daemon has on its own path, also modules that nobody has marked and that come from none of those. What
/// is among `clean` was looked at before and has not changed since; what is found to be in order becomes part
/// of it.
pub(crate) fn foreign_modules(
    modules: &Bound<'_, PyDict>,
    state: &Arc<ImportState>,
    daemons: Option<&HashSet<PathBuf>>,
    clean: &mut Clean,
) -> Vec<(String, String)> {
    let (mut foreign, mut owners) = (Vec::new(), Owners::default());
    for (name, module) in contents::items(modules) {
        let version = modules::module_dict(&module).and_then(|dict| contents::version(&dict));
        if version.is_some_and(|version| clean.0.contains(&version)) {
            continue;
        }
        let Ok(name) = name.cast::<PyString>() else { continue };
        let name = name.to_string_lossy().into_owned();
        let found = match marks::owner_of_module(&module) {
            Some(owner) if Arc::ptr_eq(&owner, state) => {
                foreign_place(state, &name, &module).or_else(|| leads_to_another(&module, state, &mut owners))
            }
            Some(owner) if state.is_guest_of(&owner) => None,
            Some(owner) => Some(format!("a module of project '{}'", owner.project())),
            // What is nobody's is the daemon's or the interpreter's own.
            None => daemons.and_then(|daemons| unmarked_place(&module, daemons)).filter(|path| {
                !is_under(path, state.location().install_core())
                    && !state.rules(module.py()).roots().contain(path)
            }),
        };
        match (found, version) {
            (Some(found), _) => foreign.push((name, found)),
            (None, Some(version)) => drop(clean.0.insert(version)),
            (None, None) => {}
        }
    }
    foreign
}

/// Modules that were found in order, by the versions of their dictionaries, which no two states of
/// dictionaries share.
#[derive(Debug, Default)]
pub(crate) struct Clean(HashSet<u64>);

/// Where a module that nobody has marked comes from, if that is a core which the daemon has not on its own
/// path.
fn unmarked_place(module: &Bound<'_, PyAny>, daemons: &HashSet<PathBuf>) -> Option<String> {
    let Origin::Path(path) = modules::origin(module) else { return None };
    let core = core_of(Path::new(&path)).filter(|_| !modules::is_in_stdlib(&path))?;
    (!daemons.contains(core)).then_some(path)
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

/// A global of the module's that is another state's module, function, class or object.
fn leads_to_another<'py>(
    module: &Bound<'py, PyAny>,
    state: &Arc<ImportState>,
    owners: &mut Owners<'py>,
) -> Option<String> {
    let dict = modules::module_dict(module)?;
    contents::items(&dict).iter().find_map(|(name, value)| {
        let owner = owners.of(value)?;
        // What a bootstrap's first core has left is its successor's.
        let is_other = !Arc::ptr_eq(&owner.current(), state) && !state.is_guest_of(&owner);
        is_other.then(|| format!("its global '{name}' is project '{}''s", owner.project()))
    })
}

/// The modules whose files are among those that have changed since the state's core was imported.
pub(crate) fn rewritten_modules(modules: &Bound<'_, PyDict>, changed: &[PathBuf]) -> Vec<(String, String)> {
    let changed: HashSet<&Path> = changed.iter().map(PathBuf::as_path).collect();
    if changed.is_empty() {
        return Vec::new();
    }
    let rewritten = contents::items(modules).into_iter().filter_map(|(name, module)| {
        let Origin::Path(path) = modules::origin(&module) else { return None };
        // A module from a zip has a path below it.
        let file = Path::new(&path).ancestors().find(|file| changed.contains(file))?;
        Some((name.to_string(), format!("{} has changed since its core was imported", file.display())))
    });
    rewritten.collect()
}

/// What shared modules hold of projects.
pub(crate) fn holding_modules(
    py: Python<'_>,
    modules: &Bound<'_, PyDict>,
) -> PyResult<Vec<(String, String)>> {
    let (mut search, mut holding) = (Search::new(py)?, Vec::new());
    for (name, module) in contents::items(modules) {
        let is_shared = marks::owner_of_module(&module).is_none()
            && matches!(modules::origin(&module), Origin::Path(path) if !modules::is_in_stdlib(&path));
        let name = name.to_string();
        // The program itself keeps what it likes: it is in no project's sight.
        if !is_shared || name == "__main__" {
            continue;
        }
        let held = search.held_by(&module)?.into_iter();
        holding
            .extend(held.map(|held| (name.clone(), format!("its global '{}' {}", held.global, held.what))));
    }
    Ok(holding)
}

/// The modules that the daemon's own state must not have: those that are marked, and those of cores that it
/// has not on its own path.
pub(crate) fn modules_not_the_daemons(
    modules: &Bound<'_, PyDict>,
    daemons: &HashSet<PathBuf>,
) -> Vec<(String, String)> {
    let found = contents::items(modules).into_iter().filter_map(|(name, module)| {
        let found = match marks::owner_of_module(&module) {
            Some(owner) => format!("a module of project '{}'", owner.project()),
            None => unmarked_place(&module, daemons)?,
        };
        Some((name.to_string(), found))
    });
    found.collect()
}
