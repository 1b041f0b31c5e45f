//! The queue: what is between the source and the lanes.
//!
//! A *lane* is one reader's way through a site's events: a plugin's, or a plugin's in one project. It has one
//! event in flight, which is settled before the next is given out. What is promised: each event of a lane's
//! subject is given to it at least once, in the order in which events were appended; a parked lane waits at
//! its event, others go on.

pub mod file;
mod notes;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::source::window::Window;

pub use notes::{Notes, Progress};

/// A lane's name: `shotgun:/plugins/publish`, or with the project `shotgun:/plugins/publish@176`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LaneName(pub Arc<str>);

impl fmt::Display for LaneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A lane as it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Its name, by which the queue knows it over restarts.
    pub name: LaneName,
    /// The site whose events it reads.
    pub site: Arc<str>,
    /// The project whose events it reads. None: all events, those without a project as well.
    pub project: Option<i64>,
    /// Where it begins, the first time that it is opened.
    pub start: Start,
}

/// Where a lane begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With what is appended from now on.
    #[default]
    Now,
    /// After an event id, as an `eventIdFile` has it, and with these ids of before.
    After {
        /// The last id that was done.
        id: i64,
        /// Ids before it that were not.
        missing: Vec<i64>,
    },
}

/// What is appended in one step: it is there completely or not at all.
#[derive(Debug)]
pub struct Batch {
    /// The site.
    pub site: Arc<str>,
    /// Its events, in the order in which lanes are to have them.
    pub events: Vec<Event>,
    /// What was seen of the site's ids, these events included.
    pub window: Window,
}

/// An event that a lane was given, to be [settled](Queue::settle).
#[derive(Clone, Debug)]
pub struct Message {
    /// The lane.
    pub lane: LaneName,
    /// The event's place in the queue.
    pub seq: i64,
    /// The event.
    pub event: Arc<Event>,
    /// How often it has been tried before.
    pub attempts: u32,
    /// Whether a try was begun of which nothing more is known: the daemon ended meanwhile.
    pub begun: bool,
}

/// What has become of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was done.
    Done,
    /// It was of no interest. Need not be written down.
    Passed,
    /// It is to be tried again.
    Retry {
        /// How long from now.
        after: Duration,
        /// Why.
        failure: Failure,
        /// Whether this was a try, to be counted: not where nothing was run.
        counts: bool,
    },
    /// It failed for good and is kept as a dead letter. The lane goes on.
    Dead(Failure),
    /// It failed and the lane waits here, until it is resumed.
    Park(Failure),
}

/// Why something failed, for a person to read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// One line.
    pub reason: String,
    /// The traceback, or a worker's last output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceback: Option<String>,
}

/// What is known of a lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LaneState {
    /// The lane.
    pub name: LaneName,
    /// The site.
    pub site: Arc<str>,
    /// The project, for a lane that has one.
    pub project: Option<i64>,
    /// How many events wait for it, as far as they are of its subject.
    pub waiting: u64,
    /// The event that it is at: in flight, to be tried again, or where it is parked.
    pub head: Option<i64>,
    /// When that event happened.
    pub head_created: Option<String>,
    /// How often that one has been tried.
    pub attempts: u32,
    /// Whether it is parked at it.
    pub parked: bool,
    /// Whether a person has paused it.
    pub paused: bool,
    /// Milliseconds until the next try.
    pub retry_in_ms: Option<u64>,
    /// Why it is parked or waits.
    pub failure: Option<Failure>,
    /// The last event id that was done or passed, as an `eventIdFile` wants it.
    pub last_id: i64,
    /// Ids below that one which wait: they came late.
    pub undone: Vec<i64>,
    /// Whether the daemon reads it: not where its plugin was removed.
    pub open: bool,
}

/// An event that failed for good.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Its number.
    pub number: i64,
    /// The lane.
    pub lane: LaneName,
    /// The event's id.
    pub event: i64,
    /// How often it was tried.
    pub attempts: u32,
    /// When, in UTC.
    pub at: String,
    /// Why.
    #[serde(flatten)]
    pub failure: Failure,
}

/// What is known of all.
#[derive(Clone, Debug, Default, Serialize)]
pub struct State {
    /// The lanes by name.
    pub lanes: Vec<LaneState>,
    /// The sites: the cursor, and how many ids are missing.
    pub sites: BTreeMap<Arc<str>, SiteState>,
    /// How many dead letters there are.
    pub dead: u64,
    /// How many events are kept.
    pub events: u64,
    /// The hosts, where there are many.
    pub hosts: Vec<HostState>,
}

/// How a host is, where there are many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostState {
    /// Its name.
    pub name: String,
    /// The version of its program.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Whether it is a publisher, which runs nothing.
    pub publishes: bool,
    /// Whether it is about to end.
    pub ends: bool,
    /// What it runs: lanes and event ids.
    pub running: Vec<(LaneName, i64)>,
    /// A publisher's cursors: the highest id seen of each site.
    pub cursors: BTreeMap<Arc<str>, i64>,
    /// How long ago it was heard. None for one that never was.
    pub silent_ms: Option<u64>,
}

/// What is known of a site.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SiteState {
    /// The highest id seen.
    pub cursor: i64,
    /// How many ids below it are missing.
    pub missing: u64,
}

/// A run of the daemon that did not end in good order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenOff {
    /// Its process.
    pub process: u32,
    /// Since when it ran, in UTC.
    pub since: String,
    /// Whether the machine was started anew since.
    pub restarted: bool,
    /// How many messages were done and not written down: they are not done again.
    pub done: usize,
    /// What was running: lanes and event ids.
    pub running: Vec<(LaneName, i64)>,
}

/// Why the queue cannot do what it was asked for.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// Another daemon has the state.
    #[error("the state {path} is in use by process {holder}: two daemons must not share it")]
    InUse {
        /// The file.
        path: String,
        /// The process, as far as is known.
        holder: String,
    },
    /// The state was written by a newer version.
    #[error(
        "the state {path} is of version {found}, this program knows {known}: run the newer sgtk-eventd, or \
         take another file"
    )]
    Newer {
        /// The file.
        path: String,
        /// Its version.
        found: i64,
        /// The newest version that is known.
        known: i64,
    },
    /// The file is no state, or was damaged.
    #[error(
        "the state {path} cannot be read: {reason}. Restore a copy of it, or move it away and give the ids \
         back with `sgtk-eventd import-ids`; without either, the daemon would begin at the site's latest \
         event"
    )]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// It cannot be written: the disk is full, or the folder is not ours. What was not written is tried
    /// again.
    #[error("failed to write the state {path}: {reason}")]
    Write {
        /// The file.
        path: String,
        /// What the system says.
        reason: String,
    },
    /// The server that keeps the events did not do something. It is tried again.
    #[error("{what} of the NATS server {url}: {reason}")]
    Server {
        /// What was asked for it: a stream, a consumer.
        what: String,
        /// The server.
        url: String,
        /// What it says.
        reason: String,
    },
    /// It is not known yet which lanes have to be there for events.
    #[error("cannot determine which projects have plugins: {reason}")]
    Readers {
        /// What the site, or its worker, says.
        reason: String,
    },
    /// There is no such thing.
    #[error("there is no {what} '{name}'")]
    Unknown {
        /// A lane, an event.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The message was settled before, or its lane has moved on.
    #[error("event {event} is not the one that lane '{lane}' is at")]
    NotInFlight {
        /// The lane.
        lane: String,
        /// The event.
        event: i64,
    },
    /// The queue has been closed.
    #[error("the queue was closed")]
    Closed,
}

/// The queue. All promises are durable when a method returns, but for [`Verdict::Done`] and
/// [`Verdict::Passed`], which a power failure may take back within an instant: their event is then given out
/// again.
#[async_trait]
pub trait Queue: Send + Sync + 'static {
    /// What was seen of a site. None for one that nothing is known of.
    async fn window(&self, site: &str) -> Result<Option<Window>, QueueError>;

    /// Appends events. Those that are there already, by site and id, are left out. Returns how many were new.
    async fn append(&self, batch: Batch) -> Result<usize, QueueError>;

    /// Opens lanes: those that are not known begin where they say, others go on where they were.
    async fn open(&self, lanes: Vec<Lane>) -> Result<(), QueueError>;

    /// Reads lanes no longer. Their places are kept for a plugin that comes back.
    async fn close(&self, lanes: &[LaneName]) -> Result<(), QueueError>;

    /// Waits until one of the lanes has an event whose time has come, and gives the earliest out; of lanes
    /// that are at the same one, the first named. What was given out and not settled is given out again. Safe
    /// to be dropped.
    async fn next(&self, lanes: &[LaneName]) -> Result<Message, QueueError>;

    /// As [`next`](Self::next), with those that follow it at once: up to `most` in the order in which they
    /// are to be run. An engine that keeps no [`notes`](Self::notes) gives one.
    async fn take(&self, lanes: &[LaneName], most: usize) -> Result<Vec<Message>, QueueError> {
        let _ = most;
        Ok(vec![self.next(lanes).await?])
    }

    /// Where a worker notes how far it is with messages that it was given together, so that the queue knows
    /// after a crash. None where it could not know: then one message is run after the other.
    fn notes(&self, worker: &str) -> Option<Notes> {
        let _ = worker;
        None
    }

    /// Settles messages that were taken together, in their order, as done or passed.
    async fn settle_all(&self, messages: &[Message], verdict: Verdict) -> Result<(), QueueError> {
        for message in messages {
            self.settle(message, verdict.clone()).await?;
        }
        Ok(())
    }

    /// Writes down that the message's callbacks are being run, so that after a crash it is known that they
    /// may have.
    async fn begin(&self, message: &Message) -> Result<(), QueueError>;

    /// Says that the message is still being worked on. An engine with a time limit on silence wants to hear
    /// it.
    async fn progress(&self, message: &Message) -> Result<(), QueueError>;

    /// Waits until the message must not be worked on here any longer, as this host was silent for too long
    /// and another one may have it. Never, where there is one host. Safe to be dropped.
    async fn revoked(&self, message: &Message) {
        let _ = message;
        std::future::pending().await
    }

    /// Gives back a message that cannot be worked on now, unsettled: it is for another host, if there is one.
    async fn give_back(&self, message: &Message, reason: &str) {
        let _ = (message, reason);
    }

    /// Gives out nothing more from now on: the daemon is about to end. What was given out can be settled.
    async fn rest(&self) {}

    /// Settles a message.
    async fn settle(&self, message: &Message, verdict: Verdict) -> Result<(), QueueError>;

    /// Has a lane that is parked, or waits for a retry, go on at once; with `skip` its event becomes a dead
    /// letter. With an event, only where it is at that one. Whether there was anything to resume.
    async fn resume(&self, lane: &LaneName, event: Option<i64>, skip: bool) -> Result<bool, QueueError>;

    /// Pauses a lane until it is resumed by the same. Kept over restarts.
    async fn pause(&self, lane: &LaneName, paused: bool) -> Result<(), QueueError>;

    /// Appends an event again for some lanes alone. They have it after what they wait for.
    async fn replay(&self, event: Event, lanes: &[LaneName]) -> Result<(), QueueError>;

    /// An event that is kept still, or a dead letter's.
    async fn find(&self, site: &str, event: i64) -> Result<Option<Event>, QueueError>;

    /// The dead letters, the last ones first.
    async fn dead(&self, most: usize) -> Result<Vec<DeadLetter>, QueueError>;

    /// Takes dead letters of an event away: of one lane, or of all. Returns the lanes.
    async fn forget_dead(&self, event: i64, lane: Option<&LaneName>) -> Result<Vec<LaneName>, QueueError>;

    /// The projects that lanes have read, or are to read, with their sites: whoever starts opens lanes for
    /// them.
    async fn projects(&self) -> Result<Vec<(Arc<str>, i64)>, QueueError> {
        let lanes = self.state().await?.lanes.into_iter();
        Ok(lanes.filter_map(|lane| lane.project.map(|project| (lane.site, project))).collect())
    }

    /// What is known of all.
    async fn state(&self) -> Result<State, QueueError>;

    /// The run before this one, where that is known and it did not end in good order.
    fn broken_off(&self) -> Option<BrokenOff> {
        None
    }

    /// A daemon runs from now on, until [`shut_down`](Self::shut_down).
    async fn begin_run(&self) -> Result<(), QueueError> {
        Ok(())
    }

    /// Writes down what was not yet, and ends. Further calls fail.
    async fn shut_down(&self) -> Result<(), QueueError>;
}
