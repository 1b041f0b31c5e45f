//! A call of a method on a view.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

/// One call of a method on a view.
pub(super) struct Call<'a, 'py> {
    pub(super) name: &'a str,
    /// The method of the plain class.
    pub(super) method: &'a Bound<'py, PyAny>,
    pub(super) view: &'a Bound<'py, PyAny>,
    /// The other arguments, plain ones in place of views.
    pub(super) others: Vec<Bound<'py, PyAny>>,
    pub(super) named: Option<&'a Bound<'py, PyDict>>,
}

impl<'py> Call<'_, 'py> {
    pub(super) fn py(&self) -> Python<'py> {
        self.view.py()
    }

    /// Calls the method on a plain object.
    pub(super) fn on(&self, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let all = std::iter::once(object).chain(&self.others);
        self.method.call(PyTuple::new(self.py(), all.collect::<Vec<_>>())?, self.named)
    }

    /// The first of the other arguments, where it is a name.
    pub(super) fn key(&self) -> Option<&Bound<'py, PyAny>> {
        let is_name = |key: &&Bound<'py, PyAny>| {
            key.is_instance_of::<PyString>() || key.is_exact_instance_of::<PyBytes>()
        };
        self.others.first().filter(is_name)
    }
}
