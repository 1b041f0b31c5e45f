//! Project code has no terminal: what it asks fails at once, and its children have no standard input unless
//! it gives them one.

use std::path::PathBuf;

use pyo3::exceptions::{PyAttributeError, PyOSError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyCFunction, PyDict, PyInt, PyString, PyTuple};

use super::attribute::Holder;
use crate::host::gate::held;
use crate::host::lease::forked;
use crate::host::ownership::acting::acting_for;
use crate::host::python::{children, steps_in_python};
use crate::host::state::world::World;

/// What is read in the place of standard input.
const NOTHING: &str = if cfg!(windows) { "nul" } else { "/dev/null" };

static FUNCTIONS: PyOnceLock<Py<PyDict>> = PyOnceLock::new();

/// Wraps what reads the terminal and what starts children, once for the process.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    FUNCTIONS.get_or_try_init(py, || load(py)).map(drop)
}

fn load(py: Python<'_>) -> PyResult<Py<PyDict>> {
    let is_projects = |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| -> PyResult<bool> {
        Ok(is_projects(arguments.py()))
    };
    let globals = PyDict::new(py);
    globals.set_item("__name__", "sgtk_host.terminal")?;
    // As modules have it: its imports are its own, not its callers'.
    globals.set_item("__loader__", py.None())?;
    let started = |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| -> PyResult<()> {
        let (py, pid) = (arguments.py(), arguments.get_item(0)?.extract()?);
        let state = match acting_for(py) {
            Some(state) => Some(state),
            None => World::lock(py)?.in_place().cloned(),
        };
        if let Some(state) = state {
            children::note(state.id(), pid);
        }
        Ok(())
    };
    let in_child = |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| {
        let py = arguments.py();
        forked::begin(py, acting_for(py).as_ref())
    };
    globals.set_item("opens", wrap_pyfunction!(opens, py)?)?;
    globals.set_item("in_child", PyCFunction::new_closure(py, None, None, in_child)?)?;
    globals.set_item("is_projects", PyCFunction::new_closure(py, None, None, is_projects)?)?;
    globals.set_item("started", PyCFunction::new_closure(py, None, None, started)?)?;
    globals.set_item("unattended_variables", steps_in_python::function(py, "unattended_variables")?)?;
    let builtins = py.import("builtins")?;
    let code = (include_str!("terminal.py"), "<sgtk-host>/terminal.py", "exec");
    builtins.getattr("exec")?.call1((builtins.getattr("compile")?.call1(code)?, &globals))?;
    globals.as_any().get_item("install")?.call0()?;
    Ok(globals.unbind())
}

fn is_projects(py: Python<'_>) -> bool {
    held::holds_any() || acting_for(py).is_some()
}

/// What of the terminal a path or a descriptor's number names.
#[derive(Clone, Copy)]
enum Named {
    StandardInput,
    Terminal,
}

impl Named {
    fn by(file: &Bound<'_, PyAny>) -> Option<Self> {
        if file.is_instance_of::<PyInt>() {
            return file.extract::<i32>().is_ok_and(|number| number == 0).then_some(Self::StandardInput);
        }
        if let Ok(text) = file.cast::<PyString>() {
            return Self::by_path(text.to_str().ok()?.as_bytes());
        }
        if let Ok(bytes) = file.cast::<PyBytes>() {
            return Self::by_path(bytes.as_bytes());
        }
        let path: PathBuf = file.extract().ok()?;
        Self::by_path(path.as_os_str().as_encoded_bytes())
    }

    fn by_path(path: &[u8]) -> Option<Self> {
        match path {
            b"/dev/stdin" | b"/dev/fd/0" | b"/proc/self/fd/0" => Some(Self::StandardInput),
            b"/dev/tty" | b"/dev/console" => Some(Self::Terminal),
            _ => None,
        }
    }
}

/// Wraps a function whose first argument, `file` or `path`, is opened. No frame of Python's is added, as the
/// code that opens a file is told by its frame.
#[pyfunction]
fn opens<'py>(original: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyCFunction>> {
    let py = original.py();
    let original = original.unbind();
    let open = move |arguments: &Bound<'_, PyTuple>, named: Option<&Bound<'_, PyDict>>| {
        let py = arguments.py();
        let original = original.bind(py);
        let by_name = |name| named.and_then(|named| named.get_item(name).ok().flatten());
        let file = arguments.get_item(0).ok().or_else(|| by_name("file")).or_else(|| by_name("path"));
        let Some((file, what)) = file.and_then(|file| Named::by(&file).map(|what| (file, what))) else {
            return original.call(arguments, named).map(Bound::unbind);
        };
        if !is_projects(py) {
            return original.call(arguments, named).map(Bound::unbind);
        }
        if matches!(what, Named::Terminal) {
            let reason = (libc::ENXIO, "project code of a daemon has no terminal", file.unbind());
            return Err(PyOSError::new_err(reason));
        }
        let named = named.map(|named| named.copy()).transpose()?.unwrap_or_else(|| PyDict::new(py));
        // Which only a number can have.
        if named.contains("closefd")? {
            named.del_item("closefd")?;
        }
        let mut all: Vec<_> = arguments.iter().map(Bound::unbind).collect();
        let empty = PyString::new(py, NOTHING).into_any().unbind();
        match all.first_mut() {
            Some(file) => *file = empty,
            None => named.set_item(if named.contains("file")? { "file" } else { "path" }, empty)?,
        }
        original.call(PyTuple::new(py, all)?, Some(&named)).map(Bound::unbind)
    };
    PyCFunction::new_closure(py, Some(c"open"), Some(c"Opens a file."), open)
}

/// `sys.stdin` and `sys.__stdin__`: a data descriptor that gives project code a standard input which is at
/// its end.
///
/// Reads by C code, of which `input` is the one that matters, go past it.
#[pyclass(frozen, module = "sgtk_host")]
pub(super) struct StandardInput {
    holder: Holder,
    name: &'static str,
    /// What it was at the start.
    daemons: Py<PyAny>,
}

impl StandardInput {
    /// Of `sys`, whose attributes are given too.
    pub(super) fn new(
        sys: &Bound<'_, PyAny>,
        attributes: &Bound<'_, PyDict>,
        name: &'static str,
    ) -> PyResult<Self> {
        let daemons = attributes.get_item(name)?.unwrap_or_else(|| sys.py().None().into_bound(sys.py()));
        Ok(Self { holder: Holder::new(sys, attributes), name, daemons: daemons.unbind() })
    }
}

#[pymethods]
impl StandardInput {
    fn __get__<'py>(
        slf: &Bound<'py, Self>,
        object: &Bound<'py, PyAny>,
        _class: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if object.is_none() {
            return Ok(slf.clone().into_any());
        }
        let input = slf.get();
        let now = input.holder.attributes_of(object)?.get_item(input.name)?;
        // What a project's code has put there is its own.
        let is_daemons = now.as_ref().is_some_and(|now| now.is(&input.daemons));
        if input.holder.is(object)
            && is_daemons
            && is_projects(py)
            && let Some(functions) = FUNCTIONS.get(py)
        {
            return functions.bind(py).as_any().get_item("nothing");
        }
        now.ok_or_else(|| PyAttributeError::new_err(input.name))
    }

    fn __set__(&self, object: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.holder.attributes_of(object)?.set_item(self.name, value)
    }

    fn __delete__(&self, object: &Bound<'_, PyAny>) -> PyResult<()> {
        self.holder.attributes_of(object)?.del_item(self.name)
    }
}
