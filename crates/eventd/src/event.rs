//! An entry of a site's event log.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// An entry of a site's event log, as the site gave it.
#[derive(Clone, Debug)]
pub struct Event {
    /// The name of the site in the configuration.
    pub site: Arc<str>,
    /// Its id on the site.
    pub id: i64,
    /// The id of its project. None for events of the whole site.
    pub project: Option<i64>,
    /// Whether it came after events with higher ids had been given out.
    pub late: bool,
    /// The nine fields, as JSON.
    pub body: Box<RawValue>,
}

/// What filters look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// `Shotgun_Shot_Change`.
    pub event_type: String,
    /// The field that was changed.
    pub attribute_name: Option<String>,
}

/// The fields of an event's JSON that the daemon itself reads.
#[derive(Debug, Deserialize, Serialize)]
pub struct Fields {
    /// Its id.
    pub id: i64,
    /// Its type; the site has events without one.
    #[serde(default)]
    pub event_type: Option<String>,
    /// The field that was changed.
    #[serde(default)]
    pub attribute_name: Option<String>,
    /// Its project.
    #[serde(default)]
    pub project: Option<Link>,
    /// Who caused it.
    #[serde(default)]
    pub user: Option<Link>,
    /// When it happened: `2025-01-31T12:00:00Z`.
    #[serde(default)]
    pub created_at: Option<String>,
}

/// A link to another entity.
#[derive(Debug, Deserialize, Serialize)]
pub struct Link {
    /// Its type.
    #[serde(rename = "type", default)]
    pub kind: Option<String>,
    /// Its id.
    pub id: i64,
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
}

impl Event {
    /// Reads the event's JSON.
    ///
    /// # Errors
    /// It is no JSON object with an integer `id`.
    pub fn new(site: &Arc<str>, body: Box<RawValue>) -> Result<Event, serde_json::Error> {
        let fields: Fields = serde_json::from_str(body.get())?;
        let project = fields.project.map(|project| project.id);
        Ok(Event { site: Arc::clone(site), id: fields.id, project, late: false, body })
    }

    /// The fields that the daemon reads; empty ones where the JSON is not an event's.
    #[must_use]
    pub fn fields(&self) -> Fields {
        serde_json::from_str(self.body.get()).unwrap_or(Fields {
            id: self.id,
            event_type: None,
            attribute_name: None,
            project: None,
            user: None,
            created_at: None,
        })
    }
}

impl Fields {
    /// What filters look at.
    #[must_use]
    pub fn subject(&self) -> Subject {
        Subject {
            event_type: self.event_type.clone().unwrap_or_default(),
            attribute_name: self.attribute_name.clone(),
        }
    }

    /// When it happened.
    #[must_use]
    pub fn created(&self) -> Option<jiff::Timestamp> {
        self.created_at.as_deref()?.parse().ok()
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event {} of site '{}'", self.id, self.site)
    }
}
