//! Views: what a project's code gets for `sys.path`, `sys.modules`, `sys.meta_path`, `sys.path_hooks`, the
//! dictionary of loggers, the root logger's handlers and the variables of the environment while it does not
//! have its turn.
//!
//! `sys`, the manager of the loggers, the root logger and `os.environ` are given classes with data
//! descriptors of these names. Code that [acts for a project](acting_for) whose turn this thread does not
//! have gets a view of that project's own; all other code gets the interpreter's own object, and the import
//! system's C code reads below the descriptors. A view is a subclass of `list` or `dict`. Each operation on
//! it is one step that works on the interpreter's object where the project is in place, and on what is parked
//! where it is not ([`off_turn`](crate::host::state::off_turn)).

mod attribute;
mod call;
mod lists;
mod operation;
pub(crate) mod started;
mod tables;
pub(crate) mod terminal;
mod variables;

use std::sync::Arc;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyModule, PyType};

use self::attribute::Attribute;
use crate::host::lease::pin;
use crate::host::ownership::acting::acting_for;
use crate::host::ownership::culprit;
use crate::host::ownership::import_state::ImportState;
use crate::host::ownership::marks;
use crate::host::python::frames::{Frame, frames};
use crate::host::state::off_turn::{List, Named, Table};

/// What a view is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    List(List),
    Table(Table),
}

impl Kind {
    /// The place of its view among those that a state keeps.
    fn index(self) -> usize {
        match self {
            Self::List(List::Path) => 0,
            Self::List(List::MetaPath) => 1,
            Self::List(List::PathHooks) => 2,
            Self::Table(Table::Named(Named::Modules)) => 3,
            Self::Table(Table::Named(Named::Loggers)) => 4,
            Self::Table(Table::Environment) => 5,
            Self::List(List::Handlers) => 6,
        }
    }
}

/// Whose view it is, and of what. Kept in the view's one slot.
#[pyclass(frozen, module = "sgtk_host")]
struct Subject {
    state: Arc<ImportState>,
    kind: Kind,
}

/// The name of the slot.
const SLOT: &str = "_sgtk_host_subject";

struct Classes {
    list: Py<PyType>,
    dict: Py<PyType>,
}

static CLASSES: PyOnceLock<Classes> = PyOnceLock::new();

/// Puts the descriptors in place, once for the process.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    let mut first = false;
    CLASSES.get_or_try_init(py, || {
        first = true;
        PyResult::Ok(Classes {
            list: operation::view_class(&py.get_type::<PyList>())?.unbind(),
            dict: operation::view_class(&py.get_type::<PyDict>())?.unbind(),
        })
    })?;
    if !first {
        return Ok(());
    }
    let sys = py.import("sys")?;
    let modules = Kind::Table(Table::Named(Named::Modules));
    interpose(
        &sys,
        &py.get_type::<PyModule>(),
        &sys.dict(),
        &[
            ("path", Kind::List(List::Path)),
            ("meta_path", Kind::List(List::MetaPath)),
            ("path_hooks", Kind::List(List::PathHooks)),
            ("modules", modules),
        ],
        &["stdin", "__stdin__"],
    )?;
    let root = py.import("logging")?.getattr("root")?;
    let handlers = Kind::List(List::Handlers);
    interpose(&root, &root.get_type(), &attributes_of(&root)?, &[("handlers", handlers)], &[])?;
    let manager = py.import("logging")?.getattr("Logger")?.getattr("manager")?;
    let loggers = Kind::Table(Table::Named(Named::Loggers));
    interpose(&manager, &manager.get_type(), &attributes_of(&manager)?, &[("loggerDict", loggers)], &[])?;
    variables::install(py)
}

fn attributes_of<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    Ok(object.getattr("__dict__")?.cast_into()?)
}

/// Gives an object a subclass of `class`, which has descriptors for attributes that are kept in `holder`.
fn interpose(
    object: &Bound<'_, PyAny>,
    class: &Bound<'_, PyType>,
    holder: &Bound<'_, PyDict>,
    descriptors: &[(&str, Kind)],
    inputs: &[&'static str],
) -> PyResult<()> {
    let py = object.py();
    let attributes = PyDict::new(py);
    for (name, kind) in descriptors {
        attributes.set_item(name, Attribute::new(object, name, holder, *kind))?;
    }
    for name in inputs {
        attributes.set_item(name, terminal::StandardInput::new(object, holder, name)?)?;
    }
    set_class(object, class, &attributes)
}

/// Gives an object a subclass of `class` with these attributes, under the name of `class`.
fn set_class(
    object: &Bound<'_, PyAny>,
    class: &Bound<'_, PyType>,
    attributes: &Bound<'_, PyDict>,
) -> PyResult<()> {
    attributes.set_item("__module__", class.getattr("__module__")?)?;
    attributes.set_item("__doc__", class.getattr("__doc__")?)?;
    attributes.set_item("__slots__", ())?;
    let py = object.py();
    let subclass = py.get_type::<PyType>().call1((class.getattr("__name__")?, (class,), attributes))?;
    object.setattr("__class__", subclass)
}

/// The project that the running code acts for, where this thread does not have that project's turn.
fn off_turn(py: Python<'_>) -> Option<Arc<ImportState>> {
    let state = acting_for(py)?;
    let is_its_turn = pin::holds(&state);
    if is_its_turn {
        culprit::note_asked(py, &state);
    }
    (!is_its_turn).then_some(state)
}

/// The project whose view the running code is to have: code [off its turn](off_turn), and a project's module
/// that is being loaded. What that one keeps in a name of its own it may use at any time.
fn view_of(py: Python<'_>) -> Option<Arc<ImportState>> {
    let state = acting_for(py)?;
    let is_its_turn = pin::holds(&state);
    if is_its_turn {
        culprit::note_asked(py, &state);
    }
    let is_loading = || {
        let frame = frames(py).next().filter(Frame::is_module);
        frame.and_then(|frame| marks::owner_of_globals(&frame.globals()?)).is_some()
    };
    (!is_its_turn || is_loading()).then_some(state)
}

/// A project's view. The same object each time, as the interpreter's own is.
fn view<'py>(py: Python<'py>, state: &Arc<ImportState>, kind: Kind) -> PyResult<Bound<'py, PyAny>> {
    if let Some(view) = state.view(py, kind.index()) {
        return Ok(view);
    }
    let classes = CLASSES.get(py).ok_or_else(|| PyRuntimeError::new_err("no views yet"))?;
    let class = match kind {
        Kind::List(_) => &classes.list,
        Kind::Table(_) => &classes.dict,
    };
    let view = class.bind(py).call0()?;
    view.setattr(SLOT, Subject { state: Arc::clone(state), kind })?;
    Ok(state.keep_view(kind.index(), view))
}

/// What a view is of; `None` for other objects.
fn subject<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, Subject>> {
    let classes = CLASSES.get(object.py())?;
    let class = object.get_type();
    if !class.is(&classes.list) && !class.is(&classes.dict) {
        return None;
    }
    object.getattr(SLOT).ok()?.cast_into().ok()
}

/// A plain list or dictionary with what a view shows now; any other object as it is.
fn plain<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let Some(subject) = subject(object) else { return Ok(object.clone()) };
    let (py, subject) = (object.py(), subject.get());
    let state = subject.state.current();
    match subject.kind {
        Kind::List(which) => lists::snapshot(py, &state, which).map(Bound::into_any),
        Kind::Table(which) => tables::snapshot(py, &state, which).map(Bound::into_any),
    }
}
