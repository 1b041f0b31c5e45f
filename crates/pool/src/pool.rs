//! The pool's public handle.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use sgtk_config::Bootstrap;

use crate::call::Call;
use crate::dispatch::{Dispatcher, PendingCall};
use crate::error::PoolError;
use crate::handle::CallHandle;
use crate::lane::Lane;
use crate::stats::PoolStats;

/// Worker processes, one for each project that is called.
///
/// Cheap to clone and usable from any thread, inside and outside of an asynchronous runtime. It never needs
/// an embedded interpreter. Dropping the last clone [shuts it down](Self::shutdown) without grace.
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

/// Shuts the pool down when the last handle is dropped.
struct Owner {
    dispatcher: Arc<Dispatcher>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        let dispatcher = Arc::clone(&self.dispatcher);
        let end = move || {
            if let Err(error) = dispatcher.shut_down(Some(Duration::ZERO)) {
                tracing::error!(%error, "a pool was dropped");
            }
        };
        // A waker that the supervisor calls may drop it there. The supervisor cannot wait for itself.
        if self.dispatcher.is_supervisor() {
            let thread = std::thread::Builder::new().name("sgtk-pool-end".to_owned()).spawn(end);
            if let Err(error) = thread {
                tracing::error!(%error, "the workers of a dropped pool stay until the process ends");
            }
        } else {
            end();
        }
    }
}

impl WorkerPool {
    pub(crate) fn new(dispatcher: Arc<Dispatcher>) -> Self {
        Self { owner: Arc::new(Owner { dispatcher }) }
    }

    /// Calls a function in the worker of a project, or of a [`Lane`], which is started if there is none, and
    /// waits for its result.
    ///
    /// Calls in one lane run in the order in which they were made, calls in different lanes in parallel. The
    /// result is decoded as a `T`; `Box<RawValue>` is the JSON itself.
    ///
    /// # Errors
    /// [`PoolError::delivery`] says for each error whether the function ran.
    pub fn call<'a, T: DeserializeOwned + 'static>(
        &self,
        lane: impl Into<Lane<'a>>,
        call: Call,
    ) -> Result<T, PoolError> {
        let dispatcher = &self.owner.dispatcher;
        let lane = lane.into();
        let slot = dispatcher.slot(lane)?;
        let name = call.function().to_owned();
        dispatcher.call(&slot, self.pending(call)?)?.decode(lane.project(), &name)
    }

    /// Has workers of this name bootstrap an engine, as [`bootstrap`](crate::WorkerPoolBuilder::bootstrap)
    /// does for names that are known from the start. A worker of that name that is there already goes on.
    pub fn set_bootstrap(&self, project: impl Into<String>, bootstrap: Bootstrap) {
        self.owner.dispatcher.launcher.set_bootstrap(project.into(), bootstrap);
    }

    /// As [`call`](Self::call), without waiting for the result.
    ///
    /// # Errors
    /// The call is invalid, or the project's queue is full. Later errors come from the handle.
    pub fn submit<'a, T: DeserializeOwned + 'static>(
        &self,
        lane: impl Into<Lane<'a>>,
        call: Call,
    ) -> Result<CallHandle<T>, PoolError> {
        let dispatcher = &self.owner.dispatcher;
        let slot = dispatcher.slot(lane.into())?;
        let submitted = dispatcher.submit(&slot, self.pending(call)?)?;
        Ok(CallHandle::new(dispatcher, slot, submitted))
    }

    /// Starts the workers of projects that have none, in parallel, and waits until each is ready or has
    /// failed. Returns the outcomes in the order of the projects.
    ///
    /// With more projects than `max_workers` the last ones evict the first.
    pub fn prewarm<P: AsRef<str>>(
        &self,
        projects: impl IntoIterator<Item = P>,
    ) -> Vec<(String, Result<(), PoolError>)> {
        let dispatcher = &self.owner.dispatcher;
        let started: Vec<_> = projects
            .into_iter()
            .map(|project| {
                let project = project.as_ref().to_owned();
                let prewarm = dispatcher.slot(Lane::from(&project)).map(|slot| dispatcher.prewarm(&slot));
                (project, prewarm)
            })
            .collect();
        started
            .into_iter()
            .map(|(project, prewarm)| (project, prewarm.and_then(|prewarm| prewarm.take())))
            .collect()
    }

    /// Ends the worker of a project, or of a [`Lane`]: now if it is idle, else after its call. The next call
    /// starts another. Earlier failures are forgotten, which closes an open circuit.
    pub fn evict<'a>(&self, lane: impl Into<Lane<'a>>) {
        self.owner.dispatcher.evict(lane.into());
    }

    /// As [`evict`](Self::evict), then starts another worker and waits until that is ready, or has failed.
    /// Calls that wait in its queue run before.
    ///
    /// # Errors
    /// As [`prewarm`](Self::prewarm).
    pub fn restart<'a>(&self, lane: impl Into<Lane<'a>>) -> Result<(), PoolError> {
        let (dispatcher, lane) = (&self.owner.dispatcher, lane.into());
        let slot = dispatcher.slot(lane)?;
        dispatcher.evict(lane);
        dispatcher.prewarm(&slot).take()
    }

    /// What the pool has done, and what it is doing.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.owner.dispatcher.stats()
    }

    /// Shuts the pool down: it accepts no more calls, waiting calls fail, running calls have `grace` to
    /// finish (`None`: no limit). Idle workers are asked to end, busy ones get SIGTERM after `grace`, and all
    /// of them SIGKILL if they outlive the pool's [`grace`](crate::WorkerPoolBuilder::grace), each with its
    /// process group. Processes that a plugin has started in a session of their own are not reached. Returns
    /// when all processes and threads of the pool have ended; only the first call waits for that.
    ///
    /// # Errors
    /// [`PoolError::StillRunning`] if processes outlive SIGKILL, which only the system can cause.
    pub fn shutdown(&self, grace: impl Into<Option<Duration>>) -> Result<(), PoolError> {
        self.owner.dispatcher.shut_down(grace.into())
    }

    fn pending(&self, call: Call) -> Result<PendingCall, PoolError> {
        let dispatcher = &self.owner.dispatcher;
        let options = &dispatcher.options;
        let (timeout, run_timeout) = call.timeouts(options.timeout, options.run_timeout);
        let request = call.into_request(dispatcher.next_call(), options.max_frame)?;
        Ok(PendingCall::new(request, timeout, run_timeout))
    }
}

impl fmt::Debug for WorkerPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerPool").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
