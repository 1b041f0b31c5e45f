//! What there is to tell of an engine.

use std::path::PathBuf;

use pyo3::prelude::*;

use sgtk_config::{Difference, Entity};

use crate::host::steps_in_python;

/// An engine, in values of its own: nothing of the interpreter is kept alive.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineInfo {
    /// What was bootstrapped, as errors and logs name it: `Project 176 (tk-shell)`.
    pub target: String,
    /// The project's number on the site; nothing for the site's own configuration.
    pub project_id: Option<u32>,
    /// The project's name.
    pub project_name: Option<String>,
    /// The entity of the engine's context; the project where it has no other.
    pub entity: Option<Entity>,
    /// The install folder of the core that the engine runs on.
    pub core: PathBuf,
    /// That core's version.
    pub core_version: Option<String>,
    /// The engine's name in its environment.
    pub engine: String,
    /// The engine's version.
    pub engine_version: Option<String>,
    /// The folder of the pipeline configuration: what `TANK_CURRENT_PC` is inside the engine's leases.
    pub configuration: PathBuf,
    /// The pipeline configuration's name on the site.
    pub configuration_name: Option<String>,
    /// The pipeline configuration's number on the site, where it has one there.
    pub configuration_id: Option<u32>,
    /// The configuration's version.
    pub configuration_version: Option<String>,
    /// The address of the configuration's descriptor.
    pub configuration_descriptor: Option<String>,
    /// In what the engine is not what was asked for. Each is logged as a warning as well.
    pub differences: Vec<Difference>,
}

impl EngineInfo {
    /// What an engine says of itself, while it is in place.
    pub(super) fn of(target: &str, engine: &Bound<'_, PyAny>) -> PyResult<Self> {
        let told = steps_in_python::call(engine.py(), "describe", (engine,))?;
        let text = |key| told.get_item(key)?.extract::<Option<String>>();
        // Names of files need not be text.
        let path = |key| told.get_item(key)?.extract::<PathBuf>();
        let number = |key| told.get_item(key)?.extract::<Option<u32>>();
        let entity = match (text("entity_type")?, number("entity_id")?) {
            (Some(entity_type), Some(id)) => Some(Entity { entity_type, id }),
            _ => None,
        };
        let differences: Vec<[String; 2]> = told.get_item("differences")?.extract()?;
        Ok(Self {
            target: target.to_owned(),
            project_id: number("project_id")?,
            project_name: text("project_name")?,
            entity,
            core: path("core")?,
            core_version: text("core_version")?,
            engine: text("engine")?.unwrap_or_default(),
            engine_version: text("engine_version")?,
            configuration: path("configuration")?,
            configuration_name: text("configuration_name")?,
            configuration_id: number("configuration_id")?,
            configuration_version: text("configuration_version")?,
            configuration_descriptor: text("configuration_descriptor")?,
            differences: differences.iter().map(|[kind, message]| Difference::new(kind, message)).collect(),
        })
    }
}
