//! What the host's tests share.

use std::ffi::CString;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use sgtk_host::{Host, HostBuilder};
use sgtk_host_fixtures::{Configs, host_libraries, host_packages};

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

fn evaluate<'py, T>(globals: &Bound<'py, PyDict>, expression: &str) -> T
where
    T: for<'a> FromPyObject<'a, 'py>,
{
    let py = globals.py();
    let code = CString::new(expression).unwrap();
    let value = py.eval(&code, Some(globals), None).unwrap_or_else(|error| {
        error.display(py);
        panic!("{expression}: {error}")
    });
    value.extract().map_err(Into::into).unwrap_or_else(|error: PyErr| panic!("{expression}: {error}"))
}

/// The daemon's own Python code: a namespace that is no module's, with what `daemon.py` defines in it.
pub(crate) struct Daemon {
    globals: Py<PyDict>,
}

impl Daemon {
    /// Only where the interpreter runs already: after the host was built.
    pub(crate) fn new() -> Self {
        Python::attach(|py| {
            let globals = PyDict::new(py);
            globals.set_item("HOST_PACKAGES", host_packages()).unwrap();
            globals.set_item("HOST_LIBRARIES", host_libraries()).unwrap();
            globals.set_item("__name__", "daemon").unwrap();
            let daemon = Self { globals: globals.unbind() };
            daemon.run("HOST_PACKAGES, HOST_LIBRARIES = str(HOST_PACKAGES), str(HOST_LIBRARIES)");
            daemon.run(include_str!("daemon.py"));
            daemon
        })
    }

    /// Runs statements.
    pub(crate) fn run(&self, code: &str) {
        let statements = CString::new(code).unwrap();
        Python::attach(|py| {
            py.run(&statements, Some(self.globals.bind(py)), None).unwrap_or_else(|error| {
                error.display(py);
                panic!("{code}: {error}")
            });
        });
    }

    /// The value of an expression.
    pub(crate) fn get<T>(&self, expression: &str) -> T
    where
        T: for<'a, 'py> FromPyObject<'a, 'py>,
    {
        Python::attach(|py| evaluate(self.globals.bind(py), expression))
    }

    /// Gives the daemon's code an object by name.
    pub(crate) fn set<'py>(&self, name: &str, object: &Bound<'py, PyAny>) {
        self.globals.bind(object.py()).set_item(name, object).unwrap();
    }

    /// Remembers what the process is like now.
    pub(crate) fn remember(&self) {
        self.run("before = snapshot()");
    }

    /// Fails unless the process is as it was when [`Daemon::remember`] was called.
    #[track_caller]
    pub(crate) fn assert_as_before(&self, when: &str) {
        assert_eq!(self.get::<Vec<String>>("differences(before)"), [""; 0], "{when}");
    }
}

/// Fails unless no module of any project comes from another's core.
#[track_caller]
pub(crate) fn assert_audit_is_empty(host: &Host) {
    Python::attach(|py| assert_eq!(host.audit(py).unwrap(), []));
}

/// Leases the project, checks that it sees its own core and nothing of another's, and runs `body` in the lease.
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

/// Fails unless what is in place is the core of that version, with its own libraries and nothing of another's.
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
