//! Log handlers that a bootstrap adds to the root logger, which is everybody's.

use pyo3::prelude::*;

/// The handlers of the root logger at one moment.
pub(super) struct RootHandlers<'py> {
    root: Bound<'py, PyAny>,
    before: Vec<Bound<'py, PyAny>>,
}

impl<'py> RootHandlers<'py> {
    pub(super) fn now(py: Python<'py>) -> PyResult<Self> {
        let root = py.import("logging")?.call_method0("getLogger")?;
        let before = handlers(&root)?;
        Ok(Self { root, before })
    }

    /// Those that are there now and were not then.
    pub(super) fn appeared(&self) -> PyResult<Vec<Py<PyAny>>> {
        let known = |handler: &Bound<'py, PyAny>| self.before.iter().any(|before| before.is(handler));
        let now = handlers(&self.root)?.into_iter();
        Ok(now.filter(|handler| !known(handler)).map(Bound::unbind).collect())
    }
}

fn handlers<'py>(root: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    root.getattr("handlers")?.try_iter()?.collect()
}

/// Takes handlers from the root logger, and closes them: all of them, before the first error is told.
pub(super) fn remove(py: Python<'_>, handlers: Vec<Py<PyAny>>) -> PyResult<()> {
    let root = py.import("logging")?.call_method0("getLogger")?;
    let removed = handlers.into_iter().map(|handler| {
        root.call_method1("removeHandler", (&handler,))?;
        handler.call_method0(py, "close").map(drop)
    });
    removed.collect::<Vec<_>>().into_iter().collect()
}
