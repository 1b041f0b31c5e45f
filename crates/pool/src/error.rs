//! The errors of calls, and of the workers that they need.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sgtk_config::python::ExecutableError;
use sgtk_config::{ConfigError, CoreChanging, PythonError, SettingError};

/// Whether the function of a call that ended in an error was run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Delivery {
    /// The function was not called: the call can be made again.
    NeverRan,
    /// The function was called and returned or raised.
    Ran,
    /// The worker was lost, or the call timed out or was aborted, after it was sent: the function may have
    /// run, in part or as a whole.
    MayHaveRun,
}

/// Why a call has no result. [`delivery`](Self::delivery) says whether its function ran.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// An option of the builder is not usable. The message says which, and what is.
    #[error(transparent)]
    Setting {
        /// Which option, and what is wrong with it.
        #[from]
        source: SettingError,
    },

    /// The project's core could not be found from its files. Correct the file that the error names.
    #[error(transparent)]
    Config {
        /// Which rule failed, on which file.
        source: Arc<ConfigError>,
    },

    /// The call cannot be made: its name is not `module:function`, a value cannot be encoded as JSON or read
    /// by Python, or the arguments are too large.
    #[error("invalid call '{call}': {place}: {reason}")]
    InvalidCall {
        /// The function's name.
        call: String,
        /// Where the value is: `args[0]`, `kwargs['a'][3]`.
        place: String,
        /// What is wrong with it.
        reason: String,
    },

    /// The project's queue is full. Send fewer calls, raise the limit, or have callers wait for room.
    #[error("project '{project}' has {limit} calls waiting, which is its limit")]
    QueueFull {
        /// The project.
        project: String,
        /// The limit that [`WorkerPoolBuilder::queue_limit`](super::WorkerPoolBuilder::queue_limit) gave.
        limit: usize,
    },

    /// The project's worker could not be started. The next call tries again.
    #[error("failed to start a worker for project '{project}': {cause}")]
    NotStarted {
        /// The project.
        project: String,
        /// Why. It is part of the message, so `source()` does not give it again.
        cause: Arc<StartError>,
    },

    /// The project's workers have failed repeatedly, so none is started for a while.
    #[error(
        "project '{project}' has failed {failures} times in a row, the next try is in {next_try:.1?}: {cause}"
    )]
    CircuitOpen {
        /// The project.
        project: String,
        /// How often in a row.
        failures: u32,
        /// How long until a call may try again.
        next_try: Duration,
        /// The last failure. It is part of the message, so `source()` does not give it again.
        cause: Arc<StartError>,
    },

    /// The call timed out. If it had been sent, its worker was ended.
    #[error(
        "call '{call}' of project '{project}' was not {} within {timeout:?}",
        if *sent { "finished" } else { "started" }
    )]
    TimedOut {
        /// The project.
        project: String,
        /// The function's name.
        call: String,
        /// The call's timeout.
        timeout: Duration,
        /// Whether it had been sent.
        sent: bool,
    },

    /// The call was aborted by [`CallHandle::abort`](super::CallHandle::abort). If it had been sent, its
    /// worker was ended.
    #[error(
        "call '{call}' of project '{project}' was aborted {} it was sent",
        if *sent { "after" } else { "before" }
    )]
    Aborted {
        /// The project.
        project: String,
        /// The function's name.
        call: String,
        /// Whether it had been sent.
        sent: bool,
    },

    /// The function raised, or its module while it was imported for the call.
    #[error("call '{call}' of project '{project}' raised{}: {error}", Note(note))]
    Python {
        /// The project.
        project: String,
        /// The function's name.
        call: String,
        /// The worker's process id.
        pid: u32,
        /// The step that failed, where that was not the call itself: `cannot load publish:on_event`.
        note: Option<String>,
        /// What was raised. It is part of the message, so `source()` does not give it again.
        error: Box<PythonError>,
    },

    /// The function returned a value that cannot be encoded as JSON, or one that is too large. Return
    /// something else.
    #[error("call '{call}' of project '{project}' returned an invalid value: {place}: {reason}")]
    InvalidResult {
        /// The project.
        project: String,
        /// The function's name.
        call: String,
        /// Where the value is: `result['a'][3]`.
        place: String,
        /// What is wrong with it, and what to do instead.
        reason: String,
    },

    /// The result does not have the type that the caller asked for. Ask for another type, or for the JSON
    /// itself (`Box<serde_json::value::RawValue>`).
    #[error("failed to decode the result of call '{call}' of project '{project}': {place}: {reason}")]
    Decode {
        /// The project.
        project: String,
        /// The function's name.
        call: String,
        /// Where the value is: `result['a'][3]`, or `result` alone.
        place: String,
        /// What is wrong with it.
        reason: String,
    },

    /// The worker's process ended, or had to be ended, during the call.
    #[error("worker {pid} of project '{project}' was lost in call '{call}': {how}{}", Output(output))]
    WorkerLost {
        /// The project.
        project: String,
        /// The function's name.
        call: String,
        /// The worker's process id.
        pid: u32,
        /// How it ended: its exit status or signal, or what was wrong with what it sent.
        how: String,
        /// Its last lines of output.
        output: String,
        /// Whether the call had been sent completely.
        sent: bool,
    },

    /// The call's result was already taken from its handle. Keep the first one.
    #[error("the result of call '{call}' of project '{project}' was already taken")]
    Taken {
        /// The project.
        project: String,
        /// The function's name.
        call: String,
    },

    /// The pool was shut down.
    #[error("the pool was shut down before the call of project '{project}' was started")]
    ShutDown {
        /// The project.
        project: String,
    },

    /// Workers did not end in time when the pool was shut down.
    #[error("worker processes {pids:?} have not ended within {timeout:?} of SIGKILL")]
    StillRunning {
        /// Their process ids.
        pids: Vec<u32>,
        /// How long they were given.
        timeout: Duration,
    },

    /// The system refused something that the pool needs: a thread, a pipe.
    #[error("failed to {action}: {cause}")]
    System {
        /// What failed.
        action: &'static str,
        /// Why it failed. It is part of the message, so `source()` does not give it again.
        cause: Arc<io::Error>,
    },
}

impl PoolError {
    /// Whether the call's function ran.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        match self {
            Self::Setting { .. }
            | Self::Config { .. }
            | Self::InvalidCall { .. }
            | Self::QueueFull { .. }
            | Self::NotStarted { .. }
            | Self::CircuitOpen { .. }
            | Self::ShutDown { .. }
            | Self::StillRunning { .. }
            | Self::System { .. }
            | Self::TimedOut { sent: false, .. }
            | Self::Aborted { sent: false, .. }
            | Self::WorkerLost { sent: false, .. } => Delivery::NeverRan,
            Self::Python { .. } | Self::InvalidResult { .. } | Self::Decode { .. } => Delivery::Ran,
            Self::Taken { .. }
            | Self::TimedOut { sent: true, .. }
            | Self::Aborted { sent: true, .. }
            | Self::WorkerLost { sent: true, .. } => Delivery::MayHaveRun,
        }
    }

    /// Whether the call's function was certainly not called, so that the call can safely be made again.
    #[must_use]
    pub fn never_ran(&self) -> bool {
        self.delivery() == Delivery::NeverRan
    }

    /// The Python exception, if there is one: of the function, or of entering the project.
    #[must_use]
    pub fn python(&self) -> Option<&PythonError> {
        match self {
            Self::Python { error, .. } => Some(error),
            Self::NotStarted { cause, .. } | Self::CircuitOpen { cause, .. } => match &**cause {
                StartError::Enter { error, .. } => Some(error),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Why a worker could not be started, or is not started again immediately.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The project's core could not be found from its files.
    #[error(transparent)]
    Config {
        /// Which rule failed, on which file.
        source: ConfigError,
    },

    /// The core's files are being replaced, so that a worker would get some of the old core and some of the
    /// new. Try again once the upgrade is over.
    #[error(transparent)]
    CoreChanging {
        /// Which core, and what shows it.
        #[from]
        source: CoreChanging,
    },

    /// The Python executable could not be run, or is not a Python. Check `interpreter_*.cfg` and the pool's
    /// setting.
    #[error("cannot run Python {}: {reason}", python.display())]
    Python {
        /// The executable.
        python: PathBuf,
        /// Why.
        reason: String,
    },

    /// A path of the project is not UTF-8 and cannot be sent as JSON.
    #[error("cannot use {}: it is not UTF-8", path.display())]
    Path {
        /// The path.
        path: PathBuf,
    },

    /// The system refused to start a process.
    #[error("failed to {action}: {cause}")]
    System {
        /// What failed.
        action: &'static str,
        /// Why it failed. It is part of the message.
        cause: io::Error,
    },

    /// The process ended before it was ready.
    #[error("process {pid} {how} while it was {phase}{}", Output(output))]
    Ended {
        /// Its process id.
        pid: u32,
        /// `starting` or `entering the project`.
        phase: &'static str,
        /// Its exit status or signal, or what was wrong with what it sent.
        how: String,
        /// Its last lines of output.
        output: String,
    },

    /// The process was not ready in time and was ended.
    #[error("process {pid} was {phase} for more than {timeout:?}{}", Output(output))]
    TimedOut {
        /// Its process id.
        pid: u32,
        /// `starting` or `entering the project`.
        phase: &'static str,
        /// The timeout.
        timeout: Duration,
        /// Its last lines of output.
        output: String,
    },

    /// Python code raised while the project was entered: the core, or a plug-in of the bootstrap.
    #[error("{step}: {error}")]
    Enter {
        /// The step that failed: `import`, or a step of the bootstrap.
        step: String,
        /// What was raised. It is part of the message.
        error: Box<PythonError>,
    },

    /// Workers start and then end during their first call, repeatedly.
    #[error("process {pid} {how} before it had answered a call{}", Output(output))]
    Crashed {
        /// The last one's process id.
        pid: u32,
        /// Its exit status or signal.
        how: String,
        /// Its last lines of output.
        output: String,
    },
}

impl StartError {
    /// Whether it was seen from files alone that this is no moment to start a worker, and no process was
    /// harmed: the next look may find another state, so it is no failure that has others wait.
    pub(crate) fn is_of_the_moment(&self) -> bool {
        matches!(self, Self::CoreChanging { .. } | Self::Config { .. })
    }
}

impl From<ExecutableError> for StartError {
    fn from(error: ExecutableError) -> Self {
        Self::Python { python: error.python, reason: error.reason }
    }
}

/// The step that failed, in parentheses.
struct Note<'a>(&'a Option<String>);

impl fmt::Display for Note<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |note| write!(f, " ({note})"))
    }
}

/// A worker's last lines, on lines of their own.
struct Output<'a>(&'a str);

impl fmt::Display for Output<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "; its last output:\n{}", self.0) }
    }
}
