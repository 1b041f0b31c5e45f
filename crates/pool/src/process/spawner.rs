//! Starts processes with the agent in them, and ends those that do not get ready.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::fd::OwnedFd;
use serde::Deserialize;
use sgtk_config::keys::redacted;

use super::child::Process;
use super::link::{Fault, Link};
use super::spawn::{self, OurEnds, TheirEnds};
use super::supervisor::Supervisor;
use super::terminate::Step;
use super::watch::{OnEnd, Reaper, Watched};
use super::worker::Worker;
use crate::agent;
use crate::error::StartError;
use crate::options::{ProcessOptions, after};
use crate::wire::{Frame, Greeting, encode_text};

const STARTING: &str = "starting";
const ENTERING: &str = "entering the project";

/// The version of the agent's protocol.
const PROTOCOL: u32 = 1;

#[derive(Debug)]
pub(super) struct Spawner {
    pub(super) options: ProcessOptions,
    pub(super) supervisor: Arc<Supervisor>,
    numbers: AtomicU64,
}

/// Why a process did not get ready.
#[derive(Debug)]
pub(super) enum Unready {
    /// It has reported an error, or could not be asked to enter.
    Failed(StartError),
    Fault(Fault),
}

impl From<Fault> for Unready {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<StartError> for Unready {
    fn from(error: StartError) -> Self {
        Self::Failed(error)
    }
}

impl Spawner {
    pub(super) fn new(options: ProcessOptions, supervisor: Arc<Supervisor>) -> Self {
        Self { options, supervisor, numbers: AtomicU64::new(1) }
    }

    /// Starts a process, without the agent's source. `variables` are its own; `forks` is the socket of a
    /// template.
    pub(super) fn spawn(
        &self,
        python: &Path,
        name: &Arc<str>,
        variables: &[(String, String)],
        forks: Option<OwnedFd>,
        on_end: Option<OnEnd>,
    ) -> Result<Box<Link>, StartError> {
        let pipes = spawn::pipes();
        let (ours, theirs) =
            pipes.map_err(|cause| StartError::System { action: "make a worker's pipes", cause })?;
        let pid = spawn::spawn(python, &self.options.variables, variables, theirs, forks)
            .map_err(|error| StartError::Python { python: python.to_owned(), reason: error.to_string() })?;
        Ok(self.watch(Process::new(pid, true), name, ours, None, on_end))
    }

    /// Has `fork` start a process on new pipes. `parent` reaps it.
    pub(super) fn adopt(
        &self,
        name: &Arc<str>,
        parent: Arc<dyn Reaper>,
        fork: impl FnOnce(TheirEnds) -> io::Result<rustix::process::Pid>,
        on_end: &mut Option<OnEnd>,
    ) -> io::Result<Box<Link>> {
        let (ours, theirs) = spawn::pipes()?;
        let pid = fork(theirs)?;
        // The template reaps it only when it is told to, so its process id is still its own.
        Ok(self.watch(Process::new(pid, false), name, ours, Some(parent), on_end.take()))
    }

    fn watch(
        &self,
        process: Process,
        name: &Arc<str>,
        ends: OurEnds,
        parent: Option<Arc<dyn Reaper>>,
        on_end: Option<OnEnd>,
    ) -> Box<Link> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let worker = Arc::new(Worker::new(number, Arc::clone(name), process));
        let OurEnds { requests, answers, outputs } = ends;
        self.supervisor.watch(Watched::new(Arc::clone(&worker), outputs, parent, on_end));
        Box::new(Link::new(worker, requests, answers, self.options.max_frame))
    }

    /// Sends the agent's source to a process that was started.
    pub(super) fn send_agent(&self, link: &mut Link) -> Result<(), Unready> {
        let source = agent::source(self.options.code_folder().as_deref());
        Ok(link.send(&encode_text(&source), self.start_deadline())?)
    }

    /// Reads the agent's first message.
    pub(super) fn read_greeting(&self, link: &mut Link) -> Result<Greeting, Unready> {
        let frame = link.read(self.start_deadline())?;
        let greeting: Greeting = parse(&frame)?;
        if greeting.hello.protocol != PROTOCOL {
            let found = greeting.hello.protocol;
            return Err(Fault::Protocol(format!("speaks protocol {found}, {PROTOCOL} was expected")).into());
        }
        Ok(greeting)
    }

    fn start_deadline(&self) -> Option<std::time::Instant> {
        self.options.start_timeout.map(after)
    }

    /// Ends a process that did not get ready, and returns why it did not.
    ///
    /// `entering` is how long it had to enter, for a process that has started.
    pub(super) fn give_up(&self, link: Box<Link>, entering: Option<Duration>, why: Unready) -> StartError {
        let phase = if entering.is_some() { ENTERING } else { STARTING };
        let worker = Arc::clone(&link.worker);
        let pid = worker.pid();
        match why {
            Unready::Failed(error) => {
                // After reporting an error it ends by itself.
                self.supervisor.end(&worker, Some(link), Step::Ask);
                error
            }
            Unready::Fault(Fault::TimedOut) => {
                self.supervisor.end(&worker, Some(link), Step::Terminate);
                let timeout = entering.or(self.options.start_timeout).unwrap_or_default();
                StartError::TimedOut { pid, phase, timeout, output: worker.last_output() }
            }
            Unready::Fault(Fault::Protocol(how)) => {
                self.supervisor.end(&worker, Some(link), Step::Terminate);
                let how = format!("was ended (it {how})");
                StartError::Ended { pid, phase, how, output: worker.last_output() }
            }
            Unready::Fault(Fault::Ended) => {
                let (how, output) = worker.report();
                StartError::Ended { pid, phase, how, output }
            }
        }
    }
}

/// Reads a message of the agent.
pub(super) fn parse<'a, T: Deserialize<'a>>(frame: &'a Frame) -> Result<T, Unready> {
    serde_json::from_slice(frame.body()).map_err(|error| {
        let what = format!("sent an invalid message: {error}");
        Fault::Protocol(redacted(&what).into_owned()).into()
    })
}
