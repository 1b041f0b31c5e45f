//! The projects of one host: their keys, and those whose cores are imported.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use pyo3::prelude::*;
use sgtk_config::{CoreLocation, Fingerprint};

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

/// What the files of a core looked like just before it was imported.
pub(crate) struct Seen {
    fingerprint: Fingerprint,
    checked: Instant,
}

impl Seen {
    pub(crate) fn of(location: &CoreLocation) -> Self {
        Self { fingerprint: Fingerprint::quick(location), checked: Instant::now() }
    }
}

struct Entry {
    state: Arc<ImportState>,
    seen: Seen,
    used: Instant,
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

    pub(crate) fn insert(&self, state: &Arc<ImportState>, seen: Seen) {
        let entry = Entry { seen, used: Instant::now(), state: Arc::clone(state) };
        self.known().entries.insert(entry.state.project().to_owned(), entry);
    }

    pub(crate) fn remove(&self, project: &str) -> Option<Arc<ImportState>> {
        self.known().entries.remove(project).map(|entry| entry.state)
    }

    pub(crate) fn touch(&self, project: &str) {
        if let Some(entry) = self.known().entries.get_mut(project) {
            entry.used = Instant::now();
        }
    }

    /// The files of the project's core that are not what they were at its import, where it is time to look; nothing
    /// where it is not, or where all are the same.
    pub(crate) fn outdated(&self, project: &str, after: Duration) -> Option<Vec<PathBuf>> {
        let (state, due) = {
            let known = self.known();
            let entry = known.entries.get(project)?;
            (Arc::clone(&entry.state), entry.seen.checked.elapsed() >= after)
        };
        if !due {
            return None;
        }
        // Files may be slow to look at, so nothing is locked meanwhile.
        let now = Seen::of(state.location());
        let mut known = self.known();
        let entry = known.entries.get_mut(project)?;
        entry.seen.checked = now.checked;
        let changed = entry.seen.fingerprint.changed(&now.fingerprint);
        let changed: Vec<PathBuf> = changed.map(std::borrow::ToOwned::to_owned).collect();
        (!changed.is_empty()).then_some(changed)
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
        let residents = entries.into_iter().map(|(used, state)| Resident {
            project: state.project().to_owned(),
            core: state.location().clone(),
            modules: modules_of(py, &state).len(),
            entries: state.entries(),
            idle: used.elapsed(),
        });
        residents.collect()
    }
}
