//! Plugins as the daemon sees them: files of folders, and what a worker has told about them. Nothing of
//! delivery.

mod filter;
mod folder;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use filter::Filter;
pub use folder::{Listing, PluginFile, list};

/// What a worker has told about a plugin that it has loaded.
#[derive(Clone, Debug, Deserialize)]
pub struct Plugin {
    /// Its path, by which the daemon knows it.
    pub key: String,
    /// The file's stem, by which people know it.
    pub name: String,
    /// Why it is inactive until its file changes.
    pub problem: Option<Problem>,
    /// Whether loading is tried again by itself, as the site was away.
    pub again: bool,
    /// Whom its errors are mailed to.
    pub emails: Emails,
    /// The script users that it has registered with.
    pub scripts: Vec<String>,
    /// Its callbacks, in the order in which they were registered.
    pub callbacks: Vec<Callback>,
}

/// Why a plugin is inactive.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Problem {
    /// `load`, `register`.
    pub step: String,
    /// One line.
    pub message: String,
    /// Where it was raised.
    #[serde(default)]
    pub traceback: Option<String>,
}

/// Whom a plugin's errors are mailed to.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub enum Emails {
    /// Those of the configuration file, or nobody.
    Default(bool),
    /// These.
    Addresses(Vec<String>),
}

/// A function that a plugin has registered.
#[derive(Clone, Debug, Deserialize)]
pub struct Callback {
    /// Its name.
    pub name: String,
    /// Which events it wants.
    #[serde(rename = "match")]
    pub filter: Filter,
    /// Whether only the worker knows which events it wants.
    pub opaque: bool,
    /// Whether its plugin stops where it raises.
    pub stop_on_error: bool,
}

/// The plugins of a worker.
#[derive(Clone, Debug, Default)]
pub struct Table {
    plugins: BTreeMap<String, Arc<Plugin>>,
}

impl Table {
    /// What a worker has told.
    #[must_use]
    pub fn new(plugins: Vec<Plugin>) -> Table {
        Table { plugins: plugins.into_iter().map(|plugin| (plugin.key.clone(), Arc::new(plugin))).collect() }
    }

    /// A plugin that is active.
    #[must_use]
    pub fn active(&self, key: &str) -> Option<&Arc<Plugin>> {
        self.plugins.get(key).filter(|plugin| plugin.problem.is_none())
    }

    /// Adds one that the worker knows nothing of: loading it has ended the worker.
    pub fn add_inactive(&mut self, file: &PluginFile, problem: Problem) {
        let plugin = Plugin {
            key: file.key.clone(),
            name: file.name.clone(),
            problem: Some(problem),
            again: false,
            emails: Emails::Default(true),
            scripts: Vec::new(),
            callbacks: Vec::new(),
        };
        self.plugins.insert(plugin.key.clone(), Arc::new(plugin));
    }

    /// All of them, by path.
    pub fn iter(&self) -> impl Iterator<Item = &Plugin> {
        self.plugins.values().map(Arc::as_ref)
    }

    /// Whether some are to be loaded again by themselves.
    #[must_use]
    pub fn wants_another_try(&self) -> bool {
        self.plugins.values().any(|plugin| plugin.again)
    }
}
