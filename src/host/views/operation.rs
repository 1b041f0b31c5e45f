//! The methods of views: those of `list` and `dict`, each as one step on what the view shows.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyTuple, PyType};

use super::call::Call;
use super::{Kind, SLOT, lists, plain, subject, tables};

/// What a view has of its own accord: how it is made, its slot, and what concerns the class.
const INHERITED: [&str; 16] = [
    "__class__",
    "__class_getitem__",
    "__delattr__",
    "__dir__",
    "__doc__",
    "__getattribute__",
    "__getstate__",
    "__hash__",
    "__init__",
    "__init_subclass__",
    "__new__",
    "__setattr__",
    "__setstate__",
    "__sizeof__",
    "__subclasshook__",
    "fromkeys",
];

/// Makes the class of views that are a `base`, `list` or `dict`.
pub(super) fn view_class<'py>(base: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyType>> {
    let py = base.py();
    let attributes = PyDict::new(py);
    for name in base.dir()? {
        let name: String = name.extract()?;
        if INHERITED.contains(&name.as_str()) {
            continue;
        }
        let method = base.getattr(name.as_str())?;
        attributes.set_item(name.as_str(), Operation { name: name.clone(), method: method.unbind() })?;
    }
    // `other + view`: a list would take what a subclass holds below its methods.
    if base.is(py.get_type::<PyList>()) {
        let add = base.getattr("__add__")?.unbind();
        attributes.set_item("__radd__", Operation { name: "__radd__".to_owned(), method: add })?;
    }
    let copy = base.getattr("copy")?.unbind();
    attributes.set_item("__copy__", Operation { name: "copy".to_owned(), method: copy })?;
    attributes.set_item("__slots__", (SLOT,))?;
    attributes.set_item("__module__", "sgtk_host")?;
    let name = format!("Project{}", base.name()?.to_string_lossy());
    Ok(py.get_type::<PyType>().call1((name, (base,), attributes))?.cast_into()?)
}

/// A method of `list` or `dict`, to be called on a view.
#[pyclass(frozen, module = "sgtk_host")]
pub(super) struct Operation {
    name: String,
    /// The method of the plain class.
    method: Py<PyAny>,
}

#[pymethods]
impl Operation {
    fn __get__<'py>(
        slf: &Bound<'py, Self>,
        object: &Bound<'py, PyAny>,
        _class: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        static METHOD: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        if object.is_none() {
            return Ok(slf.clone().into_any());
        }
        METHOD.import(slf.py(), "types", "MethodType")?.call1((slf, object))
    }

    #[pyo3(signature = (*arguments, **named))]
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        arguments: &Bound<'py, PyTuple>,
        named: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let method = self.method.bind(py);
        let Ok(object) = arguments.get_item(0) else {
            return Err(PyTypeError::new_err(format!("{} needs an object", self.name)));
        };
        let Some(subject) = subject(&object) else { return method.call(arguments, named) };
        let others = arguments.iter().skip(1).map(|argument| plain(&argument));
        let others = others.collect::<PyResult<Vec<_>>>()?;
        let (subject, call) =
            (subject.get(), Call { name: &self.name, method, view: &object, others, named });
        let state = subject.state.current();
        match subject.kind {
            Kind::List(which) => lists::call(&state, which, call),
            Kind::Table(which) => tables::call(&state, which, call),
        }
    }

    #[getter]
    fn __name__(&self) -> &str {
        &self.name
    }

    #[getter]
    fn __doc__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.method.bind(py).getattr("__doc__")
    }
}
