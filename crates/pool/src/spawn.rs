//! Starts a process with the descriptors that an agent expects.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use command_fds::{CommandFdExt, FdMapping};
use rustix::fd::OwnedFd;
use rustix::process::Pid;

use super::agent;
use super::builder::Variables;
use super::process::{never_wait, pipe};
use super::watched::Pipes;

const REQUESTS: i32 = 3;
const ANSWERS: i32 = 4;
const RECORDS: i32 = 5;
const LIFELINE: i32 = 6;
const FORKS: i32 = 7;

/// The daemon's ends of all pipes of one process.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) requests: OwnedFd,
    pub(super) answers: OwnedFd,
    pub(super) pipes: Pipes,
}

/// The process's ends, all of them closed on `exec`.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
    pub(super) requests: OwnedFd,
    pub(super) answers: OwnedFd,
    pub(super) records: OwnedFd,
    pub(super) lifeline: OwnedFd,
}

/// Makes the pipes of one process.
pub(super) fn pipes() -> io::Result<(Ends, Given)> {
    let (given_requests, requests) = pipe()?;
    let (answers, given_answers) = pipe()?;
    let (stdout, given_stdout) = pipe()?;
    let (stderr, given_stderr) = pipe()?;
    let (records, given_records) = pipe()?;
    let (given_lifeline, lifeline) = pipe()?;
    for end in [&requests, &answers, &stdout, &stderr, &records] {
        never_wait(end)?;
    }
    let pipes = Pipes { stdout, stderr, records, lifeline };
    let given = Given {
        stdout: given_stdout,
        stderr: given_stderr,
        requests: given_requests,
        answers: given_answers,
        records: given_records,
        lifeline: given_lifeline,
    };
    Ok((Ends { requests, answers, pipes }, given))
}

/// Starts `python` with the agent's loader. `forks` is a template's socket.
pub(super) fn spawn(
    python: &Path,
    variables: &Variables,
    given: Given,
    forks: Option<OwnedFd>,
) -> io::Result<Pid> {
    let mut command = Command::new(python);
    command.args(["-X", "utf8", "-I", "-S", "-c", agent::LOADER]);
    command.env_clear().envs(variables.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(given.stdout).stderr(given.stderr);
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut mappings = vec![
        FdMapping { parent_fd: given.requests, child_fd: REQUESTS },
        FdMapping { parent_fd: given.answers, child_fd: ANSWERS },
        FdMapping { parent_fd: given.records, child_fd: RECORDS },
        FdMapping { parent_fd: given.lifeline, child_fd: LIFELINE },
    ];
    mappings.extend(forks.map(|socket| FdMapping { parent_fd: socket, child_fd: FORKS }));
    command.fd_mappings(mappings).map_err(io::Error::other)?;
    let child = command.spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| io::Error::other(format!("{} is no process id", child.id())))
}
