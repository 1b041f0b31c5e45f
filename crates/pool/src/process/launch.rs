//! Starts workers: the process, forked from a template if possible, and its entry into the project.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use serde_json::{Value, json};
use sgtk_config::keys::Secrets;
use sgtk_config::python::Executables;
use sgtk_config::{
    BeforeImport, Bootstrap, Changed, ConfigError, CoreLocation, CoresOnDisk, Difference, Fingerprint,
    FolderWatch, ProjectWatch, ScriptUser, check_yaml, forget_compiled,
};

use super::files_read::FilesRead;
use super::link::{Fault, Link};
use super::spawner::{Spawner, Unready, parse};
use super::supervisor::Supervisor;
use super::templates::{Key, Templates};
use super::trials::Trials;
use super::watch::OnEnd;
use super::worker::Worker;
use crate::error::StartError;
use crate::options::{ProcessOptions, after};
use crate::wire::{self, Entry, Greeting};

/// How long a worker may take to say whether files compile.
pub(crate) const CHECK_TIMEOUT: Duration = Duration::from_secs(30);

/// What a worker enters.
#[derive(Debug)]
pub(crate) enum Target {
    /// A centralized configuration, by the project's name.
    Project,
    /// An engine of its own.
    Bootstrap(Box<Bootstrap>),
    /// No project: it has no core.
    Nothing,
}

/// Starts workers for all slots of a pool.
#[derive(Debug)]
pub(crate) struct Launcher {
    spawner: Arc<Spawner>,
    templates: Arc<Templates>,
    trials: Arc<Trials>,
    pythons: Executables,
    cores: CoresOnDisk,
    /// Bootstraps that were named after the pool was built.
    later: RwLock<HashMap<String, Later>>,
}

/// A bootstrap, and what hides its keys in all texts of workers.
#[derive(Debug)]
struct Later {
    bootstrap: Bootstrap,
    _secrets: Secrets,
}

/// The files of a worker's core and Python, looked up for each start.
#[derive(Debug)]
struct Plan {
    /// Of a centralized configuration.
    location: Option<CoreLocation>,
    python: PathBuf,
    /// The core's `python` folder, if there is a core.
    core: Option<String>,
    /// Of the environment, for this project alone.
    variables: Vec<(String, String)>,
    /// The core of a centralized configuration before it is imported.
    core_files: Option<BeforeImport>,
    read: FilesRead,
}

/// A process that has not entered its project yet.
#[derive(Debug)]
pub(crate) struct Starting {
    plan: Plan,
    link: Box<Link>,
    pub(crate) forked: bool,
}

/// A worker that has entered its project.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) link: Box<Link>,
    pub(crate) read: FilesRead,
}

impl Plan {
    /// The template that has imported the core, and the core's files as they are to be; `None` for those of
    /// a core that belongs to no project.
    fn template(&self) -> Option<(Key, Option<Fingerprint>)> {
        let core = self.core.clone()?;
        let files = self.core_files.as_ref().map(|core| core.files().clone());
        Some((Key { core, python: self.python.clone(), variables: self.variables.clone() }, files))
    }
}

impl Starting {
    pub(crate) fn worker(&self) -> &Arc<Worker> {
        &self.link.worker
    }
}

impl Launcher {
    pub(crate) fn new(options: ProcessOptions, supervisor: Arc<Supervisor>) -> Self {
        let cores = CoresOnDisk::new(options.settle_after);
        let spawner = Arc::new(Spawner::new(options, supervisor));
        Self {
            spawner,
            templates: Arc::default(),
            trials: Arc::default(),
            pythons: Executables::default(),
            cores,
            later: RwLock::default(),
        }
    }

    /// Has workers of this name bootstrap from their next start on.
    pub(crate) fn set_bootstrap(&self, project: String, bootstrap: Bootstrap) {
        let secrets = Secrets::in_use(bootstrap.secrets());
        self.later.write().insert(project, Later { bootstrap, _secrets: secrets });
    }

    /// What workers of this project enter.
    ///
    /// # Errors
    /// The project is not plain and has neither a bootstrap nor a usable configuration.
    pub(crate) fn target(&self, project: &str) -> Result<Target, ConfigError> {
        let options = &self.spawner.options;
        if let Some(later) = self.later.read().get(project) {
            return Ok(Target::Bootstrap(Box::new(later.bootstrap.clone())));
        }
        match options.bootstraps.get(project) {
            None if options.plain.contains(project) => Ok(Target::Nothing),
            Some(bootstrap) => Ok(Target::Bootstrap(Box::new(bootstrap.clone()))),
            None => options.configs.locate(project).map(|_| Target::Project),
        }
    }

    /// Starts a process. Once there is one, `on_end` is called when it has ended.
    pub(crate) fn spawn(
        &self,
        project: &Arc<str>,
        target: &Target,
        on_end: OnEnd,
    ) -> Result<Starting, StartError> {
        let plan = self.plan(project, target)?;
        let mut on_end = Some(on_end);
        let link = plan.template().and_then(|(key, files)| {
            self.templates.fork(&self.spawner, project, &key, files.as_ref(), &mut on_end)
        });
        let (link, forked) = match link {
            Some(link) => (link, true),
            None => {
                let mut link = self.spawner.spawn(&plan.python, project, &plan.variables, None, on_end)?;
                if let Err(why) = self.spawner.send_agent(&mut link) {
                    return Err(self.spawner.give_up(link, None, why));
                }
                (link, false)
            }
        };
        Ok(Starting { plan, link, forked })
    }

    /// Has a process enter its project. A process that fails to is ended, and so is one whose core has
    /// changed meanwhile: it may have some of the old files and some of the new.
    pub(crate) fn enter(
        &self,
        project: &str,
        target: &Target,
        starting: Starting,
    ) -> Result<Ready, StartError> {
        let Starting { plan, mut link, .. } = starting;
        let greeting = match self.spawner.read_greeting(&mut link) {
            Ok(greeting) => greeting,
            Err(why) => return Err(self.spawner.give_up(link, None, why)),
        };
        let Plan { location, core_files, .. } = &plan;
        let entered = self.ask_to_enter(project, target, &plan, &greeting, &mut link);
        let entered = match (entered, location, core_files) {
            (Ok(()), Some(location), Some(core)) => {
                let imported = self.cores.imported(location, core.clone());
                imported.map_err(|error| StartError::from(error).into())
            }
            // What its code raised, over files that were changing, says nothing of the core.
            (Err(Unready::Failed(error @ StartError::Enter { .. })), Some(location), Some(core)) => {
                Err(match core.changed_meanwhile(location) {
                    Some(changing) => StartError::from(changing.and(&error.to_string())).into(),
                    None => error.into(),
                })
            }
            (entered, ..) => entered,
        };
        match entered {
            Ok(()) => Ok(Ready { link, read: plan.read }),
            Err(why) => {
                let timeout = self.enter_timeout(target).unwrap_or_default();
                Err(self.spawner.give_up(link, Some(timeout), why))
            }
        }
    }

    /// Whether a worker may give way to one of the project as it is on disk, where these files have changed:
    /// its core can be found, is whole, and can be imported, which is waited for until `until`.
    ///
    /// # Errors
    /// Why the worker is to go on with what it has in memory.
    pub(crate) fn check_successor(
        &self,
        project: &Arc<str>,
        target: &Target,
        changed: &Changed,
        until: Option<Instant>,
    ) -> Result<(), String> {
        if let Some(gone) = changed.gone_for_now(self.cores.settle()) {
            return Err(gone);
        }
        for file in changed.rest.files() {
            if file.extension().is_some_and(|end| end == "yml" || end == "yaml") {
                check_yaml(file).map_err(|reason| format!("{}: {reason}", file.display()))?;
            }
        }
        if matches!(target, Target::Bootstrap(_)) {
            // Plugins alone have changed, which it loads anew.
            forget_compiled(changed.files());
            return Ok(());
        }
        let plan = self.plan(project, target).map_err(|error| error.to_string())?;
        forget_compiled(changed.files());
        if changed.core.is_empty() {
            return Ok(());
        }
        let Some((key, Some(files))) = plan.template() else { return Ok(()) };
        let (spawner, templates) = (Arc::clone(&self.spawner), Arc::clone(&self.templates));
        let (tried, its_files) = (key.clone(), files.clone());
        let attempt = move || templates.try_import(&spawner, &tried, &its_files);
        self.trials.outcome(&key, &files, until, attempt)
    }

    /// Ends the templates, for a pool that is closed.
    pub(crate) fn close(&self) {
        self.trials.close();
        self.templates.end_all();
    }

    /// How many templates there are.
    pub(crate) fn templates(&self) -> usize {
        self.templates.count()
    }

    /// Ends templates that have no workers and have forked none since a time.
    pub(crate) fn end_idle_templates(&self, since: Instant) {
        self.templates.end_idle(since);
    }

    /// Waits for the trial imports that run, before the supervisor stops.
    pub(crate) fn join_trials(&self) {
        self.trials.join();
    }

    /// Waits for the threads of the templates, whose processes have ended.
    pub(crate) fn join(&self) {
        self.templates.join();
    }

    /// How long a worker may take to enter what it is for: as long as a bootstrap itself may, if that is
    /// less.
    fn enter_timeout(&self, target: &Target) -> Option<Duration> {
        let own = match target {
            Target::Bootstrap(bootstrap) => bootstrap.timeout(),
            Target::Project | Target::Nothing => None,
        };
        self.spawner.options.enter_timeout.into_iter().chain(own).min()
    }

    fn plan(&self, project: &str, target: &Target) -> Result<Plan, StartError> {
        let options = &self.spawner.options;
        let (location, core, python) = match target {
            Target::Project => {
                let location = options.configs.locate(project);
                let location = location.map_err(|source| StartError::Config { source })?;
                let core = location.python().to_owned();
                let python = location.interpreter().map(Path::to_owned);
                (Some(location), Some(core), python)
            }
            Target::Bootstrap(bootstrap) => (None, Some(bootstrap.core().to_owned()), None),
            Target::Nothing => (None, None, None),
        };
        let python = python.unwrap_or_else(|| options.python.clone());
        let python = self.pythons.real(&python)?;
        let core = core.as_deref().map(utf8).transpose()?;
        let plugins: Vec<_> = options.plugin_paths(project).cloned().collect();
        let (core_files, read) = match &location {
            None => {
                // What it starts from; what it bootstraps Toolkit compares itself.
                if let (Target::Bootstrap(_), Some(core)) = (target, core.as_deref().map(Path::new)) {
                    self.cores.whole_core(project, core.parent().unwrap_or(core))?;
                }
                (None, FilesRead::Plugins(FolderWatch::of_plugins(&plugins)))
            }
            Some(location) => {
                let watch = ProjectWatch::before_import(location, &plugins);
                (Some(self.cores.whole(watch.core())?), FilesRead::Project(Box::new(watch)))
            }
        };
        let variables = options.variables_of(project);
        Ok(Plan { location, python, core, variables, core_files, read })
    }

    fn ask_to_enter(
        &self,
        project: &str,
        target: &Target,
        plan: &Plan,
        greeting: &Greeting,
        link: &mut Link,
    ) -> Result<(), Unready> {
        let request = self.entry_request(project, target, plan)?;
        let request = wire::encode(&request)
            .map_err(|error| Fault::Protocol(format!("cannot be asked to enter: {error}")))?;
        let deadline = self.enter_timeout(target).map(after);
        let frame = link.exchange(&request, &mut 0, deadline)?;
        match parse::<Entry>(&frame)? {
            Entry::Entered(entered) => {
                let hello = &greeting.hello;
                let python = hello.python.iter().map(u32::to_string).collect::<Vec<_>>().join(".");
                let version = entered.core_version.as_deref().unwrap_or("unknown");
                let (pid, executable) = (link.worker.pid(), &hello.executable);
                tracing::debug!(
                    project,
                    pid,
                    python,
                    version,
                    executable,
                    "a worker has entered its project"
                );
                for (kind, message) in &entered.differences {
                    let difference = Difference::new(kind, message);
                    tracing::warn!(project, pid, "not as asked for: {difference}");
                }
                Ok(())
            }
            Entry::Failed(failed) => {
                let error = Box::new(failed.error.into());
                Err(StartError::Enter { step: failed.step, error }.into())
            }
        }
    }

    fn entry_request(&self, project: &str, target: &Target, plan: &Plan) -> Result<Value, StartError> {
        let options = &self.spawner.options;
        let location = plan.location.as_ref();
        let current_pc = location.and_then(CoreLocation::current_pc).map(utf8).transpose()?;
        let configuration = location.and_then(CoreLocation::pipeline_configuration).map(utf8).transpose()?;
        let bootstrap = match target {
            Target::Bootstrap(bootstrap) => Some(bootstrap.to_json()),
            Target::Project | Target::Nothing => None,
        };
        let plugin_paths: Vec<&String> = options.plugin_paths(project).collect();
        Ok(json!({"enter": {
            "project": project,
            "site_packages": options.site_packages,
            "core_python": plan.core,
            "plugin_paths": plugin_paths,
            "current_pc": current_pc,
            "configuration": configuration,
            "bootstrap": bootstrap,
            "site_timeout": options.site_timeout.map(|timeout| timeout.as_secs_f64()),
            "script_user": options.script_user.as_ref().map(ScriptUser::to_json),
            "on_import": options.on_import,
            "children": options.grace.asked.map(|grace| grace.as_secs_f64()),
            "log_level": options.log_level(),
            "max_frame": options.max_frame,
        }}))
    }
}

fn utf8(path: &Path) -> Result<String, StartError> {
    path.to_str().map(str::to_owned).ok_or_else(|| StartError::Path { path: path.to_owned() })
}
