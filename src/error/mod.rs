//! What can go wrong, told to the person who reads the daemon's log.

mod failure;
mod step;

use std::path::PathBuf;
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use sgtk_config::{ConfigError, CoreChanging, PythonError, SettingError};

use crate::interpreter::InterpreterError;
use crate::python_error::python_error;

pub use failure::BootstrapFailure;
pub use step::BootstrapStep;

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

    /// The core's own code raised while it was imported, or did not end in time. The interpreter is as it was
    /// before. Repair the core; the next lease tries again.
    #[error(
        "failed to import sgtk for project '{project}' from core {core} ({version}): {cause}",
        core = core.display()
    )]
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

    /// The daemon's own function for new imports ([`HostBuilder::on_import`](crate::HostBuilder::on_import))
    /// failed. The core was dropped, and the interpreter is as it was before; the next lease imports it
    /// again.
    #[error("failed to prepare the core {core} for project '{project}': {cause}", core = core.display())]
    OnImport {
        /// The project.
        project: String,
        /// The core's install folder.
        core: PathBuf,
        /// What was raised. It is part of the message, so `source()` does not give it again.
        cause: Box<PythonError>,
    },

    /// `sgtk` could be imported, but not from the core that is the project's. The interpreter is as it was
    /// before. The core is damaged, or changes `sys.path` in a way that leads elsewhere.
    #[error(
        "project '{project}' did not get its own core: '{module}' was expected from {expected} and is \
         {found}",
        expected = expected.display()
    )]
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

    /// The core's files are being replaced, so that an import would get some of the old core and some of the
    /// new. Where a core of the project's is in memory, leases go on with that one instead. Try again once
    /// the upgrade is over.
    #[error(
        "the core of project '{project}' in {core} is being changed: {found}; an upgrade may be running",
        core = core.display()
    )]
    CoreChanging {
        /// The project.
        project: String,
        /// The core's install folder.
        core: PathBuf,
        /// What shows it.
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

    /// A thread asked for a project while it holds another: it would wait for itself. End the first lease
    /// before.
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
    #[error("project '{project}' did not get its turn within {waited:?}: project '{holder}' is in place")]
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

    /// A project's code bootstraps by itself on a thread that does not hold its lease, where another core
    /// would be everybody's. Bootstrap in the lease, or with [`Host::bootstrap`](crate::Host::bootstrap).
    #[error(
        "cannot put the core {core} in place outside a lease of its project, for a bootstrap by {by}",
        core = core.display()
    )]
    OutsideLease {
        /// The core's `python` folder.
        core: PathBuf,
        /// The code that bootstraps.
        by: String,
    },

    /// A bootstrap failed. What it had begun is undone: the interpreter is as it was before, and the next
    /// bootstrap can begin.
    #[error("failed to bootstrap {target} at the step '{step}' ({kind}): {cause}")]
    Bootstrap {
        /// What was to be bootstrapped.
        target: String,
        /// How far it came.
        step: BootstrapStep,
        /// What kind of failure it is.
        kind: BootstrapFailure,
        /// What went wrong: a Python exception, or an error of the host's. It is part of the message, so
        /// `source()` does not give it again.
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

    /// Another bootstrap of the same folder in the site's cache, in this or in another process, went on for
    /// longer than this one was to wait for it.
    #[error(
        "{path} is locked by another bootstrap: {holder} holds it, after {waited:?} of waiting",
        path = path.display()
    )]
    FolderLocked {
        /// The lock's file.
        path: PathBuf,
        /// The process that holds it, as it says itself.
        holder: String,
        /// How long this one waited.
        waited: Duration,
    },

    /// An engine's own code raised while it was destroyed. It is gone all the same, with its modules.
    #[error("failed to destroy the engine of {target} cleanly: {cause}")]
    Destroy {
        /// What was bootstrapped.
        target: String,
        /// What was raised. It is part of the message, so `source()` does not give it again.
        cause: Box<PythonError>,
    },

    /// Threads of an engine that was destroyed did not end when they were asked to: they wait in C code, or
    /// swallow what asks them. Their modules stay in memory as long as they run.
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

    /// A worker pool's error, for callers that use both and return one.
    #[cfg(unix)]
    #[error(transparent)]
    Pool {
        /// What the pool said.
        #[from]
        source: sgtk_pool::PoolError,
    },

    /// Python code of the caller's own raised, inside [`Host::with_sgtk`](crate::Host::with_sgtk) for
    /// instance.
    #[error(transparent)]
    Python {
        /// The exception, as text.
        #[from]
        source: PythonError,
    },
}

/// For code that is called by Python, or by [`Host::with_sgtk`](crate::Host::with_sgtk), and uses the library
/// itself: a `RuntimeError` with the error and its causes as its message.
impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
        let message = causes.fold(error.to_string(), |message, cause| format!("{message}: {cause}"));
        PyRuntimeError::new_err(message)
    }
}

impl From<CoreChanging> for Error {
    fn from(changing: CoreChanging) -> Self {
        let CoreChanging { project, core, found, .. } = changing;
        Self::CoreChanging { project, core, found }
    }
}

impl From<PyErr> for Error {
    fn from(error: PyErr) -> Self {
        Self::Python { source: python_error(&error) }
    }
}

#[cfg(test)]
mod tests {
    use sgtk_config::SettingError;

    use super::*;

    #[test]
    fn an_error_becomes_an_exception_of_pythons_with_all_that_it_says() {
        crate::interpreter::Interpreter::start_default().unwrap();
        let error = Error::from(SettingError::new("exempt", "'sgtk'", "it is the core's own"));
        let text = error.to_string();
        Python::attach(|py| {
            let raised = PyErr::from(error);
            assert!(raised.is_instance_of::<PyRuntimeError>(py));
            assert_eq!(raised.value(py).to_string(), text);
        });
    }
}
