//! Which files a core, a configuration or a folder of plugins consists of.

use std::path::{Path, PathBuf};

use crate::CoreLocation;
use crate::disk::Fingerprint;

/// The parts of a core's `install/core` folder that its code comes from.
const SOURCES: [&str; 3] = ["python", "requirements", "hooks"];

impl Fingerprint {
    /// The few files that decide on a project's core and change with each upgrade: the core pointer, the
    /// configuration's and the core's `_core_upgrader.py`, and the core's `info.yml`,
    /// `python/tank/__init__.py` and `python/sgtk/__init__.py`. Six looks at a file.
    ///
    /// Two that are equal do not mean that an upgrade has ended: see [`full`](Self::full) and
    /// [`CoreWatch`](crate::CoreWatch).
    #[must_use]
    pub fn quick(location: &CoreLocation) -> Self {
        let own = location.pointer().with_file_name("_core_upgrader.py");
        let decisive = [location.pointer().to_owned(), own];
        Self::of_files(decisive.into_iter().chain(marks(location.install_core())))
    }

    /// The files of [`quick`](Self::quick), and all from which the core's code comes: its `python`,
    /// `requirements` and `hooks` folders. To be taken before and after an import: two that are equal mean
    /// that the core in memory is what was on disk all the while. A real core has some 300 files, which takes
    /// 0.6 ms on a local disk.
    #[must_use]
    pub fn full(location: &CoreLocation) -> Self {
        Self::quick(location).and(Self::of_sources(location.install_core()))
    }

    /// The files of the core in this `install/core` folder alone, as [`full`](Self::full) has them, whatever
    /// project it is for.
    #[must_use]
    pub fn of_core(install_core: &Path) -> Self {
        Self::of_files(marks(install_core)).and(Self::of_sources(install_core)).shared()
    }

    fn of_sources(install_core: &Path) -> Self {
        Self::of_tree(SOURCES.map(|part| install_core.join(part)), |_| true)
    }

    /// What Toolkit reads of a pipeline configuration: all files of its `config` folder (`core`, `env`,
    /// `hooks`), which has `templates.yml` in it. Not its core, and no bundles that are kept in it.
    #[must_use]
    pub fn of_configuration(folder: &Path) -> Self {
        Self::of_tree([folder.join("config")], |path| !path.ends_with("bundle_cache"))
    }

    /// What a bootstrap has put into the site's cache for a distributed configuration, and the next one may
    /// rewrite: the files of its configuration and of the core in it.
    #[must_use]
    pub fn of_bootstrapped(configuration: &Path) -> Self {
        Self::of_configuration(configuration).and(Self::of_core(&configuration.join("install").join("core")))
    }

    /// The Python files in these folders, at any depth: event plugins and the modules that they import from
    /// beside them.
    #[must_use]
    pub fn of_plugins(folders: impl IntoIterator<Item = PathBuf>) -> Self {
        Self::of_tree(folders, |path| path.extension().is_some_and(|end| end == "py") || path.is_dir())
    }
}

fn marks(install_core: &Path) -> [PathBuf; 4] {
    ["_core_upgrader.py", "info.yml", "python/tank/__init__.py", "python/sgtk/__init__.py"]
        .map(|file| install_core.join(file))
}
