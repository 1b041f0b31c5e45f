//! One process of the projects: what is sent to it, and what comes from it.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::value::RawValue;
use sgtk_config::keys::{Secrets, redacted};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};

use super::COMMAND;
use super::wire::{Failed, News, Order, Received, Setup, frame};

/// A line with more bytes than this is told in parts.
const LONGEST: usize = 16 * 1024;

/// How many reads empty a pipe, as large as a user may make one.
const WHOLE: usize = 16;

/// How many of the last lines of output an error shows.
const REMEMBERED: usize = 20;

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

#[derive(Debug)]
enum Todo {
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
    /// Starts a process.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn start(setup: &Setup, memory: Option<u64>) -> io::Result<Arc<Running>> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        // The very same program, also where its file was replaced meanwhile.
        let program =
            if cfg!(target_os = "linux") { "/proc/self/exe".into() } else { std::env::current_exe()? };
        let mut command = Command::new(program);
        command
            .arg0("sgtk-eventd")
            .arg(COMMAND)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        let pid = child.id().ok_or_else(|| io::Error::other("it has no process id"))?;
        let output = |pipe: Option<io::Result<OwnedFd>>| {
            let pipe = pipe.ok_or_else(|| io::Error::other("it has no output"))??;
            pipe::Receiver::from_owned_fd(pipe)
        };
        let out = Output::new(output(child.stdout.take().map(|out| out.into_owned_fd()))?, false);
        let error = Output::new(output(child.stderr.take().map(|error| error.into_owned_fd()))?, true);
        let (socket, writer) = UnixStream::from_std(ours)?.into_split();
        let (todo, orders) = mpsc::unbounded_channel();
        let first = frame(setup)?;
        let running = Arc::new(Running {
            pid,
            memory,
            todo,
            fit: watch::Sender::new(Fit::Starting),
            was_ready: AtomicBool::new(false),
            calls: Mutex::default(),
            has_ended: Condvar::new(),
        });
        let (frames, sent) = mpsc::unbounded_channel();
        // Whoever receives them lives as long as the process.
        let _ = frames.send(first);
        tokio::spawn(write(writer, sent));
        let link = Link {
            running: Arc::clone(&running),
            child,
            orders,
            frames,
            socket,
            received: Received::default(),
            outputs: [out, error],
            tail: VecDeque::new(),
            secrets: Secrets::in_use([]),
        };
        tokio::spawn(link.run());
        Ok(running)
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
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
        let end = Instant::now() + grace.max(Duration::from_millis(1));
        let mut killed = grace.is_zero();
        while !calls.ended {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() && !std::mem::replace(&mut killed, true) {
                let _ = self.todo.send(Todo::Kill);
            }
            let wait = if killed { Duration::from_secs(1) } else { left };
            calls = self.has_ended.wait_timeout(calls, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn hear(&self, news: News, secrets: &Secrets) {
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
    fn lost(&self, how: &str, output: Option<String>) {
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

async fn write(mut to: OwnedWriteHalf, mut frames: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(frame) = frames.recv().await {
        if to.write_all(&frame).await.is_err() {
            // It has ended, which the link tells.
            return;
        }
    }
}

/// What comes from a process.
struct Link {
    running: Arc<Running>,
    child: Child,
    orders: mpsc::UnboundedReceiver<Todo>,
    frames: mpsc::UnboundedSender<Vec<u8>>,
    socket: OwnedReadHalf,
    received: Received,
    outputs: [Output; 2],
    tail: VecDeque<String>,
    /// Keys that have come up there.
    secrets: Secrets,
}

impl Link {
    async fn run(mut self) {
        let status = loop {
            let [out, error] = &self.outputs;
            // What it says first: where nothing more can come it is not reaped yet, so that its group is
            // nobody else's.
            tokio::select! {
                biased;
                Some(todo) = self.orders.recv() => match todo {
                    Todo::Send(frame) => drop(self.frames.send(frame)),
                    Todo::Kill => self.kill(),
                },
                _ = self.socket.readable() => if !self.read() {
                    self.kill_group();
                    break self.child.wait().await;
                },
                () = out.readable(), if out.is_open => drop(self.read()),
                () = error.readable(), if error.is_open => drop(self.read()),
                status = self.child.wait() => break status,
            }
        };
        // Whatever its plugins have started.
        self.kill_group();
        self.read();
        for output in &mut self.outputs {
            output.finish(self.running.pid, &mut self.tail);
        }
        let how = match status {
            Ok(status) => ended(status),
            Err(error) => format!("cannot be waited for: {error}"),
        };
        let output: Vec<_> = self.tail.iter().map(String::as_str).collect();
        self.running.lost(&how, (!output.is_empty()).then(|| output.join("\n")));
    }

    fn kill(&mut self) {
        self.kill_group();
        // It has ended by itself.
        let _ = self.child.start_kill();
    }

    fn kill_group(&self) {
        if let Some(group) = i32::try_from(self.running.pid).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    /// Reads what has come: outputs first, then what the process says, and only then tells the lines, so that
    /// a key is known before a line that shows it. False where the process says no more.
    fn read(&mut self) -> bool {
        for output in &mut self.outputs {
            output.read();
        }
        let mut goes_on = true;
        let mut buffer = [0; 64 * 1024];
        loop {
            match self.socket.try_read(&mut buffer) {
                Ok(0) => goes_on = false,
                Ok(count) => {
                    self.received.add(buffer.get(..count).unwrap_or_default());
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => goes_on = false,
            }
            break;
        }
        match self.received.take() {
            Ok(news) => news.into_iter().for_each(|news| self.running.hear(news, &self.secrets)),
            Err(error) => {
                tracing::error!(pid = self.running.pid, %error, "the process of all projects says something else than it should, and is ended");
                goes_on = false;
                self.kill();
            }
        }
        for output in &mut self.outputs {
            output.tell(self.running.pid, &mut self.tail);
        }
        goes_on
    }
}

/// How it has ended.
fn ended(status: ExitStatus) -> String {
    match status.signal() {
        Some(_) => format!("was ended by {}", status.to_string().trim_start_matches("signal: ")),
        None => format!("has ended with {status}"),
    }
}

/// In bytes, where `/proc` exists.
fn resident_memory(pid: u32) -> Option<u64> {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// One of the standard outputs.
struct Output {
    pipe: pipe::Receiver,
    is_error: bool,
    is_open: bool,
    bytes: Vec<u8>,
}

impl Output {
    fn new(pipe: pipe::Receiver, is_error: bool) -> Output {
        Output { pipe, is_error, is_open: true, bytes: Vec::new() }
    }

    async fn readable(&self) {
        // What is wrong with it is found by reading.
        let _ = self.pipe.readable().await;
    }

    /// Reads what is there, up to as much as a pipe holds: who never stops printing keeps nobody waiting.
    fn read(&mut self) {
        let mut buffer = [0; 64 * 1024];
        match self.pipe.try_read(&mut buffer) {
            Ok(0) => self.is_open = false,
            Ok(count) => self.bytes.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.is_open = false,
        }
    }

    /// Tells the lines that are complete.
    fn tell(&mut self, pid: u32, tail: &mut VecDeque<String>) {
        loop {
            let end = self.bytes.iter().take(LONGEST).position(|byte| *byte == b'\n');
            let Some(end) = end.or_else(|| (self.bytes.len() > LONGEST).then_some(LONGEST)) else { return };
            let line: Vec<u8> = self.bytes.drain(..end).collect();
            if self.bytes.first() == Some(&b'\n') {
                self.bytes.remove(0);
            }
            self.tell_line(&line, pid, tail);
        }
    }

    /// Tells a last line without an end.
    fn finish(&mut self, pid: u32, tail: &mut VecDeque<String>) {
        for _ in 0..WHOLE {
            self.read();
        }
        self.tell(pid, tail);
        let line = std::mem::take(&mut self.bytes);
        if !line.is_empty() {
            self.tell_line(&line, pid, tail);
        }
    }

    fn tell_line(&self, line: &[u8], pid: u32, tail: &mut VecDeque<String>) {
        let line = String::from_utf8_lossy(line);
        let line = redacted(line.trim_end_matches('\r'));
        if tail.len() == REMEMBERED {
            tail.pop_front();
        }
        tail.push_back(line.chars().take(500).collect());
        if self.is_error {
            tracing::warn!(pid, stream = "stderr", "{line}");
        } else {
            tracing::info!(pid, stream = "stdout", "{line}");
        }
    }
}
