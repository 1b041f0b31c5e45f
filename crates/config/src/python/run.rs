//! Runs a program for what it writes, under a limit that holds whatever the program does.

use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// More bytes than an answer or an error's text needs; a program that writes on and on finds the pipe closed.
const MOST: u64 = 4096;
const POLL: Duration = Duration::from_millis(2);

/// What a program that ended has left.
pub struct Outcome {
    /// `None` where the process ignores SIGCHLD, so that the system keeps no status.
    pub status: Option<ExitStatus>,
    /// The beginning of what it wrote to standard output.
    pub stdout: String,
    /// The beginning of what it wrote to standard error.
    pub stderr: String,
}

/// Runs `command` without standard input. `None` when the limit is over first; the program is killed then.
///
/// # Errors
/// When the program cannot be run.
pub fn run(mut command: Command, limit: Duration) -> io::Result<Option<Outcome>> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // In a group of its own, so that what a launcher's script started dies with it.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);

    // On a thread of its own, as on a dead network drive even the spawning may never come back.
    let (sender, receiver) = mpsc::channel();
    let abandoned = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&abandoned);
    thread::Builder::new().name("python-check".to_owned()).spawn(move || {
        // Nobody listens any more when the limit was over.
        let _ = sender.send(attend(command, &seen));
    })?;
    match receiver.recv_timeout(limit) {
        Ok(outcome) => outcome,
        Err(RecvTimeoutError::Timeout) => {
            abandoned.store(true, Ordering::Release);
            Ok(None)
        }
        Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("the thread that ran it panicked")),
    }
}

/// Spawns and reaps on one thread, so that nobody kills a process id that was given to another meanwhile.
fn attend(mut command: Command, abandoned: &AtomicBool) -> io::Result<Option<Outcome>> {
    let mut running = Abandonable { child: command.spawn()?, reaped: false };
    let stdout = drain(running.child.stdout.take())?;
    let stderr = drain(running.child.stderr.take())?;
    let status = loop {
        // Its status is not asked for before its pipes are closed: until then the group can be killed safely.
        if stdout.is_finished() && stderr.is_finished() {
            let ended = running.child.try_wait();
            running.reaped = !matches!(ended, Ok(None));
            if running.reaped {
                break ended.ok().flatten();
            }
        }
        if abandoned.load(Ordering::Acquire) {
            return Ok(None);
        }
        thread::sleep(POLL);
    };
    Ok(Some(Outcome { status, stdout: text(stdout), stderr: text(stderr) }))
}

/// A child that does not outlive the interest in it.
struct Abandonable {
    child: Child,
    reaped: bool,
}

impl Drop for Abandonable {
    fn drop(&mut self) {
        if self.reaped {
            return;
        }
        // The child leads this group and was not reaped, so the number is not another's.
        #[cfg(unix)]
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        // Both fail only where it has ended meanwhile.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> io::Result<JoinHandle<Vec<u8>>> {
    thread::Builder::new().name("python-check".to_owned()).spawn(move || {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            // What was read before an error is what there is.
            let _ = pipe.take(MOST).read_to_end(&mut bytes);
        }
        bytes
    })
}

fn text(reader: JoinHandle<Vec<u8>>) -> String {
    String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned()
}
