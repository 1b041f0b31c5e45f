//! Settings of the interpreter: the recursion limit, how long texts of integers may be, the switch interval,
//! whether the collector runs.

use std::ffi::c_int;

use pyo3::ffi;
use pyo3::prelude::*;

use crate::host::python::collector::CollectorPaused;
use crate::host::state::layers::setting::Setting;

/// How deep calls may nest.
pub(crate) struct RecursionLimit;

impl Setting for RecursionLimit {
    type Value = c_int;

    fn find(_: Python<'_>) -> PyResult<Self> {
        Ok(Self)
    }

    fn get(&self, _: Python<'_>) -> Option<c_int> {
        // SAFETY: the interpreter is held; reads a number.
        Some(unsafe { ffi::Py_GetRecursionLimit() })
    }

    fn set(&self, _: Python<'_>, limit: &c_int) -> PyResult<()> {
        // SAFETY: the interpreter is held; the limit is one that it had before.
        unsafe { ffi::Py_SetRecursionLimit(*limit) };
        Ok(())
    }
}

/// How many digits texts of integers may have; later releases of each CPython have this limit.
pub(crate) struct IntegerDigits {
    /// C functions of `sys`.
    functions: Option<(Py<PyAny>, Py<PyAny>)>,
}

impl Setting for IntegerDigits {
    type Value = i64;

    fn find(py: Python<'_>) -> PyResult<Self> {
        let sys = py.import("sys")?;
        let get = sys.getattr_opt("get_int_max_str_digits")?.map(Bound::unbind);
        Ok(Self { functions: get.zip(sys.getattr_opt("set_int_max_str_digits")?.map(Bound::unbind)) })
    }

    fn get(&self, py: Python<'_>) -> Option<i64> {
        let (get, _) = self.functions.as_ref()?;
        get.bind(py).call0().ok()?.extract().ok()
    }

    fn set(&self, py: Python<'_>, digits: &i64) -> PyResult<()> {
        self.functions.as_ref().map_or(Ok(()), |(_, set)| set.bind(py).call1((*digits,)).map(drop))
    }
}

/// How long a thread may hold the interpreter before it is asked for it, in seconds.
pub(crate) struct SwitchInterval {
    /// C functions of `sys`.
    get: Py<PyAny>,
    set: Py<PyAny>,
}

impl Setting for SwitchInterval {
    type Value = f64;

    fn find(py: Python<'_>) -> PyResult<Self> {
        let sys = py.import("sys")?;
        Ok(Self {
            get: sys.getattr("getswitchinterval")?.unbind(),
            set: sys.getattr("setswitchinterval")?.unbind(),
        })
    }

    fn get(&self, py: Python<'_>) -> Option<f64> {
        self.get.bind(py).call0().ok()?.extract().ok()
    }

    fn set(&self, py: Python<'_>, seconds: &f64) -> PyResult<()> {
        self.set.bind(py).call1((*seconds,)).map(drop)
    }
}

/// Whether the garbage collector runs by itself. It is paused while states change, so this is about what
/// follows.
pub(crate) struct Collector;

impl Setting for Collector {
    type Value = bool;

    fn find(_: Python<'_>) -> PyResult<Self> {
        Ok(Self)
    }

    fn get(&self, _: Python<'_>) -> Option<bool> {
        Some(CollectorPaused::runs_afterwards())
    }

    fn set(&self, _: Python<'_>, on: &bool) -> PyResult<()> {
        CollectorPaused::set_runs_afterwards(*on);
        Ok(())
    }
}
