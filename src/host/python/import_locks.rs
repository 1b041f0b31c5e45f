//! The import system's locks: which modules other threads are importing at this moment.
//!
//! Each import holds its module's lock from before the module is looked for until it is loaded. The flag
//! `__spec__._initializing` does not tell for all: loaders of the old kind (`load_module`, `zipimport` before
//! Python 3.10) give a module its spec only when it is loaded.

use std::collections::HashSet;
use std::sync::LazyLock;

use parking_lot::Mutex;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::contents;
use super::import::import_for_host;
use super::names::Names;

/// See the module's documentation.
pub(crate) struct ImportLocks {
    /// `importlib._bootstrap._module_locks`: weak references to locks, by the name of the module.
    locks: Option<Py<PyDict>>,
    /// `_thread.get_ident`, a C function.
    this_thread: Py<PyAny>,
}

impl ImportLocks {
    pub(crate) fn new(py: Python<'_>) -> PyResult<Self> {
        // Not a documented name. Where a later Python has it no more, nothing is waited for.
        let locks = py.import("importlib._bootstrap").and_then(|module| module.getattr("_module_locks"));
        let locks = locks.ok().and_then(|locks| locks.cast_into::<PyDict>().ok()).map(Bound::unbind);
        Ok(Self { locks, this_thread: py.import("_thread")?.getattr("get_ident")?.unbind() })
    }

    /// The names of the modules that other threads are importing, but for those that [wait](Awaiting) for
    /// their turn meanwhile. Runs no Python code.
    pub(crate) fn held_by_others(&self, py: Python<'_>) -> Vec<String> {
        let Some(locks) = self.locks.as_ref().map(|locks| locks.bind(py)).filter(|locks| !locks.is_empty())
        else {
            return Vec::new();
        };
        let Ok(this_thread) = self.this_thread.bind(py).call0() else { return Vec::new() };
        let held = contents::items(locks).into_iter().filter(|(_, reference)| {
            // The lock's class is importlib's own, whose attributes are plain.
            let owner = referent(reference).and_then(|lock| lock.getattr(&Names::of(py).owner).ok());
            owner.is_some_and(|owner| {
                let is_others = !owner.is_none() && !owner.eq(&this_thread).unwrap_or(true);
                is_others && !owner.extract().is_ok_and(|owner| AWAITING.lock().contains(&owner))
            })
        });
        let names = held.filter_map(|(name, _)| name.cast_into::<PyString>().ok());
        names.map(|name| name.to_string_lossy().into_owned()).collect()
    }
}

/// The numbers of the threads that wait for their turn, perhaps in the middle of an import. Locked for
/// moments.
static AWAITING: LazyLock<Mutex<HashSet<u64>>> = LazyLock::new(Mutex::default);

/// This thread waits for its turn, perhaps in the middle of an import: who has the turn is not to wait for
/// that one's end.
pub(crate) struct Awaiting(Option<u64>);

impl Awaiting {
    pub(crate) fn new(py: Python<'_>) -> Self {
        let ident = import_for_host(py, "_thread").and_then(|thread| thread.call_method0("get_ident"));
        let ident = ident.and_then(|ident| ident.extract()).ok();
        AWAITING.lock().extend(ident);
        Self(ident)
    }
}

impl Drop for Awaiting {
    fn drop(&mut self) {
        if let Some(ident) = self.0 {
            AWAITING.lock().remove(&ident);
        }
    }
}

/// What a weak reference leads to, if that is still alive.
fn referent<'py>(reference: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    // SAFETY: the interpreter is held and the object alive; the check only looks at its type.
    let is_reference = unsafe { ffi::PyWeakref_CheckRefExact(reference.as_ptr()) } != 0;
    // Calling an exact `weakref.ref` is C code.
    is_reference.then(|| reference.call0().ok()).flatten().filter(|lock| !lock.is_none())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;
    use crate::interpreter::Interpreter;

    #[test]
    fn who_waits_for_its_turn_in_the_middle_of_an_import_is_not_waited_for() {
        Interpreter::start_default().unwrap();
        let (locks, manager) = Python::attach(|py| {
            let bootstrap = py.import("importlib._bootstrap").unwrap();
            let manager = bootstrap.getattr("_ModuleLockManager").unwrap().call1(("tkimp0",)).unwrap();
            (ImportLocks::new(py).unwrap(), manager.unbind())
        });
        let held = || Python::attach(|py| locks.held_by_others(py)).contains(&"tkimp0".to_owned());
        let ((tell, told), (go_on, goes_on)) = (mpsc::channel(), mpsc::channel::<()>());
        let seen = thread::scope(|scope| {
            scope.spawn(move || {
                Python::attach(|py| manager.call_method0(py, "__enter__").unwrap());
                let mut awaiting = None;
                for waits in [false, true, false] {
                    awaiting = waits.then(|| Python::attach(Awaiting::new));
                    tell.send(()).unwrap();
                    goes_on.recv().unwrap();
                }
                drop(awaiting);
                Python::attach(|py| {
                    manager.call_method1(py, "__exit__", (py.None(), py.None(), py.None())).unwrap();
                });
            });
            [(); 3].map(|()| {
                told.recv().unwrap();
                let held = held();
                go_on.send(()).unwrap();
                held
            })
        });
        // Not before, as the thread would wait on.
        assert_eq!(seen, [true, false, true]);
        assert!(!held());
    }
}
