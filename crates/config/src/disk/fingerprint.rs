//! Noticing that files on disk are no longer what was read.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
#[cfg(test)]
use std::time::SystemTime;

use parking_lot::Mutex;
use walkdir::WalkDir;

use super::Stamp;
use super::presence;

/// The folder in which no source is. Names that begin with a dot are skipped too: they are version control's,
/// editors' (`.#publish.py`), file systems' (`._publish.py`, `.nfs0001`, `.snapshot`), and no module can have
/// one.
const COMPILED: &str = "__pycache__";

/// What a set of files looked like at one moment: for each the device, the inode, the size, and the times of
/// its last modification and of the last change of its entry (on Windows, where the standard library gives no
/// inode, the time of creation takes their place). No file is read.
///
/// Two that are equal mean that nobody has written to, replaced, added or removed any of the files in
/// between. Files that are missing or cannot be looked at are part of it as such.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// Sorted by path, each path once.
    files: Arc<Files>,
}

type Files = Vec<(PathBuf, Stamp)>;

/// Those that many have in common.
static SHARED: Mutex<Vec<Weak<Files>>> = Mutex::new(Vec::new());

impl Fingerprint {
    /// These files.
    #[must_use]
    pub fn of_files(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        Self::sorted(
            paths.into_iter().map(|path| (Stamp::at(&path), path)).map(|(stamp, path)| (path, stamp)),
        )
    }

    /// All files in these folders, at any depth; a root may be a file as well. `keep` is asked for each file
    /// and each folder below a root, and a folder that is not kept is not looked into.
    ///
    /// Links are followed. Compiled Python (`__pycache__`, `*.pyc`) and what begins with a dot are left out.
    #[must_use]
    pub fn of_tree(roots: impl IntoIterator<Item = PathBuf>, keep: impl Fn(&Path) -> bool) -> Self {
        let counts = |path: &Path| !path.file_name().is_some_and(is_skipped) && keep(path);
        Self::sorted(roots.into_iter().flat_map(|root| {
            let walk = WalkDir::new(&root).follow_links(true).into_iter();
            let walk = walk.filter_entry(|entry| entry.depth() == 0 || counts(entry.path()));
            // What cannot be looked at is not asked about there.
            let counts = |error: &walkdir::Error| error.depth() == 0 || error.path().is_none_or(&counts);
            let walk = walk.filter(|entry| entry.as_ref().err().is_none_or(counts));
            walk.filter_map(|entry| seen(entry, &root)).collect::<Vec<_>>()
        }))
    }

    /// The files of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let files = Arc::unwrap_or_clone(self.files).into_iter();
        Self::sorted(files.chain(Arc::unwrap_or_clone(other.files)))
    }

    fn sorted(files: impl Iterator<Item = (PathBuf, Stamp)>) -> Self {
        let mut files: Files = files.collect();
        // By bytes, as comparing paths by their components takes most of the time.
        files.sort_by(|(one, _), (other, _)| one.as_os_str().cmp(other.as_os_str()));
        files.dedup_by(|(one, _), (other, _)| one.as_os_str() == other.as_os_str());
        Self { files: Arc::new(files) }
    }

    /// The same, with its memory in common with all that are equal and were shared as well.
    #[must_use]
    pub(crate) fn shared(self) -> Self {
        let mut shared = SHARED.lock();
        shared.retain(|files| files.strong_count() > 0);
        let equal = shared.iter().find_map(|files| files.upgrade().filter(|files| *files == self.files));
        if equal.is_none() {
            shared.push(Arc::downgrade(&self.files));
        }
        drop(shared);
        equal.map_or(self, |files| Self { files })
    }

    /// The files that are not in `later` as they are here, and those that only `later` has: what to name when
    /// something is read anew.
    pub fn changed<'a>(&'a self, later: &'a Self) -> impl Iterator<Item = &'a Path> {
        let (mut here, mut there) = (self.files.iter().peekable(), later.files.iter().peekable());
        std::iter::from_fn(move || {
            loop {
                let path = match (here.peek(), there.peek()) {
                    (None, None) => return None,
                    (Some((path, _)), None) | (None, Some((path, _))) => path,
                    (Some((one, _)), Some((other, _))) => {
                        std::cmp::min_by_key(one, other, |path| path.as_os_str())
                    }
                };
                let (before, after) = (
                    here.next_if(|(other, _)| other == path).map(|(_, stamp)| stamp),
                    there.next_if(|(other, _)| other == path).map(|(_, stamp)| stamp),
                );
                if before != after {
                    return Some(path.as_path());
                }
            }
        })
    }

    /// The files that are there in both and are the very same: those that an upgrade which replaces all of
    /// them has not come to yet.
    pub fn same<'a>(&'a self, later: &'a Self) -> impl Iterator<Item = &'a Path> {
        let by_path = |path: &Path| {
            let found = later.files.binary_search_by(|(other, _)| other.as_os_str().cmp(path.as_os_str()));
            found.ok().and_then(|index| later.files.get(index)).map(|(_, stamp)| *stamp)
        };
        let same = self.files.iter().filter(move |(path, stamp)| {
            stamp.is_there() && by_path(path).is_some_and(|later| later == *stamp)
        });
        same.map(|(path, _)| path.as_path())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Path, Stamp)> {
        self.files.iter().map(|(path, stamp)| (path.as_path(), *stamp))
    }

    /// What the file looked like; as a missing one where this is not of it.
    pub(crate) fn stamp(&self, file: &Path) -> Stamp {
        let found = self.files.binary_search_by(|(other, _)| other.as_os_str().cmp(file.as_os_str()));
        found.ok().and_then(|index| self.files.get(index)).map_or(Stamp::MISSING, |(_, stamp)| *stamp)
    }

    /// What became of a file since, in words: nothing where it is still the same. For files of the folders
    /// that this is of.
    pub(crate) fn what_became_of(&self, file: &Path) -> Option<&'static str> {
        self.stamp(file).what_became(Stamp::at(file))
    }

    /// Files that are there only by name, and were written to at these times.
    #[cfg(test)]
    pub(crate) fn with_times(files: impl IntoIterator<Item = (PathBuf, SystemTime)>) -> Self {
        Self::sorted(files.into_iter().map(|(path, at)| (path, Stamp::written(at))))
    }

    /// How many files it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

fn is_skipped(name: &OsStr) -> bool {
    name == COMPILED
        || name.as_encoded_bytes().starts_with(b".")
        || Path::new(name).extension().is_some_and(|end| end == "pyc")
}

/// What was found on the walk, where that is a file or nothing that could be looked at.
fn seen(entry: walkdir::Result<walkdir::DirEntry>, root: &Path) -> Option<(PathBuf, Stamp)> {
    match entry {
        Ok(entry) if entry.file_type().is_dir() => None,
        Ok(entry) => {
            // Gone since the folder was listed, or on a disk that fails.
            let stamp =
                entry.metadata().map_or_else(|_| Stamp::at(entry.path()), |metadata| Stamp::of(&metadata));
            Some((entry.into_path(), stamp))
        }
        Err(error) => {
            let path = error.path().unwrap_or(root).to_owned();
            let absent = error.io_error().is_some_and(presence::is_absence);
            let stamp = if absent { Stamp::at(&path) } else { Stamp::UNREADABLE };
            Some((path, stamp))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn names(fingerprint: &Fingerprint, root: &Path) -> Vec<String> {
        let files = fingerprint.files.iter();
        files.map(|(path, _)| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned()).collect()
    }

    fn tree_of(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        folder
    }

    fn all(root: &Path) -> Fingerprint {
        Fingerprint::of_tree([root.to_owned()], |_| true)
    }

    #[test]
    fn a_tree_has_its_sources_and_nothing_compiled() {
        let folder = tree_of(&["b.py", "a/c.py", "a/__pycache__/c.pyc", "old.pyc", ".git/HEAD", "x/y.yml"]);
        for clutter in ["._b.py", ".nfs0001", ".snapshot/b.py"] {
            fs::create_dir_all(folder.path().join(clutter).parent().unwrap()).unwrap();
            fs::write(folder.path().join(clutter), "").unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink("user@host.1", folder.path().join("a/.#c.py")).unwrap();
        assert_eq!(names(&all(folder.path()), folder.path()), ["a/c.py", "b.py", "x/y.yml"]);
        let python = |path: &Path| path.is_dir() || path.extension().is_some_and(|end| end == "py");
        let kept = Fingerprint::of_tree([folder.path().to_owned()], python);
        assert_eq!(names(&kept, folder.path()), ["a/c.py", "b.py"]);
        let without = Fingerprint::of_tree([folder.path().to_owned()], |path| !path.ends_with("a"));
        assert_eq!(names(&without, folder.path()), ["b.py", "x/y.yml"]);
    }

    #[test]
    fn what_is_added_removed_or_written_is_told_by_name_and_in_order() {
        let folder = tree_of(&["a", "b", "c", "d"]);
        let before = all(folder.path());
        assert_eq!(before, all(folder.path()));
        fs::write(folder.path().join("b"), "b").unwrap();
        fs::remove_file(folder.path().join("c")).unwrap();
        fs::write(folder.path().join("aa"), "").unwrap();
        fs::write(folder.path().join("z"), "").unwrap();
        let after = all(folder.path());
        let told = |one: &Fingerprint, other: &Fingerprint| {
            one.changed(other).map(|path| path.file_name().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(told(&before, &after), ["aa", "b", "c", "z"]);
        assert_eq!(told(&after, &before), ["aa", "b", "c", "z"]);
        let same = before.same(&after).map(|path| path.file_name().unwrap()).collect::<Vec<_>>();
        assert_eq!(same, ["a", "d"]);
        assert!(told(&after, &after).is_empty());
    }

    #[test]
    fn a_root_that_is_missing_is_part_of_it_and_so_is_its_coming() {
        let folder = tree_of(&[]);
        let root = folder.path().join("absent");
        let before = all(&root);
        assert_eq!(before.len(), 1);
        assert_eq!(before.same(&before).count(), 0, "nothing is there");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("a"), "").unwrap();
        assert_eq!(before.changed(&all(&root)).collect::<Vec<_>>(), [root.clone(), root.join("a")]);
    }

    #[test]
    fn a_root_may_be_a_file_and_of_two_with_one_file_it_is_told_once() {
        let folder = tree_of(&["a"]);
        let file = folder.path().join("a");
        assert_eq!(all(&file), Fingerprint::of_files([file.clone(), file.clone()]));
        assert_eq!(all(&file).and(all(folder.path())).len(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_rewritten_in_place_with_its_old_times_and_size_is_noticed() {
        let folder = tree_of(&["a"]);
        let file = folder.path().join("a");
        fs::write(&file, "old").unwrap();
        let before = all(&file);
        let modified = fs::metadata(&file).unwrap().modified().unwrap();
        // The system's clock for such times advances with its ticks.
        while before == all(&file) {
            fs::write(&file, "new").unwrap();
            fs::File::options().write(true).open(&file).unwrap().set_modified(modified).unwrap();
        }
        assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), modified);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_those_in_a_circle_or_to_nowhere_end_it_not() {
        use std::os::unix::fs::symlink;
        let folder = tree_of(&["real/a", "tree/b"]);
        let tree = folder.path().join("tree");
        symlink(folder.path().join("real"), tree.join("linked")).unwrap();
        symlink(&tree, tree.join("circle")).unwrap();
        symlink(folder.path().join("absent"), tree.join("nowhere")).unwrap();
        let before = all(&tree);
        assert_eq!(names(&before, &tree), ["b", "circle", "linked/a", "nowhere"]);
        fs::write(folder.path().join("real/a"), "changed").unwrap();
        fs::write(folder.path().join("absent"), "").unwrap();
        let after = all(&tree);
        assert_eq!(before.changed(&after).collect::<Vec<_>>(), [tree.join("linked/a"), tree.join("nowhere")]);
    }
}
