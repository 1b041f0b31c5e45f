//! Which pipeline configuration is a project's.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sgtk_config::Configs;

/// How long an answer that there is none is believed.
const FRESH: Duration = Duration::from_secs(30);

/// The configurations below a folder, by the id of their project.
#[derive(Debug)]
pub struct Projects {
    base: Option<PathBuf>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    folders: HashMap<i64, String>,
    looked: Option<Instant>,
    told: HashSet<i64>,
}

impl Projects {
    /// Those below a folder.
    #[must_use]
    pub fn new(base: Option<PathBuf>) -> Projects {
        Projects { base, known: Mutex::default() }
    }

    /// The folder name of a project's configuration. None where there is none, which is told once.
    pub fn folder_of(&self, id: i64) -> Option<String> {
        let base = self.base.as_deref()?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(folder) = known.folders.get(&id) {
            return Some(folder.clone());
        }
        if known.looked.is_none_or(|at| at.elapsed() >= FRESH) {
            known.looked = Some(Instant::now());
            match configurations(base) {
                Ok(folders) => known.folders = folders.into_iter().collect(),
                Err(error) => tracing::error!(%error, "the pipeline configurations cannot be listed"),
            }
        }
        let found = known.folders.get(&id).cloned();
        if found.is_none() && known.told.insert(id) {
            tracing::info!(
                project = id,
                base = %base.display(),
                "no pipeline configuration names this project: its events reach no [sgtk] plugin"
            );
        }
        found
    }
}

/// The configurations below a folder by the id of their project; of several, `Primary`.
///
/// # Errors
/// The folder cannot be listed.
pub fn configurations(base: &Path) -> Result<BTreeMap<i64, String>, sgtk_config::ConfigError> {
    let mut folders: BTreeMap<i64, String> = BTreeMap::new();
    for name in Configs::new(base).projects()? {
        let file = base.join(&name).join("config/core/pipeline_configuration.yml");
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        let Some(id) = value(&text, "project_id").and_then(|id| id.parse().ok()) else { continue };
        if value(&text, "pc_name").is_some_and(|name| name == "Primary") || !folders.contains_key(&id) {
            folders.insert(id, name);
        }
    }
    Ok(folders)
}

/// The value of a top-level key of a file that Toolkit has written: one key a line, or `{a: 1, b: 2}` in one.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let pairs = text.trim().trim_start_matches('{').trim_end_matches('}');
    let found = pairs.split(['\n', ',']).find_map(|pair| {
        let (name, value) = pair.split_once(':')?;
        (name.trim().trim_matches(['\'', '"']) == key).then_some(value)
    })?;
    Some(found.split(" #").next().unwrap_or(found).trim().trim_matches(['\'', '"']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_file_are_read() {
        assert_eq!(value("pc_id: 1\nproject_id: 176\npc_name: 'Primary'\n", "project_id"), Some("176"));
        assert_eq!(value("{pc_id: 1, pc_name: Primary, project_id: 176}", "pc_name"), Some("Primary"));
        assert_eq!(value("project_name: a\n", "project_id"), None);
    }
}
