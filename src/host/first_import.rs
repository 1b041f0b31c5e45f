//! The first import of a project's core: into an import state of its own, verified, and undone where it fails.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::audit;
use super::caller;
use super::gate::Key;
use super::late_import;
use super::late_import::import_for_host;
use super::names::Names;
use super::ownership::{self, Origin};
use super::pin;
use super::retire;
use super::state::ImportState;
use super::time_limit::TimeLimit;
use super::warning_filters::WarningFilters;
use super::world::World;
use super::zip_directories;
use crate::error::{Error, Result};
use crate::python_error::python_error;
use sgtk_config::CoreLocation;

/// What a first import needs to know beside the core.
pub(super) struct Settings {
    pub(super) plugin_paths: Vec<String>,
    pub(super) exempt: Arc<HashSet<String>>,
    pub(super) import_limit: Option<Duration>,
}

/// Puts a new state in place and imports `sgtk` into it. Only for the thread whose turn it is. Where it replaces the one
/// `before`, it has the environment's changes of that one.
///
/// # Errors
/// [`Error::Import`] where the core's code raises, [`Error::WrongCore`] where it is not the core that was to be
/// imported. The interpreter is then as before, and nothing is in place.
pub(super) fn first_import(
    py: Python<'_>,
    settings: &Settings,
    key: Key,
    location: CoreLocation,
    before: Option<&Arc<ImportState>>,
    prepare: impl FnOnce(&str) -> PyResult<()>,
) -> Result<Arc<ImportState>> {
    let span = tracing::info_span!(
        "import",
        project = key.project(),
        core = %location.install_core().display(),
        version = location.version().unwrap_or("unknown"),
    );
    let _entered = span.enter();
    let start = Instant::now();
    let mut path = vec![utf8(location.python(), key.project())?];
    path.extend(settings.plugin_paths.iter().cloned());
    let provided = provided_names(py, &location)?;
    caller::note_libraries(&provided);
    let state = ImportState::new(py, key, location, &path, Arc::clone(&settings.exempt));
    state.contents(py).rules.provide(provided);
    if let Some(before) = before {
        state.inherit_environment(py, before);
    }

    let mut undo = Undo { py, state: Some(Arc::clone(&state)), filters: WarningFilters::now(py)? };
    place(py, Some(&state))?;
    prepare(state.project())?;
    let imported = {
        let limit =
            settings.import_limit.map(|limit| TimeLimit::start(py, "the import", limit)).transpose()?;
        let imported = late_import::as_one_import(|| import_for_host(py, "sgtk"));
        if let Some(limit) = limit { limit.finish(py, imported) } else { imported }
    };
    let sgtk = imported.map_err(|error| Error::Import {
        project: state.project().to_owned(),
        core: state.location().install_core().to_owned(),
        version: state.location().version().unwrap_or("unknown").to_owned(),
        cause: Box::new(python_error(&error)),
    })?;
    let settled = {
        let world = World::lock(py)?;
        world.set_current_pc(py).and_then(|()| world.adopt(py))
    };
    settled?;
    verify(py, &state, sgtk.as_any())?;
    undo.state = None;
    tracing::info!(micros = start.elapsed().as_micros() as u64, "imported");
    Ok(state)
}

/// Takes a state whose first import failed, or panicked, out of the interpreter.
struct Undo<'py> {
    py: Python<'py>,
    state: Option<Arc<ImportState>>,
    filters: WarningFilters<'py>,
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        let Some(state) = self.state.take() else { return };
        // Threads that the core has started may be importing still.
        pin::wait_for_imports(self.py, &state);
        if let Err(error) = place(self.py, None) {
            tracing::error!(project = state.project(), %error, "failed to undo a failed import completely");
        }
        if let Err(error) = self.filters.restore() {
            tracing::error!(project = state.project(), %error, "failed to restore the warnings filters");
        }
        retire::retire(self.py, &state, &[]);
    }
}

fn place(py: Python<'_>, target: Option<&Arc<ImportState>>) -> Result<()> {
    let (replaced, outcome) = World::lock(py)?.place(py, target);
    drop(replaced);
    Ok(outcome?)
}

fn utf8(path: &Path, project: &str) -> Result<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| Error::UnusablePath {
        project: project.to_owned(),
        path: path.to_owned(),
        reason: "it is not UTF-8",
    })
}

/// Whether what is in place is what was to be imported.
///
/// # Errors
/// [`Error::WrongCore`], naming the module, where it was to be from, and where it is from.
pub(super) fn verify(py: Python<'_>, state: &Arc<ImportState>, sgtk: &Bound<'_, PyAny>) -> Result<()> {
    let wrong = |module: &str, found: String| Error::WrongCore {
        project: state.project().to_owned(),
        module: module.to_owned(),
        expected: state.location().install_core().to_owned(),
        found,
    };
    let modules = World::lock(py)?.modules(py);
    let named = |name: &str| modules.get_item(name).ok().flatten();
    let Some(tank) = named("tank") else { return Err(wrong("tank", "no such module".to_owned())) };
    if !named("sgtk").is_some_and(|visible| visible.is(sgtk)) || !sgtk.is(&tank) {
        let found = format!("{}, which is not the module 'tank'", describe(sgtk));
        return Err(wrong("sgtk", found));
    }
    if !matches!(ownership::origin(&tank), Origin::Path(path) if is_under(&path, state.location().python())) {
        return Err(wrong("tank", describe(&tank)));
    }
    match audit::foreign_modules(&modules, state).into_iter().next() {
        None => Ok(()),
        Some((module, found)) => Err(wrong(&module, found)),
    }
}

fn describe(module: &Bound<'_, PyAny>) -> String {
    match ownership::origin(module) {
        Origin::Path(path) => path,
        Origin::Interpreter => "built into the interpreter".to_owned(),
        Origin::Made => "made by code, from no file".to_owned(),
    }
}

/// Whether `path` lies in `folder`, by its name or by where its links lead.
pub(super) fn is_under(path: &str, folder: &Path) -> bool {
    let path = Path::new(path);
    path.starts_with(folder) || folder.canonicalize().is_ok_and(|folder| path.starts_with(folder))
}

/// The top-level names in the zips of libraries that the core brings along for the running Python.
///
/// Newer cores import them under their real names, and take what is there already instead of their own: so these are
/// the names to hide from the first import. The zips are looked at anew where they have changed. Where the zips are, and that a missing or damaged one is passed over, is the
/// core's own rule.
fn provided_names(py: Python<'_>, location: &CoreLocation) -> Result<HashSet<String>> {
    let core = location.install_core();
    let version = py.version_info();
    let folders = [
        core.join("requirements").join(format!("{}.{}", version.major, version.minor)),
        core.join("requirements").join("any"),
        core.join("python").join("tank_vendor").join("vendor_any"),
    ];
    let zips: Vec<PathBuf> = folders.iter().flat_map(|folder| zips_in(folder)).collect();
    zip_directories::refresh(py, &zips)?;
    let mut names = HashSet::new();
    for zip in zips {
        match zip_names(py, &zip) {
            Ok(found) => names.extend(found),
            Err(error) => tracing::warn!(zip = %zip.display(), %error, "cannot read a zip of libraries"),
        }
    }
    let stdlib = standard_names(py)?;
    names.retain(|name| !stdlib.contains(PyString::new(py, name)).unwrap_or(false));
    Ok(names)
}

fn zips_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.map(|entry| entry.path());
    files.filter(|file| file.extension().is_some_and(|extension| extension == "zip")).collect()
}

fn zip_names(py: Python<'_>, zip: &Path) -> PyResult<HashSet<String>> {
    let archive = import_for_host(py, "zipfile")?.getattr("ZipFile")?.call1((zip,))?;
    let names = archive.call_method0("namelist").and_then(|names| names.extract::<Vec<String>>());
    archive.call_method0("close")?;
    let tops = names?.into_iter().filter_map(|name| {
        let top = name.split('/').next()?;
        let top = top.strip_suffix(".py").unwrap_or(top);
        let is_name = !top.is_empty() && top.chars().all(|c| c == '_' || c.is_alphanumeric());
        (is_name && top != "__pycache__").then(|| top.to_owned())
    });
    Ok(tops.collect())
}

/// The names of the standard library: those are everybody's, also where a zip has a module of the same name.
fn standard_names(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let sys = import_for_host(py, "sys")?;
    // New in Python 3.10.
    sys.getattr("stdlib_module_names").or_else(|_| sys.getattr("builtin_module_names"))
}

/// Whether what is visible as `tank` is this module.
pub(super) fn is_tank(py: Python<'_>, sgtk: &Bound<'_, PyModule>) -> Result<bool> {
    let modules = World::lock(py)?.modules(py);
    Ok(modules.get_item(&Names::of(py).tank)?.is_some_and(|tank| tank.is(sgtk)))
}

/// The `sgtk` module of the state that is in place.
pub(super) fn sgtk_in_place<'py>(py: Python<'py>, state: &ImportState) -> Result<Bound<'py, PyModule>> {
    let modules: Bound<'py, PyDict> = World::lock(py)?.modules(py);
    let sgtk = modules.get_item(&Names::of(py).sgtk)?.and_then(|sgtk| sgtk.cast_into::<PyModule>().ok());
    sgtk.ok_or_else(|| Error::NotInPlace { project: state.project().to_owned() })
}
