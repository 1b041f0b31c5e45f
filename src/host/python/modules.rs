//! What a module's dictionary tells of it.
//!
//! Everything here looks into dictionaries and type slots and runs no Python code: reading `module.__file__`
//! the usual way can run a lazy module's `__getattr__`, and takes milliseconds over a thousand modules.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyFunction, PyList, PyModule, PyString, PyType};

use super::names::Names;

/// A module's dictionary, without asking the module. `None` for the other things that `sys.modules` may hold.
pub(crate) fn module_dict<'py>(module: &Bound<'py, PyAny>) -> Option<Bound<'py, PyDict>> {
    let module = module.cast::<PyModule>().ok()?;
    Some(module.dict())
}

/// `sys.modules`, as the interpreter has it.
pub(crate) fn all_loaded(py: Python<'_>) -> Option<Bound<'_, PyDict>> {
    // SAFETY: the interpreter is held; PyImport_GetModuleDict gives a borrowed reference to a dictionary that
    // it keeps.
    let modules = unsafe { Bound::from_borrowed_ptr(py, ffi::PyImport_GetModuleDict()) };
    modules.cast_into().ok()
}

/// The module that is loaded under this name.
pub(crate) fn loaded_module<'py>(py: Python<'py>, name: &Py<PyString>) -> Option<Bound<'py, PyAny>> {
    all_loaded(py)?.get_item(name).ok()?
}

/// The dictionary of a module that is loaded under this name.
pub(crate) fn loaded<'py>(py: Python<'py>, name: &Py<PyString>) -> Option<Bound<'py, PyDict>> {
    module_dict(&loaded_module(py, name)?)
}

/// Where a module comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A file or folder, or something inside a zip.
    Path(String),
    /// Compiled into the interpreter.
    Interpreter,
    /// No file: made by code.
    Made,
}

/// Where a module comes from, by its dictionary.
pub(crate) fn origin(module: &Bound<'_, PyAny>) -> Origin {
    let Some(dict) = module_dict(module) else { return Origin::Made };
    let py = dict.py();
    if let Some(file) = text(dict.get_item(&Names::of(py).file)) {
        return Origin::Path(file);
    }
    if let Some(folder) = search_folder(&dict) {
        return Origin::Path(folder);
    }
    let spec = dict.get_item(&Names::of(py).spec).ok().flatten().filter(is_plain_spec);
    match spec.and_then(|spec| text(spec.getattr(&Names::of(py).origin).map(Some))).as_deref() {
        Some("built-in" | "frozen") => Origin::Interpreter,
        Some(path) => Origin::Path(path.to_owned()),
        None => Origin::Made,
    }
}

/// A namespace package has no file, only the folders that it spans: the first is its place.
fn search_folder(dict: &Bound<'_, PyDict>) -> Option<String> {
    let py = dict.py();
    let path = dict.get_item(&Names::of(py).path).ok()??;
    let folders = match path.cast_exact::<PyList>() {
        Ok(list) => list.clone(),
        // importlib's _NamespacePath keeps its list in a plain attribute.
        Err(_) if !path.get_type().name().is_ok_and(|name| name == "_NamespacePath") => return None,
        Err(_) => path.getattr(&Names::of(py).path_list).ok()?.cast_into::<PyList>().ok()?,
    };
    text(folders.get_item(0).map(Some))
}

/// Whether this is importlib's own class, whose attributes are plain.
fn is_plain_spec(spec: &Bound<'_, PyAny>) -> bool {
    spec.get_type().name().is_ok_and(|name| name == "ModuleSpec")
}

/// The name that a module has itself, whatever it is called in `sys.modules`.
pub(crate) fn own_name(module: &Bound<'_, PyAny>) -> Option<String> {
    text(module_dict(module)?.get_item(&Names::of(module.py()).name))
}

/// Whether a module's code has begun to run, which gives its dictionary the built-in names. A namespace
/// package has none.
pub(crate) fn has_begun(module: &Bound<'_, PyAny>) -> bool {
    module_dict(module).is_none_or(|dict| {
        dict.contains(&Names::of(dict.py()).builtins).unwrap_or(true) || is_namespace(&dict)
    })
}

/// Whether a module, by its dictionary, is a package without a file: only folders.
fn is_namespace(dict: &Bound<'_, PyDict>) -> bool {
    let names = Names::of(dict.py());
    let has = |name| dict.get_item(name).ok().flatten().is_some_and(|value| !value.is_none());
    has(&names.path) && !has(&names.file)
}

/// Whether a module is still being imported by some thread.
pub(crate) fn is_initializing(module: &Bound<'_, PyAny>) -> bool {
    let Some(dict) = module_dict(module) else { return false };
    let py = dict.py();
    let spec = dict.get_item(&Names::of(py).spec).ok().flatten().filter(is_plain_spec);
    spec.and_then(|spec| spec.getattr(&Names::of(py).initializing).ok())
        .is_some_and(|initializing| initializing.is_truthy().unwrap_or(false))
}

/// The name of the module that an object's class, or the class itself, says it comes from.
pub(crate) fn class_module(object: &Bound<'_, PyAny>) -> Option<String> {
    let py = object.py();
    let class = object.cast::<PyType>().cloned().unwrap_or_else(|_| object.get_type());
    // A metaclass may answer in Python, as that of `typing.io` does, which is in `sys.modules` before 3.12.
    if class.get_type().is(py.get_type::<PyType>()) {
        return text(class.getattr(&Names::of(py).module).map(Some));
    }
    text(own_attribute_of_type(&class, "__module__").map(Some))
}

/// An attribute of a class as `type` itself tells it, whatever the metaclass makes of it.
fn own_attribute_of_type<'py>(class: &Bound<'py, PyType>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let attributes = class.py().get_type::<PyType>().getattr("__dict__")?;
    attributes.get_item(name)?.call_method1("__get__", (class,))
}

/// A Python function's globals.
pub(crate) fn function_globals<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyDict>> {
    let function = object.cast_exact::<PyFunction>().ok()?;
    // SAFETY: the object is a Python function and the interpreter is held; the result is a borrowed reference
    // to the dictionary that the function keeps alive, or null.
    let globals = unsafe {
        Bound::from_borrowed_ptr_or_opt(object.py(), ffi::PyFunction_GetGlobals(function.as_ptr()))
    };
    globals?.cast_into().ok()
}

/// Whether a class is made by Python code, or at least at run time: a built-in one is nobody's.
pub(crate) fn is_made_by_code(class: &Bound<'_, PyType>) -> bool {
    // SAFETY: the object is a class and the interpreter is held.
    unsafe { ffi::PyType_HasFeature(class.as_type_ptr(), ffi::Py_TPFLAGS_HEAPTYPE) != 0 }
}

/// A class's own dictionary, to be read only. None of a built-in class that keeps it elsewhere, as CPython
/// 3.12 and later do.
pub(crate) fn class_dict<'py>(class: &Bound<'py, PyType>) -> Option<Bound<'py, PyDict>> {
    // SAFETY: the object is a class and the interpreter is held; the field is a borrowed reference or null.
    let dict = unsafe { Bound::from_borrowed_ptr_or_opt(class.py(), (*class.as_type_ptr()).tp_dict) };
    dict?.cast_into().ok()
}

/// The folder of the standard library.
static STDLIB: OnceLock<String> = OnceLock::new();

/// Finds out where the standard library lies, and what is in it.
pub(crate) fn find_stdlib(py: Python<'_>) -> PyResult<()> {
    let os_file: PathBuf = py.import("os")?.getattr("__file__")?.extract()?;
    let folder = os_file.parent().unwrap_or(Path::new("")).to_string_lossy().into_owned();
    STDLIB.get_or_init(|| folder);
    STANDARD_NAMES.get_or_try_init(py, || standard_names(py)).map(drop)
}

/// The folder of the standard library, empty before [`find_stdlib`].
pub(crate) fn stdlib() -> &'static str {
    STDLIB.get().map_or("", String::as_str)
}

/// Whether a path lies in the standard library, and not among the packages installed below it.
pub(crate) fn is_in_stdlib(path: &str) -> bool {
    let rest = path.strip_prefix(stdlib()).filter(|_| !stdlib().is_empty());
    rest.is_some_and(|rest| !rest.contains("site-packages") && !rest.contains("dist-packages"))
}

/// The top-level names of the standard library.
static STANDARD_NAMES: PyOnceLock<HashSet<String>> = PyOnceLock::new();

/// Whether the standard library has a module of this top-level name.
pub(crate) fn is_standard_name(py: Python<'_>, name: &str) -> bool {
    STANDARD_NAMES.get(py).is_some_and(|names| names.contains(name))
}

/// `sys.stdlib_module_names`, which is new in Python 3.10; before it, what lies in the library's folder.
fn standard_names(py: Python<'_>) -> PyResult<HashSet<String>> {
    let sys = py.import("sys")?;
    if let Ok(names) = sys.getattr("stdlib_module_names") {
        return names.try_iter()?.map(|name| name?.extract()).collect();
    }
    let built_in = sys.getattr("builtin_module_names")?.try_iter()?.map(|name| name?.extract());
    let mut names = built_in.collect::<PyResult<HashSet<String>>>()?;
    for folder in [Path::new(stdlib()), &Path::new(stdlib()).join("lib-dynload")] {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        names.extend(entries.filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().split('.').next()?.to_owned();
            (name != "site-packages" && name != "dist-packages").then_some(name)
        }));
    }
    Ok(names)
}

/// The text, where it is one and not empty.
pub(crate) fn text_of(value: PyResult<Option<Bound<'_, PyAny>>>) -> Option<String> {
    text(value)
}

fn text(value: PyResult<Option<Bound<'_, PyAny>>>) -> Option<String> {
    let value = value.ok()??;
    let value = value.cast::<PyString>().ok()?.to_string_lossy();
    (!value.is_empty()).then(|| value.into_owned())
}
