//! Event-log entries, one JSON object a line.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde::Deserialize;
use serde_json::Value;
use sgtk_host::ProjectRef;

/// An entry of the event log.
pub(crate) struct Event {
    pub(crate) id: i64,
    /// `Shotgun_Version_Change` and the like.
    pub(crate) kind: String,
    /// Some events have no project: logins, for instance.
    pub(crate) project: Option<EventProject>,
    /// The field that changed, which plugins may filter by.
    pub(crate) attribute: Option<String>,
    /// The line.
    pub(crate) text: String,
}

/// An event's project.
pub(crate) struct EventProject {
    /// By which its configuration is found: its number on the site, or the name of the configuration's
    /// folder.
    pub(crate) reference: ProjectRef,
    /// What it is called, for people.
    pub(crate) shown: String,
}

/// The fields that the daemon itself needs. Plugins get all that the line has.
#[derive(Deserialize)]
struct Entry {
    id: i64,
    event_type: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    project: Option<Value>,
    attribute_name: Option<String>,
}

impl EventProject {
    /// A folder's name, or the entity as the site's API gives it: its number counts, as its name is for
    /// people and neither a folder nor unique.
    fn parse(project: &Value) -> Result<Self, String> {
        if let Some(folder) = project.as_str() {
            return Ok(Self { reference: folder.into(), shown: folder.to_owned() });
        }
        let reference = ProjectRef::try_from(project).map_err(|error| error.to_string())?;
        let name = project.get("name").and_then(Value::as_str);
        let shown = name.map_or_else(|| reference.to_string(), str::to_owned);
        Ok(Self { reference, shown })
    }
}

impl Event {
    fn parse(line: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(line).map_err(|_| "not UTF-8".to_owned())?;
        let entry: Entry = serde_json::from_str(text).map_err(|error| error.to_string())?;
        // An entity of the API has its own class in `type`, and the event's in `event_type`.
        let kind = entry.event_type.or(entry.kind).ok_or("missing field `type`")?;
        let project = entry.project.as_ref().map(EventProject::parse).transpose()?;
        Ok(Self { id: entry.id, kind, project, attribute: entry.attribute_name, text: text.to_owned() })
    }

    /// The event as plugins get it: the line's object, with `event_type` and `attribute_name` always there.
    pub(crate) fn to_python<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let event = py.import("json")?.call_method1("loads", (&self.text,))?.cast_into::<PyDict>()?;
        event.call_method1("setdefault", ("event_type", &self.kind))?;
        event.call_method1("setdefault", ("attribute_name", &self.attribute))?;
        Ok(event)
    }
}

/// A line: an event; or its number where it is none, and why.
pub(crate) type Line = Result<Event, (u64, String)>;

/// The lines of a file or of standard input.
pub(crate) struct Events {
    source: Box<dyn BufRead>,
    line: u64,
    /// How many bytes there are in all, where that is known.
    pub(crate) size: Option<u64>,
    /// How many bytes were read.
    pub(crate) read: u64,
}

impl Events {
    /// `-` is standard input.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let (source, size): (Box<dyn BufRead>, _) = if path == Path::new("-") {
            (Box::new(io::stdin().lock()), None)
        } else {
            let file = File::open(path)?;
            let metadata = file.metadata()?;
            let size = metadata.is_file().then_some(metadata.len());
            (Box::new(BufReader::new(file)), size)
        };
        Ok(Self { source, line: 0, size, read: 0 })
    }

    /// The next event; or the number of a line that is none, and why. Empty lines are passed over.
    ///
    /// # Errors
    /// The source cannot be read any further.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let mut line = Vec::new();
            let read = self.source.read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(None);
            }
            self.line += 1;
            self.read += read as u64;
            let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line).trim_ascii();
            if !line.is_empty() {
                return Ok(Some(Event::parse(line).map_err(|reason| (self.line, reason))));
            }
        }
    }
}
