//! Which folder each project was found in by its number or its tank name.

use std::collections::HashMap;

use parking_lot::Mutex;
use sgtk_config::{ConfigError, Configs, ProjectRef};

use crate::error::Result;

/// The folders in which projects were found. The lock is held for moments, and no file is looked at
/// meanwhile.
#[derive(Default)]
pub(crate) struct FoundProjects {
    known: Mutex<HashMap<ProjectRef, Found>>,
}

struct Found {
    folder: String,
    /// Whether it was told that the files say so no longer.
    told: bool,
}

impl FoundProjects {
    /// The folder of the project's configuration. One that `is_resident` is still the project's where its
    /// files cannot be read at this moment.
    ///
    /// # Errors
    /// As [`Configs::find`].
    pub(crate) fn folder(
        &self,
        configs: &Configs,
        project: ProjectRef,
        is_resident: impl Fn(&str) -> bool,
    ) -> Result<String> {
        if let Some(folder) = project.folder_name() {
            return Ok(folder.to_owned());
        }
        match configs.find(&project) {
            Ok(found) => {
                let folder = found.folder().to_owned();
                self.known.lock().insert(project, Found { folder: folder.clone(), told: false });
                Ok(folder)
            }
            Err(error) if is_absence(&error) => {
                let mut known = self.known.lock();
                let Some(found) = known.get_mut(&project).filter(|found| is_resident(&found.folder)) else {
                    return Err(error.into());
                };
                if !std::mem::replace(&mut found.told, true) {
                    tracing::warn!(%project, folder = found.folder, %error, "going on with what is in memory");
                }
                Ok(found.folder.clone())
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether something cannot be read or is missing at this moment, and nothing says that it is another
/// project's now.
fn is_absence(error: &ConfigError) -> bool {
    matches!(
        error,
        ConfigError::BaseUnreadable { .. }
            | ConfigError::ConfigurationUnreadable { .. }
            | ConfigError::NoConfiguration { .. }
            | ConfigError::ProjectUndecided { .. }
    )
}
