//! What runs Python for the daemon: pools of workers and, where the configuration says so, one process for
//! all projects. Nothing else here knows of them.

pub(crate) mod call;
mod home;
pub(crate) mod plain;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use sgtk_pool::{Configs, Lane, PoolError, WorkerPool, WorkerPoolBuilder};
use tracing::level_filters::LevelFilter;

#[cfg(feature = "embedded")]
use crate::in_process::process::{self, Process};
use crate::projects::Projects;

pub use call::{Call, CallError};
use home::Home;
use plain::NO_PROJECT;

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
    /// What keeps projects apart.
    pub isolation: Isolation,
}

/// What keeps the plugins of projects apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// A process for each.
    #[default]
    Workers,
    /// One process, with an import state for each; a build with the feature `embedded` has it.
    #[cfg(feature = "embedded")]
    InProcess,
}

/// The workers.
#[derive(Debug)]
pub struct Workers {
    plain: WorkerPool,
    projects: Option<(Projects, Runs)>,
    home: Home,
}

/// What runs the plugins of projects.
#[derive(Debug)]
enum Runs {
    Pool(WorkerPool),
    #[cfg(feature = "embedded")]
    InProcess(Box<Process>),
}

/// Where a worker is.
enum Place<'a> {
    /// A pool, the project there, and its lane.
    Pool(&'a WorkerPool, String, Option<&'a str>),
    /// The process of the projects, and the project there.
    #[cfg(feature = "embedded")]
    InProcess(&'a Process, String),
}

impl Place<'_> {
    fn lane<'a>(project: &'a str, lane: Option<&'a str>) -> Lane<'a> {
        lane.map_or_else(|| Lane::from(project), |lane| Lane::new(project, lane))
    }
}

impl Workers {
    /// Makes the pools. No worker is started yet.
    ///
    /// # Errors
    /// The workers' files cannot be written, or an option cannot work.
    pub fn new(options: WorkerOptions) -> Result<Workers, WorkersError> {
        let home = Home::make().map_err(|error| WorkersError::Home { cause: error })?;
        let plain = builder(&home, &options, Configs::new(home.folder())).plain(NO_PROJECT);
        // Its files are the daemon's own, and it keeps plugins' state: it is not replaced for them.
        let plain = plain.revalidate_after(None).build()?;
        Workers { plain, projects: None, home }.serving(options)
    }

    /// The same workers without Toolkit, and those of projects that options ask for.
    ///
    /// # Errors
    /// An option cannot work.
    pub fn serving(self, options: WorkerOptions) -> Result<Workers, WorkersError> {
        let Workers { plain, home, .. } = self;
        let runs = |projects: &Projects| match options.isolation {
            Isolation::Workers => {
                let builder = builder(&home, &options, projects.configs().clone());
                let builder = builder.max_workers(options.max_workers).idle_timeout(options.idle);
                Ok::<_, WorkersError>(Runs::Pool(builder.slice(SLICE).linger(LINGER).build()?))
            }
            #[cfg(feature = "embedded")]
            Isolation::InProcess => Ok(Runs::InProcess(Box::new(Process::new(process::Options {
                home: home.folder().to_owned(),
                python: options.python.clone(),
                configs: projects.configs().base().to_owned(),
                most: options.max_workers,
                idle: options.idle,
                memory: options.memory,
            })))),
        };
        let runs = options.projects.as_ref().map(runs).transpose()?;
        let projects = options.projects.zip(runs);
        Ok(Workers { plain, projects, home })
    }

    /// Has the one process of all projects be started, where there is to be one.
    ///
    /// # Errors
    /// Why there cannot be one: for example, its Python is not the linked one.
    pub async fn prepare_projects(&self) -> Result<(), CallError> {
        match self.projects.as_ref().map(|(_, runs)| runs) {
            #[cfg(feature = "embedded")]
            Some(Runs::InProcess(process)) => process.ready().await,
            Some(Runs::Pool(_)) | None => Ok(()),
        }
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
        if !self.home.is_there() {
            self.refresh();
        }
        let (pool, project, lane) = match self.place(worker).map_err(CallError::never)? {
            Place::Pool(pool, project, lane) => (pool, project, lane),
            #[cfg(feature = "embedded")]
            Place::InProcess(process, project) => {
                let arguments = Call::as_json(arguments)?;
                let what = process::What { worker: worker.name(), project, function, arguments };
                return process.call(what, limit, ended).await;
            }
        };
        // What is waited for before it is sent is the pool's affair: it has limits of its own for that.
        let call = Call::by_pool(format!("sgtk_eventd.{function}"), arguments).run_timeout(limit);
        let mut handle = pool.submit::<T>(Place::lane(&project, lane), call)?;
        tokio::select! {
            result = &mut handle => return Ok(result?),
            () = ended => handle.abort(),
        }
        Ok(handle.await?)
    }

    fn place<'a>(&'a self, worker: &'a Worker) -> Result<Place<'a>, String> {
        match worker {
            Worker::Plain(name) => Ok(Place::Pool(&self.plain, NO_PROJECT.to_owned(), Some(name))),
            Worker::Project { site, id, lane } => {
                let (projects, runs) =
                    self.projects.as_ref().ok_or("there is no folder of pipeline configurations")?;
                let found = projects.find(site, *id).map_err(|error| error.to_string())?;
                Ok(match runs {
                    Runs::Pool(pool) => {
                        let project = projects.enter(found, |name, bootstrap| {
                            // One that cannot work was found to be so.
                            let _ = bootstrap.build().map(|bootstrap| pool.set_bootstrap(name, bootstrap));
                        });
                        Place::Pool(pool, project, lane.as_deref())
                    }
                    #[cfg(feature = "embedded")]
                    Runs::InProcess(process) => {
                        let begin = |name: &str, bootstrap| process.set_bootstrap(name, bootstrap);
                        Place::InProcess(process, projects.enter(found, begin))
                    }
                })
            }
        }
    }

    /// Whose configuration is where; none where there are no plugins for projects.
    #[must_use]
    pub fn projects(&self) -> Option<&Projects> {
        self.projects.as_ref().map(|(projects, _)| projects)
    }

    /// Has the next call find a new process, with nothing loaded.
    pub fn replace(&self, worker: &Worker) {
        match self.place(worker) {
            Ok(Place::Pool(pool, project, lane)) => {
                pool.evict(Place::lane(&project, lane));
            }
            #[cfg(feature = "embedded")]
            Ok(Place::InProcess(process, _)) => process.forget(&worker.name()),
            // One that cannot be found has nothing loaded.
            Err(_) => {}
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
        match self.projects.as_ref().map(|(_, runs)| runs) {
            Some(Runs::Pool(pool)) => {
                for stats in pool.stats().projects {
                    let name = match stats.lane {
                        Some(lane) => format!("{} ({lane})", stats.project),
                        None => stats.project,
                    };
                    found.extend(stats.pid.map(|pid| (name, pid)));
                }
            }
            #[cfg(feature = "embedded")]
            Some(Runs::InProcess(process)) => {
                found.extend(process.pids().into_iter().map(|pid| (process::NAME.to_owned(), pid)));
            }
            None => {}
        }
        found
    }

    /// Writes the workers' files again where something has cleaned up the temporary folder.
    pub fn refresh(&self) {
        if let Err(error) = self.home.write() {
            tracing::warn!(
                folder = %self.home.folder().display(), %error,
                "the workers' files cannot be kept"
            );
        }
    }

    /// Ends all workers. Blocks.
    pub fn shut_down(&self, grace: Duration) {
        let report = |ended: Result<(), PoolError>| {
            if let Err(error) = ended {
                tracing::error!(%error, "workers are left behind");
            }
        };
        report(self.plain.shutdown(grace));
        match self.projects.as_ref().map(|(_, runs)| runs) {
            Some(Runs::Pool(pool)) => report(pool.shutdown(grace)),
            #[cfg(feature = "embedded")]
            Some(Runs::InProcess(process)) => process.shut_down(grace),
            None => {}
        }
    }
}

/// What both pools have in common.
fn builder(home: &Home, options: &WorkerOptions, configs: Configs) -> WorkerPoolBuilder {
    let builder = WorkerPool::builder()
        .config_rules(configs)
        .plugin_path(home.folder())
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
