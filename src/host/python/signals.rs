//! What handles a signal: in Python, and in the process itself, where the daemon may have a handler of which
//! Python knows nothing.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::import::import_for_host;

/// `getsignal` and `signal`, in C.
static FUNCTIONS: PyOnceLock<[Py<PyAny>; 2]> = PyOnceLock::new();

/// Handlers that Python takes from its main thread only, until that comes by.
static PENDING: Mutex<Vec<(i32, Py<PyAny>)>> = Mutex::new(Vec::new());

/// Whether there are any.
static ARE_PENDING: AtomicBool = AtomicBool::new(false);

/// See the module's documentation.
pub(crate) struct Handler {
    /// Python's; nothing where it knows of none.
    python: Option<Py<PyAny>>,
    #[cfg(unix)]
    system: libc::sigaction,
}

/// Signals that timers send (`signal.alarm`, `signal.setitimer`), and these.
#[cfg(unix)]
const TIMERS: [(i32, libc::c_int); 3] = [
    (libc::SIGALRM, libc::ITIMER_REAL as libc::c_int),
    (libc::SIGVTALRM, libc::ITIMER_VIRTUAL as libc::c_int),
    (libc::SIGPROF, libc::ITIMER_PROF as libc::c_int),
];

/// Finds the functions, before they are wrapped.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    FUNCTIONS
        .get_or_try_init(py, || {
            let module = import_for_host(py, "_signal")?;
            PyResult::Ok([module.getattr("getsignal")?.unbind(), module.getattr("signal")?.unbind()])
        })
        .map(drop)
}

impl Handler {
    /// The one that a signal has now; nothing for a number that is no signal's. Runs no Python code.
    pub(crate) fn now(py: Python<'_>, signal: i32) -> Option<Self> {
        let python = FUNCTIONS.get(py)?[0].bind(py).call1((signal,)).ok()?;
        let python = (!python.is_none()).then(|| python.unbind());
        #[cfg(unix)]
        {
            let mut system = std::mem::MaybeUninit::uninit();
            // SAFETY: without an action to set the call only writes the one there is, where it returns 0.
            let system = unsafe {
                (libc::sigaction(signal, std::ptr::null(), system.as_mut_ptr()) == 0)
                    .then(|| system.assume_init())
            };
            Some(Self { python, system: system? })
        }
        #[cfg(not(unix))]
        Some(Self { python })
    }

    pub(crate) fn let_go(self, replaced: &mut Vec<Py<PyAny>>) {
        replaced.extend(self.python);
    }

    /// Has a signal handled so again. Runs no Python code.
    pub(crate) fn put(&self, py: Python<'_>, signal: i32) -> PyResult<()> {
        // A timer that is still to end would find a handler that is not its own: none ends the process.
        #[cfg(unix)]
        if let Some((_, timer)) = TIMERS.iter().find(|(of, _)| *of == signal) {
            // SAFETY: all zeros is a timer that is off; without a place for the one before it only sets it.
            unsafe { libc::setitimer(*timer, &std::mem::zeroed(), std::ptr::null_mut()) };
        }
        let python = self.python.as_ref().map_or(Ok(()), |handler| set(py, signal, handler));
        #[cfg(unix)]
        // SAFETY: the action is one that the signal had before.
        unsafe {
            libc::sigaction(signal, &raw const self.system, std::ptr::null_mut());
        }
        python
    }
}

/// Sets the handlers that are pending, where this is Python's main thread.
pub(crate) fn set_pending(py: Python<'_>) -> PyResult<()> {
    if !ARE_PENDING.load(Ordering::Relaxed) {
        return Ok(());
    }
    ARE_PENDING.store(false, Ordering::Relaxed);
    let pending = std::mem::take(&mut *PENDING.lock());
    pending.into_iter().try_for_each(|(signal, handler)| {
        // What handles it in the process stays, whoever has set that meanwhile.
        let now = Handler::now(py, signal);
        let outcome = set(py, signal, &handler);
        #[cfg(unix)]
        if let Some(now) = now {
            // SAFETY: the action is the one that the signal had before.
            unsafe { libc::sigaction(signal, &raw const now.system, std::ptr::null_mut()) };
        }
        #[cfg(not(unix))]
        drop(now);
        outcome
    })
}

fn set(py: Python<'_>, signal: i32, handler: &Py<PyAny>) -> PyResult<()> {
    let [_, set] = FUNCTIONS.get(py).ok_or_else(|| PyRuntimeError::new_err("no signals are known yet"))?;
    match set.bind(py).call1((signal, handler)) {
        Err(error) if error.is_instance_of::<PyValueError>(py) => {
            PENDING.lock().push((signal, handler.clone_ref(py)));
            ARE_PENDING.store(true, Ordering::Relaxed);
            Ok(())
        }
        outcome => outcome.map(drop),
    }
}
