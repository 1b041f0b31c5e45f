//! Starts a process with the pipes that the agent expects.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use command_fds::{CommandFdExt, FdMapping};
use rustix::fd::OwnedFd;
use rustix::process::Pid;

use super::child::{pipe, set_nonblocking};
use crate::agent;
use crate::options::Variables;

const REQUESTS: i32 = 3;
const ANSWERS: i32 = 4;
const RECORDS: i32 = 5;
const LIFELINE: i32 = 6;
const FORKS: i32 = 7;

/// The daemon's ends of the pipes that the supervisor reads.
#[derive(Debug)]
pub(super) struct Outputs {
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
    pub(super) records: OwnedFd,
    pub(super) lifeline: OwnedFd,
}

/// The daemon's ends of all pipes of one process.
#[derive(Debug)]
pub(super) struct OurEnds {
    pub(super) requests: OwnedFd,
    pub(super) answers: OwnedFd,
    pub(super) outputs: Outputs,
}

/// The process's ends, all close-on-exec.
#[derive(Debug)]
pub(super) struct TheirEnds {
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
    pub(super) requests: OwnedFd,
    pub(super) answers: OwnedFd,
    pub(super) records: OwnedFd,
    pub(super) lifeline: OwnedFd,
}

/// Makes the pipes of one process.
pub(super) fn pipes() -> io::Result<(OurEnds, TheirEnds)> {
    let (their_requests, requests) = pipe()?;
    let (answers, their_answers) = pipe()?;
    let (stdout, their_stdout) = pipe()?;
    let (stderr, their_stderr) = pipe()?;
    let (records, their_records) = pipe()?;
    let (their_lifeline, lifeline) = pipe()?;
    for end in [&requests, &answers, &stdout, &stderr, &records] {
        set_nonblocking(end)?;
    }
    let outputs = Outputs { stdout, stderr, records, lifeline };
    let theirs = TheirEnds {
        stdout: their_stdout,
        stderr: their_stderr,
        requests: their_requests,
        answers: their_answers,
        records: their_records,
        lifeline: their_lifeline,
    };
    Ok((OurEnds { requests, answers, outputs }, theirs))
}

/// Starts `python` with the agent's loader, with these variables and then those of its own. `forks` is a
/// template's socket.
pub(super) fn spawn(
    python: &Path,
    variables: &Variables,
    own: &[(String, String)],
    theirs: TheirEnds,
    forks: Option<OwnedFd>,
) -> io::Result<Pid> {
    let mut command = Command::new(python);
    command.args(["-X", "utf8", "-I", "-S", "-c", agent::LOADER]);
    command.env_clear().envs(variables.iter().map(|(name, value)| (name, value)));
    command.envs(own.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(theirs.stdout).stderr(theirs.stderr);
    // A session of its own, and so a group: no terminal to ask anybody at, and no Ctrl-C of the daemon's.
    let own_session = || rustix::process::setsid().map(drop).map_err(io::Error::from);
    // SAFETY: between `fork` and `exec` it makes a single system call, which is async-signal-safe, and
    // allocates nothing.
    unsafe { command.pre_exec(own_session) };
    let mut mappings = vec![
        FdMapping { parent_fd: theirs.requests, child_fd: REQUESTS },
        FdMapping { parent_fd: theirs.answers, child_fd: ANSWERS },
        FdMapping { parent_fd: theirs.records, child_fd: RECORDS },
        FdMapping { parent_fd: theirs.lifeline, child_fd: LIFELINE },
    ];
    mappings.extend(forks.map(|socket| FdMapping { parent_fd: socket, child_fd: FORKS }));
    command.fd_mappings(mappings).map_err(io::Error::other)?;
    let child = command.spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| io::Error::other(format!("{} is not a process id", child.id())))
}
