//! What the host's tests share.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use sgtk_host::{Host, HostBuilder};
use sgtk_host_fixtures::Configs;

pub(crate) use crate::daemon_code::Daemon;
use crate::daemon_code::evaluate;

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
    let globals = PyDict::new(sgtk.py());
    globals.set_item("sgtk", sgtk).unwrap();
    evaluate(&globals, expression)
}

/// Fails unless no module of any project comes from another's core.
#[track_caller]
pub(crate) fn assert_audit_is_empty(host: &Host) {
    Python::attach(|py| assert_eq!(host.audit(py).unwrap(), []));
}

/// Leases the project, checks that it sees its own core and nothing of another's, and runs `body` in the
/// lease.
#[track_caller]
pub(crate) fn lease_own<T>(
    host: &Host,
    project: &str,
    version: &str,
    body: impl FnOnce(&Bound<'_, PyModule>) -> T,
) -> T {
    Python::attach(|py| {
        let sgtk = host.lease(py, project).unwrap();
        assert_own(&sgtk, project, version);
        let value = body(&sgtk);
        assert_own(&sgtk, project, version);
        sgtk.finish().unwrap();
        value
    })
}

/// Fails unless what is in place is the core of that version, with its own libraries and nothing of
/// another's.
#[track_caller]
pub(crate) fn assert_own(sgtk: &Bound<'_, PyModule>, project: &str, version: &str) {
    assert_eq!(value::<String>(sgtk, "sgtk.__version__"), version, "{project}");
    let libraries = "[sgtk.util.shotgun.API_VERSION, sgtk.util.yaml_cache.YAML_VERSION, \
                     __import__('tank_vendor.yaml').yaml.CORE_VERSION]";
    assert_eq!(value::<Vec<String>>(sgtk, libraries), [version; 3], "{project}");
    let foreign = "[(name, version) for name, version in sgtk.util.baked_versions().items() \
                   if version not in (sgtk.__version__, 'host', None)]";
    assert_eq!(value::<Vec<(String, String)>>(sgtk, foreign), [], "{project}");
}
