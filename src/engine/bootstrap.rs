//! What a bootstrap needs to know.

use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::BootstrapBuilder;

/// An entity of the site: what Toolkit's `{"type": "Shot", "id": 1234}` says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entity {
    /// The entity type, as the site's API spells it: `Project`, `Shot`, `CustomEntity01`.
    pub entity_type: String,
    /// Its number.
    pub id: u32,
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.entity_type, self.id)
    }
}

/// How far a bootstrap has come.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// From 0.0 to 1.0, never less than before. 1.0 comes once, when the engine can be used.
    pub fraction: f64,
    /// What Toolkit says it is doing.
    pub message: String,
}

pub(crate) type OnProgress = Arc<dyn Fn(&Progress) -> ControlFlow<()> + Send + Sync>;
pub(crate) type MakeUser =
    Arc<dyn for<'py> Fn(&Bound<'py, PyModule>) -> PyResult<Bound<'py, PyAny>> + Send + Sync>;

/// Who bootstraps.
#[derive(Clone)]
pub(crate) enum Credentials {
    Script { name: String, key: SecretString },
    User(MakeUser),
}

/// What is bootstrapped, from which core, on which site, by whom, and how. Option names are Toolkit's own.
///
/// # Examples
/// ```
/// use sgtk_host::Bootstrap;
///
/// let bootstrap = Bootstrap::project(176)
///     .core("/studio/tk-core/python")
///     .site("https://studio.example")
///     .script_user("daemon", "the script's key")
///     .build()?;
/// assert_eq!(bootstrap.to_string(), "Project 176 (tk-shell)");
/// # Ok::<(), sgtk_host::Error>(())
/// ```
#[derive(Clone)]
pub struct Bootstrap {
    pub(super) entity: Option<Entity>,
    pub(super) core: PathBuf,
    pub(super) site: String,
    pub(super) credentials: Credentials,
    pub(super) http_proxy: Option<SecretString>,
    pub(super) plugin_id: String,
    pub(super) engine: String,
    pub(super) base_configuration: Option<Value>,
    pub(super) pipeline_configuration: Option<Value>,
    pub(super) do_shotgun_config_lookup: Option<bool>,
    pub(super) bundle_cache_fallback_paths: Vec<String>,
    pub(super) site_timeout: Option<Duration>,
    pub(super) time_limit: Option<Duration>,
    pub(super) on_progress: Option<OnProgress>,
}

impl Bootstrap {
    /// Options to bootstrap the project of this number.
    pub fn project(id: u32) -> BootstrapBuilder {
        Self::entity("Project", id)
    }

    /// Options to bootstrap any entity: its type as the site's API spells it, and its number.
    pub fn entity(entity_type: impl Into<String>, id: u32) -> BootstrapBuilder {
        BootstrapBuilder::of(Some(Entity { entity_type: entity_type.into(), id }))
    }

    /// Options to bootstrap the site's own configuration, for no project.
    pub fn site_configuration() -> BootstrapBuilder {
        BootstrapBuilder::of(None)
    }

    /// What is bootstrapped; nothing for the site's own configuration.
    #[must_use]
    pub fn target(&self) -> Option<&Entity> {
        self.entity.as_ref()
    }

    /// The `python` folder of the core that it starts from.
    #[must_use]
    pub fn core(&self) -> &std::path::Path {
        &self.core
    }

    /// The texts that must not be seen anywhere: the script's key, the password in the proxy's address.
    pub(crate) fn secrets(&self) -> Vec<SecretString> {
        let key = match &self.credentials {
            Credentials::Script { key, .. } => Some(key.clone()),
            Credentials::User(_) => None,
        };
        key.into_iter().chain(self.http_proxy.clone()).collect()
    }

    /// The options as `bootstrap.py` takes them, **with the key in them**: to be handed to Python, or to a worker over its
    /// pipe, and nowhere else. `None` where the user is made by a callback, which has no such form.
    pub(crate) fn to_worker_json(&self) -> Option<Value> {
        match &self.credentials {
            Credentials::Script { .. } => Some(self.to_json()),
            Credentials::User(_) => None,
        }
    }

    /// As [`Bootstrap::to_worker_json`], without script user where a callback makes the user.
    pub(super) fn to_json(&self) -> Value {
        let (script_name, script_key) = match &self.credentials {
            Credentials::Script { name, key } => (Some(name.as_str()), Some(key.expose_secret())),
            Credentials::User(_) => (None, None),
        };
        json!({
            "entity": self.entity.as_ref().map(|entity| json!({"type": entity.entity_type, "id": entity.id})),
            "site": self.site,
            "script_name": script_name,
            "script_key": script_key,
            "http_proxy": self.http_proxy.as_ref().map(|proxy| proxy.expose_secret()),
            "plugin_id": self.plugin_id,
            "engine": self.engine,
            "base_configuration": self.base_configuration,
            "pipeline_configuration": self.pipeline_configuration,
            "do_shotgun_config_lookup": self.do_shotgun_config_lookup,
            "bundle_cache_fallback_paths": self.bundle_cache_fallback_paths,
            "site_timeout": self.site_timeout.map(|limit| limit.as_secs_f64()),
        })
    }
}

/// What is bootstrapped and with which engine, as errors and logs name it.
impl fmt::Display for Bootstrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.entity {
            Some(entity) => write!(f, "{entity} ({})", self.engine),
            None => write!(f, "site ({})", self.engine),
        }
    }
}

/// Never shows the key, nor the proxy's address, which may hold a password.
impl fmt::Debug for Bootstrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = match &self.credentials {
            Credentials::Script { name, .. } => format!("script {name:?}"),
            Credentials::User(_) => "made by a callback".to_owned(),
        };
        f.debug_struct("Bootstrap")
            .field("target", &self.to_string())
            .field("core", &self.core)
            .field("site", &self.site)
            .field("user", &user)
            .field("plugin_id", &self.plugin_id)
            .field("base_configuration", &self.base_configuration)
            .field("pipeline_configuration", &self.pipeline_configuration)
            .finish_non_exhaustive()
    }
}
