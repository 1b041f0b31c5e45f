//! Whether a core on disk is whole, or in the middle of an upgrade.
//!
//! An upgrade replaces a core file by file, in seconds on a local disk and in minutes on a network drive, and
//! at any moment each file may be the old one, missing, or the new one. An import in between gets a mix of
//! both. So the files of each core that was imported are remembered: where they have changed since and some
//! are still the very same, the upgrade has not come to those yet.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::disk::Fingerprint;
use crate::locate::CoreLocation;

/// How many files an error names.
const NAMED: usize = 3;

/// A core's files are being replaced, so that an import would get some of the old core and some of the new.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the core of project '{project}' in {core} is being changed: {found}; an upgrade may be running", core = core.display())]
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
}

/// The cores that were imported, by their install folders. The lock is held for moments, and no file is
/// looked at meanwhile.
#[derive(Debug)]
pub struct CoresOnDisk {
    /// How long a core has to stay as it is before it counts as whole, although some of its files were not
    /// replaced: it was edited in place, or upgraded by something that leaves equal files alone.
    settle: Duration,
    known: Mutex<HashMap<PathBuf, Known>>,
}

#[derive(Debug)]
struct Known {
    marks: Marks,
    /// The files of the last import.
    imported: Fingerprint,
    /// The files at the last look that found others than at the look before.
    seen: Fingerprint,
    since: Instant,
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
}

impl CoresOnDisk {
    /// Knows of no core yet. `settle` is how long one has to stay as it is before it counts as whole,
    /// although some of its files were not replaced.
    #[must_use]
    pub fn new(settle: Duration) -> Self {
        Self { settle, known: Mutex::default() }
    }

    /// The core's files as they are now, where they are all of one version as far as can be told.
    ///
    /// # Errors
    /// [`CoreChanging`].
    pub fn whole(&self, location: &CoreLocation) -> Result<BeforeImport, CoreChanging> {
        let core = location.install_core();
        let before = BeforeImport { files: Fingerprint::of_core(core), marks: Marks::of(core) };
        self.judge(core, &before, Instant::now()).map_err(|found| changing(location, found))?;
        Ok(before)
    }

    /// Notes that the core was imported.
    ///
    /// # Errors
    /// [`CoreChanging`] where its files have changed meanwhile: what was imported may be a mix.
    pub fn imported(&self, location: &CoreLocation, before: BeforeImport) -> Result<(), CoreChanging> {
        let core = location.install_core();
        let now = Fingerprint::of_core(core);
        let changed = named(core, before.files.changed(&now));
        if let Some(changed) = changed {
            return Err(changing(location, format!("while it was imported, {changed} changed")));
        }
        let known = Known { marks: before.marks, imported: before.files, seen: now, since: Instant::now() };
        self.known.lock().insert(core.to_owned(), known);
        Ok(())
    }

    fn judge(&self, core: &Path, now_there: &BeforeImport, now: Instant) -> Result<(), String> {
        let files = &now_there.files;
        let mut known = self.known.lock();
        let Some(known) = known.get_mut(core) else { return Ok(()) };
        let is_a_mark = |file: &Path| known.marks.contains(file);
        if known.imported.changed(files).all(is_a_mark) && known.marks == now_there.marks {
            return Ok(());
        }
        if known.seen != *files {
            known.seen.clone_from(files);
            known.since = now;
        }
        let Some(same) = named(core, known.imported.same(files)) else { return Ok(()) };
        if now.duration_since(known.since) >= self.settle {
            return Ok(());
        }
        let replaced = named(core, known.imported.changed(files)).unwrap_or_default();
        Err(format!("{replaced} changed, and {same} did not"))
    }
}

fn changing(location: &CoreLocation, found: String) -> CoreChanging {
    let (project, core) = (location.project().to_owned(), location.install_core().to_owned());
    CoreChanging { project, core, found }
}

/// The first names of files and how many more there are; nothing where there are none.
fn named<'a>(core: &Path, files: impl Iterator<Item = &'a Path>) -> Option<String> {
    let mut names: Vec<_> =
        files.map(|file| file.strip_prefix(core).unwrap_or(file).display().to_string()).collect();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    match (names.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(names.join(", ")),
        (false, more) => Some(format!("{} and {more} more", names.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const SETTLE: Duration = Duration::from_secs(10);

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
            let known =
                Known { marks: now.marks, imported: now.files.clone(), seen: now.files, since: begun };
            disk.cores.known.lock().insert(disk.folder.path().to_owned(), known);
            disk
        }

        /// As an upgrade does: another file in its place.
        fn write(&self, file: &str, text: &str) {
            let path = self.folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let new = path.with_extension("new");
            fs::write(&new, text).unwrap();
            fs::rename(new, path).unwrap();
        }

        fn now(&self) -> BeforeImport {
            let core = self.folder.path();
            BeforeImport { files: Fingerprint::of_core(core), marks: Marks::of(core) }
        }

        fn judge(&self, after: Duration) -> Result<(), String> {
            self.cores.judge(self.folder.path(), &self.now(), self.begun + after)
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
        fs::remove_file(disk.folder.path().join("info.yml")).unwrap();
        disk.judge(Duration::ZERO).unwrap_err();
        disk.write("info.yml", "old");
        disk.judge(Duration::ZERO).unwrap();
    }

    #[test]
    fn files_that_are_gone_for_good_are_not_waited_for() {
        let disk = Disk::with_an_imported_core();
        fs::remove_file(disk.folder.path().join("python/tank/api.py")).unwrap();
        disk.judge(Duration::ZERO).unwrap_err();
        disk.write("info.yml", "new");
        disk.write("python/tank/__init__.py", "new");
        disk.judge(Duration::ZERO).unwrap();
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
