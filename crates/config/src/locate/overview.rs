//! Every configuration below the base folder, also those that something is wrong with.

use std::fs;

use super::{Configs, CoreLocation, listing};
use crate::{ConfigError, ProjectConfiguration, project_name};

/// A folder below the base folder that is a configuration, or was meant as one.
#[derive(Debug)]
#[non_exhaustive]
pub struct Listed {
    /// The folder's name. What is not Unicode in it is replaced, and `core` is an error then.
    pub folder: String,
    /// What the configuration says of itself, or why that cannot be read.
    pub project: Result<ProjectConfiguration, ConfigError>,
    /// Its core, or why there is none.
    pub core: Result<CoreLocation, ConfigError>,
}

impl Configs {
    /// Every folder below the base folder that holds an `install` or a `config` folder, or cannot be looked
    /// into, sorted by name: with its project and its core, or what is wrong with them. For tables and
    /// reports; [`projects`](Self::projects) has the names of those that look right.
    ///
    /// `studio` is among them only where it is a pipeline configuration itself, as in
    /// [`projects`](Self::projects).
    ///
    /// # Errors
    /// The base folder cannot be listed.
    pub fn overview(&self) -> Result<Vec<Listed>, ConfigError> {
        let mut said = self.index.all(&self.base)?;
        let mut listed = Vec::new();
        for entry in fs::read_dir(&self.base).map_err(|error| ConfigError::of_base(&self.base, &error))? {
            let entry = entry.map_err(|error| ConfigError::of_base(&self.base, &error))?;
            let folder = entry.file_name().to_string_lossy().into_owned();
            if !listing::is_meant_as_configuration(&entry.path(), &folder) {
                continue;
            }
            // What is not Unicode cannot be asked for by name.
            let refused =
                || ConfigError::ProjectName { project: folder.clone(), reason: "it is not Unicode" };
            let core = match entry.file_name().to_str() {
                Some(name) => self.locate(name),
                None => Err(refused()),
            };
            let project = said
                .remove(&folder)
                .unwrap_or_else(|| Err(project_name::check(&folder).err().unwrap_or_else(refused)));
            listed.push(Listed { folder, project, core });
        }
        listed.sort_by(|one, other| one.folder.cmp(&other.folder));
        Ok(listed)
    }
}
