//! The log: `tracing` on standard output, and in files with the names, the format and the rotation of
//! shotgunEvents.
//!
//! A plugin's own records come as JSON in a record of the logger `sgtk_eventd.record` (see
//! `python/sgtk_eventd/records.py`).

mod files;
mod record;

use std::collections::HashMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use sgtk_config::keys::redacted;
use tokio::sync::mpsc::UnboundedSender;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

pub use files::Rotating;
pub use record::Record;

/// Python's level of errors, from which on they are mailed.
const ERROR: i64 = 40;

/// Where records go.
#[derive(Debug)]
pub struct Destinations {
    /// The folder and the name of the daemon's file.
    pub main: Option<PathBuf>,
    /// Whether plugins have files of their own, `plugin.<name>` in this folder.
    pub per_plugin: Option<PathBuf>,
    /// From which level on the daemon's own records are kept.
    pub level: i64,
    /// JSON lines on standard output.
    pub json: bool,
    /// Where errors go to be mailed.
    pub mail: Option<UnboundedSender<Record>>,
}

/// The log. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Log {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    to: Destinations,
    files: HashMap<PathBuf, Rotating>,
    /// Whether standard output has records at all.
    stdout: bool,
}

impl Log {
    /// Makes the log this process's, for standard output alone at first.
    #[must_use]
    pub fn start(level: i64, stdout: bool) -> Log {
        let to = Destinations { main: None, per_plugin: None, level, json: false, mail: None };
        let log = Log { inner: Arc::new(Mutex::new(Inner { to, files: HashMap::new(), stdout })) };
        // Another one is there only in tests, which then read that.
        let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(log.clone()));
        log
    }

    /// From now on records go there.
    pub fn send_to(&self, to: Destinations) {
        let mut inner = self.lock();
        inner.to = to;
        inner.files.clear();
    }

    /// Whether records go to standard output as well.
    #[must_use]
    pub fn is_on_stdout(&self) -> bool {
        self.lock().stdout
    }

    /// Mails no further errors: what was gathered is mailed at once.
    pub fn end_mail(&self) {
        self.lock().to.mail = None;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    fn write(&self, mut record: Record) {
        // What a plugin raises may have the site's keys in it.
        record.message = redacted(&record.message).into_owned();
        let mut inner = self.lock();
        // A plugin's loggers have levels of their own.
        if record.plugin.is_none() && record.level < inner.to.level {
            return;
        }
        if inner.stdout {
            let line = if inner.to.json { record.json() } else { record.line() };
            // Nobody may be listening.
            let _ = writeln!(std::io::stdout().lock(), "{line}");
        }
        let own = match (&inner.to.per_plugin, &record.plugin) {
            (Some(folder), Some(plugin)) => Some(folder.join(format!("plugin.{plugin}"))),
            _ => None,
        };
        // Where a plugin's own cannot be written, for its long name, say, it is in the daemon's.
        for path in own.into_iter().chain(inner.to.main.clone()) {
            let file = inner.files.entry(path.clone()).or_insert_with(|| Rotating::new(path));
            if file.write(&record.line()) {
                break;
            }
        }
        if record.level >= ERROR
            && let Some(mail) = &inner.to.mail
        {
            let _ = mail.send(record);
        }
    }
}

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        if let Some(record) = Record::of(event) {
            self.write(record);
        }
    }
}
