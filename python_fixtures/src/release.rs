//! A core that is put over another one file by file, as upgrades do.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::core::Core;

/// A core that lies apart, to be copied over another one.
pub struct Release {
    core: PathBuf,
    files: Vec<PathBuf>,
    _temporary: TempDir,
}

/// What Toolkit calls a backup that it has begun at some time.
const BACKUP: &str = "20260102_030405";

/// A step of an upgrade.
#[derive(Clone, Debug)]
pub enum Change {
    /// The old file is copied to the backup beside the core.
    BackUp(PathBuf),
    /// The old file goes.
    Delete(PathBuf),
    /// The new one comes.
    Copy(PathBuf),
}

impl Release {
    /// Lays it down.
    ///
    /// # Errors
    ///
    /// When a file can't be written.
    pub fn new(core: &Core) -> io::Result<Release> {
        let temporary = tempfile::tempdir()?;
        let core = core.lay(temporary.path())?;
        let mut files = Vec::new();
        list(&core, &core, &mut files)?;
        files.sort();
        Ok(Release { core, files, _temporary: temporary })
    }

    /// Its files, below `install/core`.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Puts one of its files into an `install/core` folder: over the one that is there, as `cp` does, or as
    /// another file in its place. Never in the second in which another version was written: Python takes a
    /// file of the same size and second for the one whose bytecode it has.
    ///
    /// # Errors
    ///
    /// When the file can't be written.
    pub fn copy(&self, file: &Path, to: &Path, in_place: bool) -> io::Result<()> {
        static COPIES: AtomicU64 = AtomicU64::new(1);
        let later = Duration::from_secs(2 * COPIES.fetch_add(1, Ordering::Relaxed));
        let target = to.join(file);
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder)?;
        }
        let written = if in_place { target.clone() } else { target.with_extension("new") };
        fs::copy(self.core.join(file), &written)?;
        fs::File::options().write(true).open(&written)?.set_modified(SystemTime::now() + later)?;
        if in_place { Ok(()) } else { fs::rename(written, target) }
    }

    /// Does one step in an `install/core` folder.
    ///
    /// # Errors
    ///
    /// When the file can't be written. One that is not there is deleted already.
    pub fn change(&self, change: &Change, core: &Path, in_place: bool) -> io::Result<()> {
        match change {
            Change::BackUp(file) => {
                let backup = core.with_file_name("core.backup").join(BACKUP).join(file);
                if let Some(folder) = backup.parent() {
                    fs::create_dir_all(folder)?;
                }
                // With a time of its own, as Toolkit copies it.
                fs::write(backup, fs::read(core.join(file))?)
            }
            Change::Delete(file) => match fs::remove_file(core.join(file)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
            Change::Copy(file) => self.copy(file, core, in_place),
        }
    }

    /// The steps of an upgrade, in an order that a number gives. Where it deletes first, as Toolkit's own
    /// upgrader does, all old files go before a new one comes; else half of them are deleted somewhere before
    /// they are replaced.
    pub fn upgrade(&self, order: u64, deletes_first: bool) -> Vec<Change> {
        let mut state = order;
        let mut deletes: Vec<_> = self.files.iter().cloned().map(Change::Delete).collect();
        let mut copies: Vec<_> = self.files.iter().cloned().map(Change::Copy).collect();
        shuffle(&mut deletes, &mut state);
        shuffle(&mut copies, &mut state);
        if deletes_first {
            deletes.extend(copies);
            return deletes;
        }
        deletes.truncate(self.files.len() / 2);
        deletes.extend(copies);
        shuffle(&mut deletes, &mut state);
        let mut copied = Vec::new();
        deletes.retain(|change| match change {
            Change::Copy(file) => {
                copied.push(file.clone());
                true
            }
            Change::Delete(file) => !copied.contains(file),
            Change::BackUp(_) => true,
        });
        deletes
    }
}

/// The steps of Toolkit's own upgrade of the core in an `install/core` folder: a backup, the end of each old
/// file, and the new ones, each in an order that a number gives. So many files are in use somewhere and can
/// be neither deleted nor written to, which Toolkit passes over. The old files become an hour old.
///
/// # Errors
///
/// When the folder can't be read, or a file not be dated.
pub fn upgrade_by_toolkit(
    core: &Path,
    release: &Release,
    order: u64,
    in_use: usize,
) -> io::Result<Vec<Change>> {
    let mut state = order;
    let mut old = Vec::new();
    list(core, core, &mut old)?;
    old.sort();
    for file in &old {
        let opened = fs::File::options().write(true).open(core.join(file))?;
        opened.set_modified(SystemTime::now() - Duration::from_secs(3600))?;
    }
    shuffle(&mut old, &mut state);
    let mut new = release.files.clone();
    shuffle(&mut new, &mut state);
    let (stuck, deleted) = old.split_at(in_use.min(old.len()));
    let copied = new.into_iter().filter(|file| !stuck.contains(file));
    let mut changes: Vec<_> = old.iter().cloned().map(Change::BackUp).collect();
    changes.extend(deleted.iter().cloned().map(Change::Delete));
    changes.extend(copied.map(Change::Copy));
    Ok(changes)
}

/// A small generator of numbers that look random.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

fn shuffle<T>(items: &mut [T], state: &mut u64) {
    for index in (1..items.len()).rev() {
        items.swap(index, next(state) as usize % (index + 1));
    }
}

fn list(folder: &Path, root: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, root, files)?;
        } else if let Ok(file) = path.strip_prefix(root) {
            files.push(file.to_owned());
        }
    }
    Ok(())
}
