//! The loggers of Toolkit, of the libraries that the core brings, and those that a project's code makes.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::appeared::Appeared;
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
    appeared: Appeared,
}

/// A project's loggers.
pub(crate) struct OwnLoggers {
    share: DictShare,
    /// The levels for all loggers when the project was last in place.
    levels: Levels,
    /// The handlers of Toolkit's logger when the project was put in place.
    handlers: Vec<Py<PyAny>>,
    /// Those that its code has made below loggers of the daemon's: what these let through may have changed.
    below_others: Vec<Py<PyAny>>,
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
        Ok(Self {
            layer: DictLayer::new(&loggers)?,
            levels: LevelsForAll::new(&logger)?,
            appeared: Appeared::default(),
        })
    }

    fn empty(py: Python<'_>) -> OwnLoggers {
        OwnLoggers {
            share: DictShare::new(py),
            levels: Levels::default(),
            handlers: Vec::new(),
            below_others: Vec::new(),
        }
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
        own.below_others.iter().for_each(|logger| log_levels::forget_one(logger.bind(visit.py)));
        entered
    }

    fn leave(&mut self, visit: &mut Visit<'_, '_>, own: &mut OwnLoggers) -> PyResult<()> {
        own.levels = self.levels.now(visit.py);
        let mut taken_over = Ok(());
        if !self.layer.untouched(visit.py, &own.share) {
            let (rules, appeared) = (&*visit.rules, &self.appeared);
            let whose = |name: &Bound<'_, PyAny>, _: &Bound<'_, PyAny>| whose(rules, appeared, name);
            taken_over = self.layer.take_over(visit.py, &mut own.share, visit.replaced, whose);
            taken_over = taken_over.and(own.find_below_others(visit, self.layer.base(visit.py)));
        }
        self.appeared.forget(visit.replaced);
        taken_over.and(self.layer.leave(visit.py))
    }

    fn undo(&mut self, visit: &mut Visit<'_, '_>, own: &mut OwnLoggers) -> PyResult<()> {
        let py = visit.py;
        let mut undone = Ok(());
        if !self.layer.untouched(py, &own.share) {
            let (rules, appeared) = (&*visit.rules, &self.appeared);
            let everybodys = |name: &Bound<'_, PyAny>, _: &Bound<'_, PyAny>| {
                whose(rules, appeared, name) != Ownership::Own
            };
            undone = self.layer.undo(py, &mut own.share, visit.replaced, everybodys);
        } else {
            undone = undone.and(self.layer.leave(py));
        }
        self.appeared.forget(visit.replaced);
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
        self.appeared.keep_for_daemon();
        let is_projects =
            |name: &Bound<'_, PyAny>, _: &Bound<'_, PyAny>| rules.of_logger(name) == Ownership::Own;
        self.layer.keep_for_daemon(visit.py, &own.share, visit.replaced, is_projects)
    }
}

impl OwnLoggers {
    /// Finds those that the project's code has made. `daemons` are the daemon's.
    fn find_below_others(&mut self, visit: &mut Visit<'_, '_>, daemons: &Bound<'_, PyDict>) -> PyResult<()> {
        let (py, rules) = (visit.py, &*visit.rules);
        let mut made = Vec::new();
        let mut outcome = Ok(());
        for (name, logger) in contents::items(self.share.own.bind(py)) {
            if rules.of_logger(&name) == Ownership::Own {
                continue;
            }
            if contents::get(daemons, &name).is_some() {
                outcome = outcome.and(let_children_go(&logger, daemons));
            }
            made.push(logger.unbind());
        }
        visit.replaced.extend(std::mem::replace(&mut self.below_others, made));
        outcome
    }
}

/// Has the daemon's loggers that `logging` has put below one of a project's pass their records to what is
/// above that: the daemon had no more than a placeholder there.
fn let_children_go(logger: &Bound<'_, PyAny>, daemons: &Bound<'_, PyDict>) -> PyResult<()> {
    let parent = Names::of(logger.py()).parent.bind(logger.py());
    let above = contents::attributes(logger).and_then(|own| contents::get(&own, parent.as_any()));
    for (_, child) in contents::items(daemons) {
        let Some(attributes) = contents::attributes(&child) else { continue };
        if contents::get(&attributes, parent.as_any()).is_some_and(|parent| parent.is(logger)) {
            attributes.set_item(parent, &above)?;
            log_levels::forget_one(&child);
        }
    }
    Ok(())
}

impl Loggers {
    /// Takes the loggers that have appeared since as made by a library for all, or not.
    pub(crate) fn settle(&mut self, py: Python<'_>, own: &OwnLoggers, is_for_all: bool) -> PyResult<()> {
        self.appeared.settle(py, &self.layer, &own.share, is_for_all)
    }

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

/// Whose a logger is that has appeared while a project was in place: its own, unless a library for all has
/// made it.
fn whose(rules: &Rules, appeared: &Appeared, name: &Bound<'_, PyAny>) -> Ownership {
    match rules.of_logger(name) {
        Ownership::Shared if appeared.is_for_all(name.as_ptr() as usize) => Ownership::Shared,
        Ownership::Shared => Ownership::Own,
        by_name => by_name,
    }
}

fn is_hidden(rules: &Rules, name: &Bound<'_, PyAny>, _logger: &Bound<'_, PyAny>) -> bool {
    rules.of_logger(name) == Ownership::Own
}
