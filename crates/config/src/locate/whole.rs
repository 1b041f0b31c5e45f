//! Whether a core on disk is whole, or in the middle of an upgrade.
//!
//! An upgrade replaces a core file by file, in seconds on a local disk and in minutes on a network drive, and
//! at any moment each file may be the old one, missing, or the new one. An import in between gets a mix of
//! both. So the files of each core that was imported are remembered: where they have changed since and some
//! are still the very same, the upgrade has not come to those yet. What a core that was never imported tells
//! by itself is in `interrupted`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use crate::disk::Fingerprint;
use crate::locate::{CoreLocation, CoreWatch, interrupted};

/// A core's files are being replaced, so that an import would get some of the old core and some of the new.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "the core of project '{project}' in {core} is being changed: {found}; an upgrade may be running",
    core = core.display()
)]
#[non_exhaustive]
pub struct CoreChanging {
    /// The project.
    pub project: String,
    /// The core's install folder.
    pub core: PathBuf,
    /// What shows it.
    pub found: String,
}

impl CoreChanging {
    // For `sgtk-pool`, whose templates belong to no project.
    #[doc(hidden)]
    #[must_use]
    pub fn new(project: String, core: PathBuf, found: String) -> Self {
        Self { project, core, found }
    }

    /// With what came of an import meanwhile.
    // For `sgtk-pool`, whose workers import.
    #[doc(hidden)]
    #[must_use]
    pub fn and(self, error: &str) -> Self {
        Self { found: format!("{} ({error})", self.found), ..self }
    }
}

/// The cores that were imported or looked at, by their install folders. The lock is held for moments, and no
/// file is looked at meanwhile.
#[derive(Debug)]
pub struct CoresOnDisk {
    /// How long a core has to stay as it is before it counts as whole, although some of its files were not
    /// replaced: it was edited in place, or upgraded by something that leaves equal files alone.
    settle: Duration,
    known: Mutex<HashMap<PathBuf, Known>>,
}

#[derive(Debug)]
struct Known {
    /// The last import.
    imported: Option<BeforeImport>,
    /// The files at the last look that found others than at the look before.
    seen: Fingerprint,
    since: Instant,
}

impl Known {
    /// How long the files have been what they are, as far as was looked.
    fn quiet(&mut self, files: &Fingerprint, now: Instant) -> Duration {
        if self.seen != *files {
            self.seen.clone_from(files);
            self.since = now;
        }
        now.duration_since(self.since)
    }
}

/// The files of a core just before it is imported.
#[derive(Clone, Debug)]
pub struct BeforeImport {
    files: Fingerprint,
    marks: Marks,
}

/// The contents of the few files by which a core is told. One that was missing for a moment and is there
/// again, with what was in it before, is the same to everybody but the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Marks(Vec<(PathBuf, Option<Vec<u8>>)>);

impl Marks {
    fn of(core: &Path) -> Self {
        let files = ["_core_upgrader.py", "info.yml", "python/tank/__init__.py", "python/sgtk/__init__.py"];
        Self(files.map(|file| core.join(file)).map(|file| (file.clone(), read(&file))).into())
    }

    fn contains(&self, file: &Path) -> bool {
        self.0.iter().any(|(mark, _)| mark == file)
    }
}

/// A small file's contents.
fn read(file: &Path) -> Option<Vec<u8>> {
    const LIMIT: u64 = 64 * 1024;
    let size = std::fs::metadata(file).ok()?.len();
    if size > LIMIT { Some(size.to_le_bytes().to_vec()) } else { std::fs::read(file).ok() }
}

impl BeforeImport {
    /// The files, as [`Fingerprint::of_core`] has them.
    #[must_use]
    pub fn files(&self) -> &Fingerprint {
        &self.files
    }

    /// Whether the core's files are others now than before its import was tried.
    // For `sgtk-host` and `sgtk-pool`, where the import has failed.
    #[doc(hidden)]
    #[must_use]
    pub fn changed_meanwhile(&self, location: &CoreLocation) -> Option<CoreChanging> {
        let core = location.install_core();
        let now = Fingerprint::of_core(core);
        let changed = interrupted::named(core, self.files.changed(&now))?;
        let found = format!("while it was imported, {changed} changed");
        Some(CoreChanging::new(location.project().to_owned(), core.to_owned(), found))
    }

    fn is_as(&self, now: &Self) -> bool {
        let is_a_mark = |file: &Path| self.marks.contains(file);
        self.files.changed(&now.files).all(is_a_mark) && self.marks == now.marks
    }

    /// Which files are others than these and which are not, where there are both.
    fn half_replaced_by(&self, core: &Path, files: &Fingerprint) -> Option<String> {
        let same = interrupted::named(core, self.files.same(files))?;
        let replaced = interrupted::named(core, self.files.changed(files)).unwrap_or_default();
        Some(format!("{replaced} changed, and {same} did not"))
    }
}

impl CoresOnDisk {
    /// Knows of no core yet. `settle` is how long one has to stay as it is before it counts as whole,
    /// although some of its files were not replaced.
    #[must_use]
    pub fn new(settle: Duration) -> Self {
        Self { settle, known: Mutex::default() }
    }

    /// How long a core has to stay as it is.
    #[must_use]
    pub fn settle(&self) -> Duration {
        self.settle
    }

    /// The core's files as they were seen just now, where they are all of one version as far as can be told.
    ///
    /// # Errors
    /// [`CoreChanging`].
    pub fn whole(&self, watch: &CoreWatch) -> Result<BeforeImport, CoreChanging> {
        let location = watch.location();
        self.judged(location.project(), location.install_core(), watch.files().clone())
    }

    /// As [`whole`](Self::whole), for a core that a bootstrap starts from, by its install folder: its files
    /// as they are now.
    ///
    /// # Errors
    /// [`CoreChanging`].
    pub fn whole_core(&self, project: &str, install_core: &Path) -> Result<BeforeImport, CoreChanging> {
        self.judged(project, install_core, Fingerprint::of_core(install_core))
    }

    fn judged(
        &self,
        project: &str,
        install_core: &Path,
        files: Fingerprint,
    ) -> Result<BeforeImport, CoreChanging> {
        let before = BeforeImport { files, marks: Marks::of(install_core) };
        match self.judge(install_core, &before, Instant::now()) {
            Ok(()) => Ok(before),
            Err(found) => Err(CoreChanging::new(project.to_owned(), install_core.to_owned(), found)),
        }
    }

    /// The core's files as they were at its last import, where no look has found others since. An import
    /// after which they are still the same has read these, without a look before it.
    // For `sgtk-host`, which imports a core once for each project on it.
    #[doc(hidden)]
    #[must_use]
    pub fn last_imported(&self, install_core: &Path) -> Option<BeforeImport> {
        let known = self.known.lock();
        let Known { imported, seen, .. } = known.get(install_core)?;
        imported.as_ref().filter(|imported| imported.files == *seen).cloned()
    }

    /// Notes that the core was imported.
    ///
    /// # Errors
    /// [`CoreChanging`] where its files have changed meanwhile: what was imported may be a mix.
    pub fn imported(&self, location: &CoreLocation, before: BeforeImport) -> Result<(), CoreChanging> {
        let core = location.install_core();
        if let Some(changing) = before.changed_meanwhile(location) {
            return Err(changing);
        }
        let seen = before.files.clone();
        let known = Known { imported: Some(before), seen, since: Instant::now() };
        self.known.lock().insert(core.to_owned(), known);
        Ok(())
    }

    fn judge(&self, core: &Path, now_there: &BeforeImport, now: Instant) -> Result<(), String> {
        if self.is_as_imported(core, now_there) {
            return Ok(());
        }
        // Both look at files.
        if let Some(found) = interrupted::by_backup(core, &now_there.files) {
            return Err(found);
        }
        let clock = SystemTime::now();
        let by_times = interrupted::by_times(core, &now_there.files, self.settle, clock);
        let gone = interrupted::gone_since_backup(core, &now_there.files, self.settle, clock);
        let mut all = self.known.lock();
        let known = all.entry(core.to_owned()).or_insert_with(|| Known {
            imported: None,
            seen: now_there.files.clone(),
            since: now,
        });
        let half_replaced = match &known.imported {
            None => by_times,
            Some(imported) => imported.half_replaced_by(core, &now_there.files),
        };
        let found = half_replaced.or(gone);
        match found {
            Some(found) if known.quiet(&now_there.files, now) < self.settle => Err(found),
            _ => Ok(()),
        }
    }

    fn is_as_imported(&self, core: &Path, now_there: &BeforeImport) -> bool {
        let known = self.known.lock();
        let imported = known.get(core).and_then(|known| known.imported.as_ref());
        imported.is_some_and(|imported| imported.is_as(now_there))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Longer than any test takes, as the times of files are real.
    const SETTLE: Duration = Duration::from_secs(1_000);

    struct Disk {
        folder: tempfile::TempDir,
        cores: CoresOnDisk,
        begun: Instant,
    }

    impl Disk {
        fn with_an_imported_core() -> Self {
            let (folder, begun) = (tempfile::tempdir().unwrap(), Instant::now());
            let disk = Self { folder, cores: CoresOnDisk::new(SETTLE), begun };
            for file in ["info.yml", "python/tank/__init__.py", "python/tank/api.py"] {
                disk.write(file, "old");
            }
            let now = disk.now();
            let known = Known { seen: now.files.clone(), imported: Some(now), since: begun };
            disk.cores.known.lock().insert(disk.core(), known);
            disk
        }

        fn core(&self) -> PathBuf {
            self.folder.path().join("core")
        }

        /// As an upgrade does: another file in its place.
        fn write(&self, file: &str, text: &str) {
            let path = self.core().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let new = path.with_extension("new");
            fs::write(&new, text).unwrap();
            fs::rename(new, path).unwrap();
        }

        fn now(&self) -> BeforeImport {
            let core = self.core();
            BeforeImport { files: Fingerprint::of_core(&core), marks: Marks::of(&core) }
        }

        fn judge(&self, after: Duration) -> Result<(), String> {
            self.cores.judge(&self.core(), &self.now(), self.begun + after)
        }
    }

    #[test]
    fn a_core_of_which_some_files_are_still_the_old_ones_is_not_whole() {
        let disk = Disk::with_an_imported_core();
        disk.judge(Duration::ZERO).unwrap();
        for file in ["info.yml", "python/tank/__init__.py"] {
            disk.write(file, "new");
            let found = disk.judge(Duration::ZERO).unwrap_err();
            assert!(found.contains("info.yml changed") || found.contains("info.yml, "), "{found}");
            assert!(found.ends_with("python/tank/api.py did not"), "{found}");
        }
        disk.write("python/tank/api.py", "new");
        disk.judge(Duration::ZERO).unwrap();
    }

    #[test]
    fn a_mark_that_was_away_and_is_back_as_it_was_changes_nothing() {
        let disk = Disk::with_an_imported_core();
        fs::remove_file(disk.core().join("info.yml")).unwrap();
        disk.judge(Duration::ZERO).unwrap_err();
        disk.write("info.yml", "old");
        disk.judge(Duration::ZERO).unwrap();
    }

    #[test]
    fn files_that_are_gone_for_good_are_not_waited_for() {
        let disk = Disk::with_an_imported_core();
        fs::remove_file(disk.core().join("python/tank/api.py")).unwrap();
        disk.judge(Duration::ZERO).unwrap_err();
        disk.write("info.yml", "new");
        disk.write("python/tank/__init__.py", "new");
        disk.judge(Duration::ZERO).unwrap();
    }

    #[test]
    fn files_that_a_backup_of_toolkits_own_has_are_waited_for_until_it_is_quiet() {
        let disk = Disk::with_an_imported_core();
        for file in ["info.yml", "python/tank/__init__.py", "python/tank/api.py"] {
            disk.write(&format!("../core.backup/20260102_030405/{file}"), "old");
            fs::remove_file(disk.core().join(file)).unwrap();
        }
        disk.write("info.yml", "new");
        disk.write("python/tank/__init__.py", "new");
        let found = disk.judge(Duration::ZERO).unwrap_err();
        assert!(found.starts_with("only in the backup 20260102_030405: python/tank/api.py; "), "{found}");
        disk.judge(SETTLE / 2).unwrap_err();
        disk.judge(SETTLE).unwrap();
        disk.write("python/tank/api.py", "new");
        disk.judge(SETTLE).unwrap();
    }

    #[test]
    fn a_core_that_was_edited_in_place_is_whole_once_it_has_been_quiet() {
        let disk = Disk::with_an_imported_core();
        disk.write("python/tank/api.py", "edited");
        disk.judge(SETTLE).unwrap_err();
        disk.write("python/tank/api.py", "edited again");
        disk.judge(SETTLE + SETTLE / 2).unwrap_err();
        disk.judge(SETTLE * 2).unwrap_err();
        disk.judge(SETTLE * 2 + SETTLE / 2).unwrap();
    }
}
