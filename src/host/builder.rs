//! A host's options.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use parking_lot::Mutex;
use pyo3::prelude::*;
use sgtk_config::keys::Secrets;
use sgtk_config::{
    CodeCache, Configs, CoresOnDisk, ProjectVariables, ScriptUser, SettingError, plugin_folder,
};

use super::handle::Host;
use super::imports::compiled;
use super::imports::first::Settings;
use super::imports::generated;
use super::imports::on_import::{Imported, OnImport, Purpose, set_script_user};
use super::imports::unattended::prepare_core;
use super::imports::wrappers;
use super::inner::Inner;
use super::lease::lend;
#[cfg(unix)]
use super::lease::umask;
use super::ownership::rules::DeclaredNames;
use super::python::modules::{find_stdlib, is_standard_name};
use super::python::{code, folder, noted, steps_in_python};
use super::state::world;
use super::upkeep::found::FoundProjects;
use super::upkeep::residents::Residents;
use super::views;
use crate::error::{Error, Result};
use crate::interpreter::Interpreter;

impl Host {
    /// Options for a host. All have defaults.
    pub fn builder() -> HostBuilder {
        HostBuilder::default()
    }
}

/// Options for a [`Host`]. Each method states its default.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before `build`"]
pub struct HostBuilder {
    configs: Option<Configs>,
    interpreter: Option<Interpreter>,
    plugin_paths: Vec<PathBuf>,
    exempt: Vec<String>,
    per_project: Vec<String>,
    max_resident: Option<usize>,
    revalidate_after: Option<Duration>,
    settle_after: Duration,
    lease_timeout: Option<Duration>,
    import_timeout: Option<Duration>,
    forward_logs: bool,
    on_import: OnImport,
    script_user: Option<ScriptUser>,
    project_env: ProjectVariables,
    site_timeout: Option<Duration>,
    code_cache: CodeCache,
}

impl Default for HostBuilder {
    fn default() -> Self {
        Self {
            configs: None,
            interpreter: None,
            plugin_paths: Vec::new(),
            exempt: Vec::new(),
            per_project: Vec::new(),
            max_resident: None,
            revalidate_after: Some(Duration::from_secs(5)),
            settle_after: Duration::from_secs(10),
            lease_timeout: None,
            import_timeout: Some(Duration::from_secs(300)),
            forward_logs: false,
            on_import: OnImport::default(),
            script_user: None,
            project_env: ProjectVariables::default(),
            site_timeout: Some(Duration::from_secs(60)),
            code_cache: CodeCache::standard(),
        }
    }
}

impl HostBuilder {
    /// The folder that holds a pipeline configuration for each project. Default: `$SHOTGUN_BASE`, else
    /// `/mnt/sgtk/configs`.
    pub fn configs(self, base: impl Into<PathBuf>) -> Self {
        self.config_rules(Configs::new(base))
    }

    /// As [`configs`](Self::configs), with the rules by which cores are found: the studio fallback, the
    /// platform.
    pub fn config_rules(mut self, configs: Configs) -> Self {
        self.configs = Some(configs);
        self
    }

    /// The interpreter to use. Default: the one that runs, else one started with its defaults.
    pub fn interpreter(mut self, interpreter: Interpreter) -> Self {
        self.interpreter = Some(interpreter);
        self
    }

    /// A folder of event plugins, to stand on every project's `sys.path` after the core's `python` folder.
    /// Modules from it belong to the project: each has its own copy, bound to its own core. Call it once for
    /// each folder. Default: none.
    pub fn plugin_path(mut self, folder: impl Into<PathBuf>) -> Self {
        self.plugin_paths.push(folder.into());
        self
    }

    /// A top-level module name that is never a project's, though it begins with `tank` or `sgtk` or comes
    /// from a project's folders. Call it once for each name. Default: none.
    pub fn exempt(mut self, name: impl Into<String>) -> Self {
        self.exempt.push(name.into());
        self
    }

    /// A top-level name of a package of the daemon's that is each project's own, the opposite of
    /// [`exempt`](Self::exempt): a project's code that imports it gets a copy that belongs to the project,
    /// bound to its core, and the daemon's own is out of its sight. For host packages that keep Toolkit
    /// objects in their globals (`_tk = None`), which all projects would share. Call it once for each name.
    /// Default: none.
    pub fn per_project(mut self, name: impl Into<String>) -> Self {
        self.per_project.push(name.into());
        self
    }

    /// How many projects may be imported at a time, at least 1. Beyond it the least recently used is dropped;
    /// `None` for no limit. Default: no limit. A core takes about 5 to 15 MiB for each project. The memory of
    /// those that were dropped comes back before it is an eighth of the others'.
    pub fn max_resident(mut self, projects: impl Into<Option<usize>>) -> Self {
        self.max_resident = projects.into();
        self
    }

    /// How old the last look at a project's files may be before a lease looks again, and imports the core
    /// anew where it was upgraded or repointed, or where a plugin or a file of the configuration was edited.
    /// Zero looks each time, `None` never looks. Default: 5 s.
    ///
    /// What is in memory stays until what is on disk is whole and imported: while the core or its pointer
    /// cannot be found, while an upgrade is running, where the new core cannot be imported, and where an
    /// edited file does not compile. A warning tells which. Engines load edited plugins anew.
    pub fn revalidate_after(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.revalidate_after = age.into();
        self
    }

    /// How long a core of which only some files were replaced has to stay as it is before it is imported. An
    /// upgrade replaces all files, so that such a core is most likely in the middle of one; it may also have
    /// been edited in place. A core that was replaced as a whole is not waited for. Default: 10 s.
    pub fn settle_after(mut self, quiet: Duration) -> Self {
        self.settle_after = quiet;
        self
    }

    /// How long a lease waits for its turn, `None` forever. Default: forever.
    pub fn lease_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.lease_timeout = timeout.into();
        self
    }

    /// How long a core's first import may take before it is stopped, `None` forever. Python code is stopped
    /// between two instructions; code that waits in C, for a lock or a socket, is not reached until it
    /// returns. Default: 300 s.
    pub fn import_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.import_timeout = timeout.into();
        self
    }

    /// Whether the log records of each project's `sgtk` and `tank` loggers become `tracing` events, with the
    /// project's name and under the target `sgtk`. Default: no.
    pub fn forward_logs(mut self, on: bool) -> Self {
        self.forward_logs = on;
        self
    }

    /// A function that prepares each freshly imported core before anybody uses it: for leases, for
    /// [`import_sgtk`](crate::import_sgtk) and in bootstraps, again after every upgrade and eviction. It is
    /// called attached, with the core in place, and may take as long as
    /// [`import_timeout`](Self::import_timeout) says. An error of it, or a panic, fails the import
    /// ([`Error::OnImport`]) and leaves everything as it was. Functions are called in the order in which they
    /// are given, after [`script_user`](Self::script_user). Default: none.
    pub fn on_import(
        mut self,
        function: impl for<'py> Fn(&Bound<'py, PyModule>, &Imported) -> PyResult<()> + Send + Sync + 'static,
    ) -> Self {
        self.on_import.add(function);
        self
    }

    /// The user that each freshly imported core is given (`sgtk.set_authenticated_user`), before
    /// [`on_import`](Self::on_import); a bootstrap has a user of its own. Its key is hidden in errors and
    /// logs as long as the host lives. Default: none, so that a core authenticates by its `shotgun.yml`.
    pub fn script_user(mut self, user: ScriptUser) -> Self {
        self.script_user = Some(user);
        self
    }

    /// A variable of the environment for one project alone: its core is found (`$STUDIO_CORE` in a pointer
    /// file), imported and used with it. Call it once for each. Default: none.
    pub fn project_env(
        mut self,
        project: impl Into<String>,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Self {
        self.project_env.add(project.into(), name.into(), value.into());
        self
    }

    /// How long one try of a call to the site may wait for an answer, `None` forever, as Toolkit does; the
    /// client may try up to three times. For connections that projects' cores make in leases and after
    /// [`import_sgtk`](crate::import_sgtk) and that have no limit of their own; engines have
    /// [`BootstrapBuilder::site_timeout`](crate::BootstrapBuilder::site_timeout). Default: 60 s.
    pub fn site_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.site_timeout = timeout.into();
        self
    }

    /// Where compiled code of cores is kept on disk, for this host and for its [worker
    /// pools](Host::worker_pool): what was compiled once is read from there, by the contents of the source.
    /// Default: in the user's folder for caches. What has to be true of the folder: [`CodeCache`].
    pub fn code_cache(mut self, cache: CodeCache) -> Self {
        self.code_cache = cache;
        self
    }

    /// Makes the host, and starts the interpreter if the process has none.
    ///
    /// # Errors
    /// [`Error::Setting`] for an option that cannot work, [`Error::Interpreter`] where the interpreter cannot
    /// be started.
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
        for (option, names) in [("exempt", &self.exempt), ("per_project", &self.per_project)] {
            if let Some(name) = names.iter().find(|name| name.is_empty() || name.contains('.')) {
                return Err(setting(option, name, "it is not a top-level module name"));
            }
            if let Some(core) = names.iter().find(|name| ["sgtk", "tank", "tank_vendor"].contains(&&***name))
            {
                return Err(setting(option, core, "it is the core's own"));
            }
        }
        if let Some(both) = self.exempt.iter().find(|name| self.per_project.contains(name)) {
            return Err(setting("exempt", both, "it is among those of `per_project` too"));
        }
        if self.site_timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(setting("site_timeout", "0 s", "no site answers in that time"));
        }
        self.project_env.check()?;
        let mut on_import = OnImport::default();
        let secrets = Secrets::in_use(self.script_user.iter().flat_map(ScriptUser::secrets));
        let (learner, site_timeout) = (secrets.learner(), self.site_timeout);
        on_import.add(move |sgtk, about| prepare_core(sgtk.py(), about, site_timeout, &learner));
        if let Some(user) = self.script_user {
            on_import.add(move |sgtk, about| {
                if about.purpose == Purpose::Bootstrap { Ok(()) } else { set_script_user(&user, sgtk) }
            });
        }
        on_import.append(self.on_import);
        let configs = self.configs.unwrap_or_else(Configs::from_env);
        let configs = self.project_env.known_to(configs);
        let interpreter = match self.interpreter {
            Some(interpreter) => interpreter,
            None => Interpreter::start_default()?,
        };
        if let Some(name) = Python::attach(|py| standard_name(py, &self.per_project))? {
            return Err(setting("per_project", name, "it is the standard library's"));
        }
        let codes = Python::attach(|py| {
            world::prepare(py)?;
            steps_in_python::prepare(py)?;
            compiled::install(py)?;
            generated::install(py)?;
            folder::install(py)?;
            noted::install(py)?;
            #[cfg(unix)]
            umask::install(py)?;
            wrappers::install(py)?;
            lend::install(py)?;
            views::terminal::install(py)?;
            views::started::install(py)?;
            views::install(py)?;
            code::open_store(py, &self.code_cache)
        })?;
        let settings = Settings {
            plugin_paths,
            names: Arc::new(DeclaredNames {
                exempt: self.exempt.into_iter().collect(),
                per_project: self.per_project.into_iter().collect(),
            }),
            import_timeout: self.import_timeout,
            on_import,
            variables: self.project_env,
            codes,
        };
        let inner = Arc::new_cyclic(|this| Inner {
            this: this.clone(),
            interpreter,
            configs,
            settings,
            code_cache: self.code_cache,
            max_resident: self.max_resident,
            revalidate_after: self.revalidate_after,
            lease_timeout: self.lease_timeout,
            forward_logs: self.forward_logs,
            residents: Residents::default(),
            found: FoundProjects::default(),
            cores: CoresOnDisk::new(self.settle_after),
            states: Mutex::default(),
            superseded: Mutex::default(),
            clean: Mutex::default(),
            started_from: Mutex::default(),
            dependents: Mutex::default(),
            closed: AtomicBool::new(false),
            _secrets: secrets,
        });
        Ok(Host { inner })
    }
}

/// The first of the names that is the standard library's.
fn standard_name<'a>(py: Python<'_>, names: &'a [String]) -> PyResult<Option<&'a str>> {
    if names.is_empty() {
        return Ok(None);
    }
    find_stdlib(py)?;
    Ok(names.iter().find(|name| is_standard_name(py, name)).map(String::as_str))
}

fn setting(setting: &'static str, value: &str, reason: &str) -> Error {
    SettingError::new(setting, format!("'{value}'"), reason).into()
}
