//! The files of compiled code of one Python.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::{CodeCache, CodeKey};

/// What each file begins with; the checksum and the code follow.
const MAGIC: &[u8; 16] = b"sgtk-host code 1";
const HEAD: usize = MAGIC.len() + 32;

/// Larger files are nobody's code, in bytes.
const LARGEST: u64 = 64 << 20;

/// How long a file stays that nobody uses.
const UNUSED: Duration = Duration::from_secs(30 * DAY);
const DAY: u64 = 24 * 60 * 60;

/// The file whose time tells when unused ones were last removed.
const REMOVED: &str = "removed";

/// Why compiled code cannot be kept in a folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnusableCodeCache {
    /// Others could put code there for the daemon to run. Take their permission to write away, or name
    /// another folder.
    #[error("compiled code in {} is not used: {found}", folder.display())]
    Unsafe {
        /// The folder.
        folder: PathBuf,
        /// Whose it is, or who can write to it.
        found: String,
    },
    /// It cannot be made or opened.
    #[error("no compiled code can be kept in {}: {source}", folder.display())]
    Io {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Compiled code on disk, of one Python. See [`CodeCache`].
#[derive(Debug)]
pub struct CodeStore {
    folder: folder::Folder,
    /// Whether there is no use in trying to write once more.
    is_read_only: AtomicBool,
    looked_for_unused: AtomicBool,
}

impl CodeStore {
    /// Opens the cache for a Python; `None` where it is off. `python` names its bytecode:
    /// `cpython-311-a70d0d0a`, the implementation's tag and its magic number.
    ///
    /// # Errors
    /// [`UnusableCodeCache`]
    pub fn open(cache: &CodeCache, python: &str) -> Result<Option<Self>, UnusableCodeCache> {
        let Some(path) = cache.folder() else { return Ok(None) };
        let folder = folder::Folder::open(&path, python)?;
        let (is_read_only, looked_for_unused) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Some(Self { folder, is_read_only, looked_for_unused }))
    }

    /// The code that was compiled from the source with this key. `None` where there is none that is whole.
    pub fn get(&self, key: &CodeKey) -> Option<Vec<u8>> {
        let name = key.file_name();
        let (mut file, size) = self.folder.open_file(&name)?;
        if size > LARGEST {
            return None;
        }
        let mut data = Vec::with_capacity(size as usize + 1);
        file.read_to_end(&mut data).ok()?;
        let (head, code) = data.split_at_checked(HEAD)?;
        let (magic, checksum) = head.split_at_checked(MAGIC.len())?;
        if magic != MAGIC || checksum != key.checksum(code) {
            return None;
        }
        note_use(&file);
        data.drain(..HEAD);
        Some(data)
    }

    /// Keeps code. Where that is not possible nothing is kept.
    pub fn put(&self, key: &CodeKey, code: &[u8]) {
        if self.is_read_only.load(Ordering::Relaxed) {
            return;
        }
        let parts: [&[u8]; 3] = [MAGIC, &key.checksum(code), code];
        if self.folder.write_file(&key.file_name(), &parts).is_err() {
            // Read-only, full, over its quota: others will meet the same.
            self.is_read_only.store(true, Ordering::Relaxed);
        } else if !self.looked_for_unused.swap(true, Ordering::Relaxed) {
            self.remove_unused();
        }
    }

    /// Removes, once a day, what nobody has used for long.
    fn remove_unused(&self) {
        let now = SystemTime::now();
        let older = |time: SystemTime, than: Duration| now.duration_since(time).is_ok_and(|age| age > than);
        let path = self.folder.path();
        let last = path.join(REMOVED).metadata().and_then(|metadata| metadata.modified());
        if last.is_ok_and(|last| !older(last, Duration::from_secs(DAY))) {
            return;
        }
        if self.folder.write_file(REMOVED, &[]).is_err() {
            return;
        }
        for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
            let used = entry.metadata().and_then(|metadata| metadata.modified());
            if used.is_ok_and(|used| older(used, UNUSED)) {
                // Another process may have been faster.
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

/// Has the file's time tell that it was used, in steps of a day.
fn note_use(file: &File) {
    let modified = file.metadata().and_then(|metadata| metadata.modified());
    let is_old = |time: SystemTime| time.elapsed().is_ok_and(|age| age.as_secs() > DAY);
    if modified.is_ok_and(is_old) {
        // It may be somebody else's, on a disk that cannot be written to.
        let _ = file.set_modified(SystemTime::now());
    }
}

/// A name for a file that is being written, which no other thread or process has.
fn temporary_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let moment = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!(".{}-{}-{moment}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(unix)]
mod folder {
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::DirBuilderExt;

    use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, mkdirat, openat, renameat, unlinkat};
    use rustix::process::geteuid;

    use super::*;

    /// A folder that was looked at once and stays open: what becomes of its path is of no matter.
    #[derive(Debug)]
    pub(super) struct Folder {
        open: OwnedFd,
        path: PathBuf,
    }

    const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

    impl Folder {
        pub(super) fn open(path: &Path, python: &str) -> Result<Self, UnusableCodeCache> {
            let io_error = |source| UnusableCodeCache::Io { folder: path.to_owned(), source };
            let os_error = |error: rustix::io::Errno| io_error(error.into());
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
            let opened = rustix::fs::open(path, FOLDER, Mode::empty());
            let top = match (opened, made) {
                (Ok(top), _) => top,
                (Err(_), Err(error)) => return Err(io_error(error)),
                (Err(error), Ok(())) => return Err(os_error(error)),
            };
            check(path, &fstat(&top).map_err(os_error)?)?;
            let made = mkdirat(&top, python, Mode::RWXU);
            let open = openat(&top, python, FOLDER | OFlags::NOFOLLOW, Mode::empty())
                .map_err(|error| os_error(made.err().unwrap_or(error)))?;
            let path = path.join(python);
            check(&path, &fstat(&open).map_err(os_error)?)?;
            Ok(Self { open, path })
        }

        pub(super) fn path(&self) -> &Path {
            &self.path
        }

        /// A file that nobody else could have written, and its size.
        pub(super) fn open_file(&self, name: &str) -> Option<(File, u64)> {
            // A pipe must not be waited for.
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = openat(&self.open, name, flags, Mode::empty()).ok()?;
            let found = fstat(&file).ok()?;
            let is_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
            if !is_file || unsafe_because(&found).is_some() {
                return None;
            }
            Some((File::from(file), u64::try_from(found.st_size).ok()?))
        }

        /// Writes a file so that others see all of it or nothing.
        pub(super) fn write_file(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
            let temporary = temporary_name();
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            // Its mode is given here, as the process's mask may be open while Toolkit copies files.
            let mut file = File::from(openat(&self.open, &temporary, flags, Mode::RUSR | Mode::WUSR)?);
            let written = parts.iter().try_for_each(|part| file.write_all(part));
            let written = written.and_then(|()| Ok(renameat(&self.open, &temporary, &self.open, name)?));
            if written.is_err() {
                let _ = unlinkat(&self.open, &temporary, rustix::fs::AtFlags::empty());
            }
            written
        }
    }

    fn check(folder: &Path, found: &Stat) -> Result<(), UnusableCodeCache> {
        match unsafe_because(found) {
            Some(found) => Err(UnusableCodeCache::Unsafe { folder: folder.to_owned(), found }),
            None => Ok(()),
        }
    }

    /// Why somebody else than the user, or root, could have written what is there.
    fn unsafe_because(found: &Stat) -> Option<String> {
        let user = geteuid().as_raw();
        if found.st_uid != user && found.st_uid != 0 {
            return Some(format!("it belongs to user {}, and not to user {user}", found.st_uid));
        }
        let mode = Mode::from_raw_mode(found.st_mode);
        let others = Mode::WGRP | Mode::WOTH;
        mode.intersects(others).then(|| format!("others can write to it (mode {:o})", mode.bits() & 0o777))
    }
}

#[cfg(not(unix))]
mod folder {
    use super::*;

    /// A folder that the caller has named.
    #[derive(Debug)]
    pub(super) struct Folder {
        path: PathBuf,
    }

    impl Folder {
        pub(super) fn open(path: &Path, python: &str) -> Result<Self, UnusableCodeCache> {
            let path = path.join(python);
            if let Err(source) = std::fs::create_dir_all(&path)
                && !path.is_dir()
            {
                return Err(UnusableCodeCache::Io { folder: path, source });
            }
            Ok(Self { path })
        }

        pub(super) fn path(&self) -> &Path {
            &self.path
        }

        pub(super) fn open_file(&self, name: &str) -> Option<(File, u64)> {
            let file = File::open(self.path.join(name)).ok()?;
            let size = file.metadata().ok().filter(|found| found.is_file())?.len();
            Some((file, size))
        }

        pub(super) fn write_file(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
            let temporary = self.path.join(temporary_name());
            let mut file = File::create_new(&temporary)?;
            let written = parts.iter().try_for_each(|part| file.write_all(part));
            drop(file);
            let written = written.and_then(|()| std::fs::rename(&temporary, self.path.join(name)));
            if written.is_err() {
                let _ = std::fs::remove_file(&temporary);
            }
            written
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    const PYTHON: &str = "cpython-311-a70d0d0a";

    struct Disk {
        folder: tempfile::TempDir,
        key: CodeKey,
    }

    impl Disk {
        fn with_code() -> Self {
            let disk = Self { folder: tempfile::tempdir().unwrap(), key: CodeKey::of(b"x = 1\n") };
            disk.store().put(&disk.key, b"code");
            assert_eq!(disk.get().as_deref(), Some(&b"code"[..]));
            disk
        }

        fn open(&self) -> Result<Option<CodeStore>, UnusableCodeCache> {
            CodeStore::open(&CodeCache::at(self.folder.path().join("code")), PYTHON)
        }

        fn store(&self) -> CodeStore {
            self.open().unwrap().unwrap()
        }

        fn get(&self) -> Option<Vec<u8>> {
            self.store().get(&self.key)
        }

        fn python(&self) -> PathBuf {
            self.folder.path().join("code").join(PYTHON)
        }

        fn file(&self) -> PathBuf {
            self.python().join(self.key.file_name())
        }
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn code_is_known_by_its_source_and_its_python() {
        let disk = Disk::with_code();
        assert_eq!(disk.store().get(&CodeKey::of(b"x = 2\n")), None);
        let other = CodeStore::open(&CodeCache::at(disk.folder.path().join("code")), "cpython-313-f30d0d0a");
        assert_eq!(other.unwrap().unwrap().get(&disk.key), None);
        assert!(CodeStore::open(&CodeCache::off(), PYTHON).unwrap().is_none());
    }

    #[test]
    fn torn_and_foreign_files_are_not_taken_and_are_replaced() {
        let disk = Disk::with_code();
        let whole = fs::read(disk.file()).unwrap();
        let other = CodeKey::of(b"other");
        disk.store().put(&other, b"other code");
        let others = fs::read(disk.python().join(other.file_name())).unwrap();
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let zeros = vec![0; whole.len()];
        for torn in [&whole[..whole.len() - 1], &whole[..20], &[], &flipped, &zeros, b"import os\n", &others]
        {
            fs::write(disk.file(), torn).unwrap();
            assert_eq!(disk.get(), None);
            disk.store().put(&disk.key, b"code");
            assert_eq!(disk.get().as_deref(), Some(&b"code"[..]));
        }
    }

    #[test]
    fn what_others_can_write_is_not_used() {
        let disk = Disk::with_code();
        for folder in [disk.python(), disk.folder.path().join("code")] {
            for mode in [0o770, 0o707, 0o777] {
                set_mode(&folder, mode);
                let error = disk.open().unwrap_err().to_string();
                assert!(error.contains(&format!("others can write to it (mode {mode:o})")), "{error}");
                assert!(error.contains(&folder.display().to_string()), "{error}");
            }
            set_mode(&folder, 0o700);
        }
        set_mode(&disk.file(), 0o666);
        assert_eq!(disk.get(), None);
    }

    #[test]
    fn what_belongs_to_somebody_else_is_not_used() {
        let disk = Disk::with_code();
        // Only root can give files away.
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(disk.file(), Some(12_345), None).unwrap();
            assert_eq!(disk.get(), None);
            std::os::unix::fs::chown(disk.python(), Some(12_345), None).unwrap();
            let error = disk.open().unwrap_err().to_string();
            assert!(error.contains("it belongs to user 12345, and not to user 0"), "{error}");
        }
    }

    #[test]
    fn links_and_what_is_no_file_are_not_followed() {
        let disk = Disk::with_code();
        let elsewhere = disk.folder.path().join("elsewhere");
        fs::rename(disk.file(), &elsewhere).unwrap();
        symlink(&elsewhere, disk.file()).unwrap();
        assert_eq!(disk.get(), None);
        fs::remove_file(disk.file()).unwrap();
        fs::create_dir(disk.file()).unwrap();
        assert_eq!(disk.get(), None);
        // Keeping code there fails, and nothing is left behind.
        disk.store().put(&disk.key, b"code");
        let names = fs::read_dir(disk.python()).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(!names.into_iter().any(|name| name.to_string_lossy().starts_with('.')));
    }

    #[test]
    fn files_and_folders_are_the_users_alone() {
        let disk = Disk::with_code();
        for (path, mode) in
            [(disk.file(), 0o600), (disk.python(), 0o700), (disk.folder.path().join("code"), 0o700)]
        {
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode, "{}", path.display());
        }
    }

    #[test]
    fn what_nobody_has_used_for_a_month_is_removed_and_what_is_used_stays() {
        let disk = Disk::with_code();
        let (used, unused) = (disk.file(), disk.python().join(CodeKey::of(b"unused").file_name()));
        disk.store().put(&CodeKey::of(b"unused"), b"unused");
        let long_ago = SystemTime::now() - UNUSED - Duration::from_secs(DAY);
        for file in [&used, &unused, &disk.python().join(REMOVED)] {
            File::options().write(true).open(file).unwrap().set_modified(long_ago).unwrap();
        }
        disk.get().unwrap();
        disk.store().put(&CodeKey::of(b"new"), b"new");
        assert!(used.exists() && !unused.exists());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error_that_names_it() {
        let disk = Disk::with_code();
        let error = CodeStore::open(&CodeCache::at(disk.file().join("x")), PYTHON).unwrap_err().to_string();
        assert!(error.starts_with("no compiled code can be kept in ") && error.contains("/x: "), "{error}");
    }
}
