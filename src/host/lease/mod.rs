//! A project in place, for as long as its lease lives.

pub(crate) mod forked;
pub(crate) mod guests;
pub(crate) mod leaving;
pub(crate) mod lend;
pub(crate) mod pin;
pub(crate) mod quiet;
pub(crate) mod threads;
pub(crate) mod turn;
#[cfg(unix)]
pub(crate) mod umask;

use std::fmt;
use std::ops::Deref;

use pyo3::prelude::*;

use self::pin::Pin;
use super::state::verify::sgtk_for_lease;
use crate::error::Result;
use sgtk_config::CoreLocation;

/// A project's `sgtk`, in place until the lease is dropped.
///
/// Derefs to the module. Bound to the thread and to its attachment to the interpreter; other threads may
/// lease the same project at the same time. While it lives, all Python code of the process sees this
/// project's modules, whatever thread it runs on; detach freely, the project stays in place.
///
/// Dropping the last lease parks the project, also while a panic unwinds. An error on that way goes to
/// `tracing`; [`finish`](Self::finish) returns it. A lease that is leaked keeps its project in place for
/// good.
#[must_use = "the project is parked when the lease is dropped"]
pub struct Lease<'py> {
    // Fields are dropped in this order: the module before the pin that keeps it in place.
    sgtk: Bound<'py, PyModule>,
    pin: Pin,
}

impl<'py> Lease<'py> {
    pub(crate) fn new(py: Python<'py>, pin: Pin) -> Result<Self> {
        let sgtk = sgtk_for_lease(py, pin.state())?;
        Ok(Self { sgtk, pin })
    }

    /// The project.
    #[must_use]
    pub fn project(&self) -> &str {
        self.pin.state().project()
    }

    /// The core that is in place.
    #[must_use]
    pub fn core(&self) -> &CoreLocation {
        self.pin.state().location()
    }

    /// The project's `sgtk`.
    #[must_use]
    pub fn sgtk(&self) -> &Bound<'py, PyModule> {
        &self.sgtk
    }

    /// Ends the lease.
    ///
    /// # Errors
    /// The daemon's own import state could not be restored completely. Dropping the lease only reports that.
    pub fn finish(self) -> Result<()> {
        let Self { sgtk, pin } = self;
        drop(sgtk);
        pin.release()
    }
}

impl<'py> Deref for Lease<'py> {
    type Target = Bound<'py, PyModule>;

    fn deref(&self) -> &Self::Target {
        &self.sgtk
    }
}

impl fmt::Debug for Lease<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("project", &self.project())
            .field("core", &self.core().install_core())
            .finish_non_exhaustive()
    }
}
