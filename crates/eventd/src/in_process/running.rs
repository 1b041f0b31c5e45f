//! A process of the projects: what it is asked for, and what comes of that.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use serde_json::value::RawValue;
use sgtk_config::keys::Secrets;
use tokio::sync::{mpsc, watch};

use super::wire::{Failed, News, Order, frame};

/// How long a process that was killed is waited for.
const KILLED: Duration = Duration::from_secs(10);

/// What comes of a call.
#[derive(Debug)]
pub(super) enum Answer {
    Began,
    Done(Box<RawValue>),
    Failed(Failed),
    /// There is no process, and why.
    NotStarted(String),
    /// The process has ended.
    Lost {
        began: bool,
        how: String,
        output: Option<String>,
    },
}

/// Whether it takes calls.
#[derive(Clone, Debug)]
enum Fit {
    Starting,
    Ready,
    Never(String),
}

/// What is to be done with a process.
#[derive(Debug)]
pub(super) enum Todo {
    Send(Vec<u8>),
    Kill,
}

#[derive(Debug)]
struct Pending {
    answers: mpsc::UnboundedSender<Answer>,
    began: bool,
}

#[derive(Debug, Default)]
struct Calls {
    pending: HashMap<u64, Pending>,
    /// No more are taken.
    closed: bool,
    ended: bool,
}

/// A process.
#[derive(Debug)]
pub(super) struct Running {
    pid: u32,
    memory: Option<u64>,
    todo: mpsc::UnboundedSender<Todo>,
    fit: watch::Sender<Fit>,
    was_ready: AtomicBool,
    calls: Mutex<Calls>,
    has_ended: Condvar,
}

impl Running {
    /// A process that was just started, and where it is told what to do.
    pub(super) fn new(pid: u32, memory: Option<u64>) -> (Arc<Running>, mpsc::UnboundedReceiver<Todo>) {
        let (todo, orders) = mpsc::unbounded_channel();
        let running = Running {
            pid,
            memory,
            todo,
            fit: watch::Sender::new(Fit::Starting),
            was_ready: AtomicBool::new(false),
            calls: Mutex::default(),
            has_ended: Condvar::new(),
        };
        (Arc::new(running), orders)
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock()
    }

    pub(super) fn takes_calls(&self) -> bool {
        !self.lock().closed
    }

    pub(super) fn has_ended(&self) -> bool {
        self.lock().ended
    }

    /// Why it never took calls.
    pub(super) fn start_failure(&self) -> Option<String> {
        match &*self.fit.borrow() {
            Fit::Never(reason) if !self.was_ready.load(Ordering::Acquire) => Some(reason.clone()),
            _ => None,
        }
    }

    /// Waits until it takes calls.
    ///
    /// # Errors
    /// Why it never will.
    pub(super) async fn ready(&self) -> Result<(), String> {
        let mut fit = self.fit.subscribe();
        let found = fit.wait_for(|fit| !matches!(fit, Fit::Starting)).await;
        match found.map(|fit| fit.clone()) {
            Ok(Fit::Never(reason)) => Err(reason),
            _ => Ok(()),
        }
    }

    /// Sends a call; its answers come to what is returned. None where it takes no more.
    ///
    /// # Errors
    /// It cannot be sent.
    pub(super) fn begin(
        &self,
        id: u64,
        order: &Order,
    ) -> Result<Option<mpsc::UnboundedReceiver<Answer>>, String> {
        let frame = frame(order).map_err(|error| format!("a call cannot be sent: {error}"))?;
        let (answers, receiver) = mpsc::unbounded_channel();
        let mut calls = self.lock();
        if calls.closed {
            return Ok(None);
        }
        calls.pending.insert(id, Pending { answers, began: false });
        // Where the process has just ended, its pending calls are told so.
        let _ = self.todo.send(Todo::Send(frame));
        Ok(Some(receiver))
    }

    fn order(&self, order: &Order) {
        if let Ok(frame) = frame(order) {
            // A process that has ended needs no orders.
            let _ = self.todo.send(Todo::Send(frame));
        }
    }

    /// Breaks off a call. One that runs on for longer than `grace` costs the process.
    pub(super) fn abort(self: &Arc<Self>, id: u64, grace: Duration) {
        self.order(&Order::Abort(id));
        let running = Arc::clone(self);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            tokio::time::sleep(grace).await;
            let runs = running.lock().pending.get(&id).is_some_and(|pending| pending.began);
            if runs {
                tracing::error!(
                    pid = running.pid,
                    ?grace,
                    "a callback that was broken off goes on, in code that is not Python or that catches all: \
                     the process of all projects is ended, and what plugins have in their globals with it"
                );
                let _ = running.todo.send(Todo::Kill);
            }
        });
    }

    pub(super) fn forget(&self, worker: &str) {
        self.order(&Order::Forget(worker.to_owned()));
    }

    /// Takes no more calls; ends when those that it has are done.
    fn retire(&self) {
        let mut calls = self.lock();
        calls.closed = true;
        if calls.pending.is_empty() {
            drop(calls);
            self.order(&Order::End);
        }
    }

    /// Has it end; kills it where it has not ended after `grace`. Blocks.
    pub(super) fn end(&self, grace: Duration) {
        let mut calls = self.lock();
        calls.closed = true;
        self.order(&Order::End);
        if grace.is_zero() {
            let _ = self.todo.send(Todo::Kill);
        }
        let mut killed = grace.is_zero();
        let mut end = Instant::now() + if killed { KILLED } else { grace };
        while !calls.ended {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                if std::mem::replace(&mut killed, true) {
                    tracing::error!(
                        pid = self.pid,
                        "the process of all projects has not ended after SIGKILL"
                    );
                    return;
                }
                let _ = self.todo.send(Todo::Kill);
                end = Instant::now() + KILLED;
                continue;
            }
            self.has_ended.wait_for(&mut calls, left);
        }
    }

    /// It has said something.
    pub(super) fn hear(&self, news: News, secrets: &Secrets) {
        match news {
            News::Ready(python) => {
                self.was_ready.store(true, Ordering::Release);
                self.fit.send_replace(Fit::Ready);
                tracing::info!(pid = self.pid, python, "the process of all projects is ready");
            }
            News::Unfit(reason) => self.never(reason),
            News::Began(id) => {
                if let Some(pending) = self.lock().pending.get_mut(&id) {
                    pending.began = true;
                    // Nobody may wait for it any more.
                    let _ = pending.answers.send(Answer::Began);
                }
            }
            News::Done(id, value) => self.answer(id, Answer::Done(value)),
            News::Failed(id, failed) => self.answer(id, Answer::Failed(failed)),
            News::Secret(secret) => secrets.learner().learn(&secret),
            News::Logged(record) => {
                if let Ok(record) = serde_json::to_string(&record) {
                    tracing::info!(logger = "sgtk_eventd.record", "{record}");
                }
            }
            News::Record(record) => tracing::info!(logger = "sgtk_eventd.record", "{record}"),
        }
    }

    fn answer(&self, id: u64, answer: Answer) {
        let idle = {
            let mut calls = self.lock();
            if let Some(pending) = calls.pending.remove(&id) {
                let _ = pending.answers.send(answer);
            }
            calls.closed && calls.pending.is_empty()
        };
        if idle {
            self.order(&Order::End);
        }
        let over = |limit| resident_memory(self.pid).filter(|memory| *memory > limit);
        if let Some(memory) = self.memory.and_then(over).filter(|_| self.takes_calls()) {
            tracing::warn!(
                pid = self.pid,
                memory,
                limit = self.memory,
                "the process of all projects uses more memory than it may and is replaced"
            );
            self.retire();
        }
    }

    fn never(&self, reason: String) {
        self.lock().closed = true;
        self.fit.send_if_modified(|fit| {
            let starting = matches!(fit, Fit::Starting);
            if starting {
                *fit = Fit::Never(reason);
            }
            starting
        });
    }

    /// It has ended.
    pub(super) fn lost(&self, how: &str, output: Option<String>) {
        self.never(format!("the process of all projects has ended when it was started: it {how}"));
        let reason = self.start_failure();
        let mut calls = self.lock();
        (calls.closed, calls.ended) = (true, true);
        for (_, pending) in calls.pending.drain() {
            let (how, output) = (how.to_owned(), output.clone());
            let answer = match &reason {
                Some(reason) => Answer::NotStarted(reason.clone()),
                None => Answer::Lost { began: pending.began, how, output },
            };
            let _ = pending.answers.send(answer);
        }
        self.has_ended.notify_all();
    }
}

/// In bytes, where `/proc` exists.
fn resident_memory(pid: u32) -> Option<u64> {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
