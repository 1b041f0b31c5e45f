//! Which code it is that does something, for those who are told of it.

use std::path::Path;

use parking_lot::Mutex;
use pyo3::prelude::*;

use super::cores::core_of;
use super::import_state::ImportState;
use super::marks;
use super::toolkit_names::{is_core_name, top_level};
use crate::host::python::frames::{Frame, Place, frames};
use crate::host::python::modules::{is_in_stdlib, text_of};
use crate::host::python::names::Names;

/// The code that is running on this thread: the innermost that is neither a core's nor the standard
/// library's.
#[derive(Clone, Debug)]
pub(crate) struct Culprit {
    /// `function 'handle' in /plugins/notify.py, line 12`.
    pub(crate) by: String,
    /// Whether the code is a module's of a project's.
    pub(crate) is_projects: bool,
    /// Whether a core's bootstrap is on the way from there.
    pub(crate) bootstraps: bool,
}

impl Culprit {
    /// The code that is running now.
    pub(crate) fn running(py: Python<'_>) -> Self {
        let mut bootstraps = false;
        for frame in frames(py) {
            let Some(globals) = frame.globals() else { break };
            let name = text_of(globals.get_item("__name__")).unwrap_or_default();
            bootstraps |= name == "tank.bootstrap.manager" || name == "sgtk.bootstrap.manager";
            if is_told_of(&frame, &name) {
                let is_projects = marks::owner_of_globals(&globals).is_some();
                let by = frame.place().map(|place| place.describe(py)).unwrap_or_default();
                return Self { by, is_projects, bootstraps };
            }
        }
        let thread = std::thread::current();
        let by = format!("the daemon's code on thread '{}'", thread.name().unwrap_or("unnamed"));
        Self { by, is_projects: false, bootstraps }
    }
}

/// Whether what code does is to be told of it, and not of what has called it.
fn is_told_of(frame: &Frame<'_>, module: &str) -> bool {
    let file = frame.file().unwrap_or_default();
    let is_ours = module == "sgtk_host.bootstrap" || file.starts_with("<frozen ");
    let is_cores = is_core_name(top_level(module)) && core_of(Path::new(&file)).is_some();
    !is_ours && !is_cores && !is_in_stdlib(&file)
}

/// Where a project's code has asked for `sys.modules`, `sys.path` or their like last while it had its turn,
/// and the number of its state.
static ASKED: Mutex<Option<(u64, Place)>> = Mutex::new(None);

/// Notes that the code that is calling us gets something of the interpreter's that it may change.
pub(crate) fn note_asked(py: Python<'_>, state: &ImportState) {
    let Some(frame) = frames(py).next() else { return };
    let Some(globals) = frame.globals() else { return };
    let is_projects = marks::owner_of_globals(&globals).is_some();
    let name = || text_of(globals.get_item(&Names::of(py).name)).unwrap_or_default();
    if is_projects && !is_core_name(&name()) {
        let before = frame.place().and_then(|place| ASKED.lock().replace((state.id(), place)));
        drop(before);
    }
}

/// Where the code of this state has asked last; told once.
pub(crate) fn take_asked(py: Python<'_>, state: &ImportState) -> Option<String> {
    let asked = ASKED.lock().take();
    asked.filter(|(id, _)| *id == state.id()).map(|(_, place)| place.describe(py))
}
