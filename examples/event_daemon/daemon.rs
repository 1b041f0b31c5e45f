//! Handles events, each with its project's own core and plugins.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use sgtk_host::Error;

use crate::events::{Event, EventProject};
use crate::plugins::{Done, Plugins};
use crate::projects::Projects;
use crate::support::{version_of, wrong_core};

/// What became of an event.
pub(crate) enum Outcome {
    /// It was handled, whatever the plugins did.
    Handled(Handled),
    /// It has no project, so there is no core for it.
    NoProject,
    /// The project's files name no core, or one that cannot be imported. Fix them.
    /// First what is at fault: `config` or `core`.
    Core(&'static str, String),
    /// The worker's process ended while plugins ran in it.
    Lost(String),
    /// The host or the pool failed. Must not happen.
    Host(String),
}

/// An event that got its core.
pub(crate) struct Handled {
    /// How the project came by its core.
    pub(crate) kind: String,
    pub(crate) version: String,
    pub(crate) time: Time,
    /// What the plugins did, or failed to do when they were imported.
    pub(crate) done: Done,
    /// What was wrong with the core that Python code saw. Must not happen.
    pub(crate) wrong_core: Option<String>,
}

/// How long it took to put the project in place, and to park it again.
pub(crate) enum Time {
    /// With the engine's bootstrap, before.
    Bootstrap(Duration),
    /// With the core's first import, or the one after it has changed on disk.
    Import(Duration),
    Swap(Duration),
}

/// The projects and the plugins of each.
pub(crate) struct Daemon {
    projects: Projects,
    files: Vec<PathBuf>,
    /// By the project's key: its configuration's folder, or its engine's.
    plugins: BTreeMap<String, Plugins>,
}

impl Daemon {
    /// `files` are the plugins; their folders have to be plugin paths of the host.
    pub(crate) fn new(projects: Projects, files: Vec<PathBuf>) -> Self {
        Self { projects, files, plugins: BTreeMap::new() }
    }

    pub(crate) fn projects(&self) -> &Projects {
        &self.projects
    }

    /// Lets go of the plugins, and destroys the engines.
    pub(crate) fn end(mut self) -> Result<(), Error> {
        self.plugins.clear();
        self.projects.end()
    }

    /// Each plugin that an error has stopped, with its project.
    pub(crate) fn stopped(&self) -> impl Iterator<Item = (&str, &str)> {
        self.plugins.iter().flat_map(|(project, plugins)| plugins.stopped().map(|name| (&**project, name)))
    }

    pub(crate) fn handle(&mut self, event: &Event) -> Outcome {
        let Some(project) = &event.project else { return Outcome::NoProject };
        match Python::attach(|py| self.handle_in_project(py, project, event)) {
            Ok(handled) => Outcome::Handled(handled),
            Err(error @ Error::Config { .. }) => Outcome::Core("config", error.to_string()),
            Err(
                error @ (Error::Bootstrap { .. }
                | Error::CoreChanging { .. }
                | Error::Import { .. }
                | Error::WrongCore { .. }
                | Error::UnusablePath { .. }),
            ) => Outcome::Core("core", error.to_string()),
            Err(error) => Outcome::Host(error.to_string()),
        }
    }

    fn handle_in_project(
        &mut self,
        py: Python<'_>,
        project: &EventProject,
        event: &Event,
    ) -> Result<Handled, Error> {
        let bootstrapped = self.projects.prepare(project)?;
        // Outside the lease: there, a plugin called `json` would be found before the standard library's.
        let argument = event.to_python(py)?;

        let start = Instant::now();
        let place = self.projects.enter(py, project)?;
        let entered = start.elapsed();
        let expected = self.projects.expected(project, &place);

        let known = self.plugins.remove(&place.key()).filter(|plugins| plugins.belong_to(&place));
        let is_swap = known.is_some();
        let (mut plugins, failed) =
            known.map_or_else(|| Plugins::register(&place, &self.files), |plugins| (plugins, Vec::new()));
        let mut done = plugins.handle(event, &argument);
        done.failures.splice(..0, failed);
        let wrong_core = match wrong_core(py, &expected)? {
            Some(fault) => Some(fault),
            None => plugins.wrong_core(py, &expected)?,
        };
        self.plugins.insert(place.key(), plugins);
        let (kind, version) = (place.kind(), version_of(place.sgtk()));

        let start = Instant::now();
        place.finish()?;
        let swap = entered + start.elapsed();
        let time = match bootstrapped {
            Some(time) => Time::Bootstrap(time),
            None if is_swap => Time::Swap(swap),
            None => Time::Import(swap),
        };
        Ok(Handled { kind, version, time, done, wrong_core })
    }
}
