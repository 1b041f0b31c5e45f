//! What a project's code has run by others, threads that it starts and items of an executor, is that
//! project's whatever the function is that it names: one in C, or the standard library's. What it registers
//! for the end ends with its state.

use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyCFunction, PyDict, PyTuple};

use crate::host::gate::held;
use crate::host::ownership::import_state::ImportState;
use crate::host::ownership::marks;
use crate::host::python::at_exit;
use crate::host::python::frames::frames;
use crate::host::python::modules::{is_in_stdlib, module_dict};
use crate::host::state::world::World;

/// What the code of `started.py` is said to be from.
const FILE: &str = "<sgtk-host>/started.py";

/// What the code of executors is from. Their threads are nobody's: each item says whose it is.
const EXECUTORS: &str = "concurrent/futures/thread.py";

/// The function in `started.py` that runs another one.
static RUN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Wraps what starts threads, once for the process.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    RUN.get_or_try_init(py, || load(py)).map(drop)
}

fn load(py: Python<'_>) -> PyResult<Py<PyAny>> {
    let globals = PyDict::new(py);
    globals.set_item("__name__", "sgtk_host.started")?;
    // As modules have it: its imports are its own, not its callers'.
    globals.set_item("__loader__", py.None())?;
    for (name, is_item) in [("thread_for", false), ("item_for", true)] {
        let on_behalf = move |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| {
            let function = arguments.get_item(0)?;
            PyResult::Ok(match starter(function.py(), is_item) {
                Some(state) => run_for(&state, &function)?.unbind(),
                None => function.unbind(),
            })
        };
        globals.set_item(name, PyCFunction::new_closure(py, None, None, on_behalf)?)?;
    }
    let note_exit = |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| {
        let (function, given) = (arguments.get_item(0)?, arguments.get_item(1)?);
        let named = arguments.get_item(2)?;
        let state = registers(&function);
        if let Some(state) = &state {
            at_exit::note(state.id(), &function, given.cast()?, named.cast()?);
        }
        PyResult::Ok(state.is_some())
    };
    let forget_exit = |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| {
        at_exit::forget(&arguments.get_item(0)?);
        PyResult::Ok(())
    };
    globals.set_item("note_exit", PyCFunction::new_closure(py, None, None, note_exit)?)?;
    let run_exits = |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| {
        at_exit::run_all(arguments.py());
    };
    globals.set_item("run_exits", PyCFunction::new_closure(py, None, None, run_exits)?)?;
    globals.set_item("forget_exit", PyCFunction::new_closure(py, None, None, forget_exit)?)?;
    let builtins = py.import("builtins")?;
    let code = (include_str!("started.py"), FILE, "exec");
    builtins.getattr("exec")?.call1((builtins.getattr("compile")?.call1(code)?, &globals))?;
    globals.as_any().get_item("install")?.call0()?;
    Ok(globals.as_any().get_item("run")?.unbind())
}

/// The project whose code is starting something: the innermost that is not the standard library's decides. A
/// thread that a package of the daemon's starts is not its caller's, as it may serve others after that.
fn starter(py: Python<'_>, is_item: bool) -> Option<Arc<ImportState>> {
    let leased_from = held::leased_from();
    for frame in frames(py) {
        if leased_from == Some(frame.address()) {
            return None;
        }
        let globals = frame.globals()?;
        if let Some(owner) = marks::owner_of_globals(&globals) {
            return Some(owner.current());
        }
        let file = frame.file().unwrap_or_default();
        if !is_item && file.replace('\\', "/").ends_with(EXECUTORS) {
            return None;
        }
        // Code of no module of the daemon's is whose the code is that runs it.
        if !is_in_stdlib(&file) && !file.starts_with('<') && is_daemons(&globals) {
            return None;
        }
    }
    None
}

/// The project whose callback for the end this is, or whose code registers it. What the standard library
/// registers for all serves all.
fn registers(function: &Bound<'_, PyAny>) -> Option<Arc<ImportState>> {
    let py = function.py();
    let own = function.getattr_opt(intern!(py, "__func__")).ok().flatten();
    let owner = marks::owner_of_value(own.as_ref().unwrap_or(function)).or_else(|| {
        let others = frames(py).find(|frame| frame.file().is_none_or(|file| file != FILE))?;
        marks::owner_of_globals(&others.globals()?)
    });
    owner.map(|owner| owner.current())
}

/// Whether these are the globals of one of the daemon's modules.
fn is_daemons(globals: &Bound<'_, PyDict>) -> bool {
    let py = globals.py();
    let Ok(Some(name)) = globals.get_item(intern!(py, "__name__")) else { return false };
    let modules = World::lock(py).map(|world| world.daemon_modules(py));
    let module = modules.and_then(|modules| modules.get_item(name));
    module.is_ok_and(|module| {
        module.is_some_and(|module| module_dict(&module).is_some_and(|own| own.is(globals)))
    })
}

/// A function that runs the given one with the project's mark among the globals of the code on the way.
fn run_for<'py>(state: &Arc<ImportState>, function: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = function.py();
    let Some(run) = RUN.get(py) else { return Ok(function.clone()) };
    let run = run.bind(py);
    let globals = PyDict::new(py);
    globals.set_item("__name__", "sgtk_host.started")?;
    globals.set_item("__builtins__", py.import("builtins")?)?;
    marks::mark_globals(&globals, &marks::new(py, state)?)?;
    let own = run.get_type().call1((run.getattr("__code__")?, globals))?;
    let given = PyDict::new(py);
    given.set_item("_sgtk_host_function", function)?;
    own.setattr("__kwdefaults__", given)?;
    Ok(own)
}
