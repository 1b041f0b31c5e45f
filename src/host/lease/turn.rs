//! A thread's turn to change what is in place.

use std::time::Duration;

use pyo3::prelude::*;

use super::forked;
use crate::error::{Error, Result};
use crate::host::gate::{Answer, GATE, Grant, Key, Manner, Place, held};
use crate::host::python::frames::frame_address;
use crate::host::python::import_locks::Awaiting;
use crate::host::state::world;
use crate::interpreter::thread_state;

/// How long a thread waits before it tells who holds the turn, and tells it again.
const LONG: Duration = Duration::from_secs(30);

/// The gate's turn to change what is in place. When it is dropped, what is to be in place outside leases is
/// put back and the turn passed on, unless the project was [left in place](Self::leave_in_place).
pub(crate) struct Turn<'py> {
    py: Python<'py>,
}

impl<'py> Turn<'py> {
    /// Waits for the turn to put `key`'s project in place. The key must be new.
    ///
    /// # Errors
    /// [`Error::NestedLease`] where this thread holds a project, [`Error::LeaseTimeout`] after `timeout`.
    pub(crate) fn take(py: Python<'py>, key: &Key, timeout: Option<Duration>) -> Result<Self> {
        thread_state::keep(py);
        refuse_nesting(key)?;
        // Nobody else has this key, so there is nothing to share.
        let (_, place) = ask(py, key, Manner::Queue, timeout)?;
        Ok(Self::granted(py, key, place))
    }

    pub(super) fn granted(py: Python<'py>, key: &Key, place: Place) -> Self {
        held::push(key, place, frame_address(py));
        Self { py }
    }

    /// Ends the turn with its project in place, held by this thread.
    pub(super) fn leave_in_place(self) {
        GATE.entered();
        std::mem::forget(self);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        forked::end_where_it_came_back(self.py, None);
        held::pop();
        if let Err(error) = put_outside(self.py, false) {
            report(&error);
        }
    }
}

/// Puts in place what is to be there outside leases, then opens the gate. What is there now is taken out as
/// it was when it came, where it is `damaged`.
pub(super) fn put_outside(py: Python<'_>, damaged: bool) -> PyResult<()> {
    world::place_outside(py, damaged, || GATE.left())
}

pub(super) fn report(error: &PyErr) {
    tracing::error!(%error, "failed to restore the daemon's own import state completely");
}

pub(super) fn refuse_nesting(key: &Key) -> Result<()> {
    match held::key() {
        None => Ok(()),
        Some(held) => {
            Err(Error::NestedLease { project: key.project().to_owned(), held: held.project().to_owned() })
        }
    }
}

pub(super) fn ask(
    py: Python<'_>,
    key: &Key,
    manner: Manner,
    timeout: Option<Duration>,
) -> Result<(Grant, Place)> {
    let waiting = match GATE.request(key, manner) {
        Answer::Granted(grant, place) => return Ok((grant, place)),
        Answer::Queued(waiting) => waiting,
    };
    // Detached: whoever has the gate needs the interpreter to give it up.
    let tell = |holder: &str| {
        let seconds = waiting.waited().as_secs();
        tracing::warn!(project = key.project(), holder, seconds, "a turn is held for long while others wait");
    };
    let awaiting = Awaiting::new(py);
    let outcome = py.detach(|| GATE.wait_telling(&waiting, timeout, LONG, tell));
    drop(awaiting);
    let waited = waiting.waited();
    tracing::debug!(project = key.project(), micros = waited.as_micros() as u64, "waited");
    outcome.map(|grant| (grant, waiting.place())).map_err(|timed_out| Error::LeaseTimeout {
        project: key.project().to_owned(),
        waited,
        holder: timed_out.holder.unwrap_or_else(|| "nobody".to_owned()),
    })
}
