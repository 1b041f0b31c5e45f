//! A pool's options, as its user sets them.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use sgtk_config::python::steers_python;
use sgtk_config::{
    Bootstrap, CodeCache, Configs, ProjectVariables, ScriptUser, SettingError, is_function, plugin_folder,
};
use tracing::level_filters::LevelFilter;

use crate::dispatch::Dispatcher;
use crate::error::PoolError;
use crate::options::{BackOff, CallOptions, Grace, ProcessOptions, Rules, Variables, WhenFull};
use crate::pool::WorkerPool;

/// Options for a [`WorkerPool`]. Each method states its default, and what unsets it where that is not the
/// default.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before `build`"]
pub struct WorkerPoolBuilder {
    configs: Option<Configs>,
    /// Each for one project, or for all.
    plugin_paths: Vec<(Option<String>, PathBuf)>,
    variables: Variables,
    calls: CallOptions,
    process: ProcessOptions,
}

impl Default for WorkerPoolBuilder {
    fn default() -> Self {
        let max_frame = 64 << 20;
        let back_off =
            BackOff { first: Duration::from_millis(200), longest: Duration::from_secs(60), circuit: Some(5) };
        let rules = Rules {
            queue_limit: Some(10_000),
            retries: 0,
            recycle_after: None,
            slice: Some(Duration::from_millis(250)),
            linger: Duration::ZERO,
            back_off,
        };
        let calls = CallOptions {
            timeout: None,
            run_timeout: None,
            when_full: WhenFull::Refuse,
            max_frame,
            max_workers: None,
            idle_timeout: None,
            recycle_above: None,
            revalidate_after: Some(Duration::from_secs(5)),
            rules,
        };
        let grace = Duration::from_secs(5);
        let process = ProcessOptions {
            configs: Configs::new("/"),
            bootstraps: HashMap::new(),
            plain: HashSet::new(),
            python: PathBuf::from("python3"),
            site_packages: true,
            code_cache: CodeCache::standard(),
            plugin_paths: Vec::new(),
            project_paths: HashMap::new(),
            variables: Vec::new(),
            project_variables: ProjectVariables::default(),
            on_import: Vec::new(),
            script_user: None,
            site_timeout: Some(Duration::from_secs(60)),
            start_timeout: Some(Duration::from_secs(30)),
            enter_timeout: Some(Duration::from_secs(300)),
            grace: Grace { asked: Some(grace), terminated: Some(grace) },
            templates: true,
            max_templates: 8,
            settle_after: Duration::from_secs(10),
            max_frame,
            log_level: None,
        };
        Self { configs: None, plugin_paths: Vec::new(), variables: Vec::new(), calls, process }
    }
}

impl WorkerPool {
    /// Options for a pool. All have defaults.
    pub fn builder() -> WorkerPoolBuilder {
        WorkerPoolBuilder::default()
    }
}

impl WorkerPoolBuilder {
    /// The folder that holds a pipeline configuration for each project. Default: `$SHOTGUN_BASE`, or else
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

    /// Has workers of this name bootstrap an engine of a distributed configuration, instead of entering the
    /// centralized configuration of that name. To be called once for each. Default: none.
    pub fn bootstrap(mut self, project: impl Into<String>, bootstrap: Bootstrap) -> Self {
        self.process.bootstraps.insert(project.into(), bootstrap);
        self
    }

    /// Has workers of this name enter no project: they have the plugin paths, and no Toolkit. To be called
    /// once for each. Default: none.
    pub fn plain(mut self, name: impl Into<String>) -> Self {
        self.process.plain.insert(name.into());
        self
    }

    /// A folder of modules that can be called. It follows the core's `python` folder on the `sys.path` of
    /// each worker. To be called once for each folder. Default: none.
    pub fn plugin_path(mut self, folder: impl Into<PathBuf>) -> Self {
        self.plugin_paths.push((None, folder.into()));
        self
    }

    /// A folder of modules for the workers of one project. It precedes the folders of
    /// [`plugin_path`](Self::plugin_path). To be called once for each folder. Default: none.
    pub fn project_path(mut self, project: impl Into<String>, folder: impl Into<PathBuf>) -> Self {
        self.plugin_paths.push((Some(project.into()), folder.into()));
        self
    }

    /// The Python of workers, CPython 3.7 or later, unless the project's `interpreter_*.cfg` names another.
    /// Default: `python3` on the daemon's `PATH`. (`Host::worker_pool` of `sgtk-host` sets the interpreter
    /// that it runs.)
    pub fn python(mut self, executable: impl Into<PathBuf>) -> Self {
        self.process.python = executable.into();
        self
    }

    /// Whether the packages that are installed in that Python can be imported. Default: yes.
    pub fn site_packages(mut self, on: bool) -> Self {
        self.process.site_packages = on;
        self
    }

    /// Where compiled code of cores and plugins is kept on disk for workers. Default: in the user's folder
    /// for caches. What has to be true of the folder: [`CodeCache`].
    pub fn code_cache(mut self, cache: CodeCache) -> Self {
        self.process.code_cache = cache;
        self
    }

    /// A variable of the workers' environment. Beside these, workers get the daemon's environment as it was
    /// when the pool was built, without `TANK_CURRENT_PC`, `__PYVENV_LAUNCHER__` and all that begin with
    /// `PYTHON`. Not for keys: every process of the user can read it.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// A variable of the environment for the workers of one project alone: its core is found (`$STUDIO_CORE`
    /// in a pointer file), imported and used with it. Call it once for each. Default: none.
    pub fn project_env(
        mut self,
        project: impl Into<String>,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Self {
        self.process.project_variables.add(project.into(), name.into(), value.into());
        self
    }

    /// A Python function that prepares each freshly imported core in its worker before anything is called, as
    /// `module:function`, of a plugin path or an installed package: again after every upgrade, eviction and
    /// recycling, and in bootstraps with both the core that it starts from and the project's own. It is given
    /// `sgtk` and a dictionary with `project`, `core` (the core's `install/core` folder), `core_version`, and
    /// `purpose`: `calls` or `bootstrap`. What it raises fails the start. Functions are called in the order
    /// in which they are given, after [`script_user`](Self::script_user) is set. Default: none.
    pub fn on_import(mut self, function: impl Into<String>) -> Self {
        self.process.on_import.push(function.into());
        self
    }

    /// The user that each freshly imported core is given (`sgtk.set_authenticated_user`), before
    /// [`on_import`](Self::on_import); a bootstrap has a user of its own. Its key is hidden in errors and
    /// logs, and is in no argument or environment of a process. Default: none, so that a core authenticates
    /// by its `shotgun.yml`.
    pub fn script_user(mut self, user: ScriptUser) -> Self {
        self.process.script_user = Some(user);
        self
    }

    /// How long one try of a call to the site may wait for an answer, `None` forever, as Toolkit does; the
    /// client may try up to three times. For connections of cores of centralized configurations that have no
    /// limit of their own; engines have
    /// [`BootstrapBuilder::site_timeout`](sgtk_config::BootstrapBuilder::site_timeout). Default: 60 s.
    pub fn site_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.process.site_timeout = timeout.into();
        self
    }

    /// How many worker processes there may be at a time, at least 1. Beyond it the least recently used idle
    /// worker is ended for a project that needs one; if none is idle, projects wait, first come, first
    /// served. Templates are counted by themselves ([`max_templates`](Self::max_templates)). Default: no
    /// limit.
    pub fn max_workers(mut self, workers: impl Into<Option<usize>>) -> Self {
        self.calls.max_workers = workers.into();
        self
    }

    /// How long a project with waiting calls may keep its worker while other projects wait for one. `None`:
    /// until its queue is empty. Default: 250 ms.
    pub fn slice(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.calls.rules.slice = time.into();
        self
    }

    /// How long a worker that has nothing to do stays though other projects wait for one, as long as its
    /// slice is not over. For a caller that makes each call of a project after the one before: without it the
    /// project would lose its worker with each. Default: not at all.
    pub fn linger(mut self, time: Duration) -> Self {
        self.calls.rules.linger = time;
        self
    }

    /// How many calls may wait for one project, at least 1. `None`: no limit. Default: 10,000.
    pub fn queue_limit(mut self, calls: impl Into<Option<usize>>) -> Self {
        self.calls.rules.queue_limit = calls.into();
        self
    }

    /// What happens to a call for a project whose queue is full. Default: it is refused.
    pub fn when_full(mut self, what: WhenFull) -> Self {
        self.calls.when_full = what;
        self
    }

    /// The timeout of calls that have none of their own. Default: none.
    pub fn call_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.calls.timeout = timeout.into();
        self
    }

    /// The limit on the run of calls that have none of their own, from when they are sent to their worker.
    /// Default: none.
    pub fn run_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.calls.run_timeout = timeout.into();
        self
    }

    /// How many failed starts of a worker a call waits through before it fails. Such a call never ran.
    /// Default: 0.
    pub fn retry_never_ran(mut self, times: u32) -> Self {
        self.calls.rules.retries = times;
        self
    }

    /// How long a worker's process may take to start. `None`: no limit. Default: 30 s.
    pub fn start_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.process.start_timeout = timeout.into();
        self
    }

    /// How long a worker may take to enter its project: to import the core, or to bootstrap, which may have a
    /// shorter timeout of its own. Then its process is ended, with all that it has started. `None`: no limit.
    /// Default: 300 s.
    pub fn enter_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.process.enter_timeout = timeout.into();
        self
    }

    /// How long a worker may be idle before it is ended. Default: no limit.
    pub fn idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.calls.idle_timeout = timeout.into();
        self
    }

    /// After how many calls a worker is replaced, at least 1. Default: never.
    pub fn recycle_after(mut self, calls: impl Into<Option<u64>>) -> Self {
        self.calls.rules.recycle_after = calls.into();
        self
    }

    /// Above how many bytes of resident memory a worker is replaced, after a call. Default: never. Linux
    /// only.
    pub fn recycle_above(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.calls.recycle_above = bytes.into();
        self
    }

    /// The age from which on the last look at a project's files is repeated before a call, which replaces the
    /// worker if the core was upgraded or repointed, or if a plugin or a file of the configuration was
    /// edited. Zero looks before each call, `None` never. Default: 5 s. Of workers with an engine, and of
    /// those without a project, the plugins are looked at.
    ///
    /// A worker stays until what is on disk is whole and can be imported: while the core or its pointer
    /// cannot be found, while an upgrade is running, where the new core cannot be imported, and where an
    /// edited file does not compile. A warning tells which.
    pub fn revalidate_after(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.calls.revalidate_after = age.into();
        self
    }

    /// How long a core of which only some files were replaced has to stay as it is before workers are started
    /// with it. An upgrade replaces all files, so that such a core is most likely in the middle of one; it
    /// may also have been edited in place. A core that was replaced as a whole is not waited for. Default: 10
    /// s.
    pub fn settle_after(mut self, quiet: Duration) -> Self {
        self.process.settle_after = quiet;
        self
    }

    /// How long to wait before a worker is started again after the second failure in a row; twice that after
    /// the third, and so on up to `longest`. Failures are starts that failed, and workers that ended before
    /// they had answered a call. Default: 200 ms, up to 60 s.
    pub fn back_off(mut self, first: Duration, longest: Duration) -> Self {
        self.calls.rules.back_off.first = first;
        self.calls.rules.back_off.longest = longest;
        self
    }

    /// After how many failures in a row calls fail at once until the next attempt, at least 1. `None`: never.
    /// Default: 5.
    pub fn circuit_after(mut self, failures: impl Into<Option<u32>>) -> Self {
        self.calls.rules.back_off.circuit = failures.into();
        self
    }

    /// How long a worker has to end after it was asked to, and again after SIGTERM, before SIGKILL. `None`:
    /// no limit. Default: 5 s each.
    pub fn grace(
        mut self,
        asked: impl Into<Option<Duration>>,
        terminated: impl Into<Option<Duration>>,
    ) -> Self {
        self.process.grace = Grace { asked: asked.into(), terminated: terminated.into() };
        self
    }

    /// Whether workers are forked from a process that has already imported their core (Linux): they are ready
    /// in milliseconds and share memory. Default: yes.
    pub fn templates(mut self, on: bool) -> Self {
        self.process.templates = on;
        self
    }

    /// How many of these processes there may be, at least 1 and never more than
    /// [`max_workers`](Self::max_workers): the one that was needed least recently, and whose workers have
    /// ended, makes room. Where all have workers, those of another core are started as processes of their
    /// own. So there are never more than so many processes beside the workers; one that has no workers ends
    /// after [`idle_timeout`](Self::idle_timeout) too. Default: 8.
    pub fn max_templates(mut self, templates: usize) -> Self {
        self.process.max_templates = templates;
        self
    }

    /// How many bytes the arguments of a call, or its result, may have on the way, which is about as many as
    /// in JSON: at least 1024, and less than 4 GiB. Default: 64 MiB.
    pub fn max_frame(mut self, bytes: usize) -> Self {
        self.calls.max_frame = bytes;
        self.process.max_frame = bytes;
        self
    }

    /// The lowest level of Python's log records that become `tracing` events. Default: the level that
    /// `tracing` has when a worker is started.
    pub fn log_level(mut self, level: impl Into<Option<LevelFilter>>) -> Self {
        self.process.log_level = level.into();
        self
    }

    /// Builds the pool. No worker is started yet.
    ///
    /// # Errors
    /// [`PoolError::Setting`] for an option that is not usable, [`PoolError::System`] if the system refuses a
    /// thread or a pipe.
    pub fn build(self) -> Result<WorkerPool, PoolError> {
        let Self { configs, plugin_paths, variables: extra, calls, mut process } = self;
        let rules = &calls.rules;
        let at_least_one = [
            ("max_workers", calls.max_workers.map(|workers| workers as u64)),
            ("max_templates", Some(process.max_templates as u64)),
            ("queue_limit", rules.queue_limit.map(|calls| calls as u64)),
            ("recycle_after", rules.recycle_after),
            ("circuit_after", rules.back_off.circuit.map(u64::from)),
        ];
        if let Some((name, _)) = at_least_one.into_iter().find(|(_, value)| *value == Some(0)) {
            return Err(setting(name, "0", "it has to be at least 1").into());
        }
        if !(1024..=u32::MAX as usize).contains(&calls.max_frame) {
            let value = calls.max_frame.to_string();
            let reason = "it has to be at least 1024 and less than 4 GiB";
            return Err(setting("max_frame", &value, reason).into());
        }
        for (project, folder) in plugin_paths {
            let name = if project.is_some() { "project_path" } else { "plugin_path" };
            let path = plugin_folder(&folder)
                .map_err(|reason| setting(name, &folder.display().to_string(), &reason))?;
            match project {
                Some(project) => process.project_paths.entry(project).or_default().push(path),
                None => process.plugin_paths.push(path),
            }
        }
        if process.site_timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(setting("site_timeout", "0 s", "no site answers in that time").into());
        }
        if let Some(function) = process.on_import.iter().find(|function| !is_function(function)) {
            return Err(setting("on_import", function, "expected module:function").into());
        }
        process.project_variables.check()?;
        let configs = configs.unwrap_or_else(Configs::from_env);
        process.configs = process.project_variables.known_to(configs);
        process.variables = variables(extra);
        process.max_templates = calls.max_workers.unwrap_or(usize::MAX).min(process.max_templates);
        Ok(WorkerPool::new(Dispatcher::start(calls, process)?))
    }
}

/// The environment of workers. Taken now, as it cannot be read safely while Python code of the daemon changes
/// it.
fn variables(extra: Variables) -> Variables {
    let kept = std::env::vars_os().filter(|(name, _)| {
        // Variables that would change a worker's interpreter, or select a project, by accident.
        name != "TANK_CURRENT_PC" && !steers_python(name)
    });
    let mut variables: Variables = kept.chain(extra).collect();
    let unattended = unattended_variables(|name| {
        let found = variables.iter().rev().find(|(other, _)| other == name);
        found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
    });
    variables.extend(unattended);
    variables
}

/// What keeps programs that plugins start from asking questions: git, and ssh for it. What the environment
/// says on these stays, but for the batch mode of ssh.
fn unattended_variables(found: impl Fn(&str) -> Option<OsString>) -> Variables {
    let mut variables: Variables = vec![("GIT_TERMINAL_PROMPT".into(), "0".into())];
    // Answers nothing, so that what asks fails.
    let silent = ["GIT_ASKPASS", "SSH_ASKPASS"].into_iter().filter(|name| found(name).is_none());
    variables.extend(silent.map(|name| (name.into(), "true".into())));
    let ssh = found("GIT_SSH_COMMAND").or_else(|| found("GIT_SSH").is_none().then(|| "ssh".into()));
    if let Some(mut ssh) = ssh {
        if !ssh.to_string_lossy().contains("BatchMode") {
            ssh.push(" -o BatchMode=yes");
        }
        variables.push(("GIT_SSH_COMMAND".into(), ssh));
    }
    variables
}

fn setting(setting: &'static str, value: &str, reason: &str) -> SettingError {
    SettingError::new(setting, format!("'{value}'"), reason)
}
