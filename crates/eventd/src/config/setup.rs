//! What workers are told of the configuration.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::Settings;
use crate::site::Site;

impl Settings {
    /// What a worker has to know to have a client of a site.
    #[must_use]
    pub fn setup(&self, site: &Site) -> Value {
        let paths: Vec<_> = self.python_paths.iter().chain(&self.inherited_paths).collect();
        let mut setup = self.setup_with(site, &paths);
        // Workers are started without them; programs that plugins start have them, as in shotgunEvents.
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((
                name.into_string().ok().filter(|name| name.starts_with("PYTHON"))?,
                value.into_string().ok()?,
            ))
        });
        if let Some(options) = setup.as_object_mut() {
            options.insert("variables".to_owned(), json!(variables.collect::<BTreeMap<_, _>>()));
        }
        setup
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
