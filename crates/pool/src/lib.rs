//! A Python process for each ShotGrid (Flow Production Tracking) Toolkit project, called with JSON. Links no Python.
//!
//! A worker is a long-lived Python that enters its project once, by the rules of [`Configs`] or by
//! bootstrapping an engine, and then answers calls in order. What crashes, hangs or leaks in it costs its own calls an
//! error that says so; other projects notice nothing.
//!
//! # Values
//! Arguments go as JSON made by `serde_json`, results come as JSON made in Python:
//!
//! | value | rule |
//! | --- | --- |
//! | integers | of any size in a [`RawValue`](serde_json::value::RawValue); beyond 64 bits anything else is an error that names the place |
//! | floats | exact both ways; NaN and the infinities are an error that names the place |
//! | text | Unicode; lone surrogates in a result are an error that names the place |
//! | tuples, lists, sets, frozen sets | arrays |
//! | `datetime`, `date`, `time` | ISO 8601 text |
//! | `pathlib` paths | text |
//! | dictionaries | objects; keys that are numbers, booleans or None become text as in Python's `json` |
//! | bytes and other objects | an error that names the place, and what to do instead |
//! | nesting | up to 127 levels in a result, unless it is asked for as a `RawValue` |
//!
//! # Delivery
//! Each call ends once: with a result, or with an error whose [`delivery`](PoolError::delivery) says whether the function
//! never ran, ran, or may have run. Only calls that never ran are ever tried again, and only where
//! [`retry_never_ran`](WorkerPoolBuilder::retry_never_ran) says so; a call that finds its worker gone before anything was
//! sent simply gets the next one.
//!
//! # The process
//! The pool expects SIGPIPE to be ignored, as it is in Rust programs. It neither needs SIGCHLD nor minds who handles it.

#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![cfg(unix)]

mod agent;
mod attendant;
mod builder;
mod call;
mod capacity;
mod error;
mod finite;
mod handle;
mod inner;
mod link;
mod numbers;
mod output;
mod process;
mod request;
mod settling;
mod slot;
mod spawn;
mod start;
mod stats;
mod supervisor;
mod templates;
mod ticket;
mod turns;
mod wants;
mod watched;
mod wire;
mod worker;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

pub use builder::{WhenFull, WorkerPoolBuilder};
pub use call::Call;
pub use error::{Delivery, PoolError, StartError};
pub use handle::CallHandle;
pub use sgtk_config::{
    Bootstrap, BootstrapBuilder, CachingPolicy, ConfigError, Configs, Entity, Platform, ProjectRef,
    PythonError, SettingError, StudioFallback,
};
pub use stats::{PoolStats, ProjectStats, WorkerState};

use inner::Inner;

/// Worker processes, one for each project that is called.
///
/// Cheap to clone, to be used from any thread, inside or outside of an asynchronous runtime, attached to the interpreter or
/// not: it never needs the interpreter. Dropping the last clone [shuts it down](Self::shutdown) without grace.
///
/// # Examples
/// ```
/// use sgtk_pool::{Call, WorkerPool};
///
/// # let configs = sgtk_host_fixtures::bundled()?;
/// # let folder = configs.base();
/// let pool = WorkerPool::builder().configs(folder).build()?;
/// let major: u32 = pool.call("project_a", Call::new("operator:index").arg(7))?;
/// assert_eq!(major, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct WorkerPool {
    owner: Arc<Owner>,
}

/// Shuts the pool down when the last handle goes.
struct Owner {
    inner: Arc<Inner>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        let inner = Arc::clone(&self.inner);
        let end = move || {
            if let Err(error) = inner.shut_down(Duration::ZERO) {
                tracing::error!(%error, "a pool was dropped");
            }
        };
        // By a waker that the supervisor has called: it cannot wait for what it has to do itself.
        if self.inner.supervisor.is_this_thread() {
            let thread = std::thread::Builder::new().name("sgtk-pool-end".to_owned()).spawn(end);
            if let Err(error) = thread {
                tracing::error!(%error, "a dropped pool's workers stay until the process ends");
            }
        } else {
            end();
        }
    }
}

impl WorkerPool {
    /// Options for a pool. All have defaults.
    pub fn builder() -> WorkerPoolBuilder {
        WorkerPoolBuilder::default()
    }

    fn new(inner: Arc<Inner>) -> Self {
        Self { owner: Arc::new(Owner { inner }) }
    }

    /// Calls a function in the project's worker, which is started where there is none, and waits for its result.
    ///
    /// Calls of one project run in the order in which they were made, those of different projects in parallel. `T` is what
    /// the result is to be read as; `Box<RawValue>` is the JSON itself.
    ///
    /// # Errors
    /// [`PoolError::delivery`] says of each whether the function ran.
    pub fn call<T: DeserializeOwned + 'static>(&self, project: &str, call: Call) -> Result<T, PoolError> {
        let inner = &self.owner.inner;
        let slot = inner.slot(project)?;
        let request = self.request(call)?;
        let name = request.name.clone();
        inner.call(&slot, request)?.decode(project, &name)
    }

    /// As [`call`](Self::call), without waiting for the result.
    ///
    /// # Errors
    /// The call cannot be sent, or there is no room in the project's queue. What happens later is told by the handle.
    pub fn submit<T: DeserializeOwned + 'static>(
        &self,
        project: &str,
        call: Call,
    ) -> Result<CallHandle<T>, PoolError> {
        let inner = &self.owner.inner;
        let slot = inner.slot(project)?;
        let ticket = inner.submit(&slot, Some(self.request(call)?))?;
        Ok(CallHandle::new(slot, ticket))
    }

    /// Starts the workers of projects that have none, all at once, and waits until each is ready or has failed. What it
    /// gives is in the order of the projects.
    ///
    /// With more projects than `max_workers` the last ones take the place of the first.
    pub fn prewarm<P: AsRef<str>>(
        &self,
        projects: impl IntoIterator<Item = P>,
    ) -> Vec<(String, Result<(), PoolError>)> {
        let inner = &self.owner.inner;
        let begun: Vec<_> = projects
            .into_iter()
            .map(|project| {
                let project = project.as_ref();
                let ticket = inner.slot(project).and_then(|slot| inner.submit(&slot, None));
                (project.to_owned(), ticket)
            })
            .collect();
        let wait =
            |ticket: Arc<ticket::Ticket>| ticket.wait_done(None).map_or(Ok(()), |outcome| outcome.map(drop));
        begun.into_iter().map(|(project, ticket)| (project, ticket.and_then(wait))).collect()
    }

    /// What the pool has done, and what it is doing.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.owner.inner.stats()
    }

    /// Shuts the pool down: no call is accepted any more, those that wait fail, those that run have `grace` to end. Then
    /// workers are asked to end, get SIGTERM, and SIGKILL, each with its process group; what a plugin has started in a session
    /// of its own is out of reach. Returns when all processes and threads of the pool have ended;
    /// further calls of it return at once.
    ///
    /// # Errors
    /// [`PoolError::StillRunning`] where processes outlive SIGKILL, which only the system can be the reason for.
    pub fn shutdown(&self, grace: Duration) -> Result<(), PoolError> {
        self.owner.inner.shut_down(grace)
    }

    fn request(&self, call: Call) -> Result<request::Request, PoolError> {
        let inner = &self.owner.inner;
        call.into_request(inner.number(), inner.options.call_limit, inner.options.max_frame)
    }
}

impl fmt::Debug for WorkerPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerPool").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
