//! What is going on at this moment, for `status`, the page and the mails.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};

use crate::plugins::{Emails, Problem};
use crate::queue::{LaneName, Notes};

/// What is going on.
#[derive(Debug, Default)]
pub struct Board {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    running: HashMap<LaneName, (Running, Instant)>,
    /// What workers were given together.
    batches: Vec<Batch>,
    plugins: HashMap<String, PluginNote>,
    sites: HashMap<Arc<str>, SiteNote>,
}

#[derive(Debug)]
struct Batch {
    notes: Arc<Notes>,
    /// Lane, event, and callbacks' names of each.
    items: Vec<(LaneName, i64, Vec<String>)>,
    since: Instant,
}

/// A callback that is running.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Running {
    /// The event.
    pub event: i64,
    /// The callback.
    pub callback: String,
    /// For how long.
    pub ms: u64,
}

/// What is known of a plugin beyond its lanes.
#[derive(Clone, Debug)]
pub struct PluginNote {
    /// Its name for people.
    pub name: String,
    /// Why it is inactive.
    pub problem: Option<Problem>,
    /// Whom its errors are mailed to.
    pub emails: Emails,
    /// Its callbacks' names.
    pub callbacks: Vec<String>,
}

/// What is known of a site.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SiteNote {
    /// How often it was asked.
    pub polls: u64,
    /// Failed connections in a row.
    pub failures: u32,
    /// The last thing that went wrong, while it does.
    pub error: Option<String>,
    /// Since when it owes an answer, where that is long.
    #[serde(skip)]
    pub silent_since: Option<Instant>,
    /// The site's latest event when it was last looked for, while there is more than a page to come.
    pub latest: Option<i64>,
}

impl SiteNote {
    /// What is wrong, for people.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let seconds = self.silent_since.map(|since| since.elapsed().as_secs());
        let silent = seconds.map(|seconds| format!("has not answered for {seconds} s"));
        match (&self.error, silent) {
            (Some(error), Some(silent)) => Some(format!("{silent}; before: {error}")),
            (error, silent) => silent.or_else(|| error.clone()),
        }
    }
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// A callback begins.
    pub fn begins(&self, lane: &LaneName, event: i64, callback: &str) {
        let running = Running { event, callback: callback.to_owned(), ms: 0 };
        self.lock().running.insert(lane.clone(), (running, Instant::now()));
    }

    /// It has ended.
    pub fn ended(&self, lane: &LaneName) {
        self.lock().running.remove(lane);
    }

    /// Callbacks of events begin that a worker was given together: which one is running, its notes say.
    pub fn begins_all(&self, notes: Arc<Notes>, items: Vec<(LaneName, i64, Vec<String>)>) {
        self.lock().batches.push(Batch { notes, items, since: Instant::now() });
    }

    /// They have ended.
    pub fn ended_all(&self, notes: &Arc<Notes>) {
        self.lock().batches.retain(|batch| !Arc::ptr_eq(&batch.notes, notes));
    }

    /// What a lane is running.
    #[must_use]
    pub fn running(&self, lane: &LaneName) -> Option<Running> {
        let inner = self.lock();
        for batch in &inner.batches {
            let progress = batch.notes.progress();
            // A moment before the first and between two, the next one counts.
            let Some((of, event, callbacks)) = batch.items.get(progress.done) else { continue };
            if of == lane {
                let callback =
                    callbacks.get(progress.callback).or(callbacks.first()).cloned().unwrap_or_default();
                // The worker begins nothing more a moment after the first.
                let ms = batch.since.elapsed().as_millis() as u64;
                return Some(Running { event: *event, callback, ms });
            }
        }
        let (running, since) = inner.running.get(lane)?;
        Some(Running { ms: since.elapsed().as_millis() as u64, ..running.clone() })
    }

    /// What a worker has told about a plugin.
    pub fn note_plugin(&self, key: &str, note: PluginNote) {
        self.lock().plugins.insert(key.to_owned(), note);
    }

    /// It is gone.
    pub fn forget_plugin(&self, key: &str) {
        self.lock().plugins.remove(key);
    }

    /// What is known of a plugin.
    #[must_use]
    pub fn plugin(&self, key: &str) -> Option<PluginNote> {
        self.lock().plugins.get(key).cloned()
    }

    /// A plugin by its name for people.
    #[must_use]
    pub fn plugin_named(&self, name: &str) -> Option<PluginNote> {
        let inner = self.lock();
        inner.plugins.get(name).or_else(|| inner.plugins.values().find(|note| note.name == name)).cloned()
    }

    /// Changes what is known of a site.
    pub fn note_site(&self, site: &Arc<str>, change: impl FnOnce(&mut SiteNote)) {
        change(self.lock().sites.entry(Arc::clone(site)).or_default());
    }

    /// What is known of a site.
    #[must_use]
    pub fn site(&self, site: &str) -> SiteNote {
        self.lock().sites.get(site).cloned().unwrap_or_default()
    }
}
