//! A bootstrap's turn at the folder of the site's cache that it rewrites, which other processes may be
//! bootstrapping too.

use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyCFunction;
use sgtk_config::Bootstrap;

use crate::error::{BootstrapFailure, BootstrapStep, Error, Result};
use crate::host::Host;
use crate::host::steps_in_python;
use crate::interpreter::{Interpreter, InterpreterError};

/// How often a lock that somebody else holds is tried again: the system has no wait with a limit for it.
const TRY_AGAIN: Duration = Duration::from_millis(50);

/// See the module's documentation: `FolderTurn` of `cache_lock.py`, which ends when this is dropped.
pub(super) struct FolderTurn<'py>(Bound<'py, PyAny>);

impl<'py> FolderTurn<'py> {
    /// A turn that begins when Toolkit knows the folder. `lock` is the one that was waited for; where another
    /// is needed and somebody else holds it, `busy` is called with its path, and has to raise.
    pub(super) fn new(
        py: Python<'py>,
        lock: Option<Bound<'py, PyAny>>,
        busy: Bound<'py, PyCFunction>,
    ) -> PyResult<Self> {
        steps_in_python::call(py, "FolderTurn", (lock, busy)).map(Self)
    }

    pub(super) fn object(&self) -> &Bound<'py, PyAny> {
        &self.0
    }
}

impl Drop for FolderTurn<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.call_method0("end").map_err(Error::from) {
            tracing::warn!(%error, "failed to let go of the lock of a configuration's folder");
        }
    }
}

/// Takes the lock at `path` after whoever holds it: other bootstraps of the same folder, in whichever
/// process. In no turn of the gate's, so that other projects go on meanwhile.
///
/// # Errors
/// [`Error::Bootstrap`] of the kind timeout once the bootstrap's own limit is over, [`Error::HostShutDown`],
/// [`Error::Interpreter`].
pub(super) fn wait<'py>(
    py: Python<'py>,
    host: &Host,
    bootstrap: &Bootstrap,
    path: &str,
) -> Result<Bound<'py, PyAny>> {
    let lock = steps_in_python::call(py, "CacheLock", (path,))?;
    let start = Instant::now();
    let mut told = false;
    loop {
        host.refuse_if_closed(&bootstrap.to_string())?;
        if Interpreter::current().is_none() {
            return Err(InterpreterError::ShutDown.into());
        }
        if lock.call_method0("take")?.is_truthy()? {
            return Ok(lock);
        }
        let holder: String = lock.call_method0("holder")?.extract()?;
        let waited = start.elapsed();
        if bootstrap.timeout().is_some_and(|limit| waited >= limit) {
            return Err(Error::Bootstrap {
                target: bootstrap.to_string(),
                step: BootstrapStep::ResolveConfiguration,
                kind: BootstrapFailure::TimedOut,
                cause: Box::new(Error::FolderLocked { path: path.into(), holder, waited }),
            });
        }
        if !told {
            told = true;
            tracing::warn!(
                target = %bootstrap, holder, lock = path, "waiting for another bootstrap of the same folder"
            );
        }
        py.detach(|| std::thread::sleep(TRY_AGAIN));
    }
}
