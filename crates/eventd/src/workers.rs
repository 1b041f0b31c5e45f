//! The worker pool, as this daemon uses it. Nothing else here knows of it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use sgtk_pool::{Call, Configs, Delivery, Lane, PoolError, WorkerPool, WorkerPoolBuilder};
use tracing::level_filters::LevelFilter;

use crate::projects::Projects;

/// The Python files of the workers.
const AGENTS: [(&str, &str); 9] = [
    ("__init__.py", include_str!("python/sgtk_eventd/__init__.py")),
    ("configuration.py", include_str!("python/sgtk_eventd/configuration.py")),
    ("mail.py", include_str!("python/sgtk_eventd/mail.py")),
    ("plugins.py", include_str!("python/sgtk_eventd/plugins.py")),
    ("records.py", include_str!("python/sgtk_eventd/records.py")),
    ("site.py", include_str!("python/sgtk_eventd/site.py")),
    ("state.py", include_str!("python/sgtk_eventd/state.py")),
    ("worker.py", include_str!("python/sgtk_eventd/worker.py")),
    ("values.py", include_str!("python/sgtk_eventd/values.py")),
];

/// The name in the pool under which workers enter no core; each of them is a lane of its own there.
const PLAIN: &str = "sgtk-eventd";

/// How long a project with much to do keeps its worker while others wait for one: several times what it takes
/// to start one with its plugins.
const SLICE: Duration = Duration::from_secs(2);

/// How long what was run may take to be written down, until the next of the same project is asked for.
const LINGER: Duration = Duration::from_millis(100);

/// A worker.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Worker {
    /// One without Toolkit, by a name of the daemon's own.
    Plain(String),
    /// One that has entered a project's core.
    Project {
        /// The site.
        site: Arc<str>,
        /// The project's id there.
        id: i64,
        /// One of several for the project.
        lane: Option<String>,
    },
}

impl Worker {
    /// The worker's name.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Worker::Plain(name) => name.clone(),
            Worker::Project { site, id, lane: None } => format!("{site} project {id}"),
            Worker::Project { site, id, lane: Some(lane) } => format!("{site} project {id} {lane}"),
        }
    }

    /// The one beside it, that takes over from it where all is loaded anew; and the other way round.
    #[must_use]
    pub fn successor(&self) -> Worker {
        let other = |name: &str| name.strip_suffix('+').map_or_else(|| format!("{name}+"), str::to_owned);
        match self {
            Worker::Plain(name) => Worker::Plain(other(name)),
            Worker::Project { site, id, lane } => {
                let lane = Some(other(lane.as_deref().unwrap_or_default())).filter(|lane| !lane.is_empty());
                Worker::Project { site: Arc::clone(site), id: *id, lane }
            }
        }
    }
}

/// Options of the pools.
#[derive(Debug, Default)]
pub struct WorkerOptions {
    /// The Python of workers without Toolkit, and of projects that name none.
    pub python: Option<PathBuf>,
    /// The pipeline configurations, where projects have workers.
    pub projects: Option<Projects>,
    /// How many project workers there are at a time.
    pub max_workers: Option<usize>,
    /// Above how much resident memory a worker is replaced, in bytes.
    pub memory: Option<u64>,
    /// After how long without work a project's worker is ended.
    pub idle: Option<Duration>,
}

/// Why a call has no result.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    /// Whether the function ran.
    pub delivery: Delivery,
    /// What was raised and its base classes, by name; empty where it was no exception.
    pub classes: Vec<String>,
    /// One line for a person.
    pub message: String,
    /// The traceback, or the worker's last output.
    pub traceback: Option<String>,
    /// Whether the worker was lost or had to be ended: what it had loaded is gone.
    pub lost: bool,
    /// When the pool lets a worker be started again.
    pub next_try: Option<Duration>,
}

impl CallError {
    /// A call that was not made.
    #[must_use]
    pub fn never(message: String) -> CallError {
        CallError {
            delivery: Delivery::NeverRan,
            classes: Vec::new(),
            message,
            traceback: None,
            lost: false,
            next_try: None,
        }
    }

    /// Whether a Python exception of this class was raised.
    #[must_use]
    pub fn is_a(&self, class: &str) -> bool {
        self.classes.iter().any(|name| name == class)
    }
}

impl From<PoolError> for CallError {
    fn from(error: PoolError) -> CallError {
        let python = error.python();
        let classes = python.map(|error| error.mro.clone()).unwrap_or_default();
        let traceback = match &error {
            PoolError::WorkerLost { output, .. } if !output.is_empty() => Some(output.clone()),
            _ => python.and_then(|error| error.traceback.clone()),
        };
        let message = match (&error, python) {
            (PoolError::Python { .. }, Some(python)) => format!("{}: {}", python.type_name, python.message),
            _ => error.to_string(),
        };
        let next_try = match &error {
            PoolError::CircuitOpen { next_try, .. } => Some(*next_try),
            _ => None,
        };
        let lost = matches!(
            error,
            PoolError::WorkerLost { .. } | PoolError::TimedOut { .. } | PoolError::Aborted { sent: true, .. }
        );
        CallError { delivery: error.delivery(), classes, message, traceback, lost, next_try }
    }
}

/// The workers.
#[derive(Debug)]
pub struct Workers {
    plain: WorkerPool,
    projects: Option<(Projects, WorkerPool)>,
    home: Home,
}

impl Workers {
    /// Makes the pools. No worker is started yet.
    ///
    /// # Errors
    /// The workers' files cannot be written, or an option cannot work.
    pub fn new(options: WorkerOptions) -> Result<Workers, WorkersError> {
        let home = Home::make().map_err(|error| WorkersError::Home { cause: error })?;
        let plain = builder(&home, &options, Configs::new(&home.folder)).plain(PLAIN).build()?;
        Workers { plain, projects: None, home }.serving(options)
    }

    /// The same workers without Toolkit, and those of projects that options ask for.
    ///
    /// # Errors
    /// An option cannot work.
    pub fn serving(self, options: WorkerOptions) -> Result<Workers, WorkersError> {
        let Workers { plain, home, .. } = self;
        let pool = |projects: &Projects| {
            let builder = builder(&home, &options, projects.configs().clone());
            let builder = builder.max_workers(options.max_workers).idle_timeout(options.idle);
            builder.slice(SLICE).linger(LINGER).build()
        };
        let pool = options.projects.as_ref().map(pool).transpose()?;
        let projects = options.projects.zip(pool);
        Ok(Workers { plain, projects, home })
    }

    /// Calls a function of the workers' files, `plugins:run`.
    ///
    /// # Errors
    /// As the pool's; [`CallError::delivery`] says whether it ran.
    pub async fn call<T: DeserializeOwned + Send + 'static>(
        &self,
        worker: &Worker,
        function: &str,
        arguments: impl FnOnce(Call) -> Call,
        limit: Option<Duration>,
    ) -> Result<T, CallError> {
        self.call_unless(worker, function, arguments, limit, std::future::pending()).await
    }

    /// As [`call`](Self::call), and ends the call, with its worker, once `ended` is ready.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn call_unless<T: DeserializeOwned + Send + 'static>(
        &self,
        worker: &Worker,
        function: &str,
        arguments: impl FnOnce(Call) -> Call,
        limit: Option<Duration>,
        ended: impl Future<Output = ()>,
    ) -> Result<T, CallError> {
        // What is waited for before it is sent is the pool's affair: it has limits of its own for that.
        let call = arguments(Call::new(format!("sgtk_eventd.{function}"))).run_timeout(limit);
        let (pool, project, lane) = self.place(worker).map_err(CallError::never)?;
        let lane = lane.map_or_else(|| Lane::from(&project), |lane| Lane::new(&project, lane));
        let mut handle = pool.submit::<T>(lane, call)?;
        tokio::select! {
            result = &mut handle => return Ok(result?),
            () = ended => handle.abort(),
        }
        Ok(handle.await?)
    }

    /// The pool of a worker, and its project and lane there.
    fn place<'a>(&'a self, worker: &'a Worker) -> Result<(&'a WorkerPool, String, Option<&'a str>), String> {
        match worker {
            Worker::Plain(name) => Ok((&self.plain, PLAIN.to_owned(), Some(name))),
            Worker::Project { site, id, lane } => {
                let (projects, pool) =
                    self.projects.as_ref().ok_or("there is no folder of pipeline configurations")?;
                let found = projects.find(site, *id).map_err(|error| error.to_string())?;
                Ok((pool, projects.enter(pool, found), lane.as_deref()))
            }
        }
    }

    /// Whose configuration is where; none where there are no plugins for projects.
    #[must_use]
    pub fn projects(&self) -> Option<&Projects> {
        self.projects.as_ref().map(|(projects, _)| projects)
    }

    /// Has a worker's process be started, ahead of its first call.
    pub async fn warm(&self, worker: &Worker) {
        // Where it cannot be, the first call says why.
        let _ = self.call::<()>(worker, "worker:ready", |call| call, None).await;
    }

    /// Has the next call find a new process, with nothing loaded.
    pub fn replace(&self, worker: &Worker) {
        // One that cannot be found has nothing loaded.
        if let Ok((pool, project, lane)) = self.place(worker) {
            pool.evict(lane.map_or_else(|| Lane::from(&project), |lane| Lane::new(&project, lane)));
        }
    }

    /// The process ids of the workers that live, by name.
    #[must_use]
    pub fn processes(&self) -> BTreeMap<String, u32> {
        let mut found = BTreeMap::new();
        for stats in self.plain.stats().projects {
            let name = stats.lane.unwrap_or_default();
            found.extend(stats.pid.map(|pid| (name, pid)));
        }
        for stats in self.projects.iter().flat_map(|(_, pool)| pool.stats().projects) {
            let name = match stats.lane {
                Some(lane) => format!("{} ({lane})", stats.project),
                None => stats.project,
            };
            found.extend(stats.pid.map(|pid| (name, pid)));
        }
        found
    }

    /// Writes the workers' files again where something has cleaned up the temporary folder.
    pub fn refresh(&self) {
        if let Err(error) = self.home.write() {
            tracing::warn!(folder = %self.home.folder.display(), %error, "the workers' files cannot be kept");
        }
    }

    /// Ends all workers. Blocks.
    pub fn shut_down(&self, grace: Duration) {
        for pool in std::iter::once(&self.plain).chain(self.projects.iter().map(|(_, pool)| pool)) {
            if let Err(error) = pool.shutdown(grace) {
                tracing::error!(%error, "workers are left behind");
            }
        }
    }
}

/// What both pools have in common.
fn builder(home: &Home, options: &WorkerOptions, configs: Configs) -> WorkerPoolBuilder {
    let builder = WorkerPool::builder()
        .config_rules(configs)
        .plugin_path(home.folder.clone())
        .log_level(LevelFilter::TRACE)
        .circuit_after(3)
        .back_off(Duration::from_millis(200), Duration::from_secs(30));
    let builder = match &options.python {
        Some(python) => builder.python(python),
        None => builder,
    };
    builder.recycle_above(options.memory)
}

/// Why there can be no workers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkersError {
    /// Their files cannot be written.
    #[error("cannot write the workers' files to the temporary folder: {cause}")]
    Home {
        /// Why. It is part of the message.
        cause: io::Error,
    },
    /// The pool's options cannot work.
    #[error(transparent)]
    Pool {
        /// Which, and why.
        #[from]
        source: PoolError,
    },
}

/// The folder of the workers' files: of this user alone, and by what is in it.
#[derive(Debug)]
struct Home {
    folder: PathBuf,
}

impl Home {
    fn make() -> io::Result<Home> {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        let mut hasher = DefaultHasher::new();
        AGENTS.hash(&mut hasher);
        let user = rustix::process::geteuid().as_raw();
        let folder = std::env::temp_dir().join(format!("sgtk-eventd-{user}-{:016x}", hasher.finish()));
        let home = Home { folder };
        home.write()?;
        Ok(home)
    }

    fn write(&self) -> io::Result<()> {
        match fs::DirBuilder::new().mode(0o700).create(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let found = fs::symlink_metadata(&self.folder)?;
        let ours = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw();
        if !ours || found.permissions().mode() & 0o022 != 0 {
            return Err(io::Error::other(format!("{} belongs to somebody else", self.folder.display())));
        }
        fs::create_dir_all(self.folder.join("sgtk_eventd"))?;
        for (name, text) in AGENTS {
            write_anew(&self.folder.join("sgtk_eventd").join(name), text)?;
        }
        Ok(())
    }
}

/// Writes a file unless it is so already; never half of it.
fn write_anew(path: &Path, text: &str) -> io::Result<()> {
    if fs::read(path).is_ok_and(|found| found == text.as_bytes()) {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let file = tempfile::NamedTempFile::new_in(folder)?;
    fs::write(file.path(), text)?;
    file.persist(path).map(drop).map_err(|error| error.error)
}
