//! What a part of the import state is.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::layers::Replaced;
use crate::host::ownership::import_state::ImportState;
use crate::host::ownership::rules::Rules;

/// One kind of thing that a project's Toolkit puts into the interpreter: modules, path entries, loggers, and
/// so on.
///
/// The part itself knows the daemon's own; a share is what one project has of it. All methods run with the
/// world locked and the collector paused, and execute no Python code.
pub(crate) trait Part: Sized {
    /// What one project has of it.
    type Share;

    /// Gets to know what the daemon has.
    fn new(py: Python<'_>) -> PyResult<Self>;

    /// The share of a project that has nothing yet.
    fn empty(py: Python<'_>) -> Self::Share;

    /// Takes over what the daemon has changed, and puts the share in place. Does what it can where something
    /// fails.
    fn enter(&mut self, visit: &mut Visit<'_, '_>, share: &mut Self::Share) -> PyResult<()>;

    /// Takes what changed into the share, and puts the daemon's own in place. Does what it can where
    /// something fails.
    fn leave(&mut self, visit: &mut Visit<'_, '_>, share: &mut Self::Share) -> PyResult<()>;

    /// Counts what changed while the project was in place outside leases as the daemon's, but for what is the
    /// project's by its name or place. Called before [`leave`](Self::leave).
    fn keep_for_daemon(&mut self, visit: &mut Visit<'_, '_>, share: &mut Self::Share) -> PyResult<()>;

    /// Puts the daemon's own in place and leaves the share as it was when it was put there: what changed
    /// meanwhile is lost.
    fn undo(&mut self, visit: &mut Visit<'_, '_>, share: &mut Self::Share) -> PyResult<()> {
        self.leave(visit, share)
    }

    /// Hands what is the code's rather than its core's on to another share of it: that of a
    /// [guest](ImportState::is_guest_of), and back again. Neither is in place.
    fn hand_on(py: Python<'_>, from: &mut Self::Share, to: &mut Self::Share, replaced: &mut Replaced) {
        let _ = (py, from, to, replaced);
    }
}

/// A state that is being put in place or taken out.
pub(crate) struct Visit<'a, 'py> {
    pub(crate) py: Python<'py>,
    pub(crate) state: &'a Arc<ImportState>,
    pub(crate) rules: &'a mut Rules,
    /// What is let go of.
    pub(crate) replaced: &'a mut Replaced,
    /// Whether it is put in place for its first import.
    pub(crate) is_first: bool,
    /// Filled in by the modules for the parts after them: what they are is told by their modules.
    pub(crate) modules: Option<VisibleModules<'py>>,
    /// Filled in by the modules as well: another number whenever the daemon has other modules.
    pub(crate) daemons_modules: u64,
}

/// Modules by name.
pub(crate) struct VisibleModules<'py> {
    /// The project's.
    pub(crate) own: Bound<'py, PyDict>,
    /// The daemon's.
    pub(crate) base: Bound<'py, PyDict>,
}
