//! Variables of the environment that are one project's.

use std::collections::HashMap;
use std::fmt;

use crate::{Configs, SettingError};

/// What Toolkit has the configuration's folder in.
pub(crate) const CURRENT_PC: &str = "TANK_CURRENT_PC";

/// See the module's documentation. Values may be keys, so they are not in its `Debug`.
#[derive(Clone, Default)]
pub struct ProjectVariables(HashMap<String, Vec<(String, String)>>);

impl ProjectVariables {
    /// One more.
    pub fn add(&mut self, project: String, name: String, value: String) {
        self.0.entry(project).or_default().push((name, value));
    }

    /// Those of one project, in the order in which they were given.
    #[must_use]
    pub fn of(&self, project: &str) -> &[(String, String)] {
        self.0.get(project).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether all of them can be set.
    ///
    /// # Errors
    /// A variable that no environment can have, or that is not the caller's to set.
    pub fn check(&self) -> Result<(), SettingError> {
        for (project, name, value) in self.all() {
            let reason = match () {
                () if name.is_empty() || name.contains(['=', '\0']) => "it is no name of a variable",
                () if value.contains('\0') => "its value has a NUL character",
                () if name == CURRENT_PC => "it is set to the project's configuration",
                () => continue,
            };
            return Err(SettingError::new("project_env", format!("'{name}' of '{project}'"), reason));
        }
        Ok(())
    }

    /// Configurations whose pointer files may use them.
    pub fn known_to(&self, configs: Configs) -> Configs {
        self.0.iter().fold(configs, |configs, (project, variables)| {
            configs.project_variables(project, variables.iter().cloned())
        })
    }

    fn all(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.0.iter().flat_map(|(project, variables)| {
            variables.iter().map(move |(name, value)| (project.as_str(), name.as_str(), value.as_str()))
        })
    }
}

impl fmt::Debug for ProjectVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all().map(|(project, name, _)| (project, name))).finish()
    }
}
