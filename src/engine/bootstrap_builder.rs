//! The options of a bootstrap.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::bootstrap::{Bootstrap, Credentials, Entity, OnProgress, Progress};
use crate::error::{Error, Result};

/// Options for a [`Bootstrap`]. A starting core, a site and a user are needed; for the rest each method states its default.
#[derive(Clone)]
#[must_use = "nothing happens before `build`"]
pub struct BootstrapBuilder {
    entity: Option<Entity>,
    core: Option<PathBuf>,
    site: Option<String>,
    credentials: Option<Credentials>,
    http_proxy: Option<SecretString>,
    plugin_id: String,
    engine: String,
    base_configuration: Option<Value>,
    pipeline_configuration: Option<Value>,
    do_shotgun_config_lookup: Option<bool>,
    bundle_cache_fallback_paths: Vec<PathBuf>,
    site_timeout: Option<Duration>,
    time_limit: Option<Duration>,
    on_progress: Option<OnProgress>,
}

impl BootstrapBuilder {
    pub(super) fn of(entity: Option<Entity>) -> Self {
        Self {
            entity,
            core: None,
            site: None,
            credentials: None,
            http_proxy: None,
            plugin_id: "basic.".to_owned(),
            engine: "tk-shell".to_owned(),
            base_configuration: None,
            pipeline_configuration: None,
            do_shotgun_config_lookup: None,
            bundle_cache_fallback_paths: Vec::new(),
            site_timeout: Some(Duration::from_secs(60)),
            time_limit: Some(Duration::from_secs(600)),
            on_progress: None,
        }
    }

    /// The core to start from, which belongs to no project: the folder that has `sgtk` and `tank` in it. The bootstrap
    /// finds the project's own core from there.
    pub fn core(mut self, python_folder: impl Into<PathBuf>) -> Self {
        self.core = Some(python_folder.into());
        self
    }

    /// The site's address, `https://studio.example` say.
    pub fn site(mut self, address: impl Into<String>) -> Self {
        self.site = Some(address.into());
        self
    }

    /// The script user that bootstraps: its name and its key on the site. The key is kept as a secret: it is in no
    /// `Debug`, error or log, and in no argument or environment of a process.
    pub fn script_user(mut self, name: impl Into<String>, key: impl Into<SecretString>) -> Self {
        self.credentials = Some(Credentials::Script { name: name.into(), key: key.into() });
        self
    }

    /// Has `make` make the user, for all that is no script user: given the starting core's `sgtk`, it returns a
    /// `ShotgunUser`, from `ShotgunAuthenticator().get_default_user()` say. Takes the place of
    /// [`script_user`](Self::script_user). For engines in this process only: a worker process cannot be given it. A panic
    /// of it ends the bootstrap with an error.
    ///
    /// The user brings his own site and proxy. His secrets are not known here, and so are not hidden in errors and logs.
    pub fn user(
        mut self,
        make: impl for<'py> Fn(&Bound<'py, PyModule>) -> PyResult<Bound<'py, PyAny>> + Send + Sync + 'static,
    ) -> Self {
        self.credentials = Some(Credentials::User(Arc::new(make)));
        self
    }

    /// The proxy for all calls to the site: `host:port`, or `user:password@host:port`. Kept as a secret. For a script
    /// user only. Default: none.
    pub fn http_proxy(mut self, address: impl Into<SecretString>) -> Self {
        self.http_proxy = Some(address.into());
        self
    }

    /// Which of the site's pipeline configurations are meant for us, by their `plugin_ids`. Default: `basic.`.
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
    /// (`sgtk:descriptor:app_store?name=tk-config-basic`), or the same as a JSON object. Default: Toolkit's own.
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

    /// How long one try of a call to the site may wait for an answer; the client may try up to three times. It holds for
    /// all connections that the engine's core makes afterwards, too. `None` waits for ever, as Toolkit does. Default:
    /// 60 s.
    pub fn site_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.site_timeout = limit.into();
        self
    }

    /// How long the whole bootstrap may take before it is stopped. Python can be stopped between two of its instructions
    /// and not in C code: a call to the site is waited for as long as [`site_timeout`](Self::site_timeout) says, `git`
    /// or a network drive for as long as they take. Default: 600 s.
    pub fn time_limit(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.time_limit = limit.into();
        self
    }

    /// Called with each step of the bootstrap, on the thread that bootstraps, detached from the interpreter. `Break` ends
    /// the bootstrap with an error that says so. A panic is logged, and the callback not called again. Default: none.
    pub fn on_progress(
        mut self,
        callback: impl Fn(&Progress) -> ControlFlow<()> + Send + Sync + 'static,
    ) -> Self {
        self.on_progress = Some(Arc::new(callback));
        self
    }

    /// Checks the options.
    ///
    /// # Errors
    /// [`Error::Setting`] names the option that is missing or cannot work.
    pub fn build(self) -> Result<Bootstrap> {
        let core = self.core.ok_or_else(|| missing("core", "the python folder of the core to start from"))?;
        if core.as_os_str().is_empty() {
            return Err(refused("core", "\"\"", "it is empty"));
        }
        let core = std::path::absolute(&core)
            .map_err(|error| refused("core", &format!("{core:?}"), &error.to_string()))?;
        let site = self.site.ok_or_else(|| missing("site", "the site's address"))?;
        check_text("site", &site)?;
        let credentials =
            self.credentials.ok_or_else(|| missing("script_user", "a script user, or user()"))?;
        if let Credentials::Script { name, key } = &credentials {
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
            if matches!(credentials, Credentials::User(_)) {
                let reason = "the user that a callback makes brings his own";
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
        for (setting, limit) in [("site_timeout", self.site_timeout), ("time_limit", self.time_limit)] {
            if limit.is_some_and(|limit| limit.is_zero()) {
                return Err(refused(setting, "0 s", "nothing could be done in that time"));
            }
        }
        let folders = self.bundle_cache_fallback_paths.iter().map(|folder| {
            let text = folder.to_str().filter(|text| !text.is_empty()).map(str::to_owned);
            text.ok_or_else(|| {
                refused("bundle_cache_fallback_path", &format!("{folder:?}"), "it is empty or not UTF-8")
            })
        });
        Ok(Bootstrap {
            entity: self.entity,
            core,
            site,
            credentials,
            http_proxy: self.http_proxy,
            plugin_id: self.plugin_id,
            engine: self.engine,
            base_configuration: self.base_configuration,
            pipeline_configuration: self.pipeline_configuration,
            do_shotgun_config_lookup: self.do_shotgun_config_lookup,
            bundle_cache_fallback_paths: folders.collect::<Result<_>>()?,
            site_timeout: self.site_timeout,
            time_limit: self.time_limit,
            on_progress: self.on_progress,
        })
    }
}

fn missing(setting: &'static str, expected: &str) -> Error {
    refused(setting, "(not set)", &format!("a bootstrap needs {expected}"))
}

fn refused(setting: &'static str, value: &str, reason: &str) -> Error {
    Error::Setting { setting, value: value.to_owned(), reason: reason.to_owned() }
}

fn check_text(setting: &'static str, text: &str) -> Result<()> {
    let reason = match text {
        _ if text.trim().is_empty() => "it is empty",
        _ if text.chars().any(char::is_control) => "it has a control character",
        _ => return Ok(()),
    };
    Err(refused(setting, &format!("{text:?}"), reason))
}
