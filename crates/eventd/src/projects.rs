//! Which configuration is a project's: one in the studio's folder, or one that the site names.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use sgtk_config::{ConfigError, Configs, ProjectRef, SettingError};
use sgtk_pool::Bootstrap;

use crate::site::{Distributed, Site};

/// How long an answer that there is none is believed.
const FRESH: Duration = Duration::from_secs(30);

/// The configurations of projects.
#[derive(Debug)]
pub struct Projects {
    configs: Configs,
    distributed: Option<Distributed>,
    sites: Vec<Site>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// When none was found.
    none: HashMap<(Arc<str>, i64), Instant>,
    told: HashSet<(Arc<str>, i64)>,
    /// Those that the site names a configuration for.
    distributed: HashSet<(Arc<str>, i64)>,
    /// The projects for which a site names one; none for all that have no other.
    named: HashMap<Arc<str>, (Instant, Vec<Option<i64>>)>,
    /// Bootstraps that the pool knows.
    entered: HashSet<String>,
}

/// Where a project's workers get their core from.
#[derive(Debug)]
pub enum Found {
    /// What the pool knows by this name: the folder of a configuration, or a bootstrap of before.
    Known(String),
    /// A bootstrap, which is to have this name in the pool.
    Bootstrap(String, Box<Bootstrapped>),
}

/// How a project is bootstrapped, as it may be told to another process of the daemon's.
#[derive(Clone, Deserialize, Serialize)]
pub struct Bootstrapped {
    project: u32,
    core: PathBuf,
    site: String,
    script: String,
    key: String,
    proxy: Option<String>,
    plugin_id: String,
    engine: String,
}

impl Bootstrapped {
    /// The options of the bootstrap.
    ///
    /// # Errors
    /// One that cannot work.
    pub fn build(&self) -> Result<Bootstrap, SettingError> {
        let options = Bootstrap::project(self.project)
            .core(&self.core)
            .site(&self.site)
            .script_user(&self.script, self.key.as_str())
            .plugin_id(&self.plugin_id)
            .engine(&self.engine);
        match &self.proxy {
            Some(proxy) => options.http_proxy(proxy.as_str()).build(),
            None => options.build(),
        }
    }
}

impl fmt::Debug for Bootstrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the key, and the password of the proxy.
        f.debug_struct("Bootstrapped").field("project", &self.project).finish_non_exhaustive()
    }
}

/// Whether a project has plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// It has a configuration, or had one; or it cannot be told at this moment, so that its events wait.
    Yes,
    /// It has none.
    No,
    /// Only the site can say.
    AskSite,
}

impl Projects {
    /// The projects of these sites whose configurations lie below `base`, or are named by the site where they
    /// are `distributed`.
    #[must_use]
    pub fn new(base: &Path, distributed: Option<Distributed>, sites: Vec<Site>) -> Projects {
        Projects { configs: Configs::new(base), distributed, sites, known: Mutex::default() }
    }

    /// The folder of the configurations.
    pub fn configs(&self) -> &Configs {
        &self.configs
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock()
    }

    /// How projects are bootstrapped that have no configuration in the folder.
    #[must_use]
    pub fn distributed(&self) -> Option<&Distributed> {
        self.distributed.as_ref()
    }

    /// Where workers of a project get their core from, at this moment.
    ///
    /// # Errors
    /// It has no configuration, several, or one that cannot be read.
    pub fn find(&self, site: &Arc<str>, id: i64) -> Result<Found, ConfigError> {
        let name = format!("{site}-project-{id}");
        if self.lock().entered.contains(&name) {
            return Ok(Found::Known(name));
        }
        let error = match self.in_folder(id) {
            Ok(folder) => return Ok(Found::Known(folder)),
            Err(error) => error,
        };
        let known = self.lock().distributed.contains(&(Arc::clone(site), id));
        let (Some(distributed), true) = (&self.distributed, known) else { return Err(error) };
        let (Some(site), Ok(number)) = (self.sites.iter().find(|one| one.name == *site), u32::try_from(id))
        else {
            return Err(error);
        };
        let bootstrapped = Bootstrapped {
            project: number,
            core: distributed.core.clone(),
            site: site.server.clone(),
            script: site.script.clone(),
            key: site.key.expose_secret().to_owned(),
            proxy: site.proxy.as_ref().map(|proxy| proxy.expose_secret().to_owned()),
            plugin_id: distributed.plugin_id.clone(),
            engine: distributed.engine.clone(),
        };
        match bootstrapped.build() {
            Ok(_) => Ok(Found::Bootstrap(name, Box::new(bootstrapped))),
            Err(reason) => {
                tracing::error!(project = id, %reason, "[sgtk]: the project cannot be bootstrapped");
                Err(error)
            }
        }
    }

    fn in_folder(&self, id: i64) -> Result<String, ConfigError> {
        // An id that no configuration can name is one that none names.
        let project = ProjectRef::id(u32::try_from(id).unwrap_or(u32::MAX));
        Ok(self.configs.find(&project)?.folder().to_owned())
    }

    /// Whether events of a project have plugins that want them. One that the queue knows has been served
    /// before.
    #[must_use]
    pub fn serves(&self, site: &Arc<str>, id: i64, known: bool) -> Served {
        let key = (Arc::clone(site), id);
        if !known && self.lock().none.get(&key).is_some_and(|at| at.elapsed() < FRESH) {
            return Served::No;
        }
        let found = self.in_folder(id);
        match found {
            Err(ConfigError::NoConfiguration { .. }) if known => {
                if self.distributed.is_some() {
                    self.lock().distributed.insert(key);
                }
                Served::Yes
            }
            Err(ConfigError::NoConfiguration { .. }) if self.distributed.is_some() => self.named(key),
            Err(ConfigError::NoConfiguration { .. }) => self.none(key),
            // One that cannot be read, or several: its events wait, and the log says why.
            Ok(_) | Err(_) => Served::Yes,
        }
    }

    fn named(&self, key: (Arc<str>, i64)) -> Served {
        let named = {
            let known = self.lock();
            let Some((_, named)) = known.named.get(&key.0).filter(|(at, _)| at.elapsed() < FRESH) else {
                return Served::AskSite;
            };
            named.contains(&Some(key.1)) || named.contains(&None)
        };
        if !named {
            return self.none(key);
        }
        self.lock().distributed.insert(key);
        Served::Yes
    }

    fn none(&self, key: (Arc<str>, i64)) -> Served {
        let mut known = self.lock();
        if known.told.insert(key.clone()) {
            tracing::info!(
                project = key.1,
                base = %self.configs.base().display(),
                "no pipeline configuration names this project: its events reach no [sgtk] plugin"
            );
        }
        known.none.insert(key, Instant::now());
        Served::No
    }

    /// The projects for which a site names a configuration; none among them stands for all that have no
    /// other.
    pub fn site_names(&self, site: &Arc<str>, projects: Vec<Option<i64>>) {
        self.lock().named.insert(Arc::clone(site), (Instant::now(), projects));
    }

    /// The configurations in the folder by the id of their project.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn all(&self) -> Result<BTreeMap<i64, String>, ConfigError> {
        let mut found = BTreeMap::new();
        for name in self.configs.projects()? {
            let id =
                self.configs.find(&ProjectRef::folder(&name)).ok().and_then(|config| config.project_id());
            if let Some(id) = id.map(i64::from)
                && let Ok(folder) = self.in_folder(id)
            {
                found.insert(id, folder);
            }
        }
        Ok(found)
    }

    /// The name in the pool of what was found; `begin` makes a bootstrap known there.
    pub fn enter(&self, found: Found, begin: impl FnOnce(&str, Bootstrapped)) -> String {
        match found {
            Found::Known(name) => name,
            Found::Bootstrap(name, bootstrapped) => {
                begin(&name, *bootstrapped);
                self.lock().entered.insert(name.clone());
                name
            }
        }
    }
}
