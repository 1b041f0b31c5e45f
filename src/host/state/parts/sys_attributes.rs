//! The attributes of `sys` that have no part of their own.

use pyo3::prelude::*;

use super::finders::is_made_by_projects;
use crate::host::ownership::toolkit_names::is_core_name;
use crate::host::python::modules::class_module;
use crate::host::state::layers::Replaced;
use crate::host::state::layers::overlay::{Change, OverlayLayer, OverlayShare};
use crate::host::state::part::{Part, Visit};

/// Attributes that are no project's: those with a part of their own, and what the interpreter keeps about the
/// last uncaught exception.
const IGNORED: [&str; 9] = [
    "modules",
    "path",
    "meta_path",
    "path_hooks",
    "path_importer_cache",
    "last_exc",
    "last_type",
    "last_value",
    "last_traceback",
];

fn is_core_made(value: &Bound<'_, PyAny>) -> bool {
    class_module(value).is_some_and(|module| is_core_name(&module))
}

/// See the module's documentation.
pub(crate) struct SysAttributes(OverlayLayer);

impl Part for SysAttributes {
    type Share = OverlayShare;

    fn new(py: Python<'_>) -> PyResult<Self> {
        Ok(Self(OverlayLayer::new(&py.import("sys")?.dict(), &IGNORED)))
    }

    fn empty(_: Python<'_>) -> OverlayShare {
        OverlayShare::new()
    }

    fn enter(&mut self, visit: &mut Visit<'_, '_>, share: &mut OverlayShare) -> PyResult<()> {
        self.0.enter(visit.py, share, None, visit.replaced, is_core_made).map(drop)
    }

    fn leave(&mut self, visit: &mut Visit<'_, '_>, share: &mut OverlayShare) -> PyResult<()> {
        self.0.leave(visit.py, share, visit.replaced).map(drop)
    }

    fn undo(&mut self, visit: &mut Visit<'_, '_>, share: &mut OverlayShare) -> PyResult<()> {
        self.0.undo(visit.py, share, visit.replaced)
    }

    fn hand_on(py: Python<'_>, from: &mut OverlayShare, to: &mut OverlayShare, replaced: &mut Replaced) {
        // Finders that a core keeps there are that core's.
        from.hand_on(py, to, replaced, |(_, value)| {
            value.as_ref().is_none_or(|value| !is_core_made(value.bind(py)))
        });
    }

    fn keep_for_daemon(&mut self, visit: &mut Visit<'_, '_>, share: &mut OverlayShare) -> PyResult<()> {
        let (py, rules, modules) = (visit.py, &*visit.rules, visit.modules.as_ref());
        let is_projects = |change: &Change| {
            change.1.as_ref().is_some_and(|value| is_made_by_projects(rules, modules, value.bind(py)))
        };
        self.0.keep_for_daemon(py, share, visit.replaced, is_projects)
    }
}
