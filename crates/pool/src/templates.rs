//! Templates: processes that have imported a core, from which workers are forked in milliseconds (Linux).
//!
//! There is one for each core and Python, started when the first worker of it is wanted. A template only ever has one
//! thread, and forks on request; a worker that it has forked says hello and enters its project like one that was started.
//! Where a template cannot be had, for whatever reason, workers are started instead.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rustix::fd::{AsFd, OwnedFd};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sendmsg,
    socketpair,
};
use rustix::process::Pid;
use serde::Deserialize;
use serde_json::json;

use super::agent;
use super::capacity::Permit;
use super::error::StartError;
use super::inner::Inner;
use super::link::Link;
use super::process::{Process, after};
use super::slot::Slot;
use super::spawn::{self, Ends, Given};
use super::start::{Entrance, STARTING, Trouble, parse};
use super::supervisor::{Command, Step};
use super::watched::Watched;
use super::wire::{self, Failed};
use super::worker::Worker;
use sgtk_config::Fingerprint;

/// How long a fork may take.
const FORK: Duration = Duration::from_secs(10);

// Where there are none of these flags there are no templates, but there is this code.
#[cfg(target_os = "linux")]
const SOCKET: SocketFlags = SocketFlags::CLOEXEC;
#[cfg(not(target_os = "linux"))]
const SOCKET: SocketFlags = SocketFlags::empty();
#[cfg(target_os = "linux")]
const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;
#[cfg(not(target_os = "linux"))]
const NO_SIGNAL: SendFlags = SendFlags::empty();

/// A core, and the Python that imports it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    core: String,
    python: PathBuf,
}

#[derive(Debug, Default)]
pub(super) struct Templates {
    known: Mutex<HashMap<Key, State>>,
    changed: Condvar,
}

#[derive(Debug)]
enum State {
    Starting,
    Ready(Arc<Template>),
    /// Not to be tried again while the core's files are these.
    Unfit(Fingerprint),
}

/// A process that has imported a core.
#[derive(Debug)]
pub(super) struct Template {
    worker: Arc<Worker>,
    fingerprint: Fingerprint,
    socket: OwnedFd,
    /// What became of the forks asked for, one at a time. `None` once there was no answer in time: a late one would be taken
    /// for that to the next request.
    forked: Mutex<Option<Receiver<Forked>>>,
}

#[derive(Debug)]
struct Forked {
    pid: Option<i32>,
    reason: Option<String>,
}

/// What a template says when it has imported its core.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Readiness {
    Template(serde::de::IgnoredAny),
    Failed(Failed),
    Unfit(Vec<String>),
}

/// What it says afterwards.
#[derive(Deserialize)]
struct News {
    #[serde(default)]
    forked: Option<i32>,
    #[serde(default)]
    error: Option<wire::RemoteError>,
    ended: Option<u32>,
    status: Option<i32>,
}

impl Inner {
    /// Forks a worker for the slot.
    ///
    /// # Errors
    /// The permit, where there is no template to be had: start one instead.
    pub(super) fn fork(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        entrance: &Entrance,
        permit: Permit,
    ) -> Result<Box<Link>, Permit> {
        if !self.options.templates || !cfg!(target_os = "linux") {
            return Err(permit);
        }
        let key = Key { core: entrance.core.clone(), python: entrance.python.clone() };
        // Of the core alone: projects that share it share the template.
        let install_core = Path::new(&entrance.core).parent().unwrap_or(Path::new(""));
        let fingerprint = Fingerprint::of_core(install_core);
        let Some(template) = self.template(&key, &fingerprint) else { return Err(permit) };
        match self.fork_from(slot, &template) {
            Ok((worker, ends)) => {
                let Ends { requests, answers, pipes } = ends;
                let watched = Watched::new(
                    Arc::clone(&worker),
                    Some(Arc::clone(slot)),
                    Some(Arc::clone(&template)),
                    pipes,
                );
                self.supervisor.send(Command::Watch(Box::new(watched)));
                let max_frame = self.options.max_frame;
                Ok(Box::new(Link::new(worker, requests, answers, max_frame, Some(permit))))
            }
            Err(error) => {
                tracing::warn!(
                    project = &*slot.project,
                    core = key.core,
                    "cannot fork from a template: {error}"
                );
                self.dismiss(&key, &template);
                Err(permit)
            }
        }
    }

    /// The template of a core as its files are now; started, or waited for, where it has to be.
    fn template(self: &Arc<Self>, key: &Key, fingerprint: &Fingerprint) -> Option<Arc<Template>> {
        let mut known = self.templates.lock();
        loop {
            match known.get(key) {
                Some(State::Starting) => {
                    known = self.templates.changed.wait(known).unwrap_or_else(PoisonError::into_inner);
                }
                Some(State::Unfit(seen)) if seen == fingerprint => return None,
                Some(State::Ready(template)) if template.serves(fingerprint) => {
                    return Some(Arc::clone(template));
                }
                Some(State::Ready(_) | State::Unfit(_)) | None => break,
            }
        }
        let outdated = known.insert(key.clone(), State::Starting);
        drop(known);
        if let Some(State::Ready(template)) = outdated {
            tracing::info!(core = key.core, "replacing a template: its core has changed, or it has ended");
            template.end(self);
        }
        let started = self.start_template(key, fingerprint);
        let (state, template) = match started {
            Ok(template) => (State::Ready(Arc::clone(&template)), Some(template)),
            Err(error) => {
                tracing::warn!(core = key.core, "no template, workers are started one by one: {error}");
                (State::Unfit(fingerprint.clone()), None)
            }
        };
        self.templates.lock().insert(key.clone(), state);
        self.templates.changed.notify_all();
        template
    }

    fn start_template(
        self: &Arc<Self>,
        key: &Key,
        fingerprint: &Fingerprint,
    ) -> Result<Arc<Template>, StartError> {
        let system = |action| move |cause: io::Error| StartError::System { action, cause };
        let (ends, given) = spawn::pipes().map_err(system("make a template's pipes"))?;
        let sockets = socketpair(AddressFamily::UNIX, SocketType::STREAM, SOCKET, None);
        let (socket, forks) = sockets.map_err(io::Error::from).map_err(system("make a template's socket"))?;
        let pid = spawn::spawn(&key.python, &self.options.variables, given, Some(forks))
            .map_err(|error| StartError::Python { python: key.python.clone(), reason: error.to_string() })?;
        let name = Arc::from(format!("template of {}", key.core));
        let worker = Arc::new(Worker::new(self.number(), name, Process::new(pid, true)));
        let Ends { requests, answers, pipes } = ends;
        let watched = Watched::new(Arc::clone(&worker), None, None, pipes);
        self.supervisor.send(Command::Watch(Box::new(watched)));
        let mut link = Link::new(worker, requests, answers, self.options.max_frame, None);
        match self.ready(key, &mut link) {
            Ok(()) => {}
            Err(trouble) => return Err(self.give_up(Box::new(link), STARTING, trouble)),
        }
        let (sender, receiver) = mpsc::channel();
        let worker = Arc::clone(&link.worker);
        let inner = Arc::downgrade(self);
        let listen = move || {
            listen(link, &sender, |command| {
                if let Some(inner) = inner.upgrade() {
                    inner.supervisor.send(command);
                }
            })
        };
        let listener = std::thread::Builder::new().name("sgtk-template".to_owned()).spawn(listen);
        if let Err(cause) = listener {
            // Its pipes went with the thread that was not made, so it ends.
            return Err(StartError::System { action: "start a thread", cause });
        }
        tracing::info!(core = key.core, pid = worker.pid(), "a template is ready");
        let fingerprint = fingerprint.clone();
        Ok(Arc::new(Template { worker, fingerprint, socket, forked: Mutex::new(Some(receiver)) }))
    }

    fn ready(&self, key: &Key, link: &mut Link) -> Result<(), Trouble> {
        let start = after(self.options.start_limit);
        link.send(&wire::encode_text(&agent::source()), Some(start))?;
        let frame = link.read(Some(start))?;
        parse::<wire::Greeting>(frame.body())?;
        let request = json!({"template": {
            "site_packages": self.options.site_packages,
            "core_python": key.core,
            "max_frame": self.options.max_frame,
        }});
        let request = wire::encode(&request).map_err(|error| Trouble::Nonsense(error.to_string()))?;
        let frame = link.exchange(&request, &mut 0, Some(after(self.options.enter_limit)))?;
        match parse::<Readiness>(frame.body())? {
            Readiness::Template(_) => Ok(()),
            Readiness::Failed(failed) => {
                let error = Box::new(failed.error.into());
                Err(Trouble::Start(StartError::Enter { step: failed.step, error }))
            }
            Readiness::Unfit(reasons) => Err(Trouble::Nonsense(format!("it has {}", reasons.join(", ")))),
        }
    }

    fn fork_from(&self, slot: &Slot, template: &Template) -> io::Result<(Arc<Worker>, Ends)> {
        let (ends, given) = spawn::pipes()?;
        let pid = template.fork(given)?;
        // The template does not reap it before it is told to, so that the number is not another's.
        let process = Process::new(pid, false);
        Ok((Arc::new(Worker::new(self.number(), Arc::clone(&slot.project), process)), ends))
    }

    /// A template that cannot fork is not used again.
    fn dismiss(&self, key: &Key, template: &Arc<Template>) {
        let mut known = self.templates.lock();
        if matches!(known.get(key), Some(State::Ready(ready)) if Arc::ptr_eq(ready, template)) {
            known.remove(key);
        }
        drop(known);
        template.end(self);
    }
}

impl Templates {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, State>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all of them, for a pool that is closed.
    pub(super) fn end_all(&self, inner: &Inner) {
        let known = std::mem::take(&mut *self.lock());
        for state in known.into_values() {
            if let State::Ready(template) = state {
                template.end(inner);
            }
        }
        self.changed.notify_all();
    }
}

impl Template {
    fn serves(&self, fingerprint: &Fingerprint) -> bool {
        self.fingerprint == *fingerprint && !self.worker.is_dead()
    }

    fn fork(&self, given: Given) -> io::Result<Pid> {
        // One at a time: answers come in order.
        let mut answers = self.forked.lock().unwrap_or_else(PoisonError::into_inner);
        let forked =
            answers.take().ok_or_else(|| io::Error::other("it did not answer an earlier request"))?;
        let frame = wire::encode_text("{\"fork\":{}}");
        let passed = [
            given.stdout.as_fd(),
            given.stderr.as_fd(),
            given.requests.as_fd(),
            given.answers.as_fd(),
            given.records.as_fd(),
            given.lifeline.as_fd(),
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
        drop(given);
        let news = forked.recv_timeout(FORK).map_err(io::Error::other)?;
        *answers = Some(forked);
        news.pid
            .and_then(Pid::from_raw)
            .ok_or_else(|| io::Error::other(news.reason.unwrap_or_else(|| "it did not fork".to_owned())))
    }

    /// Whether it can tell nothing new.
    pub(super) fn has_ended(&self) -> bool {
        self.worker.is_dead()
    }

    /// Has it reap a child that was seen to have ended. Never waits. Returns whether it will.
    pub(super) fn reap(&self, pid: u32) -> bool {
        !self.has_ended() && self.say(&format!("{{\"watching\":{pid}}}"))
    }

    fn say(&self, text: &str) -> bool {
        let frame = wire::encode_text(text);
        let flags = NO_SIGNAL | SendFlags::DONTWAIT;
        rustix::net::send(&self.socket, &frame, flags).is_ok_and(|sent| sent == frame.len())
    }

    fn end(&self, inner: &Inner) {
        let step = if self.say("{\"end\":true}") { Step::Ask } else { Step::Term };
        inner.supervisor.send(Command::End { worker: Arc::clone(&self.worker), link: None, step });
    }
}

/// Hears what a template says, until it ends.
fn listen(mut link: Link, forked: &Sender<Forked>, tell: impl Fn(Command)) {
    while let Ok(frame) = link.read(None) {
        match serde_json::from_slice::<News>(frame.body()) {
            Ok(News { ended: Some(pid), status, .. }) => {
                tell(Command::Status { pid, status: status.unwrap_or_default() });
            }
            Ok(news) => {
                let reason = news.error.map(|error| format!("{}: {}", error.type_name, error.message));
                // Nobody waits any more where it took too long.
                let _ = forked.send(Forked { pid: news.forked, reason });
            }
            Err(error) => {
                tracing::warn!(pid = link.worker.pid(), %error, "a template says what is no answer");
                return;
            }
        }
    }
}
