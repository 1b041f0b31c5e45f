//! What becomes of a project's core in memory when files on disk have changed: it stays until its successor
//! is in.

use std::sync::Arc;
use std::time::Instant;

use pyo3::prelude::*;
use sgtk_config::{Changed, ProjectWatch, snapshot};

use super::upkeep::residents::Kept;
use super::upkeep::sound;
use crate::error::Error;
use crate::host::gate::Key;
use crate::host::imports::first::Wanted;
use crate::host::inner::Inner;
use crate::host::ownership::import_state::ImportState;
use crate::host::python::bytecode;

/// How many changed files a log record names.
const NAMED: usize = 5;

impl Inner {
    /// Imports the project anew where its files have changed and are whole, and drops the state that was its
    /// own until now. Nothing where that one is to go on; then nothing is in place. For the thread whose turn
    /// it is.
    pub(in crate::host) fn successor(
        &self,
        py: Python<'_>,
        key: &Key,
        state: &Arc<ImportState>,
    ) -> Option<Arc<ImportState>> {
        let project = key.project();
        if !self.revalidate_after.is_some_and(|age| self.residents.is_due(project, age)) {
            return None;
        }
        // Files may be slow to look at, so others are to go on meanwhile.
        let changed = py.detach(|| self.residents.changed(project))?;
        if changed.is_empty() {
            if self.residents.keep(project, None) {
                tracing::info!(project, "the files on disk are again those of what is in memory");
            }
            return None;
        }
        if let Some(gone) = changed.gone_for_now(self.cores.settle()) {
            if self.residents.keep(project, Some(Kept::Gone)) {
                tracing::warn!(project, %gone, "files are away; going on with what is in memory");
            }
            return None;
        }
        let location = match self.configs.locate(project) {
            Ok(location) => location,
            Err(error) => {
                self.keep(project, &error.into());
                return None;
            }
        };
        let plugins = &self.settings.plugin_paths;
        let on_disk = Kept::Unusable(py.detach(|| snapshot(&location, plugins)));
        if self.residents.kept(project).as_ref() == Some(&on_disk) {
            return None;
        }
        if let Err(unsound) = sound::check(py, changed.rest.files()) {
            if self.residents.keep(project, Some(on_disk)) {
                tracing::warn!(project, %unsound, "files were edited; going on with what is in memory");
            }
            return None;
        }
        if let Err(error) = bytecode::forget(py, changed.files()) {
            let error = Error::from(error);
            tracing::warn!(project, %error, "failed to look for compiled code of edited files");
        }
        let watch = py.detach(|| ProjectWatch::before_import(&location, plugins));
        tracing::info!(project, changed = ?first(&changed), "files changed on disk, importing the core anew");
        let start = Instant::now();
        let wanted = Wanted::for_leases(key.clone(), location);
        match self.import_watched(py, wanted, watch.core().clone()) {
            Ok(successor) => {
                self.residents.insert(&successor, watch);
                self.retire(py, state);
                tracing::info!(
                    project,
                    core = %successor.location().install_core().display(),
                    version = successor.location().version().unwrap_or("unknown"),
                    micros = start.elapsed().as_micros() as u64,
                    "imported anew, what was in memory is dropped"
                );
                Some(successor)
            }
            Err(error @ Error::CoreChanging { .. }) => {
                self.keep(project, &error);
                None
            }
            Err(error) => {
                if self.residents.keep(project, Some(on_disk)) {
                    tracing::warn!(
                        project, %error,
                        "failed to import what is on disk; going on with what is in memory"
                    );
                }
                None
            }
        }
    }

    /// Tells once that the core on disk is not whole.
    fn keep(&self, project: &str, error: &Error) {
        if self.residents.keep(project, Some(Kept::NotWhole)) {
            tracing::warn!(project, %error, "the core on disk is not whole; going on with the one in memory");
        }
    }
}

fn first(changed: &Changed) -> Vec<String> {
    changed.files().take(NAMED).map(|file| file.display().to_string()).collect()
}
