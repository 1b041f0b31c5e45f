//! The default timeout of sockets.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::host::python::modules::loaded;
use crate::host::python::names::Names;
use crate::host::state::layers::setting::Setting;

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
