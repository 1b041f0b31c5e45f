//! Starts a process of the projects, and carries what is said to it and what comes from it.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process_group};
use sgtk_config::keys::Secrets;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf, pipe};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use super::output::{Output, WHOLE};
use super::running::{Running, Todo};
use super::wire::{COMMAND, Received, Setup, frame};

/// Starts a process.
///
/// # Errors
/// The system's.
pub(super) fn start(setup: &Setup, memory: Option<u64>) -> io::Result<Arc<Running>> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    // The very same program, also where its file was replaced meanwhile.
    let program = if cfg!(target_os = "linux") { "/proc/self/exe".into() } else { std::env::current_exe()? };
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
    let first = frame(setup)?;
    let (running, orders) = Running::new(pid, memory);
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
        // It writes no more.
        while self.read_some().1 {}
        for output in &mut self.outputs {
            output.finish(self.running.pid(), &mut self.tail);
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
        if let Some(group) = i32::try_from(self.running.pid()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    /// Reads what has come: outputs first, then what the process says, and only then tells the lines, so that
    /// a key is known before a line that shows it. False where the process says no more.
    fn read(&mut self) -> bool {
        self.read_some().0
    }

    /// The same, and whether there may be more already: who never stops talking keeps nobody waiting.
    fn read_some(&mut self) -> (bool, bool) {
        for output in &mut self.outputs {
            output.read();
        }
        let (mut goes_on, mut more) = (true, true);
        let mut buffer = [0; 64 * 1024];
        for _ in 0..WHOLE {
            match self.socket.try_read(&mut buffer) {
                Ok(0) => goes_on = false,
                Ok(count) => {
                    self.received.add(buffer.get(..count).unwrap_or_default());
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => goes_on = false,
            }
            more = false;
            break;
        }
        match self.received.take() {
            Ok(news) => news.into_iter().for_each(|news| self.running.hear(news, &self.secrets)),
            Err(error) => {
                tracing::error!(pid = self.running.pid(), %error, "the process of all projects says \
                     something else than it should, and is ended");
                (goes_on, more) = (false, false);
                self.kill();
            }
        }
        for output in &mut self.outputs {
            output.tell(self.running.pid(), &mut self.tail);
        }
        (goes_on, more)
    }
}

/// How it has ended.
fn ended(status: ExitStatus) -> String {
    match status.signal() {
        Some(_) => format!("was ended by {}", status.to_string().trim_start_matches("signal: ")),
        None => format!("has ended with {status}"),
    }
}
