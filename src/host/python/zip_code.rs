//! Compiled code of the zips that cores bring along.
//!
//! CPython keeps no bytecode for sources in a zip: each import compiles them, which is two thirds of a newer core's import.
//! A second project on the same core files gets the code that the first one's import has compiled; code is immutable, so
//! they share nothing else by that.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyBytes;

use super::import::import_for_host;
use crate::host::gate::held;

/// `zipimport`'s own function.
static COMPILE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

static COMPILED: LazyLock<Mutex<Compiled>> = LazyLock::new(Mutex::default);

/// By the source's path, which is part of the code, then by the source.
type Compiled = HashMap<String, HashMap<(u64, usize), Py<PyAny>>>;

/// Has `zipimport` ask here first, once. A Python whose `zipimport` works in another way goes without.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    const NAME: &str = "_compile_source";
    let zipimport = import_for_host(py, "zipimport")?;
    let Some(own) = zipimport.getattr_opt(NAME)? else { return Ok(()) };
    if COMPILE.set(py, own.unbind()).is_ok() {
        zipimport.setattr(NAME, wrap_pyfunction!(compile_source, py)?)?;
    }
    Ok(())
}

/// Compiles a zip's source, or gives what was compiled from the same before. Only for threads that hold a project: other
/// code's zips are left alone.
#[pyfunction]
fn compile_source(py: Python<'_>, path: &Bound<'_, PyAny>, source: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let compile = || match COMPILE.get(py) {
        Some(compile) => compile.call1(py, (path, source)),
        None => Err(pyo3::exceptions::PyImportError::new_err("zipimport is not wrapped yet")),
    };
    let (Ok(name), Ok(bytes)) = (path.extract::<String>(), source.cast::<PyBytes>()) else {
        return compile();
    };
    if !held::holds_any() {
        return compile();
    }
    let mut hasher = DefaultHasher::new();
    bytes.as_bytes().hash(&mut hasher);
    let key = (hasher.finish(), bytes.as_bytes().len());
    let known = COMPILED.lock().get(&name).and_then(|known| Some(known.get(&key)?.clone_ref(py)));
    if let Some(code) = known {
        return Ok(code);
    }
    let code = compile()?;
    let replaced = COMPILED.lock().entry(name).or_default().insert(key, code.clone_ref(py));
    drop(replaced);
    Ok(code)
}

/// Forgets the code of the paths that `is_forgotten` names.
pub(crate) fn forget(is_forgotten: impl Fn(&str) -> bool) {
    let forgotten: Vec<_> = COMPILED.lock().extract_if(|path, _| is_forgotten(path)).collect();
    drop(forgotten);
}
