//! A pool's options, as its parts read them.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use sgtk_config::{Bootstrap, CodeCache, Configs, ProjectVariables, ScriptUser};
use tracing::level_filters::LevelFilter;

/// The environment of workers.
pub(crate) type Variables = Vec<(OsString, OsString)>;

/// What happens to a call for a project whose queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhenFull {
    /// It fails with [`PoolError::QueueFull`](crate::PoolError::QueueFull).
    #[default]
    Refuse,
    /// Its thread waits for room, for as long as the call's timeout allows. That blocks the caller of
    /// [`WorkerPool::submit`](crate::WorkerPool::submit) too, so do not choose it in asynchronous code.
    Wait,
}

/// What calls and their queues are subject to.
#[derive(Clone, Debug)]
pub(crate) struct CallOptions {
    pub(crate) timeout: Option<Duration>,
    pub(crate) run_timeout: Option<Duration>,
    pub(crate) when_full: WhenFull,
    pub(crate) max_frame: usize,
    pub(crate) max_workers: Option<usize>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) recycle_above: Option<u64>,
    pub(crate) revalidate_after: Option<Duration>,
    pub(crate) rules: Rules,
}

/// What the state machine of a slot decides by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) queue_limit: Option<usize>,
    /// How often a call is put back after a failed start.
    pub(crate) retries: u32,
    pub(crate) recycle_after: Option<u64>,
    pub(crate) slice: Option<Duration>,
    /// How long a worker that has nothing to do stays within its slice though others wait.
    pub(crate) linger: Duration,
    pub(crate) back_off: BackOff,
}

/// When to start a worker again after failures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BackOff {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
    /// How many failures in a row open the circuit: calls then fail at once until the next attempt.
    pub(crate) circuit: Option<u32>,
}

/// How long a process has to end, for each step that ends it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grace {
    pub(crate) asked: Option<Duration>,
    pub(crate) terminated: Option<Duration>,
}

/// How worker processes are started.
#[derive(Clone, Debug)]
pub(crate) struct ProcessOptions {
    pub(crate) configs: Configs,
    pub(crate) bootstraps: HashMap<String, Bootstrap>,
    /// The names of workers that enter no project.
    pub(crate) plain: HashSet<String>,
    pub(crate) python: PathBuf,
    pub(crate) site_packages: bool,
    pub(crate) code_cache: CodeCache,
    pub(crate) plugin_paths: Vec<String>,
    /// Further ones, by project.
    pub(crate) project_paths: HashMap<String, Vec<String>>,
    pub(crate) variables: Variables,
    /// Further ones, by project.
    pub(crate) project_variables: ProjectVariables,
    /// Functions to call with each freshly imported core: `module:function`.
    pub(crate) on_import: Vec<String>,
    pub(crate) script_user: Option<ScriptUser>,
    pub(crate) site_timeout: Option<Duration>,
    pub(crate) start_timeout: Option<Duration>,
    pub(crate) enter_timeout: Option<Duration>,
    pub(crate) grace: Grace,
    pub(crate) templates: bool,
    pub(crate) max_templates: usize,
    /// How long a core of which only some files were replaced has to stay as it is.
    pub(crate) settle_after: Duration,
    pub(crate) max_frame: usize,
    pub(crate) log_level: Option<LevelFilter>,
}

impl ProcessOptions {
    /// The folders of plugins on the `sys.path` of a project's workers, in this order.
    pub(crate) fn plugin_paths(&self, project: &str) -> impl Iterator<Item = &String> {
        self.project_paths.get(project).into_iter().flatten().chain(&self.plugin_paths)
    }

    /// The variables of the environment that are a project's alone.
    pub(crate) fn variables_of(&self, project: &str) -> Vec<(String, String)> {
        self.project_variables.of(project).to_vec()
    }

    /// The texts that must not be seen anywhere.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = SecretString> {
        let of_bootstraps = self.bootstraps.values().flat_map(Bootstrap::secrets);
        of_bootstraps.chain(self.script_user.iter().flat_map(ScriptUser::secrets))
    }

    /// The folder of compiled code, as the agent takes it.
    pub(crate) fn code_folder(&self) -> Option<String> {
        self.code_cache.folder()?.into_os_string().into_string().ok()
    }

    /// The name of the lowest level of Python's log records that workers send.
    pub(crate) fn log_level(&self) -> &'static str {
        match self.log_level.unwrap_or_else(LevelFilter::current) {
            LevelFilter::OFF => "CRITICAL",
            LevelFilter::ERROR => "ERROR",
            LevelFilter::WARN => "WARNING",
            LevelFilter::INFO => "INFO",
            _ => "DEBUG",
        }
    }
}

/// A timeout so long that it never expires, which `Instant` could not express.
const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// When a timeout that begins now expires.
pub(crate) fn after(timeout: Duration) -> Instant {
    later(Instant::now(), timeout)
}

/// When a timeout that begins at `start` expires.
pub(crate) fn later(start: Instant, timeout: Duration) -> Instant {
    start + timeout.min(NEVER)
}
