//! Where each project's core comes from: a lease of its configuration's, or an engine that was bootstrapped for it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use sgtk_host::{Engine, EngineLease, Error, Host, Lease};

use crate::site::Site;
use crate::support::Expected;

/// The projects that events may name.
pub(crate) struct Projects {
    host: Host,
    /// With a site, projects are bootstrapped when their first event comes, and their engines stay alive.
    site: Option<Site>,
    engines: BTreeMap<String, Engine>,
}

impl Projects {
    pub(crate) fn new(host: Host, site: Option<Site>) -> Self {
        Self { host, site, engines: BTreeMap::new() }
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// Bootstraps a project's engine, if it has none yet. Returns how long that took.
    pub(crate) fn prepare(&mut self, project: &str) -> Result<Option<Duration>, Error> {
        let Some(site) = &self.site else { return Ok(None) };
        if self.engines.contains_key(project) {
            return Ok(None);
        }
        let start = Instant::now();
        let engine = site.bootstrap(&self.host, project)?;
        self.engines.insert(project.to_owned(), engine);
        Ok(Some(start.elapsed()))
    }

    /// The core that a project has to have.
    pub(crate) fn expected(&self, project: &str) -> Result<Expected, Error> {
        match self.engines.get(project).zip(self.site.as_ref()) {
            Some((engine, site)) => {
                let python = engine.info().core.join("python");
                Ok(Expected { python, version: site.version(project).map(str::to_owned) })
            }
            None => Ok(Expected::from(&self.host.configs().locate(project)?)),
        }
    }

    /// Puts a project in place.
    pub(crate) fn enter<'a>(&'a self, py: Python<'a>, project: &str) -> Result<InPlace<'a>, Error> {
        match self.engines.get(project) {
            Some(engine) => Ok(InPlace::Engine(engine.lease(py)?)),
            None => Ok(InPlace::Lease(self.host.lease(py, project)?)),
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
