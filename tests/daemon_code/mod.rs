//! The Python code of a daemon in tests, and what it sees of the process.

use std::ffi::CString;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use sgtk_host_fixtures::{host_libraries, host_packages};

/// The value of a Python expression.
pub(crate) fn evaluate<'py, T>(globals: &Bound<'py, PyDict>, expression: &str) -> T
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
