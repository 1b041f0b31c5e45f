//! The data descriptors.

use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use super::{Kind, lists, off_turn, plain, tables, view, view_of};

/// A data descriptor before an attribute that is kept in the object's own dictionary.
#[pyclass(frozen, module = "sgtk_host")]
pub(super) struct Attribute {
    name: Py<PyString>,
    /// The object's dictionary.
    holder: Py<PyDict>,
    kind: Kind,
}

impl Attribute {
    pub(super) fn new(py: Python<'_>, name: &str, holder: &Bound<'_, PyDict>, kind: Kind) -> Self {
        Self { name: PyString::intern(py, name).unbind(), holder: holder.clone().unbind(), kind }
    }

    fn missing(&self, py: Python<'_>) -> PyErr {
        PyAttributeError::new_err(format!("no attribute '{}'", self.name.bind(py)))
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
        let Some(state) = view_of(py) else {
            let name = attribute.name.bind(py);
            return attribute.holder.bind(py).get_item(name)?.ok_or_else(|| attribute.missing(py));
        };
        let view = view(py, &state, attribute.kind)?;
        if let Kind::List(which) = attribute.kind {
            lists::fill(&view, &lists::snapshot(py, &state, which)?)?;
        }
        Ok(view)
    }

    fn __set__(&self, py: Python<'_>, _object: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        // A view would be an empty list or dictionary for C code.
        let value = plain(value)?;
        match (off_turn(py), self.kind) {
            (None, _) => self.holder.bind(py).set_item(&self.name, value),
            (Some(state), Kind::List(which)) => {
                let entries = PyList::empty(py);
                entries.call_method1("extend", (value,))?;
                lists::replace(py, &state, which, &entries)
            }
            (Some(state), Kind::Table(which)) => tables::replace(py, &state, which, value.cast()?),
        }
    }

    fn __delete__(&self, py: Python<'_>, _object: &Bound<'_, PyAny>) -> PyResult<()> {
        if off_turn(py).is_some() {
            return Err(PyAttributeError::new_err(format!(
                "'{}' cannot be deleted by a project's code that does not have its turn",
                self.name.bind(py)
            )));
        }
        let holder = self.holder.bind(py);
        if !holder.contains(&self.name)? {
            return Err(self.missing(py));
        }
        holder.del_item(&self.name)
    }
}
