//! The options of a start.

use std::path::PathBuf;
use std::time::Duration;

use super::error::InterpreterError;
use super::settings::Settings;
use super::{Interpreter, start};

impl Interpreter {
    /// Options for a start. All have defaults.
    pub fn builder() -> InterpreterBuilder {
        InterpreterBuilder::default()
    }

    /// Starts the interpreter with the defaults, or gives the handle of the one that runs, whatever its
    /// settings.
    ///
    /// # Errors
    /// As [`InterpreterBuilder::start`], save [`InterpreterError::OtherSettings`].
    pub fn start_default() -> Result<Self, InterpreterError> {
        Self::builder().start()
    }
}

/// Options for starting the interpreter. Made by [`Interpreter::builder`].
#[derive(Clone, Debug)]
#[must_use = "nothing is started before `start` is called"]
pub struct InterpreterBuilder {
    settings: Settings,
    check_timeout: Option<Duration>,
}

impl Default for InterpreterBuilder {
    fn default() -> Self {
        Self { settings: Settings::default(), check_timeout: Some(Duration::from_secs(30)) }
    }
}

impl InterpreterBuilder {
    /// The Python to run as: its standard library and its installed packages are used. A virtual
    /// environment's `bin/python` makes that environment's packages importable. It must be of the minor
    /// version that this crate was linked with.
    ///
    /// Default: the Python that this crate was linked with at build time; where its libpython is not the one
    /// that was loaded, or the file is not on this machine, the `bin/python3.x` in the prefix of the loaded
    /// libpython. `PATH` and `VIRTUAL_ENV` are never looked at.
    pub fn executable(mut self, executable: impl Into<PathBuf>) -> Self {
        self.settings.executable = Some(executable.into());
        self
    }

    /// Whether imports write `.pyc` files. Default: true, as CPython does. `PYTHONDONTWRITEBYTECODE` has no
    /// effect.
    pub fn write_bytecode(mut self, write: bool) -> Self {
        self.settings.write_bytecode = Some(write);
        self
    }

    /// Folders to append to the end of `sys.path`, in this order. Default: none.
    pub fn search_path<P: Into<PathBuf>>(mut self, folders: impl IntoIterator<Item = P>) -> Self {
        self.settings.search_path = Some(folders.into_iter().map(Into::into).collect());
        self
    }

    /// How long the executable may take to tell its version before the start, which is usually some ten
    /// milliseconds. `None` waits forever. Default: 30 seconds, as it may lie on a network drive.
    pub fn check_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.check_timeout = timeout.into();
        self
    }

    /// Starts the interpreter, once for the process. Any thread may call it, attached to Python or not: those
    /// that come while it is being started wait, detached, until it is complete.
    ///
    /// - Where this crate started one already, its handle is returned if the options that were set here are
    ///   those it was started with. Options that were not set agree with anything.
    /// - Where something else in this process started one, it is joined: [`Interpreter::origin`] says so, a
    ///   warning is logged where options were set, and none of them has any effect.
    ///
    /// The action for SIGINT is afterwards what it was before; do not change it from another thread
    /// meanwhile.
    ///
    /// # Errors
    /// - [`InterpreterError::Executable`] and [`InterpreterError::NoExecutable`]: nothing was initialised, a
    ///   start with another executable may follow.
    /// - [`InterpreterError::Initialization`]: this process cannot have an interpreter any more.
    /// - [`InterpreterError::OtherSettings`], [`InterpreterError::Reentered`],
    ///   [`InterpreterError::Finalizing`], [`InterpreterError::ShutDown`].
    pub fn start(self) -> Result<Interpreter, InterpreterError> {
        let running = start::start(&self.settings, self.check_timeout)?;
        Ok(Interpreter { running })
    }
}
