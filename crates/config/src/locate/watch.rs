//! Whether a core in memory is still the one on disk.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::CoreLocation;
use crate::disk::Fingerprint;

/// For how long after an import every look is at all files. A core that was half new when it was imported, on
/// a drive that stalled in the middle of an upgrade, has the other half by then, or is stuck for good.
const SETTLING: Duration = Duration::from_secs(60);

/// How often all files are looked at after that, for one that somebody edits in place.
const ALL_EVERY: Duration = Duration::from_secs(300);

/// What the files of a core looked like before it was imported, to tell later whether it has to be imported
/// again.
///
/// An upgrade replaces file by file: an import in the middle of it gets some of the old core and some of the
/// new. So take one **before** each import, ask [`changed_since`](Self::changed_since) right after it, and
/// import again where that names files. From then on ask [`changed`](Self::changed): for the first minute it
/// looks at all files, then at the few that change with each upgrade, and at all again every five minutes.
#[derive(Clone, Debug)]
pub struct CoreWatch {
    location: CoreLocation,
    quick: Fingerprint,
    /// All files of the core, which other projects on it have in common.
    core: Fingerprint,
    begun: Instant,
    /// When all files were last looked at.
    looked: Instant,
}

impl CoreWatch {
    /// The core's files as they are now.
    #[must_use]
    pub fn before_import(location: &CoreLocation) -> Self {
        Self::with_files(location, Fingerprint::of_core(location.install_core()))
    }

    /// As [`before_import`](Self::before_import), where the files of the core are known.
    pub(super) fn with_files(location: &CoreLocation, core: Fingerprint) -> Self {
        let now = Instant::now();
        Self {
            quick: Fingerprint::quick(location),
            core,
            location: location.clone(),
            begun: now,
            looked: now,
        }
    }

    /// The core that it watches.
    #[must_use]
    pub fn location(&self) -> &CoreLocation {
        &self.location
    }

    /// All files of the core as they were.
    // For `sgtk-host` and `sgtk-pool`, which look at them once before an import.
    #[doc(hidden)]
    #[must_use]
    pub fn files(&self) -> &Fingerprint {
        &self.core
    }

    /// What became of a file of the core's since, in words; nothing where it is still the same.
    // For `sgtk-host`, before a module is loaded late.
    #[doc(hidden)]
    #[must_use]
    pub fn what_became_of(&self, file: &Path) -> Option<&'static str> {
        self.core.what_became_of(file)
    }

    /// The files that are not what they were, of all. Empty where none is.
    #[must_use]
    pub fn changed_since(&self) -> Vec<PathBuf> {
        self.changed_from(&Fingerprint::of_core(self.location.install_core()))
    }

    /// As [`changed_since`](Self::changed_since), where [all files of the core](Fingerprint::of_core) were
    /// looked at already.
    // For `sgtk-host`, whose audit looks once at a core that many projects share.
    #[doc(hidden)]
    #[must_use]
    pub fn changed_from(&self, core: &Fingerprint) -> Vec<PathBuf> {
        let quick = Fingerprint::quick(&self.location);
        let (quick, core) = (self.quick.changed(&quick), self.core.changed(core));
        // The decisive files are among all.
        let changed: BTreeSet<&OsStr> = quick.chain(core).map(Path::as_os_str).collect();
        changed.into_iter().map(PathBuf::from).collect()
    }

    /// The files that are not what they were, of all while the core settles and from time to time, else of
    /// the few that change with each upgrade. Empty where none is.
    pub fn changed(&mut self) -> Vec<PathBuf> {
        self.changed_at(Instant::now())
    }

    fn changed_at(&mut self, now: Instant) -> Vec<PathBuf> {
        let settling = now.duration_since(self.begun) < SETTLING;
        if settling || now.duration_since(self.looked) >= ALL_EVERY {
            self.looked = now;
            return self.changed_since();
        }
        self.quick.changed(&Fingerprint::quick(&self.location)).map(Path::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::Configs;

    /// A localized core that nobody has touched since its import, and one of its files that no quick look is
    /// at.
    fn imported() -> (tempfile::TempDir, CoreWatch, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let core = folder.path().join("a/install/core");
        for file in ["_core_upgrader.py", "info.yml", "python/sgtk/__init__.py", "python/tank/__init__.py"] {
            fs::create_dir_all(core.join(file).parent().unwrap()).unwrap();
            fs::write(core.join(file), "").unwrap();
        }
        let api = core.join("python/tank/api.py");
        fs::write(&api, "").unwrap();
        let watch = CoreWatch::before_import(&Configs::new(folder.path()).locate("a").unwrap());
        (folder, watch, api)
    }

    #[test]
    fn the_second_half_of_an_upgrade_is_noticed_while_the_core_settles() {
        let (_folder, mut watch, api) = imported();
        assert!(watch.changed().is_empty());
        fs::write(&api, "new").unwrap();
        assert_eq!(watch.changed_since(), std::slice::from_ref(&api));
        assert_eq!(watch.changed_at(watch.begun + SETTLING / 2), [api]);
    }

    #[test]
    fn after_that_all_files_are_looked_at_from_time_to_time_and_the_decisive_ones_always() {
        let (_folder, mut watch, api) = imported();
        fs::write(&api, "new").unwrap();
        let settled = watch.begun + SETTLING;
        assert!(watch.changed_at(settled).is_empty());
        assert_eq!(watch.changed_at(watch.begun + ALL_EVERY), std::slice::from_ref(&api));
        assert!(watch.changed_at(watch.begun + ALL_EVERY + SETTLING).is_empty());
        let upgrader = watch.location().install_core().join("_core_upgrader.py");
        fs::write(&upgrader, "new").unwrap();
        assert_eq!(watch.changed_at(watch.begun + ALL_EVERY + SETTLING), [upgrader]);
    }
}
