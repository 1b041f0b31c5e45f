//! What a project's import has read, and whether that is still what is on disk.

use std::path::{Path, PathBuf};

use super::{CoreLocation, CoreWatch};
use crate::disk::Fingerprint;

/// The files that a project's core, its configuration's settings and hooks, and the plugins come from, as
/// they were before its import.
#[derive(Clone, Debug)]
pub struct ProjectWatch {
    core: CoreWatch,
    plugins: Vec<PathBuf>,
    /// The configuration and the plugins.
    rest: Fingerprint,
}

/// The files that are not what they were.
#[derive(Debug, Default)]
pub struct Changed {
    /// Of the core.
    pub core: Vec<PathBuf>,
    /// Of the configuration and the plugins.
    pub rest: Vec<PathBuf>,
}

impl Changed {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.core.is_empty() && self.rest.is_empty()
    }

    /// All of them.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.core.iter().chain(&self.rest).map(PathBuf::as_path)
    }
}

impl ProjectWatch {
    /// The files as they are now. `plugins` are folders of plugins.
    #[must_use]
    pub fn before_import(location: &CoreLocation, plugins: &[String]) -> Self {
        let plugins: Vec<_> = plugins.iter().map(PathBuf::from).collect();
        let rest = rest(location, &plugins);
        Self { core: CoreWatch::before_import(location), plugins, rest }
    }

    /// What has changed: of the core's files all while the core settles and from time to time, else the few
    /// that change with each upgrade.
    pub fn changed(&mut self) -> Changed {
        Changed { core: self.core.changed(), rest: self.changed_rest() }
    }

    /// What has changed, of all.
    #[must_use]
    pub fn changed_of_all(&self) -> Changed {
        Changed { core: self.core.changed_since(), rest: self.changed_rest() }
    }

    fn changed_rest(&self) -> Vec<PathBuf> {
        let now = rest(self.core.location(), &self.plugins);
        self.rest.changed(&now).map(Path::to_owned).collect()
    }
}

fn rest(location: &CoreLocation, plugins: &[PathBuf]) -> Fingerprint {
    let plugins = Fingerprint::of_plugins(plugins.iter().cloned());
    match location.pipeline_configuration() {
        Some(folder) => Fingerprint::of_configuration(folder).and(plugins),
        None => plugins,
    }
}

/// All that is on disk for a project, to tell whether there is anything new since an attempt that failed.
pub fn snapshot(location: &CoreLocation, plugins: &[String]) -> Fingerprint {
    let plugins: Vec<_> = plugins.iter().map(PathBuf::from).collect();
    Fingerprint::full(location).and(rest(location, &plugins))
}
