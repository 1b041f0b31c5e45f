//! What a bootstrap calls back in the daemon.

use std::fmt;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyTuple};

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
pub(super) type PreEngineStart = Arc<dyn for<'py> Fn(&Bound<'py, PyAny>) -> PyResult<()> + Send + Sync>;

/// Functions of the daemon's that [`Host::bootstrap_with`](crate::Host::bootstrap_with) calls. None is
/// needed.
#[derive(Clone, Default)]
#[must_use]
pub struct BootstrapCallbacks {
    pub(super) on_progress: Option<OnProgress>,
    pub(super) user: Option<MakeUser>,
    pub(super) pre_engine_start: Option<PreEngineStart>,
}

impl BootstrapCallbacks {
    /// None of them.
    pub fn new() -> Self {
        Self::default()
    }

    /// Called with each step of the bootstrap, on the thread that bootstraps, detached from the interpreter.
    /// `Break` ends the bootstrap with an error that says so. A panic is logged, and the callback not called
    /// again.
    pub fn on_progress(
        mut self,
        callback: impl Fn(&Progress) -> ControlFlow<()> + Send + Sync + 'static,
    ) -> Self {
        self.on_progress = Some(Arc::new(callback));
        self
    }

    /// Has `make` make the user, in place of the options' script user: given the starting core's `sgtk`, it
    /// returns a `ShotgunUser`. A panic of it ends the bootstrap with an error.
    ///
    /// The user brings a site and a proxy of its own. Its secrets are not known here, and so are not hidden
    /// in errors and logs.
    pub fn user(
        mut self,
        make: impl for<'py> Fn(&Bound<'py, PyModule>) -> PyResult<Bound<'py, PyAny>> + Send + Sync + 'static,
    ) -> Self {
        self.user = Some(Arc::new(make));
        self
    }

    /// Called with the engine's context just before the engine starts: Toolkit's `pre_engine_start_callback`,
    /// on the thread that bootstraps, attached to the interpreter, with the project's core in place. It comes
    /// after what [`BootstrapBuilder::pre_engine_hook`](crate::BootstrapBuilder::pre_engine_hook) and
    /// [`synchronize_filesystem_structure`](crate::BootstrapBuilder::synchronize_filesystem_structure) ask
    /// for. An error of it, or a panic, ends the bootstrap.
    pub fn pre_engine_start(
        mut self,
        callback: impl for<'py> Fn(&Bound<'py, PyAny>) -> PyResult<()> + Send + Sync + 'static,
    ) -> Self {
        self.pre_engine_start = Some(Arc::new(callback));
        self
    }

    /// What makes the user, for Python code to call.
    pub(super) fn user_function<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyCFunction>>> {
        let Some(make) = self.user.clone() else { return Ok(None) };
        let call = move |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| {
            let sgtk = arguments.get_item(0)?.cast_into::<PyModule>()?;
            guarded("that makes the user", || make(&sgtk).map(Bound::unbind))
        };
        PyCFunction::new_closure(py, None, None, call).map(Some)
    }

    /// What is to be called before the engine starts, for Python code to call.
    pub(super) fn pre_engine_function<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<Option<Bound<'py, PyCFunction>>> {
        let Some(callback) = self.pre_engine_start.clone() else { return Ok(None) };
        let call = move |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| {
            let context = arguments.get_item(0)?;
            guarded("before the engine's start", || callback(&context))
        };
        PyCFunction::new_closure(py, None, None, call).map(Some)
    }
}

/// Calls a function of the daemon's. A panic of it is an error: as an exception of Python's, it would unwind
/// again where Python's code has ended.
fn guarded<T>(which: &str, body: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(body))
        .unwrap_or_else(|_| Err(PyRuntimeError::new_err(format!("the callback {which} panicked"))))
}

/// Says which are set.
impl fmt::Debug for BootstrapCallbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BootstrapCallbacks")
            .field("on_progress", &self.on_progress.is_some())
            .field("user", &self.user.is_some())
            .field("pre_engine_start", &self.pre_engine_start.is_some())
            .finish()
    }
}
