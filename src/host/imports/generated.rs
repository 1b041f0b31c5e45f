//! Code of functions that `dataclasses` writes as text.
//!
//! A newer core brings two hundred data classes, and compiling what the standard library writes for them is a
//! fifth of its import once all else is known. The texts are the same for all projects on a core, so they are
//! compiled once, and kept on disk in one piece for each core. The text itself is the key: what a piece has
//! too much or too little does no harm.

use std::collections::HashMap;
use std::path::Path;
use std::sync::LazyLock;

use parking_lot::Mutex;
use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};
use sgtk_config::CodeKey;

use super::compiled::importing;
use crate::host::ownership::import_state::ImportState;
use crate::host::python::import::import_for_host;

/// The built-in `exec`.
static EXEC: PyOnceLock<[Py<PyAny>; 2]> = PyOnceLock::new();

/// By text.
static KNOWN: LazyLock<Mutex<HashMap<String, Py<PyAny>>>> = LazyLock::new(Mutex::default);

/// How many texts are remembered before all are forgotten: those of some twenty releases.
const MOST: usize = 16_384;

/// Has `dataclasses` ask here before it compiles, once.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    let builtins = import_for_host(py, "builtins")?;
    let own = [builtins.getattr("exec")?.unbind(), builtins.getattr("compile")?.unbind()];
    if EXEC.set(py, own).is_ok() {
        // Found before the built-in one.
        import_for_host(py, "dataclasses")?.setattr("exec", wrap_pyfunction!(exec, py)?)?;
    }
    Ok(())
}

#[pyfunction]
#[pyo3(signature = (source, globals=None, locals=None, /))]
fn exec(
    py: Python<'_>,
    source: &Bound<'_, PyAny>,
    globals: Option<&Bound<'_, PyAny>>,
    locals: Option<&Bound<'_, PyAny>>,
) -> PyResult<Py<PyAny>> {
    let Some([exec, compile]) = EXEC.get(py) else {
        return Err(PyImportError::new_err("dataclasses is not wrapped yet"));
    };
    let state = importing(py);
    let (Some(state), Ok(text)) = (state, source.cast::<PyString>()) else {
        return exec.call1(py, (source, globals, locals));
    };
    let code = code(py, &state, text, || compile.call1(py, (text, "<string>", "exec", 0, true)))?;
    exec.call1(py, (code, globals, locals))
}

fn code(
    py: Python<'_>,
    state: &ImportState,
    text: &Bound<'_, PyString>,
    compile: impl FnOnce() -> PyResult<Py<PyAny>>,
) -> PyResult<Py<PyAny>> {
    let name = text.to_str()?;
    let get = || KNOWN.lock().get(name).map(|code| code.clone_ref(py));
    let mut known = get();
    if known.is_none() && state.codes().is_first_unknown_text() {
        read(py, state);
        known = get();
    }
    let is_new = known.is_none();
    let code = match known {
        Some(code) => code,
        None => {
            let code = compile()?;
            remember(py, name, &code);
            code
        }
    };
    state.codes().note_text(name, is_new);
    Ok(code)
}

fn remember(py: Python<'_>, text: &str, code: &Py<PyAny>) {
    let mut known = KNOWN.lock();
    let forgotten = if known.len() >= MOST { std::mem::take(&mut *known) } else { HashMap::new() };
    let replaced = known.insert(text.to_owned(), code.clone_ref(py));
    drop(known);
    drop((forgotten, replaced));
}

/// The piece of a core.
fn key(core: &Path) -> CodeKey {
    CodeKey::of(format!("dataclasses of {}", core.display()).as_bytes())
}

/// Gets to know what was kept on disk for the state's core.
fn read(py: Python<'_>, state: &ImportState) {
    let Some(Ok(kept)) = state.codes().read(py, &key(state.location().python())) else { return };
    let Ok(kept) = kept.cast_into::<PyDict>() else { return };
    for (text, code) in kept.iter() {
        if let Ok(text) = text.extract::<&str>() {
            remember(py, text, &code.unbind());
        }
    }
}

/// Keeps on disk what the first import of the state's core has compiled. Only what it has used.
pub(crate) fn keep(py: Python<'_>, state: &ImportState) -> PyResult<()> {
    let Some(used) = state.codes().take_texts() else { return Ok(()) };
    let kept = PyDict::new(py);
    for text in used {
        let code = KNOWN.lock().get(&text).map(|code| code.clone_ref(py));
        if let Some(code) = code {
            kept.set_item(text, code)?;
        }
    }
    state.codes().write(py, &key(state.location().python()), kept.as_any());
    Ok(())
}
