//! A pool's options.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use super::WorkerPool;
use super::error::PoolError;
use super::inner::Inner;
use super::slot::BackOff;
use super::supervisor::Supervisor;
use super::watched::Grace;
use sgtk_config::{Bootstrap, Configs, SettingError, plugin_folder};

/// The environment of workers.
pub(super) type Variables = Vec<(OsString, OsString)>;

/// What becomes of a call where as many wait as may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhenFull {
    /// It fails with [`PoolError::QueueFull`].
    #[default]
    Refuse,
    /// Its thread waits for room, as long as the call's time limit lets it: also where the call is submitted, so do not
    /// choose this in asynchronous code.
    Wait,
}

/// What the parts of a pool know of its options.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) configs: Configs,
    pub(super) bootstraps: HashMap<String, Bootstrap>,
    pub(super) python: PathBuf,
    pub(super) site_packages: bool,
    pub(super) plugin_paths: Vec<String>,
    pub(super) variables: Variables,
    pub(super) max_workers: Option<usize>,
    pub(super) queue_limit: usize,
    pub(super) when_full: WhenFull,
    pub(super) call_limit: Option<Duration>,
    pub(super) retries: u32,
    pub(super) start_limit: Duration,
    pub(super) enter_limit: Duration,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) recycle_after: Option<u64>,
    pub(super) recycle_above: Option<u64>,
    pub(super) revalidate_after: Duration,
    pub(super) back_off: BackOff,
    pub(super) grace: Grace,
    pub(super) slice: Duration,
    pub(super) templates: bool,
    pub(super) max_frame: usize,
    pub(super) log_level: Option<LevelFilter>,
}

impl Options {
    /// The name of the level from which on Python's log records are sent.
    pub(super) fn log_level(&self) -> &'static str {
        match self.log_level.unwrap_or_else(LevelFilter::current) {
            LevelFilter::OFF => "CRITICAL",
            LevelFilter::ERROR => "ERROR",
            LevelFilter::WARN => "WARNING",
            LevelFilter::INFO => "INFO",
            _ => "DEBUG",
        }
    }
}

/// Options for a [`WorkerPool`]. Each method states its default.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before `build`"]
pub struct WorkerPoolBuilder {
    configs: Option<Configs>,
    plugin_paths: Vec<PathBuf>,
    extra: Vec<(OsString, OsString)>,
    options: Options,
}

impl Default for WorkerPoolBuilder {
    fn default() -> Self {
        let options = Options {
            configs: Configs::new("/"),
            bootstraps: HashMap::new(),
            python: PathBuf::from("python3"),
            site_packages: true,
            plugin_paths: Vec::new(),
            variables: Vec::new(),
            max_workers: None,
            queue_limit: 10_000,
            when_full: WhenFull::Refuse,
            call_limit: None,
            retries: 0,
            start_limit: Duration::from_secs(30),
            enter_limit: Duration::from_secs(300),
            idle_timeout: None,
            recycle_after: None,
            recycle_above: None,
            revalidate_after: Duration::from_secs(5),
            back_off: BackOff {
                first: Duration::from_millis(200),
                most: Duration::from_secs(60),
                circuit: 5,
            },
            grace: Grace { asked: Duration::from_secs(5), termed: Duration::from_secs(5) },
            slice: Duration::from_millis(250),
            templates: true,
            max_frame: 64 << 20,
            log_level: None,
        };
        Self { configs: None, plugin_paths: Vec::new(), extra: Vec::new(), options }
    }
}

impl WorkerPoolBuilder {
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

    /// Has workers of this name bootstrap an engine of a distributed configuration, instead of entering the centralized
    /// one of that name. Call it once for each. Default: none.
    pub fn bootstrap(mut self, project: impl Into<String>, bootstrap: Bootstrap) -> Self {
        self.options.bootstraps.insert(project.into(), bootstrap);
        self
    }

    /// A folder of modules that can be called: it stands on every worker's `sys.path` after the core's `python` folder.
    /// Call it once for each folder. Default: none.
    pub fn plugin_path(mut self, folder: impl Into<PathBuf>) -> Self {
        self.plugin_paths.push(folder.into());
        self
    }

    /// The Python that workers run, CPython 3.7 or later, where the project's `interpreter_*.cfg` names none. Default:
    /// `python3` on the daemon's `PATH`. (`Host::worker_pool` of `sgtk-host` gives the interpreter that it runs.)
    pub fn python(mut self, executable: impl Into<PathBuf>) -> Self {
        self.options.python = executable.into();
        self
    }

    /// Whether that Python's installed packages can be imported. Default: yes.
    pub fn site_packages(mut self, on: bool) -> Self {
        self.options.site_packages = on;
        self
    }

    /// A variable of the workers' environment. Beside those, they have the daemon's as it was when the pool was built, but
    /// for `TANK_CURRENT_PC` and all that begin with `PYTHON`. Not for keys: every process of the user can read it.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.extra.push((name.into(), value.into()));
        self
    }

    /// How many worker processes there may be at a time, at least 1. Beyond it the least recently used idle one is ended
    /// for the project that needs one; where none is idle, projects wait, first come first served. Default: no limit.
    pub fn max_workers(mut self, workers: usize) -> Self {
        self.options.max_workers = Some(workers);
        self
    }

    /// How long a project with calls waiting may keep its worker while other projects wait for one. Default: 250 ms.
    pub fn slice(mut self, time: Duration) -> Self {
        self.options.slice = time;
        self
    }

    /// How many calls of one project may wait, at least 1. Default: 10,000.
    pub fn queue_limit(mut self, calls: usize) -> Self {
        self.options.queue_limit = calls;
        self
    }

    /// What becomes of a call where as many wait as may. Default: it is refused.
    pub fn when_full(mut self, what: WhenFull) -> Self {
        self.options.when_full = what;
        self
    }

    /// The time limit of calls that have none of their own. Default: none.
    pub fn call_time_limit(mut self, limit: Duration) -> Self {
        self.options.call_limit = Some(limit);
        self
    }

    /// How often a call waits for another try, where its worker could not be started. Only calls that never ran are tried
    /// again. Default: 0.
    pub fn retry_never_ran(mut self, times: u32) -> Self {
        self.options.retries = times;
        self
    }

    /// How long a worker's process may take to start. Default: 30 s.
    pub fn start_time_limit(mut self, limit: Duration) -> Self {
        self.options.start_limit = limit;
        self
    }

    /// How long a worker may take to enter its project: to import the core, or to bootstrap. Default: 300 s.
    pub fn enter_time_limit(mut self, limit: Duration) -> Self {
        self.options.enter_limit = limit;
        self
    }

    /// How long a worker may have nothing to do before it is ended. Default: for ever.
    pub fn idle_timeout(mut self, limit: Duration) -> Self {
        self.options.idle_timeout = Some(limit);
        self
    }

    /// After how many calls a worker is replaced, at least 1. Default: never.
    pub fn recycle_after(mut self, calls: u64) -> Self {
        self.options.recycle_after = Some(calls);
        self
    }

    /// Above how many bytes of resident memory a worker is replaced, between two calls. Default: never. Linux only.
    pub fn recycle_above(mut self, bytes: u64) -> Self {
        self.options.recycle_above = Some(bytes);
        self
    }

    /// How old the last look at a core's files may be before a call looks again, and has the worker replaced where the
    /// core was upgraded or repointed. Zero looks each time. Default: 5 s.
    pub fn revalidate_after(mut self, age: Duration) -> Self {
        self.options.revalidate_after = age;
        self
    }

    /// How long to wait before a worker is started again after the second failure in a row: twice that after the third,
    /// and so on up to `most`. Failures are starts that failed, and workers that ended before they had answered a call.
    /// Default: 200 ms, up to 60 s.
    pub fn back_off(mut self, first: Duration, most: Duration) -> Self {
        self.options.back_off.first = first;
        self.options.back_off.most = most;
        self
    }

    /// After how many failures in a row calls fail at once until the next try, at least 1. Default: 5.
    pub fn circuit_after(mut self, failures: u32) -> Self {
        self.options.back_off.circuit = failures;
        self
    }

    /// How long a worker that is to end has after it was asked to, and again after SIGTERM, before it is killed. Default:
    /// 5 s each.
    pub fn grace(mut self, asked: Duration, terminated: Duration) -> Self {
        self.options.grace = Grace { asked, termed: terminated };
        self
    }

    /// Whether workers are forked from a process that has imported their core already (Linux): ready in milliseconds, and
    /// with a fraction of the memory. Default: yes.
    pub fn templates(mut self, on: bool) -> Self {
        self.options.templates = on;
        self
    }

    /// How many bytes of JSON a call or a result may be. Default: 64 MiB.
    pub fn max_frame(mut self, bytes: usize) -> Self {
        self.options.max_frame = bytes;
        self
    }

    /// From which level on Python's log records become `tracing` events. Default: what `tracing` listens to when a worker
    /// is started.
    pub fn log_level(mut self, level: LevelFilter) -> Self {
        self.options.log_level = Some(level);
        self
    }

    /// Makes the pool. No worker is started yet.
    ///
    /// # Errors
    /// [`PoolError::Setting`] for an option that cannot work, [`PoolError::System`] where there is no thread or pipe to be
    /// had.
    pub fn build(self) -> Result<WorkerPool, PoolError> {
        let mut options = self.options;
        let at_least_one = [
            ("max_workers", options.max_workers.map(|workers| workers as u64)),
            ("queue_limit", Some(options.queue_limit as u64)),
            ("recycle_after", options.recycle_after),
            ("circuit_after", Some(options.back_off.circuit.into())),
        ];
        if let Some((name, _)) = at_least_one.into_iter().find(|(_, value)| *value == Some(0)) {
            return Err(setting(name, "0", "it has to be at least 1").into());
        }
        if !(1024..=u32::MAX as usize).contains(&options.max_frame) {
            let value = options.max_frame.to_string();
            return Err(
                setting("max_frame", &value, "it has to be at least 1024, and less than 4 GiB").into()
            );
        }
        for folder in &self.plugin_paths {
            options.plugin_paths.push(
                plugin_folder(folder)
                    .map_err(|reason| setting("plugin_path", &folder.display().to_string(), &reason))?,
            );
        }
        options.configs = self.configs.unwrap_or_else(Configs::from_env);
        options.variables = variables(self.extra);
        let system = |action| move |cause| PoolError::System { action, cause: Arc::new(cause) };
        let (supervisor, unstarted) = Supervisor::new().map_err(system("make a pipe"))?;
        let inner = Arc::new(Inner::new(options, supervisor));
        inner.supervisor.start(unstarted, &inner).map_err(system("start a thread"))?;
        Ok(WorkerPool::new(inner))
    }
}

/// The environment as it is now. While Python code of the daemon changes it, it cannot be read safely later on.
fn variables(extra: Variables) -> Variables {
    let kept = std::env::vars_os().filter(|(name, _)| {
        // What would change a worker's interpreter, or say which project it is, by accident.
        name != "TANK_CURRENT_PC" && !name.as_encoded_bytes().starts_with(b"PYTHON")
    });
    kept.chain(extra).collect()
}

fn setting(setting: &'static str, value: &str, reason: &str) -> SettingError {
    SettingError::new(setting, format!("'{value}'"), reason)
}
