//! Python code of a thread that other threads can break off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;

use super::children::{Children, Ending};
use super::import::import_for_host;
use super::time_limit::{TimeLimitReached, raise_in, raise_what_is_left};

/// Python code of this thread, from [`begin`](Self::begin) to [`end`](Self::end), that other threads can
/// break off: a plugin's function that has run for too long.
///
/// # Examples
/// ```
/// use pyo3::prelude::*;
/// use sgtk_host::{Interruptible, interpreter::Interpreter};
///
/// Interpreter::start_default()?;
/// let interrupted = Python::attach(|py| {
///     let code = Interruptible::begin(py)?;
///     let interruption = code.interruption();
///     std::thread::spawn(move || interruption.interrupt());
///     let outcome = py.run(c"while True: pass", None, None);
///     let interrupted = code.end(py);
///     assert!(outcome.is_err());
///     PyResult::Ok(interrupted)
/// })?;
/// assert!(interrupted);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "the code can be broken off until `end`"]
pub struct Interruptible {
    code: Arc<Code>,
}

/// Breaks off the code of an [`Interruptible`], from any thread. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Interruption {
    code: Arc<Code>,
}

struct Code {
    thread: std::ffi::c_long,
    /// Changes only where the interpreter is held.
    ended: AtomicBool,
    interrupted: AtomicBool,
    children: Children,
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Code").field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl Interruptible {
    /// What this thread does from now on can be broken off.
    ///
    /// # Errors
    /// The standard library's `threading` cannot be imported.
    pub fn begin(py: Python<'_>) -> PyResult<Self> {
        let thread = import_for_host(py, "threading")?.call_method0("get_ident")?.extract()?;
        let code = Code {
            thread,
            ended: AtomicBool::new(false),
            interrupted: AtomicBool::new(false),
            children: Children::now(),
        };
        Ok(Self { code: Arc::new(code) })
    }

    /// What breaks it off.
    #[must_use]
    pub fn interruption(&self) -> Interruption {
        Interruption { code: Arc::clone(&self.code) }
    }

    /// Nothing breaks off this thread any more. Returns whether something did, although the code may have
    /// gone on.
    pub fn end(self, py: Python<'_>) -> bool {
        self.code.ended.store(true, Ordering::Release);
        let interrupted = self.code.interrupted.load(Ordering::Acquire);
        if interrupted {
            raise_what_is_left(py);
        }
        interrupted
    }
}

impl Drop for Interruptible {
    fn drop(&mut self) {
        self.code.ended.store(true, Ordering::Release);
    }
}

impl Interruption {
    /// Raises an exception, one that is no `Exception`, in the code before its next instruction, and ends the
    /// processes that its thread has started meanwhile: asks them to end the first time, kills them after
    /// that. Returns whether the code had not ended before.
    ///
    /// Code that waits in C, for a lock or a socket, goes on waiting, and code may catch what is raised: call
    /// it again where it does not end. Waits for the interpreter, which C code may hold for good: call it on
    /// a thread that may hang.
    pub fn interrupt(&self) -> bool {
        let code = &self.code;
        Python::attach(|py| {
            // While attached here, the other thread is not running Python: ended or not, it stays so.
            if code.ended.load(Ordering::Acquire) {
                return false;
            }
            let again = code.interrupted.swap(true, Ordering::AcqRel);
            raise_in(py, code.thread, &py.get_type::<TimeLimitReached>());
            code.children.end(Vec::new(), if again { Ending::Kill } else { Ending::Ask });
            true
        })
    }
}

const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<Interruption>();
};
