//! What can go wrong, told to the person who reads the daemon's log.

use std::path::PathBuf;
use std::time::Duration;

use pyo3::prelude::*;
use sgtk_config::{ConfigError, PythonError, SettingError};

use crate::engine::{BootstrapFailure, BootstrapStep};
use crate::interpreter::InterpreterError;
use crate::python_error::python_error;

/// What this crate's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Anything that can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The project's core could not be found from its files. Correct the file that the error names.
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
    /// Repair the core; the next lease tries again.
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

    /// An option of the host's or of a bootstrap's cannot work. The message says which, and what would.
    #[error(transparent)]
    Setting {
        /// Which option, and what is wrong with it.
        #[from]
        source: SettingError,
    },

    /// A call of a worker pool failed.
    #[cfg(unix)]
    #[error(transparent)]
    Pool {
        /// Why, and whether its function ran.
        #[from]
        source: sgtk_pool::PoolError,
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
        Self::Python { source: python_error(&error) }
    }
}
