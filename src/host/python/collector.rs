//! The garbage collector, paused.

use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(Py_3_10)]
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::import::import_for_host;

/// Keeps the garbage collector from running while an import state changes: an allocation may start it, and it
/// runs destructors, which are Python code.
pub(crate) struct CollectorPaused<'py> {
    // Not attached for again when dropped: attaching lets go of what detached threads have dropped, which
    // runs destructors.
    py: Python<'py>,
}

/// Whether the collector runs when the pause is over. Read and written with the interpreter held.
static RUNS_AFTERWARDS: AtomicBool = AtomicBool::new(true);

impl<'py> CollectorPaused<'py> {
    /// To be called before the first of them is made.
    pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
        prepare_collector(py)
    }

    pub(crate) fn new(py: Python<'py>) -> Self {
        RUNS_AFTERWARDS.store(set_collector(py, false), Ordering::Relaxed);
        Self { py }
    }

    /// Whether the collector was on before the pause, and is afterwards.
    pub(crate) fn runs_afterwards() -> bool {
        RUNS_AFTERWARDS.load(Ordering::Relaxed)
    }

    /// Has the collector on or off after the pause.
    pub(crate) fn set_runs_afterwards(on: bool) {
        RUNS_AFTERWARDS.store(on, Ordering::Relaxed);
    }
}

impl Drop for CollectorPaused<'_> {
    fn drop(&mut self) {
        if Self::runs_afterwards() {
            set_collector(self.py, true);
        }
    }
}

/// Keeps the collector from being started by allocations while Python code of the host's choice runs, which
/// may still turn it on and off, and collect. What the code has made counts as old afterwards.
pub(crate) struct Uncollected<'py> {
    gc: Bound<'py, PyModule>,
    thresholds: Bound<'py, PyTuple>,
}

impl<'py> Uncollected<'py> {
    pub(crate) fn new(py: Python<'py>) -> PyResult<Self> {
        let gc = import_for_host(py, "gc")?;
        let thresholds = gc.call_method0("get_threshold")?.cast_into::<PyTuple>()?;
        // Zero is never reached.
        gc.call_method1("set_threshold", (0,))?;
        Ok(Self { gc, thresholds })
    }

    /// Has what is young be old: else the next allocation has the collector look at all that was made.
    /// What somebody has frozen stays so.
    fn age(&self) -> PyResult<()> {
        if self.gc.call_method0("get_freeze_count")?.extract::<usize>()? == 0 {
            self.gc.call_method0("freeze")?;
            self.gc.call_method0("unfreeze")?;
        }
        Ok(())
    }
}

impl Drop for Uncollected<'_> {
    fn drop(&mut self) {
        let now = self.gc.call_method0("get_threshold").and_then(|now| now.get_item(0)?.extract::<i32>());
        if let Err(error) = self.age() {
            tracing::error!(%error, "failed to have the collector pass over what an import has made");
        }
        // Where the code has set others, those are to hold.
        if now.is_ok_and(|now| now == 0)
            && let Err(error) = self.gc.call_method1("set_threshold", &self.thresholds)
        {
            tracing::error!(%error, "failed to have the collector run as before");
        }
    }
}

#[cfg(Py_3_10)]
#[expect(clippy::unnecessary_wraps, reason = "CPython 3.9 has something to import here")]
fn prepare_collector(_attached: Python<'_>) -> PyResult<()> {
    Ok(())
}

/// Turns the collector on or off and tells whether it was on.
#[cfg(Py_3_10)]
fn set_collector(_attached: Python<'_>, on: bool) -> bool {
    // SAFETY: the interpreter is held; both calls only read and set a flag.
    unsafe { if on { ffi::PyGC_Enable() != 0 } else { ffi::PyGC_Disable() != 0 } }
}

/// CPython 3.9 has no C calls for it, only the functions of the module `gc`: `isenabled`, `enable`,
/// `disable`.
#[cfg(not(Py_3_10))]
static COLLECTOR: pyo3::sync::PyOnceLock<[Py<PyAny>; 3]> = pyo3::sync::PyOnceLock::new();

/// Imported ahead of time: the import function is wrapped, and asks for the world that is locked later.
#[cfg(not(Py_3_10))]
fn prepare_collector(py: Python<'_>) -> PyResult<()> {
    let gc = py.import("gc")?;
    let function = |name: &str| gc.getattr(name).map(Bound::unbind);
    let functions = [function("isenabled")?, function("enable")?, function("disable")?];
    // Another host may have been first; they are the same functions.
    let _ = COLLECTOR.set(py, functions);
    Ok(())
}

/// Turns the collector on or off and tells whether it was on.
#[cfg(not(Py_3_10))]
fn set_collector(py: Python<'_>, on: bool) -> bool {
    let Some([is_enabled, enable, disable]) = COLLECTOR.get(py) else { return false };
    // C functions without arguments, which cannot fail.
    let was_on = is_enabled.bind(py).call0().and_then(|on| on.is_truthy()).unwrap_or(false);
    let _ = if on { enable } else { disable }.bind(py).call0();
    was_on
}
