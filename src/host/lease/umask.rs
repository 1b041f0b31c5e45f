//! The process's file mode mask, of which each of a project's threads has its own view.
//!
//! Toolkit sets it to 0 around copying and then to what it was before. Two threads that do so at the same
//! time, each taking the other's value for what was before, leave it at 0 for good. So `os.umask` is wrapped
//! once: for a project's code it keeps what each thread has set, and the process's mask grants what any of
//! them needs. Where none has set another mask than the daemon's any more, the process has the daemon's.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::LazyLock;
use std::thread::{self, ThreadId};

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::host::gate::held;
use crate::host::ownership::marks;
use crate::host::python::frames::running_globals;
use crate::host::python::import::import_for_host;

static MASKS: LazyLock<Mutex<Masks>> = LazyLock::new(Mutex::default);

/// The masks of projects' threads that are others than the daemon's.
#[derive(Default)]
struct Masks {
    own: HashMap<ThreadId, libc::mode_t>,
    /// The daemon's. Known while there are others.
    daemons: libc::mode_t,
}

impl Masks {
    /// Sets a thread's mask, and returns the one that it had.
    fn set(&mut self, thread: ThreadId, mask: libc::mode_t) -> libc::mode_t {
        if self.own.is_empty() {
            self.daemons = set_for_process(mask);
        }
        let before =
            if mask == self.daemons { self.own.remove(&thread) } else { self.own.insert(thread, mask) };
        self.apply();
        before.unwrap_or(self.daemons)
    }

    /// Sets the daemon's mask, and returns the one that it had.
    fn set_daemons(&mut self, mask: libc::mode_t) -> libc::mode_t {
        if self.own.is_empty() { set_for_process(mask) } else { std::mem::replace(&mut self.daemons, mask) }
    }

    fn forget(&mut self, thread: ThreadId) {
        if self.own.remove(&thread).is_some() {
            self.apply();
        }
    }

    fn apply(&self) {
        set_for_process(self.own.values().copied().reduce(|one, other| one & other).unwrap_or(self.daemons));
    }
}

fn set_for_process(mask: libc::mode_t) -> libc::mode_t {
    // SAFETY: sets a number of the process's and cannot fail.
    unsafe { libc::umask(mask) }
}

/// Whether this thread has a mask of its own, which goes with the thread.
struct OwnMask(Cell<bool>);

thread_local! {
    static OWN: OwnMask = const { OwnMask(Cell::new(false)) };
}

impl OwnMask {
    fn forget(&self) {
        if self.0.replace(false) {
            MASKS.lock().forget(thread::current().id());
        }
    }
}

impl Drop for OwnMask {
    fn drop(&mut self) {
        self.forget();
    }
}

/// Gives up what a project's code has set on this thread, at the end of a lease.
pub(super) fn put_back() {
    // An error where the thread is ending: then it has none.
    let _ = OWN.try_with(OwnMask::forget);
}

/// As [`put_back`], and gives what was set, to be [set again](resume).
pub(super) fn suspend() -> Option<libc::mode_t> {
    let own = MASKS.lock().own.get(&thread::current().id()).copied();
    put_back();
    own
}

/// Sets again what was [suspended](suspend).
pub(super) fn resume(mask: Option<libc::mode_t>) {
    if let Some(mask) = mask
        && OWN.try_with(|own| own.0.set(true)).is_ok()
    {
        MASKS.lock().set(thread::current().id(), mask);
    }
}

/// Wraps `os.umask`, once.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    static WRAPPED: PyOnceLock<()> = PyOnceLock::new();
    WRAPPED
        .get_or_try_init(py, || {
            let wrapped = wrap_pyfunction!(umask, py)?;
            let wrap = |module| import_for_host(py, module)?.setattr("umask", &wrapped);
            ["os", "posix"].into_iter().try_for_each(wrap)
        })
        .map(drop)
}

/// Set the current numeric umask and return the previous umask.
#[pyfunction]
#[pyo3(signature = (mask, /))]
fn umask(py: Python<'_>, mask: i32) -> libc::mode_t {
    // As the system takes it: the bits for permissions.
    let mask = mask.cast_unsigned() as libc::mode_t & 0o777;
    let is_projects = held::holds_any()
        || running_globals(py).is_some_and(|globals| marks::owner_of_globals(&globals).is_some());
    if is_projects {
        // An error where the thread is ending: then nobody would give the mask up.
        match OWN.try_with(|own| own.0.set(true)) {
            Ok(()) => MASKS.lock().set(thread::current().id(), mask),
            Err(_) => MASKS.lock().set_daemons(mask),
        }
    } else {
        MASKS.lock().set_daemons(mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_open_the_mask_at_once_leave_the_daemons() {
        // The process's mask is this test's alone, as no other test here looks at it.
        let daemons = set_for_process(0o027);
        let mut masks = Masks::default();
        let [one, other] = [(); 2].map(|()| thread::spawn(|| thread::current().id()).join().unwrap());
        assert_eq!(masks.set(one, 0), 0o027);
        assert_eq!(masks.set(other, 0), 0o027);
        assert_eq!(masks.set(one, 0o027), 0);
        assert_eq!(set_for_process(0), 0, "the other needs it yet");
        assert_eq!(masks.set(other, 0o027), 0);
        assert_eq!(set_for_process(daemons), 0o027);
    }
}
