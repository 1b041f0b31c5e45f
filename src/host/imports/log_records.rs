//! Python's log records of Toolkit as `tracing` events.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::host::lease::forked;
use crate::host::python::import::import_for_host;
use sgtk_config::keys::redacted;

/// Gives the `sgtk` and `tank` loggers of the project that is in place a handler that forwards their records.
///
/// Before the core is imported, so that what it logs meanwhile is forwarded too. The handler is parked with
/// its loggers.
pub(crate) fn forward(py: Python<'_>, project: &str) -> PyResult<()> {
    let handler = handler_class(py)?.call1((project, wrap_pyfunction!(emit, py)?))?;
    let logging = import_for_host(py, "logging")?;
    for name in ["sgtk", "tank"] {
        logging.call_method1("getLogger", (name,))?.call_method1("addHandler", (&handler,))?;
    }
    Ok(())
}

/// A subclass of `logging.Handler`, which only Python code can make.
fn handler_class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let namespace = PyDict::new(py);
    py.run(
        c"
import logging
import sys

HANDLE = logging.Handler.handle.__code__

def is_echo(record, message):
    # Engines without a log of their own write each record to another logger of Toolkit's, from within a handler.
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code is HANDLE:
            other = frame.f_locals.get('record')
            if other is not None and other is not record and other.name.partition('.')[0] in ('sgtk', 'tank'):
                if other.getMessage() in message:
                    return True
        frame = frame.f_back
    return False

class TracingHandler(logging.Handler):
    'Hands records to the Rust host.'

    def __init__(self, project, forward):
        super().__init__()
        self._project = project
        self._forward = forward

    def emit(self, record):
        try:
            message = self.format(record)
        except Exception as error:
            message = f'{record.msg!r} (cannot be formatted: {error!r})'
        try:
            if is_echo(record, message):
                return
            self._forward(self._project, str(record.name), int(record.levelno), message)
        except Exception:
            self.handleError(record)
",
        Some(&namespace),
        None,
    )?;
    namespace
        .get_item("TracingHandler")?
        .ok_or_else(|| pyo3::exceptions::PyNameError::new_err("TracingHandler"))
}

/// Emits one record. Levels between two of `tracing`'s count as the lower one.
#[pyfunction]
fn emit(project: &str, logger: &Bound<'_, PyString>, level: i64, message: &Bound<'_, PyString>) {
    let py = logger.py();
    // File names that are not UTF-8 come with surrogates.
    let (logger, message) = (logger.to_string_lossy(), message.to_string_lossy());
    if forked::is_child() {
        // Who takes the daemon's events may have been locked by a thread that is not there.
        return forked::say(py, &format!("{project}: {logger}: {message}"));
    }
    let (logger, message) = (logger.as_ref(), redacted(&message));
    match level {
        ..10 => tracing::trace!(target: "sgtk", project, logger, "{message}"),
        10..20 => tracing::debug!(target: "sgtk", project, logger, "{message}"),
        20..30 => tracing::info!(target: "sgtk", project, logger, "{message}"),
        30..40 => tracing::warn!(target: "sgtk", project, logger, "{message}"),
        _ => tracing::error!(target: "sgtk", project, logger, "{message}"),
    }
}
