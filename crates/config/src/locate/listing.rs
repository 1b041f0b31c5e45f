//! The projects below the base folder.

use std::fs;
use std::path::Path;

use crate::{ConfigError, project_name};

/// The folder below the base folder that holds the core of projects that name none.
pub(super) const STUDIO: &str = "studio";

/// The file by which Toolkit knows a pipeline configuration.
pub(super) const STORAGE_ROOTS: &str = "config/core/roots.yml";

pub(super) fn projects(base: &Path) -> Result<Vec<String>, ConfigError> {
    let unreadable = |error| ConfigError::of_base(base, &error);
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

/// Whether somebody meant the folder as a configuration, whatever it lacks.
pub(super) fn is_meant_as_configuration(folder: &Path, name: &str) -> bool {
    if name == STUDIO {
        return looks_like_a_project(folder, name);
    }
    match fs::read_dir(folder) {
        Ok(entries) => entries
            .filter_map(Result::ok)
            .any(|entry| ["install", "config"].iter().any(|part| entry.file_name() == *part)),
        // A file is none; what cannot be looked into may be one.
        Err(_) => !folder.is_file(),
    }
}

/// How many existing names an error proposes, and how alike they are at least: from 0 to 1.
const PROPOSED: usize = 3;
const ALIKE: f64 = 0.6;

/// The names that somebody may have meant by `name`, the closest first.
pub(super) fn closest(name: &str, names: Vec<String>) -> Vec<String> {
    // As names are written in one place and another: upper case, spaces and underscores are the same.
    let plain = |name: &str| name.to_lowercase().replace([' ', '-', '.'], "_");
    let wanted = plain(name);
    let likeness = |other: &String| {
        let other = plain(other);
        let (short, long) = if other.len() < wanted.len() { (&other, &wanted) } else { (&wanted, &other) };
        let edits = strsim::normalized_damerau_levenshtein(&wanted, &other);
        if short.len() > 3 && long.starts_with(short.as_str()) { edits.max(ALIKE) } else { edits }
    };
    let mut names: Vec<_> = names.into_iter().map(|other| (likeness(&other), other)).collect();
    names.retain(|(likeness, _)| *likeness >= ALIKE);
    names.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    names.into_iter().take(PROPOSED).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn names_that_may_be_meant_are_proposed_and_others_are_not() {
        let names =
            ["campeones", "campeones_2", "project_a", "demo_automotive", "x"].map(str::to_owned).to_vec();
        for (name, expected) in [
            ("Campeones 2", &["campeones_2", "campeones"][..]),
            ("Demo__Automotive", &["demo_automotive"]),
            ("projcet_a", &["project_a"]),
            ("87", &[]),
            ("", &[]),
        ] {
            assert_eq!(closest(name, names.clone()), expected, "{name}");
        }
    }
}
