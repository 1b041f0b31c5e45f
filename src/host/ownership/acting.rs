//! For which project the code that is running acts.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use super::import_state::ImportState;
use super::marks;
use crate::host::gate::held;
use crate::host::python::frames::frames;

/// The import system, as far as it shows among the frames.
struct ImportSystem {
    /// The globals of `importlib._bootstrap`.
    globals: Py<PyDict>,
    /// The code of its `_find_and_load`, which every import that loads something goes through.
    find_and_load: Py<PyAny>,
}

static IMPORT_SYSTEM: PyOnceLock<ImportSystem> = PyOnceLock::new();

/// Gets to know the import system. To be called before the functions below.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    IMPORT_SYSTEM
        .get_or_try_init(py, || {
            let bootstrap = py.import("importlib._bootstrap")?;
            let find_and_load = bootstrap.getattr("_find_and_load")?.getattr("__code__")?.unbind();
            PyResult::Ok(ImportSystem { globals: bootstrap.dict().unbind(), find_and_load })
        })
        .map(drop)
}

/// The project that the running code acts for: the owner of the innermost code that is a project's. What such
/// code calls, `site` or `dataclasses` for example, acts for it. Code of a state that gave way acts for its
/// successor.
///
/// Code that a lease of this thread was taken from does not count. Neither does code from which the import
/// system was called: an import that loads something has its own turn, or is nobody's.
pub(crate) fn acting_for(py: Python<'_>) -> Option<Arc<ImportState>> {
    let system = IMPORT_SYSTEM.get(py)?;
    let leased_from = held::leased_from();
    let mut last = 0;
    for frame in frames(py) {
        if leased_from == Some(frame.address()) {
            return None;
        }
        let globals = frame.globals()?;
        // Functions that call others of their module are common.
        if globals.as_ptr() as usize != last {
            if let Some(owner) = marks::owner_of_globals(&globals) {
                return Some(owner.current());
            }
            last = globals.as_ptr() as usize;
        }
        if globals.is(&system.globals) && frame.runs(&system.find_and_load) {
            return None;
        }
    }
    None
}
