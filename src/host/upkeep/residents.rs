//! The projects of one host: their keys, and those whose cores are imported.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use pyo3::prelude::*;
use sgtk_config::{Changed, CoreLocation, Fingerprint, ProjectWatch};

use crate::host::gate::Key;
use crate::host::ownership::import_state::ImportState;
use crate::host::state::world::modules_of;

/// A project whose core is imported, parked or in place.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Resident {
    /// The project.
    pub project: String,
    /// Its core.
    pub core: CoreLocation,
    /// How many modules it owns. Those imported since it was last put in place are not counted yet.
    pub modules: usize,
    /// How often it was put in place.
    pub entries: u64,
    /// How long ago it was last leased.
    pub idle: Duration,
}

struct Entry {
    state: Arc<ImportState>,
    /// Taken away while files are looked at, which may be slow.
    watch: Option<ProjectWatch>,
    checked: Instant,
    /// Why what is in memory was kept although files have changed.
    kept: Option<Kept>,
    used: Instant,
}

/// Why a project's core in memory is not given up for what is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// A file of the configuration's or the plugins' is gone, which may be for a moment.
    Gone,
    /// No core is found on disk, or one that is in the middle of an upgrade.
    NotWhole,
    /// What is on disk could not be imported, or its files cannot be read as what they are. It is tried again
    /// once the files are others than these.
    Unusable(Fingerprint),
}

#[derive(Default)]
struct Known {
    keys: HashMap<String, Key>,
    entries: HashMap<String, Entry>,
}

/// See the module's documentation. The lock is held for moments, and never while Python code runs.
#[derive(Default)]
pub(crate) struct Residents {
    known: Mutex<Known>,
}

impl Residents {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock()
    }

    pub(crate) fn key(&self, project: &str) -> Option<Key> {
        self.known().keys.get(project).cloned()
    }

    pub(crate) fn key_or_new(&self, project: &str) -> Key {
        self.known().keys.entry(project.to_owned()).or_insert_with(|| Key::unique(project)).clone()
    }

    pub(crate) fn get(&self, project: &str) -> Option<Arc<ImportState>> {
        self.known().entries.get(project).map(|entry| Arc::clone(&entry.state))
    }

    pub(crate) fn states(&self) -> Vec<Arc<ImportState>> {
        self.known().entries.values().map(|entry| Arc::clone(&entry.state)).collect()
    }

    /// Has this state be the project's. Returns the one that was.
    pub(crate) fn insert(&self, state: &Arc<ImportState>, watch: ProjectWatch) -> Option<Arc<ImportState>> {
        let now = Instant::now();
        let (state, watch) = (Arc::clone(state), Some(watch));
        let entry = Entry { state, watch, checked: now, kept: None, used: now };
        let before = self.known().entries.insert(entry.state.project().to_owned(), entry);
        before.map(|entry| entry.state)
    }

    /// Why the project's core in memory was kept when its files were looked at last.
    pub(crate) fn kept(&self, project: &str) -> Option<Kept> {
        self.known().entries.get(project).and_then(|entry| entry.kept.clone())
    }

    /// Notes why the project's core in memory is kept, nothing where there is no reason to give it up.
    /// Returns whether that is news.
    pub(crate) fn keep(&self, project: &str, why: Option<Kept>) -> bool {
        let mut known = self.known();
        let Some(entry) = known.entries.get_mut(project) else { return false };
        let is_news = entry.kept != why;
        entry.kept = why;
        is_news
    }

    pub(crate) fn remove(&self, project: &str) -> Option<Arc<ImportState>> {
        self.known().entries.remove(project).map(|entry| entry.state)
    }

    pub(crate) fn touch(&self, project: &str) {
        if let Some(entry) = self.known().entries.get_mut(project) {
            entry.used = Instant::now();
        }
    }

    /// Whether it is time to look at the project's files.
    pub(crate) fn is_due(&self, project: &str, after: Duration) -> bool {
        self.known().entries.get(project).is_some_and(|entry| entry.checked.elapsed() >= after)
    }

    /// The files of the project that are not what they were at its import.
    pub(crate) fn changed(&self, project: &str) -> Option<Changed> {
        let (mut watch, of_all) = {
            let mut known = self.known();
            let entry = known.entries.get_mut(project)?;
            (entry.watch.take()?, entry.kept.is_some())
        };
        // Files may be slow to look at, so nothing is locked meanwhile.
        let changed = if of_all { watch.changed_of_all() } else { watch.changed() };
        let mut known = self.known();
        let entry = known.entries.get_mut(project)?;
        (entry.watch, entry.checked) = (Some(watch), Instant::now());
        Some(changed)
    }

    /// The least recently used projects beyond `most`, sparing one.
    pub(crate) fn beyond(&self, most: usize, spared: &str) -> Vec<String> {
        let known = self.known();
        let mut others: Vec<_> = known.entries.values().filter(|one| one.state.project() != spared).collect();
        others.sort_by_key(|entry| entry.used);
        let surplus = known.entries.len().saturating_sub(most);
        others.into_iter().take(surplus).map(|entry| entry.state.project().to_owned()).collect()
    }

    pub(crate) fn list(&self, py: Python<'_>) -> Vec<Resident> {
        let mut entries: Vec<_> = {
            let known = self.known();
            known.entries.values().map(|entry| (entry.used, Arc::clone(&entry.state))).collect()
        };
        entries.sort_by_key(|(used, _)| *used);
        // One moment for all, as counting their modules takes time.
        let now = Instant::now();
        let residents = entries.into_iter().map(|(used, state)| Resident {
            project: state.project().to_owned(),
            core: state.location().clone(),
            modules: modules_of(py, &state).len(),
            entries: state.entries(),
            idle: now.saturating_duration_since(used),
        });
        residents.collect()
    }
}
