//! The import system's locks: which modules other threads are importing at this moment.
//!
//! Each import holds its module's lock from before the module is looked for until it is loaded. The flag
//! `__spec__._initializing` does not tell for all: loaders of the old kind (`load_module`, `zipimport` before
//! Python 3.10) give a module its spec only when it is loaded.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::contents;
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

    /// The names of the modules that other threads are importing. Runs no Python code.
    pub(crate) fn held_by_others(&self, py: Python<'_>) -> Vec<String> {
        let Some(locks) = self.locks.as_ref().map(|locks| locks.bind(py)).filter(|locks| !locks.is_empty())
        else {
            return Vec::new();
        };
        let Ok(this_thread) = self.this_thread.bind(py).call0() else { return Vec::new() };
        let held = contents::items(locks).into_iter().filter(|(_, reference)| {
            // The lock's class is importlib's own, whose attributes are plain.
            let owner = referent(reference).and_then(|lock| lock.getattr(&Names::of(py).owner).ok());
            owner.is_some_and(|owner| !owner.is_none() && !owner.eq(&this_thread).unwrap_or(true))
        });
        let names = held.filter_map(|(name, _)| name.cast_into::<PyString>().ok());
        names.map(|name| name.to_string_lossy().into_owned()).collect()
    }
}

/// What a weak reference leads to, if that is still alive.
fn referent<'py>(reference: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    // SAFETY: the interpreter is held and the object alive; the check only looks at its type.
    let is_reference = unsafe { ffi::PyWeakref_CheckRefExact(reference.as_ptr()) } != 0;
    // Calling an exact `weakref.ref` is C code.
    is_reference.then(|| reference.call0().ok()).flatten().filter(|lock| !lock.is_none())
}
