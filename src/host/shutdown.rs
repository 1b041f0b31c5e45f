//! The end of a host.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use pyo3::prelude::*;

use super::dependent::Dependent;
use super::gate::Key;
use super::handle::Host;
use super::lease::lend;
use super::lease::turn::Turn;
use crate::error::Result;

impl Host {
    /// Destroys all engines of the host, the last first, and drops its parked cores. From then on it refuses
    /// leases and bootstraps, those too that wait for their turn. Waits for the leases that are held and for
    /// a bootstrap that is on its way, which then fails; may be called again.
    ///
    /// # Errors
    /// The first error of an engine's end. All others are ended as well, and further errors go to `tracing`.
    /// [`Error::NestedLease`](crate::Error::NestedLease) where this thread holds a lease: the host takes no
    /// more, but nothing was ended. [`Error::LeaseTimeout`](crate::Error::LeaseTimeout) after the host's
    /// limit: what could not be ended lives on until this is called again.
    pub fn shutdown(&self) -> Result<()> {
        self.inner.closed.store(true, Ordering::Release);
        Python::attach(|py| {
            // What was begun before is among the dependents from then on, or has failed.
            let mut outcome = wait_for_all(py, self.inner.lease_timeout);
            for dependent in self.dependents().iter().rev() {
                let ended = dependent.end(py);
                if outcome.is_ok() {
                    outcome = ended;
                } else {
                    dependent.report(ended);
                }
            }
            outcome.and(self.evict_all(py))
        })
    }

    /// Has something end with the host.
    pub(crate) fn add_dependent(&self, dependent: Weak<dyn Dependent>) {
        let mut dependents = self.inner.dependents.lock();
        dependents.retain(|dependent| dependent.strong_count() > 0);
        dependents.push(dependent);
    }

    fn dependents(&self) -> Vec<Arc<dyn Dependent>> {
        self.inner.dependents.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Drops all parked cores.
    ///
    /// # Errors
    /// Those of a turn.
    fn evict_all(&self, py: Python<'_>) -> Result<()> {
        let turn = Turn::take(py, &Key::unique("all projects"), self.inner.lease_timeout)?;
        self.inner.evict_all(py, "its host was shut down");
        drop(turn);
        Ok(())
    }
}

/// Waits until all who had their turn, or waited for it, when this was called are through, at whatever host.
///
/// # Errors
/// [`Error::NestedLease`](crate::Error::NestedLease) where this thread holds a lease,
/// [`Error::LeaseTimeout`](crate::Error::LeaseTimeout) after `timeout`.
pub(crate) fn wait_for_all(py: Python<'_>, timeout: Option<Duration>) -> Result<()> {
    let lenders = lend::lenders();
    let take = || Turn::take(py, &Key::unique("all projects"), timeout).map(drop);
    take()?;
    if lenders.is_empty() {
        return Ok(());
    }
    // Bootstraps that have lent their turns are not through.
    lend::wait_for_lenders(py, &lenders, timeout);
    take()
}
