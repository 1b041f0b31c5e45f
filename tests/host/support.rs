//! What the host's tests share.

use pyo3::prelude::*;
use sgtk_host::{Host, HostBuilder};
use sgtk_host_fixtures::Configs;

/// A host over the fixtures' configurations.
pub(crate) fn host(configs: &Configs) -> Host {
    options(configs).build().unwrap()
}

/// A host's options over the fixtures' configurations.
pub(crate) fn options(configs: &Configs) -> HostBuilder {
    Host::builder().configs(configs.base())
}

/// The value of a Python expression in which `sgtk` is the given module.
pub(crate) fn value<'py, T>(sgtk: &Bound<'py, PyModule>, expression: &str) -> T
where
    T: for<'a> FromPyObject<'a, 'py>,
{
    let py = sgtk.py();
    let globals = pyo3::types::PyDict::new(py);
    globals.set_item("sgtk", sgtk).unwrap();
    let expression = std::ffi::CString::new(expression).unwrap();
    let value = py.eval(&expression, Some(&globals), None).unwrap();
    value.extract().map_err(Into::into).unwrap()
}
