//! One bootstrap on its way: what Toolkit's code calls back into, and what became of it.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, MutexGuard};
use pyo3::create_exception;
use pyo3::exceptions::{PyBaseException, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyTuple};

use sgtk_config::Bootstrap;
use sgtk_config::keys::redacted;

use super::callbacks::{BootstrapCallbacks, OnProgress, Progress};
use crate::error::{BootstrapStep, Error, Result};
use crate::host::PrivateState;

create_exception!(
    sgtk_host,
    BootstrapEnded,
    PyBaseException,
    "Ends a bootstrap from within: the host knows why. No exception that Toolkit's code would handle."
);

/// The most that is told before the engine can be used.
const ALMOST: f64 = 0.99;

/// See the module's documentation.
///
/// The functions that Toolkit's code is given know it weakly: they may outlive it in garbage of Python's,
/// which could not see that they hold what in turn holds them.
pub(super) struct Attempt {
    target: String,
    state: Arc<PrivateState>,
    progress: Mutex<Reported>,
    on_progress: Mutex<Option<OnProgress>>,
}

struct Reported {
    step: BootstrapStep,
    fraction: f64,
    message: String,
    /// Why the bootstrap was ended from within, and at which step.
    ended: Option<(BootstrapStep, Error)>,
    /// The lock to wait for, outside this turn.
    locked: Option<String>,
}

impl Attempt {
    /// `reached` is how far the attempt before has come, of one that had to wait.
    pub(super) fn new(
        bootstrap: &Bootstrap,
        callbacks: &BootstrapCallbacks,
        state: &Arc<PrivateState>,
        reached: f64,
    ) -> Arc<Self> {
        Arc::new(Self {
            target: bootstrap.to_string(),
            state: Arc::clone(state),
            progress: Mutex::new(Reported {
                step: BootstrapStep::ImportCore,
                fraction: reached,
                message: String::new(),
                ended: None,
                locked: None,
            }),
            on_progress: Mutex::new(callbacks.on_progress.clone()),
        })
    }

    fn reported(&self) -> MutexGuard<'_, Reported> {
        // Held for moments only, and never while Python code or a callback runs.
        self.progress.lock()
    }

    pub(super) fn step(&self) -> BootstrapStep {
        self.reported().step
    }

    pub(super) fn enter(&self, step: BootstrapStep) {
        self.reported().step = step;
        tracing::debug!(target = self.target, %step, "bootstrap step");
    }

    /// Why the bootstrap was ended from within, where it was, and at which step.
    pub(super) fn why_ended(&self) -> Option<(BootstrapStep, Error)> {
        self.reported().ended.take()
    }

    /// The lock to wait for before the next attempt, where somebody else holds it.
    pub(super) fn locked(&self) -> Option<String> {
        self.reported().locked.clone()
    }

    pub(super) fn fraction(&self) -> f64 {
        self.reported().fraction
    }

    /// Tells that the engine can be used: the one time that the fraction is 1.0.
    pub(super) fn complete(&self, py: Python<'_>) {
        let progress = Progress { fraction: 1.0, message: self.reported().message.clone() };
        // Too late to stop anything.
        let _ = self.tell(py, &progress);
    }

    /// Notes how far Toolkit says it is, which goes backwards and repeats itself at times.
    fn report(&self, py: Python<'_>, fraction: Option<f64>, message: &str) -> Result<(), PyErr> {
        let progress = {
            let mut reported = self.reported();
            let fraction = fraction.filter(|fraction| fraction.is_finite()).unwrap_or(reported.fraction);
            let is_end = fraction >= 1.0;
            reported.message = redacted(message).into_owned();
            reported.fraction = fraction.clamp(reported.fraction, ALMOST.max(reported.fraction));
            if let Some(step) = BootstrapStep::at(fraction).filter(|step| *step > reported.step) {
                reported.step = step;
            }
            // Its end is not ours: the engine is to be looked at yet.
            (!is_end).then(|| Progress { fraction: reported.fraction, message: reported.message.clone() })
        };
        match progress {
            Some(progress) if self.tell(py, &progress).is_break() => {
                Err(self.end(Error::BootstrapStopped { target: self.target.clone(), step: self.step() }))
            }
            _ => Ok(()),
        }
    }

    /// Tells `tracing` and the callback.
    fn tell(&self, py: Python<'_>, progress: &Progress) -> ControlFlow<()> {
        let Progress { fraction, message } = progress;
        tracing::info!(target = self.target, fraction, message, "bootstrap progress");
        let callback = self.on_progress.lock().clone();
        let Some(callback) = callback else { return ControlFlow::Continue(()) };
        // Detached, as it may wait for a thread that waits for the interpreter.
        match py.detach(|| catch_unwind(AssertUnwindSafe(|| callback(progress)))) {
            Ok(flow) => flow,
            Err(_) => {
                tracing::error!(
                    target = self.target,
                    "the progress callback panicked, and is not called again"
                );
                *self.on_progress.lock() = None;
                ControlFlow::Continue(())
            }
        }
    }

    fn swap(&self, py: Python<'_>, python_folder: &Path) -> Result<(), PyErr> {
        let swapped = self.state.configs().bootstrapped_core(&self.target, python_folder);
        let swapped = swapped.map_err(Error::from).and_then(|location| self.state.swap(py, location));
        swapped.map_err(|error| self.end(error))
    }

    /// The exception that ends the bootstrap, for a reason of the host's.
    fn end(&self, why: Error) -> PyErr {
        let text = why.to_string();
        let mut reported = self.reported();
        let step = reported.step;
        // The first reason is the one to tell: code that swallows it may run into others.
        reported.ended.get_or_insert((step, why));
        BootstrapEnded::new_err(text)
    }

    /// The function that the turn at the folder takes: `busy`.
    pub(super) fn busy<'py>(self: &Arc<Self>, py: Python<'py>) -> PyResult<Bound<'py, PyCFunction>> {
        let refuse = || Err(PyRuntimeError::new_err("the bootstrap that waits is over"));
        function(py, self, refuse, |attempt, arguments| {
            let path: String = arguments.get_item(0)?.extract()?;
            attempt.reported().locked = Some(path);
            Err(BootstrapEnded::new_err("another bootstrap of the same folder is on its way"))
        })
    }

    /// The functions that the steps in Python take: `enter`, `progress`, `swap_core`.
    pub(super) fn functions<'py>(
        self: &Arc<Self>,
        py: Python<'py>,
    ) -> PyResult<[Bound<'py, PyCFunction>; 3]> {
        let nothing = || Ok(());
        let enter = function(py, self, nothing, |attempt, arguments| {
            let name: String = arguments.get_item(0)?.extract()?;
            BootstrapStep::named(&name).into_iter().for_each(|step| attempt.enter(step));
            Ok(())
        })?;
        let progress = function(py, self, nothing, |attempt, arguments| {
            // Old cores may call with (message, index, count).
            let (fraction, message) = match arguments.get_item(0)?.extract::<f64>() {
                Ok(fraction) => (Some(fraction), arguments.get_item(1).ok()),
                Err(_) => (None, arguments.get_item(0).ok()),
            };
            let message = message.and_then(|message| message.str().ok());
            let message = message.map(|message| message.to_string_lossy().into_owned()).unwrap_or_default();
            attempt.report(arguments.py(), fraction, &message)
        })?;
        // Left undone silently, the caller would go on with another core than was asked for.
        let refuse = || Err(PyRuntimeError::new_err("the bootstrap that this core swap was for is over"));
        let swap_core = function(py, self, refuse, |attempt, arguments| {
            let python_folder: std::path::PathBuf = arguments.get_item(0)?.extract()?;
            attempt.swap(arguments.py(), &python_folder)
        })?;
        Ok([enter, progress, swap_core])
    }
}

/// A function for Python code to call; `when_over` is what it does once the attempt is over.
fn function<'py>(
    py: Python<'py>,
    attempt: &Arc<Attempt>,
    when_over: impl Fn() -> PyResult<()> + Send + Sync + 'static,
    body: impl Fn(&Arc<Attempt>, &Bound<'_, PyTuple>) -> PyResult<()> + Send + Sync + 'static,
) -> PyResult<Bound<'py, PyCFunction>> {
    let attempt: Weak<Attempt> = Arc::downgrade(attempt);
    let call = move |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| -> PyResult<()> {
        attempt.upgrade().map_or_else(&when_over, |attempt| body(&attempt, arguments))
    };
    PyCFunction::new_closure(py, None, None, call)
}
