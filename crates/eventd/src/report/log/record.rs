//! A log record.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use crate::workers::plain::NO_PROJECT;

/// A log record.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Record {
    /// The logger: `engine`, `plugin.<name>`, `plugin.<name>.<callback>`.
    pub name: String,
    /// The level, in Python's numbers.
    pub level: i64,
    /// `INFO`.
    pub level_name: String,
    /// When, Unix time in seconds.
    pub created: f64,
    /// What.
    pub message: String,
    /// The file where it was said, for records of Python.
    #[serde(default)]
    pub path: String,
    /// The line there.
    #[serde(default)]
    pub line: Option<i64>,
    /// The function.
    #[serde(default)]
    pub function: String,
    /// The plugin whose record it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// The plugin that a record of the daemon's own is about, by its name or path.
    #[serde(skip)]
    pub about: Option<String>,
}

/// What tells of workers, and of what the projects' process does.
const WORKERS: [&str; 3] = ["sgtk_pool", "sgtk_host", "sgtk_eventd::in_process"];

/// The agent's logger.
const RECORDS: &str = "sgtk_eventd.record";

impl Record {
    /// What an event of `tracing` is as a record. None for what is nobody's concern.
    pub(crate) fn of(event: &Event<'_>) -> Option<Record> {
        let (target, level) = (event.metadata().target(), *event.metadata().level());
        let known = ["sgtk_eventd", "sgtk_pool", "sgtk_host", "sgtk_config", "sgtk"];
        if !known.iter().any(|name| {
            target == *name || target.strip_prefix(name).is_some_and(|rest| rest.starts_with("::"))
        }) {
            return None;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let logger = fields.others.get("logger").map(String::as_str);
        if logger == Some(RECORDS) {
            return serde_json::from_str(&fields.message).ok();
        }
        let (level, level_name) = match level {
            Level::ERROR => (40, "ERROR"),
            Level::WARN => (30, "WARNING"),
            Level::INFO => (20, "INFO"),
            Level::DEBUG => (10, "DEBUG"),
            Level::TRACE => (5, "TRACE"),
        };
        // The pool's own affairs, and Toolkit's, are of interest where something is wrong.
        let (name, level) = match logger {
            Some(logger) => (logger.to_owned(), level),
            None if level == 20 && WORKERS.iter().any(|of| target.starts_with(of)) => {
                ("engine.workers".to_owned(), 10)
            }
            None if target.starts_with("sgtk_host") => ("engine.workers".to_owned(), level),
            None => ("engine".to_owned(), level),
        };
        let level_name = if level == 10 { "DEBUG" } else { level_name };
        let about = fields.others.get("plugin").cloned();
        let mut message = fields.message;
        for (name, value) in fields.others {
            if !matches!((name, value.as_str()), ("logger" | "thread", _) | ("project", NO_PROJECT)) {
                let _ = write!(message, " {name}={value}");
            }
        }
        let created = Timestamp::now().as_microsecond() as f64 / 1e6;
        Some(Record {
            name,
            level,
            level_name: level_name.to_owned(),
            created,
            message,
            path: String::new(),
            line: None,
            function: String::new(),
            plugin: None,
            about,
        })
    }

    /// As `%(asctime)s - %(name)s - %(levelname)s - %(message)s` has it.
    pub(super) fn line(&self) -> String {
        format!("{} - {} - {} - {}", self.asctime(), self.name, self.level_name, self.message)
    }

    /// Local time with milliseconds after a comma.
    #[must_use]
    pub fn asctime(&self) -> String {
        let at = Timestamp::from_microsecond((self.created * 1e6) as i64).unwrap_or_default();
        let local = at.to_zoned(jiff::tz::TimeZone::system());
        format!("{},{:03}", local.strftime("%Y-%m-%d %H:%M:%S"), local.millisecond())
    }

    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The fields of an event.
#[derive(Default)]
struct Fields {
    message: String,
    others: BTreeMap<&'static str, String>,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

impl Fields {
    fn put(&mut self, field: &Field, value: String) {
        if field.name() == "message" {
            self.message = value;
        } else {
            self.others.insert(field.name(), value);
        }
    }
}
