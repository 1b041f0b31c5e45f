//! Looks for modules of another project's core: there must be none, ever.

use std::path::Path;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyModule, PyString};

use super::contents;
use super::first_import::is_under;
use super::ownership::{self, Origin};
use super::state::ImportState;

/// A module of one project that comes from another's core.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ForeignModule {
    /// The project that has the module, or nothing for the daemon's own state.
    pub project: Option<String>,
    /// The module's name.
    pub module: String,
    /// Where it comes from, or whose it is.
    pub found: String,
}

impl std::fmt::Display for ForeignModule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let project = self.project.as_deref().unwrap_or("the daemon");
        write!(f, "'{}' of {project}: {}", self.module, self.found)
    }
}

/// The modules among `modules` that the state must not have: those of another Toolkit core's files, and those that are
/// marked as another state's, or lead to one.
pub(super) fn foreign_modules(
    modules: &Bound<'_, PyDict>,
    state: &Arc<ImportState>,
) -> Vec<(String, String)> {
    let core = state.location().install_core();
    let is_own_place = |path: &str| {
        is_under(path, core) || {
            let contents = state.contents(modules.py());
            // A root that the project's code has added is its own only where it is no other core's.
            contents.rules.is_under_root(path) && core_of(Path::new(path)).is_none()
        }
    };
    let mut foreign = Vec::new();
    for (name, module) in contents::items(modules) {
        let Ok(name) = name.cast::<PyString>() else { continue };
        let name = name.to_string_lossy().into_owned();
        let owner = ownership::owner_of_module(&module);
        if let Some(other) = owner.as_ref().filter(|owner| !Arc::ptr_eq(owner, state)) {
            foreign.push((name, format!("a module of project '{}'", other.project())));
            continue;
        }
        // What is nobody's is the daemon's or the interpreter's own.
        if owner.is_none() {
            continue;
        }
        match ownership::origin(&module) {
            Origin::Path(path)
                if !is_own_place(&path)
                    && (ownership::recipe_takes(&name) || core_of(Path::new(&path)).is_some()) =>
            {
                foreign.push((name, path));
                continue;
            }
            _ => {}
        }
        if let Some(found) = leads_to_another(&module, state) {
            foreign.push((name, found));
        }
    }
    foreign
}

/// A global of the module's that is another state's module, or a function of one.
fn leads_to_another(module: &Bound<'_, PyAny>, state: &Arc<ImportState>) -> Option<String> {
    let dict = ownership::module_dict(module)?;
    contents::items(&dict).iter().find_map(|(name, value)| {
        let owner = match ownership::function_globals(value) {
            Some(globals) => ownership::owner_of_globals(&globals),
            None if value.is_instance_of::<PyModule>() => ownership::owner_of_module(value),
            None => None,
        }?;
        let is_other = !Arc::ptr_eq(&owner, state);
        is_other.then(|| format!("its global '{name}' is project '{}''s", owner.project()))
    })
}

/// The install folder of the Toolkit core that a file belongs to, told by the core's layout.
fn core_of(path: &Path) -> Option<&Path> {
    let named_core = |folder: &&Path| {
        folder.file_name().is_some_and(|name| name == "core")
            && folder.parent().and_then(Path::file_name).is_some_and(|name| name == "install")
    };
    path.ancestors().find(named_core)
}

/// The marked modules that the daemon's own state must not have.
pub(super) fn marked_modules(modules: &Bound<'_, PyDict>) -> Vec<(String, String)> {
    let marked = contents::items(modules).into_iter().filter_map(|(name, module)| {
        let owner = ownership::owner_of_module(&module)?;
        Some((name.to_string(), format!("a module of project '{}'", owner.project())))
    });
    marked.collect()
}
