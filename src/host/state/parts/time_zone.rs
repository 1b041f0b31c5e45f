//! The time zone, which follows the variable `TZ`: C's, and the attributes of Python's `time`.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::host::python::contents::version;
use crate::host::state::layers::Replaced;

/// What `time.tzset` sets.
const ATTRIBUTES: [&str; 4] = ["tzname", "timezone", "altzone", "daylight"];

/// See the module's documentation.
pub(super) struct TimeZone {
    time: Py<PyDict>,
    attributes: [Py<PyString>; 4],
}

/// The attributes' values.
#[derive(Default)]
pub(super) struct Zone([Option<Py<PyAny>>; 4]);

impl Zone {
    pub(super) fn copied(&self, py: Python<'_>) -> Self {
        Self(self.0.each_ref().map(|value| value.as_ref().map(|value| value.clone_ref(py))))
    }

    pub(super) fn let_go(self, replaced: &mut Replaced) {
        replaced.extend(self.0.into_iter().flatten());
    }
}

impl TimeZone {
    pub(super) fn find(py: Python<'_>) -> PyResult<Self> {
        let attributes = ATTRIBUTES.map(|name| PyString::intern(py, name).unbind());
        Ok(Self { time: py.import("time")?.dict().unbind(), attributes })
    }

    /// A number that is another one whenever the zone may be another one, where Python keeps such.
    pub(super) fn version(&self, py: Python<'_>) -> Option<u64> {
        version(self.time.bind(py))
    }

    /// The zone as Python has it now.
    pub(super) fn now(&self, py: Python<'_>) -> Zone {
        let time = self.time.bind(py);
        let value = |name| time.get_item(name).ok().flatten().map(Bound::unbind);
        Zone(self.attributes.each_ref().map(value))
    }

    /// Has C look at `TZ` again, which was changed, and gives Python what it had with that; nothing where it
    /// had none.
    pub(super) fn set(&self, py: Python<'_>, zone: &Zone) -> PyResult<()> {
        tzset();
        let time = self.time.bind(py);
        let values = self.attributes.iter().zip(&zone.0);
        values
            .filter_map(|(name, value)| Some((name, value.as_ref()?)))
            .try_for_each(|(name, value)| time.set_item(name, value))
    }
}

#[cfg(unix)]
fn tzset() {
    unsafe extern "C" {
        fn tzset();
    }
    // SAFETY: takes no argument; C code of other threads that reads the zone at this moment is as with
    // `time.tzset`.
    unsafe { tzset() };
}

#[cfg(not(unix))]
fn tzset() {}
