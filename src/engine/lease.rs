//! An engine in place, for as long as its lease lives.

use std::fmt;
use std::ops::Deref;

use pyo3::prelude::*;

use super::info::EngineInfo;
use crate::error::Result;
use crate::host::Pin;

/// An engine with its project's core in place, until the lease is dropped. Derefs to the engine.
///
/// What holds of a [`Lease`](crate::Lease) holds of it too: it is bound to its thread and to its attachment
/// to the interpreter, other threads may lease the same engine at the same time, and while it lives all
/// Python code of the process sees this engine's modules.
#[must_use = "the engine is parked when the lease is dropped"]
pub struct EngineLease<'a> {
    // Fields are dropped in this order: the objects before the pin that keeps their modules in place.
    pub(super) engine: Bound<'a, PyAny>,
    pub(super) sgtk: Bound<'a, PyModule>,
    pub(super) info: &'a EngineInfo,
    pub(super) pin: Pin,
}

impl<'a> EngineLease<'a> {
    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Bound<'a, PyAny> {
        &self.engine
    }

    /// The `sgtk` module of the engine's core: what `import sgtk` gives after a bootstrap.
    #[must_use]
    pub fn sgtk(&self) -> &Bound<'a, PyModule> {
        &self.sgtk
    }

    /// The `Sgtk` instance of the engine's pipeline configuration.
    ///
    /// # Errors
    /// What the engine's own code raises.
    pub fn tank(&self) -> PyResult<Bound<'a, PyAny>> {
        self.engine.getattr("sgtk")
    }

    /// The context that the engine runs in now.
    ///
    /// # Errors
    /// What the engine's own code raises.
    pub fn context(&self) -> PyResult<Bound<'a, PyAny>> {
        self.engine.getattr("context")
    }

    /// What there is to tell of the engine.
    #[must_use]
    pub fn info(&self) -> &'a EngineInfo {
        self.info
    }

    /// Ends the lease.
    ///
    /// # Errors
    /// The daemon's own import state could not be restored completely. Dropping the lease only reports that.
    pub fn finish(self) -> Result<()> {
        let Self { engine, sgtk, pin, .. } = self;
        drop((engine, sgtk));
        pin.release()
    }
}

impl<'a> Deref for EngineLease<'a> {
    type Target = Bound<'a, PyAny>;

    fn deref(&self) -> &Self::Target {
        &self.engine
    }
}

impl fmt::Debug for EngineLease<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineLease").field("target", &self.info.target).finish_non_exhaustive()
    }
}
