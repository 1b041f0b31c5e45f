//! The options of a bootstrap.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::{Bootstrap, CachingPolicy, Entity, ScriptUser};
#[cfg(doc)]
use crate::STEERING_VARIABLES;
use crate::SettingError;
use crate::project_variables::CURRENT_PC;

/// Options for a [`Bootstrap`]. A starting core and a site are needed; for the rest each method states its
/// default.
#[derive(Clone)]
#[must_use = "nothing happens before `build`"]
pub struct BootstrapBuilder {
    entity: Option<Entity>,
    core: Option<PathBuf>,
    site: Option<String>,
    script_user: Option<ScriptUser>,
    http_proxy: Option<SecretString>,
    plugin_id: String,
    engine: String,
    base_configuration: Option<Value>,
    pipeline_configuration: Option<Value>,
    do_shotgun_config_lookup: Option<bool>,
    bundle_cache_fallback_paths: Vec<PathBuf>,
    caching_policy: CachingPolicy,
    allow_config_overrides: bool,
    pre_engine_hook: Option<String>,
    synchronize_filesystem_structure: bool,
    variables: BTreeMap<String, String>,
    strict: bool,
    site_timeout: Option<Duration>,
    timeout: Option<Duration>,
}

impl BootstrapBuilder {
    pub(super) fn of(entity: Option<Entity>) -> Self {
        Self {
            entity,
            core: None,
            site: None,
            script_user: None,
            http_proxy: None,
            plugin_id: "basic.".to_owned(),
            engine: "tk-shell".to_owned(),
            base_configuration: None,
            pipeline_configuration: None,
            do_shotgun_config_lookup: None,
            bundle_cache_fallback_paths: Vec::new(),
            caching_policy: CachingPolicy::default(),
            allow_config_overrides: false,
            pre_engine_hook: None,
            synchronize_filesystem_structure: false,
            variables: BTreeMap::new(),
            strict: false,
            site_timeout: Some(Duration::from_secs(60)),
            timeout: Some(Duration::from_secs(600)),
        }
    }

    /// The core to start from, which belongs to no project: the folder that has `sgtk` and `tank` in it. The
    /// bootstrap finds the project's own core from there.
    pub fn core(mut self, python_folder: impl Into<PathBuf>) -> Self {
        self.core = Some(python_folder.into());
        self
    }

    /// The site's address, `https://studio.example` say.
    pub fn site(mut self, address: impl Into<String>) -> Self {
        self.site = Some(address.into());
        self
    }

    /// The script user that bootstraps: its name and its key on the site. The key is kept as a secret: it is
    /// in no `Debug`, error or log, and in no argument or environment of a process. Default: the user that
    /// the starting core names (its `shotgun.yml`), without asking anybody.
    pub fn script_user(mut self, name: impl Into<String>, key: impl Into<SecretString>) -> Self {
        self.script_user = Some(ScriptUser { name: name.into(), key: key.into() });
        self
    }

    /// The proxy for all calls to the site: `host:port`, or `user:password@host:port`. Kept as a secret. For
    /// a script user only. Default: none.
    pub fn http_proxy(mut self, address: impl Into<SecretString>) -> Self {
        self.http_proxy = Some(address.into());
        self
    }

    /// Which of the site's pipeline configurations are meant for us, by their `plugin_ids`. Default:
    /// `basic.`.
    pub fn plugin_id(mut self, id: impl Into<String>) -> Self {
        self.plugin_id = id.into();
        self
    }

    /// The engine's name in the configuration's environment. Default: `tk-shell`.
    pub fn engine(mut self, name: impl Into<String>) -> Self {
        self.engine = name.into();
        self
    }

    /// The descriptor of the configuration to use where the site names none: its address as text
    /// (`sgtk:descriptor:app_store?name=tk-config-basic`), or the same as a JSON object. Default: Toolkit's
    /// own.
    pub fn base_configuration(mut self, descriptor: impl Into<Value>) -> Self {
        self.base_configuration = Some(descriptor.into());
        self
    }

    /// The pipeline configuration to use, by its name or its number on the site. Default: Toolkit chooses.
    pub fn pipeline_configuration(mut self, name_or_id: impl Into<Value>) -> Self {
        self.pipeline_configuration = Some(name_or_id.into());
        self
    }

    /// Whether the site is asked for a pipeline configuration at all. Default: Toolkit's, which is yes.
    pub fn do_shotgun_config_lookup(mut self, lookup: bool) -> Self {
        self.do_shotgun_config_lookup = Some(lookup);
        self
    }

    /// A folder to look for bundles in before any is downloaded. Call it once for each. Default: none.
    pub fn bundle_cache_fallback_path(mut self, folder: impl Into<PathBuf>) -> Self {
        self.bundle_cache_fallback_paths.push(folder.into());
        self
    }

    /// Which bundles are downloaded before the engine starts. Default: [`CachingPolicy::Lazy`].
    pub fn caching_policy(mut self, policy: CachingPolicy) -> Self {
        self.caching_policy = policy;
        self
    }

    /// Whether `TK_BOOTSTRAP_CONFIG_OVERRIDE`, where it is set, decides on the configuration, whatever else
    /// is asked for. Default: no, unlike Toolkit's own.
    pub fn allow_config_overrides(mut self, allow: bool) -> Self {
        self.allow_config_overrides = allow;
        self
    }

    /// A Python function to call with the engine's context just before the engine starts, as
    /// `module:function`: Toolkit's `pre_engine_start_callback`, where it runs in the project's Python, in a
    /// worker too. The module has to be one that the project can import. What it raises ends the bootstrap.
    /// Default: none.
    pub fn pre_engine_hook(mut self, function: impl Into<String>) -> Self {
        self.pre_engine_hook = Some(function.into());
        self
    }

    /// Whether the local folder cache is synchronised with the site just before the engine starts
    /// (`synchronize_filesystem_structure`), which Toolkit's documentation asks for where a Shot or a Task is
    /// bootstrapped: without it the engine may start in the wrong environment. It comes before
    /// [`pre_engine_hook`](Self::pre_engine_hook). Default: no.
    pub fn synchronize_filesystem_structure(mut self, synchronize: bool) -> Self {
        self.synchronize_filesystem_structure = synchronize;
        self
    }

    /// A variable of the environment for this project alone (`STUDIO_CORE=24`). Call it once for each. What
    /// Toolkit would let decide on the configuration ([`STEERING_VARIABLES`]) is not taken from the daemon's
    /// environment, but it is from here. Default: none.
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// Whether a bootstrap whose outcome is not what was asked for is an error: another project, another
    /// configuration or an older one that was restored, another core, an app that was left out. Otherwise
    /// each is told as a [`Difference`](crate::Difference) and as a warning. Default: no.
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// How long one try of a call to the site may wait for an answer; the client may try up to three times.
    /// It holds for all connections that the engine's core makes afterwards, too. `None` waits forever, as
    /// Toolkit does. Default: 60 s.
    pub fn site_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.site_timeout = timeout.into();
        self
    }

    /// How long the whole bootstrap may take before it is stopped. Python can be stopped between two of its
    /// instructions and not in C code: a call to the site is waited for as long as
    /// [`site_timeout`](Self::site_timeout) says, `git` or a network drive for as long as they take. `None`
    /// for no limit. Default: 600 s.
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeout = timeout.into();
        self
    }

    /// Checks the options.
    ///
    /// # Errors
    /// [`SettingError`] names the option that is missing or cannot work.
    pub fn build(self) -> Result<Bootstrap, SettingError> {
        let core = self.core.ok_or_else(|| missing("core", "the python folder of the core to start from"))?;
        if core.as_os_str().is_empty() {
            return Err(refused("core", "\"\"", "it is empty"));
        }
        let core = std::path::absolute(&core)
            .map_err(|error| refused("core", &format!("{core:?}"), &error.to_string()))?;
        let site = self.site.ok_or_else(|| missing("site", "the site's address"))?;
        check_text("site", &site)?;
        if let Some(ScriptUser { name, key }) = &self.script_user {
            check_text("script_user", name)?;
            if key.expose_secret().trim().is_empty() {
                return Err(refused("script_user", &format!("{name:?}"), "its key is empty"));
            }
            // Of a file, mostly: the line's end is no part of the key, and no site would take it.
            if key.expose_secret().chars().any(char::is_control) {
                let reason = "its key has a control character, a line's end say";
                return Err(refused("script_user", &format!("{name:?}"), reason));
            }
        }
        if let Some(proxy) = &self.http_proxy {
            if proxy.expose_secret().trim().is_empty() {
                return Err(refused("http_proxy", "\"\"", "it is empty"));
            }
            if self.script_user.is_none() {
                let reason = "it is for a script user: another user has a proxy of its own";
                return Err(refused("http_proxy", "(hidden)", reason));
            }
        }
        check_text("plugin_id", &self.plugin_id)?;
        check_text("engine", &self.engine)?;
        if let Some(entity) = &self.entity {
            check_text("entity", &entity.entity_type)?;
        }
        if let Some(descriptor) = &self.base_configuration {
            let usable =
                descriptor.as_str().is_some_and(|uri| !uri.trim().is_empty()) || descriptor.is_object();
            if !usable {
                let reason = "expected a descriptor's address as text, or an object";
                return Err(refused("base_configuration", &descriptor.to_string(), reason));
            }
        }
        if let Some(which) = &self.pipeline_configuration {
            let usable = which.as_str().is_some_and(|name| !name.trim().is_empty()) || which.is_u64();
            if !usable {
                return Err(refused(
                    "pipeline_configuration",
                    &which.to_string(),
                    "expected a name or a number",
                ));
            }
        }
        if let Some(hook) = &self.pre_engine_hook
            && !is_function(hook)
        {
            let reason = "expected module:function";
            return Err(refused("pre_engine_hook", &format!("{hook:?}"), reason));
        }
        for (name, value) in &self.variables {
            let reason = match () {
                () if name.is_empty() => "its name is empty",
                () if name.contains('=') => "its name has an equals sign",
                () if name == CURRENT_PC => "it is set to the project's configuration",
                () if name.contains('\0') || value.contains('\0') => "it has a NUL character",
                () => continue,
            };
            return Err(refused("variable", &format!("{name:?}"), reason));
        }
        for (setting, limit) in [("site_timeout", self.site_timeout), ("timeout", self.timeout)] {
            if limit.is_some_and(|limit| limit.is_zero()) {
                return Err(refused(setting, "0 s", "nothing could be done in that time"));
            }
        }
        let folders = self.bundle_cache_fallback_paths.iter().map(|folder| {
            // A project's code may be in another folder.
            let absolute = std::path::absolute(folder).ok();
            let text = absolute.and_then(|folder| folder.into_os_string().into_string().ok());
            text.ok_or_else(|| {
                refused("bundle_cache_fallback_path", &format!("{folder:?}"), "it is empty or not UTF-8")
            })
        });
        Ok(Bootstrap {
            entity: self.entity,
            core,
            site,
            script_user: self.script_user,
            http_proxy: self.http_proxy,
            plugin_id: self.plugin_id,
            engine: self.engine,
            base_configuration: self.base_configuration,
            pipeline_configuration: self.pipeline_configuration,
            do_shotgun_config_lookup: self.do_shotgun_config_lookup,
            bundle_cache_fallback_paths: folders.collect::<Result<_, _>>()?,
            caching_policy: self.caching_policy,
            allow_config_overrides: self.allow_config_overrides,
            pre_engine_hook: self.pre_engine_hook,
            synchronize_filesystem_structure: self.synchronize_filesystem_structure,
            variables: self.variables,
            strict: self.strict,
            site_timeout: self.site_timeout,
            timeout: self.timeout,
        })
    }
}

/// Whether it is `package.module:function` in Python's names.
#[must_use]
pub fn is_function(text: &str) -> bool {
    let is_name = |name: &str| {
        let mut letters = name.chars();
        letters.next().is_some_and(|first| first.is_alphabetic() || first == '_')
            && letters.all(|letter| letter.is_alphanumeric() || letter == '_')
    };
    text.split_once(':')
        .is_some_and(|(module, function)| [module, function].iter().all(|path| path.split('.').all(is_name)))
}

fn missing(setting: &'static str, expected: &str) -> SettingError {
    refused(setting, "(not set)", &format!("a bootstrap needs {expected}"))
}

fn refused(setting: &'static str, value: &str, reason: &str) -> SettingError {
    SettingError::new(setting, value, reason)
}

fn check_text(setting: &'static str, text: &str) -> Result<(), SettingError> {
    let reason = match text {
        _ if text.trim().is_empty() => "it is empty",
        _ if text.chars().any(char::is_control) => "it has a control character",
        _ => return Ok(()),
    };
    Err(refused(setting, &format!("{text:?}"), reason))
}
