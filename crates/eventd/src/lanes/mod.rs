//! Which plugin, which project is on which lane, and on which worker.

pub mod ids;
mod runner;
mod table;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::{self, Settings};
use crate::plugins::{self, Listing};
use crate::projects::Served;
use crate::queue::{Lane, LaneName, Queue, QueueError, Start};
use crate::report::board::Board;
use crate::report::metrics::Metrics;
use crate::report::timing::Timing;
use crate::site::Site;
use crate::workers::{CallError, Worker, Workers};

use runner::Runner;
pub use table::Probe;

/// What all lanes share.
#[derive(Clone)]
pub struct Shared {
    /// The configuration.
    pub settings: Arc<Settings>,
    /// The workers.
    pub workers: Arc<Workers>,
    /// The queue.
    pub queue: Arc<dyn Queue>,
    /// What is going on.
    pub board: Arc<Board>,
    /// Numbers.
    pub metrics: Arc<Metrics>,
    /// The timing log, where it is on.
    pub timing: Option<Arc<Timing>>,
}

/// What lanes are told while they run.
#[derive(Clone, Debug, Default, PartialEq)]
struct Orders {
    plain: Arc<Listing>,
    project: Arc<Listing>,
    /// Grows with each reload: workers are replaced by new ones.
    generation: u64,
    stop: bool,
}

/// The lanes and what runs them.
pub struct Lanes {
    shared: Shared,
    orders: watch::Sender<Orders>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    runners: JoinSet<()>,
    /// The projects of each site that have lanes.
    known: HashSet<(Arc<str>, i64)>,
    /// Plugins that have a runner of their own: site, key, project.
    each: HashSet<(Arc<str>, String, Option<i64>)>,
}

/// The name of a plugin's lane.
#[must_use]
pub fn lane_name(site: &str, key: &str, project: Option<i64>) -> LaneName {
    LaneName(match project {
        Some(project) => Arc::from(format!("{site}:{key}@{project}")),
        None => Arc::from(format!("{site}:{key}")),
    })
}

/// The worker of a site's plugins without Toolkit, where they share one.
#[must_use]
pub fn shared_plugins(site: &Site) -> Worker {
    Worker::Plain(format!("plugins-{}", site.name))
}

/// The plugin's key and the project of a lane's name.
#[must_use]
pub fn parts(name: &LaneName) -> (&str, &str, Option<i64>) {
    let (site, rest) = name.0.split_once(':').unwrap_or(("", &name.0));
    match rest.rsplit_once('@').and_then(|(key, project)| Some((key, project.parse().ok()?))) {
        Some((key, project)) => (site, key, Some(project)),
        None => (site, rest, None),
    }
}

impl Lanes {
    /// Lanes for the plugins that the folders have now. Nothing runs yet.
    #[must_use]
    pub fn new(shared: Shared) -> Lanes {
        let orders = Orders {
            plain: Arc::new(look(&shared.settings.plugin_paths, &Listing::default())),
            project: Arc::new(look(&shared.settings.project_paths, &Listing::default())),
            generation: 0,
            stop: false,
        };
        Lanes { shared, orders: watch::Sender::new(orders), inner: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// Opens the lanes of all plugins in the queue, those of the projects that are known there as well, and
    /// has them run.
    ///
    /// # Errors
    /// As the queue's.
    pub async fn start(&self) -> Result<(), QueueError> {
        let plain = Arc::clone(&self.orders.borrow().plain);
        for site in &self.shared.settings.sites {
            let lanes = plain.files.iter().map(|file| Self::plain_lane(site, file)).collect();
            self.shared.queue.open(lanes).await?;
            match self.shared.settings.lanes {
                _ if self.shared.settings.plugin_paths.is_empty() => {}
                config::Lanes::Shared => self.run(site, shared_plugins(site), None, None),
                config::Lanes::Plugin => self.run_each(site, &plain, None),
            }
        }
        for (site, project) in self.shared.queue.projects().await? {
            if let Some(site) = self.site(&site) {
                self.expect_one(site, project, true).await?;
            }
        }
        Ok(())
    }

    fn plain_lane(site: &Site, file: &plugins::PluginFile) -> Lane {
        let start = Start::Now;
        Lane {
            name: lane_name(&site.name, &file.key, None),
            site: Arc::clone(&site.name),
            project: None,
            start,
        }
    }

    fn run(&self, site: &Site, worker: Worker, project: Option<i64>, only: Option<String>) {
        let runner =
            Runner::new(self.shared.clone(), site.clone(), worker, project, only, self.orders.subscribe());
        self.lock().runners.spawn(runner.run());
    }

    fn site(&self, name: &str) -> Option<&Site> {
        self.shared.settings.sites.iter().find(|one| *one.name == *name)
    }

    /// A runner, and a worker, for each plugin.
    fn run_each(&self, site: &Site, listing: &Listing, project: Option<i64>) {
        for file in &listing.files {
            if self.lock().each.insert((Arc::clone(&site.name), file.key.clone(), project)) {
                let name = worker_name(&site.name, &file.key);
                let worker = match project {
                    Some(id) => Worker::Project { site: Arc::clone(&site.name), id, lane: Some(name) },
                    None => Worker::Plain(name),
                };
                self.run(site, worker, project, Some(file.key.clone()));
            }
        }
    }

    /// Has lanes for these projects, so that they are given what is appended from now on.
    ///
    /// # Errors
    /// As the queue's.
    pub async fn expect(
        &self,
        site: &Arc<str>,
        ids: impl IntoIterator<Item = i64>,
    ) -> Result<(), QueueError> {
        let Some(site) = self.site(site) else { return Ok(()) };
        for id in ids {
            self.expect_one(site, id, false).await?;
        }
        Ok(())
    }

    /// Has lanes for a project; `known`: the queue has some.
    async fn expect_one(&self, site: &Site, id: i64, known: bool) -> Result<(), QueueError> {
        let key = (Arc::clone(&site.name), id);
        if self.lock().known.contains(&key) || !serves(&self.shared, site, id, known).await? {
            return Ok(());
        }
        let listing = Arc::clone(&self.orders.borrow().project);
        let lanes = listing.files.iter().map(|file| Lane {
            name: lane_name(&site.name, &file.key, Some(id)),
            site: Arc::clone(&site.name),
            project: Some(id),
            start: Start::Now,
        });
        self.shared.queue.open(lanes.collect()).await?;
        if self.lock().known.insert(key) {
            match self.shared.settings.project_lanes {
                config::Lanes::Shared => {
                    let worker = Worker::Project { site: Arc::clone(&site.name), id, lane: None };
                    self.run(site, worker, Some(id), None);
                }
                config::Lanes::Plugin => self.run_each(site, &listing, Some(id)),
            }
        }
        Ok(())
    }

    /// Looks at the folders again, and tells the runners what has changed.
    pub async fn look(&self) {
        let before = self.orders.borrow().clone();
        let plain = look(&self.shared.settings.plugin_paths, &before.plain);
        let project = look(&self.shared.settings.project_paths, &before.project);
        if *before.plain == plain && *before.project == project {
            return;
        }
        let (plain, project) = (Arc::new(plain), Arc::new(project));
        self.orders.send_modify(|orders| {
            orders.plain = Arc::clone(&plain);
            orders.project = Arc::clone(&project);
        });
        if self.shared.settings.lanes == config::Lanes::Plugin {
            for site in &self.shared.settings.sites {
                self.run_each(site, &plain, None);
            }
        }
        if self.shared.settings.project_lanes == config::Lanes::Plugin {
            let known: Vec<_> = self.lock().known.iter().cloned().collect();
            for (name, id) in known {
                if let Some(site) = self.site(&name) {
                    self.run_each(site, &project, Some(id));
                }
            }
        }
    }

    /// Has all plugins loaded anew, with what they import, in new workers.
    pub async fn reload(&self) {
        self.look().await;
        self.orders.send_modify(|orders| orders.generation += 1);
    }

    /// Has lanes take no more events, and waits until what is running has ended, or until `grace` is over.
    pub async fn stop(&self, grace: Duration) {
        self.orders.send_modify(|orders| orders.stop = true);
        let mut runners = std::mem::take(&mut self.lock().runners);
        let all = async { while runners.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, all).await.is_err() {
            tracing::warn!(
                ?grace,
                "callbacks did not end in time and are ended; their events will be run again"
            );
            let workers = Arc::clone(&self.shared.workers);
            // What they were doing is then settled as what may have run.
            let _ = tokio::task::spawn_blocking(move || workers.shut_down(Duration::ZERO)).await;
            while runners.join_next().await.is_some() {}
        }
    }
}

/// Whether a project has plugins; `known`: the queue has lanes of it. Asks the site where it has to.
///
/// # Errors
/// The site cannot be asked.
pub async fn serves(shared: &Shared, site: &Site, id: i64, known: bool) -> Result<bool, QueueError> {
    let Some(projects) = shared.workers.projects() else { return Ok(false) };
    let mut served = projects.serves(&site.name, id, known);
    if let (Served::AskSite, Some(distributed)) = (served, projects.distributed()) {
        let named = named(&shared.settings, &shared.workers, site, &distributed.plugin_id).await;
        let named = named.map_err(|error| QueueError::Readers { reason: error.message })?;
        projects.site_names(&site.name, named);
        served = projects.serves(&site.name, id, known);
    }
    Ok(served == Served::Yes)
}

/// The projects for which a site names a configuration.
///
/// # Errors
/// The site, or the worker, has failed.
pub async fn named(
    settings: &Settings,
    workers: &Workers,
    site: &Site,
    plugin_id: &str,
) -> Result<Vec<Option<i64>>, CallError> {
    let worker = Worker::Plain(format!("site-{}", site.name));
    let setup = settings.setup(site);
    let arguments = |call: crate::workers::Call| call.arg(setup).arg(plugin_id);
    workers.call(&worker, "site:configurations", arguments, Some(Duration::from_secs(120))).await
}

/// A name for the worker of a plugin's own: its stem for people, and a number for plugins of the same name.
fn worker_name(site: &str, key: &str) -> String {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    (site, key).hash(&mut hasher);
    let stem = key.rsplit('/').next().unwrap_or(key).trim_end_matches(".py");
    let stem: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("plugin-{stem}-{:08x}", hasher.finish() as u32)
}

fn look(folders: &[PathBuf], before: &Listing) -> Listing {
    let listing = plugins::list(folders, before);
    for (folder, reason) in &listing.unreadable {
        if before.unreadable.get(folder) != Some(reason) {
            tracing::error!(
                folder = %folder.display(), reason,
                "the plugin folder cannot be read; what was loaded stays"
            );
        }
    }
    listing
}
