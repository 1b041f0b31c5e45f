//! The options of a start.

use std::fmt::Debug;
use std::path::PathBuf;
use std::time::Duration;

use super::{Interpreter, InterpreterError, start};

/// What was asked for. `None` means "no matter": the default where we start, whatever there is where one runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) executable: Option<PathBuf>,
    pub(super) write_bytecode: Option<bool>,
    pub(super) search_path: Option<Vec<PathBuf>>,
}

impl Settings {
    /// What a start with these makes of the options that were not set.
    pub(super) fn with_defaults(&self, executable: PathBuf) -> Self {
        Self {
            executable: Some(executable),
            write_bytecode: Some(self.write_bytecode.unwrap_or(true)),
            search_path: Some(self.search_path.clone().unwrap_or_default()),
        }
    }

    /// The first option that is set in `wanted` and has another value here.
    pub(super) fn conflict(&self, wanted: &Self) -> Option<InterpreterError> {
        differs("executable", &self.executable, &wanted.executable)
            .or_else(|| differs("write_bytecode", &self.write_bytecode, &wanted.write_bytecode))
            .or_else(|| differs("search_path", &self.search_path, &wanted.search_path))
    }
}

fn differs<T: PartialEq + Debug>(
    setting: &'static str,
    running: &Option<T>,
    wanted: &Option<T>,
) -> Option<InterpreterError> {
    let (running, wanted) = (running.as_ref()?, wanted.as_ref()?);
    (running != wanted).then(|| InterpreterError::OtherSettings {
        setting,
        running: format!("{running:?}"),
        wanted: format!("{wanted:?}"),
    })
}

/// Options for starting the interpreter. Made by [`Interpreter::builder`].
#[derive(Clone, Debug)]
#[must_use = "nothing is started before `start` is called"]
pub struct InterpreterBuilder {
    settings: Settings,
    check_timeout: Duration,
}

impl Default for InterpreterBuilder {
    fn default() -> Self {
        Self { settings: Settings::default(), check_timeout: Duration::from_secs(30) }
    }
}

impl InterpreterBuilder {
    /// The Python to run as: its standard library and its installed packages are used. A virtual environment's
    /// `bin/python` makes that environment's packages importable. It must be of the minor version that this crate was
    /// linked with.
    ///
    /// Default: the Python that this crate was linked with at build time; where its libpython is not the one that was
    /// loaded, or the file is not on this machine, the `bin/python3.x` in the prefix of the loaded libpython. `PATH` and
    /// `VIRTUAL_ENV` are never looked at.
    pub fn executable(mut self, executable: impl Into<PathBuf>) -> Self {
        self.settings.executable = Some(executable.into());
        self
    }

    /// Whether imports write `.pyc` files. Default: true, as CPython does. `PYTHONDONTWRITEBYTECODE` has no effect.
    pub fn write_bytecode(mut self, write: bool) -> Self {
        self.settings.write_bytecode = Some(write);
        self
    }

    /// Folders to append to the end of `sys.path`, in this order. Default: none.
    pub fn search_path<P: Into<PathBuf>>(mut self, folders: impl IntoIterator<Item = P>) -> Self {
        self.settings.search_path = Some(folders.into_iter().map(Into::into).collect());
        self
    }

    /// How long the executable may take to tell its version before the start, which is usually some ten milliseconds.
    /// Default: 30 seconds, as it may lie on a network drive.
    pub fn check_timeout(mut self, limit: Duration) -> Self {
        self.check_timeout = limit;
        self
    }

    /// Starts the interpreter, once for the process. Any thread may call it, attached to Python or not: those that come
    /// while it is being started wait, detached, until it is complete.
    ///
    /// - Where this crate started one already, its handle is returned if the options that were set here are those it
    ///   was started with. Options that were not set agree with anything.
    /// - Where something else in this process started one, it is joined: [`Interpreter::origin`] says so, a warning is
    ///   logged where options were set, and none of them has any effect.
    ///
    /// The action for SIGINT is afterwards what it was before; do not change it from another thread meanwhile.
    ///
    /// # Errors
    /// - [`InterpreterError::Executable`] and [`InterpreterError::NoExecutable`]: nothing was initialised, a start with
    ///   another executable may follow.
    /// - [`InterpreterError::Initialization`]: this process cannot have an interpreter any more.
    /// - [`InterpreterError::OtherSettings`], [`InterpreterError::Reentered`], [`InterpreterError::Finalizing`],
    ///   [`InterpreterError::ShutDown`].
    pub fn start(self) -> Result<Interpreter, InterpreterError> {
        let running = start::start(&self.settings, self.check_timeout)?;
        Ok(Interpreter { running })
    }
}
