//! The host's look at all of its modules.

use std::fmt;
use std::sync::Arc;

use pyo3::prelude::*;

use super::handle::Host;
use super::ownership::foreign::{foreign_modules, marked_modules};
use super::state::world::{World, modules_of};
use crate::error::Result;

/// A module of one project that comes from another's core.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ForeignModule {
    /// The project that has the module, or nothing for the daemon's own state.
    pub project: Option<String>,
    /// The module's name.
    pub module: String,
    /// Where it comes from, or whose it is.
    pub found: String,
}

impl fmt::Display for ForeignModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let project = self.project.as_deref().unwrap_or("the daemon");
        write!(f, "'{}' of {project}: {}", self.module, self.found)
    }
}

impl Host {
    /// Walks all modules that the host's projects own, and those that are visible now, and names each that comes from
    /// another project's core. The answer must be empty, always.
    ///
    /// Takes milliseconds for each project; meant for tests and health checks.
    ///
    /// # Errors
    /// A Python error while looking, which is not to be expected.
    pub fn audit(&self, py: Python<'_>) -> Result<Vec<ForeignModule>> {
        let mut foreign = Vec::new();
        let mut note = |project: Option<&str>, found: Vec<(String, String)>| {
            foreign.extend(found.into_iter().map(|(module, found)| ForeignModule {
                project: project.map(str::to_owned),
                module,
                found,
            }));
        };
        let (visible, in_place) = {
            let mut world = World::lock(py)?;
            if world.in_place().is_none() {
                world.return_strays(py)?;
            }
            (world.modules(py), world.in_place().cloned())
        };
        let is_in_place = |state| in_place.as_ref().is_some_and(|in_place| Arc::ptr_eq(in_place, state));
        for state in self.inner.states().iter().filter(|state| !is_in_place(state)) {
            note(Some(state.project()), foreign_modules(&modules_of(py, state), state));
        }
        match &in_place {
            Some(state) => note(Some(state.project()), foreign_modules(&visible, state)),
            None => note(None, marked_modules(&visible)),
        }
        Ok(foreign)
    }
}
