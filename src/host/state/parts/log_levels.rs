//! What `logging` remembers of levels.
//!
//! Each logger caches which levels it lets through. `logging` empties these caches when a level changes, but
//! only those of loggers that it knows at that moment: not a parked project's.

use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::host::python::contents;
use crate::host::python::names::Names;
use crate::host::state::layers::setting::Setting;

/// `logging.disable`: below this level nothing is logged, by whatever logger.
pub(crate) struct LogSwitch {
    manager: Py<PyDict>,
    caches: LevelCaches,
}

impl Setting for LogSwitch {
    type Value = i64;

    fn find(py: Python<'_>) -> PyResult<Self> {
        let manager = py.import("logging")?.getattr("Logger")?.getattr("manager")?;
        Ok(Self { manager: dictionary(&manager)?, caches: LevelCaches::find(py)? })
    }

    fn get(&self, py: Python<'_>) -> Option<i64> {
        self.manager.bind(py).get_item(&Names::of(py).disable).ok()??.extract().ok()
    }

    fn version(&self, py: Python<'_>) -> Option<u64> {
        contents::version(self.manager.bind(py))
    }

    fn set(&self, py: Python<'_>, level: &i64) -> PyResult<()> {
        self.manager.bind(py).set_item(&Names::of(py).disable, level)?;
        self.caches.forget(py);
        Ok(())
    }
}

fn dictionary(object: &Bound<'_, PyAny>) -> PyResult<Py<PyDict>> {
    let missing = || PyAttributeError::new_err("the dictionary of an object of logging's");
    contents::attributes(object).map(Bound::unbind).ok_or_else(missing)
}

/// The levels that count for loggers of all projects: `logging.disable`'s, and the root logger's.
pub(crate) type Levels = [Option<i64>; 2];

/// Where those levels are.
pub(crate) struct LevelsForAll {
    manager: Py<PyDict>,
    root: Py<PyDict>,
    /// The levels, and the versions of the dictionaries, when they were last read.
    known: Levels,
    known_at: [Option<u64>; 2],
}

impl LevelsForAll {
    pub(crate) fn new(logger_class: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self {
            manager: dictionary(&logger_class.getattr("manager")?)?,
            root: dictionary(&logger_class.getattr("root")?)?,
            known: Levels::default(),
            known_at: [None; 2],
        })
    }

    /// The levels as they are now.
    pub(crate) fn now(&mut self, py: Python<'_>) -> Levels {
        let versions = [&self.manager, &self.root].map(|dict| contents::version(dict.bind(py)));
        if versions == self.known_at && versions.iter().all(Option::is_some) {
            return self.known;
        }
        let names = Names::of(py);
        let level = |dict: &Py<PyDict>, name| dict.bind(py).get_item(name).ok()??.extract().ok();
        self.known = [level(&self.manager, &names.disable), level(&self.root, &names.level)];
        self.known_at = versions;
        self.known
    }
}

/// The caches of the daemon's loggers and of those in place.
pub(crate) struct LevelCaches {
    root: Py<PyAny>,
    loggers: Py<PyDict>,
}

impl LevelCaches {
    pub(crate) fn find(py: Python<'_>) -> PyResult<Self> {
        let logger = py.import("logging")?.getattr("Logger")?;
        let loggers = logger.getattr("manager")?.getattr("loggerDict")?.cast_into::<PyDict>()?;
        Ok(Self { root: logger.getattr("root")?.unbind(), loggers: loggers.unbind() })
    }

    /// Has all of them find out anew which levels they let through.
    pub(crate) fn forget(&self, py: Python<'_>) {
        forget(self.loggers.bind(py));
        forget_one(self.root.bind(py));
    }
}

/// Has these loggers find out anew which levels they let through. Runs no Python code: the caches are of
/// plain values.
pub(crate) fn forget(loggers: &Bound<'_, PyDict>) {
    for (_, logger) in contents::items(loggers) {
        forget_one(&logger);
    }
}

/// As [`forget`], of one.
pub(crate) fn forget_one(logger: &Bound<'_, PyAny>) {
    let names = Names::of(logger.py());
    let attributes = logger.getattr(&names.dict).ok().and_then(|dict| dict.cast_into::<PyDict>().ok());
    let cache = attributes.and_then(|dict| dict.get_item(&names.cache).ok().flatten());
    if let Some(cache) = cache.and_then(|cache| cache.cast_into::<PyDict>().ok()) {
        cache.clear();
    }
}
