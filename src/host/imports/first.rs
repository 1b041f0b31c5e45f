//! The first import of a project's core: into an import state of its own, verified, and undone where it
//! fails.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use sgtk_config::{CodeStore, CoreLocation, ProjectVariables, STEERING_VARIABLES};

use super::caller;
use super::generated;
use super::on_import::{Imported, OnImport, Purpose};
use super::provided::provided_names;
use crate::error::{Error, Result};
use crate::host::gate::Key;
use crate::host::lease::quiet::wait_for_imports;
use crate::host::ownership::import_state::ImportState;
use crate::host::ownership::roots::Roots;
use crate::host::ownership::rules::DeclaredNames;
use crate::host::python::code::Codes;
use crate::host::python::collector::Uncollected;
use crate::host::python::import::{as_one_import, import_for_host};
use crate::host::python::steps_in_python;
use crate::host::python::time_limit::TimeLimit;
use crate::host::python::warning_filters::WarningFilters;
use crate::host::state::retire::retire;
use crate::host::state::verify::verify;
use crate::host::state::world::{self, place};
use crate::python_error::python_error;

/// What a first import needs to know beside the core.
pub(crate) struct Settings {
    pub(crate) plugin_paths: Vec<String>,
    pub(crate) names: Arc<DeclaredNames>,
    pub(crate) import_timeout: Option<Duration>,
    pub(crate) on_import: OnImport,
    /// The variables of the environment that are one project's, by project.
    pub(crate) variables: ProjectVariables,
    /// Compiled code on disk.
    pub(crate) codes: Option<Arc<CodeStore>>,
}

/// What is to be imported, and why.
pub(crate) struct Wanted<'a> {
    pub(crate) key: Key,
    pub(crate) location: CoreLocation,
    /// The state that it is to replace, whose changes of the environment it has.
    pub(crate) before: Option<&'a Arc<ImportState>>,
    /// Whether it is that one's guest.
    pub(crate) is_guest: bool,
    pub(crate) purpose: Purpose,
}

impl Wanted<'_> {
    /// A project's core, for its leases.
    pub(crate) fn for_leases(key: Key, location: CoreLocation) -> Self {
        Self { key, location, before: None, is_guest: false, purpose: Purpose::Lease }
    }
}

/// Puts a new state in place, imports `sgtk` into it and has the daemon prepare it. Only for the thread whose
/// turn it is.
///
/// # Errors
/// [`Error::Import`] where the core's code raises, [`Error::WrongCore`] where it is not the core that was to
/// be imported, [`Error::OnImport`] where the daemon's function fails. The interpreter is then as before, and
/// nothing is in place.
pub(crate) fn first_import(
    py: Python<'_>,
    settings: &Settings,
    wanted: Wanted<'_>,
    prepare: impl FnOnce(&str) -> PyResult<()>,
) -> Result<Arc<ImportState>> {
    let Wanted { key, location, before, is_guest, purpose } = wanted;
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
    caller::note_libraries(&settings.names.per_project);
    let codes = Codes::new(settings.codes.clone());
    let state = ImportState::new(key, location, &path, Arc::clone(&settings.names), provided, codes);
    if let (Some(base), true) = (before, is_guest) {
        state.be_guest_of(base);
    }
    world::add(py, &state, &path, before.map(Arc::as_ref))?;

    let mut undo = Undo { py, state: Some(Arc::clone(&state)), filters: WarningFilters::now(py)? };
    place(py, Some(&state))?;
    if purpose != Purpose::Bootstrap {
        // Bootstraps do so by their options.
        world::drop_variables(py, &STEERING_VARIABLES)?;
    }
    if purpose == Purpose::Recipe {
        // The daemon's own code starts children for it. In leases they are given these.
        steps_in_python::call(py, "be_unattended", ())?;
    }
    let variables = settings.variables.of(state.project());
    world::set_variables(py, variables)?;
    if cfg!(unix) && variables.iter().any(|(name, _)| name == "TZ") {
        import_for_host(py, "time")?.call_method0("tzset")?;
    }
    prepare(state.project())?;
    // What an import makes is there to stay: looking for garbage in it, and in all other projects, takes a
    // third of the time.
    let uncollected = Uncollected::new(py)?;
    let imported = limited(py, settings, "the import", || as_one_import(|| import_for_host(py, "sgtk")))?;
    drop(uncollected);
    let sgtk = imported.map_err(|error| Error::Import {
        project: state.project().to_owned(),
        core: state.location().install_core().to_owned(),
        version: state.location().version().unwrap_or("unknown").to_owned(),
        cause: Box::new(python_error(&error)),
    })?;
    generated::keep(py, &state)?;
    world::settle_first_import(py)?;
    verify(py, &state, &sgtk)?;
    let about = Imported { project: state.project().to_owned(), core: state.location().clone(), purpose };
    let prepared =
        limited(py, settings, "the function for new imports", || settings.on_import.call(&sgtk, &about))?;
    prepared.map_err(|error| Error::OnImport {
        project: state.project().to_owned(),
        core: state.location().install_core().to_owned(),
        cause: Box::new(python_error(&error)),
    })?;
    undo.state = None;
    tracing::info!(micros = start.elapsed().as_micros() as u64, "imported");
    Ok(state)
}

/// Runs a part of the import within its time limit.
fn limited<T>(
    py: Python<'_>,
    settings: &Settings,
    what: &'static str,
    body: impl FnOnce() -> PyResult<T>,
) -> PyResult<PyResult<T>> {
    let limit =
        settings.import_timeout.map(|limit| TimeLimit::start(py, what, limit, Vec::new)).transpose()?;
    let outcome = body();
    Ok(if let Some(limit) = limit { limit.finish(py, outcome) } else { outcome })
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
        wait_for_imports(self.py, &state);
        if let Err(error) = place(self.py, None) {
            tracing::error!(project = state.project(), %error, "failed to undo a failed import completely");
        }
        if let Err(error) = self.filters.restore() {
            tracing::error!(project = state.project(), %error, "failed to restore the warnings filters");
        }
        if let Err(error) = world::hand_back(self.py, &state) {
            tracing::error!(project = state.project(), %error, "failed to undo a core's exchange completely");
        }
        retire(self.py, &state, &Roots::default());
    }
}

fn utf8(path: &Path, project: &str) -> Result<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| Error::UnusablePath {
        project: project.to_owned(),
        path: path.to_owned(),
        reason: "it is not UTF-8",
    })
}
