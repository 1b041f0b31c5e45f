//! What a caller knows of a project.

use std::fmt;

use serde_json::Value;

use super::settings::ProjectConfiguration;
use crate::ConfigError;

/// A project as somebody names it who does not know its configuration's folder: an event, a user, a plugin.
///
/// ```
/// use sgtk_config::ProjectRef;
///
/// let event = serde_json::json!({"project": {"type": "Project", "id": 87, "name": "Demo: Automotive"}});
/// let project = ProjectRef::try_from(&event["project"])?;
/// assert_eq!(project, ProjectRef::id(87));
/// assert_eq!(project.configuration("Dev").to_string(), "project 87, configuration \"Dev\"");
/// # Ok::<(), sgtk_config::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub struct ProjectRef {
    pub(super) key: Key,
    pub(super) configuration: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Id(u32),
    TankName(String),
    Folder(String),
}

impl ProjectRef {
    /// The project of this number on the site.
    pub fn id(id: u32) -> Self {
        Self { key: Key::Id(id), configuration: None }
    }

    /// The project whose name on disk is this one (`tank_name`, which may have slashes: `client/show`).
    pub fn tank_name(name: impl Into<String>) -> Self {
        Self { key: Key::TankName(name.into()), configuration: None }
    }

    /// The project whose configuration is in this folder below the base folder.
    pub fn folder(name: impl Into<String>) -> Self {
        Self { key: Key::Folder(name.into()), configuration: None }
    }

    /// The configuration of that name (`Dev`), where the project has several. Default: `Primary`, or the only
    /// one.
    pub fn configuration(mut self, name: impl Into<String>) -> Self {
        self.configuration = Some(name.into());
        self
    }

    /// The folder's name, where the project is named by its folder alone: then no file has to be read to find
    /// it.
    #[must_use]
    pub fn folder_name(&self) -> Option<&str> {
        match (&self.key, &self.configuration) {
            (Key::Folder(folder), None) => Some(folder),
            _ => None,
        }
    }
}

/// A text is the name of a folder below the base folder. Names that events show to people are not: see
/// [`ProjectRef::id`].
impl From<&str> for ProjectRef {
    fn from(folder: &str) -> Self {
        Self::folder(folder)
    }
}

/// The name of a folder, as for `&str`.
impl From<&&str> for ProjectRef {
    fn from(folder: &&str) -> Self {
        Self::folder(*folder)
    }
}

/// The name of a folder, as for `&str`.
impl From<&String> for ProjectRef {
    fn from(folder: &String) -> Self {
        Self::folder(folder)
    }
}

/// The name of a folder, as for `&str`.
impl From<String> for ProjectRef {
    fn from(folder: String) -> Self {
        Self::folder(folder)
    }
}

/// A project's number on the site.
impl From<u32> for ProjectRef {
    fn from(id: u32) -> Self {
        Self::id(id)
    }
}

impl From<&ProjectRef> for ProjectRef {
    fn from(project: &ProjectRef) -> Self {
        project.clone()
    }
}

/// What [`Configs::find`](crate::Configs::find) has found: its folder.
impl From<&ProjectConfiguration> for ProjectRef {
    fn from(found: &ProjectConfiguration) -> Self {
        Self::folder(found.folder())
    }
}

/// An event's `project`, as the site's API gives it: `{"type": "Project", "id": 87, "name": "Demo:
/// Automotive"}`. The number decides; the name there is for people and is neither the tank name nor a folder.
impl TryFrom<&Value> for ProjectRef {
    type Error = ConfigError;

    /// # Errors
    /// [`ConfigError::ProjectReference`] for anything else, `null` too: an event without a project is none of
    /// a project.
    fn try_from(project: &Value) -> Result<Self, ConfigError> {
        let refused = |reason| ConfigError::ProjectReference { value: project.to_string(), reason };
        let entity = project.as_object().ok_or_else(|| {
            refused(if project.is_null() {
                "there is no project"
            } else {
                "expected an object with type and id"
            })
        })?;
        if entity.get("type").is_some_and(|kind| kind != "Project") {
            return Err(refused("its type is not Project"));
        }
        let id = entity.get("id").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
        id.map(Self::id).ok_or_else(|| refused("its id is not a number of an entity"))
    }
}

impl fmt::Display for ProjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Key::Id(id) => write!(f, "project {id}")?,
            Key::TankName(name) => write!(f, "project with tank name {name:?}")?,
            Key::Folder(name) => write!(f, "project in folder {name:?}")?,
        }
        match &self.configuration {
            Some(name) => write!(f, ", configuration {name:?}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_is_a_folder_and_a_number_a_project_of_the_site() {
        let folder = ProjectRef::folder("show_a");
        assert_eq!(folder.folder_name(), Some("show_a"));
        for reference in [
            "show_a".into(),
            ProjectRef::from(&"show_a"),
            String::from("show_a").into(),
            ProjectRef::from(&String::from("show_a")),
            ProjectRef::from(&folder),
        ] {
            assert_eq!(reference, folder);
        }
        assert_eq!(ProjectRef::from(87), ProjectRef::id(87));
        for other in [ProjectRef::id(87), ProjectRef::tank_name("show_a"), folder.configuration("Dev")] {
            assert_eq!(other.folder_name(), None);
        }
    }

    #[test]
    fn what_is_no_project_of_an_event_is_refused_with_the_reason() {
        for (value, reason) in [
            (json!(null), "there is no project"),
            (json!(87), "expected an object with type and id"),
            (json!({"type": "Shot", "id": 87}), "its type is not Project"),
            (json!({"type": "Project"}), "its id is not a number of an entity"),
            (json!({"type": "Project", "id": "87"}), "its id is not a number of an entity"),
            (json!({"type": "Project", "id": -1}), "its id is not a number of an entity"),
            (json!({"type": "Project", "id": 1.5}), "its id is not a number of an entity"),
            (json!({"type": "Project", "id": 4_294_967_296_u64}), "its id is not a number of an entity"),
        ] {
            let error = ProjectRef::try_from(&value).unwrap_err().to_string();
            assert!(error.ends_with(reason) && error.contains(&value.to_string()), "{error}");
        }
        assert_eq!(ProjectRef::try_from(&json!({"id": 7, "name": "x"})).unwrap(), ProjectRef::id(7));
    }
}
