//! What it takes to look at a name, and to give it a value, in a module, a class or an object of the standard
//! library. Nothing here runs Python code.

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyModule, PyString, PyType};

use crate::host::python::modules::{
    Origin, class_module, function_globals, is_in_stdlib, origin, own_name, text_of,
};
use crate::host::python::names::Names;

/// Modules that were loaded meanwhile, and what this library has wrapped.
pub(super) fn is_everybodys(value: &Bound<'_, PyAny>) -> bool {
    let is_ours = || {
        let code = function_globals(value).and_then(|_| value.getattr("__code__").ok());
        let file = code.and_then(|code| code.getattr("co_filename").ok()?.extract::<String>().ok());
        file.is_some_and(|file| file.starts_with("<sgtk-host>"))
    };
    // A C function of a module's leads to it, one of this library's to a value in Rust.
    let is_of_rust = || {
        let holder = value.cast::<PyCFunction>().ok().and_then(|function| function.getattr("__self__").ok());
        holder.is_some_and(|holder| !holder.is_instance_of::<PyModule>())
    };
    value.is_instance_of::<PyModule>() || is_of_rust() || is_ours()
}

/// Whether a class or a function is of this module, or of one below it: what a module loads when it is asked
/// for first, as `concurrent.futures` does.
pub(super) fn is_of_module(value: &Bound<'_, PyAny>, module: &Bound<'_, PyString>) -> bool {
    let of = match function_globals(value) {
        Some(globals) => text_of(globals.get_item(&Names::of(value.py()).name)),
        None => value.cast::<PyType>().ok().and_then(|class| class_module(class)),
    };
    of.zip(module.to_str().ok()).is_some_and(|(of, module)| {
        of.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// Whether a module is what the standard library has under this name.
pub(super) fn is_of_stdlib(name: &str, module: &Bound<'_, PyAny>) -> bool {
    let lies_there = match origin(module) {
        Origin::Path(path) => is_in_stdlib(&path),
        Origin::Interpreter => true,
        Origin::Made => false,
    };
    lies_there && own_name(module).is_some_and(|own| own == name)
}

pub(super) fn put(
    live: &Bound<'_, PyDict>,
    name: &Bound<'_, PyAny>,
    value: Option<&Py<PyAny>>,
) -> PyResult<()> {
    match value {
        Some(value) => live.set_item(name, value),
        None if live.contains(name)? => live.del_item(name),
        None => Ok(()),
    }
}

/// As [`put`], as `type` itself does it, whatever the metaclass makes of it.
pub(super) fn put_in_class(
    class: &Bound<'_, PyType>,
    names: &Bound<'_, PyDict>,
    name: &Bound<'_, PyAny>,
    value: Option<&Py<PyAny>>,
) -> PyResult<()> {
    if value.is_none() && !names.contains(name)? {
        return Ok(());
    }
    let value = value.map_or(std::ptr::null_mut(), Py::as_ptr);
    // SAFETY: the interpreter is held, `class` is a class and `name` a `str`; a null value takes it away.
    let failed = unsafe {
        let set = ffi::PyType_Type.tp_setattro;
        set.map(|set| set(class.as_ptr(), name.as_ptr(), value))
    };
    match failed {
        Some(0) => Ok(()),
        Some(_) => Err(PyErr::fetch(class.py())),
        None => Err(PyRuntimeError::new_err("type has no way to set an attribute")),
    }
}

/// Names are `str`, integers or classes: these are the same where they are equal.
pub(super) fn same_name(py: Python<'_>, one: &Py<PyAny>, other: &Py<PyAny>) -> bool {
    one.is(other) || one.bind(py).eq(other.bind(py)).unwrap_or(false)
}
