//! What a project's import has read, and whether that is still what is on disk.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::folder_watch::{ChangedFiles, FolderWatch, rest};
use super::{BeforeImport, CoreLocation, CoreWatch};
use crate::disk::Fingerprint;

/// The files that a project's core, its configuration's settings and hooks, and the plugins come from, as
/// they were before its import.
#[derive(Clone, Debug)]
pub struct ProjectWatch {
    core: CoreWatch,
    /// The configuration and the plugins.
    rest: FolderWatch,
}

/// The files that are not what they were.
#[derive(Debug, Default)]
pub struct Changed {
    /// Of the core.
    pub core: Vec<PathBuf>,
    /// Of the configuration and the plugins.
    pub rest: ChangedFiles,
}

impl Changed {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.core.is_empty() && self.rest.is_empty()
    }

    /// Why a file of the configuration's or the plugins' that is gone, or empty, is not taken for deleted
    /// yet.
    #[must_use]
    pub fn gone_for_now(&self, quiet: Duration) -> Option<String> {
        self.rest.gone_for_now(quiet)
    }

    /// All of them.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.core.iter().map(PathBuf::as_path).chain(self.rest.files())
    }
}

impl ProjectWatch {
    /// The files as they are now. `plugins` are folders of plugins.
    #[must_use]
    pub fn before_import(location: &CoreLocation, plugins: &[String]) -> Self {
        Self::with_core(CoreWatch::before_import(location), plugins)
    }

    /// As [`before_import`](Self::before_import), where the files of the core are those of its last import.
    #[must_use]
    pub fn since_import(location: &CoreLocation, last: &BeforeImport, plugins: &[String]) -> Self {
        Self::with_core(CoreWatch::with_files(location, last.files().clone()), plugins)
    }

    fn with_core(core: CoreWatch, plugins: &[String]) -> Self {
        let rest = FolderWatch::of(core.location().pipeline_configuration(), plugins);
        Self { core, rest }
    }

    /// The part of it that is the core's.
    #[must_use]
    pub fn core(&self) -> &CoreWatch {
        &self.core
    }

    /// What has changed: of the core's files all while the core settles and from time to time, else the few
    /// that change with each upgrade.
    pub fn changed(&mut self) -> Changed {
        Changed { core: self.core.changed(), rest: self.rest.changed() }
    }

    /// What has changed, of all.
    #[must_use]
    pub fn changed_of_all(&mut self) -> Changed {
        Changed { core: self.core.changed_since(), rest: self.rest.changed() }
    }
}

/// All that is on disk for a project, to tell whether there is anything new since an attempt that failed.
pub fn snapshot(location: &CoreLocation, plugins: &[String]) -> Fingerprint {
    let plugins: Vec<_> = plugins.iter().map(PathBuf::from).collect();
    Fingerprint::full(location).and(rest(location.pipeline_configuration(), &plugins))
}
