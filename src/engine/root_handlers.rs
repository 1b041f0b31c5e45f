//! Log handlers that a bootstrap adds to the root logger, which is everybody's.

use parking_lot::Mutex;
use pyo3::prelude::*;

/// What a bootstrap has added to the handlers of the root logger, in its turns.
pub(super) struct RootHandlers {
    root: Py<PyAny>,
    seen: Mutex<Seen>,
}

struct Seen {
    /// Those that were there when the turn began, or began anew.
    before: Vec<Py<PyAny>>,
    /// Those that appeared in earlier parts of the turn.
    own: Vec<Py<PyAny>>,
}

impl RootHandlers {
    pub(super) fn now(py: Python<'_>) -> PyResult<Self> {
        let root = py.import("logging")?.call_method0("getLogger")?;
        let seen = Seen { before: handlers(&root)?, own: Vec::new() };
        Ok(Self { root: root.unbind(), seen: Mutex::new(seen) })
    }

    /// Takes note of what appeared, before others have their turns.
    pub(super) fn pause(&self, py: Python<'_>) -> PyResult<()> {
        let now = handlers(self.root.bind(py))?;
        let mut seen = self.seen.lock();
        let appeared: Vec<_> = now.into_iter().filter(|handler| !seen.knows(handler)).collect();
        seen.own.extend(appeared);
        Ok(())
    }

    /// What others have added meanwhile is theirs.
    pub(super) fn resume(&self, py: Python<'_>) -> PyResult<()> {
        let now = handlers(self.root.bind(py))?;
        let before = std::mem::replace(&mut self.seen.lock().before, now);
        drop(before);
        Ok(())
    }

    /// Those that are there now and that the bootstrap has added.
    pub(super) fn appeared(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        let now = handlers(self.root.bind(py))?;
        let seen = self.seen.lock();
        Ok(now.into_iter().filter(|handler| seen.is_own(handler) || !seen.knows(handler)).collect())
    }
}

impl Seen {
    fn is_own(&self, handler: &Py<PyAny>) -> bool {
        self.own.iter().any(|own| own.is(handler))
    }

    fn knows(&self, handler: &Py<PyAny>) -> bool {
        self.is_own(handler) || self.before.iter().any(|before| before.is(handler))
    }
}

/// Runs no Python code, in which a time limit could strike.
fn handlers(root: &Bound<'_, PyAny>) -> PyResult<Vec<Py<PyAny>>> {
    root.getattr("handlers")?.try_iter()?.map(|handler| handler.map(Bound::unbind)).collect()
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
