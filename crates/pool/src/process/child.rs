//! A process: its end, its signals, its exit status.
//!
//! The system reuses process ids, so a signal could reach an unrelated process. Two rules prevent that: a
//! process is watched through a pidfd where the system has those (Linux 5.3), and its process group gets no
//! signal once it was reaped. Only the supervisor reaps, or has a template do it.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};

use crate::options::after;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Status(i32),
    Signal(i32),
    /// The status was taken elsewhere: by the daemon's own reaper, or by the system where SIGCHLD is ignored.
    Unknown,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "ended with status {status}"),
            Self::Signal(number) => write!(f, "was killed by signal {number}{}", SignalName(*number)),
            Self::Unknown => f.write_str("ended"),
        }
    }
}

struct SignalName(i32);

impl fmt::Display for SignalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Signal::HUP, "SIGHUP"),
            (Signal::INT, "SIGINT"),
            (Signal::QUIT, "SIGQUIT"),
            (Signal::ILL, "SIGILL"),
            (Signal::ABORT, "SIGABRT"),
            (Signal::BUS, "SIGBUS"),
            (Signal::FPE, "SIGFPE"),
            (Signal::KILL, "SIGKILL"),
            (Signal::SEGV, "SIGSEGV"),
            (Signal::PIPE, "SIGPIPE"),
            (Signal::TERM, "SIGTERM"),
            (Signal::XCPU, "SIGXCPU"),
        ];
        match names.iter().find(|(signal, _)| signal.as_raw() == self.0) {
            Some((_, name)) => write!(f, " ({name})"),
            None => Ok(()),
        }
    }
}

/// A process that leads its own process group.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    descriptor: Option<OwnedFd>,
    is_child: bool,
}

impl Process {
    /// A process that was just started and not reaped. `is_child` is false for a child of a template.
    pub(crate) fn new(pid: Pid, is_child: bool) -> Self {
        Self { pid, descriptor: descriptor_of(pid), is_child }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// The pidfd, which becomes readable when the process ends.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.descriptor.as_ref().map(AsFd::as_fd)
    }

    /// Whether it has ended. Does not reap it.
    pub(crate) fn has_ended(&self) -> bool {
        match &self.descriptor {
            Some(descriptor) => is_readable(descriptor, Some(Duration::ZERO)),
            None => {
                let looking = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
                match waitid(WaitId::Pid(self.pid), looking) {
                    Ok(found) => found.is_some(),
                    // A child of a template, or one that was reaped elsewhere.
                    Err(_) => rustix::process::test_kill_process(self.pid).is_err(),
                }
            }
        }
    }

    /// Waits for the end of a process that has begun to end.
    pub(crate) fn ends_within(&self, timeout: Duration) -> bool {
        match &self.descriptor {
            Some(descriptor) => is_readable(descriptor, Some(timeout)),
            None => {
                let end = after(timeout);
                while !self.has_ended() {
                    if Instant::now() >= end {
                        return false;
                    }
                    std::thread::sleep(Duration::from_millis(2));
                }
                true
            }
        }
    }

    /// Signals its process group. To be called only before it was reaped.
    pub(crate) fn signal_group(&self, signal: Signal) {
        // There may be no group yet where the process was forked just now: signal it alone then.
        let group = rustix::process::kill_process_group(self.pid, signal);
        if group.is_err() {
            self.signal(signal);
        }
    }

    fn signal(&self, signal: Signal) {
        #[cfg(target_os = "linux")]
        if let Some(descriptor) = &self.descriptor {
            // Fails only if it has ended.
            let _ = rustix::process::pidfd_send_signal(descriptor, signal);
            return;
        }
        let _ = rustix::process::kill_process(self.pid, signal);
    }

    /// Reaps a process that has ended. `None` for a child of a template, which the template reaps.
    pub(crate) fn reap(&self) -> Option<Exit> {
        if !self.is_child {
            return None;
        }
        let which = WaitId::Pid(self.pid);
        loop {
            break match waitid(which.clone(), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
                Ok(Some(status)) => Some(match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => Exit::Status(code),
                    (None, Some(signal)) => Exit::Signal(signal),
                    (None, None) => Exit::Unknown,
                }),
                Err(rustix::io::Errno::INTR) => continue,
                Ok(None) | Err(_) => Some(Exit::Unknown),
            };
        }
    }

    /// Resident memory in bytes, where `/proc` exists.
    pub(crate) fn resident_memory(&self) -> Option<u64> {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.pid())).ok()?;
        let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
        Some(pages * rustix::param::page_size() as u64)
    }
}

#[cfg(target_os = "linux")]
fn descriptor_of(pid: Pid) -> Option<OwnedFd> {
    use rustix::process::{PidfdFlags, pidfd_open};
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(descriptor) => Some(descriptor),
        Err(error) => {
            tracing::debug!(pid = pid.as_raw_nonzero(), %error, "no pidfd: polling the process");
            None
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn descriptor_of(_: Pid) -> Option<OwnedFd> {
    None
}

/// Waits until a descriptor is readable or closed. `None` waits without a limit.
pub(crate) fn is_readable(descriptor: impl AsFd, timeout: Option<Duration>) -> bool {
    let end = timeout.map(after);
    loop {
        let left = end.map(|end| timespec(end.saturating_duration_since(Instant::now())));
        match poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], left.as_ref()) {
            Ok(ready) => return ready > 0,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

/// What `poll` accepts on every system. Callers with a longer timeout poll again.
const LONGEST_POLL: Duration = Duration::from_secs(24 * 60 * 60);

/// A timeout for `poll`.
pub(crate) fn timespec(time: Duration) -> Timespec {
    let time = time.min(LONGEST_POLL);
    Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    }
}

/// A close-on-exec pipe: the end to read from, the end to write to.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    #[cfg(target_os = "linux")]
    let ends = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    #[cfg(not(target_os = "linux"))]
    let ends = {
        let ends = rustix::pipe::pipe()?;
        rustix::io::fcntl_setfd(&ends.0, rustix::io::FdFlags::CLOEXEC)?;
        rustix::io::fcntl_setfd(&ends.1, rustix::io::FdFlags::CLOEXEC)?;
        ends
    };
    Ok(ends)
}

/// Makes reads and writes of this descriptor non-blocking.
pub(crate) fn set_nonblocking(end: &OwnedFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(end)?;
    Ok(rustix::fs::fcntl_setfl(end, flags | rustix::fs::OFlags::NONBLOCK)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    /// A sleeping process, with and without a pidfd.
    #[expect(clippy::zombie_processes, reason = "the tests reap it themselves")]
    fn sleepers() -> impl Iterator<Item = Process> {
        [true, false].into_iter().map(|has_descriptor| {
            let child = Command::new("sleep").arg("600").process_group(0).spawn().unwrap();
            let mut process = Process::new(Pid::from_child(&child), true);
            process.descriptor = process.descriptor.filter(|_| has_descriptor);
            process
        })
    }

    #[test]
    fn an_end_is_seen_and_its_status_taken_with_a_descriptor_and_without() {
        for process in sleepers() {
            assert!(!process.has_ended());
            assert!(!process.ends_within(Duration::from_millis(1)));
            process.signal_group(Signal::KILL);
            assert!(process.ends_within(LONG) && process.has_ended());
            assert_eq!(process.reap(), Some(Exit::Signal(9)));
            // There is no second status.
            assert_eq!(process.reap(), Some(Exit::Unknown));
        }
    }

    #[test]
    fn an_exit_is_described_in_words() {
        assert_eq!(Exit::Status(3).to_string(), "ended with status 3");
        assert_eq!(Exit::Signal(11).to_string(), "was killed by signal 11 (SIGSEGV)");
        assert_eq!(Exit::Signal(63).to_string(), "was killed by signal 63");
    }
}
