//! What workers are told of the configuration.

use std::time::Duration;

use serde_json::{Value, json};

use super::Settings;
use crate::site::Site;

impl Settings {
    /// What a worker has to know to have a client of a site.
    #[must_use]
    pub fn setup(&self, site: &Site) -> Value {
        let paths: Vec<_> = self.python_paths.iter().chain(&self.inherited_paths).collect();
        self.setup_with(site, &paths)
    }

    /// The same for a worker of a project, whose core finds nothing that it does not bring itself.
    #[must_use]
    pub fn project_setup(&self, site: &Site) -> Value {
        self.setup_with(site, &self.python_paths.iter().collect::<Vec<_>>())
    }

    fn setup_with(&self, site: &Site, paths: &[&String]) -> Value {
        json!({
            "config": self.path, "section": site.section, "python_paths": paths,
            "socket_timeout": self.socket_timeout.as_ref().map(Duration::as_secs_f64),
        })
    }
}
