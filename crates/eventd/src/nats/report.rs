//! How all of it is, over all hosts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::Info;
use futures_util::StreamExt as _;
use parking_lot::Mutex;

use super::hosts::{Beat, EVERY};
use super::record::Record;
use super::{Inner, NatsQueue, lease, names};
use crate::queue::{HostState, LaneName, LaneState, QueueError, SiteState, State};

/// How often the consumers are listed, for projects that nobody has told of.
const LIST: Duration = Duration::from_secs(30);

/// For how long an answer is good at least: a page asks every second.
const FRESH: Duration = Duration::from_secs(1);

/// And how many times as long as it took: the server has better things to do.
const RARELY: u32 = 10;

/// The last answer.
#[derive(Default)]
pub(super) struct Last(Mutex<Option<Answer>>);

struct Answer {
    state: State,
    at: Duration,
    took: Duration,
}

impl Last {
    fn get(&self, now: Duration, longest: Duration) -> Option<State> {
        let last = self.0.lock();
        let is_good = |last: &&Answer| now.saturating_sub(last.at) < longest.max(last.took * RARELY);
        last.as_ref().filter(is_good).map(|last| last.state.clone())
    }

    fn set(&self, state: &State, at: Duration, took: Duration) {
        let answer = Answer { state: state.clone(), at, took };
        *self.0.lock() = Some(answer);
    }

    /// What was asked for by hand has changed it.
    pub(super) fn forget(&self) {
        *self.0.lock() = None;
    }
}

/// Says that this host is there, and hears of others.
pub(super) async fn beat(inner: Arc<Inner>) {
    let client = inner.server.client.clone();
    let mut others = match client.subscribe(format!("{}.*", names::HOSTS)).await {
        Ok(others) => others,
        Err(error) => {
            tracing::error!(%error, "the NATS client cannot subscribe: other hosts are not seen");
            return;
        }
    };
    let mut interval = tokio::time::interval(EVERY);
    let mut known = Vec::new();
    loop {
        tokio::select! {
            _ = interval.tick() => inner.say_beat().await,
            other = others.next() => {
                let Some(other) = other else { return };
                if let Ok(beat) = serde_json::from_slice::<Beat>(&other.payload) {
                    inner.hosts.hear(beat, &inner.instance, lease::now());
                }
            }
            () = inner.closed() => return,
        }
        let names = inner.hosts.names(lease::now());
        if inner.publishes {
            continue;
        }
        if names != known {
            if !known.is_empty() {
                tracing::info!(hosts = names.join(", "), "the set of hosts has changed");
            }
            let own = inner.settings.host.clone();
            inner.table().rank(|key| names::rank(&own, names.iter().map(String::as_str), key));
            known = names;
            inner.prod.notify_one();
        }
    }
}

/// Tells of projects that have events.
pub(super) async fn discover(inner: Arc<Inner>) {
    let client = inner.server.client.clone();
    let Ok(mut new) = client.subscribe(names::NEW).await else { return };
    let mut interval = tokio::time::interval(LIST);
    loop {
        tokio::select! {
            _ = interval.tick() => match inner.consumers.names(&inner.server).await {
                Ok(names) => names.iter().for_each(|name| inner.tell_of(name)),
                Err(reason) => tracing::warn!(reason, "the consumers cannot be listed"),
            },
            message = new.next() => {
                let Some(message) = message else { return };
                if let Ok(name) = std::str::from_utf8(&message.payload) {
                    inner.consumers.note(name);
                    inner.tell_of(name);
                }
            }
            () = inner.closed() => return,
        }
    }
}

impl Inner {
    fn tell_of(&self, consumer: &str) {
        let Some((token, project)) = names::parse_project_consumer(consumer) else { return };
        if let Some(site) = self.site(token) {
            // Nobody may listen yet, or any more.
            let _ = self.arrivals.send((Arc::clone(site), project));
        }
    }

    pub(super) async fn say_beat(&self) {
        if !self.server.is_connected() {
            return;
        }
        let beat = Beat { instance: self.instance.clone(), state: self.own_state() };
        let subject = format!("{}.{}", names::HOSTS, names::token(&beat.state.name));
        if let Ok(bytes) = serde_json::to_vec(&beat) {
            // The next one follows.
            let _ = self.server.client.publish(subject, bytes.into()).await;
        }
    }

    fn own_state(&self) -> HostState {
        let table = self.table();
        let given =
            |lane: &LaneName, current: &super::table::Current| (lane.clone(), current.arrived.event.id);
        let running = table.groups.values().filter_map(|group| {
            let current = group.current.as_ref()?;
            current.given.as_ref().map(|lane| given(lane, current))
        });
        let name = &self.settings.host;
        HostState {
            name: if self.publishes { format!("{name} (publisher)") } else { name.clone() },
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            publishes: self.publishes,
            ends: table.resting,
            running: running.collect(),
            silent_ms: Some(0),
            cursors: self
                .windows
                .all()
                .iter()
                .map(|(site, window)| (Arc::clone(site), window.cursor()))
                .collect(),
        }
    }

    pub(super) async fn state(&self) -> Result<State, QueueError> {
        let now = lease::now();
        if let Some(state) = self.last.get(now, FRESH) {
            return Ok(state);
        }
        match self.gather(now).await {
            Ok(state) => {
                let end = lease::now();
                self.last.set(&state, end, end.saturating_sub(now));
                Ok(state)
            }
            // How it was is more than nothing.
            Err(reason) => {
                self.last.get(now, Duration::MAX).ok_or_else(|| self.refused("the streams", reason))
            }
        }
    }

    /// The projects that have consumers.
    pub(super) async fn projects(&self) -> Vec<(Arc<str>, i64)> {
        let names = match self.consumers.names(&self.server).await {
            Ok(names) => names,
            Err(reason) => {
                // They are listed again and again: no reason not to start.
                tracing::warn!(
                    reason,
                    "the consumers cannot be listed; projects are found within half a minute"
                );
                Vec::new()
            }
        };
        let projects = names.iter().filter_map(|name| {
            let (token, project) = names::parse_project_consumer(name)?;
            Some((Arc::clone(self.site(token)?), project))
        });
        projects.collect()
    }

    async fn gather(&self, now: Duration) -> Result<State, String> {
        let infos = self.consumers.list(&self.server).await?;
        let mut records: HashMap<String, Record> = HashMap::new();
        for info in infos.iter().filter(|info| info.paused || info.num_redelivered > 0) {
            if let Some(record) = self.record(&info.name).await.map_err(|error| error.to_string())? {
                records.insert(info.name.clone(), record);
            }
        }
        let mut state = State { hosts: self.hosts.states(now), ..State::default() };
        for site in &self.sites {
            let window = self.window(site).await.map_err(|error| error.to_string())?;
            let window = window.unwrap_or_else(|| crate::source::window::Window::new(0));
            let known = SiteState { cursor: window.cursor(), missing: window.missing() };
            state.sites.insert(Arc::clone(site), known);
        }
        let mut infos: HashMap<String, Info> =
            infos.into_iter().map(|info| (info.name.clone(), info)).collect();
        let events = self.server.events.get_info().await.map_err(|error| super::error::told(&error))?;
        state.events = events.state.messages;
        state.dead = self.count_dead().await?;
        let table = self.table();
        let mut opened: Vec<&str> = Vec::new();
        for (lane, consumer) in table.lane_names() {
            let Some(group) = table.groups.get(consumer) else { continue };
            opened.push(consumer);
            let record = records.get(&**consumer);
            let head = group.current.as_ref().map(|current| &current.arrived.event);
            let described = describe(lane, &group.site, group.project, infos.get(&**consumer), record);
            state.lanes.push(LaneState {
                head: head.map(|event| event.id).or(described.head),
                head_created: head.and_then(|event| event.fields().created_at),
                open: true,
                ..described
            });
        }
        opened.iter().for_each(|name| drop(infos.remove(*name)));
        // Projects that no lane of this host reads yet.
        for (name, info) in &infos {
            let Some((token, project)) = names::parse_project_consumer(name) else { continue };
            let Some(site) = self.site(token) else { continue };
            let lane = LaneName(Arc::from(format!("{site}:project@{project}")));
            state.lanes.push(describe(&lane, site, Some(project), Some(info), records.get(name)));
        }
        state.lanes.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(state)
    }
}

/// A lane by its consumer.
fn describe(
    lane: &LaneName,
    site: &Arc<str>,
    project: Option<i64>,
    info: Option<&Info>,
    record: Option<&Record>,
) -> LaneState {
    // What is known is of what it is at, or it is at nothing.
    let at = info.is_some_and(|info| info.num_ack_pending > 0 || info.paused);
    let record = record
        .filter(|record| at && info.is_some_and(|info| info.ack_floor.stream_sequence < record.place.seq));
    let failure = record.and_then(|record| record.failure.clone());
    let parked = record.is_some_and(|record| record.parked);
    let retry_at = record.filter(|record| record.failure.is_some()).and_then(|record| record.retry_at);
    let now = jiff::Timestamp::now().as_millisecond();
    LaneState {
        name: lane.clone(),
        site: Arc::clone(site),
        project,
        waiting: info.map_or(0, |info| info.num_pending + info.num_ack_pending as u64),
        head: record.map(|record| record.event),
        head_created: None,
        attempts: record.and_then(|record| record.attempts.get(lane)).copied().unwrap_or(0),
        parked,
        paused: !parked && info.is_some_and(|info| info.paused),
        retry_in_ms: retry_at.filter(|_| !parked).and_then(|at| u64::try_from(at - now).ok()),
        failure,
        last_id: 0,
        undone: Vec::new(),
        open: false,
    }
}

impl NatsQueue {
    /// This host's name.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.inner.settings.host
    }
}
