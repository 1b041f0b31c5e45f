//! Calls: each worker has a thread, on which its calls run one after the other.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use serde_json::value::RawValue;
use sgtk_config::PythonError;
use sgtk_config::keys::redacted;
use sgtk_host::pyo3::prelude::*;
use sgtk_host::{Interruptible, Interruption};

use super::connection::Connection;
use super::instances::Instances;
use crate::in_process::wire::{Failed, How, News, Request};

/// How long after an interruption the next one comes, where the code goes on.
const AGAIN: Duration = Duration::from_millis(500);

/// The calls of all workers.
pub(super) struct Calls {
    instances: Arc<Instances>,
    connection: Arc<Connection>,
    threads: Mutex<HashMap<String, Sender<Arc<Job>>>>,
    jobs: Arc<Mutex<HashMap<u64, Arc<Job>>>>,
}

/// A call.
struct Job {
    request: Request,
    phase: Mutex<Phase>,
}

enum Phase {
    /// Its turn has not come.
    Waiting,
    Running(Interruption),
    /// Nobody wants it any more.
    Cancelled,
}

impl Job {
    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock()
    }
}

impl Calls {
    pub(super) fn new(instances: Arc<Instances>, connection: Arc<Connection>) -> Calls {
        if let Some(every) = instances.look_every() {
            let instances = Arc::clone(&instances);
            let look = move || {
                loop {
                    thread::sleep(every);
                    instances.drop_idle();
                }
            };
            if let Err(error) = thread::Builder::new().name("idle projects".to_owned()).spawn(look) {
                tracing::warn!(%error, "projects that are idle stay in memory");
            }
        }
        Calls { instances, connection, threads: Mutex::default(), jobs: Arc::default() }
    }

    /// Has a call be run, after those that its worker has.
    pub(super) fn begin(&self, request: Request) {
        let job = Arc::new(Job { request, phase: Mutex::new(Phase::Waiting) });
        lock(&self.jobs).insert(job.request.id, Arc::clone(&job));
        let mut threads = lock(&self.threads);
        let worker = &job.request.worker;
        let sender = match threads.get(worker) {
            Some(sender) => sender.clone(),
            None => match self.start(worker) {
                Ok(sender) => threads.entry(worker.clone()).or_insert(sender).clone(),
                Err(error) => {
                    lock(&self.jobs).remove(&job.request.id);
                    let failed = never(format!("cannot start a thread: {error}"));
                    self.connection.send(&News::Failed(job.request.id, failed));
                    return;
                }
            },
        };
        // Its thread lives as long as this sender.
        let _ = sender.send(job);
    }

    fn start(&self, worker: &str) -> std::io::Result<Sender<Arc<Job>>> {
        let (sender, jobs) = mpsc::channel();
        let (instances, connection, known) =
            (Arc::clone(&self.instances), Arc::clone(&self.connection), Arc::clone(&self.jobs));
        thread::Builder::new()
            .name(worker.to_owned())
            .spawn(move || serve(&jobs, &instances, &connection, &known))?;
        Ok(sender)
    }

    /// Breaks off a call, or sees that it does not begin.
    pub(super) fn abort(&self, id: u64) {
        let Some(job) = lock(&self.jobs).get(&id).cloned() else { return };
        let interruption = match &mut *job.phase() {
            phase @ Phase::Waiting => {
                *phase = Phase::Cancelled;
                None
            }
            Phase::Running(interruption) => Some(interruption.clone()),
            Phase::Cancelled => return,
        };
        let Some(interruption) = interruption else {
            lock(&self.jobs).remove(&id);
            self.connection
                .send(&News::Failed(id, never("the call was aborted before it was begun".to_owned())));
            return;
        };
        let interrupt = move || {
            while interruption.interrupt() {
                thread::sleep(AGAIN);
            }
        };
        if let Err(error) = thread::Builder::new().name("interruption".to_owned()).spawn(interrupt) {
            tracing::error!(%error, "a callback cannot be broken off");
        }
    }

    /// The worker's next call finds nothing loaded, and waits for none of those before.
    pub(super) fn forget(&self, worker: &str) {
        lock(&self.threads).remove(worker);
        self.instances.leave(worker);
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock()
}

fn never(message: String) -> Failed {
    Failed { how: How::NeverRan, message, classes: Vec::new(), traceback: None }
}

/// Runs the calls of a worker.
fn serve(
    jobs: &Receiver<Arc<Job>>,
    instances: &Arc<Instances>,
    connection: &Arc<Connection>,
    known: &Mutex<HashMap<u64, Arc<Job>>>,
) {
    for job in jobs {
        let id = job.request.id;
        let news = match run(&job, instances, connection) {
            Some(Ok(value)) => News::Done(id, value),
            Some(Err(failed)) => News::Failed(id, failed),
            // It was told already that it never ran.
            None => continue,
        };
        lock(known).remove(&id);
        connection.send(&news);
    }
}

/// Runs a call; none where it was cancelled.
fn run(
    job: &Job,
    instances: &Arc<Instances>,
    connection: &Connection,
) -> Option<Result<Box<RawValue>, Failed>> {
    let request = &job.request;
    let in_use = match instances.enter(&request.worker, &request.project, request.bootstrap.clone()) {
        Ok(in_use) => in_use,
        Err(error) => return Some(Err(unavailable(job, &error)?)),
    };
    let ran = in_use.instance.with(|py| in_place(py, job, connection));
    drop(in_use);
    match ran {
        Ok(ran) => {
            let ran = ran?;
            if matches!(&ran, Err(failed) if failed.how == How::Interrupted) {
                // It was in the middle of something.
                instances.leave(&request.worker);
            }
            Some(ran)
        }
        Err(error) => Some(Err(unavailable(job, &error)?)),
    }
}

/// The project cannot be put in place; none where nobody wants to know.
fn unavailable(job: &Job, error: &sgtk_host::Error) -> Option<Failed> {
    if matches!(*job.phase(), Phase::Cancelled) {
        return None;
    }
    Some(never(chain(error)))
}

/// Calls the function. The project is in place.
fn in_place(py: Python<'_>, job: &Job, connection: &Connection) -> Option<Result<Box<RawValue>, Failed>> {
    let code = match Interruptible::begin(py) {
        Ok(code) => code,
        Err(error) => return Some(Err(raised(sgtk_host::python_error(&error), How::NeverRan))),
    };
    {
        let mut phase = job.phase();
        if matches!(*phase, Phase::Cancelled) {
            return None;
        }
        *phase = Phase::Running(code.interruption());
    }
    connection.send(&News::Began(job.request.id));
    let called = call(py, &job.request);
    let how = if code.end(py) { How::Interrupted } else { How::Raised };
    Some(match called {
        Ok(value) if how == How::Raised => Ok(value),
        Ok(_) => Err(Failed { how, ..never("it was broken off".to_owned()) }),
        Err(error) => Err(raised(sgtk_host::python_error(&error), how)),
    })
}

fn call(py: Python<'_>, request: &Request) -> PyResult<Box<RawValue>> {
    let arguments = request.arguments.iter().map(|argument| argument.get()).collect::<Vec<_>>().join(",");
    let lanes = py.import("sgtk_eventd.lanes")?;
    let told = lanes.call_method1("call", (&request.worker, &request.function, format!("[{arguments}]")))?;
    let told: Vec<u8> = told.extract()?;
    let told = String::from_utf8_lossy(&told).into_owned();
    RawValue::from_string(told).map_err(|error| {
        sgtk_host::pyo3::exceptions::PyValueError::new_err(format!("the result is no JSON: {error}"))
    })
}

fn raised(error: PythonError, how: How) -> Failed {
    Failed {
        how,
        message: redacted(&format!("{}: {}", error.type_name, error.message)).into_owned(),
        classes: error.mro,
        traceback: error.traceback,
    }
}

/// An error with what has caused it.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
