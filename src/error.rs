//! What can go wrong, told to the person who reads the daemon's log.

use std::fmt;

use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::config::ConfigError;
use crate::interpreter::InterpreterError;

/// What this crate's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Anything that can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The project's core could not be found from its files. Mend the file that the error names.
    #[error(transparent)]
    Config {
        /// Which rule failed, on which file.
        #[from]
        source: ConfigError,
    },

    /// The interpreter could not be started or used.
    #[error(transparent)]
    Interpreter {
        /// What is wrong with it.
        #[from]
        source: InterpreterError,
    },

    /// Python code of the caller's own raised, inside [`Host::with_sgtk`](crate::Host::with_sgtk) for instance.
    #[error(transparent)]
    Python {
        /// The exception, as text.
        #[from]
        source: PythonError,
    },
}

impl From<PyErr> for Error {
    fn from(error: PyErr) -> Self {
        Self::Python { source: error.into() }
    }
}

/// A Python exception as owned text: it keeps nothing of the interpreter alive and is `Send` and `Sync`.
///
/// `Display` gives the traceback as Python prints it, or `type: message` where there is none.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PythonError {
    /// The exception's class, with its module where that is not `builtins`.
    pub type_name: String,
    /// The names of all classes in the exception class's method resolution order, its own first. Toolkit's exceptions
    /// are to be classified by these names: after a core was swapped their classes are others of the same name.
    pub mro: Vec<String>,
    /// `str(exception)`, or a placeholder where that raised.
    pub message: String,
    /// The traceback with the causes of the exception, as Python prints it, where there is one.
    pub traceback: Option<String>,
}

impl PythonError {
    /// Whether the exception's class, or one of its bases, is called `name` (without its module).
    pub fn is_a(&self, name: &str) -> bool {
        self.mro.iter().any(|class| class == name)
    }

    fn from_attached(py: Python<'_>, error: &PyErr) -> Self {
        let class = error.get_type(py);
        let value = error.value(py);
        let message = match value.str() {
            Ok(text) => text.to_string_lossy().into_owned(),
            Err(_) => "<the exception's __str__ raised>".to_owned(),
        };
        Self {
            type_name: qualified_name(&class),
            mro: class.mro().iter().filter_map(|base| plain_name(&base)).collect(),
            message,
            traceback: formatted(py, error),
        }
    }
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

impl From<PyErr> for PythonError {
    fn from(error: PyErr) -> Self {
        Python::attach(|py| Self::from_attached(py, &error))
    }
}

impl fmt::Display for PythonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.traceback {
            Some(traceback) => f.write_str(traceback),
            None if self.message.is_empty() => f.write_str(&self.type_name),
            None => write!(f, "{}: {}", self.type_name, self.message),
        }
    }
}

impl fmt::Debug for PythonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for PythonError {}
