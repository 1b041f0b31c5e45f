//! Waiting for imports of other threads.

use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::host::ownership::import_state::ImportState;
use crate::host::state::world::World;

/// How long the last holder waits for a module that another thread is still importing before it parks the
/// project all the same.
const IMPORT_GRACE: Duration = Duration::from_secs(10);

/// Waits, still holding the project in place, until no other thread is in the middle of importing one of its
/// modules.
pub(crate) fn wait_for_imports(py: Python<'_>, state: &ImportState) {
    let start = Instant::now();
    let mut pause = Duration::from_micros(50);
    loop {
        let busy = World::lock(py).map(|world| world.initializing(py)).unwrap_or_default();
        if busy.is_empty() {
            return;
        }
        if start.elapsed() > IMPORT_GRACE {
            tracing::warn!(
                project = state.project(),
                modules = ?busy,
                seconds = IMPORT_GRACE.as_secs(),
                "parking a project while another thread is still importing its modules"
            );
            return;
        }
        py.detach(|| std::thread::sleep(pause));
        pause = (pause * 2).min(Duration::from_millis(5));
    }
}
