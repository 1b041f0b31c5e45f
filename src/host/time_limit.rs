//! A time limit for Python code of this thread.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

use pyo3::create_exception;
use pyo3::exceptions::PyBaseException;
use pyo3::ffi;
use pyo3::prelude::*;

use super::late_import::import_for_host;

create_exception!(
    sgtk_host,
    ImportTimeLimit,
    PyBaseException,
    "Raised in a core's import that has run into the host's time limit."
);

/// How long after a strike the next one comes.
const STRIKE_AGAIN: Duration = Duration::from_millis(500);

/// Raises [`ImportTimeLimit`] in this thread when the time is up, unless finished before.
///
/// Python raises it between two instructions: code that waits in C, for a lock or a socket, goes on waiting.
pub(super) struct TimeLimit {
    thread: std::ffi::c_long,
    limit: Duration,
    finished: Sender<()>,
}

impl TimeLimit {
    pub(super) fn start(py: Python<'_>, limit: Duration) -> PyResult<Self> {
        let thread =
            import_for_host(py, "threading")?.call_method0("get_ident")?.extract::<std::ffi::c_long>()?;
        let (finished, when_finished) = mpsc::channel::<()>();
        let watch = move || {
            let mut wait = limit;
            // More than once, as the code may swallow what is raised in it.
            while when_finished.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                let is_finished = Python::attach(|py| {
                    // While attached here, the other thread is not running Python: finished or not, it stays so.
                    let is_finished = when_finished.try_recv() != Err(mpsc::TryRecvError::Empty);
                    if !is_finished {
                        raise_in(py, thread, Some(&py.get_type::<ImportTimeLimit>()));
                    }
                    is_finished
                });
                if is_finished {
                    return;
                }
                wait = STRIKE_AGAIN;
            }
        };
        std::thread::Builder::new().name("sgtk-host time limit".to_owned()).spawn(watch)?;
        Ok(Self { thread, limit, finished })
    }

    /// Ends the limit; where it struck, the outcome is a `TimeoutError` that says so.
    pub(super) fn finish<T>(self, py: Python<'_>, outcome: PyResult<T>) -> PyResult<T> {
        // The watch may have ended already.
        let _ = self.finished.send(());
        // It may also have struck after the last instruction: then nobody else may be hit.
        raise_in(py, self.thread, None);
        outcome.map_err(|error| {
            if !error.is_instance_of::<ImportTimeLimit>(py) {
                return error;
            }
            let text = format!("the import did not end within {:?} and was stopped", self.limit);
            let stopped = pyo3::exceptions::PyTimeoutError::new_err(text);
            stopped.set_traceback(py, error.traceback(py));
            stopped
        })
    }
}

/// Has `thread` raise `exception` before its next instruction, or raise nothing after all.
fn raise_in(py: Python<'_>, thread: std::ffi::c_long, exception: Option<&Bound<'_, pyo3::types::PyType>>) {
    let exception = exception.map_or(std::ptr::null_mut(), |exception| exception.as_ptr());
    let _ = py;
    // SAFETY: the interpreter is held; `exception` is a class that derives from BaseException, or null. The call takes
    // a reference of its own.
    unsafe { ffi::PyThreadState_SetAsyncExc(thread, exception) };
}
