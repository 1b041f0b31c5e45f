//! The current folder.

use std::env;
use std::path::PathBuf;

use pyo3::prelude::*;

use crate::host::python::folder;
use crate::host::state::layers::Replaced;
use crate::host::state::part::{Part, Visit};

/// See the module's documentation. The project's folder is its own, and the daemon's is put back.
pub(crate) struct WorkingFolder;

impl Part for WorkingFolder {
    /// The folder that the project has changed to.
    type Share = Option<PathBuf>;

    fn new(_: Python<'_>) -> PyResult<Self> {
        Ok(Self)
    }

    fn empty(_: Python<'_>) -> Self::Share {
        None
    }

    fn enter(&mut self, visit: &mut Visit<'_, '_>, own: &mut Self::Share) -> PyResult<()> {
        folder::watch();
        let Some(path) = own.as_ref() else { return Ok(()) };
        folder::note();
        if let Err(error) = env::set_current_dir(path) {
            let (project, folder) = (visit.state.project(), path.display());
            tracing::warn!(project, %folder, %error, "failed to go to the project's current folder again");
            *own = None;
        }
        Ok(())
    }

    fn leave(&mut self, visit: &mut Visit<'_, '_>, own: &mut Self::Share) -> PyResult<()> {
        let Some(base) = folder::left() else {
            return Ok(());
        };
        *own = env::current_dir().ok().filter(|current| *current != base);
        if let Err(error) = env::set_current_dir(&base) {
            let (project, folder) = (visit.state.project(), base.display());
            tracing::error!(project, %folder, %error, "failed to go back to the daemon's current folder");
        }
        Ok(())
    }

    fn hand_on(_: Python<'_>, from: &mut Self::Share, to: &mut Self::Share, _: &mut Replaced) {
        *to = from.take();
    }

    fn keep_for_daemon(&mut self, _: &mut Visit<'_, '_>, own: &mut Self::Share) -> PyResult<()> {
        if *own != env::current_dir().ok() {
            // Where the daemon has gone meanwhile it stays.
            folder::left();
            *own = None;
        }
        Ok(())
    }
}
