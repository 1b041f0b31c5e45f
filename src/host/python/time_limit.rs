//! A time limit for Python code of this thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use pyo3::create_exception;
use pyo3::exceptions::{PyBaseException, PyTimeoutError};
use pyo3::ffi;
use pyo3::prelude::*;

use super::children::{Children, Ending};
use super::import::import_for_host;

create_exception!(
    sgtk_host,
    TimeLimitReached,
    PyBaseException,
    "Raised in Toolkit's code that has run into the host's time limit."
);

create_exception!(
    sgtk_host,
    TimeLimitExceeded,
    PyTimeoutError,
    "What ran into the host's time limit was stopped."
);

/// How long after an interruption the next one comes.
const INTERRUPT_AGAIN: Duration = Duration::from_millis(500);

/// Raises [`TimeLimitReached`] in this thread when the time is up, unless finished before.
///
/// Python raises it between two instructions: code that waits in C, for a lock or a socket, goes on waiting.
/// Processes that the thread has started meanwhile, which it may wait for in C, are ended.
pub(crate) struct TimeLimit {
    what: &'static str,
    limit: Duration,
    started: Instant,
    finished: Sender<()>,
    /// Changes only where the interpreter is held.
    struck: Arc<AtomicBool>,
}

impl TimeLimit {
    /// Starts the time. `what` names in an error what did not end: `the import`. `others` gives further
    /// processes to end, which other threads have started.
    pub(crate) fn start(
        py: Python<'_>,
        what: &'static str,
        limit: Duration,
        others: impl Fn() -> Vec<i32> + Send + 'static,
    ) -> PyResult<Self> {
        let thread = this_thread(py)?;
        let (finished, when_finished) = mpsc::channel::<()>();
        // Before the watch begins to wait: what strikes earlier is another limit's.
        let started = Instant::now();
        let children = Children::now();
        let struck = Arc::new(AtomicBool::new(false));
        let strikes = Arc::clone(&struck);
        let watch = move || {
            let mut wait = limit;
            let mut end = Ending::Ask;
            // More than once, as the code may swallow what is raised in it.
            while when_finished.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                let is_finished = Python::attach(|py| {
                    // While attached here, the other thread is not running Python: finished or not, it stays
                    // so.
                    let is_finished = when_finished.try_recv() != Err(mpsc::TryRecvError::Empty);
                    if !is_finished {
                        strikes.store(true, Ordering::Release);
                        raise_in(py, thread, &py.get_type::<TimeLimitReached>());
                    }
                    is_finished
                });
                if is_finished {
                    return;
                }
                children.end(others(), end);
                end = Ending::Kill;
                wait = INTERRUPT_AGAIN;
            }
        };
        std::thread::Builder::new().name("sgtk-host time limit".to_owned()).spawn(watch)?;
        Ok(Self { what, limit, started, finished, struck })
    }

    /// Ends the limit; where it has interrupted the code, the outcome is a `TimeoutError` that says so.
    pub(crate) fn finish<T>(self, py: Python<'_>, outcome: PyResult<T>) -> PyResult<T> {
        // The watch may have ended already.
        let _ = self.finished.send(());
        if self.struck.load(Ordering::Acquire) {
            raise_what_is_left(py);
        }
        outcome.map_err(|error| {
            // It may have been another limit, around this one.
            if !error.is_instance_of::<TimeLimitReached>(py) || self.started.elapsed() < self.limit {
                return error;
            }
            let text = format!("{} did not end within {:?} and was stopped", self.what, self.limit);
            let stopped = TimeLimitExceeded::new_err(text);
            stopped.set_traceback(py, error.traceback(py));
            stopped
        })
    }
}

fn this_thread(py: Python<'_>) -> PyResult<std::ffi::c_long> {
    import_for_host(py, "threading")?.call_method0("get_ident")?.extract()
}

/// Has `thread` raise `exception` before its next instruction.
pub(crate) fn raise_in(py: Python<'_>, thread: std::ffi::c_long, exception: &Bound<'_, pyo3::types::PyType>) {
    let _ = py;
    // SAFETY: the interpreter is held; `exception` is a class that derives from BaseException. The call takes
    // a reference of its own.
    unsafe { ffi::PyThreadState_SetAsyncExc(thread, exception.as_ptr()) };
}

/// Has `thread`, another one, raise nothing after all.
pub(crate) fn take_back(py: Python<'_>, thread: std::ffi::c_long) {
    // SAFETY: the interpreter is held, and null takes back what was to be raised.
    unsafe { ffi::PyThreadState_SetAsyncExc(thread, std::ptr::null_mut()) };
    // Up to CPython 3.12 that leaves a flag with which all code runs slower from then on, and code that is
    // traced not at all. It goes when anything is raised this way.
    if let Ok(thread) = this_thread(py) {
        raise_in(py, thread, &py.get_type::<TimeLimitReached>());
        raise_what_is_left(py);
    }
}

/// Has what was to be raised in this thread be raised now, in nobody's code: it may have come after the last
/// instruction.
pub(crate) fn raise_what_is_left(py: Python<'_>) {
    // One at most, which the first instruction raises.
    let _ = py.run(c"for _ in (1, 2): pass", None, None);
}
