//! The loggers of Toolkit and of the libraries that the core brings.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::log_levels::{self, Levels, LevelsForAll};
use crate::host::ownership::rules::{Ownership, Rules};
use crate::host::python::contents;
use crate::host::python::names::Names;
use crate::host::state::layers::dict::{DictLayer, DictShare, Hides};
use crate::host::state::part::{Part, Visit};

/// See the module's documentation.
pub(crate) struct Loggers {
    layer: DictLayer,
    levels: LevelsForAll,
}

/// A project's loggers.
pub(crate) struct OwnLoggers {
    share: DictShare,
    /// The levels for all loggers when the project was last in place.
    levels: Levels,
    /// The handlers of Toolkit's logger when the project was put in place.
    handlers: Vec<Py<PyAny>>,
}

/// The handlers of Toolkit's own logger, which all of its others pass their records to.
fn handlers<'py>(py: Python<'py>, share: &DictShare) -> Option<Bound<'py, PyList>> {
    let names = Names::of(py);
    let logger = share.own_entry(names.sgtk.bind(py).as_any())?;
    let attributes = logger.getattr(&names.dict).ok()?.cast_into::<PyDict>().ok()?;
    contents::get(&attributes, names.handlers.bind(py).as_any())?.cast_into::<PyList>().ok()
}

impl Part for Loggers {
    type Share = OwnLoggers;

    fn new(py: Python<'_>) -> PyResult<Self> {
        let logger = py.import("logging")?.getattr("Logger")?;
        let loggers = logger.getattr("manager")?.getattr("loggerDict")?.cast_into::<PyDict>()?;
        Ok(Self { layer: DictLayer::new(&loggers)?, levels: LevelsForAll::new(&logger)? })
    }

    fn empty(py: Python<'_>) -> OwnLoggers {
        OwnLoggers { share: DictShare::new(py), levels: Levels::default(), handlers: Vec::new() }
    }

    fn enter(&mut self, visit: &mut Visit<'_, '_>, own: &mut OwnLoggers) -> PyResult<()> {
        let rules = &*visit.rules;
        let hidden = |name: &Bound<'_, PyAny>, logger: &Bound<'_, PyAny>| is_hidden(rules, name, logger);
        let entered = self.layer.enter(visit.py, &mut own.share, visit.replaced, hidden);
        let now = handlers(visit.py, &own.share);
        let now = now.map(|handlers| contents::list_items(&handlers)).unwrap_or_default();
        visit.replaced.extend(std::mem::replace(&mut own.handlers, now));
        if own.levels != self.levels.now(visit.py) {
            log_levels::forget(own.share.own.bind(visit.py));
        }
        entered
    }

    fn leave(&mut self, visit: &mut Visit<'_, '_>, own: &mut OwnLoggers) -> PyResult<()> {
        own.levels = self.levels.now(visit.py);
        let mut taken_over = Ok(());
        if !self.layer.untouched(visit.py, &own.share) {
            let rules = &*visit.rules;
            let whose = |name: &Bound<'_, PyAny>, _: &Bound<'_, PyAny>| rules.of_logger(name);
            taken_over = self.layer.take_over(visit.py, &mut own.share, visit.replaced, whose);
        }
        taken_over.and(self.layer.leave(visit.py))
    }

    fn undo(&mut self, visit: &mut Visit<'_, '_>, own: &mut OwnLoggers) -> PyResult<()> {
        let py = visit.py;
        let mut undone = Ok(());
        if !self.layer.untouched(py, &own.share) {
            let rules = &*visit.rules;
            let everybodys =
                |name: &Bound<'_, PyAny>, _: &Bound<'_, PyAny>| rules.of_logger(name) != Ownership::Own;
            undone = self.layer.undo(py, &mut own.share, visit.replaced, everybodys);
        } else {
            undone = undone.and(self.layer.leave(py));
        }
        // Another core adds handlers to the logger of the one that it replaces.
        match handlers(py, &own.share) {
            Some(now) => {
                visit.replaced.extend(contents::list_items(&now));
                undone.and(contents::replace_list(&now, &own.handlers))
            }
            None => undone,
        }
    }

    fn keep_for_daemon(&mut self, visit: &mut Visit<'_, '_>, own: &mut OwnLoggers) -> PyResult<()> {
        let rules = &*visit.rules;
        let is_projects =
            |name: &Bound<'_, PyAny>, _: &Bound<'_, PyAny>| rules.of_logger(name) == Ownership::Own;
        self.layer.keep_for_daemon(visit.py, &own.share, visit.replaced, is_projects)
    }
}

impl Loggers {
    pub(crate) fn dict(&self) -> &DictLayer {
        &self.layer
    }

    /// The dictionary, a project's share of it, and whether an entry of the daemon's is out of a project's
    /// sight.
    pub(crate) fn layer<'a>(
        &'a mut self,
        own: Option<&'a mut OwnLoggers>,
    ) -> (&'a mut DictLayer, Option<&'a mut DictShare>, Hides) {
        (&mut self.layer, own.map(|own| &mut own.share), is_hidden)
    }
}

fn is_hidden(rules: &Rules, name: &Bound<'_, PyAny>, _logger: &Bound<'_, PyAny>) -> bool {
    rules.of_logger(name) == Ownership::Own
}
