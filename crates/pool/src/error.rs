//! What can become of a call, and of the worker that it needs.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sgtk_config::python::ExecutableError;
use sgtk_config::{ConfigError, PythonError, SettingError};

/// How far a call that ended in an error had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Delivery {
    /// The function was not called: the call can be made again.
    NeverRan,
    /// The function was called and ended, and what it did is done.
    Ran,
    /// The worker was lost, or the time was up, after the call was sent: the function may have run, in part or whole.
    MayHaveRun,
}

/// Why a call has no result. [`delivery`](Self::delivery) says whether its function ran.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// An option of the builder's cannot work. The message says which, and what would.
    #[error(transparent)]
    Setting {
        /// Which option, and what is wrong with it.
        #[from]
        source: SettingError,
    },

    /// The project's core could not be found from its files. Mend the file that the error names.
    #[error(transparent)]
    Config {
        /// Which rule failed, on which file.
        source: Arc<ConfigError>,
    },

    /// The call cannot be sent: its name is no `module:function`, a value has no JSON, or it is too large.
    #[error("cannot send call '{call}': {place}: {reason}")]
    Unsendable {
        /// The function's name.
        call: String,
        /// Where the value is: `args[0]`, `kwargs['a'][3]`.
        place: String,
        /// What is wrong with it.
        reason: String,
    },

    /// As many calls wait for this project as may. Send fewer, raise the limit, or have callers wait for room.
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

    /// The project's workers fail again and again, so that no other is started for a while.
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

    /// The call's time was up. Where it had been sent its worker was stopped.
    #[error("call '{call}' of project '{project}' {} within {limit:?}", if *sent { "did not end" } else { "got no turn" })]
    TimeLimit {
        /// The project.
        project: String,
        /// The function's name.
        call: String,
        /// The call's limit.
        limit: Duration,
        /// Whether it had been sent.
        sent: bool,
    },

    /// The function raised, or its module when it was loaded for the call.
    #[error("call '{call}' of project '{project}' raised{}: {error}", Note(note))]
    Python {
        /// The project.
        project: String,
        /// The function's name.
        call: String,
        /// The worker's process id.
        pid: u32,
        /// What was being done, where that was not the call itself: `cannot load publish:on_event`.
        note: Option<String>,
        /// What was raised. It is part of the message, so `source()` does not give it again.
        error: Box<PythonError>,
    },

    /// The function returned a value that has no JSON, or too much of it. Return something else.
    #[error("call '{call}' of project '{project}' returned what cannot be sent: {place}: {reason}")]
    NoJson {
        /// The project.
        project: String,
        /// The function's name.
        call: String,
        /// Where the value is: `result['a'][3]`.
        place: String,
        /// What is wrong with it, and what to do instead.
        reason: String,
    },

    /// The result is not of the type that was asked for. Ask for another, or for the JSON itself
    /// (`Box<serde_json::value::RawValue>`).
    #[error(
        "the result of call '{call}' of project '{project}' is not what was asked for: {place}: {reason}"
    )]
    Decode {
        /// The project.
        project: String,
        /// The function's name.
        call: String,
        /// Where it is not: `result['a'][3]`, or `result` alone.
        place: String,
        /// How.
        reason: String,
    },

    /// The worker's process ended, or had to be ended, while the call was on its way.
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

    /// The call's result was taken from its handle before, and there is no second one. Keep the first.
    #[error("the result of call '{call}' of project '{project}' was taken before")]
    Taken {
        /// The project.
        project: String,
        /// The function's name.
        call: String,
    },

    /// The pool was shut down.
    #[error("the pool was shut down before the call of project '{project}' had its turn")]
    ShutDown {
        /// The project.
        project: String,
    },

    /// Workers did not end in time when the pool was shut down.
    #[error("worker processes {pids:?} have not ended within {limit:?}")]
    StillRunning {
        /// Their process ids.
        pids: Vec<u32>,
        /// How long they were given.
        limit: Duration,
    },

    /// The system refused something that the pool needs: a thread, a pipe.
    #[error("failed to {action}: {cause}")]
    System {
        /// What was tried.
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
            | Self::Unsendable { .. }
            | Self::QueueFull { .. }
            | Self::NotStarted { .. }
            | Self::CircuitOpen { .. }
            | Self::ShutDown { .. }
            | Self::StillRunning { .. }
            | Self::System { .. }
            | Self::TimeLimit { sent: false, .. }
            | Self::WorkerLost { sent: false, .. } => Delivery::NeverRan,
            Self::Python { .. } | Self::NoJson { .. } | Self::Decode { .. } => Delivery::Ran,
            Self::Taken { .. } | Self::TimeLimit { sent: true, .. } | Self::WorkerLost { sent: true, .. } => {
                Delivery::MayHaveRun
            }
        }
    }

    /// Whether the call's function was certainly not called, so that the call can be made again.
    #[must_use]
    pub fn never_ran(&self) -> bool {
        self.delivery() == Delivery::NeverRan
    }

    /// The Python exception, where there is one: the function's, or that of entering the project.
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

/// Why a worker could not be started, or is not started again at once.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The project's core could not be found from its files.
    #[error(transparent)]
    Config {
        /// Which rule failed, on which file.
        source: ConfigError,
    },

    /// The Python executable could not be run, or is none. Check `interpreter_*.cfg` and the pool's setting.
    #[error("cannot run Python {}: {reason}", python.display())]
    Python {
        /// The executable.
        python: PathBuf,
        /// Why.
        reason: String,
    },

    /// A path of the project's is not UTF-8, which JSON cannot say.
    #[error("cannot use {}: it is not UTF-8", path.display())]
    Path {
        /// The path.
        path: PathBuf,
    },

    /// The system refused to start a process.
    #[error("failed to {action}: {cause}")]
    System {
        /// What was tried.
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

    /// The process was not ready in time, and was stopped.
    #[error("process {pid} was {phase} for more than {limit:?}{}", Output(output))]
    TooSlow {
        /// Its process id.
        pid: u32,
        /// `starting` or `entering the project`.
        phase: &'static str,
        /// The limit.
        limit: Duration,
        /// Its last lines of output.
        output: String,
    },

    /// Python code raised while the project was entered: the core's, or a plug-in's of the bootstrap.
    #[error("{step}: {error}")]
    Enter {
        /// What was done: `import`, or a step of the bootstrap.
        step: String,
        /// What was raised. It is part of the message.
        error: Box<PythonError>,
    },

    /// Workers start and then end in their first call, again and again.
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

impl From<ExecutableError> for StartError {
    fn from(error: ExecutableError) -> Self {
        Self::Python { python: error.python, reason: error.reason }
    }
}

/// What was being done.
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
