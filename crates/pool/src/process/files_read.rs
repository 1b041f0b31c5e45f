//! The files that a worker has read, as they were before.

use sgtk_config::{Changed, FolderWatch, ProjectWatch};

#[derive(Debug)]
pub(crate) enum FilesRead {
    /// Of a centralized configuration: its core, its settings and hooks, and the plugins.
    Project(Box<ProjectWatch>),
    /// Of a worker with an engine of its own or without a project. What a bootstrap has put on the disk is
    /// compared in the worker.
    Plugins(FolderWatch),
}

impl FilesRead {
    /// Those of plugins as they are now; nothing where there are others too.
    pub(crate) fn plugins_now(&self) -> Option<Self> {
        match self {
            Self::Project(_) => None,
            Self::Plugins(watch) => Some(Self::Plugins(watch.anew())),
        }
    }

    /// Those that are not what they were; `all`: not only those that are looked at each time.
    pub(crate) fn changed(&mut self, all: bool) -> Changed {
        match self {
            Self::Project(watch) if all => watch.changed_of_all(),
            Self::Project(watch) => watch.changed(),
            Self::Plugins(watch) => Changed { core: Vec::new(), rest: watch.changed() },
        }
    }
}
