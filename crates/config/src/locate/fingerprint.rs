//! Noticing that a core on disk is no longer the one that was imported.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::CoreLocation;

/// What the files that decide on a project's core looked like at one moment: device, inode, size and modification time
/// of the core pointer, the configuration's and the core's `_core_upgrader.py`, and the core's `info.yml`,
/// `python/tank/__init__.py` and `python/sgtk/__init__.py`.
///
/// Two that are equal mean: the same core, neither upgraded nor repointed. Taking one costs six looks at a file (on
/// Windows, where the standard library gives no inode, the time of creation takes its place) and reads none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    files: Vec<(PathBuf, Seen)>,
}

impl Fingerprint {
    /// The files of `location` as they are now. Files that are missing or cannot be looked at are part of it as such.
    #[must_use]
    pub fn of(location: &CoreLocation) -> Self {
        let own = location.pointer.with_file_name("_core_upgrader.py");
        let mut paths = vec![location.pointer.clone(), own];
        for path in core_files(location.install_core()) {
            // A localized core's upgrader is the configuration's own.
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
        Self::of_files(paths)
    }

    /// The files of the core in this `install/core` folder alone, whatever project it is for.
    #[cfg(unix)]
    // For `sgtk-pool`, whose templates import a core for no project.
    #[doc(hidden)]
    pub fn of_core(install_core: &Path) -> Self {
        Self::of_files(core_files(install_core).to_vec())
    }

    fn of_files(paths: Vec<PathBuf>) -> Self {
        Self { files: paths.into_iter().map(|path| (path.clone(), Seen::at(&path))).collect() }
    }

    /// The files that are not in `later` as they are here: what to name when a core is imported anew.
    pub fn changed<'a>(&'a self, later: &'a Self) -> impl Iterator<Item = &'a Path> {
        let changed = self.files.iter().filter(|file| !later.files.contains(file));
        changed.map(|(path, _)| path.as_path())
    }
}

fn core_files(core: &Path) -> [PathBuf; 4] {
    ["_core_upgrader.py", "info.yml", "python/tank/__init__.py", "python/sgtk/__init__.py"]
        .map(|file| core.join(file))
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Missing,
    Unreadable,
    There { identity: Identity, size: u64, modified: Option<SystemTime> },
}

impl Seen {
    fn at(path: &Path) -> Self {
        match fs::metadata(path) {
            Ok(metadata) => Self::There {
                identity: Identity::of(&metadata),
                size: metadata.len(),
                modified: metadata.modified().ok(),
            },
            Err(error) => match error.kind() {
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => Self::Missing,
                _ => Self::Unreadable,
            },
        }
    }
}

/// Which file it is, whatever its name.
#[cfg(unix)]
#[derive(Clone, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

#[cfg(unix)]
impl Identity {
    fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

#[cfg(not(unix))]
#[derive(Clone, Debug, PartialEq, Eq)]
struct Identity {
    created: Option<SystemTime>,
}

#[cfg(not(unix))]
impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self { created: metadata.created().ok() }
    }
}
