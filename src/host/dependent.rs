//! What upper layers have begun with a host, and what ends with it.

use pyo3::prelude::*;

use crate::error::Result;

/// Something that [`Host::shutdown`](super::Host::shutdown) ends: an engine.
pub(crate) trait Dependent: Send + Sync {
    /// Ends it. Does nothing where it has ended before.
    ///
    /// # Errors
    /// What went wrong; where its turn did not come, it goes on.
    fn end(&self, py: Python<'_>) -> Result<()>;

    /// Logs an error that nobody can be given.
    fn report(&self, ended: Result<()>);
}
