//! One start for the process.
//!
//! The lock below is held for instants only and never while Python runs: a thread that waits for a start
//! waits on the condition, detached, and the thread that starts holds nothing but the phase.

use std::path::{Path, PathBuf};
use std::thread::{self, ThreadId};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use pyo3::ffi;
use pyo3::prelude::*;

use super::config::{self, Wanted};
use super::error::InterpreterError;
use super::settings::Settings;
use super::signals::Sigint;
use super::version::PythonVersion;
use super::{check, executable, finish, library};
use crate::python_error::python_error;

/// Who started the interpreter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// This crate did: it runs with this crate's settings.
    Started,
    /// Something else in the process did, before: its settings are not this crate's.
    Joined,
}

/// The running interpreter. There is one for each process, for good.
pub(super) struct Running {
    pub(super) origin: Origin,
    pub(super) version: PythonVersion,
    pub(super) executable: PathBuf,
    pub(super) library: Option<PathBuf>,
    settings: Settings,
}

impl Running {
    /// Whether what was set now is what the interpreter was started with.
    fn agrees(&self, wanted: &Settings) -> Result<(), InterpreterError> {
        match (self.origin, self.settings.conflict(wanted)) {
            (Origin::Started, Some(conflict)) => Err(conflict),
            _ => Ok(()),
        }
    }

    fn log(&self) {
        if self.library.as_deref().is_some_and(library::is_substitute) {
            let (library, linked) = (self.library.as_deref(), option_env!("SGTK_HOST_LINKED_LIBDIR"));
            tracing::warn!(
                ?library,
                ?linked,
                "another libpython than the linked one was loaded: no run path leads there"
            );
        }
        let library = self.library.as_deref().unwrap_or(Path::new("")).display();
        let (version, executable) = (self.version, self.executable.display());
        match self.origin {
            Origin::Started => tracing::info!(%version, %executable, %library, "started CPython"),
            Origin::Joined if self.settings == Settings::default() => {
                tracing::info!(%version, %executable, %library, "joined the CPython that this process had");
            }
            Origin::Joined => tracing::warn!(
                %version, %executable, %library,
                "joined the CPython that this process had: the settings asked for have no effect",
            ),
        }
    }
}

enum Phase {
    /// Nothing was initialised here, or only tried and refused beforehand.
    Idle,
    Starting(ThreadId),
    Running(&'static Running),
    ShutDown,
    /// Initialisation began and failed, with this message.
    Failed(String),
}

static PHASE: Mutex<Phase> = Mutex::new(Phase::Idle);
static CHANGED: Condvar = Condvar::new();

fn phase() -> MutexGuard<'static, Phase> {
    PHASE.lock()
}

/// The running interpreter, without waiting for one.
pub(super) fn current() -> Option<&'static Running> {
    match *phase() {
        Phase::Running(running) => Some(running),
        _ => None,
    }
}

/// No start shall succeed from now on.
pub(super) fn close() {
    *phase() = Phase::ShutDown;
}

/// Starts, joins or finds the interpreter.
pub(super) fn start(
    settings: &Settings,
    check_timeout: Option<Duration>,
) -> Result<&'static Running, InterpreterError> {
    if let Some(running) = detached(await_turn)? {
        running.agrees(settings)?;
        return Ok(running);
    }
    let turn = Turn { outcome: Phase::Failed("the thread that started it panicked".to_owned()) };
    // SAFETY: may be called at any time.
    let started = if unsafe { ffi::Py_IsInitialized() } != 0 {
        join(settings)
    } else {
        launch(settings, check_timeout)
    };
    turn.end(started)
}

/// The running interpreter, or `None` where it is this thread's turn to start it.
fn await_turn() -> Result<Option<&'static Running>, InterpreterError> {
    let mut phase = phase();
    loop {
        match &*phase {
            Phase::Running(running) => return Ok(Some(running)),
            Phase::ShutDown => return Err(InterpreterError::ShutDown),
            Phase::Failed(reason) => return Err(InterpreterError::Failed { reason: reason.clone() }),
            Phase::Starting(by) if *by == thread::current().id() => return Err(InterpreterError::Reentered),
            Phase::Starting(_) => CHANGED.wait(&mut phase),
            Phase::Idle => {
                *phase = Phase::Starting(thread::current().id());
                return Ok(None);
            }
        }
    }
}

/// Runs `wait` so that the interpreter is not held by this thread meanwhile: the thread that is waited for
/// may need it.
pub(super) fn detached<T: Send>(wait: impl Send + FnOnce() -> T) -> T {
    if may_be_attached() { Python::attach(|py| py.detach(wait)) } else { wait() }
}

/// Whether this thread holds the interpreter, by whatever means. Also true, wrongly, where there are
/// sub-interpreters.
fn may_be_attached() -> bool {
    // SAFETY: both may be called at any time.
    unsafe { ffi::Py_IsInitialized() != 0 && ffi::PyGILState_Check() != 0 }
}

/// Ends the phase `Starting` on every way out, panics included.
struct Turn {
    outcome: Phase,
}

impl Turn {
    fn end(
        mut self,
        started: Result<Running, InterpreterError>,
    ) -> Result<&'static Running, InterpreterError> {
        match started {
            Ok(running) => {
                // Never given back: an interpreter lives as long as its process.
                let running: &'static Running = Box::leak(Box::new(running));
                self.outcome = Phase::Running(running);
                Ok(running)
            }
            Err(error) => {
                self.outcome = if error.is_final() { Phase::Failed(error.to_string()) } else { Phase::Idle };
                Err(error)
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *phase() = std::mem::replace(&mut self.outcome, Phase::Idle);
        CHANGED.notify_all();
    }
}

/// The version of the loaded library, which must be the one whose structures were compiled in.
fn library_version() -> Result<PythonVersion, InterpreterError> {
    const COMPILED: &str = env!("SGTK_HOST_LINKED_VERSION");
    match PythonVersion::of_library() {
        Some(loaded) if format!("{}.{}", loaded.major, loaded.minor) == COMPILED => Ok(loaded),
        loaded => Err(InterpreterError::Library { compiled: COMPILED, loaded }),
    }
}

fn launch(settings: &Settings, check_timeout: Option<Duration>) -> Result<Running, InterpreterError> {
    let version = library_version()?;
    let chosen = match &settings.executable {
        Some(chosen) => chosen.clone(),
        None => executable::default(version)?,
    };
    let checked = check::check(&chosen, version, check_timeout)
        .map_err(|source| InterpreterError::Executable { path: chosen.clone(), source })?;
    let wanted =
        Wanted { executable: &checked.executable, write_bytecode: settings.write_bytecode.unwrap_or(true) };
    let sigint = Sigint::save();
    config::initialize(&wanted).map_err(abandon)?;
    let search_path = settings.search_path.as_deref().unwrap_or_default();
    let completed = Python::attach(|py| {
        finish::complete(py, sigint, search_path)
            .map_err(|error| InterpreterError::Incomplete { source: python_error(&error) })
    });
    release();
    let running = Running {
        origin: Origin::Started,
        version,
        executable: completed?,
        library: library::loaded(),
        settings: settings.with_defaults(chosen),
    };
    running.log();
    Ok(running)
}

/// Lets go of the interpreter, which this thread is attached to since it initialised it.
fn release() {
    // SAFETY: this thread is attached, and no guard relies on it any more.
    unsafe { ffi::PyEval_SaveThread() };
}

/// Gives up an initialisation that broke off, with what Python code raised if it did.
fn abandon(error: InterpreterError) -> InterpreterError {
    if !may_be_attached() {
        return error;
    }
    let raised = Python::attach(PyErr::take).map(|error| python_error(&error));
    // So that a thread which attaches all the same does not wait forever.
    release();
    match (error, raised) {
        (InterpreterError::Initialization { function, reason }, Some(raised)) => {
            InterpreterError::Initialization { function, reason: format!("{reason}: {raised}") }
        }
        (error, _) => error,
    }
}

/// Takes the interpreter that something else started.
fn join(settings: &Settings) -> Result<Running, InterpreterError> {
    let version = library_version()?;
    let executable = Python::try_attach(|py| {
        Sigint::save().keep(py)?;
        finish::executable(py)
    })
    .ok_or(InterpreterError::Finalizing)?
    .map_err(|error| InterpreterError::Incomplete { source: python_error(&error) })?;
    let running = Running {
        origin: Origin::Joined,
        version,
        executable,
        library: library::loaded(),
        settings: settings.clone(),
    };
    running.log();
    Ok(running)
}
