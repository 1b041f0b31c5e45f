//! `sys.meta_path` and `sys.path_hooks`.

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::host::ownership::rules::{Ownership, Rules};
use crate::host::python::modules::class_module;
use crate::host::state::layers::list::{ListLayer, ListShare};
use crate::host::state::part::{Part, VisibleModules, Visit};

/// See the module's documentation.
pub(crate) struct Finders([ListLayer; 2]);

impl Part for Finders {
    type Share = [ListShare; 2];

    fn new(py: Python<'_>) -> PyResult<Self> {
        let sys = py.import("sys")?.dict();
        Ok(Self([ListLayer::new(&sys, "meta_path")?, ListLayer::new(&sys, "path_hooks")?]))
    }

    fn empty(_: Python<'_>) -> Self::Share {
        Default::default()
    }

    fn enter(&mut self, visit: &mut Visit<'_, '_>, shares: &mut Self::Share) -> PyResult<()> {
        let rules = &*visit.rules;
        let hidden = |finder: &Bound<'_, PyAny>| is_hidden(rules, finder);
        let entered = self
            .0
            .iter_mut()
            .zip(shares)
            .map(|(list, share)| list.enter(visit.py, share, visit.replaced, hidden));
        first_error(entered)
    }

    fn leave(&mut self, visit: &mut Visit<'_, '_>, shares: &mut Self::Share) -> PyResult<()> {
        let (rules, modules) = (&*visit.rules, visit.modules.as_ref());
        let whose = |finder: &Bound<'_, PyAny>| {
            if is_projects(rules, modules, finder) { Ownership::Own } else { Ownership::Shared }
        };
        let left = self
            .0
            .iter_mut()
            .zip(shares)
            .map(|(list, share)| list.leave(visit.py, share, visit.replaced, whose).map(drop));
        first_error(left)
    }

    fn undo(&mut self, visit: &mut Visit<'_, '_>, shares: &mut Self::Share) -> PyResult<()> {
        let (rules, modules) = (&*visit.rules, visit.modules.as_ref());
        let everybodys = |finder: &Bound<'_, PyAny>| !is_projects(rules, modules, finder);
        let undone = self
            .0
            .iter_mut()
            .zip(shares)
            .map(|(list, share)| list.undo(visit.py, share, visit.replaced, everybodys));
        first_error(undone)
    }

    fn keep_for_daemon(&mut self, visit: &mut Visit<'_, '_>, shares: &mut Self::Share) -> PyResult<()> {
        let (rules, modules) = (&*visit.rules, visit.modules.as_ref());
        let is_projects = |finder: &Bound<'_, PyAny>| is_made_by_projects(rules, modules, finder);
        let kept = self
            .0
            .iter_mut()
            .zip(shares)
            .map(|(list, share)| list.keep_for_daemon(visit.py, share, visit.replaced, is_projects));
        first_error(kept)
    }
}

impl Finders {
    /// Whether the project that is in place has lost a finder or a hook of its own.
    pub(crate) fn lacks(&self, py: Python<'_>, shares: &[ListShare; 2]) -> bool {
        self.0.iter().zip(shares).any(|(list, share)| list.lacks(py, share, |_| true))
    }

    /// `sys.meta_path` and `sys.path_hooks`, and whether an entry of the daemon's is out of a project's
    /// sight.
    pub(crate) fn layers(&mut self) -> (&mut [ListLayer; 2], super::IsProjects) {
        (&mut self.0, is_hidden)
    }
}

fn is_hidden(rules: &Rules, finder: &Bound<'_, PyAny>) -> bool {
    rules.of_object(finder).is_hidden()
}

/// Whether an object that appeared with the project goes with it: all do but those of host packages that were
/// first imported then, which stay with their package.
fn is_projects(rules: &Rules, modules: Option<&VisibleModules<'_>>, object: &Bound<'_, PyAny>) -> bool {
    let is_hosts = |module: &str| {
        module != "builtins"
            && modules.is_some_and(|modules| {
                modules.base.contains(PyString::new(object.py(), module)).unwrap_or(false)
            })
    };
    is_made_by_projects(rules, modules, object)
        || class_module(object).is_some_and(|module| !is_hosts(&module))
}

/// Whether an object's class is of a module of the project's.
pub(super) fn is_made_by_projects(
    rules: &Rules,
    modules: Option<&VisibleModules<'_>>,
    object: &Bound<'_, PyAny>,
) -> bool {
    let Some(module) = class_module(object) else { return true };
    let is_own = modules
        .is_some_and(|modules| modules.own.contains(PyString::new(object.py(), &module)).unwrap_or(true));
    is_own || rules.of_name(&module).is_hidden()
}

/// Does all of them, whatever becomes of the others.
fn first_error(done: impl Iterator<Item = PyResult<()>>) -> PyResult<()> {
    let mut outcome = Ok(());
    for one in done {
        outcome = outcome.and(one);
    }
    outcome
}
