//! A studio with a daemon, for tests.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sgtk_host_fixtures::{Configs, Core, Site, missing};

/// How long something that is to happen is waited for.
const LONG: Duration = Duration::from_secs(90);

/// The Python with the client in it, or a note that there is none.
pub(crate) fn python() -> Option<PathBuf> {
    let python = std::env::var_os("SGTK_HOST_CLIENT_PYTHON");
    if python.is_none() {
        missing("SGTK_HOST_CLIENT_PYTHON names no Python with the real shotgun_api3");
    }
    python.map(PathBuf::from)
}

/// What every plugin of these tests begins with: `done(text)` appends a line to the studio's record.
const PRELUDE: &str = "
import os

def done(*words):
    with open(os.environ['EVENTD_RECORD'], 'a') as file:
        file.write(' '.join(str(word) for word in words) + '\\n')

";

/// What keeps the plugins of projects apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isolation {
    Workers,
    #[cfg(feature = "embedded")]
    InProcess,
}

/// Tests of plugins of projects, each over what keeps them apart: workers and, with the feature `embedded`,
/// one process. A test is a function of a studio and of which it is.
macro_rules! over_both {
    ($($name:ident),* $(,)?) => {
        mod workers {
            $(#[test] fn $name() {
                if let Some(studio) = $crate::daemon::Studio::over($crate::daemon::Isolation::Workers) {
                    super::$name(studio);
                }
            })*
        }
        #[cfg(feature = "embedded")]
        mod in_process {
            $(#[test] fn $name() {
                if let Some(studio) = $crate::daemon::Studio::over($crate::daemon::Isolation::InProcess) {
                    super::$name(studio);
                }
            })*
        }
    };
}
pub(crate) use over_both;

/// A site, folders for plugins and configurations, and a configuration file; no daemon yet.
pub(crate) struct Studio {
    pub(crate) site: Site,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) configs: Configs,
    /// Lines by section, beside those that every file has.
    more: Vec<(&'static str, String)>,
    variables: Vec<(&'static str, PathBuf)>,
    python: PathBuf,
    pub(crate) isolation: Isolation,
}

/// A daemon that runs. It is killed when this value goes.
pub(crate) struct Daemon {
    child: Child,
}

impl Studio {
    pub(crate) fn new(python: PathBuf) -> Studio {
        let site = Site::start().unwrap();
        site.script_user("daemon", "a-daemons-key").unwrap();
        site.script_user("plugin", "a-plugins-key").unwrap();
        site.project(176, "bunny").unwrap();
        site.project(177, "sintel").unwrap();
        site.events(&[json!({ "event_type": "Before_Everything" })]).unwrap();
        let folder = tempfile::Builder::new().prefix("eventd-").tempdir().unwrap();
        for name in ["plugins", "project_plugins", "logs"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Studio {
            site,
            folder,
            configs: Configs::new().unwrap(),
            more: Vec::new(),
            variables: Vec::new(),
            python,
            isolation: Isolation::Workers,
        }
    }

    /// A studio whose projects are kept apart like this; none where there is no client.
    pub(crate) fn over(isolation: Isolation) -> Option<Studio> {
        let mut studio = Studio::new(python()?);
        studio.isolation = isolation;
        let name = match isolation {
            Isolation::Workers => "workers",
            #[cfg(feature = "embedded")]
            Isolation::InProcess => "in-process",
        };
        studio.set("sgtk", &format!("isolation: {name}"));
        Some(studio)
    }

    /// The Python with the client in it.
    #[cfg(any(feature = "embedded", feature = "nats"))]
    pub(crate) fn python(&self) -> &Path {
        &self.python
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A line of a section.
    pub(crate) fn set(&mut self, section: &'static str, line: &str) -> &mut Studio {
        self.more.push((section, line.to_owned()));
        self
    }

    /// A variable of the environment of all commands.
    pub(crate) fn env(&mut self, name: &'static str, value: PathBuf) -> &mut Studio {
        self.variables.push((name, value));
        self
    }

    /// Writes a plugin that needs no Toolkit.
    pub(crate) fn plugin(&self, name: &str, source: &str) -> PathBuf {
        self.write("plugins", name, source)
    }

    /// Writes one that runs on its project's core.
    pub(crate) fn project_plugin(&self, name: &str, source: &str) -> PathBuf {
        self.write("project_plugins", name, source)
    }

    fn write(&self, folder: &str, name: &str, source: &str) -> PathBuf {
        let path = self.path(folder).join(name);
        // In one step: the daemon may look at any time.
        let new = self.path("new");
        fs::write(&new, format!("{PRELUDE}{source}")).unwrap();
        fs::rename(&new, &path).unwrap();
        path
    }

    /// A pipeline configuration for a project, with a core of a version.
    pub(crate) fn configuration(&self, id: i64, name: &str, version: &str) {
        let config = self.configs.localized(name, &Core::newer(version)).unwrap();
        let file = config.join("config/core/pipeline_configuration.yml");
        fs::write(file, format!("pc_id: 1\npc_name: Primary\nproject_id: {id}\nproject_name: {name}\n"))
            .unwrap();
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        let path = self.path("shotgunEventDaemon.conf");
        let folder = |name: &str| self.path(name).display().to_string();
        let mut text = String::new();
        let sections = ["daemon", "shotgun", "shotgun:london", "plugins", "emails", "sgtk", "eventd", "nats"];
        let base = [
            ("daemon", format!("pidFile: {}", folder("pid"))),
            ("daemon", format!("eventIdFile: {}", folder("ids"))),
            ("daemon", "logMode: 1".to_owned()),
            ("daemon", format!("logPath: {}", folder("logs"))),
            ("daemon", "logFile: daemon".to_owned()),
            ("daemon", "logging: 10".to_owned()),
            ("daemon", "timing_log: on".to_owned()),
            ("daemon", "conn_retry_sleep: 1".to_owned()),
            ("daemon", "max_conn_retries: 5".to_owned()),
            ("daemon", "fetch_interval: 0.1".to_owned()),
            ("shotgun", format!("server: {}", self.site.url())),
            ("shotgun", "name: daemon".to_owned()),
            ("shotgun", "key: %(DAEMON_KEY)s".to_owned()),
            ("shotgun", "use_session_uuid: True".to_owned()),
            ("plugins", format!("paths: {}", folder("plugins"))),
            ("sgtk", format!("paths: {}", folder("project_plugins"))),
            ("sgtk", format!("configs: {}", self.configs.base().display())),
            ("eventd", format!("python: {}", self.python.display())),
        ];
        let lines: Vec<_> = base.iter().chain(&self.more).collect();
        for section in sections {
            if section.contains(':') && lines.iter().all(|(name, _)| *name != section) {
                continue;
            }
            writeln!(text, "[{section}]").unwrap();
            let key = |line: &str| line.split([':', '=']).next().unwrap().trim().to_owned();
            let mut seen = Vec::new();
            // The last one counts.
            for (_, line) in lines.iter().rev().filter(|(name, _)| *name == section) {
                if !seen.contains(&key(line)) {
                    seen.push(key(line));
                    writeln!(text, "{line}").unwrap();
                }
            }
        }
        // In one step: a worker may be reading it.
        if fs::read_to_string(&path).ok().as_ref() != Some(&text) {
            let new = tempfile::NamedTempFile::new_in(self.folder.path()).unwrap();
            fs::write(new.path(), text).unwrap();
            new.persist(&path).unwrap();
        }
        path
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_by(&[], arguments)
    }

    /// A command that is run by another one, whose last argument it is.
    fn command_by(&self, by: &[&str], arguments: &[&str]) -> Command {
        let program = env!("CARGO_BIN_EXE_sgtk-eventd");
        let mut words = by.iter().copied().chain([program]);
        let mut command = Command::new(words.next().unwrap_or(program));
        command
            .args(words)
            .args(arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .arg("--config")
            .arg(self.config_file())
            .env("DAEMON_KEY", "a-daemons-key")
            .env("EVENTD_RECORD", self.path("record"))
            .current_dir(self.folder.path());
        command
    }

    /// What a command says; it has to succeed.
    pub(crate) fn said(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }

    /// What a command says, where it succeeds.
    pub(crate) fn said_if_running(&self, arguments: &[&str]) -> Option<String> {
        let output = self.command(arguments).output().unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What a command says that has to fail.
    pub(crate) fn refused(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    }

    pub(crate) fn start(&self) -> Daemon {
        self.start_by(&[])
    }

    fn start_by(&self, by: &[&str]) -> Daemon {
        let log = fs::OpenOptions::new().append(true).create(true).open(self.path("stdout")).unwrap();
        let child = self
            .command_by(by, &["run"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Daemon { child }
    }

    /// Starts it and waits until it polls.
    pub(crate) fn start_polling(&self) -> Daemon {
        self.start_polling_by(&[])
    }

    /// The same by another command, which runs what follows its arguments.
    pub(crate) fn start_polling_by(&self, by: &[&str]) -> Daemon {
        let before = self.count("EventLogEntry");
        let daemon = self.start_by(by);
        self.until("it polls", || self.count("EventLogEntry") > before + 1);
        daemon
    }

    /// Kills the worker processes of a project, as the kernel does where memory is short, and waits until the
    /// daemon knows: it gives no call to one of them then.
    pub(crate) fn kill_workers(&self, name: &str) {
        let name = match self.isolation {
            Isolation::Workers => name,
            #[cfg(feature = "embedded")]
            Isolation::InProcess => "projects",
        };
        let killed: Vec<_> = self.workers().into_iter().filter(|(worker, _)| worker.contains(name)).collect();
        for (_, pid) in &killed {
            // It may have ended meanwhile.
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap();
        }
        self.until("the workers have ended", || !self.workers().iter().any(|one| killed.contains(one)));
    }

    /// The worker processes, by name.
    fn workers(&self) -> Vec<(String, Value)> {
        let status: Value = serde_json::from_str(&self.said(&["status", "--json"])).unwrap();
        status["workers"].as_object().unwrap().clone().into_iter().collect()
    }

    fn count(&self, kind: &str) -> usize {
        self.site.counts().unwrap().get(&format!("read:{kind}")).copied().unwrap_or(0)
    }

    /// The lines that plugins have written.
    pub(crate) fn record(&self) -> Vec<String> {
        lines(&self.path("record"))
    }

    pub(crate) fn log(&self, name: &str) -> String {
        fs::read_to_string(self.path("logs").join(name)).unwrap_or_default()
    }

    /// Waits until something is so; what the daemon has said is told where it never is.
    pub(crate) fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let end = Instant::now() + LONG;
        while !is_so() {
            if Instant::now() > end {
                let said = fs::read_to_string(self.path("stdout")).unwrap_or_default();
                panic!("not so within {LONG:?}: {what}\nrecord: {:#?}\n{said}", self.record());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for so many lines of the record, and gives them.
    pub(crate) fn until_recorded(&self, count: usize) -> Vec<String> {
        self.until(&format!("{count} lines are recorded"), || self.record().len() >= count);
        self.record()
    }

    /// Adds events of a type, one for each project; gives their ids.
    pub(crate) fn events(&self, event_type: &str, projects: &[Option<i64>]) -> Vec<i64> {
        let entries: Vec<Value> = projects.iter().map(|project| event(event_type, *project)).collect();
        self.site.events(&entries).unwrap()
    }
}

/// An entry of the event log.
pub(crate) fn event(event_type: &str, project: Option<i64>) -> Value {
    json!({
        "event_type": event_type,
        "project": project.map(|id| json!({ "type": "Project", "id": id })),
        "user": { "type": "HumanUser", "id": 1, "name": "Ada" },
        "meta": { "at": "2025-01-31T12:00:00Z" },
        "session_uuid": "0123",
    })
}

pub(crate) fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// A plugin that notes the id of each event.
pub(crate) const NOTE: &str = "
def registerCallbacks(reg):
    reg.registerCallback('plugin', 'a-plugins-key', note)

def note(sg, logger, event, args):
    done(event['id'])
";

/// Ids as such a plugin notes them.
pub(crate) fn ids(ids: &[i64]) -> Vec<String> {
    ids.iter().map(i64::to_string).collect()
}

/// A process and all below it.
pub(crate) fn family(pid: u32) -> Vec<u32> {
    let mut family = vec![pid];
    let mut index = 0;
    while let Some(pid) = family.get(index).copied() {
        let tasks = fs::read_dir(Path::new("/proc").join(pid.to_string()).join("task"));
        for task in tasks.into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            family.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
        index += 1;
    }
    family
}

/// Sends a signal to processes.
pub(crate) fn signal_all(pids: &[u32], signal: &str) {
    let pids = pids.iter().map(u32::to_string);
    // Some may have ended meanwhile.
    let _ = Command::new("kill").arg(format!("-{signal}")).args(pids).stderr(Stdio::null()).status();
}

impl Daemon {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent =
            Command::new("kill").arg(format!("-{signal}")).arg(self.pid().to_string()).status().unwrap();
        assert!(sent.success());
    }

    /// Ends it by SIGTERM.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        self.ended()
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Ends it in the middle of whatever it does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It has ended, in most tests.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
