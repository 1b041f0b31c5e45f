//! From nothing to a worker that has entered its project.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::agent;
use super::capacity::Permit;
use super::error::StartError;
use super::inner::Inner;
use super::link::{Fault, Link};
use super::process::{Process, after};
use super::slot::{Slot, Target};
use super::spawn::{self, Ends};
use super::supervisor::{Command, Step};
use super::watched::Watched;
use super::wire::{self, Entry, Greeting};
use super::worker::Worker;
use sgtk_config::keys::redacted;
use sgtk_config::{CoreLocation, Difference, Fingerprint};

/// What the agent and this side have to agree on.
const PROTOCOL: u32 = 1;

/// How long the report of an end is waited for.
const REPORT: Duration = Duration::from_secs(3);

pub(super) const STARTING: &str = "starting";
pub(super) const ENTERING: &str = "entering the project";

/// What a worker of a slot enters, looked up anew for each.
pub(super) struct Entrance {
    /// Of a centralized configuration.
    pub(super) location: Option<CoreLocation>,
    pub(super) python: std::path::PathBuf,
    /// The core's `python` folder.
    pub(super) core: String,
}

impl Inner {
    /// Starts a worker for the slot and has it enter. On the attendant's thread.
    pub(super) fn start(self: &Arc<Self>, slot: &Arc<Slot>, permit: Permit) -> Result<Box<Link>, StartError> {
        let begun = Instant::now();
        let deadline = after(self.options.start_limit);
        let entrance = self.entrance(slot)?;
        // Taken before the core is imported: what changes meanwhile is noticed later.
        let fingerprint = entrance.location.as_ref().map(Fingerprint::quick);
        let (mut link, forked) = match self.fork(slot, &entrance, permit) {
            Ok(link) => (link, true),
            Err(permit) => (self.spawn(slot, &entrance.python, permit, deadline)?, false),
        };
        slot.lock().pid = Some(link.worker.pid());
        match self.enter(slot, &entrance, &mut link, deadline) {
            Ok(()) => {}
            Err((phase, fault)) => return Err(self.give_up(link, phase, fault)),
        }
        link.fingerprint = fingerprint;
        let counter = if forked { &self.counters.forked } else { &self.counters.started };
        counter.fetch_add(1, Ordering::Relaxed);
        slot.lock().counts.starts += 1;
        let micros = begun.elapsed().as_micros() as u64;
        tracing::info!(
            project = &*slot.project,
            pid = link.worker.pid(),
            forked,
            micros,
            "a worker is ready"
        );
        Ok(link)
    }

    fn entrance(&self, slot: &Slot) -> Result<Entrance, StartError> {
        let (location, core, wanted) = match &slot.target {
            Target::Project => {
                let location = self.options.configs.locate(&slot.project);
                let location = location.map_err(|source| StartError::Config { source })?;
                let (core, python) =
                    (location.python().to_owned(), location.interpreter().map(Path::to_owned));
                (Some(location), core, python)
            }
            Target::Bootstrap(bootstrap) => (None, bootstrap.core().to_owned(), None),
        };
        let wanted = wanted.unwrap_or_else(|| self.options.python.clone());
        Ok(Entrance { location, python: self.pythons.real(&wanted)?, core: utf8(&core)? })
    }

    fn spawn(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        python: &Path,
        permit: Permit,
        deadline: Instant,
    ) -> Result<Box<Link>, StartError> {
        let system = |action| move |cause| StartError::System { action, cause };
        let (ends, given) = spawn::pipes().map_err(system("make a worker's pipes"))?;
        let pid = spawn::spawn(python, &self.options.variables, given, None)
            .map_err(|error| StartError::Python { python: python.to_owned(), reason: error.to_string() })?;
        let process = Process::new(pid, true);
        let worker = Arc::new(Worker::new(self.number(), Arc::clone(&slot.project), process));
        let Ends { requests, answers, pipes } = ends;
        let watched = Watched::new(Arc::clone(&worker), Some(Arc::clone(slot)), None, pipes);
        self.supervisor.send(Command::Watch(Box::new(watched)));
        let mut link = Box::new(Link::new(worker, requests, answers, self.options.max_frame, Some(permit)));
        let source = wire::encode_text(&agent::source());
        match link.send(&source, Some(deadline)) {
            Ok(()) => Ok(link),
            Err(fault) => Err(self.give_up(link, STARTING, fault.into())),
        }
    }

    /// Hears the agent's greeting and has it enter.
    fn enter(
        &self,
        slot: &Slot,
        entrance: &Entrance,
        link: &mut Link,
        deadline: Instant,
    ) -> Result<(), (&'static str, Trouble)> {
        let frame = link.read(Some(deadline)).map_err(|fault| (STARTING, fault.into()))?;
        let greeting = parse::<Greeting>(frame.body()).map_err(|trouble| (STARTING, trouble))?;
        let hello = greeting.hello;
        if hello.protocol != PROTOCOL {
            return Err((STARTING, Trouble::Nonsense(format!("it speaks protocol {}", hello.protocol))));
        }
        let request =
            self.enter_request(slot, entrance).map_err(|error| (ENTERING, Trouble::Start(error)))?;
        let deadline = after(self.options.enter_limit);
        let request = wire::encode(&request).map_err(|error| {
            (ENTERING, Trouble::Nonsense(format!("entering cannot be asked for: {error}")))
        })?;
        let frame =
            link.exchange(&request, &mut 0, Some(deadline)).map_err(|fault| (ENTERING, fault.into()))?;
        match parse::<Entry>(frame.body()).map_err(|trouble| (ENTERING, trouble))? {
            Entry::Entered(entered) => {
                let (project, pid) = (&*slot.project, link.worker.pid());
                let python = hello.python.iter().map(u32::to_string).collect::<Vec<_>>().join(".");
                let version = entered.core_version.as_deref().unwrap_or("unknown");
                tracing::debug!(project, pid, python, version, executable = hello.executable, "entered");
                for (kind, message) in &entered.differences {
                    let difference = Difference::new(kind, message);
                    tracing::warn!(project, pid, "not as asked for: {difference}");
                }
                Ok(())
            }
            Entry::Failed(failed) => {
                let error = Box::new(failed.error.into());
                Err((ENTERING, Trouble::Start(StartError::Enter { step: failed.step, error })))
            }
        }
    }

    fn enter_request(&self, slot: &Slot, entrance: &Entrance) -> Result<Value, StartError> {
        let options = &self.options;
        let location = entrance.location.as_ref();
        let current_pc = location.and_then(CoreLocation::current_pc).map(utf8).transpose()?;
        let configuration = location.map(|location| utf8(location.pipeline_configuration())).transpose()?;
        let bootstrap = match &slot.target {
            Target::Bootstrap(bootstrap) => Some(bootstrap.to_json()),
            Target::Project => None,
        };
        Ok(json!({"enter": {
            "project": &*slot.project,
            "site_packages": options.site_packages,
            "core_python": entrance.core,
            "plugin_paths": options.plugin_paths,
            "current_pc": current_pc,
            "configuration": configuration,
            "bootstrap": bootstrap,
            "log_level": options.log_level(),
            "max_frame": options.max_frame,
        }}))
    }

    /// Ends a process that did not get ready, and says why it did not.
    pub(super) fn give_up(&self, link: Box<Link>, phase: &'static str, trouble: Trouble) -> StartError {
        let worker = Arc::clone(&link.worker);
        let pid = worker.pid();
        match trouble {
            Trouble::Start(error) => {
                // It has said what is wrong, and ends by itself.
                self.supervisor.end(link, Step::Ask);
                error
            }
            Trouble::Slow => {
                self.supervisor.end(link, Step::Term);
                let output = worker.wait_ended(REPORT).map(|ended| ended.output.clone()).unwrap_or_default();
                let limit =
                    if phase == STARTING { self.options.start_limit } else { self.options.enter_limit };
                StartError::TooSlow { pid, phase, limit, output }
            }
            Trouble::Nonsense(how) => {
                self.supervisor.end(link, Step::Term);
                let output = worker.wait_ended(REPORT).map(|ended| ended.output.clone()).unwrap_or_default();
                StartError::Ended { pid, phase, how: format!("was ended ({how})"), output }
            }
            Trouble::Ended => {
                let ended = worker.wait_ended(REPORT);
                let how = ended.as_ref().map_or_else(|| "ended".to_owned(), |ended| ended.exit.to_string());
                let output = ended.map(|ended| ended.output.clone()).unwrap_or_default();
                StartError::Ended { pid, phase, how, output }
            }
        }
    }
}

/// What keeps a process from getting ready.
#[derive(Debug)]
pub(super) enum Trouble {
    Start(StartError),
    Slow,
    Ended,
    Nonsense(String),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Deadline => Self::Slow,
            Fault::Ended => Self::Ended,
            Fault::Nonsense(how) => Self::Nonsense(how),
        }
    }
}

pub(super) fn parse<'a, T: serde::Deserialize<'a>>(body: &'a [u8]) -> Result<T, Trouble> {
    serde_json::from_slice(body).map_err(|error| {
        Trouble::Nonsense(redacted(&format!("it sent what is no answer: {error}")).into_owned())
    })
}

fn utf8(path: &Path) -> Result<String, StartError> {
    path.to_str().map(str::to_owned).ok_or_else(|| StartError::Path { path: path.to_owned() })
}
