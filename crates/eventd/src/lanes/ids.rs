//! The `eventIdFile` of shotgunEvents: the way in, and the way out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::{Shared, lane_name, parts};
use crate::plugins::{self, Listing};
use crate::queue::{Batch, Lane, Queue, QueueError, Start};
use crate::source::window::Window;
use crate::workers::{CallError, Worker, Workers};

/// By folder and plugin: the last id, and the missing ones with the seconds for which they are waited for
/// still.
type Folders<Id> = BTreeMap<String, BTreeMap<String, (i64, BTreeMap<Id, f64>)>>;

/// What an id file says.
#[derive(Debug, Deserialize)]
struct Ids {
    /// An old one: the same id for all plugins.
    all: Option<i64>,
    #[serde(default)]
    folders: Folders<String>,
}

/// What was read in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imported {
    /// How many plugins go on where they were.
    pub plugins: usize,
    /// The id after which the site is polled.
    pub cursor: i64,
}

/// Why ids cannot be taken over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdsError {
    /// The file cannot be read.
    #[error("cannot read the ids of {path}: {cause}")]
    Read {
        /// The file.
        path: String,
        /// Why. It is part of the message.
        cause: Box<CallError>,
    },
    /// The file cannot be written.
    #[error("cannot write the ids to {path}: {cause}")]
    Write {
        /// The file.
        path: String,
        /// Why. It is part of the message.
        cause: Box<CallError>,
    },
    /// There are none.
    #[error("the state knows of no plugin of [plugins] paths, so there is nothing to write")]
    Nothing,
    /// They cannot be written down.
    #[error(transparent)]
    Queue {
        /// Why.
        #[from]
        source: QueueError,
    },
}

fn worker() -> Worker {
    Worker::Plain("configuration".to_owned())
}

impl Ids {
    fn furthest(&self) -> Option<i64> {
        self.folders.values().flat_map(BTreeMap::values).map(|(id, _)| *id).max()
    }

    /// Where a plugin is: by its folder, or in whichever folder it was the furthest, as shotgunEvents does
    /// where the folder was moved.
    fn of(&self, folder: &str, name: &str) -> Option<(i64, &BTreeMap<String, f64>)> {
        let same = |path: &str| path.trim_end_matches('/') == folder;
        let own = self.folders.iter().find(|(path, _)| same(path)).and_then(|(_, plugins)| plugins.get(name));
        let any = || self.folders.values().filter_map(|plugins| plugins.get(name)).max_by_key(|(id, _)| *id);
        own.or_else(any).map(|(id, missing)| (*id, missing))
    }
}

/// What an id file means for the plugins that there are.
#[derive(Debug)]
pub struct Plan {
    site: Arc<str>,
    lanes: Vec<Lane>,
    window: Window,
    imported: Imported,
}

impl Plan {
    /// What it comes to.
    #[must_use]
    pub fn imported(&self) -> Imported {
        self.imported
    }
}

/// Reads an id file. None where it knows nothing of any plugin.
///
/// # Errors
/// The file is none.
pub async fn read(
    workers: &Workers,
    folders: &[std::path::PathBuf],
    site: &Arc<str>,
    path: &Path,
) -> Result<Option<Plan>, IdsError> {
    let name = path.to_string_lossy().into_owned();
    let ids = workers.call::<Ids>(&worker(), "state:read", |call| call.arg(&name), None).await;
    let ids = ids.map_err(|cause| IdsError::Read { path: name.clone(), cause: Box::new(cause) })?;
    let now = jiff::Timestamp::now().as_millisecond().unsigned_abs();
    let mut lanes = Vec::new();
    let mut cursor: Option<i64> = None;
    let mut missing: BTreeMap<i64, u64> = BTreeMap::new();
    for file in plugins::list(folders, &Listing::default()).files {
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let none = BTreeMap::new();
        let known = ids.of(folder, &file.name).or_else(|| ids.all.map(|id| (id, &none)));
        // One that is new begins where the furthest is.
        let Some((id, left)) = known.or_else(|| ids.furthest().map(|id| (id, &none))) else { continue };
        let mut own = Vec::new();
        for (missed, seconds) in left {
            let Ok(missed) = missed.parse::<i64>() else { continue };
            own.push(missed);
            missing.insert(missed, now + (seconds.max(0.0) * 1000.0) as u64);
        }
        cursor = Some(cursor.map_or(id, |cursor| cursor.min(id)));
        let start = Start::After { id, missing: own };
        lanes.push(Lane {
            name: lane_name(site, &file.key, None),
            site: Arc::clone(site),
            project: None,
            start,
        });
    }
    Ok(cursor.map(|cursor| Plan {
        site: Arc::clone(site),
        imported: Imported { plugins: lanes.len(), cursor },
        lanes,
        window: Window::with_missing(cursor, missing),
    }))
}

/// Takes ids over into a queue that knows nothing of the site yet.
///
/// # Errors
/// The queue cannot be written.
pub async fn import(queue: &dyn Queue, plan: Plan) -> Result<Imported, IdsError> {
    queue.open(plan.lanes).await?;
    queue.append(Batch { site: plan.site, events: Vec::new(), window: plan.window }).await?;
    Ok(plan.imported)
}

/// Writes where the plugins without Toolkit are into a file for shotgunEvents. Returns how many there are.
///
/// # Errors
/// The file cannot be written.
pub async fn export(shared: &Shared, path: &str) -> Result<usize, IdsError> {
    let state = shared.queue.state().await?;
    let Some(site) = shared.settings.sites.first() else { return Err(IdsError::Nothing) };
    let window = shared.queue.window(&site.name).await?.unwrap_or_else(|| Window::new(0));
    let now = jiff::Timestamp::now().as_millisecond().unsigned_abs();
    let mut folders: Folders<i64> = BTreeMap::new();
    let mut count = 0;
    for lane in state.lanes.iter().filter(|lane| lane.site == site.name && lane.project.is_none()) {
        let (_, key, _) = parts(&lane.name);
        let Some((folder, file)) = key.rsplit_once('/') else { continue };
        let last = if lane.waiting == 0 { window.cursor() } else { lane.last_id };
        // A gap of millions of ids, which a site that was moved has, is nothing that shotgunEvents could wait
        // for.
        let gaps = window.ranges().filter(|(first, end, _)| *first < last && end - first < 10_000);
        let mut left: BTreeMap<i64, f64> = gaps
            .flat_map(|(first, end, until)| {
                let seconds = Duration::from_millis(until.saturating_sub(now)).as_secs_f64();
                (first..=end).filter(|id| *id < last).map(move |id| (id, seconds))
            })
            .collect();
        // Those that came late and are not done yet.
        left.extend(lane.undone.iter().map(|id| (*id, 300.0)));
        let name = file.trim_end_matches(".py").to_owned();
        folders.entry(folder.to_owned()).or_default().insert(name, (last, left));
        count += 1;
    }
    if count == 0 {
        // Whatever is at that path says more.
        return Err(IdsError::Nothing);
    }
    let known: BTreeSet<String> = folders.keys().cloned().collect();
    // As the configuration writes the folder: shotgunEvents looks for it by that.
    for written in &shared.settings.plugin_paths {
        let written = written.to_string_lossy().into_owned();
        let plain = written.trim_end_matches('/').to_owned();
        if plain != written && known.contains(&plain) {
            let plugins = folders.remove(&plain).unwrap_or_default();
            folders.insert(written, plugins);
        }
    }
    shared
        .workers
        .call::<()>(&worker(), "state:write", |call| call.arg(path).arg(json!(folders)), None)
        .await
        .map_err(|cause| IdsError::Write { path: path.to_owned(), cause: Box::new(cause) })?;
    Ok(count)
}
