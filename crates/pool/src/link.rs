//! The conversation with one worker. Whoever holds the [`Link`] may talk; there is one for each worker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;

use super::capacity::Permit;
use super::process::timespec;
use super::wire::{Frame, Received};
use super::worker::Worker;
use sgtk_config::Fingerprint;

/// How long a process whose pipe has closed may take to end, before it counts as one that closed its pipe and lives.
const DYING: Duration = Duration::from_secs(2);

/// How often a process without a descriptor is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// How long a message of the agent's own may be, whatever the limit on results is, which the agent keeps itself.
const OWN: usize = 4 << 20;

/// The two pipes to a worker, and what is remembered between calls.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) worker: Arc<Worker>,
    requests: OwnedFd,
    answers: OwnedFd,
    received: Received,
    max_frame: usize,
    /// Calls that were answered.
    pub(super) calls: u64,
    /// When it last had nothing to do, or began to have.
    pub(super) since: Instant,
    /// When its memory was looked at.
    pub(super) weighed: Instant,
    /// When its core's files were looked at, and what they were when it was entered.
    pub(super) verified: Instant,
    pub(super) fingerprint: Option<Fingerprint>,
    /// Leave for the process to be; given to another slot with the end of this.
    permit: Option<Permit>,
}

/// Why a conversation cannot go on.
#[derive(Debug)]
pub(super) enum Fault {
    /// The time was up.
    Deadline,
    /// The process has ended.
    Ended,
    /// The process lives and cannot be talked to: why.
    Nonsense(String),
}

impl Link {
    /// The daemon's ends of the pipes, which must not wait.
    pub(super) fn new(
        worker: Arc<Worker>,
        requests: OwnedFd,
        answers: OwnedFd,
        max_frame: usize,
        permit: Option<Permit>,
    ) -> Self {
        let now = Instant::now();
        Self {
            worker,
            requests,
            answers,
            received: Received::default(),
            max_frame,
            calls: 0,
            since: now,
            weighed: now,
            verified: now,
            fingerprint: None,
            permit,
        }
    }

    /// Says that the worker is about to end, so that no other one has to for a slot that waits.
    pub(super) fn is_ending(&mut self) {
        if let Some(permit) = &mut self.permit {
            permit.is_ending();
        }
    }

    /// Writes as much of a frame as the pipe takes now. What is wrong with the pipe is found out by
    /// [`exchange`](Self::exchange).
    pub(super) fn begin(&mut self, frame: &[u8]) -> usize {
        rustix::io::write(&self.requests, frame).unwrap_or(0)
    }

    /// Sends the rest of a frame, of which `sent` bytes are on their way, and gives the next frame that comes back.
    ///
    /// Reads while it writes: where both sides have more to say than a pipe takes they would wait for each other.
    pub(super) fn exchange(
        &mut self,
        frame: &[u8],
        sent: &mut usize,
        deadline: Option<Instant>,
    ) -> Result<Frame, Fault> {
        if *sent == 0 && !self.received.is_empty() {
            return Err(Fault::Nonsense("it sent something without being asked".to_owned()));
        }
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
                    // It has closed its end, by ending most likely. What it said before is read first.
                    Err(Errno::PIPE) => {}
                    Err(error) => return Err(Fault::Nonsense(format!("writing to it failed: {error}"))),
                }
            }
            if let Some(frame) = self.take()? {
                return Ok(frame);
            }
            self.wait(wanted, deadline)?;
        }
    }

    /// Sends a frame to which nothing comes back but what [`read`](Self::read) waits for.
    pub(super) fn send(&mut self, frame: &[u8], deadline: Option<Instant>) -> Result<(), Fault> {
        let mut sent = 0;
        while let Some(rest @ [_, ..]) = frame.get(sent..) {
            match rustix::io::write(&self.requests, rest) {
                Ok(written) => sent += written,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait(PollFlags::OUT, deadline)?,
                Err(Errno::PIPE) if self.worker.process.ends_within(DYING) => return Err(Fault::Ended),
                Err(error) => return Err(Fault::Nonsense(format!("writing to it failed: {error}"))),
            }
        }
        Ok(())
    }

    /// The next frame.
    pub(super) fn read(&mut self, deadline: Option<Instant>) -> Result<Frame, Fault> {
        self.exchange(&[], &mut usize::MAX.clone(), deadline)
    }

    fn take(&mut self) -> Result<Option<Frame>, Fault> {
        let limit = self.max_frame.max(OWN);
        self.received.next(limit).map_err(|too_large| {
            Fault::Nonsense(format!(
                "it sent {} bytes at once, or no frame at all, where {limit} is the limit",
                too_large.0
            ))
        })
    }

    /// Waits until something can be read, which it then reads, or until more can be written, where that is wanted.
    fn wait(&mut self, wanted: PollFlags, deadline: Option<Instant>) -> Result<(), Fault> {
        let left = match deadline {
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(Fault::Deadline);
                }
                Some(left)
            }
            None => None,
        };
        let process = self.worker.process.descriptor();
        let look = process.is_none().then_some(LOOK);
        let left = left.into_iter().chain(look).min().map(timespec);
        let answers = PollFd::new(&self.answers, PollFlags::IN);
        let requests = PollFd::new(&self.requests, wanted);
        let ready = match process {
            // The common case first: nothing to write, and a descriptor to see the end by.
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
            Err(error) => Err(Fault::Nonsense(format!("waiting for it failed: {error}"))),
        }
    }

    /// What it has said between the look at its answers and the look at its life.
    fn receive_last(&mut self) -> Result<(), Fault> {
        match self.received.read_from(&self.answers) {
            Ok(1..) => Ok(()),
            _ => Err(Fault::Ended),
        }
    }

    fn receive(&mut self) -> Result<(), Fault> {
        match self.received.read_from(&self.answers) {
            Ok(0) if self.worker.process.ends_within(DYING) => Err(Fault::Ended),
            Ok(0) => Err(Fault::Nonsense("it closed its end of the answers and lives on".to_owned())),
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(error) => Err(Fault::Nonsense(format!("reading from it failed: {error}"))),
        }
    }
}
