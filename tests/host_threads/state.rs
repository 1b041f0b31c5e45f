//! What the daemon, or whoever is in place, has.

use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Paths, finders, names of modules and loggers, the environment.
pub(crate) fn interpreter(py: Python<'_>) -> Vec<Vec<String>> {
    let scope = PyDict::new(py);
    let code = c"
import logging, os, sys
state = [
    [str(entry) for entry in sys.path],
    [repr(entry) for entry in sys.meta_path],
    [repr(entry) for entry in sys.path_hooks],
    sorted(sys.modules),
    sorted(logging.Logger.manager.loggerDict),
    sorted('='.join(variable) for variable in os.environ.items()),
]
";
    py.run(code, Some(&scope), None).unwrap();
    scope.get_item("state").unwrap().unwrap().extract().unwrap()
}

#[track_caller]
pub(crate) fn assert_same(before: &[Vec<String>], after: &[Vec<String>], what: &str) {
    for (before, after) in before.iter().zip(after) {
        let new: Vec<_> = after.iter().filter(|one| !before.contains(one)).collect();
        let gone: Vec<_> = before.iter().filter(|one| !after.contains(one)).collect();
        assert!(before == after, "{what}: {new:?} came, {gone:?} went");
    }
}
