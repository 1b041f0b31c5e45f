//! All files of a folder, read at one moment.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};
use walkdir::{DirEntry, WalkDir};

/// Larger files, in bytes, are known by their stamps alone.
const LARGE: u64 = 32 << 20;

/// What a bootstrap writes beside what it reads.
const NO_FOLDERS: [&str; 3] = ["__pycache__", "core.backup", "config.backup"];
const NO_FILES: [&str; 2] = [".pyc", ".lock"];

/// What may be imported.
const CODE: [&str; 2] = ["py", "zip"];

/// The files of a folder and all below it, as `_read_folder` of `own_files.py` gives them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FolderContents {
    /// Those that could be read or looked at.
    pub files: Vec<ReadFile>,
    /// The names in each folder that could be listed.
    pub names: HashMap<PathBuf, Vec<OsString>>,
}

/// A file as it was at one moment.
#[derive(Debug, PartialEq, Eq)]
pub struct ReadFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its device, number and size, and when it and its entry were last changed, in nanoseconds.
    pub stamp: (u64, u64, u64, i64, i64),
    /// Its SHA-256; none of a large one, or of what is not a file.
    pub digest: Option<[u8; 32]>,
    /// What is in it, where it may be imported.
    pub data: Option<Vec<u8>>,
}

impl FolderContents {
    /// Reads a folder. Links are followed; what cannot be read is left out.
    pub fn read(folder: &Path) -> Self {
        let mut contents = Self::default();
        for entry in WalkDir::new(folder).follow_links(true).into_iter().filter_entry(counts) {
            match entry {
                Ok(entry) => contents.add(&entry),
                Err(error) => contents.add_unread(&error),
            }
        }
        contents
    }

    fn add(&mut self, entry: &DirEntry) {
        self.add_name(entry.path(), entry.depth());
        if entry.file_type().is_dir() {
            self.names.entry(entry.path().to_owned()).or_default();
        } else {
            // It may have gone meanwhile.
            self.files.extend(read(entry.path()));
        }
    }

    fn add_name(&mut self, path: &Path, depth: usize) {
        if let (Some(folder), Some(name), 1..) = (path.parent(), path.file_name(), depth) {
            self.names.entry(folder.to_owned()).or_default().push(name.to_owned());
        }
    }

    /// A folder that cannot be listed, a link that leads nowhere, or one to a folder that it is in.
    fn add_unread(&mut self, error: &walkdir::Error) {
        let Some(path) = error.path() else { return };
        if self.names.remove(path).is_none() {
            self.add_name(path, error.depth());
        }
    }
}

fn counts(entry: &DirEntry) -> bool {
    let name = entry.file_name();
    let ends = |end: &&str| name.as_encoded_bytes().ends_with(end.as_bytes());
    entry.depth() == 0 || !(NO_FOLDERS.iter().any(|one| name == OsStr::new(one)) || NO_FILES.iter().any(ends))
}

fn read(path: &Path) -> io::Result<ReadFile> {
    // A named pipe must not be waited for.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    let stamp = (
        found.dev(),
        found.ino(),
        found.size(),
        nanoseconds(found.mtime(), found.mtime_nsec()),
        nanoseconds(found.ctime(), found.ctime_nsec()),
    );
    if !found.is_file() || found.size() > LARGE {
        return Ok(ReadFile { path: path.to_owned(), stamp, digest: None, data: None });
    }
    let data = contents(&mut file, found.size())?;
    let digest = Some(Sha256::digest(&data).into());
    let is_code = path.extension().is_some_and(|kind| CODE.iter().any(|one| kind == OsStr::new(one)));
    Ok(ReadFile { path: path.to_owned(), stamp, digest, data: is_code.then_some(data) })
}

/// As much as there was when the file was looked at, and a byte more, which tells that it has grown.
fn contents(file: &mut File, size: u64) -> io::Result<Vec<u8>> {
    let mut data = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1);
    file.take(size + 1).read_to_end(&mut data)?;
    Ok(data)
}

fn nanoseconds(seconds: i64, nanoseconds: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}
