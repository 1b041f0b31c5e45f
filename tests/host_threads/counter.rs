//! What Python code keeps for each thread.

use std::sync::Arc;

use pyo3::prelude::*;
use sgtk_host::Host;

/// Counts, for each thread, how often it was called there, and notes the end of what it keeps for it.
const CODE: &std::ffi::CStr = c"
import threading
kept = threading.local()
ended = []

class Connection:
    def __init__(self): self.owner = threading.get_ident()
    def __del__(self): ended.append(self.owner)

def count():
    if not hasattr(kept, 'calls'):
        kept.calls = 0
        kept.connection = Connection()
    kept.calls += 1
    return kept.calls
";

#[derive(Clone)]
pub(crate) struct Counter(Arc<Py<PyModule>>);

impl Counter {
    pub(crate) fn new() -> Self {
        let module =
            Python::attach(|py| PyModule::from_code(py, CODE, c"counter.py", c"counter").unwrap().unbind());
        Self(Arc::new(module))
    }

    /// Counts in a lease of the project.
    pub(crate) fn call(&self, host: &Host, project: &str) -> u32 {
        host.with_sgtk(project, |sgtk| Ok(self.count(sgtk.py()))).unwrap()
    }

    pub(crate) fn count(&self, py: Python<'_>) -> u32 {
        self.0.bind(py).call_method0("count").unwrap().extract().unwrap()
    }

    /// How many connections of threads that have ended were closed.
    pub(crate) fn ended(&self) -> usize {
        Python::attach(|py| self.0.bind(py).getattr("ended").unwrap().len().unwrap())
    }
}
