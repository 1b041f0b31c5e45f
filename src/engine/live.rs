//! The engines of the process that are alive, whoever has their handles.

use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use pyo3::intern;
use pyo3::prelude::*;

use super::file_watch::FileWatch;
use super::info::EngineInfo;
use super::root_handlers;
use crate::error::{Error, Result};
use crate::host::steps_in_python;
use crate::host::{Dependent, Host, PrivateState, wait_for_all};
use crate::python_error::python_error;
use sgtk_config::keys::Secrets;

/// How long the threads of an engine may take to end once it is destroyed, or its bootstrap has failed.
/// Toolkit's own thread for metrics looks up every few seconds.
pub(super) const THREADS_GRACE: Duration = Duration::from_secs(8);

static ALIVE: Mutex<Vec<Arc<LiveEngine>>> = Mutex::new(Vec::new());

fn alive() -> MutexGuard<'static, Vec<Arc<LiveEngine>>> {
    // Held for moments only, and never while Python code runs.
    ALIVE.lock()
}

/// An engine and the import state that it lives in.
pub(super) struct LiveEngine {
    pub(super) info: EngineInfo,
    pub(super) state: Arc<PrivateState>,
    /// `None` once it was destroyed.
    engine: Mutex<Option<Py<PyAny>>>,
    /// What it has added to the root logger.
    root_handlers: Mutex<Vec<Py<PyAny>>>,
    /// Until it was destroyed.
    files: Mutex<Option<FileWatch>>,
    /// Kept out of errors and logs as long as the engine can show them.
    _secrets: Secrets,
}

impl LiveEngine {
    /// Adds an engine to those that are alive.
    pub(super) fn register(
        info: EngineInfo,
        state: Arc<PrivateState>,
        engine: Py<PyAny>,
        root_handlers: Vec<Py<PyAny>>,
        files: FileWatch,
        secrets: Secrets,
    ) -> Arc<Self> {
        let engine = Arc::new(Self {
            info,
            state,
            engine: Mutex::new(Some(engine)),
            root_handlers: Mutex::new(root_handlers),
            files: Mutex::new(Some(files)),
            _secrets: secrets,
        });
        alive().push(Arc::clone(&engine));
        let as_dependent = Arc::clone(&engine) as Arc<dyn Dependent>;
        engine.state.host().add_dependent(Arc::downgrade(&as_dependent));
        engine
    }

    fn handle(&self) -> MutexGuard<'_, Option<Py<PyAny>>> {
        self.engine.lock()
    }

    /// The engine's object. Only while it is in place.
    ///
    /// # Errors
    /// [`Error::Dropped`] where it was destroyed.
    pub(super) fn object<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>> {
        let engine = self.handle().as_ref().map(|engine| engine.clone_ref(py));
        let engine = engine.ok_or_else(|| Error::Dropped { project: self.info.target.clone() })?;
        Ok(engine.into_bound(py))
    }

    /// As [`object`](Self::object), for `sgtk`, the core that is in place: where the engine's own code has
    /// put another in its place, by `sgtk.platform.restart` or a change of context, that one, from now on.
    pub(super) fn current<'py>(&self, sgtk: &Bound<'py, PyModule>) -> Result<Bound<'py, PyAny>> {
        let py = sgtk.py();
        let engine = self.object(py)?;
        let current = sgtk
            .getattr(intern!(py, "platform"))
            .and_then(|platform| platform.call_method0(intern!(py, "current_engine")));
        match current {
            Ok(current) if !current.is_none() && !current.is(&engine) => {
                if let Some(engine) = &mut *self.handle() {
                    *engine = current.clone().unbind();
                }
                Ok(current)
            }
            // Destroyed by its own code, perhaps, which the caller sees from the object.
            _ => Ok(engine),
        }
    }

    /// Destroys the engine in its own state, after all who lease it have let go of it, and gives its memory
    /// back. Once; later calls do nothing.
    ///
    /// # Errors
    /// [`Error::NestedLease`] and [`Error::LeaseTimeout`], after which the engine is as it was;
    /// [`Error::Destroy`] and [`Error::ThreadsLeft`], after which it is gone all the same.
    pub(super) fn destroy(&self, py: Python<'_>) -> Result<()> {
        let start = Instant::now();
        if self.state.is_retired() {
            return Ok(());
        }
        let in_place = match self.state.pin_alone(py) {
            // Another thread was faster while this one waited.
            Err(Error::Dropped { .. }) => return Ok(()),
            Err(error @ (Error::NestedLease { .. } | Error::LeaseTimeout { .. })) => return Err(error),
            // Its modules are not what they were. There is nothing to destroy it with, and nothing to keep.
            other => other,
        };
        // Still attached since its turn came: who shares it from now on finds no engine.
        self.state.end();
        let Some(engine) = self.handle().take() else { return Ok(()) };
        let failed = |error: PyErr| Error::Destroy {
            target: self.info.target.clone(),
            cause: Box::new(python_error(&error)),
        };
        let destroyed = in_place.and_then(|pin| {
            let destroyed = steps_in_python::call(py, "destroy", ()).map(drop).map_err(failed);
            let destroyed = destroyed.and(self.remove_root_handlers(py).map_err(failed));
            let threads = self.state.end_threads(py, THREADS_GRACE);
            let ended = if threads.is_empty() {
                Ok(())
            } else {
                Err(Error::ThreadsLeft { target: self.info.target.clone(), threads })
            };
            // Before others have their turn and see that it is gone.
            self.unregister();
            let parked = pin.release();
            destroyed.and(ended).and(parked)
        });
        // Where nothing could be put in place, they are there yet.
        let destroyed = destroyed.and(self.remove_root_handlers(py).map_err(failed));
        drop(engine);
        self.unregister();
        let files = self.files.lock().take();
        drop(files);
        let modules = self.state.modules(py);
        self.state.retire(py);
        tracing::info!(
            target = self.info.target,
            modules,
            micros = start.elapsed().as_micros() as u64,
            "engine destroyed"
        );
        destroyed
    }

    /// Removes it from those that are alive.
    fn unregister(&self) {
        alive().retain(|other| !std::ptr::eq(Arc::as_ptr(other), self));
    }

    fn remove_root_handlers(&self, py: Python<'_>) -> PyResult<()> {
        let handlers = std::mem::take(&mut *self.root_handlers.lock());
        root_handlers::remove(py, handlers)
    }
}

impl Dependent for LiveEngine {
    fn end(&self, py: Python<'_>) -> Result<()> {
        self.destroy(py)
    }

    fn report(&self, ended: Result<()>) {
        if let Err(error) = ended {
            tracing::error!(target = self.info.target, %error, "failed to destroy an engine cleanly");
        }
    }
}

/// The engines of a host, in the order in which they were bootstrapped.
pub(super) fn of_host(host: &Host) -> Vec<Arc<LiveEngine>> {
    alive().iter().filter(|engine| engine.state.host().is_same(host)).cloned().collect()
}

/// Has all engines of the process destroyed when the interpreter is shut down.
pub(super) fn end_with_the_interpreter(host: &Host) {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        let registered = host.interpreter().on_shutdown(|py| {
            // A bootstrap on its way sees that the interpreter ends, or its engine is registered from then
            // on.
            if let Err(error) = wait_for_all(py, None) {
                tracing::warn!(%error, "failed to wait for bootstraps at the end of the interpreter");
            }
            let engines = alive().clone();
            for engine in engines.iter().rev() {
                engine.report(engine.destroy(py));
            }
        });
        if let Err(error) = registered {
            tracing::warn!(%error, "engines will not be destroyed at the end of the interpreter");
        }
    });
}
