//! What workers are told of the configuration.

use std::time::Duration;

use serde_json::{Value, json};

use super::Settings;
use crate::site::Site;

impl Settings {
    /// What a worker has to know to have a client of a site.
    #[must_use]
    pub fn setup(&self, site: &Site) -> Value {
        json!({
            "config": self.path, "section": site.section, "python_paths": self.python_paths,
            "socket_timeout": self.socket_timeout.as_ref().map(Duration::as_secs_f64),
        })
    }
}
