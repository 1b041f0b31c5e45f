//! One Python thread state for each thread, for as long as the thread lives.
//!
//! Attaching to the interpreter and letting go of it makes a thread state and deletes it, where nobody keeps
//! it. What Python code keeps for each thread (`threading.local`, such as the client's connection to a site)
//! would be gone each time. So one `PyGILState_Ensure` of each thread is left without its release.
//!
//! When a thread ends, its state is deleted by a thread of this module's. The thread itself does not wait for
//! the interpreter then: whoever holds it may be waiting for the thread's end.

use std::cell::Cell;

use pyo3::ffi;
use pyo3::prelude::*;

/// The number of the state that initialising Python has made. It is never deleted.
const MAIN: i64 = 1;

thread_local! {
    static IS_KEPT: Cell<bool> = const { Cell::new(false) };
}

/// Keeps this thread's state until the thread ends.
pub(crate) fn keep(_attached: Python<'_>) {
    if IS_KEPT.replace(true) {
        return;
    }
    // SAFETY: the interpreter is held. A thread that runs another interpreter than the main one is not asked
    // about.
    let state = unsafe {
        if ffi::PyGILState_Check() == 0 { std::ptr::null_mut() } else { ffi::PyGILState_GetThisThreadState() }
    };
    // SAFETY: the state, where there is one, is this thread's and alive.
    if state.is_null() || unsafe { ffi::PyThreadState_GetID(state) } == MAIN {
        return;
    }
    ends::delete_with_this_thread(state);
}

#[cfg(unix)]
mod ends {
    use std::cell::RefCell;
    use std::ffi::c_void;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, OnceLock};
    use std::thread::{self, Thread};
    use std::time::{Duration, Instant};

    use parking_lot::Mutex;
    use pyo3::ffi;
    use pyo3::prelude::*;

    /// How long an ending thread waits for its state to be deleted. Longer only where somebody holds the
    /// interpreter.
    const GRACE: Duration = Duration::from_millis(100);

    /// A thread's state.
    struct Kept {
        state: *mut ffi::PyThreadState,
        /// Whether it was this thread's still when the thread ended. Python deletes the states of its own
        /// threads itself.
        is_left: AtomicBool,
        deleted: AtomicBool,
    }

    // SAFETY: the pointer is followed by nobody but the functions below, which hold the interpreter.
    unsafe impl Send for Kept {}
    // SAFETY: as above.
    unsafe impl Sync for Kept {}

    /// Tells at a thread's end, while other thread-locals may use Python yet, whether the state is left.
    struct Check(Arc<Kept>);

    impl Drop for Check {
        fn drop(&mut self) {
            // SAFETY: reads a thread-specific pointer.
            let is_left = unsafe { ffi::PyGILState_GetThisThreadState() } == self.0.state;
            self.0.is_left.store(is_left, Ordering::Relaxed);
        }
    }

    thread_local! {
        static CHECK: RefCell<Option<Check>> = const { RefCell::new(None) };
    }

    /// States of threads that have ended.
    static ENDED: Mutex<Vec<Arc<Kept>>> = Mutex::new(Vec::new());

    /// The thread that deletes them, and the key whose destructor runs at a thread's end; nothing where they
    /// could not be had.
    static ENDS: OnceLock<Option<(Thread, libc::pthread_key_t)>> = OnceLock::new();

    /// Keeps the state of this thread, which is attached, until the thread ends.
    pub(super) fn delete_with_this_thread(state: *mut ffi::PyThreadState) {
        let Some((_, key)) = ENDS.get_or_init(begin) else { return };
        let kept = Arc::new(Kept { state, is_left: AtomicBool::new(false), deleted: AtomicBool::new(false) });
        let check = Check(Arc::clone(&kept));
        // An error where the thread is ending already.
        if CHECK.try_with(|slot| drop(slot.borrow_mut().replace(check))).is_err() {
            return;
        }
        // SAFETY: the thread is attached; the release that belongs to this is the state's deletion.
        unsafe { ffi::PyGILState_Ensure() };
        // SAFETY: the key was made by `begin`, and its destructor takes back what `into_raw` gave.
        unsafe { libc::pthread_setspecific(*key, Arc::into_raw(kept).cast()) };
    }

    fn begin() -> Option<(Thread, libc::pthread_key_t)> {
        let mut key = 0;
        // SAFETY: `key` is writable, and the destructor is a function of the program's.
        if unsafe { libc::pthread_key_create(&mut key, Some(at_thread_end)) } != 0 {
            return None;
        }
        let spawned = thread::Builder::new().name("sgtk-host thread ends".to_owned()).spawn(delete_ended);
        match spawned {
            Ok(deleting) => Some((deleting.thread().clone(), key)),
            Err(error) => {
                tracing::warn!(%error, "Python's thread states will not outlive an attachment");
                None
            }
        }
    }

    /// Gives the ending thread's state up. Runs after the destructors of Rust's thread-locals.
    unsafe extern "C" fn at_thread_end(value: *mut c_void) {
        // SAFETY: the value was given by `delete_with_this_thread`.
        let kept = unsafe { Arc::from_raw(value.cast_const().cast::<Kept>()) };
        let Some(Some((deleting, _))) = ENDS.get() else { return };
        if !kept.is_left.load(Ordering::Relaxed) {
            return;
        }
        ENDED.lock().push(Arc::clone(&kept));
        deleting.unpark();
        // Usually that is a matter of microseconds, so that what the state held is gone when the thread is.
        let (start, mut pause) = (Instant::now(), Duration::from_micros(20));
        while !kept.deleted.load(Ordering::Acquire) && start.elapsed() < GRACE {
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(5));
        }
    }

    fn delete_ended() {
        loop {
            let ended = std::mem::take(&mut *ENDED.lock());
            if ended.is_empty() {
                thread::park();
                continue;
            }
            // With a state of this thread's own in use, as destructors that run now may be code of any kind.
            let cleared = Python::try_attach(|_| {
                for kept in &ended {
                    // SAFETY: the interpreter is held, the state's thread has ended, and nobody else deletes
                    // it.
                    unsafe { ffi::PyThreadState_Clear(kept.state) };
                }
            });
            if cleared.is_none() {
                // The interpreter is finalized by its owner, with all states.
                return;
            }
            for kept in ended {
                // SAFETY: this thread is not attached, and the cleared state is used by nobody. Deleting it
                // lets go of the interpreter. It is made this thread's for that, as CPython 3.12 and later
                // forget the state that the deleting thread has, and not the one that the deleted state
                // belonged to.
                unsafe {
                    ffi::PyEval_RestoreThread(kept.state);
                    ffi::PyThreadState_DeleteCurrent();
                }
                kept.deleted.store(true, Ordering::Release);
            }
        }
    }
}

#[cfg(not(unix))]
mod ends {
    use std::cell::RefCell;

    use pyo3::ffi;

    /// A state that is released when its thread ends.
    struct Kept(*mut ffi::PyThreadState);

    thread_local! {
        static KEPT: RefCell<Option<Kept>> = const { RefCell::new(None) };
    }

    impl Drop for Kept {
        fn drop(&mut self) {
            // SAFETY: reads a thread-specific pointer. It is another where Python, whose own thread this was,
            // has deleted the state.
            if unsafe { ffi::Py_IsInitialized() == 0 || ffi::PyGILState_GetThisThreadState() != self.0 } {
                return;
            }
            // SAFETY: the state is this thread's, which is not attached at its end, and has the count that
            // `Ensure` gave it.
            unsafe {
                ffi::PyEval_RestoreThread(self.0);
                ffi::PyGILState_Release(ffi::PyGILState_STATE::PyGILState_UNLOCKED);
            }
        }
    }

    /// Keeps the state of this thread, which is attached, until the thread ends.
    pub(super) fn delete_with_this_thread(state: *mut ffi::PyThreadState) {
        // SAFETY: the thread is attached; the release that belongs to this is in `Kept::drop`.
        unsafe { ffi::PyGILState_Ensure() };
        KEPT.set(Some(Kept(state)));
    }
}
