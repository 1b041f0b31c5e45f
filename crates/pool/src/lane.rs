//! Which worker a call goes to.

use std::fmt;

/// A project's worker, or one of several workers of a project.
///
/// Calls in one lane run in order, calls in different lanes in parallel, each in a worker of its own. A
/// project's name alone is its main lane.
///
/// # Examples
/// ```
/// use sgtk_pool::{Call, Lane, WorkerPool};
///
/// # let configs = sgtk_host_fixtures::bundled()?;
/// # let pool = WorkerPool::builder().configs(configs.base()).build()?;
/// let main: u32 = pool.call("project_a", Call::new("os:getpid"))?;
/// let thumbnails: u32 = pool.call(Lane::new("project_a", "thumbnails"), Call::new("os:getpid"))?;
/// assert_ne!(main, thumbnails);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lane<'a> {
    project: &'a str,
    name: Option<&'a str>,
}

impl<'a> Lane<'a> {
    /// The lane of this name.
    #[must_use]
    pub fn new(project: &'a str, name: &'a str) -> Self {
        Self { project, name: Some(name) }
    }

    /// The project.
    #[must_use]
    pub fn project(&self) -> &'a str {
        self.project
    }

    /// The lane's name. `None` for the main lane.
    #[must_use]
    pub fn name(&self) -> Option<&'a str> {
        self.name
    }
}

impl fmt::Display for Lane<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            Some(name) => write!(f, "{} ({name})", self.project),
            None => f.write_str(self.project),
        }
    }
}

impl<'a> From<&'a str> for Lane<'a> {
    fn from(project: &'a str) -> Self {
        Self { project, name: None }
    }
}

impl<'a> From<&'a String> for Lane<'a> {
    fn from(project: &'a String) -> Self {
        Self { project, name: None }
    }
}

impl<'a> From<&&'a str> for Lane<'a> {
    fn from(project: &&'a str) -> Self {
        Self { project, name: None }
    }
}
