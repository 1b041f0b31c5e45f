//! What a bootstrap calls back in the daemon.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use pyo3::prelude::*;

/// How far a bootstrap has come.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// From 0.0 to 1.0, never less than before. 1.0 comes once, when the engine can be used.
    pub fraction: f64,
    /// What Toolkit says it is doing.
    pub message: String,
}

pub(super) type OnProgress = Arc<dyn Fn(&Progress) -> ControlFlow<()> + Send + Sync>;
pub(super) type MakeUser =
    Arc<dyn for<'py> Fn(&Bound<'py, PyModule>) -> PyResult<Bound<'py, PyAny>> + Send + Sync>;

/// Functions of the daemon's that [`Host::bootstrap_with`](crate::Host::bootstrap_with) calls. None is needed.
#[derive(Clone, Default)]
#[must_use]
pub struct BootstrapCallbacks {
    pub(super) on_progress: Option<OnProgress>,
    pub(super) user: Option<MakeUser>,
}

impl BootstrapCallbacks {
    /// None of them.
    pub fn new() -> Self {
        Self::default()
    }

    /// Called with each step of the bootstrap, on the thread that bootstraps, detached from the interpreter. `Break` ends
    /// the bootstrap with an error that says so. A panic is logged, and the callback not called again.
    pub fn on_progress(
        mut self,
        callback: impl Fn(&Progress) -> ControlFlow<()> + Send + Sync + 'static,
    ) -> Self {
        self.on_progress = Some(Arc::new(callback));
        self
    }

    /// Has `make` make the user, in place of the options' script user: given the starting core's `sgtk`, it returns a
    /// `ShotgunUser`. A panic of it ends the bootstrap with an error.
    ///
    /// The user brings a site and a proxy of its own. Its secrets are not known here, and so are not hidden in errors and
    /// logs.
    pub fn user(
        mut self,
        make: impl for<'py> Fn(&Bound<'py, PyModule>) -> PyResult<Bound<'py, PyAny>> + Send + Sync + 'static,
    ) -> Self {
        self.user = Some(Arc::new(make));
        self
    }
}

/// Says which are set.
impl fmt::Debug for BootstrapCallbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BootstrapCallbacks")
            .field("on_progress", &self.on_progress.is_some())
            .field("user", &self.user.is_some())
            .finish()
    }
}
