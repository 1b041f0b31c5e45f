//! A host's options.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pyo3::prelude::*;

use super::first_import::Settings;
use super::residents::Residents;
use super::world::World;
use super::{Host, Inner, late_import, zip_code};
use crate::error::{Error, Result};
use crate::interpreter::Interpreter;
use sgtk_config::{Configs, SettingError, plugin_folder};

/// Options for a [`Host`]. Each method states its default.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before `build`"]
pub struct HostBuilder {
    configs: Option<Configs>,
    interpreter: Option<Interpreter>,
    plugin_paths: Vec<PathBuf>,
    exempt: Vec<String>,
    max_resident: Option<usize>,
    revalidate_after: Duration,
    lease_timeout: Option<Duration>,
    late_import_timeout: Duration,
    import_timeout: Option<Duration>,
    forward_logs: bool,
}

impl Default for HostBuilder {
    fn default() -> Self {
        Self {
            configs: None,
            interpreter: None,
            plugin_paths: Vec::new(),
            exempt: Vec::new(),
            max_resident: None,
            revalidate_after: Duration::from_secs(5),
            lease_timeout: None,
            late_import_timeout: Duration::from_secs(30),
            import_timeout: Some(Duration::from_secs(300)),
            forward_logs: false,
        }
    }
}

impl HostBuilder {
    /// The folder that holds a pipeline configuration for each project. Default: `$SHOTGUN_BASE`, else
    /// `/mnt/sgtk/configs`.
    pub fn configs(self, base: impl Into<PathBuf>) -> Self {
        self.config_rules(Configs::new(base))
    }

    /// As [`configs`](Self::configs), with the rules by which cores are found: the studio fallback, the platform.
    pub fn config_rules(mut self, configs: Configs) -> Self {
        self.configs = Some(configs);
        self
    }

    /// The interpreter to use. Default: the one that runs, else one started with its defaults.
    pub fn interpreter(mut self, interpreter: Interpreter) -> Self {
        self.interpreter = Some(interpreter);
        self
    }

    /// A folder of event plugins, to stand on every project's `sys.path` after the core's `python` folder. Modules from
    /// it belong to the project: each has its own copy, bound to its own core. Call it once for each folder. Default:
    /// none.
    pub fn plugin_path(mut self, folder: impl Into<PathBuf>) -> Self {
        self.plugin_paths.push(folder.into());
        self
    }

    /// A top-level module name that is never a project's, though it begins with `tank` or `sgtk` or comes from a
    /// project's folders. Call it once for each name. Default: none.
    pub fn exempt(mut self, name: impl Into<String>) -> Self {
        self.exempt.push(name.into());
        self
    }

    /// How many projects may be imported at a time, at least 1. Beyond it the least recently used is dropped, which
    /// takes about a tenth of a second. Default: no limit. A core takes about 5 to 15 MiB for each project.
    pub fn max_resident(mut self, projects: usize) -> Self {
        self.max_resident = Some(projects);
        self
    }

    /// How old the last look at a core's files may be before a lease looks again, and imports the core anew where it
    /// was upgraded or repointed. Zero looks each time. Default: 5 s.
    pub fn revalidate_after(mut self, age: Duration) -> Self {
        self.revalidate_after = age;
        self
    }

    /// How long a lease waits for its turn. Default: for ever.
    pub fn lease_timeout(mut self, limit: Duration) -> Self {
        self.lease_timeout = Some(limit);
        self
    }

    /// How long a late import of a parked project's code waits for its turn, where a module has to be loaded; then it
    /// fails with an `ImportError`. The last host that was built decides for the process. Default: 30 s.
    pub fn late_import_timeout(mut self, limit: Duration) -> Self {
        self.late_import_timeout = limit;
        self
    }

    /// How long a core's first import may take before it is stopped, `None` for ever. Python code is stopped between two
    /// instructions; code that waits in C, for a lock or a socket, is not reached until it returns. Default: 300 s.
    pub fn import_timeout(mut self, limit: Option<Duration>) -> Self {
        self.import_timeout = limit;
        self
    }

    /// Whether the log records of each project's `sgtk` and `tank` loggers become `tracing` events, with the project's
    /// name and under the target `sgtk`. Default: no.
    pub fn forward_logs(mut self, on: bool) -> Self {
        self.forward_logs = on;
        self
    }

    /// Makes the host, and starts the interpreter if the process has none.
    ///
    /// # Errors
    /// [`Error::Setting`] for an option that cannot work, [`Error::Interpreter`] where the interpreter cannot be
    /// started.
    pub fn build(self) -> Result<Host> {
        if self.max_resident == Some(0) {
            return Err(setting("max_resident", "0", "at least one project has to be in memory to be used"));
        }
        let mut plugin_paths = Vec::with_capacity(self.plugin_paths.len());
        for folder in &self.plugin_paths {
            plugin_paths.push(
                plugin_folder(folder)
                    .map_err(|reason| setting("plugin_path", &folder.display().to_string(), &reason))?,
            );
        }
        if let Some(name) = self.exempt.iter().find(|name| name.is_empty() || name.contains('.')) {
            return Err(setting("exempt", name, "it is not a top-level module name"));
        }
        if let Some(core) =
            self.exempt.iter().find(|name| ["sgtk", "tank", "tank_vendor"].contains(&&***name))
        {
            return Err(setting("exempt", core, "it is the core's own"));
        }
        let interpreter = match self.interpreter {
            Some(interpreter) => interpreter,
            None => Interpreter::start_default()?,
        };
        Python::attach(|py| {
            World::prepare(py)?;
            zip_code::install(py)?;
            late_import::install(py, self.late_import_timeout)
        })?;
        let settings = Settings {
            plugin_paths,
            exempt: Arc::new(self.exempt.into_iter().collect::<HashSet<_>>()),
            import_limit: self.import_timeout,
        };
        let inner = Inner {
            interpreter,
            configs: self.configs.unwrap_or_else(Configs::from_env),
            settings,
            max_resident: self.max_resident,
            revalidate_after: self.revalidate_after,
            lease_timeout: self.lease_timeout,
            forward_logs: self.forward_logs,
            residents: Residents::default(),
            private: Mutex::default(),
            started_from: Mutex::default(),
            closed: AtomicBool::new(false),
        };
        Ok(Host { inner: Arc::new(inner) })
    }
}

fn setting(setting: &'static str, value: &str, reason: &str) -> Error {
    SettingError::new(setting, format!("'{value}'"), reason).into()
}
