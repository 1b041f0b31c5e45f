//! The conversation with one worker. Talking to it takes its [`Link`], of which there is one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;

use super::child::timespec;
use super::spin::{Spin, Waiting};
use super::worker::Worker;
use crate::wire::{END, Frame, Received, encode_text};

/// How long a process may take to end after it has closed its pipe, before it counts as alive with a closed
/// pipe.
const DYING: Duration = Duration::from_secs(2);

/// How often a process without a pidfd is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How long a message of the agent's own may be, in bytes, whatever the limit on results. The agent has the
/// same limit.
const LONGEST_OWN: usize = 4 << 20;

/// What the pipes hold once a frame was larger than a pipe usually is: the most that Linux lets everybody
/// have.
const WIDE: usize = 1 << 20;

/// The usual capacity of a pipe, in bytes.
const NARROW: usize = 64 << 10;

/// The two pipes to a worker.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) worker: Arc<Worker>,
    requests: OwnedFd,
    answers: OwnedFd,
    received: Received,
    max_frame: usize,
    is_wide: bool,
    spin: Spin,
}

/// Why a conversation cannot continue.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The deadline has passed.
    TimedOut,
    /// The process has ended.
    Ended,
    /// The process is alive and broke the protocol: how, for a sentence that begins with "it".
    Protocol(String),
}

impl Link {
    /// `requests` and `answers` are the daemon's ends, which must be non-blocking.
    pub(super) fn new(worker: Arc<Worker>, requests: OwnedFd, answers: OwnedFd, max_frame: usize) -> Self {
        let received = Received::default();
        Self { worker, requests, answers, received, max_frame, is_wide: false, spin: Spin::default() }
    }

    /// Has the pipes hold more, as each time that one is full costs two switches between the processes.
    /// Memory is taken for what lies in a pipe only. A user may have so many bytes in pipes: where there are
    /// none left, the pipes stay as they are.
    fn widen(&mut self, size: usize) {
        if size > NARROW && !self.is_wide {
            self.is_wide = true;
            for pipe in [&self.requests, &self.answers] {
                #[cfg(target_os = "linux")]
                let _ = rustix::pipe::fcntl_setpipe_size(pipe, WIDE);
                #[cfg(not(target_os = "linux"))]
                let _ = pipe;
            }
        }
    }

    /// Asks the worker to end. Returns `false` if its pipe is full or closed.
    pub(super) fn ask_to_end(&mut self) -> bool {
        let frame = encode_text(END);
        self.begin(&frame) == frame.len()
    }

    /// Writes as much of a frame as the pipe takes now, and returns how many bytes that were. An error of the
    /// pipe is left to [`exchange`](Self::exchange).
    pub(crate) fn begin(&mut self, frame: &[u8]) -> usize {
        self.widen(frame.len());
        rustix::io::write(&self.requests, frame).unwrap_or(0)
    }

    /// Sends the rest of a frame, of which `sent` bytes were written before, and returns the next frame that
    /// comes back.
    ///
    /// Reads while it writes: if both sides had more to write than a pipe holds, they would wait for each
    /// other.
    pub(crate) fn exchange(
        &mut self,
        frame: &[u8],
        sent: &mut usize,
        deadline: Option<Instant>,
    ) -> Result<Frame, Fault> {
        if *sent == 0 && !self.received.is_empty() {
            return Err(Fault::Protocol("sent a frame without a request".to_owned()));
        }
        self.widen(frame.len());
        let mut looks = true;
        let waiting = Waiting::begin();
        loop {
            let rest = frame.get(*sent..).unwrap_or_default();
            let mut wanted = PollFlags::empty();
            if !rest.is_empty() {
                match rustix::io::write(&self.requests, rest) {
                    Ok(written) => {
                        *sent += written;
                        continue;
                    }
                    Err(Errno::INTR) => continue,
                    Err(Errno::AGAIN) => wanted = PollFlags::OUT,
                    // It has closed its end, most likely by ending. What it wrote before is read first.
                    Err(Errno::PIPE) => {}
                    Err(error) => return Err(Fault::Protocol(format!("cannot be written to: {error}"))),
                }
            }
            if let Some(frame) = self.next_frame()? {
                return Ok(frame);
            }
            if std::mem::take(&mut looks) && wanted.is_empty() && self.look(&waiting) {
                continue;
            }
            self.wait(wanted, deadline)?;
        }
    }

    /// Looks for an answer without sleeping. What else there is than bytes is left to
    /// [`wait`](Self::wait).
    fn look(&mut self, waiting: &Waiting) -> bool {
        let Self { spin, received, answers, .. } = self;
        spin.look(waiting, || matches!(received.read_from(&*answers), Ok(1..)))
    }

    /// Sends a frame that has no answer of its own.
    pub(crate) fn send(&mut self, frame: &[u8], deadline: Option<Instant>) -> Result<(), Fault> {
        let mut sent = 0;
        while let Some(rest @ [_, ..]) = frame.get(sent..) {
            match rustix::io::write(&self.requests, rest) {
                Ok(written) => sent += written,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait(PollFlags::OUT, deadline)?,
                Err(Errno::PIPE) if self.worker.process.ends_within(DYING) => return Err(Fault::Ended),
                Err(error) => return Err(Fault::Protocol(format!("cannot be written to: {error}"))),
            }
        }
        Ok(())
    }

    /// Waits for the next frame.
    pub(crate) fn read(&mut self, deadline: Option<Instant>) -> Result<Frame, Fault> {
        loop {
            if let Some(frame) = self.next_frame()? {
                return Ok(frame);
            }
            self.wait(PollFlags::empty(), deadline)?;
        }
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, Fault> {
        let limit = self.max_frame.max(LONGEST_OWN);
        self.widen(self.received.wanted());
        self.received.next(limit).map_err(|too_large| {
            let size = too_large.0;
            Fault::Protocol(format!("sent {size} bytes at once or an invalid frame: the limit is {limit}"))
        })
    }

    /// Waits until there is something to read, which it reads, or until more can be written if `wanted` says
    /// so.
    fn wait(&mut self, wanted: PollFlags, deadline: Option<Instant>) -> Result<(), Fault> {
        let left = match deadline {
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(Fault::TimedOut);
                }
                Some(left)
            }
            None => None,
        };
        let process = self.worker.process.descriptor();
        let interval = process.is_none().then_some(POLL_INTERVAL);
        let left = left.into_iter().chain(interval).min().map(timespec);
        let answers = PollFd::new(&self.answers, PollFlags::IN);
        let requests = PollFd::new(&self.requests, wanted);
        let ready = match process {
            // The common case: nothing to write, and a pidfd.
            Some(process) if wanted.is_empty() => {
                let mut all = [answers, PollFd::from_borrowed_fd(process, PollFlags::IN)];
                poll(&mut all, left.as_ref()).map(|_| {
                    let [answers, process] = all;
                    (!answers.revents().is_empty(), !process.revents().is_empty())
                })
            }
            Some(process) => {
                let mut all = [answers, PollFd::from_borrowed_fd(process, PollFlags::IN), requests];
                poll(&mut all, left.as_ref()).map(|_| {
                    let [answers, process, _] = all;
                    (!answers.revents().is_empty(), !process.revents().is_empty())
                })
            }
            None => {
                let mut all = [answers, requests];
                let count = if wanted.is_empty() { 1 } else { 2 };
                let (polled, _) = all.split_at_mut(count);
                poll(polled, left.as_ref()).map(|ready| {
                    let [answers, _] = all;
                    (!answers.revents().is_empty(), ready == 0 && self.worker.process.has_ended())
                })
            }
        };
        match ready {
            Ok((true, _)) => self.receive(),
            Ok((false, true)) => self.receive_last(),
            Ok((false, false)) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(Fault::Protocol(format!("cannot be polled: {error}"))),
        }
    }

    /// Reads what it wrote between the last read and its end.
    fn receive_last(&mut self) -> Result<(), Fault> {
        match self.received.read_from(&self.answers) {
            Ok(1..) => Ok(()),
            _ => Err(Fault::Ended),
        }
    }

    fn receive(&mut self) -> Result<(), Fault> {
        match self.received.read_from(&self.answers) {
            Ok(0) if self.worker.process.ends_within(DYING) => Err(Fault::Ended),
            Ok(0) => Err(Fault::Protocol("closed its pipe for answers and is still alive".to_owned())),
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(error) => Err(Fault::Protocol(format!("cannot be read from: {error}"))),
        }
    }
}
