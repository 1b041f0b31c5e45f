//! What shows that a configuration had a core of its own or a core pointer, although both are missing now.
//!
//! Toolkit replaces a core in place: `tank core` deletes the files of `install/core` one by one and copies
//! the new ones there, `tank localize` does the same, and `tank share_core` moves the whole folder to
//! `install/core.backup` before it writes a pointer. Each takes seconds, minutes on a network drive, and at
//! each moment any file may be missing.

use std::fs;
use std::io;
use std::path::Path;

use crate::disk::presence;

/// What file managers, editors and version control leave in a folder.
const CLUTTER: [&str; 7] =
    [".DS_Store", "Thumbs.db", "desktop.ini", ".gitkeep", ".gitignore", ".keep", ".directory"];

/// How many names an error lists.
const NAMED: usize = 3;

/// What is left of a core or a pointer in this configuration's `install` folder, in a few words; `None` where
/// nothing is.
pub(super) fn of_core(configuration: &Path) -> io::Result<Option<String>> {
    let install = configuration.join("install");
    if let Some(names) = some_names(&install.join("core"), |name| !CLUTTER.contains(&name))? {
        return Ok(Some(names));
    }
    // Toolkit names a backup by its date; what setup puts there has another name.
    let backups =
        some_names(&install.join("core.backup"), |name| name.starts_with(|c: char| c.is_ascii_digit()))?;
    if backups.is_some() {
        return Ok(Some("only a backup (install/core.backup)".to_owned()));
    }
    // Whoever replaces a folder as a whole moves it aside first.
    let aside = [(install, "core"), (configuration.to_owned(), "install")];
    for (folder, name) in aside {
        let is_aside = |other: &str| is_moved_aside(other, name);
        if let Some(names) = some_names(&folder, is_aside)? {
            return Ok(Some(format!("nothing where {name} should be, beside {names}")));
        }
    }
    Ok(None)
}

/// Whether a name is another one for a folder that was moved out of its place, or is about to come there:
/// `core.old`, `core_v0.24`, `.core.new`.
fn is_moved_aside(name: &str, of: &str) -> bool {
    let rest = name.trim_start_matches(['.', '_']).strip_prefix(of);
    name != of
        && !(of == "core" && name == "core.backup")
        && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '_', '-', '~', ' ']))
}

/// Whether Toolkit, or anybody, has put something into the folder's `config/core`.
pub(super) fn is_configuration(configuration: &Path) -> io::Result<bool> {
    let names = some_names(&configuration.join("config").join("core"), |name| !CLUTTER.contains(&name))?;
    Ok(names.is_some())
}

/// The first names in the folder that count; `None` without any, or without a folder.
fn some_names(folder: &Path, counts: impl Fn(&str) -> bool) -> io::Result<Option<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if presence::is_absence(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if counts(&name) {
            names.push(name);
        }
    }
    names.sort_unstable();
    let more = names.len() > NAMED;
    names.truncate(NAMED);
    Ok((!names.is_empty()).then(|| names.join(", ") + if more { ", …" } else { "" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration_with(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        folder
    }

    #[test]
    fn anything_in_the_cores_folder_is_evidence_and_clutter_is_not() {
        for (file, evidence) in [
            ("install/core/python/tank/__init__.py", Some("python")),
            ("install/core/.nfs0000", Some(".nfs0000")),
            ("install/core/hooks/x.py", Some("hooks")),
            ("install/core/.DS_Store", None),
            ("install/core.backup/20240102_030405/info.yml", Some("only a backup (install/core.backup)")),
            ("install/core.backup/activation_13/__init__.py", None),
            ("install/core.old/info.yml", Some("nothing where core should be, beside core.old")),
            ("install/.core.new/info.yml", Some("nothing where core should be, beside .core.new")),
            ("install_old/core/info.yml", Some("nothing where install should be, beside install_old")),
            ("install/cores/x", None),
            ("installers/x", None),
            ("install/apps/x", None),
            ("install/core", None),
            ("config/core/roots.yml", None),
        ] {
            let folder = configuration_with(&[file]);
            assert_eq!(of_core(folder.path()).unwrap().as_deref(), evidence, "{file}");
        }
        let folder =
            configuration_with(&["install/core/b", "install/core/a", "install/core/d", "install/core/c"]);
        assert_eq!(of_core(folder.path()).unwrap().unwrap(), "a, b, c, …");
    }

    #[test]
    fn a_configuration_is_what_has_files_of_a_configuration() {
        assert!(is_configuration(configuration_with(&["config/core/roots.yml"]).path()).unwrap());
        for file in
            ["config/env/project.yml", "config/core/.DS_Store", "install/core/info.yml", "config/core"]
        {
            assert!(!is_configuration(configuration_with(&[file]).path()).unwrap(), "{file}");
        }
    }
}
