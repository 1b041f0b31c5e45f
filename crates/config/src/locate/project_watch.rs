//! What a project's import has read, and whether that is still what is on disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::{BeforeImport, CoreLocation, CoreWatch};
use crate::disk::{Fingerprint, presence};

/// The files that a project's core, its configuration's settings and hooks, and the plugins come from, as
/// they were before its import.
#[derive(Clone, Debug)]
pub struct ProjectWatch {
    core: CoreWatch,
    plugins: Vec<PathBuf>,
    /// The configuration and the plugins.
    rest: Fingerprint,
    /// When a file of those was first seen to be gone.
    gone_since: Option<Instant>,
}

/// The files that are not what they were.
#[derive(Debug, Default)]
pub struct Changed {
    /// Of the core.
    pub core: Vec<PathBuf>,
    /// Of the configuration and the plugins.
    pub rest: Vec<PathBuf>,
    gone: Option<Gone>,
}

/// A file, or a whole folder, of the configuration's or the plugins' that is gone.
#[derive(Debug)]
struct Gone {
    path: PathBuf,
    /// For how long, as far as was seen; `None` for a whole folder.
    since: Option<Duration>,
}

impl Changed {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.core.is_empty() && self.rest.is_empty()
    }

    /// Why a file of the configuration's or the plugins' that is gone is not taken for deleted yet: the folder
    /// of all of them is away, as on a disk that is not mounted, or it went less than `quiet` ago, as it does
    /// while an editor or a copy puts another in its place.
    #[must_use]
    pub fn gone_for_now(&self, quiet: Duration) -> Option<String> {
        let Gone { path, since } = self.gone.as_ref()?;
        let path = path.display();
        match since {
            None => Some(format!("{path} is not there")),
            Some(since) if *since < quiet => Some(format!("{path} is gone since less than {quiet:?}")),
            Some(_) => None,
        }
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
        Self::with_core(CoreWatch::before_import(location), plugins)
    }

    /// As [`before_import`](Self::before_import), where the files of the core are those of its last import.
    #[must_use]
    pub fn since_import(location: &CoreLocation, last: &BeforeImport, plugins: &[String]) -> Self {
        Self::with_core(CoreWatch::with_files(location, last.files().clone()), plugins)
    }

    fn with_core(core: CoreWatch, plugins: &[String]) -> Self {
        let plugins: Vec<_> = plugins.iter().map(PathBuf::from).collect();
        let rest = rest(core.location(), &plugins);
        Self { core, plugins, rest, gone_since: None }
    }

    /// The part of it that is the core's.
    #[must_use]
    pub fn core(&self) -> &CoreWatch {
        &self.core
    }

    /// What has changed: of the core's files all while the core settles and from time to time, else the few
    /// that change with each upgrade.
    pub fn changed(&mut self) -> Changed {
        let core = self.core.changed();
        self.with_rest(core)
    }

    /// What has changed, of all.
    #[must_use]
    pub fn changed_of_all(&mut self) -> Changed {
        let core = self.core.changed_since();
        self.with_rest(core)
    }

    fn with_rest(&mut self, core: Vec<PathBuf>) -> Changed {
        let now = rest(self.core.location(), &self.plugins);
        let rest: Vec<_> = self.rest.changed(&now).map(Path::to_owned).collect();
        let gone = self.gone(&rest);
        Changed { core, rest, gone }
    }

    fn gone(&mut self, changed: &[PathBuf]) -> Option<Gone> {
        let Some(path) = changed.iter().find(|file| is_gone(file)) else {
            self.gone_since = None;
            return None;
        };
        let settings = self.core.location().pipeline_configuration().map(|folder| folder.join("config"));
        if let Some(folder) = self.plugins.iter().chain(&settings).find(|folder| is_gone(folder)) {
            return Some(Gone { path: folder.clone(), since: None });
        }
        // Its folder says when an entry of it was last changed, but so it does of others. What is seen counts
        // too: nobody may have looked for long, and a disk's clock may be another.
        let seen = self.gone_since.get_or_insert_with(Instant::now).elapsed();
        let folder = path.ancestors().skip(1).find(|folder| !is_gone(folder));
        let changed = folder.and_then(|folder| fs::metadata(folder).ok()?.modified().ok());
        let by_disk = changed.and_then(|changed| SystemTime::now().duration_since(changed).ok());
        Some(Gone { path: path.clone(), since: Some(by_disk.map_or(seen, |by_disk| by_disk.max(seen))) })
    }
}

fn is_gone(path: &Path) -> bool {
    fs::metadata(path).is_err_and(|error| presence::is_absence(&error))
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
