//! The functions that import statements call. They are the host's, which tells by them whose code imports.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::host::python::contents;
use crate::host::state::part::{Part, Visit};

/// The modules and the functions.
const FUNCTIONS: [(&str, &str); 3] =
    [("builtins", "__import__"), ("importlib", "__import__"), ("importlib", "import_module")];

/// See the module's documentation. What the daemon has put there stays; what a project's code puts there goes
/// with its turn.
pub(crate) struct ImportFunctions([Function; 3]);

struct Function {
    module: Py<PyDict>,
    name: Py<PyString>,
    /// What it was when the project came.
    base: Option<Py<PyAny>>,
    /// The version of the module's dictionary when it was last seen to be that.
    same_at: Option<u64>,
}

impl Function {
    fn find(py: Python<'_>, (module, name): (&str, &str)) -> PyResult<Self> {
        let module = py.import(module)?.dict().unbind();
        Ok(Self { module, name: PyString::intern(py, name).unbind(), base: None, same_at: None })
    }

    /// Whether it cannot be another one.
    fn is_same(&self, py: Python<'_>) -> bool {
        self.same_at.is_some() && self.same_at == contents::version(self.module.bind(py))
    }

    fn now<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        contents::get(self.module.bind(py), self.name.bind(py).as_any())
    }
}

impl Part for ImportFunctions {
    type Share = ();

    fn new(py: Python<'_>) -> PyResult<Self> {
        let [import, again, import_module] = FUNCTIONS;
        Ok(Self([
            Function::find(py, import)?,
            Function::find(py, again)?,
            Function::find(py, import_module)?,
        ]))
    }

    fn empty(_: Python<'_>) -> Self::Share {}

    fn enter(&mut self, visit: &mut Visit<'_, '_>, (): &mut ()) -> PyResult<()> {
        for function in &mut self.0 {
            if function.is_same(visit.py) {
                continue;
            }
            let now = function.now(visit.py);
            if !matches!((&now, &function.base), (Some(now), Some(base)) if now.is(base)) {
                let before = std::mem::replace(&mut function.base, now.map(Bound::unbind));
                visit.replaced.extend(before);
            }
            function.same_at = contents::version(function.module.bind(visit.py));
        }
        Ok(())
    }

    fn leave(&mut self, visit: &mut Visit<'_, '_>, (): &mut ()) -> PyResult<()> {
        let py = visit.py;
        let mut outcome = Ok(());
        for function in self.0.iter().filter(|function| !function.is_same(py)) {
            let (now, Some(base)) = (function.now(py), &function.base) else { continue };
            if now.as_ref().is_some_and(|now| now.is(base)) {
                continue;
            }
            visit.replaced.extend(now.map(Bound::unbind));
            outcome = outcome.and(function.module.bind(py).set_item(&function.name, base));
            let (project, function) = (visit.state.project(), function.name.bind(py).to_string());
            tracing::warn!(project, function, "code has replaced a function that imports; it was put back");
        }
        outcome
    }

    fn keep_for_daemon(&mut self, visit: &mut Visit<'_, '_>, share: &mut ()) -> PyResult<()> {
        self.enter(visit, share)
    }
}
