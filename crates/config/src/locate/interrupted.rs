//! Whether a core that nobody has imported yet shows that an upgrade of it is under way, or was broken off.
//!
//! There is no earlier look at such a core to compare with. Two things are known from its files alone.
//!
//! Toolkit's own upgrade (`tank core`, `tank localize`) first copies the core to
//! `install/core.backup/<date>_<time>`, then deletes the core's files one by one, then copies the new ones.
//! Copies get new times, so when it has ended no file of the core is older than its copy in the backup. One
//! that is, where others are gone or newer than the backup, was not come to yet.
//!
//! Whatever replaces files in place leaves old ones beside ones of this moment. Once it has been quiet for a
//! while nothing tells it from a core that was edited, or updated by a tool that leaves equal files alone.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use walkdir::WalkDir;

use crate::disk::{Fingerprint, Stamp};

/// How many files an error names.
const NAMED: usize = 3;

/// What shows that Toolkit's own upgrade has begun and not ended, in words: by the newest backup.
pub(super) fn by_backup(core: &Path, files: &Fingerprint) -> Option<String> {
    let backup = newest_backup(core)?;
    let before = Fingerprint::of_core(&backup);
    let copy_of = |file: &Path| Some(backup.join(file.strip_prefix(core).ok()?));
    // Its entry may have changed since for other reasons, such as a link to it that has gone.
    let is_like_its_copy = |file: &Path| copy_of(file).is_some_and(|copy| is_same_text(file, &copy));
    let is_old = |file: &Path, stamp: Stamp| {
        copy_of(file).is_some_and(|copy| stamp.is_older_than(before.stamp(&copy))) && is_like_its_copy(file)
    };
    let there = files.iter().filter(|(_, stamp)| stamp.is_there());
    let (old, others): (Vec<_>, Vec<_>) = there.partition(|(file, stamp)| is_old(file, *stamp));
    let old = named(core, old.into_iter().map(|(file, _)| file))?;
    let name = backup.file_name().unwrap_or_default().display();
    let others: Vec<_> = others.into_iter().filter(|(file, _)| !is_like_its_copy(file)).collect();
    let is_new = |stamp: Stamp| before.iter().all(|(_, copy)| stamp.is_newer_than(copy));
    let new = others.iter().filter(|(_, stamp)| is_new(*stamp)).map(|(file, _)| *file);
    if let Some(new) = named(core, new) {
        return Some(format!("newer than the backup {name}: {new}; older: {old}"));
    }
    // Files that are neither are others' work: then what is missing need not be missed.
    let gone =
        if others.is_empty() { named(&backup, not_there(&backup, &before, core, files)) } else { None };
    gone.map(|gone| format!("only in the backup {name}: {gone}; still here: {old}"))
}

/// What shows that an upgrade of Toolkit's own has not come to its end, in words, where no file is older than
/// the newest backup: files of that are not there, and others were changed within `quiet`. Later they are
/// files that the new version does not have.
pub(super) fn gone_since_backup(
    core: &Path,
    files: &Fingerprint,
    quiet: Duration,
    now: SystemTime,
) -> Option<String> {
    if !is_changing(files, quiet, now) {
        return None;
    }
    let backup = newest_backup(core)?;
    let before = Fingerprint::of_core(&backup);
    let gone = named(&backup, not_there(&backup, &before, core, files))?;
    let name = backup.file_name().unwrap_or_default().display();
    Some(format!("only in the backup {name}: {gone}; others changed a moment ago"))
}

/// Whether any file was changed within `quiet`.
fn is_changing(files: &Fingerprint, quiet: Duration, now: SystemTime) -> bool {
    let newest = files.iter().filter_map(|(_, stamp)| stamp.entry_changed()).max();
    newest.is_some_and(|newest| now.duration_since(newest).map_or(true, |ago| ago < quiet))
}

/// The files of a backup that the core does not have.
fn not_there<'a>(
    backup: &'a Path,
    before: &'a Fingerprint,
    core: &'a Path,
    files: &'a Fingerprint,
) -> impl Iterator<Item = &'a Path> {
    before.iter().filter(|(_, stamp)| stamp.is_there()).map(|(file, _)| file).filter(move |file| {
        file.strip_prefix(backup).is_ok_and(|file| !files.stamp(&core.join(file)).is_there())
    })
}

/// What shows that files are being replaced in place at this moment, in words: some were changed within
/// `quiet`, and others before with as long a time in between.
pub(super) fn by_times(core: &Path, files: &Fingerprint, quiet: Duration, now: SystemTime) -> Option<String> {
    if !is_changing(files, quiet, now) {
        return None;
    }
    let mut changes: Vec<_> =
        files.iter().filter_map(|(file, stamp)| Some((stamp.entry_changed()?, file))).collect();
    changes.sort_unstable();
    let gap = changes.windows(2).rposition(|pair| match pair {
        [(one, _), (next, _)] => next.duration_since(*one).is_ok_and(|gap| gap > quiet),
        _ => false,
    });
    let (old, new) = changes.split_at_checked(gap? + 1)?;
    let [old, new] = [old, new].map(|files| named(core, files.iter().map(|(_, file)| *file)));
    Some(format!("{} changed a moment ago, and {} did not", new?, old?))
}

/// The folder of the newest backup, which has the time of its beginning as its name.
fn newest_backup(core: &Path) -> Option<PathBuf> {
    let backups = WalkDir::new(core.parent()?.join("core.backup")).min_depth(1).max_depth(1);
    let folders = backups.into_iter().filter_map(Result::ok).filter(|entry| {
        entry.file_type().is_dir() && entry.file_name().to_str().is_some_and(is_date_and_time)
    });
    folders.map(walkdir::DirEntry::into_path).max()
}

/// As `20260131_235959`.
fn is_date_and_time(name: &str) -> bool {
    name.split_once('_').is_some_and(|(date, time)| {
        (date.len(), time.len()) == (8, 6) && (date.bytes().chain(time.bytes())).all(|c| c.is_ascii_digit())
    })
}

/// The first names of files and how many more there are; nothing where there are none.
pub(super) fn named<'a>(core: &Path, files: impl Iterator<Item = &'a Path>) -> Option<String> {
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

fn is_same_text(one: &Path, other: &Path) -> bool {
    let [one, other] = [one, other].map(std::fs::read);
    matches!((one, other), (Ok(one), Ok(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const FILES: [&str; 4] = ["info.yml", "python/tank/__init__.py", "python/tank/api.py", "hooks/a.py"];

    /// A core of long ago, and a clock that goes on with each file that is written.
    struct Disk {
        folder: tempfile::TempDir,
        clock: SystemTime,
    }

    impl Disk {
        fn with_an_old_core() -> Self {
            let clock = SystemTime::now() - Duration::from_secs(3600);
            let mut disk = Self { folder: tempfile::tempdir().unwrap(), clock };
            disk.lay("core", "old", FILES.len());
            disk
        }

        fn core(&self) -> PathBuf {
            self.folder.path().join("core")
        }

        fn write(&mut self, file: &str, text: &str) {
            let path = self.folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            self.clock += Duration::from_secs(1);
            fs::File::options().write(true).open(&path).unwrap().set_modified(self.clock).unwrap();
        }

        fn lay(&mut self, folder: &str, text: &str, files: usize) {
            for file in &FILES[..files] {
                self.write(&format!("{folder}/{file}"), &format!("{text} {file}"));
            }
        }

        fn back_up(&mut self, files: usize) {
            self.lay("core.backup/20260102_030405", "old", files);
        }

        fn delete(&self, files: usize) {
            for file in &FILES[..files] {
                fs::remove_file(self.core().join(file)).unwrap();
            }
        }

        fn found(&self) -> Option<String> {
            let core = self.core();
            by_backup(&core, &Fingerprint::of_core(&core))
        }
    }

    #[test]
    fn an_upgrade_of_toolkits_own_that_stops_anywhere_between_is_told_by_its_backup() {
        let mut disk = Disk::with_an_old_core();
        assert_eq!(disk.found(), None);
        for files in 1..=FILES.len() {
            disk.back_up(files);
            assert_eq!(disk.found(), None, "nothing was deleted yet");
        }
        for files in 1..FILES.len() {
            let mut disk = Disk::with_an_old_core();
            disk.back_up(FILES.len());
            disk.delete(files);
            let found = disk.found().unwrap();
            assert!(found.starts_with("only in the backup 20260102_030405: "), "{found}");
            assert_eq!(found.ends_with("still here: hooks/a.py"), files == 3, "{found}");
            // Files that could not be deleted, which Toolkit passes over.
            disk.lay("core", "new", files);
            let found = disk.found().unwrap();
            assert!(found.starts_with("newer than the backup 20260102_030405: info.yml"), "{found}");
            disk.lay("core", "new", FILES.len());
            assert_eq!(disk.found(), None, "all is new");
        }
    }

    #[test]
    fn files_that_an_upgrade_of_toolkits_own_has_deleted_are_waited_for_until_it_is_quiet() {
        let mut disk = Disk::with_an_old_core();
        disk.back_up(FILES.len());
        disk.delete(FILES.len());
        disk.lay("core", "new", 3);
        let (core, quiet, now) = (disk.core(), Duration::from_secs(10), SystemTime::now());
        let found = |now| gone_since_backup(&core, &Fingerprint::of_core(&core), quiet, now);
        let text = found(now).unwrap();
        assert!(text.starts_with("only in the backup 20260102_030405: hooks/a.py; "), "{text}");
        assert_eq!(found(now + quiet + Duration::from_secs(1)), None);
        disk.lay("core", "new", FILES.len());
        assert_eq!(found(now), None);
    }

    #[test]
    fn files_that_are_equal_in_both_versions_are_new_by_their_times() {
        let mut disk = Disk::with_an_old_core();
        disk.back_up(FILES.len());
        disk.delete(FILES.len());
        disk.lay("core", "old", 3);
        assert_eq!(disk.found(), None, "what is there is of one version");
        disk.lay("core", "old", FILES.len());
        assert_eq!(disk.found(), None);
    }

    #[test]
    fn a_backup_of_an_earlier_upgrade_says_nothing_of_what_other_tools_did_since() {
        let mut disk = Disk::with_an_old_core();
        disk.back_up(FILES.len());
        disk.lay("core", "new", FILES.len());
        disk.delete(1);
        assert_eq!(disk.found(), None);
        disk.write("core.backup/activation_13/info.yml", "setup");
        assert_eq!(disk.found(), None);
    }

    #[test]
    fn old_files_beside_ones_of_this_moment_are_told_until_it_is_quiet() {
        let (folder, quiet) = (tempfile::tempdir().unwrap(), Duration::from_secs(10));
        let core = folder.path();
        let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let files = |times: [u64; 3]| {
            let names = ["a.py", "b.py", "c.py"].map(|name| core.join(name));
            Fingerprint::with_times(names.into_iter().zip(times.map(at)))
        };
        let found = |times: [u64; 3], now: u64| by_times(core, &files(times), quiet, at(now));
        assert_eq!(found([1000, 1005, 1010], 1011), None, "one burst");
        let told = "c.py changed a moment ago, and a.py, b.py did not";
        assert_eq!(found([1000, 1005, 5000], 5009).as_deref(), Some(told));
        assert_eq!(found([1000, 1005, 5000], 5010), None, "it has been quiet");
        let told = "b.py, c.py changed a moment ago, and a.py did not";
        assert_eq!(found([1000, 4995, 5000], 4990).as_deref(), Some(told), "by a clock that is ahead");
    }
}
