//! The configuration file: shotgunEvents' own, with new keys in sections of their own.

mod find;
mod keys;
mod nats;
mod notes;
mod setup;
mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::json;
use sgtk_config::keys::Secrets;

use crate::site::{Distributed, Site};
use crate::workers::{CallError, Isolation, Worker, Workers};

pub use find::{FILE_NAME, NotFound, find, likely_value};
pub use nats::{Nats, NatsOptions};
pub use values::KeyError;

use keys::{INHERIT, KEYS, SITE};
use values::{File, Found, Read, Section, Value};

/// The most events that a poll gives.
const MOST_EVENTS: i64 = 5000;

/// Which plugins share a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lanes {
    /// All, or all of a project: one event after the other through all plugins, as in shotgunEvents.
    Shared,
    /// Each has one of its own, and a process of its own.
    Plugin,
}

/// Mail.
#[derive(Clone, Debug)]
pub struct Emails {
    /// To whom errors go, unless a plugin says otherwise.
    pub to: Vec<String>,
    /// How long errors are gathered for one mail after the first.
    pub digest: Duration,
}

/// What the file says.
#[derive(Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The file.
    pub path: PathBuf,
    /// Where the process id is written.
    pub pid_file: Option<PathBuf>,
    /// The id file of shotgunEvents, which is read once and written on demand.
    pub event_id_file: Option<PathBuf>,
    /// A log file for each plugin.
    pub log_per_plugin: bool,
    /// The folder of the log files. None: as the file names are.
    pub log_path: Option<PathBuf>,
    /// The name of the daemon's log file. None: standard output alone.
    pub log_file: Option<String>,
    /// The level of loggers, in Python's numbers.
    pub log_level: i64,
    /// Whether there is a log of times.
    pub timing_log: bool,
    /// Whether standard output has JSON lines.
    pub log_json: bool,
    /// The pause after so many failed connections.
    pub retry_sleep: Duration,
    /// How many failed connections are an error, which is mailed.
    pub max_retries: u32,
    /// The pause between two polls.
    pub fetch_interval: Duration,
    /// How many events a poll gives.
    pub batch: usize,
    /// The sites.
    pub sites: Vec<Site>,
    /// Whether clients have the event's session id.
    pub session_uuid: bool,
    /// Folders of plugins without Toolkit.
    pub plugin_paths: Vec<PathBuf>,
    /// Folders of plugins that run on their project's core.
    pub project_paths: Vec<PathBuf>,
    /// The folder of the pipeline configurations.
    pub configs: Option<PathBuf>,
    /// Which plugins of a project share a lane.
    pub project_lanes: Lanes,
    /// How projects without a configuration in that folder are bootstrapped.
    pub distributed: Option<Distributed>,
    /// How many project workers there are at a time.
    pub max_workers: Option<usize>,
    /// After how long without work a project's worker ends.
    pub idle: Option<Duration>,
    /// What keeps the plugins of projects apart.
    pub isolation: Isolation,
    /// Mail, where it is on.
    pub emails: Option<Emails>,
    /// The state.
    pub state: PathBuf,
    /// The socket for commands.
    pub socket: PathBuf,
    /// Which plugins share a lane.
    pub lanes: Lanes,
    /// How long a callback may run.
    pub callback_timeout: Option<Duration>,
    /// How often a callback that failed is tried before `stopOnError` has its plugin stop.
    pub attempts: u32,
    /// How long until the first of these tries; twice that until the next.
    pub retry_after: Duration,
    /// Plugins whose events are never run twice.
    pub once: Vec<String>,
    /// How long a missing id is waited for.
    pub missing_timeout: Duration,
    /// How long callbacks have to end when the daemon does.
    pub stop_timeout: Duration,
    /// The Python of the workers.
    pub python: Option<PathBuf>,
    /// How long sockets of clients, and of plugins, wait.
    pub socket_timeout: Option<Duration>,
    /// Folders for the workers' `sys.path`.
    pub python_paths: Vec<String>,
    /// Folders that shotgunEvents has there, for workers without Toolkit.
    pub inherited_paths: Vec<String>,
    /// Whether events that the daemon's own scripts cause are left out.
    pub ignore_own: bool,
    /// Where the page and the metrics are.
    pub http: Option<String>,
    /// What one has to know to press a button there.
    pub http_token: Option<String>,
    /// The key of webhooks that wake the poll.
    pub webhook_secret: Option<String>,
    /// Above how much memory a worker is replaced.
    pub memory_limit: Option<u64>,
    /// Many hosts.
    pub nats: Nats,
    /// Lines for the log: keys without effect, and why.
    pub notes: Vec<String>,
    /// Hides the keys in all that is logged.
    _secrets: Secrets,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// It cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What ConfigParser says. It is part of the message.
        cause: CallError,
    },
    /// It is none.
    #[error("cannot read {}: {reason}", path.display())]
    Contents {
        /// The file.
        path: PathBuf,
        /// The line, and what is wrong with it.
        reason: String,
    },
    /// Keys cannot be used.
    #[error("{}: {}", path.display(), Lines(errors))]
    Keys {
        /// The file.
        path: PathBuf,
        /// Which, and why.
        errors: Vec<KeyError>,
    },
}

struct Lines<'a>(&'a [KeyError]);

impl std::fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lines: Vec<_> = self.0.iter().map(KeyError::to_string).collect();
        f.write_str(&lines.join("; "))
    }
}

/// Gathers what is wrong, so that all of it is told at once.
struct Gather(Vec<KeyError>);

impl Gather {
    fn take<T: Default>(&mut self, result: Result<T, KeyError>) -> T {
        result.unwrap_or_else(|error| {
            self.0.push(error);
            T::default()
        })
    }
}

impl Settings {
    /// Reads the file, by Python's ConfigParser in a worker.
    ///
    /// # Errors
    /// The file cannot be read, or has values that cannot be used: all of them are named.
    pub async fn read(workers: &Workers, worker: &Worker, path: &Path) -> Result<Settings, SettingsError> {
        let keys: BTreeMap<_, _> = KEYS.into_iter().take(INHERIT).collect();
        let name = path.to_string_lossy().into_owned();
        let read = workers
            .call::<Read>(worker, "configuration:read", |call| call.arg(name).arg(json!(keys)), None)
            .await
            .map_err(|cause| SettingsError::Read { path: path.to_owned(), cause })?;
        match read {
            Read::Found(found) => Settings::new(path, &found),
            Read::Problem { problem } => {
                Err(SettingsError::Contents { path: path.to_owned(), reason: problem })
            }
        }
    }

    fn new(path: &Path, found: &Found) -> Result<Settings, SettingsError> {
        let file = &found.sections;
        let section = |name| Section::new(file, name);
        let (daemon, shotgun, emails) = (section("daemon"), section("shotgun"), section("emails"));
        let (sgtk, eventd) = (section("sgtk"), section("eventd"));
        let mut g = Gather(Vec::new());
        let mut notes = notes::notes(found);
        let folder = path.parent().unwrap_or(Path::new("."));
        let paths = |list: Vec<String>| list.into_iter().map(PathBuf::from).collect::<Vec<_>>();
        let event_id_file = g.take(daemon.text("eventIdFile")).map(PathBuf::from);
        let state = g.take(eventd.text("state")).map(PathBuf::from);
        let state =
            state.or_else(|| event_id_file.as_deref().map(|file| with_suffix(file, ".sgtk-eventd.db")));
        let state = state.unwrap_or_else(|| folder.join("sgtk-eventd.db"));
        let socket = g.take(eventd.text("socket")).map(PathBuf::from);
        let socket = socket.unwrap_or_else(|| with_suffix(&state, ".sock"));
        let (state, socket) = (whole(state), whole(socket));
        let sites = sites(file, &mut g);
        let plugin_paths = paths(g.take(section("plugins").list("paths")));
        let project_paths = paths(g.take(sgtk.list("paths")));
        let configs = g.take(sgtk.text("configs")).map(PathBuf::from);
        let configs = configs.or_else(|| {
            (!project_paths.is_empty()).then(|| sgtk_config::Configs::from_env().base().to_owned())
        });
        let isolation = g.take(isolation(sgtk));
        let distributed = g.take(sgtk.text("core")).map(|core| Distributed {
            core: PathBuf::from(core),
            plugin_id: g.take(sgtk.text("plugin_id")).unwrap_or_else(|| "basic.eventd".to_owned()),
            engine: g.take(sgtk.text("engine")).unwrap_or_else(|| "tk-shell".to_owned()),
        });
        let emails_on = g.take(emails.boolean("enabled", false));
        let mail = if emails_on { g.take(mail(emails, eventd, &mut notes)) } else { None };
        let seconds = |number: i64| Duration::from_secs(number.unsigned_abs());
        // None, in shotgunEvents, is all that there are.
        let asked = g.take(daemon.at_least("max_event_batch_size", 0, 500));
        let batch = if asked == 0 { MOST_EVENTS } else { asked.min(MOST_EVENTS) };
        if batch != asked {
            notes.push(format!("[daemon] max_event_batch_size: {asked} is taken as {MOST_EVENTS}"));
        }
        let log_mode = g.take(daemon.integer("logMode")).unwrap_or(0);
        if !matches!(log_mode, 0 | 1) {
            notes.push(format!("[daemon] logMode: {log_mode} is neither 0 nor 1, and is taken as 0"));
        }
        let settings = Settings {
            path: path.to_owned(),
            pid_file: g.take(daemon.text("pidFile")).map(PathBuf::from),
            event_id_file,
            log_per_plugin: log_mode == 1,
            log_path: g.take(daemon.text("logPath")).map(PathBuf::from),
            log_file: g.take(daemon.text("logFile")),
            log_level: g.take(daemon.at_least("logging", 0, 20)),
            timing_log: g.take(daemon.text("timing_log")).as_deref() == Some("on"),
            log_json: g.take(eventd.one_of("log_format", &[("text", false), ("json", true)], false)),
            retry_sleep: seconds(g.take(daemon.at_least("conn_retry_sleep", 0, 60))),
            // In shotgunEvents no number of tries is ever 0, or equal to a negative one.
            max_retries: u32::try_from(g.take(daemon.integer("max_conn_retries")).unwrap_or(5))
                .ok()
                .filter(|most| *most > 0)
                .unwrap_or(u32::MAX),
            fetch_interval: g
                .take(daemon.time("fetch_interval", Some(Duration::from_secs(5))))
                .unwrap_or_default(),
            batch: batch as usize,
            sites,
            session_uuid: g.take(shotgun.boolean("use_session_uuid", true)),
            plugin_paths,
            project_paths,
            configs,
            project_lanes: g
                .take(
                    sgtk.one_of(
                        "lanes",
                        &[("project", Lanes::Shared), ("plugin", Lanes::Plugin)],
                        Lanes::Shared,
                    )
                    .map(Some),
                )
                .unwrap_or(Lanes::Shared),
            distributed,
            max_workers: g.take(sgtk.integer("max_workers")).and_then(|number| usize::try_from(number).ok()),
            idle: g.take(sgtk.time("idle", Some(Duration::from_secs(1800)))),
            isolation,
            emails: mail,
            state,
            socket,
            lanes: g
                .take(
                    eventd
                        .one_of(
                            "lanes",
                            &[("shared", Lanes::Shared), ("plugin", Lanes::Plugin)],
                            Lanes::Shared,
                        )
                        .map(Some),
                )
                .unwrap_or(Lanes::Shared),
            callback_timeout: g.take(eventd.time("callback_timeout", Some(Duration::from_secs(3600)))),
            attempts: u32::try_from(g.take(eventd.at_least("attempts", 1, 1))).unwrap_or(u32::MAX),
            retry_after: g
                .take(eventd.time("retry_after", Some(Duration::from_secs(30))))
                .unwrap_or_default(),
            once: g.take(eventd.list("once")),
            missing_timeout: g
                .take(eventd.time("missing_timeout", Some(Duration::from_secs(300))))
                .unwrap_or_default(),
            stop_timeout: g
                .take(eventd.time("stop_timeout", Some(Duration::from_secs(60))))
                .unwrap_or_default(),
            python: g.take(eventd.text("python")).map(PathBuf::from),
            python_paths: g.take(eventd.list("python_paths")),
            inherited_paths: inherited_paths(folder),
            // Zero would have them not wait at all.
            socket_timeout: g
                .take(eventd.time("socket_timeout", Some(Duration::from_secs(60))))
                .filter(|time| !time.is_zero()),
            ignore_own: g.take(eventd.boolean("ignore_own_events", false)),
            http: g.take(eventd.text("http")),
            http_token: g.take(eventd.text("http_token")),
            webhook_secret: g.take(eventd.text("webhook_secret")),
            memory_limit: g.take(eventd.integer("memory_limit")).map(|mb| mb.unsigned_abs() << 20),
            nats: nats::read(section("nats"), &mut g),
            notes,
            _secrets: Secrets::in_use(secrets(file).into_iter().map(Into::into)),
        };
        if settings.plugin_paths.is_empty() && settings.project_paths.is_empty() {
            g.0.push(KeyError {
                section: "plugins".to_owned(),
                key: "paths".to_owned(),
                reason: "there are no folders of plugins, neither here nor in [sgtk]".to_owned(),
            });
        }
        if g.0.is_empty() {
            Ok(settings)
        } else {
            Err(SettingsError::Keys { path: path.to_owned(), errors: g.0 })
        }
    }

    /// Whether there are plugins without Toolkit that share a worker.
    #[must_use]
    pub fn has_shared_plugins(&self) -> bool {
        self.lanes == Lanes::Shared && !self.plugin_paths.is_empty()
    }

    /// The path of a log file by its name.
    #[must_use]
    pub fn log_file_path(&self, name: &str) -> PathBuf {
        self.log_path.as_ref().map_or_else(|| PathBuf::from(name), |folder| folder.join(name))
    }
}

/// What a script's `sys.path` begins with: its own folder, where shotgunEvents lies beside the configuration,
/// and the folders of `PYTHONPATH`, which workers are started without.
fn inherited_paths(folder: &Path) -> Vec<String> {
    let beside = folder.join("shotgunEventDaemon.py").is_file().then(|| folder.to_owned());
    let variable = std::env::var_os("PYTHONPATH").unwrap_or_default();
    let paths = beside.into_iter().chain(std::env::split_paths(&variable));
    paths.filter(|path| path.is_dir()).map(|path| whole(path).to_string_lossy().into_owned()).collect()
}

/// A path that messages can name.
fn whole(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn sites(file: &File, g: &mut Gather) -> Vec<Site> {
    let others = file.keys().filter(|section| section.starts_with(SITE));
    let sections = std::iter::once("shotgun").chain(others.map(String::as_str));
    let sites = sections.map(|name| {
        let section = Section::new(file, name);
        let server = g.take(section.required("server"));
        let script = g.take(section.required("name"));
        let key = SecretString::from(g.take(section.required("key")));
        let proxy = g.take(section.text("proxy_server")).map(SecretString::from);
        Site {
            name: Arc::from(name.strip_prefix(SITE).unwrap_or(name)),
            section: name.to_owned(),
            server,
            script,
            key,
            proxy,
        }
    });
    sites.collect()
}

#[cfg(feature = "embedded")]
fn isolation(sgtk: Section<'_>) -> Result<Isolation, KeyError> {
    let values = [("workers", Isolation::Workers), ("in-process", Isolation::InProcess)];
    sgtk.one_of("isolation", &values, Isolation::Workers)
}

#[cfg(not(feature = "embedded"))]
fn isolation(sgtk: Section<'_>) -> Result<Isolation, KeyError> {
    if sgtk.text("isolation")?.as_deref() == Some("in-process") {
        return Err(KeyError {
            section: "sgtk".to_owned(),
            key: "isolation".to_owned(),
            reason: "'in-process' needs a build of sgtk-eventd with the cargo feature `embedded`".to_owned(),
        });
    }
    sgtk.one_of("isolation", &[("workers", Isolation::Workers)], Isolation::Workers)
}

/// Mail needs a server, a sender, receivers and a subject, as in shotgunEvents.
fn mail(
    emails: Section<'_>,
    eventd: Section<'_>,
    notes: &mut Vec<String>,
) -> Result<Option<Emails>, KeyError> {
    for key in ["server", "from", "to", "subject"] {
        if emails.text(key)?.is_none() {
            notes.push(format!("[emails] {key}: it is not set, so no mail is sent"));
            return Ok(None);
        }
    }
    // What sends the mails takes it as well.
    emails.integer("port")?;
    let digest = eventd.time("mail_digest", Some(Duration::from_secs(60)))?.unwrap_or_default();
    Ok(Some(Emails { to: emails.list("to")?, digest }))
}

fn secrets(file: &File) -> Vec<String> {
    let secret = |section: &str, key: &str| {
        section.starts_with("shotgun") && matches!(key, "key" | "proxy_server" | "server")
            || section == "emails" && key == "password"
            || section == "nats" && key == "url"
            || section == "eventd" && matches!(key, "http_token" | "webhook_secret")
    };
    let mut found = Vec::new();
    for (section, values) in file {
        for (key, value) in values {
            if let Value::Text(text) = value
                && secret(section, key)
                // Of an address, what is secret is the password alone.
                && (!matches!(key.as_str(), "server" | "proxy_server" | "url") || text.contains('@'))
            {
                found.push(text.trim().to_owned());
            }
        }
    }
    found
}
