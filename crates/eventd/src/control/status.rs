//! How everything is.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::short;
use crate::lanes::{Shared, parts};
use crate::queue::{Failure, HostState, QueueError};
use crate::report::board::Running;
use crate::report::metrics::{LaneLabel, SiteLabel};

/// How everything is.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Status {
    /// The daemon's version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// The sites.
    pub sites: BTreeMap<String, SiteStatus>,
    /// The lanes.
    pub lanes: Vec<LaneStatus>,
    /// How many dead letters there are.
    pub dead: u64,
    /// How many events are kept.
    pub events: u64,
    /// Worker processes by name.
    pub workers: BTreeMap<String, u32>,
    /// The hosts, where there are many.
    #[serde(default)]
    pub hosts: Vec<HostState>,
}

/// How a site is.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SiteStatus {
    /// Its address.
    pub server: String,
    /// The highest event id seen.
    pub cursor: i64,
    /// The site's latest event, while there is much to catch up with.
    #[serde(default)]
    pub latest: Option<i64>,
    /// How many ids below it are missing.
    pub missing: u64,
    /// How often it was asked.
    pub polls: u64,
    /// What is wrong, while it is.
    pub error: Option<String>,
}

/// How a lane is.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct LaneStatus {
    /// Its name.
    pub lane: String,
    /// The plugin's name.
    pub plugin: String,
    /// The site.
    pub site: String,
    /// The project.
    pub project: Option<i64>,
    /// `running`, `waiting`, `idle`, `retry`, `stopped`, `paused`, `inactive`.
    pub state: String,
    /// How many events wait.
    pub waiting: u64,
    /// The event that it is at.
    pub event: Option<i64>,
    /// How old that event is, in seconds.
    pub lag: Option<i64>,
    /// The host that runs it, where there are many.
    #[serde(default)]
    pub host: Option<String>,
    /// What is running, and for how long.
    pub running: Option<Running>,
    /// How often the event was tried.
    pub attempts: u32,
    /// Milliseconds until the next try.
    pub retry_in_ms: Option<u64>,
    /// Why it waits, or does nothing at all.
    pub failure: Option<Failure>,
    /// The last event id that it has behind it.
    pub last_id: i64,
}

/// Gathers it, and sets the numbers that are known by looking alone.
pub(super) async fn gather(shared: &Shared) -> Result<Status, QueueError> {
    let state = shared.queue.state().await?;
    let now = Timestamp::now();
    let mut sites = BTreeMap::new();
    for site in &shared.settings.sites {
        let (known, note) = (state.sites.get(&site.name), shared.board.site(&site.name));
        let cursor = known.map_or(0, |known| known.cursor);
        let status = SiteStatus {
            server: site.server.clone(),
            cursor,
            // The site goes on while it is caught up with.
            latest: note.latest.filter(|latest| *latest > cursor),
            missing: known.map_or(0, |known| known.missing),
            polls: note.polls,
            error: note.trouble(),
        };
        shared
            .metrics
            .missing
            .get_or_create(&SiteLabel { site: site.name.to_string() })
            .set(status.missing.cast_signed());
        sites.insert(site.name.to_string(), status);
    }
    let mut lanes = Vec::new();
    for lane in state.lanes.into_iter().filter(|lane| lane.open) {
        let (_, key, project) = parts(&lane.name);
        let note = shared.board.plugin(key);
        let problem = note.as_ref().and_then(|note| note.problem.clone());
        let plugin = note.map_or_else(|| short(&lane.name), |note| note.name);
        let running = shared.board.running(&lane.name);
        let runs = |other: &&HostState| other.running.iter().any(|(name, _)| *name == lane.name);
        let host = state.hosts.iter().find(runs).map(|host| host.name.clone());
        let created = lane.head_created.as_deref().and_then(|at| at.parse::<Timestamp>().ok());
        let lag = created.map(|at| now.duration_since(at).as_secs().max(0));
        let state = match () {
            () if problem.is_some() => "inactive",
            () if lane.parked => "stopped",
            () if lane.paused => "paused",
            () if running.is_some() || host.is_some() => "running",
            () if lane.retry_in_ms.is_some() => "retry",
            () if lane.waiting > 0 => "waiting",
            () => "idle",
        };
        let failure = problem
            .map(|problem| Failure {
                reason: format!("{}: {}", problem.step, problem.message),
                traceback: problem.traceback,
            })
            .or(lane.failure);
        let label = LaneLabel {
            plugin: plugin.clone(),
            project: project.map_or_else(String::new, |id| id.to_string()),
        };
        shared.metrics.lag_events.get_or_create(&label).set(lane.waiting.cast_signed());
        shared.metrics.lag_seconds.get_or_create(&label).set(lag.unwrap_or(0));
        shared.metrics.parked.get_or_create(&label).set(i64::from(lane.parked));
        lanes.push(LaneStatus {
            lane: lane.name.to_string(),
            plugin,
            site: lane.site.to_string(),
            project,
            state: state.to_owned(),
            waiting: lane.waiting,
            event: lane.head,
            lag,
            host,
            running,
            attempts: lane.attempts,
            retry_in_ms: lane.retry_in_ms,
            failure,
            last_id: lane.last_id,
        });
    }
    let workers = shared.workers.processes();
    shared.metrics.workers.set(workers.len() as i64);
    shared.metrics.kept.set(state.events.cast_signed());
    shared.metrics.kept_dead.set(state.dead.cast_signed());
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Ok(Status {
        version,
        pid: std::process::id(),
        sites,
        lanes,
        dead: state.dead,
        events: state.events,
        workers,
        hosts: state.hosts,
    })
}

/// After what silence a host is said to be away.
const AWAY_MS: u64 = 10_000;

/// A host, in a line.
struct Host<'a>(&'a HostState);

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HostState { name, version, pid, ends, running, cursors, silent_ms, .. } = self.0;
        match silent_ms {
            None => return write!(f, "{name}: never heard"),
            Some(ms) if *ms > AWAY_MS => return write!(f, "{name}: silent for {} s", ms / 1000),
            Some(_) => write!(f, "{name}: version {version}, process {pid}")?,
        }
        if self.0.publishes {
            for (site, cursor) in cursors {
                write!(f, ", event {cursor} of {site}")?;
            }
        } else {
            write!(f, ", runs {}", running.len())?;
        }
        if *ends { write!(f, ", ends") } else { Ok(()) }
    }
}

/// Of how many projects at most a plugin's idle lanes have a line each.
const IDLE_PROJECTS: usize = 8;

/// A number of things, by their names for one and for several.
struct Count(u64, &'static str, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, if self.0 == 1 { self.1 } else { self.2 })
    }
}

/// How long ago something was, for a column.
struct Age(i64);

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            seconds @ ..120 => format!("{seconds} s"),
            seconds @ ..7200 => format!("{} min", seconds / 60),
            seconds @ ..172_800 => format!("{} h", seconds / 3600),
            seconds => format!("{} d", seconds / 86_400),
        };
        f.pad(&text)
    }
}

/// The first line of a text. What follows is in the log, on the page and in `dead --full`.
#[must_use]
pub fn first_line(text: &str) -> String {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let first = lines.next().unwrap_or_default().trim();
    if lines.next().is_some() { format!("{first} ...") } else { first.to_owned() }
}

impl LaneStatus {
    /// Whether somebody may have to do something about it.
    fn is_in_trouble(&self) -> bool {
        matches!(self.state.as_str(), "stopped" | "inactive" | "retry" | "paused")
    }

    fn is_idle_project(&self) -> bool {
        self.state == "idle" && self.project.is_some()
    }

    fn now(&self) -> String {
        match (&self.running, &self.failure, &self.host) {
            (Some(running), ..) => {
                format!("{} for {:.1} s", running.callback, running.ms as f64 / 1000.0)
            }
            (None, Some(failure), _) => first_line(&failure.reason),
            (None, None, Some(host)) => format!("on {host}"),
            (None, None, None) => String::new(),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let workers = Count(self.workers.len() as u64, "worker", "workers");
        writeln!(f, "sgtk-eventd {}, process {}, {workers}", self.version, self.pid)?;
        for (name, site) in &self.sites {
            let missing = Count(site.missing, "id", "ids");
            write!(f, "site {name}: {}, event {}", site.server, site.cursor)?;
            if let Some(latest) = site.latest {
                write!(f, " of {latest}")?;
            }
            write!(f, ", {missing} missing")?;
            match &site.error {
                Some(error) => writeln!(f, "\n  {error}")?,
                None => writeln!(f)?,
            }
        }
        for host in &self.hosts {
            writeln!(f, "host {}", Host(host))?;
        }
        let (events, dead) =
            (Count(self.events, "event", "events"), Count(self.dead, "dead letter", "dead letters"));
        writeln!(f, "{events} kept, {dead}\n")?;
        let width = self.lanes.iter().map(|lane| lane.plugin.chars().count()).max().unwrap_or(0).max(6);
        writeln!(
            f,
            "{:width$}  {:>7}  {:8}  {:>7}  {:>6}  {:>9}  now",
            "plugin", "project", "state", "waiting", "lag", "event"
        )?;
        let mut idle: BTreeMap<&str, usize> = BTreeMap::new();
        for lane in self.lanes.iter().filter(|lane| lane.is_idle_project()) {
            *idle.entry(&lane.plugin).or_default() += 1;
        }
        idle.retain(|_, count| *count > IDLE_PROJECTS);
        // What somebody may have to do something about comes first.
        let (trouble, others): (Vec<_>, Vec<_>) = self.lanes.iter().partition(|lane| lane.is_in_trouble());
        for lane in trouble.into_iter().chain(others) {
            if lane.is_idle_project() && idle.contains_key(lane.plugin.as_str()) {
                continue;
            }
            let project = lane.project.map_or_else(|| "all".to_owned(), |id| id.to_string());
            let lag = lane.lag.filter(|_| lane.waiting > 0);
            let lag = lag.map_or_else(|| "-".to_owned(), |lag| Age(lag).to_string());
            let event = lane.event.map_or_else(|| "-".to_owned(), |id| id.to_string());
            let (plugin, state, waiting) = (&lane.plugin, &lane.state, lane.waiting);
            let line =
                format!("{plugin:width$}  {project:>7}  {state:8}  {waiting:>7}  {lag:>6}  {event:>9}  ");
            writeln!(f, "{}", format!("{line}{}", lane.now()).trim_end())?;
        }
        for (plugin, count) in idle {
            writeln!(f, "{plugin:width$}  {count:>7}  projects are idle")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(plugin: &str, project: Option<i64>, state: &str) -> LaneStatus {
        LaneStatus {
            lane: String::new(),
            plugin: plugin.to_owned(),
            site: "shotgun".to_owned(),
            project,
            state: state.to_owned(),
            waiting: u64::from(state != "idle"),
            event: (state != "idle").then_some(7),
            lag: Some(100_000),
            host: None,
            running: None,
            attempts: 0,
            retry_in_ms: None,
            failure: None,
            last_id: 0,
        }
    }

    fn shown(lanes: Vec<LaneStatus>) -> Vec<String> {
        let status = Status {
            version: "1.0".to_owned(),
            pid: 1,
            sites: BTreeMap::new(),
            lanes,
            dead: 0,
            events: 0,
            workers: BTreeMap::new(),
            hosts: Vec::new(),
        };
        status.to_string().lines().skip(4).map(str::to_owned).collect()
    }

    #[test]
    fn what_has_stopped_comes_first_and_many_idle_projects_are_one_line() {
        let mut lanes: Vec<_> = (1..=300).map(|id| lane("folders", Some(id), "idle")).collect();
        lanes.push(lane("all", None, "idle"));
        let failure = Failure { reason: "note: ValueError: no\n\nmore".to_owned(), traceback: None };
        lanes.push(LaneStatus { failure: Some(failure), ..lane("folders", Some(301), "stopped") });
        assert_eq!(
            shown(lanes),
            [
                "folders      301  stopped         1    27 h          7  note: ValueError: no ...",
                "all          all  idle            0       -          -",
                "folders      300  projects are idle",
            ]
        );
    }

    #[test]
    fn a_few_projects_have_a_line_each() {
        assert_eq!(shown((1..=8).map(|id| lane("folders", Some(id), "idle")).collect()).len(), 8);
    }

    #[test]
    fn an_age_fits_its_column() {
        let told = [0, 119, 120, 7199, 7200, 172_799, 172_800].map(|seconds| Age(seconds).to_string());
        assert_eq!(told, ["0 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 d"]);
    }
}
