//! Imports of the host's own, and the extent of one import.

use std::cell::Cell;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

thread_local! {
    /// How many imports this thread is inside of.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Imports a module for the host itself, whatever Python code has called it: that code's project does not
/// count.
pub(crate) fn import_for_host<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyModule>> {
    // Any name but `None` has the import give the module itself and not the package that it is in.
    let (name, names) = (PyString::new(py, name), PyTuple::new(py, ["__name__"])?);
    let null = std::ptr::null_mut();
    // SAFETY: the interpreter is held, the name is a string and the list of names a tuple; globals and locals
    // may be null for an absolute import. The result is a new reference or null with an exception set.
    let module = unsafe {
        let module = ffi::PyImport_ImportModuleLevelObject(name.as_ptr(), null, null, names.as_ptr(), 0);
        Bound::from_owned_ptr_or_err(py, module)
    };
    Ok(module?.cast_into()?)
}

/// Runs `body` as one import of this thread: imports nested in it are parts of it ([`is_nested`]).
pub(crate) fn as_one_import<T>(body: impl FnOnce() -> T) -> T {
    struct Inside;
    impl Drop for Inside {
        fn drop(&mut self) {
            DEPTH.set(DEPTH.get() - 1);
        }
    }
    DEPTH.set(DEPTH.get() + 1);
    let _inside = Inside;
    body()
}

/// Whether this thread is inside an import.
pub(crate) fn is_nested() -> bool {
    DEPTH.get() > 0
}

/// How many modules `sys.modules` holds.
pub(crate) fn module_count(_attached: Python<'_>) -> ffi::Py_ssize_t {
    // SAFETY: the interpreter is held; PyImport_GetModuleDict gives a borrowed reference to its dictionary.
    unsafe { ffi::PyDict_Size(ffi::PyImport_GetModuleDict()) }
}
