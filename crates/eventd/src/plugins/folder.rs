//! The files of plugin folders.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::Serialize;

/// A plugin's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PluginFile {
    /// Its path, by which the daemon knows it.
    pub key: String,
    /// Its path.
    pub path: String,
    /// The name without `.py`.
    #[serde(skip)]
    pub name: String,
    /// Says whether it has changed: time and size.
    pub stamp: String,
}

/// The files of some folders, in the order in which plugins have each event: folder by folder, sorted by
/// name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The files.
    pub files: Vec<PluginFile>,
    /// Folders that cannot be read, and why. Their files of before are in the list still.
    pub unreadable: BTreeMap<PathBuf, String>,
}

/// Lists the plugins of the folders. A folder that cannot be read keeps the files that it had `before`: a
/// share that is away for a moment drops no plugins.
#[must_use]
pub fn list(folders: &[PathBuf], before: &Listing) -> Listing {
    let mut listing = Listing::default();
    for folder in folders {
        match files(folder) {
            Ok(files) => listing.files.extend(files),
            Err(error) => {
                let kept = before.files.iter().filter(|file| Path::new(&file.path).parent() == Some(folder));
                listing.files.extend(kept.cloned());
                listing.unreadable.insert(folder.clone(), error.to_string());
            }
        }
    }
    listing
}

fn files(folder: &Path) -> io::Result<Vec<PluginFile>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
        let Some(stem) = name.strip_suffix(".py").filter(|stem| !stem.is_empty() && !stem.starts_with('.'))
        else {
            continue;
        };
        // Links are followed. One that was removed meanwhile is simply gone.
        let Ok(found) = fs::metadata(&path) else { continue };
        if !found.is_file() {
            continue;
        }
        let time =
            found.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        let stamp = format!("{}.{:09}-{}", time.as_secs(), time.subsec_nanos(), found.len());
        let path = path.to_string_lossy().into_owned();
        files.push(PluginFile { key: path.clone(), path, name: stem.to_owned(), stamp });
    }
    // By code points, as Python sorts.
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_are_sorted_files_with_any_name_that_are_not_hidden() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["types.py", "010_publish.v2.py", "B.py", ".hidden.py", "notes.txt", ".py"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        fs::create_dir(folder.path().join("package.py")).unwrap();
        let listing = list(&[folder.path().to_owned()], &Listing::default());
        let names: Vec<_> = listing.files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["010_publish.v2", "B", "types"]);
    }

    #[test]
    fn a_folder_that_is_away_keeps_its_plugins() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.py"), "").unwrap();
        let folders = [folder.path().to_owned()];
        let before = list(&folders, &Listing::default());
        drop(folder);
        let after = list(&folders, &before);
        assert_eq!((after.files, after.unreadable.len()), (before.files, 1));
    }
}
