//! The data descriptors.

use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use super::{Kind, lists, off_turn, plain, tables, view, view_of};

/// A data descriptor before an attribute that is kept in the object's own dictionary.
///
/// Code makes objects of the class too: `type(sys)` is how some spell `types.ModuleType`. Such have the
/// attribute as any other.
#[pyclass(frozen, module = "sgtk_host")]
pub(super) struct Attribute {
    name: Py<PyString>,
    /// The one object that it is for, and that one's dictionary.
    object: Py<PyAny>,
    holder: Py<PyDict>,
    kind: Kind,
}

impl Attribute {
    pub(super) fn new(object: &Bound<'_, PyAny>, name: &str, holder: &Bound<'_, PyDict>, kind: Kind) -> Self {
        let name = PyString::intern(object.py(), name).unbind();
        Self { name, object: object.clone().unbind(), holder: holder.clone().unbind(), kind }
    }

    /// The value in the dictionary of an object of the class.
    fn plain<'py>(&self, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = object.py();
        let value = self.holder_of(object)?.get_item(&self.name)?;
        value.ok_or_else(|| PyAttributeError::new_err(format!("no attribute '{}'", self.name.bind(py))))
    }

    fn holder_of<'py>(&self, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        if object.is(&self.object) {
            return Ok(self.holder.bind(object.py()).clone());
        }
        Ok(object.getattr("__dict__")?.cast_into()?)
    }
}

#[pymethods]
impl Attribute {
    fn __get__<'py>(
        slf: &Bound<'py, Self>,
        object: &Bound<'py, PyAny>,
        _class: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if object.is_none() {
            return Ok(slf.clone().into_any());
        }
        let attribute = slf.get();
        let state = if object.is(&attribute.object) { view_of(py) } else { None };
        let Some(state) = state else { return attribute.plain(object) };
        let view = view(py, &state, attribute.kind)?;
        if let Kind::List(which) = attribute.kind {
            lists::fill(&view, &lists::snapshot(py, &state, which)?)?;
        }
        Ok(view)
    }

    fn __set__<'py>(&self, object: &Bound<'py, PyAny>, value: &Bound<'py, PyAny>) -> PyResult<()> {
        let py = object.py();
        let state = if object.is(&self.object) { off_turn(py) } else { None };
        // A view would be an empty list or dictionary for C code.
        let value = plain(value)?;
        match (state, self.kind) {
            (None, _) => self.holder_of(object)?.set_item(&self.name, value),
            (Some(state), Kind::List(which)) => {
                let entries = PyList::empty(py);
                entries.call_method1("extend", (value,))?;
                lists::replace(py, &state, which, &entries)
            }
            (Some(state), Kind::Table(which)) => tables::replace(py, &state, which, value.cast()?),
        }
    }

    fn __delete__<'py>(&self, object: &Bound<'py, PyAny>) -> PyResult<()> {
        let py = object.py();
        if object.is(&self.object) && off_turn(py).is_some() {
            return Err(PyAttributeError::new_err(format!(
                "'{}' cannot be deleted by a project's code that does not have its turn",
                self.name.bind(py)
            )));
        }
        // Where there is none, the error is an attribute's.
        self.plain(object)?;
        self.holder_of(object)?.del_item(&self.name)
    }
}
