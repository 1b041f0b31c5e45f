//! Starts workers: the process, forked from a template if possible, and its entry into the project.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use serde_json::{Value, json};
use sgtk_config::keys::Secrets;
use sgtk_config::python::Executables;
use sgtk_config::{Bootstrap, ConfigError, CoreLocation, Difference, Fingerprint};

use super::link::{Fault, Link};
use super::spawner::{ENTERING, STARTING, Spawner, Unready, parse};
use super::supervisor::Supervisor;
use super::templates::Templates;
use super::watch::OnEnd;
use super::worker::Worker;
use crate::error::StartError;
use crate::options::{ProcessOptions, after};
use crate::wire::{self, Entry, Greeting};

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
    templates: Templates,
    pythons: Executables,
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
}

/// A process that has not entered its project yet.
#[derive(Debug)]
pub(crate) struct Starting {
    plan: Plan,
    fingerprint: Option<Fingerprint>,
    link: Box<Link>,
    pub(crate) forked: bool,
}

/// A worker that has entered its project.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) link: Box<Link>,
    /// The core's files when the start began. `None` for a bootstrap.
    pub(crate) fingerprint: Option<Fingerprint>,
}

impl Starting {
    pub(crate) fn worker(&self) -> &Arc<Worker> {
        &self.link.worker
    }
}

impl Launcher {
    pub(crate) fn new(options: ProcessOptions, supervisor: Arc<Supervisor>) -> Self {
        let spawner = Arc::new(Spawner::new(options, supervisor));
        let later = RwLock::default();
        Self { spawner, templates: Templates::default(), pythons: Executables::default(), later }
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
        // Taken before the core is imported, so that a later change is noticed.
        let fingerprint = plan.location.as_ref().map(Fingerprint::quick);
        let mut on_end = Some(on_end);
        let link = plan
            .core
            .as_ref()
            .and_then(|core| self.templates.fork(&self.spawner, project, core, &plan.python, &mut on_end));
        let (link, forked) = match link {
            Some(link) => (link, true),
            None => {
                let mut link = self.spawner.spawn(&plan.python, project, None, on_end)?;
                if let Err(why) = self.spawner.send_agent(&mut link) {
                    return Err(self.spawner.give_up(link, STARTING, why));
                }
                (link, false)
            }
        };
        Ok(Starting { plan, fingerprint, link, forked })
    }

    /// Has a process enter its project. A process that fails to is ended.
    pub(crate) fn enter(
        &self,
        project: &str,
        target: &Target,
        starting: Starting,
    ) -> Result<Ready, StartError> {
        let Starting { plan, fingerprint, mut link, .. } = starting;
        let greeting = match self.spawner.read_greeting(&mut link) {
            Ok(greeting) => greeting,
            Err(why) => return Err(self.spawner.give_up(link, STARTING, why)),
        };
        match self.ask_to_enter(project, target, &plan, &greeting, &mut link) {
            Ok(()) => Ok(Ready { link, fingerprint }),
            Err(why) => Err(self.spawner.give_up(link, ENTERING, why)),
        }
    }

    /// Whether the files of the project's core have changed since `before`. A core that cannot be found for
    /// the moment has not: the worker has it in memory.
    pub(crate) fn has_changed(&self, project: &str, before: &Fingerprint) -> bool {
        let location = self.spawner.options.configs.locate(project);
        location.is_ok_and(|location| *before != Fingerprint::quick(&location))
    }

    /// Ends the templates, for a pool that is closed.
    pub(crate) fn close(&self) {
        self.templates.end_all(&self.spawner.supervisor);
    }

    /// Waits for the threads of the templates, whose processes have ended.
    pub(crate) fn join(&self) {
        self.templates.join();
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
        Ok(Plan {
            location,
            python: self.pythons.real(&python)?,
            core: core.as_deref().map(utf8).transpose()?,
        })
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
        let deadline = self.spawner.options.enter_timeout.map(after);
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
        let own = options.project_paths.get(project).into_iter().flatten();
        let plugin_paths: Vec<&String> = own.chain(&options.plugin_paths).collect();
        Ok(json!({"enter": {
            "project": project,
            "site_packages": options.site_packages,
            "core_python": plan.core,
            "plugin_paths": plugin_paths,
            "current_pc": current_pc,
            "configuration": configuration,
            "bootstrap": bootstrap,
            "log_level": options.log_level(),
            "max_frame": options.max_frame,
        }}))
    }
}

fn utf8(path: &Path) -> Result<String, StartError> {
    path.to_str().map(str::to_owned).ok_or_else(|| StartError::Path { path: path.to_owned() })
}
