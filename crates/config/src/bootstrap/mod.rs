//! What a bootstrap needs to know, as data.

mod builder;
mod options;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

pub use builder::{BootstrapBuilder, is_function};
pub use options::{CachingPolicy, Difference, DifferenceKind, STEERING_VARIABLES};

/// The steps of a bootstrap in Python, for the daemon's interpreter and for workers.
pub const STEPS: &str = concat!(
    include_str!("cache_lock.py"),
    "\n\n",
    include_str!("own_files.py"),
    "\n\n",
    include_str!("watch.py"),
    "\n\n",
    include_str!("unattended.py"),
    "\n\n",
    include_str!("own_bootstraps.py"),
    "\n\n",
    include_str!("keys.py"),
    "\n\n",
    include_str!("swap.py"),
    "\n\n",
    include_str!("outcome.py"),
    "\n\n",
    include_str!("steps.py"),
);

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
    caching_policy: CachingPolicy,
    allow_config_overrides: bool,
    pre_engine_hook: Option<String>,
    synchronize_filesystem_structure: bool,
    variables: BTreeMap<String, String>,
    strict: bool,
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

    /// The variables of the environment that are this project's alone.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
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

    // For `sgtk-host` and `sgtk-pool`. The options as `steps.py` takes them, **with the key in them**: to be
    // handed to Python, or to a worker over its pipe, and nowhere else.
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
            "caching_policy": self.caching_policy.as_str(),
            "allow_config_overrides": self.allow_config_overrides,
            "pre_engine_hook": self.pre_engine_hook,
            "synchronize_filesystem_structure": self.synchronize_filesystem_structure,
            "steering_variables": STEERING_VARIABLES,
            "variables": self.variables,
            "strict": self.strict,
            "site_timeout": self.site_timeout.map(|limit| limit.as_secs_f64()),
            "timeout": self.timeout.map(|limit| limit.as_secs_f64()),
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
            .field("variables", &self.variables.keys())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project() -> BootstrapBuilder {
        Bootstrap::project(176).core("/core/python").site("https://studio.example")
    }

    #[test]
    fn what_is_not_asked_for_is_toolkits_default_except_that_nothing_ambient_steers() {
        let options = project().build().unwrap().to_json();
        assert_eq!(options["caching_policy"], "lazy");
        for off in ["allow_config_overrides", "synchronize_filesystem_structure", "strict"] {
            assert_eq!(options[off], false, "{off}");
        }
        assert_eq!((&options["pre_engine_hook"], &options["variables"]), (&Value::Null, &json!({})));
        assert_eq!(options["steering_variables"], json!(STEERING_VARIABLES));
    }

    #[test]
    fn what_is_asked_for_is_handed_on() {
        let built = project()
            .caching_policy(CachingPolicy::Full)
            .allow_config_overrides(true)
            .pre_engine_hook("studio.hooks:before_engine")
            .synchronize_filesystem_structure(true)
            .variable("STUDIO_CORE", "24")
            .strict(true)
            .build()
            .unwrap();
        let options = built.to_json();
        assert_eq!(options["caching_policy"], "full");
        assert_eq!(options["pre_engine_hook"], "studio.hooks:before_engine");
        assert_eq!(options["variables"], json!({"STUDIO_CORE": "24"}));
        for on in ["allow_config_overrides", "synchronize_filesystem_structure", "strict"] {
            assert_eq!(options[on], true, "{on}");
        }
        assert_eq!(built.variables().collect::<Vec<_>>(), [("STUDIO_CORE", "24")]);
        // A variable may hold a key.
        assert!(!format!("{built:?}").contains("24"));
    }

    #[test]
    fn options_that_cannot_work_are_refused_by_name() {
        for hook in ["", "module", "module:", ":function", "a b:c", "a:b()", "a..b:c", "1a:b"] {
            let error = project().pre_engine_hook(hook).build().unwrap_err();
            assert_eq!(error.setting, "pre_engine_hook", "{hook}");
        }
        for (name, value) in [("", "x"), ("A=B", "x"), ("A\0", "x"), ("A", "\0")] {
            assert_eq!(project().variable(name, value).build().unwrap_err().setting, "variable", "{name:?}");
        }
    }

    #[test]
    fn differences_are_read_from_what_the_steps_tell() {
        let told = json!({"differences": [["app", "app x was left out"], ["new", "y"], "no pair"]});
        let differences = Difference::of_description(&told);
        let kinds: Vec<_> = differences.iter().map(|one| one.kind).collect();
        assert_eq!(kinds, [DifferenceKind::App, DifferenceKind::Other]);
        assert_eq!(differences[0].to_string(), "app x was left out");
        assert!(Difference::of_description(&json!({})).is_empty());
    }
}
