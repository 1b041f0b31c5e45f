//! Compiled code of cores' modules on disk, for the daemon and for its workers.
//!
//! CPython keeps compiled code beside sources, by their size and the second of their last change: nothing for
//! sources in zips, nothing in folders that cannot be written to, and the old code for a source that was
//! replaced by one of the same size within a second. Here it is kept by the contents of the source.

mod key;
mod store;

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

pub use key::CodeKey;
pub use store::{CodeStore, UnusableCodeCache};

/// Where compiled code of cores' modules is kept on disk. [Default](Self::standard): in the user's folder for
/// caches.
///
/// Compiled code is run as it is found, so whoever can write to the folder can have the daemon and its
/// workers do anything. A folder is used only where it is the user's own, or root's, and nobody else can
/// write to it; the same goes for each file in it. Elsewhere than on Unix this is not looked at, and only a
/// folder that was [named](Self::at) is used.
///
/// Code that is torn, foreign or of another Python is not taken, and a folder that cannot be written to is
/// read from. Files that were not used for 30 days are removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CodeCache(Place);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Standard,
    Off,
    Folder(PathBuf),
}

impl CodeCache {
    /// The variable of the environment that names the folder, or says `off`.
    pub const VARIABLE: &str = "SGTK_HOST_CODE_CACHE";

    /// The folder that [`VARIABLE`](Self::VARIABLE) names, else `sgtk-host/code` in `$XDG_CACHE_HOME`, else
    /// in `~/.cache` (macOS: `~/Library/Caches`). None where there is no such folder.
    pub fn standard() -> Self {
        Self(Place::Standard)
    }

    /// Nothing is kept on disk.
    pub fn off() -> Self {
        Self(Place::Off)
    }

    /// This folder, which is made where it is missing.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self(Place::Folder(folder.into()))
    }

    /// The folder, where there is to be one.
    pub fn folder(&self) -> Option<PathBuf> {
        match &self.0 {
            Place::Off => None,
            Place::Folder(folder) => Some(folder.clone()),
            Place::Standard => standard_folder(|name| env::var_os(name)),
        }
    }

    /// Whether the caller has named the folder, so that it is worth a warning where it cannot be used.
    // For `sgtk-host` and `sgtk-pool`, which warn.
    #[doc(hidden)]
    #[must_use]
    pub fn is_named(&self) -> bool {
        match &self.0 {
            Place::Folder(_) => true,
            Place::Off => false,
            Place::Standard => env::var_os(Self::VARIABLE).is_some_and(|value| !value.is_empty()),
        }
    }
}

fn standard_folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name| variable(name).filter(|value| !value.is_empty());
    // What is not absolute counts as not set, by the XDG Base Directory Specification.
    let absolute = |name| set(name).map(PathBuf::from).filter(|folder| folder.is_absolute());
    if let Some(value) = set(CodeCache::VARIABLE) {
        return if value == "off" { None } else { absolute(CodeCache::VARIABLE) };
    }
    let caches = match env::consts::OS {
        "windows" => return None,
        "macos" => absolute("HOME").map(|home| home.join("Library/Caches")),
        _ => absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache"))),
    };
    caches.map(|caches| caches.join("sgtk-host").join("code"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_standard_folder_is_the_users_own_for_caches() {
        let folder = |variables: &[(&str, &str)]| {
            standard_folder(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, v)| v.into()))
        };
        let (home, xdg, own) = ("HOME", "XDG_CACHE_HOME", CodeCache::VARIABLE);
        for (variables, expected) in [
            (&[][..], None),
            (&[(home, "/home/a")], Some("/home/a/.cache/sgtk-host/code")),
            (&[(home, "/home/a"), (xdg, "/cache")], Some("/cache/sgtk-host/code")),
            (&[(home, "/home/a"), (xdg, "not/absolute")], Some("/home/a/.cache/sgtk-host/code")),
            (&[(home, "/home/a"), (own, "/code")], Some("/code")),
            (&[(home, "/home/a"), (own, "off")], None),
            (&[(home, "/home/a"), (own, "")], Some("/home/a/.cache/sgtk-host/code")),
        ] {
            assert_eq!(folder(variables), expected.map(PathBuf::from), "{variables:?}");
        }
        assert_eq!(CodeCache::off().folder(), None);
        assert_eq!(CodeCache::at("/code").folder(), Some(PathBuf::from("/code")));
    }
}
