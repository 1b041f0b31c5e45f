//! Templates: processes that have imported a core, from which workers are forked in milliseconds (Linux).
//!
//! There is one for each core and Python, started for the first worker that needs it, up to a limit. A
//! template has a single thread and forks on request. A forked worker greets and enters its project like one
//! that was started. If a template cannot be used, for whatever reason, workers are started instead.
//!
//! A template reaps its workers, so it lives as long as they do: those that are not to fork any more, as
//! their core has changed, end with their last worker. For a core that has none the template without workers
//! that has forked least recently makes room; where all have some, the worker is started.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustix::fd::{AsFd, OwnedFd};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sendmsg,
    socketpair,
};
use rustix::process::Pid;
use serde::Deserialize;
use serde_json::json;
use sgtk_config::{CoreChanging, Fingerprint};

use super::link::{Fault, Link};
use super::spawn::TheirEnds;
use super::spawner::{Spawner, Unready, parse};
use super::supervisor::Supervisor;
use super::terminate::Step;
use super::watch::{OnEnd, Reaper};
use super::worker::Worker;
use crate::error::StartError;
use crate::options::after;
use crate::wire::{self, END, Failed, RemoteError};

/// How long a fork may take.
const FORK_TIMEOUT: Duration = Duration::from_secs(10);

// Templates need Linux; this code has to compile without its flags.
#[cfg(target_os = "linux")]
const SOCKET: SocketFlags = SocketFlags::CLOEXEC;
#[cfg(not(target_os = "linux"))]
const SOCKET: SocketFlags = SocketFlags::empty();
#[cfg(target_os = "linux")]
const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;
#[cfg(not(target_os = "linux"))]
const NO_SIGNAL: SendFlags = SendFlags::empty();

/// A core, and the Python that imports it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// The core's `python` folder.
    pub(super) core: String,
    pub(super) python: PathBuf,
    /// Those of a project that has its own, which the core may read when it is imported.
    pub(super) variables: Vec<(String, String)>,
}

/// Without the variables, which may be keys.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("core", &self.core).field("python", &self.python).finish_non_exhaustive()
    }
}

impl Key {
    fn files(&self) -> Fingerprint {
        Fingerprint::of_core(Path::new(&self.core).parent().unwrap_or(Path::new("")))
    }
}

#[derive(Debug, Default)]
pub(super) struct Templates {
    known: Mutex<HashMap<Key, State>>,
    changed: Condvar,
    /// The threads that listen to templates.
    listeners: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug)]
enum State {
    Starting,
    Ready {
        template: Arc<Template>,
        /// When it was asked for last.
        used: Instant,
    },
    /// It cannot fork. Not tried again until the core's files change.
    Unfit(Fingerprint, Arc<StartError>),
}

/// A process that has imported a core.
#[derive(Debug)]
struct Template {
    worker: Arc<Worker>,
    fingerprint: Fingerprint,
    socket: OwnedFd,
    /// The answers to requests to fork. `None` once one did not come in time, as it could be taken for the
    /// answer to the next request.
    forked: Mutex<Option<Receiver<Forked>>>,
    /// A template's thread and workers must not keep the supervisor's pipe open.
    supervisor: Weak<Supervisor>,
}

#[derive(Debug)]
struct Forked {
    pid: Option<i32>,
    reason: Option<String>,
}

/// The answer to the request to import the core.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Readiness {
    Template(serde::de::IgnoredAny),
    Failed(Failed),
    Unfit(Vec<String>),
}

/// What a template reports afterwards.
#[derive(Deserialize)]
struct Report {
    #[serde(default)]
    forked: Option<i32>,
    #[serde(default)]
    error: Option<RemoteError>,
    ended: Option<u32>,
    status: Option<i32>,
}

impl Templates {
    /// Forks a worker, with the core's files as `files` has them, else as they are. `None` if there is no
    /// template for the core: start a process instead. `on_end` is taken only by a worker.
    pub(super) fn fork(
        &self,
        spawner: &Arc<Spawner>,
        project: &Arc<str>,
        key: &Key,
        files: Option<&Fingerprint>,
        on_end: &mut Option<OnEnd>,
    ) -> Option<Box<Link>> {
        if !spawner.options.templates || !cfg!(target_os = "linux") {
            return None;
        }
        // Of the core alone: projects with the same core share its template.
        let now = files.is_none().then(|| key.files());
        let template = self.get(spawner, key, files.or(now.as_ref())?).ok()??;
        let parent: Arc<dyn Reaper> = Arc::<Template>::clone(&template);
        match spawner.adopt(project, parent, |theirs| template.fork(theirs), on_end) {
            Ok(link) => Some(link),
            Err(error) => {
                tracing::warn!(
                    project = &**project,
                    core = key.core,
                    "failed to fork from a template: {error}"
                );
                self.discard(key, &template);
                None
            }
        }
    }

    /// Whether a core whose files are these can be imported: the template of it has, or one does that is
    /// ended again where there are none.
    ///
    /// # Errors
    /// What its import raises. What else a template fails for does not concern the core.
    pub(super) fn try_import(
        &self,
        spawner: &Arc<Spawner>,
        key: &Key,
        files: &Fingerprint,
    ) -> Result<(), String> {
        if !cfg!(target_os = "linux") {
            return Ok(());
        }
        let found = if spawner.options.templates { self.get(spawner, key, files) } else { Ok(None) };
        let tried = found.and_then(|found| match found {
            Some(template) => Ok(template),
            None => self.start(spawner, key, files).map_err(Arc::new),
        });
        match tried {
            Err(error) if matches!(*error, StartError::Enter { .. } | StartError::CoreChanging { .. }) => {
                Err(error.to_string())
            }
            _ => Ok(()),
        }
    }

    /// The template of a core whose files have this fingerprint. Starts it, or waits until another thread
    /// has. `None` where there are as many as there may be, and all have workers.
    fn get(
        &self,
        spawner: &Arc<Spawner>,
        key: &Key,
        fingerprint: &Fingerprint,
    ) -> Result<Option<Arc<Template>>, Arc<StartError>> {
        let mut known = self.known.lock();
        loop {
            match known.get_mut(key) {
                Some(State::Starting) => self.changed.wait(&mut known),
                Some(State::Unfit(seen, why)) if seen == fingerprint => return Err(Arc::clone(why)),
                Some(State::Ready { template, used }) if template.serves(fingerprint) => {
                    *used = Instant::now();
                    return Ok(Some(Arc::clone(template)));
                }
                Some(State::Ready { .. } | State::Unfit(..)) | None => break,
            }
        }
        let outdated = known.remove(key);
        let is_full = live(&known) >= spawner.options.max_templates;
        let evicted = if is_full { take_idle(&mut known, Instant::now()) } else { None };
        if is_full && evicted.is_none() {
            drop(known);
            return Ok(None);
        }
        known.insert(key.clone(), State::Starting);
        drop(known);
        if let Some(State::Ready { .. }) = &outdated {
            tracing::info!(core = key.core, "replacing a template whose core has changed or which has ended");
        }
        drop((outdated, evicted));
        let (state, template) = match self.start(spawner, key, fingerprint) {
            Ok(template) => {
                (State::Ready { template: Arc::clone(&template), used: Instant::now() }, Ok(Some(template)))
            }
            Err(error) => {
                let (core, error) = (&key.core, Arc::new(error));
                tracing::warn!(core, "no template, each worker imports the core itself: {error}");
                (State::Unfit(fingerprint.clone(), Arc::clone(&error)), Err(error))
            }
        };
        self.known.lock().insert(key.clone(), state);
        self.changed.notify_all();
        template
    }

    fn start(
        &self,
        spawner: &Arc<Spawner>,
        key: &Key,
        fingerprint: &Fingerprint,
    ) -> Result<Arc<Template>, StartError> {
        let sockets = socketpair(AddressFamily::UNIX, SocketType::STREAM, SOCKET, None);
        let (socket, forks) = sockets.map_err(|cause| StartError::System {
            action: "make a template's socket",
            cause: cause.into(),
        })?;
        let name = Arc::from(format!("template of {}", key.core));
        let mut link = spawner.spawn(&key.python, &name, &key.variables, Some(forks), None)?;
        if let Err(why) = import(spawner, key, &mut link) {
            return Err(spawner.give_up(link, None, why));
        }
        if key.files() != *fingerprint {
            let (project, core) = (name.to_string(), PathBuf::from(&key.core));
            let found = "its files have changed while it was imported".to_owned();
            let why = StartError::from(CoreChanging::new(project, core, found));
            return Err(spawner.give_up(link, None, why.into()));
        }
        let (sender, receiver) = mpsc::channel();
        let worker = Arc::clone(&link.worker);
        // The thread must not keep the supervisor's pipe open.
        let supervisor = Arc::downgrade(&spawner.supervisor);
        let listener = std::thread::Builder::new().name("sgtk-template".to_owned());
        let listener = listener.spawn(move || listen(*link, &sender, &supervisor));
        // Without the thread the link is gone, so the template ends.
        let listener = listener.map_err(|cause| StartError::System { action: "start a thread", cause })?;
        {
            let mut listeners = self.listeners.lock();
            listeners.retain(|listener| !listener.is_finished());
            listeners.push(listener);
        }
        tracing::info!(core = key.core, pid = worker.pid(), "a template is ready");
        let fingerprint = fingerprint.clone();
        let (forked, supervisor) = (Mutex::new(Some(receiver)), Arc::downgrade(&spawner.supervisor));
        Ok(Arc::new(Template { worker, fingerprint, socket, forked, supervisor }))
    }

    /// Ends a template that failed to fork: it may not be able to reap either.
    fn discard(&self, key: &Key, template: &Arc<Template>) {
        let mut known = self.known.lock();
        let is_it = matches!(known.get(key), Some(State::Ready { template: ready, .. }) if Arc::ptr_eq(ready, template));
        let removed = is_it.then(|| known.remove(key));
        drop(known);
        drop(removed);
        template.end();
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        live(&self.known.lock())
    }

    /// Ends those without workers that have not been asked for since a time.
    pub(super) fn end_idle(&self, since: Instant) {
        let mut ended = Vec::new();
        {
            let mut known = self.known.lock();
            while let Some(template) = take_idle(&mut known, since) {
                ended.push(template);
            }
        }
        drop(ended);
    }

    /// Has none of them fork any more: each ends with its last worker.
    pub(super) fn end_all(&self) {
        let known = std::mem::take(&mut *self.known.lock());
        drop(known);
        self.changed.notify_all();
    }

    /// Waits for the threads that listen to templates. They end with the processes.
    pub(super) fn join(&self) {
        let listeners = std::mem::take(&mut *self.listeners.lock());
        for listener in listeners {
            if listener.join().is_err() {
                tracing::error!("a thread of the pool has panicked");
            }
        }
    }
}

/// How many processes there are, or are about to be.
fn live(known: &HashMap<Key, State>) -> usize {
    known.values().filter(|state| !matches!(state, State::Unfit(..))).count()
}

/// Takes the template without workers that was asked for least recently, and not after `since`. It ends when
/// it is dropped.
fn take_idle(known: &mut HashMap<Key, State>, since: Instant) -> Option<State> {
    let idle = known.iter().filter_map(|(key, state)| match state {
        // Workers have it until they are reaped, and so has whoever is about to fork one.
        State::Ready { template, used } if Arc::strong_count(template) == 1 && *used <= since => {
            Some((*used, key))
        }
        _ => None,
    });
    let (_, key) = idle.min_by_key(|(used, _)| *used)?;
    let key = key.clone();
    tracing::debug!(core = key.core, "a template that has no workers is ended");
    known.remove(&key)
}

/// Has the process import the core.
fn import(spawner: &Spawner, key: &Key, link: &mut Link) -> Result<(), Unready> {
    spawner.send_agent(link)?;
    spawner.read_greeting(link)?;
    let request = json!({"template": {
        "site_packages": spawner.options.site_packages,
        "core_python": key.core,
        "max_frame": spawner.options.max_frame,
    }});
    let request = wire::encode(&request)
        .map_err(|error| Fault::Protocol(format!("cannot be asked to import: {error}")))?;
    let frame = link.exchange(&request, &mut 0, spawner.options.enter_timeout.map(after))?;
    match parse::<Readiness>(&frame)? {
        Readiness::Template(_) => Ok(()),
        Readiness::Failed(failed) => {
            let error = Box::new(failed.error.into());
            Err(StartError::Enter { step: failed.step, error }.into())
        }
        Readiness::Unfit(reasons) => Err(Fault::Protocol(format!("has {}", reasons.join(", "))).into()),
    }
}

impl Template {
    fn serves(&self, fingerprint: &Fingerprint) -> bool {
        self.fingerprint == *fingerprint && !self.worker.is_dead()
    }

    fn fork(&self, theirs: TheirEnds) -> io::Result<Pid> {
        // One request at a time, as answers carry no number.
        let mut answers = self.forked.lock();
        let forked =
            answers.take().ok_or_else(|| io::Error::other("it did not answer an earlier request"))?;
        let frame = wire::encode_text("{\"fork\":{}}");
        let passed = [
            theirs.stdout.as_fd(),
            theirs.stderr.as_fd(),
            theirs.requests.as_fd(),
            theirs.answers.as_fd(),
            theirs.records.as_fd(),
            theirs.lifeline.as_fd(),
        ];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(6))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !ancillary.push(SendAncillaryMessage::ScmRights(&passed)) {
            return Err(io::Error::other("no room for a worker's descriptors"));
        }
        let sent = sendmsg(&self.socket, &[IoSlice::new(&frame)], &mut ancillary, NO_SIGNAL)?;
        if sent < frame.len() {
            return Err(io::Error::other("the template's socket took only a part of a request"));
        }
        drop(theirs);
        let answer = forked.recv_timeout(FORK_TIMEOUT).map_err(io::Error::other)?;
        *answers = Some(forked);
        answer
            .pid
            .and_then(Pid::from_raw)
            .ok_or_else(|| io::Error::other(answer.reason.unwrap_or_else(|| "it did not fork".to_owned())))
    }

    /// Sends a request without waiting. Returns `false` if it could not be sent.
    fn say(&self, text: &str) -> bool {
        let frame = wire::encode_text(text);
        let flags = NO_SIGNAL | SendFlags::DONTWAIT;
        rustix::net::send(&self.socket, &frame, flags).is_ok_and(|sent| sent == frame.len())
    }

    fn end(&self) {
        // Without the supervisor there is no process any more.
        if let Some(supervisor) = self.supervisor.upgrade() {
            let step = if self.say(END) { Step::Ask } else { Step::Terminate };
            supervisor.end(&self.worker, None, step);
        }
    }
}

impl Drop for Template {
    fn drop(&mut self) {
        self.end();
    }
}

impl Reaper for Template {
    fn reap(&self, pid: u32) -> bool {
        self.is_alive() && self.say(&format!("{{\"watching\":{pid}}}"))
    }

    fn is_alive(&self) -> bool {
        !self.worker.is_dead()
    }
}

/// Reads what a template reports, until it ends.
fn listen(mut link: Link, forked: &Sender<Forked>, supervisor: &Weak<Supervisor>) {
    while let Ok(frame) = link.read(None) {
        match serde_json::from_slice::<Report>(frame.body()) {
            Ok(Report { ended: Some(pid), status, .. }) => {
                if let Some(supervisor) = supervisor.upgrade() {
                    supervisor.set_status(pid, status.unwrap_or_default());
                }
            }
            Ok(report) => {
                let reason = report.error.map(|error| format!("{}: {}", error.type_name, error.message));
                // Nobody waits any more if it took too long.
                let _ = forked.send(Forked { pid: report.forked, reason });
            }
            Err(error) => {
                tracing::warn!(pid = link.worker.pid(), %error, "invalid message from a template");
                return;
            }
        }
    }
}
