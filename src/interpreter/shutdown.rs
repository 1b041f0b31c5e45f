//! Stops Python softly: what `Py_FinalizeEx` does for the user's sake, without finalizing.
//!
//! All of it runs on a thread of its own, so that the limit holds whatever a hook, a thread or an `atexit`
//! callback does; the caller waits, detached. When the limit is over it goes on there, and the next call
//! waits for the rest.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread::{self, ThreadId};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use pyo3::prelude::*;

use super::error::InterpreterError;
use super::start::{self, Origin};
use super::threads;

/// What upper layers want done first, while everything still works.
type Hook = Box<dyn FnOnce(Python<'_>) + Send>;

/// How long the threads that are alive may take to be named after the deadline: something may hold the
/// interpreter.
const NAMING: Duration = Duration::from_millis(250);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    NotBegun,
    Hooks,
    Threads,
    Exit,
    Streams,
    Over,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::NotBegun => "not begun",
            Self::Hooks => "running the hooks",
            Self::Threads => "waiting for threads",
            Self::Exit => "running the atexit callbacks",
            Self::Streams => "flushing the standard streams",
            Self::Over => "over",
        }
    }
}

struct State {
    stage: Stage,
    hooks: Vec<Hook>,
    /// The thread that it runs on.
    runner: Option<ThreadId>,
}

// Held for instants only, never while Python runs.
static STATE: Mutex<State> = Mutex::new(State { stage: Stage::NotBegun, hooks: Vec::new(), runner: None });
static CHANGED: Condvar = Condvar::new();

fn state() -> MutexGuard<'static, State> {
    STATE.lock()
}

fn enter(stage: Stage) {
    state().stage = stage;
    CHANGED.notify_all();
}

/// Has `hook` run when shutting down, before all that were added earlier.
pub(super) fn add(hook: Hook) -> Result<(), InterpreterError> {
    let mut state = state();
    if state.stage != Stage::NotBegun {
        return Err(InterpreterError::ShutDown);
    }
    state.hooks.push(hook);
    Ok(())
}

/// Shuts down, or waits for the shutdown that has begun, for at most `timeout`.
pub(super) fn shutdown(origin: Origin, timeout: Option<Duration>) -> Result<(), InterpreterError> {
    start::detached(|| {
        begin(origin)?;
        let mut state = state();
        let goes_on = |state: &mut State| state.stage != Stage::Over;
        match timeout {
            None => CHANGED.wait_while(&mut state, goes_on),
            Some(timeout) => drop(CHANGED.wait_while_for(&mut state, goes_on, timeout)),
        }
        let stage = state.stage;
        drop(state);
        match timeout {
            Some(waited) if stage != Stage::Over => {
                Err(InterpreterError::ShutdownTimedOut { phase: stage.name(), waited, threads: waited_for() })
            }
            _ => Ok(()),
        }
    })
}

fn begin(origin: Origin) -> Result<(), InterpreterError> {
    let mut state = state();
    if state.runner == Some(thread::current().id()) {
        // A hook or an atexit callback that asks for what it is part of would wait for itself.
        return Err(InterpreterError::ShutDown);
    }
    if state.stage != Stage::NotBegun {
        return Ok(());
    }
    let hooks = std::mem::take(&mut state.hooks);
    let (sender, receiver) = mpsc::channel::<Vec<Hook>>();
    let spawned = thread::Builder::new().name("python-shutdown".to_owned()).spawn(move || {
        if let Ok(hooks) = receiver.recv() {
            let _over = Over;
            run(origin, hooks);
        }
    });
    match spawned {
        Ok(runner) => state.runner = Some(runner.thread().id()),
        Err(source) => {
            state.hooks = hooks;
            return Err(InterpreterError::ShutdownThread { source });
        }
    }
    state.stage = Stage::Hooks;
    drop(state);
    start::close();
    // The thread waits for them.
    let _ = sender.send(hooks);
    Ok(())
}

/// Lets the waiting callers go, also after a panic.
struct Over;

impl Drop for Over {
    fn drop(&mut self) {
        enter(Stage::Over);
    }
}

fn run(origin: Origin, hooks: Vec<Hook>) {
    for hook in hooks.into_iter().rev() {
        let done = Python::try_attach(|py| catch_unwind(AssertUnwindSafe(|| hook(py))));
        match done {
            Some(Ok(())) => {}
            Some(Err(_)) => tracing::error!("a shutdown hook panicked"),
            None => tracing::warn!("the interpreter is being finalized, a shutdown hook did not run"),
        }
    }
    // The owner of an interpreter that we joined does this itself when it finalizes.
    if origin == Origin::Started {
        enter(Stage::Threads);
        step("threading", threads::end);
        enter(Stage::Exit);
        step("atexit", |py| py.import("atexit")?.call_method0("_run_exitfuncs").map(drop));
    }
    enter(Stage::Streams);
    for stream in ["stdout", "stderr"] {
        step(stream, |py| flush(py, stream));
    }
    tracing::info!("shut Python down");
}

/// Does one thing; what it raises is for the log, the rest is to be done all the same.
fn step(what: &'static str, action: impl FnOnce(Python<'_>) -> PyResult<()>) {
    if let Some(Err(error)) = Python::try_attach(action) {
        tracing::warn!(%error, "shutting Python down: {what} failed");
    }
}

fn flush(py: Python<'_>, stream: &str) -> PyResult<()> {
    let stream = py.import("sys")?.getattr(stream)?;
    // A program without the stream has None, and one that a caller replaced may be closed.
    if stream.is_none() || stream.getattr("closed").is_ok_and(|closed| closed.is_truthy().unwrap_or(false)) {
        return Ok(());
    }
    stream.call_method0("flush").map(drop)
}

/// The names of the threads that shutting down waits for, as far as they can be told at once.
fn waited_for() -> Vec<String> {
    let (sender, receiver) = mpsc::channel();
    let spawned = thread::Builder::new().name("python-shutdown".to_owned()).spawn(move || {
        // Nobody listens any more when it took too long.
        let _ = sender.send(Python::try_attach(threads::names));
    });
    match spawned.ok().and_then(|_| receiver.recv_timeout(NAMING).ok().flatten()) {
        Some(Ok(names)) => names,
        Some(Err(error)) => {
            tracing::debug!(%error, "the threads that are alive cannot be named");
            Vec::new()
        }
        None => Vec::new(),
    }
}
