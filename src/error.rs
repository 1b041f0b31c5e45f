//! What can go wrong, told to the person who reads the daemon's log.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::config::ConfigError;
use crate::engine::{BootstrapFailure, BootstrapStep};
use crate::interpreter::InterpreterError;
use crate::secrets::redacted;

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

    /// The core's own code raised while it was imported, or did not end in time. The interpreter is as it was before.
    /// Mend the core; the next lease tries again.
    #[error("failed to import sgtk for project '{project}' from core {core} ({version}): {cause}", core = core.display())]
    Import {
        /// The project.
        project: String,
        /// The core's install folder.
        core: PathBuf,
        /// The core's version, or `unknown`.
        version: String,
        /// What was raised. It is part of the message, so `source()` does not give it again.
        cause: Box<PythonError>,
    },

    /// `sgtk` could be imported, but not from the core that is the project's. The interpreter is as it was before. The
    /// core is damaged, or changes `sys.path` in a way that leads elsewhere.
    #[error("project '{project}' did not get its own core: '{module}' was expected from {expected} and is {found}", expected = expected.display())]
    WrongCore {
        /// The project.
        project: String,
        /// The module that is wrong.
        module: String,
        /// The install folder of the project's core.
        expected: PathBuf,
        /// Where the module is from, or what it is.
        found: String,
    },

    /// A path that Python has to be given as text is none.
    #[error("cannot use {path} for project '{project}': {reason}", path = path.display())]
    UnusablePath {
        /// The project.
        project: String,
        /// The path.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },

    /// A thread asked for a project while it holds another: it would wait for itself. End the first lease before.
    #[error(
        "cannot lease project '{project}' on a thread that holds project '{held}': it would wait for itself"
    )]
    NestedLease {
        /// The project that was asked for.
        project: String,
        /// The project that the thread holds.
        held: String,
    },

    /// The project's turn did not come in time. Make leases shorter, or the limit longer.
    #[error("project '{project}' got no turn within {waited:?}: project '{holder}' is in place")]
    LeaseTimeout {
        /// The project that was asked for.
        project: String,
        /// How long it waited.
        waited: Duration,
        /// The project that was in place, being put there or taken out at the end of the wait.
        holder: String,
    },

    /// The project's import state was dropped while somebody waited to use it. Lease the project again.
    #[error("the core of project '{project}' was dropped or imported anew meanwhile")]
    Dropped {
        /// The project.
        project: String,
    },

    /// Code has taken `sgtk` out of `sys.modules` while the project was in place. Lease the project again.
    #[error("'sgtk' of project '{project}' is not in place any more")]
    NotInPlace {
        /// The project.
        project: String,
    },

    /// A bootstrap failed. What it had begun is undone: the interpreter is as it was before, and the next bootstrap can begin.
    #[error("failed to bootstrap {target} at the step '{step}' ({kind}): {cause}")]
    Bootstrap {
        /// What was to be bootstrapped.
        target: String,
        /// How far it came.
        step: BootstrapStep,
        /// What kind of failure it is.
        kind: BootstrapFailure,
        /// What went wrong: a Python exception, or an error of the host's. It is part of the message, so `source()` does
        /// not give it again.
        cause: Box<Error>,
    },

    /// The progress callback of a bootstrap asked for its end. What it had begun is undone.
    #[error("the bootstrap of {target} was ended at the step '{step}', as its progress callback asked")]
    BootstrapStopped {
        /// What was to be bootstrapped.
        target: String,
        /// How far it came.
        step: BootstrapStep,
    },

    /// An engine's own code raised while it was destroyed. It is gone all the same, with its modules.
    #[error("failed to destroy the engine of {target} in good order: {cause}")]
    Destroy {
        /// What was bootstrapped.
        target: String,
        /// What was raised. It is part of the message, so `source()` does not give it again.
        cause: Box<PythonError>,
    },

    /// Threads of an engine that was destroyed did not end when they were asked to: they wait in C code, or swallow what
    /// asks them. Their modules stay in memory as long as they run.
    #[error("threads of {target} did not end: {}", threads.join(", "))]
    ThreadsLeft {
        /// What was bootstrapped.
        target: String,
        /// The threads' names.
        threads: Vec<String>,
    },

    /// The host was shut down. Make another one.
    #[error("cannot use {target}: the host was shut down")]
    HostShutDown {
        /// What was asked for.
        target: String,
    },

    /// A setting of the host's or of a bootstrap's cannot work. The message says which, and what would.
    #[error("cannot use {setting} {value}: {reason}")]
    Setting {
        /// The name of the builder's method.
        setting: &'static str,
        /// The value that was given.
        value: String,
        /// What is wrong with it.
        reason: String,
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

    /// The names of the classes in the method resolution order of the exception's class, its own first.
    pub(crate) fn class_names(py: Python<'_>, error: &PyErr) -> Vec<String> {
        error.get_type(py).mro().iter().filter_map(|base| plain_name(&base)).collect()
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
            mro: Self::class_names(py, error),
            message: redacted(&message).into_owned(),
            traceback: formatted(py, error).map(|text| redacted(&text).into_owned()),
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
