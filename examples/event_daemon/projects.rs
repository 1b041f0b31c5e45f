//! Where each project's core comes from: a lease of its configuration's, or an engine that was bootstrapped
//! for it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use sgtk_host::{Engine, EngineLease, Error, Host, Lease, ProjectRef};

use crate::events::EventProject;
use crate::site::Site;
use crate::support::Expected;

/// The projects that events may name.
pub(crate) struct Projects {
    host: Host,
    /// With a site, projects are bootstrapped when their first event comes, and their engines stay alive.
    site: Option<Site>,
    engines: HashMap<ProjectRef, Engine>,
}

impl Projects {
    pub(crate) fn new(host: Host, site: Option<Site>) -> Self {
        Self { host, site, engines: HashMap::new() }
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// Bootstraps a project's engine, if it has none yet. Returns how long that took.
    pub(crate) fn prepare(&mut self, project: &EventProject) -> Result<Option<Duration>, Error> {
        let Some(site) = &self.site else { return Ok(None) };
        if self.engines.contains_key(&project.reference) {
            return Ok(None);
        }
        let start = Instant::now();
        let engine = site.bootstrap(&self.host, project)?;
        self.engines.insert(project.reference.clone(), engine);
        Ok(Some(start.elapsed()))
    }

    /// The core that Python code has to see: of a lease that which its files said when it was imported.
    pub(crate) fn expected(&self, project: &EventProject, place: &InPlace<'_>) -> Expected {
        match place {
            InPlace::Lease(lease) => Expected::from(lease.core()),
            InPlace::Engine(lease) => {
                let version = self.site.as_ref().and_then(|site| site.version(&project.shown));
                Expected { python: lease.info().core.join("python"), version: version.map(str::to_owned) }
            }
        }
    }

    /// Puts a project in place.
    pub(crate) fn enter<'a>(&'a self, py: Python<'a>, project: &EventProject) -> Result<InPlace<'a>, Error> {
        match self.engines.get(&project.reference) {
            Some(engine) => Ok(InPlace::Engine(engine.lease(py)?)),
            None => Ok(InPlace::Lease(self.host.lease(py, &project.reference)?)),
        }
    }

    /// Destroys the engines.
    pub(crate) fn end(&mut self) -> Result<(), Error> {
        std::mem::take(&mut self.engines).into_values().try_for_each(Engine::destroy)
    }
}

/// A project in place.
pub(crate) enum InPlace<'a> {
    Lease(Lease<'a>),
    Engine(EngineLease<'a>),
}

impl<'a> InPlace<'a> {
    pub(crate) fn sgtk(&self) -> &Bound<'a, PyModule> {
        match self {
            Self::Lease(lease) => lease.sgtk(),
            Self::Engine(lease) => lease.sgtk(),
        }
    }

    /// A name that no other project has.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::Lease(lease) => lease.project().to_owned(),
            Self::Engine(lease) => lease.info().configuration.display().to_string(),
        }
    }

    pub(crate) fn project(&self) -> &str {
        match self {
            Self::Lease(lease) => lease.project(),
            Self::Engine(lease) => lease.info().project_name.as_deref().unwrap_or("site"),
        }
    }

    /// How the project came by its core.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::Lease(lease) => lease.core().kind().to_string(),
            Self::Engine(_) => "engine".to_owned(),
        }
    }

    pub(crate) fn finish(self) -> Result<(), Error> {
        match self {
            Self::Lease(lease) => lease.finish(),
            Self::Engine(lease) => lease.finish(),
        }
    }
}
