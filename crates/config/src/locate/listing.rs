//! The projects below the base folder.

use std::fs;
use std::path::Path;

use super::resolve::{STORAGE_ROOTS, STUDIO};
use super::{ConfigError, project_name};

pub(super) fn projects(base: &Path) -> Result<Vec<String>, ConfigError> {
    let unreadable = |source| ConfigError::BaseUnreadable { base: base.to_owned(), source };
    let mut projects = Vec::new();
    for entry in fs::read_dir(base).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        // A name that is not Unicode cannot be asked for, so it is no project of ours.
        let Ok(name) = entry.file_name().into_string() else { continue };
        if project_name::check(&name).is_ok() && looks_like_a_project(&entry.path(), &name) {
            projects.push(name);
        }
    }
    projects.sort_unstable();
    Ok(projects)
}

fn looks_like_a_project(folder: &Path, name: &str) -> bool {
    if name == STUDIO {
        return folder.join(STORAGE_ROOTS).is_file();
    }
    ["install/core", "config/core"].iter().any(|part| folder.join(part).is_dir())
}
