//! The daemon's side of the process that hosts all projects: starts it, makes calls in it, replaces it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use sgtk_pool::Delivery;

use super::link;
use super::running::{Answer, Running};
use super::wire::{Failed, How, Order, Request, Setup};
use crate::projects::Bootstrapped;
use crate::workers::call::CallError;

/// What it is called among the workers.
pub(crate) const NAME: &str = "projects";

/// How long a callback that was broken off has to end until the process is ended.
const GRACE: Duration = Duration::from_secs(5);

/// After how long a process is started again whose start has failed; twice that the next time.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How projects are hosted.
#[derive(Debug)]
pub(crate) struct Options {
    /// The folder of the daemon's Python files.
    pub(crate) home: PathBuf,
    /// The Python whose packages are used. None: the linked one.
    pub(crate) python: Option<PathBuf>,
    /// The folder of the pipeline configurations.
    pub(crate) configs: PathBuf,
    /// How many projects are in memory at a time.
    pub(crate) most: Option<usize>,
    /// After how long without work a project is dropped.
    pub(crate) idle: Option<Duration>,
    /// Above how much resident memory the process is replaced, in bytes.
    pub(crate) memory: Option<u64>,
}

/// A call.
#[derive(Debug)]
pub(crate) struct What<'a> {
    /// Whose plugins.
    pub(crate) worker: String,
    /// The folder of the project's configuration, or the name of a bootstrap.
    pub(crate) project: String,
    /// `plugins:run`.
    pub(crate) function: &'a str,
    pub(crate) arguments: Vec<Box<RawValue>>,
}

/// The process, which is started when it is first needed, and again where it has ended.
#[derive(Debug)]
pub(crate) struct Process {
    options: Options,
    next: AtomicU64,
    now: Mutex<Now>,
}

#[derive(Debug, Default)]
struct Now {
    running: Option<Arc<Running>>,
    /// Those that were replaced, until they have done what they had.
    before: Vec<Arc<Running>>,
    failures: Failures,
    bootstraps: HashMap<String, Bootstrapped>,
    closed: bool,
}

/// Starts that have failed, one after the other.
#[derive(Debug, Default)]
struct Failures {
    count: u32,
    again: Option<(Instant, String)>,
}

impl Process {
    pub(crate) fn new(options: Options) -> Process {
        Process { options, next: AtomicU64::new(1), now: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock()
    }

    /// Has a project's calls be made in an engine of this bootstrap.
    pub(crate) fn set_bootstrap(&self, name: &str, bootstrap: Bootstrapped) {
        self.lock().bootstraps.insert(name.to_owned(), bootstrap);
    }

    /// Waits until it takes calls.
    ///
    /// # Errors
    /// Why it never will.
    pub(crate) async fn ready(&self) -> Result<(), CallError> {
        self.running()?.ready().await.map_err(CallError::never)
    }

    /// The process that takes calls; starts one where there is none.
    fn running(&self) -> Result<Arc<Running>, CallError> {
        let mut now = self.lock();
        if now.closed {
            return Err(CallError::never("the process of the projects was ended".to_owned()));
        }
        if let Some(running) = now.running.clone() {
            if running.takes_calls() {
                return Ok(running);
            }
            now.running = None;
            match running.start_failure() {
                Some(reason) => now.failures.failed(reason),
                None => now.failures = Failures::default(),
            }
            now.before.push(running);
        }
        now.before.retain(|running| !running.has_ended());
        now.failures.refuse()?;
        let setup = Setup {
            home: self.options.home.clone(),
            python: self.options.python.clone(),
            configs: self.options.configs.clone(),
            most: self.options.most,
            idle: self.options.idle.map(|idle| idle.as_secs_f64()),
        };
        match link::start(&setup, self.options.memory) {
            Ok(running) => {
                now.running = Some(Arc::clone(&running));
                Ok(running)
            }
            Err(error) => {
                let reason = format!("cannot start the process of the projects: {error}");
                now.failures.failed(reason.clone());
                Err(CallError { next_try: now.failures.pause(), ..CallError::never(reason) })
            }
        }
    }

    /// Calls a function for a project, and breaks it off once it has run for `limit`, or `ended` is ready.
    ///
    /// # Errors
    /// [`CallError::delivery`] says whether it ran.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        what: What<'_>,
        limit: Option<Duration>,
        ended: impl Future<Output = ()>,
    ) -> Result<T, CallError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (name, project) = (what.function, what.project.clone());
        let order = Order::Call(Box::new(Request {
            id,
            worker: what.worker,
            bootstrap: self.lock().bootstraps.get(&what.project).cloned(),
            project: what.project,
            function: name.trim_start_matches("plugins:").to_owned(),
            arguments: what.arguments,
        }));
        // One that is about to be replaced takes none.
        let (running, mut answers) = loop {
            let running = self.running()?;
            if let Some(answers) = running.begin(id, &order).map_err(CallError::never)? {
                break (running, answers);
            }
        };
        // Where nobody waits for the answer any more it is broken off as well.
        let mut left = Left { running: Arc::clone(&running), id, is_over: false };
        let told = |how: &str| format!("call '{name}' of project '{project}' {how}");
        let mut ended = pin!(ended);
        let mut stopped: Option<String> = None;
        let mut until: Option<tokio::time::Instant> = None;
        let answer = loop {
            tokio::select! {
                biased;
                answer = answers.recv() => match answer {
                    Some(Answer::Began) => until = limit.map(|limit| tokio::time::Instant::now() + limit),
                    Some(other) => break other,
                    None => break Answer::Lost { began: false, how: "has ended".to_owned(), output: None },
                },
                () = async { tokio::time::sleep_until(until.unwrap_or_else(tokio::time::Instant::now)).await },
                    if until.is_some() && stopped.is_none() =>
                {
                    stopped = Some(told(&format!("was not finished within {:?}", limit.unwrap_or_default())));
                    running.abort(id, GRACE);
                }
                () = &mut ended, if stopped.is_none() => {
                    stopped = Some(told("was aborted after it was sent"));
                    running.abort(id, GRACE);
                }
            }
        };
        left.is_over = true;
        match answer {
            Answer::Done(value) => serde_json::from_str(value.get()).map_err(|error| CallError {
                delivery: Delivery::Ran,
                ..CallError::never(told(&format!("has given something else than was expected: {error}")))
            }),
            Answer::Failed(failed) => Err(of_failed(failed, stopped)),
            Answer::NotStarted(reason) => {
                Err(CallError { next_try: self.lock().failures.pause(), ..CallError::never(reason) })
            }
            Answer::Lost { began, how, output } => {
                let pid = running.pid();
                let how = format!(
                    "process {pid} of all projects was lost in call '{name}' of '{project}': it {how}"
                );
                let message = stopped.unwrap_or(how);
                let delivery = if began { Delivery::MayHaveRun } else { Delivery::NeverRan };
                Err(CallError { delivery, traceback: output, lost: began, ..CallError::never(message) })
            }
            Answer::Began => Err(CallError::never(told("has no answer"))),
        }
    }

    /// Has a worker's next call find nothing loaded.
    pub(crate) fn forget(&self, worker: &str) {
        let running = self.lock().running.clone();
        if let Some(running) = running {
            running.forget(worker);
        }
    }

    /// The processes that live.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let now = self.lock();
        let all = now.running.iter().chain(&now.before);
        all.filter(|running| !running.has_ended()).map(|running| running.pid()).collect()
    }

    /// Ends it; kills it where it has not ended after `grace`. Blocks.
    pub(crate) fn shut_down(&self, grace: Duration) {
        let all: Vec<_> = {
            let mut now = self.lock();
            now.closed = true;
            let running = now.running.take();
            std::mem::take(&mut now.before).into_iter().chain(running).collect()
        };
        for running in all {
            running.end(grace);
        }
    }
}

impl Failures {
    fn failed(&mut self, reason: String) {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.count.min(10)).min(LONGEST_PAUSE);
        self.count += 1;
        self.again = Some((Instant::now() + pause, reason));
    }

    fn pause(&self) -> Option<Duration> {
        self.again.as_ref().map(|(at, _)| at.saturating_duration_since(Instant::now()))
    }

    /// # Errors
    /// It is not started again yet.
    fn refuse(&self) -> Result<(), CallError> {
        match (&self.again, self.pause().filter(|pause| !pause.is_zero())) {
            (Some((_, reason)), Some(pause)) => {
                Err(CallError { next_try: Some(pause), ..CallError::never(reason.clone()) })
            }
            _ => Ok(()),
        }
    }
}

fn of_failed(failed: Failed, stopped: Option<String>) -> CallError {
    let (delivery, lost) = match failed.how {
        How::NeverRan => (Delivery::NeverRan, false),
        How::Raised => (Delivery::Ran, false),
        How::Interrupted => (Delivery::MayHaveRun, true),
    };
    let message = stopped.filter(|_| lost).unwrap_or(failed.message);
    let (classes, traceback) = (failed.classes, failed.traceback);
    CallError { delivery, classes, message, traceback, lost, next_try: None }
}

/// Breaks off a call that nobody waits for any more.
struct Left {
    running: Arc<Running>,
    id: u64,
    is_over: bool,
}

impl Drop for Left {
    fn drop(&mut self) {
        if !self.is_over {
            self.running.abort(self.id, GRACE);
        }
    }
}
