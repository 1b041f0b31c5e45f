//! The handle of a host.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use pyo3::prelude::*;
use sgtk_config::{Configs, ProjectConfiguration, ProjectRef};

use super::gate::{GATE, Key};
use super::inner::Inner;
use super::lease::turn::Turn;
use super::lease::{Lease, forked};
use super::state::retire;
use super::upkeep::residents::Resident;
use crate::error::Result;
use crate::interpreter::Interpreter;

/// Serves many projects from one interpreter, each with its own Toolkit core.
///
/// A [`lease`](Self::lease) puts the project's modules, `sys.path` entries, finders, environment and loggers
/// in place; when the last lease ends they are parked, and the interpreter is the daemon's own again. The
/// first lease of a project imports its core, later ones take microseconds.
///
/// A host is cheap to clone and to share between threads. Several hosts of one process share the interpreter,
/// and so wait for each other's leases. When the last clone of a host is dropped, its parked cores are
/// dropped as well.
///
/// # Examples
/// ```no_run
/// use pyo3::prelude::*;
/// use sgtk_host::Host;
///
/// let host = Host::builder().configs("/mnt/sgtk/configs").build()?;
/// let version: String = host.with_sgtk("project_a", |sgtk| sgtk.getattr("__version__")?.extract())?;
/// # Ok::<(), sgtk_host::Error>(())
/// ```
#[derive(Clone)]
pub struct Host {
    pub(super) inner: Arc<Inner>,
}

impl Host {
    /// The interpreter that the host uses.
    #[must_use]
    pub fn interpreter(&self) -> Interpreter {
        self.inner.interpreter
    }

    /// Options for a pool of workers with the host's configurations, plugin folders and Python.
    #[cfg(unix)]
    pub fn worker_pool(&self) -> sgtk_pool::WorkerPoolBuilder {
        let pool = sgtk_pool::WorkerPool::builder().config_rules(self.inner.configs.clone());
        let pool = pool.code_cache(self.inner.code_cache.clone());
        let folders = &self.inner.settings.plugin_paths;
        let pool = folders.iter().fold(pool, |pool, folder| pool.plugin_path(folder));
        // A program that joined an interpreter without an executable leaves the choice to the pool.
        let executable = self.inner.interpreter.executable();
        if executable.is_file() { pool.python(executable) } else { pool }
    }

    /// The configurations that the host serves.
    pub fn configs(&self) -> &Configs {
        &self.inner.configs
    }

    /// Finds the configuration of a project by what an event says of it: its number ([`ProjectRef::id`], or
    /// the event's `project` as JSON), its tank name, or its folder. [`lease`](Self::lease) and the others
    /// take the same.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) where no configuration is the project's, where several are,
    /// and where the one that is cannot be read.
    ///
    /// # Examples
    /// ```
    /// use sgtk_host::{Host, ProjectRef};
    ///
    /// # let configs = sgtk_host_fixtures::bundled()?;
    /// # let folder = configs.base();
    /// let host = Host::builder().configs(folder).build()?;
    /// let event = serde_json::json!({
    ///     "project": {"type": "Project", "id": 69, "name": "Project A: The Return"}
    /// });
    /// let project = ProjectRef::try_from(&event["project"])?;
    /// assert_eq!(host.find(&project)?.folder(), "project_a");
    /// let version: String = host.with_sgtk(&project, |sgtk| sgtk.getattr("__version__")?.extract())?;
    /// # use pyo3::prelude::*;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn find(&self, project: impl Into<ProjectRef>) -> Result<ProjectConfiguration> {
        Ok(self.inner.configs.find(&project.into())?)
    }

    /// Puts the project's core in place until the lease is dropped, and gives its `sgtk`.
    ///
    /// The project is the name of its configuration's folder, its number, or any other [`ProjectRef`]. A
    /// folder's name is the quickest; for the others the configurations' own settings are looked at.
    ///
    /// The first time imports the core. Where another project is in place, this waits for its turn, detached
    /// from the interpreter, first come first served. A thread that holds a lease may lease the same project
    /// again.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) where the project has no core in memory and none is found,
    /// before anything waits; [`Error::CoreChanging`](crate::Error::CoreChanging) where it has none in memory
    /// and the one on disk is being replaced; [`Error::NestedLease`](crate::Error::NestedLease) where this
    /// thread holds another project; [`Error::LeaseTimeout`](crate::Error::LeaseTimeout) after
    /// [`HostBuilder::lease_timeout`](super::HostBuilder::lease_timeout);
    /// [`Error::HostShutDown`](crate::Error::HostShutDown) after [`Host::shutdown`];
    /// [`Error::Import`](crate::Error::Import) and [`Error::WrongCore`](crate::Error::WrongCore) from the
    /// first import, after which the interpreter is as it was before.
    pub fn lease<'py>(&self, py: Python<'py>, project: impl Into<ProjectRef>) -> Result<Lease<'py>> {
        Lease::new(py, self.inner.pin(py, &self.inner.folder(project.into())?)?)
    }

    /// Attaches, leases the project, runs `body` with its `sgtk`, and parks the project again.
    ///
    /// # Errors
    /// Those of [`Host::lease`], and [`Error::Python`](crate::Error::Python) where `body` returns a Python
    /// exception.
    pub fn with_sgtk<T>(
        &self,
        project: impl Into<ProjectRef>,
        body: impl FnOnce(&Bound<'_, PyModule>) -> PyResult<T>,
    ) -> Result<T> {
        Python::attach(|py| {
            let lease = self.lease(py, project)?;
            let span = tracing::info_span!("lease", project = lease.project());
            let outcome = span.in_scope(|| body(&lease));
            forked::end_where_it_came_back(py, Some(outcome.as_ref().err()));
            let value = outcome?;
            lease.finish()?;
            Ok(value)
        })
    }

    /// The projects whose cores are imported, the least recently used first.
    #[must_use]
    pub fn residents(&self) -> Vec<Resident> {
        Python::attach(|py| self.inner.residents.list(py))
    }

    /// How many threads of the process wait for their turn, here and at other hosts. Where it stays above
    /// zero, leases are too long.
    #[must_use]
    pub fn waiting(&self) -> usize {
        GATE.waiting()
    }

    /// Drops a project's parked core and gives its memory back; the next lease imports it anew. Waits for its
    /// leases to end. Returns whether there was one.
    ///
    /// # Errors
    /// [`Error::NestedLease`](crate::Error::NestedLease) where this thread holds a lease,
    /// [`Error::LeaseTimeout`](crate::Error::LeaseTimeout) after
    /// [`HostBuilder::lease_timeout`](super::HostBuilder::lease_timeout).
    pub fn evict(&self, py: Python<'_>, project: impl Into<ProjectRef>) -> Result<bool> {
        let project = self.inner.folder(project.into())?;
        let turn = Turn::take(py, &Key::unique(&project), self.inner.lease_timeout)?;
        let evicted = self.inner.evict(py, &project, "asked to");
        if evicted {
            retire::reclaim(py);
        }
        drop(turn);
        Ok(evicted)
    }

    /// # Errors
    /// [`Error::HostShutDown`](crate::Error::HostShutDown), naming what was asked for.
    pub(crate) fn refuse_if_closed(&self, target: &str) -> Result<()> {
        self.inner.refuse_if_closed(target)
    }

    /// Whether both are handles of one host.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base: &Path = self.inner.configs.base();
        f.debug_struct("Host").field("configs", &base).finish_non_exhaustive()
    }
}
