//! What a bootstrap needs to know, as data.

mod builder;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

pub use builder::BootstrapBuilder;

/// The steps of a bootstrap in Python, for the daemon's interpreter and for workers.
pub const STEPS: &str = include_str!("steps.py");

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

/// The script user that bootstraps.
#[derive(Clone)]
struct ScriptUser {
    name: String,
    key: SecretString,
}

/// What is bootstrapped, from which core, on which site, by whom, and how. Option names are Toolkit's own.
///
/// # Examples
/// ```
/// use sgtk_config::Bootstrap;
///
/// let bootstrap = Bootstrap::project(176)
///     .core("/studio/tk-core/python")
///     .site("https://studio.example")
///     .script_user("daemon", "the script's key")
///     .build()?;
/// assert_eq!(bootstrap.to_string(), "Project 176 (tk-shell)");
/// # Ok::<(), sgtk_config::SettingError>(())
/// ```
#[derive(Clone)]
pub struct Bootstrap {
    entity: Option<Entity>,
    core: PathBuf,
    site: String,
    script_user: Option<ScriptUser>,
    http_proxy: Option<SecretString>,
    plugin_id: String,
    engine: String,
    base_configuration: Option<Value>,
    pipeline_configuration: Option<Value>,
    do_shotgun_config_lookup: Option<bool>,
    bundle_cache_fallback_paths: Vec<String>,
    site_timeout: Option<Duration>,
    timeout: Option<Duration>,
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
    pub fn core(&self) -> &Path {
        &self.core
    }

    /// How long the whole bootstrap may take; `None` for no limit.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// The texts that must not be seen anywhere: the script's key, the password in the proxy's address.
    #[must_use]
    pub fn secrets(&self) -> Vec<SecretString> {
        let key = self.script_user.as_ref().map(|user| user.key.clone());
        key.into_iter().chain(self.http_proxy.clone()).collect()
    }

    // For `sgtk-host` and `sgtk-pool`. The options as `steps.py` takes them, **with the key in them**: to be handed to
    // Python, or to a worker over its pipe, and nowhere else.
    #[doc(hidden)]
    #[must_use]
    pub fn to_json(&self) -> Value {
        let (script_name, script_key) = match &self.script_user {
            Some(user) => (Some(user.name.as_str()), Some(user.key.expose_secret())),
            None => (None, None),
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
        f.debug_struct("Bootstrap")
            .field("target", &self.to_string())
            .field("core", &self.core)
            .field("site", &self.site)
            .field("script_user", &self.script_user.as_ref().map(|user| &user.name))
            .field("plugin_id", &self.plugin_id)
            .field("base_configuration", &self.base_configuration)
            .field("pipeline_configuration", &self.pipeline_configuration)
            .finish_non_exhaustive()
    }
}
