//! Starts CPython correctly and stops it softly.
//!
//! [`Interpreter`] starts CPython from an isolated configuration: nothing in the environment (`PYTHONHOME`,
//! `PYTHONPATH`, another `python3` on `PATH`) has an effect on it, the program's signal handlers stay what
//! they were, and the Python executable that decides where the standard library and the installed packages
//! lie is tried before anything is initialised, as a failed initialisation cannot be repeated.
//!
//! An interpreter is never finalized: extension modules do not survive that. [`Interpreter::shutdown`] does
//! what leaves nothing lost: hooks, threads, `atexit`, flushed streams.

#[cfg(Py_GIL_DISABLED)]
compile_error!(
    "sgtk-host needs a CPython with the GIL: swapping a project's modules relies on no other thread running \
     Python meanwhile. Choose a build that is not free-threaded with PYO3_PYTHON."
);
#[cfg(any(PyPy, GraalPy))]
compile_error!(
    "sgtk-host embeds CPython through PyConfig, which PyPy and GraalPy do not have. Choose a CPython with \
     PYO3_PYTHON."
);

mod builder;
mod check;
mod config;
mod error;
mod executable;
mod finish;
mod library;
mod settings;
mod shutdown;
mod signals;
mod start;
pub(crate) mod thread_state;
mod threads;
mod version;

use std::path::Path;
use std::time::Duration;

pub use builder::InterpreterBuilder;
pub use error::{ExecutableFault, InterpreterError};
pub use start::Origin;
pub use version::PythonVersion;

/// The process's one interpreter, started: a handle that is cheap to copy and valid until the process ends.
///
/// Attach with [`Python::attach`](pyo3::Python::attach) once a start has returned, and not before: Python
/// calls itself initialised before it has run `site`, so a thread that attaches while another is starting it
/// may see half of it. Every thread may call [`start_default`](Self::start_default) instead, and comes back
/// to a complete interpreter.
///
/// # Examples
/// ```
/// use pyo3::prelude::*;
/// use sgtk_host::interpreter::{Interpreter, Origin};
///
/// let interpreter = Interpreter::start_default()?;
/// assert_eq!(interpreter.origin(), Origin::Started);
/// let two = Python::attach(|py| py.eval(c"1 + 1", None, None)?.extract::<u32>())?;
/// assert_eq!(two, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct Interpreter {
    running: &'static start::Running,
}

impl Interpreter {
    /// The interpreter, where a start has completed and no shutdown has begun. Never waits.
    pub fn current() -> Option<Self> {
        start::current().map(|running| Self { running })
    }

    /// Whether this crate started the interpreter, or joined one that the process already had.
    pub fn origin(&self) -> Origin {
        self.running.origin
    }

    /// The version of the library that runs.
    pub fn version(&self) -> PythonVersion {
        self.running.version
    }

    /// Python's `sys.executable`: what `sys.prefix` and the installed packages were found from. Empty where a
    /// joined interpreter has none.
    pub fn executable(&self) -> &Path {
        &self.running.executable
    }

    /// The file that CPython's code was loaded from: libpython, or the program itself where that is linked
    /// statically. `None` on platforms that cannot tell.
    pub fn library(&self) -> Option<&Path> {
        self.running.library.as_deref()
    }

    /// Has `hook` called when [`shutdown`](Self::shutdown) begins, while everything in Python still works.
    /// Hooks run on a thread of their own, attached, the last added first. A panic in one is logged and does
    /// not stop the others.
    ///
    /// # Errors
    /// [`InterpreterError::ShutDown`] when a shutdown has begun.
    pub fn on_shutdown(
        &self,
        hook: impl FnOnce(pyo3::Python<'_>) + Send + 'static,
    ) -> Result<(), InterpreterError> {
        shutdown::add(Box::new(hook))
    }

    /// Stops Python softly, for the end of the program, within `timeout`, or whatever it takes (`None`): runs
    /// the hooks, ends the executors of `concurrent.futures`, waits for the Python threads that are not
    /// daemons, runs the `atexit` callbacks (`logging` closes its handlers there) and flushes `sys.stdout`
    /// and `sys.stderr`. All that runs on a thread of its own.
    ///
    /// The interpreter is not finalized: attached threads go on, attaching goes on working, objects stay
    /// valid. No start succeeds any more. What hooks and callbacks raise is logged.
    ///
    /// An interpreter that was [joined](Origin::Joined) gets its hooks run and its streams flushed, and the
    /// rest is left to its owner.
    ///
    /// Further calls wait for the first to be over, and return at once when it is. May be called attached;
    /// the calling thread detaches while it waits.
    ///
    /// # Errors
    /// - [`InterpreterError::ShutdownTimedOut`] names what it was doing at the deadline, and the threads
    ///   alive. It goes on.
    /// - [`InterpreterError::ShutdownThread`]: nothing was done.
    /// - [`InterpreterError::ShutDown`] when called by a hook or an `atexit` callback of the shutdown itself.
    pub fn shutdown(&self, timeout: impl Into<Option<Duration>>) -> Result<(), InterpreterError> {
        shutdown::shutdown(self.origin(), timeout.into())
    }
}

impl std::fmt::Debug for Interpreter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Interpreter")
            .field("origin", &self.origin())
            .field("version", &self.version().to_string())
            .field("executable", &self.executable())
            .field("library", &self.library())
            .finish()
    }
}

// A handle for any thread.
const _: fn() = || {
    fn shared<T: Copy + Send + Sync>() {}
    shared::<Interpreter>();
};
