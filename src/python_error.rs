//! From Python exceptions to text.

use pyo3::prelude::*;
use pyo3::types::PyType;
use sgtk_config::PythonError;

/// A Python exception as text, with keys hidden. Attaches where the thread is not attached.
pub fn python_error(error: &PyErr) -> PythonError {
    Python::attach(|py| {
        let class = error.get_type(py);
        let message = match error.value(py).str() {
            Ok(text) => text.to_string_lossy().into_owned(),
            Err(_) => "<the exception's __str__ raised>".to_owned(),
        };
        let traceback = formatted(py, error);
        PythonError::new(qualified_name(&class), class_names(py, error), &message, traceback.as_deref())
    })
}

/// The names of the classes in the method resolution order of the exception's class, its own first.
pub(crate) fn class_names(py: Python<'_>, error: &PyErr) -> Vec<String> {
    error.get_type(py).mro().iter().filter_map(|base| plain_name(&base)).collect()
}

/// `module.Class`, or `Class` alone for a built-in.
fn qualified_name(class: &Bound<'_, PyType>) -> String {
    class
        .fully_qualified_name()
        .map_or_else(|_| "<unnamed exception>".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn plain_name(class: &Bound<'_, PyAny>) -> Option<String> {
    class.cast::<PyType>().ok()?.name().ok().map(|name| name.to_string_lossy().into_owned())
}

/// What `traceback.format_exception` makes of it, chained causes included.
fn formatted(py: Python<'_>, error: &PyErr) -> Option<String> {
    error.traceback(py)?;
    let lines = py
        .import("traceback")
        .and_then(|module| {
            module
                .call_method1("format_exception", (error.get_type(py), error.value(py), error.traceback(py)))
        })
        .and_then(|lines| lines.extract::<Vec<String>>())
        .ok()?;
    Some(lines.concat().trim_end().to_owned())
}
