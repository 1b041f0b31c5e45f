//! A worker process as a daemon would start it, without the daemon.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use serde_json::{Value, json};
use sgtk_host_fixtures::{Configs, Core, Python, misbehaving_plugins, pythons};
use tempfile::TempDir;

use crate::agent;

/// How long anything may take before a test fails.
const LONGEST: Duration = Duration::from_secs(300);

/// Runs a test for each Python of the machine, naming it where it fails.
pub(crate) fn under_each_python(test: impl Fn(&Python)) {
    let found = pythons();
    assert!(!found.is_empty(), "there is a Python");
    for python in found {
        println!("under Python {}.{}", python.version.0, python.version.1);
        test(python);
    }
}

/// The newest Python of the machine that the fixture cores support.
pub(crate) fn one_python() -> &'static Python {
    pythons().iter().rfind(|python| python.version <= (3, 13)).expect("there is a Python")
}

/// The daemon's ends of a worker's pipes.
pub(crate) struct Pipes {
    requests: Option<File>,
    answers: File,
    records: File,
    pub(crate) lifeline: Option<OwnedFd>,
    number: u64,
}

/// The worker's ends: standard output and error, requests, answers, records, lifeline.
pub(crate) struct TheirEnds {
    requests: OwnedFd,
    answers: OwnedFd,
    records: OwnedFd,
    lifeline: OwnedFd,
}

impl Pipes {
    pub(crate) fn new() -> (Pipes, TheirEnds) {
        let pair = || pipe_with(PipeFlags::CLOEXEC).unwrap();
        let ((requests, our_requests), (our_answers, answers)) = (pair(), pair());
        let ((our_records, records), (lifeline, our_lifeline)) = (pair(), pair());
        let ours = Pipes {
            requests: Some(our_requests.into()),
            answers: our_answers.into(),
            records: our_records.into(),
            lifeline: Some(our_lifeline),
            number: 0,
        };
        (ours, TheirEnds { requests, answers, records, lifeline })
    }

    /// Sends bytes as a frame.
    pub(crate) fn send_bytes(&mut self, body: &[u8]) {
        let mut frame = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
        frame.extend_from_slice(body);
        self.requests.as_mut().expect("open requests").write_all(&frame).unwrap();
    }

    pub(crate) fn send(&mut self, message: &Value) {
        self.send_bytes(message.to_string().as_bytes());
    }

    /// The next answer; `None` at the end of the answers.
    pub(crate) fn next(&mut self) -> Option<Value> {
        frame(&mut self.answers)
    }

    /// The next answer.
    pub(crate) fn answer(&mut self) -> Value {
        self.next().expect("the worker answers and does not end")
    }

    /// The next log record.
    pub(crate) fn record(&mut self) -> Value {
        frame(&mut self.records).expect("the worker logs and does not end")
    }

    /// Calls a function with positional arguments and returns the whole answer.
    pub(crate) fn call(&mut self, function: &str, arguments: Value) -> Value {
        self.call_with(function, arguments, json!({}))
    }

    pub(crate) fn call_with(&mut self, function: &str, arguments: Value, named: Value) -> Value {
        self.begin(function, arguments, named);
        let answer = self.answer();
        assert_eq!(answer["id"], self.number, "{answer}");
        answer
    }

    /// Sends a call and does not wait for its answer.
    pub(crate) fn begin(&mut self, function: &str, arguments: Value, named: Value) {
        self.number += 1;
        // In this order, which a map would not keep.
        let text = format!(
            r#"{{"id":{},"call":{},"args":{arguments},"kwargs":{named}}}"#,
            self.number,
            json!(function),
        );
        self.send_bytes(text.as_bytes());
    }

    /// The result of a call that has one.
    pub(crate) fn result(&mut self, function: &str, arguments: Value) -> Value {
        let mut answer = self.call(function, arguments);
        assert!(answer.get("result").is_some(), "{function}: {answer}");
        answer["result"].take()
    }

    /// The exception of a call that raises.
    pub(crate) fn error(&mut self, function: &str, arguments: Value) -> Value {
        let mut answer = self.call(function, arguments);
        assert!(answer.get("error").is_some(), "{function}: {answer}");
        answer["error"].take()
    }

    pub(crate) fn enter(&mut self, entry: Value) -> Value {
        self.send(&json!({ "enter": entry }));
        self.answer()
    }

    /// Enters no project, with the plugins that do harm.
    pub(crate) fn enter_nothing(&mut self) {
        let entered = self.enter(json!({"plugin_paths": [misbehaving_plugins()], "log_level": "DEBUG"}));
        assert_eq!(entered, json!({"entered": {}}));
    }

    pub(crate) fn close_requests(&mut self) {
        self.requests = None;
    }

    pub(crate) fn end(&mut self) {
        self.send(&json!({"end": true}));
    }
}

/// Reads a frame, within the limit.
fn frame(source: &mut File) -> Option<Value> {
    let mut length = [0; 4];
    if !fill(source, &mut length) {
        return None;
    }
    let mut body = vec![0; u32::from_le_bytes(length) as usize];
    assert!(fill(source, &mut body), "a frame comes whole");
    Some(serde_json::from_slice(&body).unwrap())
}

fn fill(source: &mut File, buffer: &mut [u8]) -> bool {
    let mut filled = 0;
    while filled < buffer.len() {
        assert!(is_readable(&*source, LONGEST), "something comes within {LONGEST:?}");
        match source.read(&mut buffer[filled..]).unwrap() {
            0 => return false,
            count => filled += count,
        }
    }
    true
}

pub(crate) fn is_readable(source: impl AsFd, limit: Duration) -> bool {
    let limit = Timespec { tv_sec: limit.as_secs().cast_signed(), tv_nsec: 0 };
    poll(&mut [PollFd::new(&source, PollFlags::IN)], Some(&limit)).unwrap() > 0
}

/// A worker that was started, not forked.
pub(crate) struct Worker {
    pub(crate) pipes: Pipes,
    pub(crate) hello: Value,
    child: Child,
    output: TempDir,
}

impl Worker {
    pub(crate) fn start(python: &Python) -> Worker {
        Self::start_with(python, None, |_| ())
    }

    /// Starts one whose command was prepared, with a socket for requests to fork.
    pub(crate) fn start_with(
        python: &Python,
        forks: Option<UnixStream>,
        prepare: impl FnOnce(&mut Command),
    ) -> Worker {
        let mut worker = Self::spawn(python, forks, prepare);
        worker.pipes.send_bytes(agent::source(None).as_bytes());
        worker.hello = worker.pipes.answer()["hello"].take();
        worker
    }

    /// Starts one that finds the daemon gone when it gets that far.
    pub(crate) fn start_orphaned(python: &Python) -> Worker {
        let mut worker = Self::spawn(python, None, |_| ());
        worker.pipes.lifeline = None;
        worker.pipes.send_bytes(agent::source(None).as_bytes());
        worker
    }

    /// A process that waits for the agent's source.
    fn spawn(python: &Python, forks: Option<UnixStream>, prepare: impl FnOnce(&mut Command)) -> Worker {
        let (pipes, theirs) = Pipes::new();
        let output = tempfile::tempdir().unwrap();
        let file = |name: &str| File::create(output.path().join(name)).unwrap();
        let mut command = Command::new(&python.executable);
        command.args(["-X", "utf8", "-I", "-S", "-c", agent::LOADER]);
        command.stdin(Stdio::null()).stdout(file("out")).stderr(file("err"));
        command.process_group(0);
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("PYTHON") {
                command.env_remove(variable);
            }
        }
        let ends = [theirs.requests, theirs.answers, theirs.records, theirs.lifeline];
        let ends = ends.into_iter().chain(forks.map(OwnedFd::from));
        let mappings = ends.zip(3..).map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd });
        command.fd_mappings(mappings.collect()).unwrap();
        prepare(&mut command);
        let child = command.spawn().unwrap();
        // Its ends of the pipes are the worker's alone from here on.
        drop(command);
        Worker { pipes, hello: Value::Null, child, output }
    }

    /// One that has entered no project, with the plugins that do harm.
    pub(crate) fn entered(python: &Python) -> Worker {
        let mut worker = Self::start(python);
        worker.pipes.enter_nothing();
        worker
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn stdout(&self) -> String {
        self.printed("out")
    }

    pub(crate) fn stderr(&self) -> String {
        self.printed("err")
    }

    fn printed(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.output.path().join(name)).unwrap()).into_owned()
    }

    /// Waits for the process to end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the worker ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Tells it to end, and waits.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        self.pipes.end();
        (self.wait(), self.stderr())
    }

    pub(crate) fn kill(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(pid_of(self.pid()), signal).unwrap();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The group, as a test may have left others in it. There is none where the worker has ended, and been
        // waited for.
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = rustix::process::kill_process_group(pid_of(self.pid()), rustix::process::Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

pub(crate) fn pid_of(number: u32) -> rustix::process::Pid {
    rustix::process::Pid::from_raw(number.cast_signed()).unwrap()
}

/// Whether a process runs; one that has ended and was not waited for does not.
pub(crate) fn runs(pid: u64) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = state.rsplit(") ").next().and_then(|rest| rest.chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

/// Waits for a condition, and fails where it does not come true.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + LONGEST;
    while !condition() {
        assert!(Instant::now() < end, "{what}, within {LONGEST:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// What `enter` needs for a localized or attached project of these configurations.
pub(crate) fn entry(configs: &Configs, project: &str, core: &Path) -> Value {
    json!({
        "project": project,
        "core_python": Configs::python(core),
        "plugin_paths": [misbehaving_plugins()],
        "current_pc": configs.config(project),
        "log_level": "DEBUG",
    })
}

/// A core that the Python supports.
pub(crate) fn core_for(python: &Python) -> Core {
    if python.version >= (3, 9) { Core::newer("v0.24.0") } else { Core::older("v0.22.5") }
}

/// A template, and the socket to it.
pub(crate) struct Template {
    pub(crate) worker: Worker,
    socket: UnixStream,
}

impl Template {
    pub(crate) fn start(python: &Python, core: &Path) -> Template {
        let (socket, theirs) = UnixStream::pair().unwrap();
        let mut worker = Worker::start_with(python, Some(theirs), |_| ());
        let request = json!({"core_python": Configs::python(core), "log_level": "INFO"});
        worker.pipes.send(&json!({ "template": request }));
        Template { worker, socket }
    }

    /// Forks a worker. Returns its process id and the daemon's ends of its pipes.
    pub(crate) fn fork(&mut self) -> (u64, Pipes) {
        use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

        let (mut pipes, theirs) = Pipes::new();
        let null = File::options().write(true).open("/dev/null").unwrap();
        let ends = [
            null.as_fd(),
            null.as_fd(),
            theirs.requests.as_fd(),
            theirs.answers.as_fd(),
            theirs.records.as_fd(),
            theirs.lifeline.as_fd(),
        ];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(6))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&ends)));
        let body = br#"{"fork":{}}"#;
        let mut frame = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
        frame.extend_from_slice(body);
        let sent =
            sendmsg(&self.socket, &[std::io::IoSlice::new(&frame)], &mut ancillary, SendFlags::empty());
        assert_eq!(sent.unwrap(), frame.len());
        drop(theirs);
        let answer = self.worker.pipes.answer();
        let pid = answer["forked"].as_u64().unwrap_or_else(|| panic!("{answer}"));
        assert_eq!(pipes.answer()["hello"]["pid"], pid);
        (pid, pipes)
    }

    pub(crate) fn send(&mut self, message: &Value) {
        let body = message.to_string();
        self.socket.write_all(&u32::try_from(body.len()).unwrap().to_le_bytes()).unwrap();
        self.socket.write_all(body.as_bytes()).unwrap();
    }

    pub(crate) fn close_socket(self) -> Worker {
        self.worker
    }
}
