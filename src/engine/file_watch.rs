//! Sees what engines' code reads, so that an engine gets nothing that another bootstrap has put into its
//! folders.
//!
//! CPython raises an audit event before it opens a file or lists a folder ([PEP
//! 578](https://peps.python.org/pep-0578/)), whoever asks: the import system, zips, hooks loaded by hand,
//! readers of environments. `own_files.py` tells whether the file is what it was.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Once, Weak};

use parking_lot::RwLock;
use pyo3::ffi;
use pyo3::prelude::*;
#[cfg(unix)]
use pyo3::types::PyBytes;
use pyo3::types::{PyString, PyTuple};

use crate::host::steps_in_python;
use crate::host::{PrivateState, running_globals};
use crate::python_error::python_error;

unsafe extern "C" {
    // In CPython since 3.8, and not among pyo3's declarations.
    fn PySys_AddAuditHook(hook: AuditHook, data: *mut c_void) -> c_int;
}

type AuditHook = unsafe extern "C" fn(*const c_char, *mut ffi::PyObject, *mut c_void) -> c_int;

/// The events that are looked at.
const EVENTS: [&CStr; 3] = [c"open", c"os.listdir", c"os.scandir"];

static WATCHED: RwLock<Vec<Arc<Watched>>> = RwLock::new(Vec::new());

struct Watched {
    state: Weak<PrivateState>,
    folders: Vec<PathBuf>,
    /// `OwnFiles` of `own_files.py`.
    files: Py<PyAny>,
}

/// The files of an engine's, which are watched as long as this lives.
pub(super) struct FileWatch(Arc<Watched>);

impl FileWatch {
    /// Takes note of an engine's files, while the engine is in place and nobody rewrites them.
    pub(super) fn start(
        state: &Arc<PrivateState>,
        engine: &Bound<'_, PyAny>,
        turn: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let py = engine.py();
        install(py)?;
        let files = steps_in_python::call(py, "own_files", (engine, turn))?;
        let folders: Vec<PathBuf> = files.getattr("folders")?.extract()?;
        let watched = Watched { state: Arc::downgrade(state), folders, files: files.unbind() };
        let watched = Arc::new(watched);
        WATCHED.write().push(Arc::clone(&watched));
        Ok(Self(watched))
    }
}

impl Drop for FileWatch {
    fn drop(&mut self) {
        WATCHED.write().retain(|watched| !Arc::ptr_eq(watched, &self.0));
    }
}

/// Once for the process: an audit hook cannot be taken back.
fn install(py: Python<'_>) -> PyResult<()> {
    static INSTALLED: Once = Once::new();
    let mut outcome = Ok(());
    INSTALLED.call_once(|| {
        // SAFETY: the interpreter is held, and the function lives as long as the process.
        if unsafe { PySys_AddAuditHook(hook, std::ptr::null_mut()) } != 0 {
            // Another hook may refuse this one.
            outcome = Err(PyErr::fetch(py));
        }
    });
    outcome
}

unsafe extern "C" fn hook(event: *const c_char, arguments: *mut ffi::PyObject, _: *mut c_void) -> c_int {
    // SAFETY: CPython hands over the event's name, which ends in a zero byte.
    let event = unsafe { CStr::from_ptr(event) };
    if !EVENTS.contains(&event) || WATCHED.read().is_empty() {
        return 0;
    }
    let looked = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: events are raised by threads that hold the interpreter, with a tuple of arguments that
        // lives on during the call.
        let (py, arguments) = unsafe {
            let py = Python::assume_attached();
            (py, Bound::from_borrowed_ptr_or_opt(py, arguments))
        };
        let Some(Ok(arguments)) = arguments.map(Bound::cast_into::<PyTuple>) else { return Ok(()) };
        look(py, event, &arguments)
    }));
    match looked {
        Ok(Err(error)) => {
            // SAFETY: as above.
            error.restore(unsafe { Python::assume_attached() });
            -1
        }
        Ok(Ok(())) | Err(_) => 0,
    }
}

/// # Errors
/// `ConfigurationRewritten`, where the code that is running is an engine's and would get what is not its own.
fn look(py: Python<'_>, event: &CStr, arguments: &Bound<'_, PyTuple>) -> PyResult<()> {
    let Ok(first) = arguments.get_borrowed_item(0) else { return Ok(()) };
    let Some(path) = path_of(&first) else { return Ok(()) };
    // Cloned, as Python code runs below.
    let concerned: Vec<_> = {
        let watched = WATCHED.read();
        let concerned =
            watched.iter().filter(|one| one.folders.iter().any(|folder| path.starts_with(folder)));
        concerned.cloned().collect()
    };
    for watched in concerned {
        let Some(state) = watched.state.upgrade() else { continue };
        if !state.is_running(py) || shows_lines(py) {
            continue;
        }
        let event = event.to_str().unwrap_or_default();
        let mode = arguments.get_item(1).ok();
        let flags = arguments.get_item(2).ok();
        watched.files.bind(py).call_method1("check", (event, &first, mode, flags)).inspect_err(|error| {
            tracing::error!(error = %python_error(error), "an engine cannot read its files");
        })?;
    }
    Ok(())
}

fn path_of(argument: &Bound<'_, PyAny>) -> Option<PathBuf> {
    if argument.is_instance_of::<PyString>() {
        return argument.extract().ok();
    }
    #[cfg(unix)]
    if let Ok(bytes) = argument.cast::<PyBytes>() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        return Some(PathBuf::from(OsStr::from_bytes(bytes.as_bytes())));
    }
    // Such as a descriptor's number.
    None
}

/// Whether the code that is running looks at sources to show lines of them: it must not fail where a failure
/// is told.
fn shows_lines(py: Python<'_>) -> bool {
    let globals = running_globals(py);
    let name = globals.and_then(|globals| globals.get_item("__name__").ok().flatten());
    name.is_some_and(|name| name.extract::<&str>().is_ok_and(|name| matches!(name, "linecache" | "tokenize")))
}
