//! Whether a configuration's settings and hooks, and plugins, are still what was read of them.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::disk::{Fingerprint, Stamp, presence};

/// The files of a configuration's `config` folder and of folders of plugins, as they were at one moment.
#[derive(Clone, Debug)]
pub struct FolderWatch {
    configuration: Option<PathBuf>,
    plugins: Vec<PathBuf>,
    files: Fingerprint,
    /// The folders of those, each as it was.
    folders: Vec<(PathBuf, Stamp)>,
    begun: SystemTime,
    /// When each file that is gone, or has nothing in it any more, was first seen so.
    lost: HashMap<PathBuf, Instant>,
}

/// The files that are not what they were.
#[derive(Debug, Default)]
pub struct ChangedFiles {
    files: Vec<PathBuf>,
    gone: Option<Gone>,
}

/// A file, or a whole folder, of the configuration's or the plugins' that is gone, or has nothing in it any
/// more.
#[derive(Debug)]
struct Gone {
    path: PathBuf,
    /// For how long, as far as was seen; `None` for a whole folder.
    since: Option<Duration>,
}

impl ChangedFiles {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// All of them.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(PathBuf::as_path)
    }

    /// Why a file of the configuration's or the plugins' that is gone, or empty, is not taken for deleted
    /// yet: the folder of all of them is away, as on a disk that is not mounted, or it went less than `quiet`
    /// ago, as it does while an editor or a copy puts another in its place.
    #[must_use]
    pub fn gone_for_now(&self, quiet: Duration) -> Option<String> {
        let Gone { path, since } = self.gone.as_ref()?;
        let is_there = !is_gone(path);
        let path = path.display();
        match (since, is_there) {
            (None, false) => Some(format!("{path} is not there")),
            (None, true) => Some(format!("{path} is another folder than it was, or cannot be listed")),
            (Some(since), _) if since >= &quiet => None,
            (Some(_), false) => Some(format!("{path} is gone since less than {quiet:?}")),
            (Some(_), true) => Some(format!("{path} has nothing in it since less than {quiet:?}")),
        }
    }
}

impl FolderWatch {
    /// The files as they are now: of plugins alone.
    #[must_use]
    pub fn of_plugins(plugins: &[String]) -> Self {
        Self::of(None, plugins)
    }

    pub(super) fn of(configuration: Option<&Path>, plugins: &[String]) -> Self {
        Self::with_plugins(configuration, plugins.iter().map(PathBuf::from).collect())
    }

    fn with_plugins(configuration: Option<&Path>, plugins: Vec<PathBuf>) -> Self {
        let begun = SystemTime::now();
        let settings = configuration.map(|folder| folder.join("config"));
        let folders = plugins.iter().cloned().chain(settings);
        let folders = folders.map(|folder| (folder.clone(), Stamp::at(&folder))).collect();
        let files = rest(configuration, &plugins);
        Self {
            configuration: configuration.map(Path::to_owned),
            plugins,
            files,
            folders,
            begun,
            lost: HashMap::new(),
        }
    }

    /// The same files as they are now.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self::with_plugins(self.configuration.as_deref(), self.plugins.clone())
    }

    /// What has changed.
    pub fn changed(&mut self) -> ChangedFiles {
        let now = rest(self.configuration.as_deref(), &self.plugins);
        let files: Vec<_> = self.files.changed(&now).map(Path::to_owned).collect();
        let gone = self.gone(&files, &now);
        ChangedFiles { files, gone }
    }

    fn gone(&mut self, changed: &[PathBuf], now: &Fingerprint) -> Option<Gone> {
        let was_there = |file: &Path| self.files.stamp(file).is_there();
        let is_lost = |file: &&PathBuf| was_there(file) && (is_gone(file) || self.was_emptied(file, now));
        let lost: HashSet<&PathBuf> = changed.iter().filter(is_lost).collect();
        self.lost.retain(|file, _| lost.contains(file));
        if lost.is_empty() {
            return None;
        }
        let is_away = |(folder, before): &&(PathBuf, Stamp)| self.is_away(folder, *before, now);
        if let Some((folder, _)) = self.folders.iter().find(is_away) {
            return Some(Gone { path: folder.clone(), since: None });
        }
        let clock = SystemTime::now();
        let (since, path) = lost.into_iter().map(|path| (self.lost_for(path, clock), path)).min()?;
        Some(Gone { path: path.clone(), since: Some(since) })
    }

    /// For how long the file has been gone, or empty, as far as can be told.
    fn lost_for(&mut self, path: &Path, clock: SystemTime) -> Duration {
        // One that is empty says itself when it was written to. Of one that is gone its folder says when an
        // entry was last changed, but so it does of others. What is seen counts too: nobody may have looked
        // for long, and a disk's clock may be another.
        let seen = self.lost.entry(path.to_owned()).or_insert_with(Instant::now).elapsed();
        let told_by = path.ancestors().find(|place| !is_gone(place));
        let at = told_by.and_then(|place| fs::metadata(place).ok()?.modified().ok());
        // It was there when this was begun: a change before that says nothing of it.
        let at = at.filter(|at| *at > self.begun);
        let by_disk = at.and_then(|at| clock.duration_since(at).ok());
        by_disk.map_or(seen, |by_disk| by_disk.max(seen))
    }

    /// Whether a folder of which files are gone is away as a whole: it is not there, or what stands in its
    /// place has nothing of it, no other such files, and none was deleted from it, as on a disk that is not
    /// mounted.
    fn is_away(&self, folder: &Path, before: Stamp, now: &Fingerprint) -> bool {
        let there = |files: &Fingerprint| -> HashSet<PathBuf> {
            let below = files.iter().filter(|(_, stamp)| stamp.is_there()).filter_map(|(file, _)| {
                let entry = file.strip_prefix(folder).ok()?.components().next()?;
                Some(folder.join(entry))
            });
            below.collect()
        };
        let is_empty = || there(now).is_empty() && there(&self.files).iter().all(|entry| is_gone(entry));
        before.is_there() && (is_gone(folder) || (!Stamp::at(folder).is_rewritten(before) && is_empty()))
    }

    /// Whether the file had something in it and has nothing any more, as while it is written anew.
    fn was_emptied(&self, file: &Path, now: &Fingerprint) -> bool {
        self.files.stamp(file).size().is_some_and(|size| size > 0) && now.stamp(file).size() == Some(0)
    }
}

fn is_gone(path: &Path) -> bool {
    fs::metadata(path).is_err_and(|error| presence::is_absence(&error))
}

/// The files of a configuration and of plugins.
pub(super) fn rest(configuration: Option<&Path>, plugins: &[PathBuf]) -> Fingerprint {
    let plugins = Fingerprint::of_plugins(plugins.iter().cloned());
    match configuration {
        Some(folder) => Fingerprint::of_configuration(folder).and(plugins),
        None => plugins,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_secs(1_000);

    /// A watch of a configuration without settings and a folder of two plugins.
    fn watched() -> (tempfile::TempDir, FolderWatch, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let plugins = folder.path().join("plugins");
        for file in [plugins.join("one.py"), plugins.join("two.py")] {
            write(&file);
        }
        let watch = FolderWatch::of(Some(folder.path()), &[plugins.to_str().unwrap().to_owned()]);
        (folder, watch, plugins)
    }

    fn write(file: &Path) {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "something").unwrap();
    }

    fn gone(watch: &mut FolderWatch) -> Option<String> {
        watch.changed().gone_for_now(QUIET)
    }

    #[test]
    fn the_file_that_has_gone_last_decides_for_how_long_it_is_waited() {
        let (_folder, mut watch, plugins) = watched();
        fs::remove_file(plugins.join("one.py")).unwrap();
        assert!(gone(&mut watch).unwrap().contains("one.py is gone since less than"));
        let long_ago = Instant::now().checked_sub(QUIET).unwrap();
        watch.lost.insert(plugins.join("one.py"), long_ago);
        assert_eq!(gone(&mut watch), None);
        fs::remove_file(plugins.join("two.py")).unwrap();
        assert!(gone(&mut watch).unwrap().contains("two.py"));
        watch.lost.insert(plugins.join("two.py"), long_ago);
        assert_eq!(gone(&mut watch), None);
        // One that was there in between begins anew.
        write(&plugins.join("one.py"));
        assert_eq!(gone(&mut watch), None);
        fs::remove_file(plugins.join("one.py")).unwrap();
        assert!(gone(&mut watch).unwrap().contains("one.py"));
    }

    #[test]
    fn what_a_folder_says_of_a_time_before_the_import_is_no_answer() {
        let (_folder, mut watch, plugins) = watched();
        fs::remove_file(plugins.join("one.py")).unwrap();
        let folder = fs::File::open(&plugins).unwrap();
        folder.set_modified(watch.begun - QUIET).unwrap();
        assert!(gone(&mut watch).unwrap().contains("one.py"));
        fs::write(plugins.join("two.py"), "").unwrap();
        fs::File::options()
            .write(true)
            .open(plugins.join("two.py"))
            .unwrap()
            .set_modified(watch.begun - QUIET)
            .unwrap();
        write(&plugins.join("one.py"));
        assert!(gone(&mut watch).unwrap().contains("two.py has nothing in it"));
    }

    #[test]
    fn an_empty_folder_in_the_place_of_another_is_none_of_which_files_were_deleted() {
        let (_folder, mut watch, plugins) = watched();
        watch.begun -= QUIET * 2;
        fs::rename(&plugins, plugins.with_extension("away")).unwrap();
        assert!(gone(&mut watch).unwrap().contains("is not there"));
        fs::create_dir(&plugins).unwrap();
        let other = fs::File::open(&plugins).unwrap();
        other.set_modified(watch.begun + Duration::from_secs(1)).unwrap();
        assert!(gone(&mut watch).unwrap().contains("another folder"));
        // It has other plugins: it is another version of the folder.
        write(&plugins.join("three.py"));
        other.set_modified(watch.begun + Duration::from_secs(1)).unwrap();
        assert_eq!(gone(&mut watch), None);
        // Of a package whose folder is left all were deleted.
        let (_other, watch_of_files, folder) = watched();
        for file in ["one.py", "two.py"] {
            fs::remove_file(folder.join(file)).unwrap();
        }
        write(&folder.join("pack/three.py"));
        let mut nested = watch_of_files.anew();
        nested.begun -= QUIET * 2;
        fs::remove_file(folder.join("pack/three.py")).unwrap();
        let pack = fs::File::open(folder.join("pack")).unwrap();
        pack.set_modified(nested.begun + Duration::from_secs(1)).unwrap();
        assert_eq!(gone(&mut nested), None);
        // From the very folder all were.
        fs::remove_dir_all(&plugins).unwrap();
        fs::rename(plugins.with_extension("away"), &plugins).unwrap();
        for file in ["one.py", "two.py"] {
            fs::remove_file(plugins.join(file)).unwrap();
        }
        fs::File::open(&plugins).unwrap().set_modified(watch.begun + Duration::from_secs(1)).unwrap();
        assert_eq!(gone(&mut watch), None);
    }
}
