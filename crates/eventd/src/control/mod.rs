//! What people ask of a daemon that runs: by the command line over a socket, or by the page.

pub mod page;
pub mod socket;
mod status;
pub mod webhook;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::event::Event;
use crate::lanes::ids::IdsError;
use crate::lanes::{Lanes, Shared, ids, parts};
use crate::queue::{LaneName, LaneState, QueueError};
use crate::site::Site;
use crate::source::poll::ask;
use crate::workers::{CallError, Worker};

pub use status::{LaneStatus, SiteStatus, Status, first_line};

/// What is asked for.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Request {
    /// How everything is.
    Status,
    /// The last dead letters.
    Dead {
        /// How many.
        most: usize,
    },
    /// Try an event that failed again at once: that of a lane that waits at it, or a dead letter.
    Retry {
        /// Its id.
        event: i64,
        /// The plugin, where it is not for all that failed.
        plugin: Option<String>,
    },
    /// Have a lane that waits at an event that failed go on with the next.
    Skip {
        /// Its id.
        event: i64,
        /// The plugin.
        plugin: Option<String>,
    },
    /// Give an event out again, whatever has become of it.
    Replay {
        /// Its id.
        event: i64,
        /// The plugin, where it is not for all.
        plugin: Option<String>,
        /// The site, where there are several.
        site: Option<String>,
    },
    /// Give a plugin no more events until it is resumed.
    Pause {
        /// The plugin.
        plugin: String,
    },
    /// Let it go on.
    Resume {
        /// The plugin.
        plugin: String,
        /// Whether the event that it has stopped at becomes a dead letter.
        #[serde(default)]
        skip: bool,
    },
    /// Load all plugins anew, with what they import.
    Reload,
    /// Write the ids into a file for shotgunEvents.
    ExportIds {
        /// The file.
        path: String,
    },
}

/// Why what was asked for was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The queue's reason.
    #[error(transparent)]
    Queue {
        /// Which.
        #[from]
        source: QueueError,
    },
    /// There is no event to leave out.
    #[error("the plugin '{plugin}' has not stopped at an event: there is none to leave out")]
    NotStopped {
        /// The plugin.
        plugin: String,
    },
    /// The id file's reason.
    #[error(transparent)]
    Ids {
        /// Which.
        #[from]
        source: IdsError,
    },
    /// The site, or a worker, has failed.
    #[error("{cause}")]
    Call {
        /// How. It is part of the message.
        cause: Box<CallError>,
    },
    /// There is nothing of that name.
    #[error("there is no {what} '{name}'{hint}")]
    Unknown {
        /// A plugin, a site, an event.
        what: &'static str,
        /// What was asked for.
        name: String,
        /// What there is instead.
        hint: String,
    },
}

impl From<CallError> for ControlError {
    fn from(cause: CallError) -> ControlError {
        ControlError::Call { cause: Box::new(cause) }
    }
}

/// Does what is asked for.
pub struct Operator {
    /// The daemon's parts.
    pub shared: Shared,
    /// Its lanes.
    pub lanes: Arc<Lanes>,
}

impl Operator {
    /// Does it, and gives the answer.
    ///
    /// # Errors
    /// It cannot be done: the reason is for the person who asked.
    pub async fn handle(&self, request: Request) -> Result<Value, ControlError> {
        let queue = &self.shared.queue;
        match request {
            Request::Status => Ok(json!(self.status().await?)),
            Request::Dead { most } => Ok(json!(queue.dead(most).await?)),
            Request::Retry { event, plugin } => self.retry(event, plugin).await,
            Request::Skip { event, plugin } => self.skip(event, plugin).await,
            Request::Replay { event, plugin, site } => self.replay(event, plugin, site).await,
            Request::Pause { plugin } => self.pause(&plugin, true, false).await,
            Request::Resume { plugin, skip } => self.pause(&plugin, false, skip).await,
            Request::Reload => {
                self.lanes.reload().await;
                Ok(json!({ "reloading": true }))
            }
            Request::ExportIds { path } => {
                let written = ids::export(&self.shared, &path).await?;
                Ok(json!({ "path": path, "plugins": written }))
            }
        }
    }

    /// How everything is.
    ///
    /// # Errors
    /// As the queue's.
    pub async fn status(&self) -> Result<Status, QueueError> {
        status::gather(&self.shared).await
    }

    /// The lanes of a plugin, by its name, its path, or the lane's own name.
    async fn lanes_of(&self, plugin: Option<&str>) -> Result<Vec<LaneState>, ControlError> {
        let state = self.shared.queue.state().await?;
        let Some(wanted) = plugin else { return Ok(state.lanes) };
        let is_meant = |name: &LaneName| {
            let (_, key, _) = parts(name);
            let file = key.rsplit('/').next().unwrap_or(key);
            *name.0 == *wanted
                || short(name) == wanted
                || [key, file, file.trim_end_matches(".py")].contains(&wanted)
        };
        let (found, others): (Vec<_>, Vec<_>) =
            state.lanes.into_iter().partition(|lane| is_meant(&lane.name));
        if found.is_empty() {
            let mut names: Vec<_> = others.iter().map(|lane| short(&lane.name)).collect();
            names.sort();
            names.dedup();
            let hint =
                if names.is_empty() { String::new() } else { format!("; there are {}", names.join(", ")) };
            return Err(ControlError::Unknown { what: "plugin", name: wanted.to_owned(), hint });
        }
        Ok(found)
    }

    async fn retry(&self, event: i64, plugin: Option<String>) -> Result<Value, ControlError> {
        let lanes = self.lanes_of(plugin.as_deref()).await?;
        let mut done = Vec::new();
        for lane in &lanes {
            if self.shared.queue.resume(&lane.name, Some(event), false).await? {
                done.push(lane.name.clone());
            }
        }
        // Dead letters are found before they are forgotten: a crash in between gives the event out twice, not
        // never.
        for lane in &lanes {
            let letters = self.shared.queue.dead(usize::MAX >> 1).await?;
            if letters.iter().any(|letter| letter.event == event && letter.lane == lane.name)
                && let Some(found) = self.shared.queue.find(&lane.site, event).await?
            {
                self.shared.queue.replay(found, std::slice::from_ref(&lane.name)).await?;
                self.shared.queue.forget_dead(event, Some(&lane.name)).await?;
                done.push(lane.name.clone());
            }
        }
        self.told("retried", event, done)
    }

    async fn skip(&self, event: i64, plugin: Option<String>) -> Result<Value, ControlError> {
        let mut done = Vec::new();
        for lane in self.lanes_of(plugin.as_deref()).await? {
            if self.shared.queue.resume(&lane.name, Some(event), true).await? {
                done.push(lane.name);
            }
        }
        self.told("skipped", event, done)
    }

    fn told(&self, what: &str, event: i64, lanes: Vec<LaneName>) -> Result<Value, ControlError> {
        if lanes.is_empty() {
            let hint = ": no lane waits at it and no dead letter is of it".to_owned();
            return Err(ControlError::Unknown { what: "failed event", name: event.to_string(), hint });
        }
        tracing::info!(event, lanes = lanes.len(), "an event is {what} by hand");
        Ok(json!({ what: lanes }))
    }

    async fn replay(
        &self,
        event: i64,
        plugin: Option<String>,
        site: Option<String>,
    ) -> Result<Value, ControlError> {
        let site = self.site(site.as_deref())?.clone();
        let lanes = self.lanes_of(plugin.as_deref()).await?;
        let found = match self.shared.queue.find(&site.name, event).await? {
            Some(found) => found,
            None => self.fetch(&site, event).await?,
        };
        let is_for = |lane: &&LaneState| {
            lane.site == site.name && lane.open && (lane.project.is_none() || lane.project == found.project)
        };
        let names: Vec<_> = lanes.iter().filter(is_for).map(|lane| lane.name.clone()).collect();
        self.shared.queue.replay(found, &names).await?;
        self.told("replayed", event, names)
    }

    fn site(&self, name: Option<&str>) -> Result<&Site, ControlError> {
        let sites = &self.shared.settings.sites;
        let found = match name {
            Some(name) => sites.iter().find(|site| *site.name == *name),
            None => sites.first(),
        };
        found.ok_or_else(|| {
            let names: Vec<_> = sites.iter().map(|site| &*site.name).collect();
            let hint = format!("; there are {}", names.join(", "));
            ControlError::Unknown { what: "site", name: name.unwrap_or_default().to_owned(), hint }
        })
    }

    /// An event that is not kept any more, from the site itself.
    async fn fetch(&self, site: &Site, event: i64) -> Result<Event, ControlError> {
        let setup = self.shared.settings.setup(site);
        let worker = Worker::Plain(format!("site-{}", site.name));
        let found = ask(&self.shared.workers, &worker, setup, None, (vec![event], Vec::new()), 1).await?;
        let found = found.into_iter().next().and_then(|body| Event::new(&site.name, body).ok());
        found.ok_or_else(|| ControlError::Unknown {
            what: "event",
            name: event.to_string(),
            hint: format!(" on {}", site.server),
        })
    }

    async fn pause(&self, plugin: &str, paused: bool, skip: bool) -> Result<Value, ControlError> {
        let lanes = self.lanes_of(Some(plugin)).await?;
        if skip && !lanes.iter().any(|lane| lane.parked || lane.failure.is_some()) {
            return Err(ControlError::NotStopped { plugin: plugin.to_owned() });
        }
        for lane in &lanes {
            self.shared.queue.pause(&lane.name, paused).await?;
            if !paused {
                // Whoever resumes a plugin means one that has stopped, too.
                self.shared.queue.resume(&lane.name, None, skip).await?;
            }
        }
        let names: Vec<_> = lanes.iter().map(|lane| &lane.name).collect();
        tracing::info!(plugin, paused, lanes = names.len(), "a plugin is paused or resumed by hand");
        Ok(json!({ if paused { "paused" } else { "resumed" }: names }))
    }
}

/// A lane's name for people: the plugin's, and the project.
#[must_use]
pub fn short(lane: &LaneName) -> String {
    let (_, key, project) = parts(lane);
    let name = key.rsplit('/').next().unwrap_or(key).trim_end_matches(".py");
    project.map_or_else(|| name.to_owned(), |project| format!("{name}@{project}"))
}
