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
    holder: Holder,
    kind: Kind,
}

/// The one object that a descriptor of its class is for, and the dictionary that has its attributes.
pub(super) struct Holder {
    object: Py<PyAny>,
    attributes: Py<PyDict>,
}

impl Holder {
    pub(super) fn new(object: &Bound<'_, PyAny>, attributes: &Bound<'_, PyDict>) -> Self {
        Self { object: object.clone().unbind(), attributes: attributes.clone().unbind() }
    }

    pub(super) fn is(&self, object: &Bound<'_, PyAny>) -> bool {
        object.is(&self.object)
    }

    /// The dictionary of this object of the class, whichever it is.
    pub(super) fn attributes_of<'py>(&self, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        if self.is(object) {
            return Ok(self.attributes.bind(object.py()).clone());
        }
        Ok(object.getattr("__dict__")?.cast_into()?)
    }
}

impl Attribute {
    pub(super) fn new(object: &Bound<'_, PyAny>, name: &str, holder: &Bound<'_, PyDict>, kind: Kind) -> Self {
        let name = PyString::intern(object.py(), name).unbind();
        Self { name, holder: Holder::new(object, holder), kind }
    }

    /// The value in the dictionary of an object of the class.
    fn plain<'py>(&self, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = object.py();
        let value = self.holder.attributes_of(object)?.get_item(&self.name)?;
        value.ok_or_else(|| PyAttributeError::new_err(format!("no attribute '{}'", self.name.bind(py))))
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
        let state = if attribute.holder.is(object) { view_of(py) } else { None };
        let Some(state) = state else { return attribute.plain(object) };
        let view = view(py, &state, attribute.kind)?;
        if let Kind::List(which) = attribute.kind {
            lists::fill(&view, &lists::snapshot(py, &state, which)?)?;
        }
        Ok(view)
    }

    fn __set__<'py>(&self, object: &Bound<'py, PyAny>, value: &Bound<'py, PyAny>) -> PyResult<()> {
        let py = object.py();
        let state = if self.holder.is(object) { off_turn(py) } else { None };
        // A view would be an empty list or dictionary for C code.
        let value = plain(value)?;
        match (state, self.kind) {
            (None, _) => self.holder.attributes_of(object)?.set_item(&self.name, value),
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
        if self.holder.is(object) && off_turn(py).is_some() {
            return Err(PyAttributeError::new_err(format!(
                "'{}' cannot be deleted by a project's code that does not have its turn",
                self.name.bind(py)
            )));
        }
        // Where there is none, the error is an attribute's.
        self.plain(object)?;
        self.holder.attributes_of(object)?.del_item(&self.name)
    }
}
