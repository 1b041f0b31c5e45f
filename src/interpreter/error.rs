//! Why the interpreter could not be started or stopped.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use super::version::PythonVersion;
use sgtk_config::PythonError;

/// Why the interpreter could not be started or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InterpreterError {
    /// The chosen Python executable cannot be run as. Nothing was initialised: choose another and start
    /// again.
    #[error("{} cannot be the Python of this process", path.display())]
    Executable {
        /// The executable as it was chosen.
        path: PathBuf,
        /// What is wrong with it.
        source: ExecutableFault,
    },

    /// No executable was chosen, and there is neither the one this crate was linked with nor one that belongs
    /// to the loaded libpython. Choose one with
    /// [`InterpreterBuilder::executable`](super::InterpreterBuilder::executable).
    #[error("no Python executable for libpython {version} was found, tried {}", listed(tried))]
    NoExecutable {
        /// The version that is linked.
        version: PythonVersion,
        /// The files that do not exist.
        tried: Vec<PathBuf>,
    },

    /// The loaded libpython is not of the version that this crate was compiled for: a library of another name
    /// was put in its place. Build again with the Python that is to be used (`PYO3_PYTHON`), and link its run
    /// path.
    #[error("compiled for Python {compiled}, but the loaded libpython is {}", or_unknown(*loaded))]
    Library {
        /// Major and minor version that was compiled for.
        compiled: &'static str,
        /// The version that was loaded, where it could be told.
        loaded: Option<PythonVersion>,
    },

    /// CPython refused to initialise, or broke off half-way, as it does when a package's start-up code
    /// (`sitecustomize`, a `.pth` file) raises `SystemExit`. It cannot be tried again in this process: repair
    /// the Python and restart the program.
    #[error("CPython did not initialise{}: {reason}", function.as_ref().map(|name| format!(" ({name})")).unwrap_or_default())]
    Initialization {
        /// The C function that reported it, where it is known.
        function: Option<String>,
        /// What it said.
        reason: String,
    },

    /// Initialised, but Python code that completes the start raised: the standard library is damaged or
    /// shadowed. It cannot be tried again in this process.
    #[error("CPython was initialised, but its start did not complete")]
    Incomplete {
        /// What was raised.
        source: PythonError,
    },

    /// An earlier start in this process failed after initialisation had begun. Restart the program.
    #[error("an earlier start failed for good: {reason}")]
    Failed {
        /// The message of the earlier error.
        reason: String,
    },

    /// The interpreter runs already and was started with another value of an option that was set now. Leave
    /// the option unset, or set it to the same value wherever the process starts the interpreter.
    #[error("the interpreter runs with {setting} {running}, asked for was {wanted}")]
    OtherSettings {
        /// The builder's option.
        setting: &'static str,
        /// The value it was started with.
        running: String,
        /// The value that was set now.
        wanted: String,
    },

    /// Code that runs as part of the start (`sitecustomize`, a `.pth` file) asked for a start itself, which
    /// would wait for itself.
    #[error("the interpreter is being started by this very thread")]
    Reentered,

    /// The process's interpreter, which something else started, is being finalized by its owner.
    #[error("the interpreter of this process is being finalized")]
    Finalizing,

    /// [`Interpreter::shutdown`](super::Interpreter::shutdown) has begun or is over; it is final for the
    /// process.
    #[error("the interpreter of this process was shut down")]
    ShutDown,

    /// Shutting down was not over at the deadline. It goes on; calling it again waits for the rest.
    #[error("shutdown was not over after {} s: {phase}{}", waited.as_secs_f64(), alive(threads))]
    ShutdownTimedOut {
        /// What it was doing.
        phase: &'static str,
        /// The limit that was given.
        waited: Duration,
        /// The names of the Python threads that are alive and not daemons.
        threads: Vec<String>,
    },

    /// The thread that shutting down runs on could not be made. Call it again.
    #[error("the thread to shut down on could not be started")]
    ShutdownThread {
        /// What the system said.
        source: io::Error,
    },
}

impl InterpreterError {
    /// Whether this process cannot have an interpreter any more.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Initialization { .. } | Self::Incomplete { .. })
    }
}

/// What is wrong with a Python executable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecutableFault {
    /// The file is missing, a folder, not executable, or no program.
    #[error("it does not run")]
    Unrunnable {
        /// What the system said.
        source: io::Error,
    },

    /// It had not told its version when the time was over. Allow more with
    /// [`InterpreterBuilder::check_timeout`](super::InterpreterBuilder::check_timeout) where the file lies on
    /// a slow drive.
    #[error("it did not report its version within {} s", limit.as_secs_f64())]
    Hung {
        /// The limit.
        limit: Duration,
    },

    /// It ended with an error instead of telling its version, as programs do that are not Python 3.
    #[error("it should tell its version but ended with {status}, standard error: {stderr:?}")]
    Exited {
        /// How it ended.
        status: ExitStatus,
        /// What it wrote to standard error.
        stderr: String,
    },

    /// It ran but did not answer as a Python does.
    #[error("it should tell its version but wrote {stdout:?}")]
    Answer {
        /// The beginning of what it wrote to standard output.
        stdout: String,
    },

    /// It is a Python of another implementation, such as PyPy.
    #[error("expected cpython, found {found}")]
    Implementation {
        /// What it calls itself.
        found: String,
    },

    /// It is a CPython without the GIL, whose modules are of another kind.
    #[error("expected a Python with the GIL, found a free-threaded one")]
    FreeThreaded,

    /// It is a Python of another minor version than the linked library.
    #[error("expected Python {}.{}, found {found}", expected.major, expected.minor)]
    Version {
        /// The version that is linked.
        expected: PythonVersion,
        /// The executable's.
        found: PythonVersion,
    },
}

fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn or_unknown(version: Option<PythonVersion>) -> String {
    version.map_or_else(|| "of an unknown version".to_owned(), |version| version.to_string())
}

fn alive(threads: &[String]) -> String {
    if threads.is_empty() { String::new() } else { format!(", threads alive: {}", threads.join(", ")) }
}
