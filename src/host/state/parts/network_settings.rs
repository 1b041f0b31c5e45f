//! Settings of the standard library's network modules, each for the whole process: an opener carries a proxy
//! and cookies.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

use crate::host::python::contents::version;
use crate::host::python::modules::loaded;
use crate::host::python::names::Names;
use crate::host::state::layers::Replaced;
use crate::host::state::layers::setting::Setting;

/// A module's attribute.
struct Attribute {
    module: Py<PyString>,
    name: Py<PyString>,
}

/// A Python object that is what it is by identity.
pub(crate) struct Object(Py<PyAny>);

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.0.is(&other.0)
    }
}

impl Attribute {
    fn new(py: Python<'_>, module: &str, name: &str) -> Self {
        Self { module: PyString::intern(py, module).unbind(), name: PyString::intern(py, name).unbind() }
    }

    fn get(&self, py: Python<'_>) -> Option<Object> {
        Some(Object(loaded(py, &self.module)?.get_item(&self.name).ok()??.unbind()))
    }

    fn version(&self, py: Python<'_>) -> Option<u64> {
        version(&loaded(py, &self.module)?)
    }

    fn set(&self, py: Python<'_>, value: &Object) -> PyResult<()> {
        loaded(py, &self.module).map_or(Ok(()), |module| module.set_item(&self.name, &value.0))
    }
}

/// The opener that `urllib.request.urlopen` uses.
pub(crate) struct Opener(Attribute);

impl Setting for Opener {
    type Value = Object;

    fn find(py: Python<'_>) -> PyResult<Self> {
        Ok(Self(Attribute::new(py, "urllib.request", "_opener")))
    }

    fn get(&self, py: Python<'_>) -> Option<Object> {
        self.0.get(py)
    }

    fn version(&self, py: Python<'_>) -> Option<u64> {
        self.0.version(py)
    }

    fn set(&self, py: Python<'_>, opener: &Object) -> PyResult<()> {
        self.0.set(py, opener)
    }

    fn initial(&self, py: Python<'_>) -> Option<Object> {
        Some(Object(py.None()))
    }

    fn let_go(opener: Object, replaced: &mut Replaced) {
        replaced.push(opener.0);
    }
}

/// The function that makes the context of connections by `https`.
pub(crate) struct HttpsContext {
    attribute: Attribute,
    default: Attribute,
}

impl Setting for HttpsContext {
    type Value = Object;

    fn find(py: Python<'_>) -> PyResult<Self> {
        Ok(Self {
            attribute: Attribute::new(py, "ssl", "_create_default_https_context"),
            default: Attribute::new(py, "ssl", "create_default_context"),
        })
    }

    fn get(&self, py: Python<'_>) -> Option<Object> {
        self.attribute.get(py)
    }

    fn version(&self, py: Python<'_>) -> Option<u64> {
        self.attribute.version(py)
    }

    fn set(&self, py: Python<'_>, function: &Object) -> PyResult<()> {
        self.attribute.set(py, function)
    }

    fn initial(&self, py: Python<'_>) -> Option<Object> {
        self.default.get(py)
    }

    fn let_go(function: Object, replaced: &mut Replaced) {
        replaced.push(function.0);
    }
}

/// How long new sockets wait, in seconds; `None` forever.
pub(crate) struct SocketTimeout {
    /// C functions of `_socket`, once that is loaded.
    functions: PyOnceLock<(Py<PyAny>, Py<PyAny>)>,
}

impl SocketTimeout {
    fn functions(&self, py: Python<'_>) -> Option<&(Py<PyAny>, Py<PyAny>)> {
        self.functions.get(py).or_else(|| {
            let names = Names::of(py);
            let module = loaded(py, &names.socket)?;
            let get = module.get_item(&names.default_timeout).ok()??;
            let set = module.get_item(&names.set_default_timeout).ok()??;
            let _ = self.functions.set(py, (get.unbind(), set.unbind()));
            self.functions.get(py)
        })
    }
}

impl Setting for SocketTimeout {
    type Value = Option<f64>;

    fn find(_: Python<'_>) -> PyResult<Self> {
        Ok(Self { functions: PyOnceLock::new() })
    }

    fn get(&self, py: Python<'_>) -> Option<Option<f64>> {
        let (get, _) = self.functions(py)?;
        get.bind(py).call0().ok()?.extract().ok()
    }

    fn set(&self, py: Python<'_>, timeout: &Option<f64>) -> PyResult<()> {
        self.functions(py).map_or(Ok(()), |(_, set)| set.bind(py).call1((*timeout,)).map(drop))
    }

    fn initial(&self, _: Python<'_>) -> Option<Option<f64>> {
        Some(None)
    }
}
