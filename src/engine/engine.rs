//! An engine's handle, and the host's view of its engines.

use std::fmt;
use std::sync::Arc;

use pyo3::prelude::*;

use super::info::EngineInfo;
use super::lease::EngineLease;
use super::live::{self, LiveEngine};
use crate::error::{Error, Result};
use crate::host::{Dependent, Host, end_where_it_came_back};

/// A bootstrapped engine, in an import state of its own: alive beside the engines and cores of other
/// projects.
///
/// [`lease`](Self::lease) and [`with`](Self::with) put it in place. [`destroy`](Self::destroy) ends it and
/// returns what went wrong; dropping the handle does the same and reports that to `tracing`. Where the thread
/// that drops it holds another project, it is destroyed on a thread of its own as soon as its turn comes.
///
/// # Examples
/// ```no_run
/// use pyo3::prelude::*;
/// use sgtk_host::{Bootstrap, Host};
///
/// let host = Host::builder().build()?;
/// let engine = host.bootstrap(
///     &Bootstrap::project(176)
///         .core("/studio/tk-core/python")
///         .site("https://studio.example")
///         .script_user("daemon", std::fs::read_to_string("/etc/daemon.key")?.trim_end())
///         .build()?,
/// )?;
/// let context: String = engine.with(|engine| engine.getattr("context")?.str()?.extract())?;
/// engine.destroy()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "the engine is destroyed when its handle is dropped"]
pub struct Engine {
    live: Arc<LiveEngine>,
    /// Whether dropping the handle is to destroy the engine.
    owns: bool,
}

impl Engine {
    pub(super) fn new(live: Arc<LiveEngine>) -> Self {
        Self { live, owns: true }
    }

    /// What there is to tell of it.
    #[must_use]
    pub fn info(&self) -> &EngineInfo {
        &self.live.info
    }

    /// Puts the engine in place until the lease is dropped. Waits for its turn as [`Host::lease`] does.
    ///
    /// # Errors
    /// [`Error::NestedLease`] where this thread holds another project, [`Error::LeaseTimeout`] after the
    /// host's limit, [`Error::Dropped`] where [`Host::shutdown`] has destroyed the engine, and
    /// [`Error::WrongCore`] where code has damaged its modules.
    pub fn lease<'a>(&'a self, py: Python<'a>) -> Result<EngineLease<'a>> {
        let pin = self.live.state.pin(py)?;
        let sgtk = self.live.state.sgtk(py)?;
        let engine = self.live.current(&sgtk)?;
        Ok(EngineLease { engine, sgtk, info: &self.live.info, pin })
    }

    /// Attaches, leases the engine, runs `body` with it, and parks it again.
    ///
    /// # Errors
    /// Those of [`Engine::lease`], and [`Error::Python`] where `body` returns a Python exception.
    pub fn with<T>(&self, body: impl FnOnce(&EngineLease<'_>) -> PyResult<T>) -> Result<T> {
        Python::attach(|py| {
            let lease = self.lease(py)?;
            let span = tracing::info_span!("engine", target = self.live.info.target);
            let outcome = span.in_scope(|| body(&lease));
            end_where_it_came_back(py, Some(outcome.as_ref().err()));
            let value = outcome?;
            lease.finish()?;
            Ok(value)
        })
    }

    /// Destroys the engine: runs Toolkit's own `destroy` in its own state, ends its threads, closes its log
    /// file and connections, and frees its modules. Waits for its turn as a lease does.
    ///
    /// # Errors
    /// [`Error::Destroy`] where its code raised, [`Error::ThreadsLeft`] where threads of it go on: it is gone
    /// all the same. [`Error::NestedLease`] where this thread holds a project: it is destroyed on a thread of
    /// its own then, as soon as its turn comes. [`Error::LeaseTimeout`] where its turn did not come: it lives
    /// on, without a handle, until [`Host::shutdown`].
    pub fn destroy(mut self) -> Result<()> {
        self.owns = false;
        self.end()
    }

    /// Destroys the engine here, or on a thread of its own where this one would wait for itself.
    fn end(&self) -> Result<()> {
        let ended = Python::attach(|py| self.live.destroy(py));
        if matches!(ended, Err(Error::NestedLease { .. })) {
            let live = Arc::clone(&self.live);
            let later = move || live.report(Python::attach(|py| live.destroy(py)));
            let spawned = std::thread::Builder::new().name("sgtk-host destroy".to_owned()).spawn(later);
            if let Err(error) = spawned {
                let target = &self.live.info.target;
                tracing::error!(target, %error, "failed to start a thread to destroy an engine on");
            }
        }
        ended
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if !self.owns {
            return;
        }
        match self.end() {
            Err(Error::NestedLease { .. }) => {}
            ended => self.live.report(ended),
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("info", &self.live.info).finish_non_exhaustive()
    }
}

// A handle for any thread.
const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<Engine>();
};

impl Host {
    /// The host's engines that are alive, in the order in which they were bootstrapped.
    #[must_use]
    pub fn engines(&self) -> Vec<EngineInfo> {
        live::of_host(self).iter().map(|engine| engine.info.clone()).collect()
    }
}
