//! A project's plugin whose functions are called while the project does not have its turn.

use pyo3::prelude::*;
use sgtk_host::Host;
use sgtk_host_fixtures::{Configs, bundled, project_code};

use crate::support::options;
use crate::workshop::{keep, run};

/// The project whose code it is, with its core's version, and another.
pub(crate) const OWN: (&str, &str) = ("project_a", "v0.24.0");
pub(crate) const OTHER: &str = "project_b";

pub(crate) struct Scene {
    pub(crate) host: Host,
    /// The plugin.
    pub(crate) code: Py<PyAny>,
    pub(crate) configs: Configs,
}

impl Scene {
    /// With a plugin by name. `shared` imports what is everybody's, and stays where it was first imported.
    pub(crate) fn new(plugin: &str, shared: &str) -> Self {
        let configs = bundled().unwrap();
        let host = options(&configs).plugin_path(project_code()).build().unwrap();
        Python::attach(|py| drop(run(py, shared, &[])));
        let code = keep(&host, OWN.0, &format!("__import__('{plugin}')"));
        // The other has been in place once, so that what is found changed later is changed by the code.
        drop(keep(&host, OTHER, "sgtk"));
        Self { host, code, configs }
    }
}
