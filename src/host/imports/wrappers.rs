//! The wrapped import functions: `builtins.__import__`, `importlib.__import__` and `importlib.import_module`.
//!
//! They are wrapped once for the process. Whose the importing code is follows from the caller's globals
//! ([`caller::owner`]). A thread that holds the project, and code that is nobody's, go to the previous
//! function unchanged; the rest are late imports ([`late`](super::late)).

use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};

use super::caller::{self, Form};
use super::harness;
use super::late::{Asked, adopting, late, serve_the_daemon};
use super::wanted::Wanted;
use crate::host::gate::held;
use crate::host::lease::pin;
use crate::host::python::frames::running_globals;
use crate::host::state::world::World;

struct Previous {
    import: Py<PyAny>,
    import_module: Py<PyAny>,
}

static PREVIOUS: PyOnceLock<Previous> = PyOnceLock::new();

/// Wraps the import functions, once.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    let (builtins, importlib) = (py.import("builtins")?, py.import("importlib")?);
    let mut first = false;
    PREVIOUS.get_or_try_init(py, || {
        first = true;
        let import = builtins.getattr("__import__")?.unbind();
        PyResult::Ok(Previous { import, import_module: importlib.getattr("import_module")?.unbind() })
    })?;
    if first {
        let wrapped = wrap_pyfunction!(import, py)?;
        builtins.setattr("__import__", &wrapped)?;
        // The import system's own function in Python, for code that asks for it by name.
        importlib.setattr("__import__", wrapped)?;
        importlib.setattr("import_module", wrap_pyfunction!(import_module, py)?)?;
    }
    Ok(())
}

fn previous(py: Python<'_>) -> PyResult<&Previous> {
    PREVIOUS.get(py).ok_or_else(|| PyImportError::new_err("the import functions are not wrapped yet"))
}

/// An import as the caller asked for it.
struct Request<'a, 'py> {
    name: &'a Bound<'py, PyAny>,
    globals: Option<&'a Bound<'py, PyAny>>,
    locals: Option<&'a Bound<'py, PyAny>>,
    fromlist: Option<&'a Bound<'py, PyAny>>,
    level: Option<&'a Bound<'py, PyAny>>,
}

#[pyfunction]
#[pyo3(name = "__import__", signature = (name, globals=None, locals=None, fromlist=None, level=None))]
fn import<'py>(
    py: Python<'py>,
    name: &Bound<'py, PyAny>,
    globals: Option<&Bound<'py, PyAny>>,
    locals: Option<&Bound<'py, PyAny>>,
    fromlist: Option<&Bound<'py, PyAny>>,
    level: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let request = Request { name, globals, locals, fromlist, level };
    let given = globals.and_then(|globals| globals.cast::<PyDict>().ok());
    let form = Form {
        is_relative: level.is_some_and(|level| level.extract::<usize>().is_ok_and(|level| level > 0)),
        has_locals: locals.is_some_and(|locals| !locals.is_none()),
    };
    let owner = caller::owner(py, given, name, form);
    let pass_on = || request.pass_on(py);
    let asked = Asked { name: if form.is_relative { None } else { Some(name) }, globals: given };
    match owner {
        None if held::holds_any() => {
            if let Some(globals) = given {
                caller::claim_for_place(py, globals)?;
            }
            adopting(py, asked, pass_on)
        }
        None if World::hides_daemons_modules() => {
            let wanted = request.wanted(None);
            serve_the_daemon(py, wanted.as_ref())
                .map_or_else(|| harness::refuse_anothers(py, name).and_then(|()| pass_on()), Ok)
        }
        None => harness::refuse_anothers(py, name).and_then(|()| pass_on()),
        Some(state) if pin::holds(&state) => adopting(py, asked, pass_on),
        Some(state) => {
            let globals = running_globals(py);
            let globals = globals.as_ref().map(Bound::as_any);
            late(py, &state, request.wanted(request.globals.or(globals)), pass_on)
        }
    }
}

#[pyfunction]
#[pyo3(signature = (name, package=None))]
fn import_module<'py>(
    py: Python<'py>,
    name: &Bound<'py, PyAny>,
    package: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let pass_on = || previous(py)?.import_module.bind(py).call1((name, package));
    let owner = caller::owner(py, None, name, Form::default());
    let wanted = || Wanted::module(name, package);
    let globals = running_globals(py);
    let asked = Asked { name: Some(name), globals: globals.as_ref() };
    match owner {
        None if held::holds_any() => adopting(py, asked, pass_on),
        None if World::hides_daemons_modules() => serve_the_daemon(py, wanted().as_ref())
            .map_or_else(|| harness::refuse_anothers(py, name).and_then(|()| pass_on()), Ok),
        None => harness::refuse_anothers(py, name).and_then(|()| pass_on()),
        Some(state) if pin::holds(&state) => adopting(py, asked, pass_on),
        Some(state) => late(py, &state, wanted(), pass_on),
    }
}

impl<'py> Request<'_, 'py> {
    fn pass_on(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let none = py.None();
        let none = none.bind(py);
        let (empty, zero);
        let fromlist = match self.fromlist {
            Some(fromlist) => fromlist,
            None => {
                empty = PyTuple::empty(py).into_any();
                &empty
            }
        };
        let level = match self.level {
            Some(level) => level,
            None => {
                zero = 0_i32.into_pyobject(py)?.into_any();
                &zero
            }
        };
        let (globals, locals) = (self.globals.unwrap_or(none), self.locals.unwrap_or(none));
        previous(py)?.import.bind(py).call1((self.name, globals, locals, fromlist, level))
    }

    /// What is wanted, where that can be told; the previous function raises for the rest.
    fn wanted(&self, globals: Option<&Bound<'py, PyAny>>) -> Option<Wanted<'py>> {
        Wanted::statement(self.name, globals, self.fromlist, self.level)
    }
}
