//! A thread's hold on the project that is in place.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use super::quiet::wait_for_imports;
use super::turn::{Turn, ask, put_outside, refuse_nesting, report};
#[cfg(unix)]
use super::umask;
use super::{forked, guests, leaving};
use crate::error::{Error, Result};
use crate::host::gate::{GATE, Grant, Key, Manner, Place, Released, held};
use crate::host::ownership::import_state::ImportState;
use crate::host::ownership::roots::Roots;
use crate::host::python::frames::frame_address;
use crate::host::state::retire::retire;
use crate::host::state::world::{World, modules_of};
use crate::interpreter::thread_state;

/// Keeps its project in place until dropped. Bound to its thread.
#[must_use = "the project is parked when its last pin is dropped"]
pub(crate) struct Pin {
    state: Arc<ImportState>,
    released: bool,
    _thread: PhantomData<*const ()>,
}

/// Whether this thread holds the state. Not where it holds the one that came after it: a dropped core's and
/// the new one's have their project's key in common.
pub(crate) fn holds(state: &ImportState) -> bool {
    held::holds(state.key()) && !state.is_retired()
}

impl Pin {
    /// Holds `key`'s project: shares it where it is in place, else has `bring` put it there.
    ///
    /// # Errors
    /// [`Error::NestedLease`] where this thread holds another project, or the same one and wants it alone,
    /// [`Error::LeaseTimeout`] after `timeout`, and those of `bring`, after which everything is as before.
    pub(crate) fn acquire(
        py: Python<'_>,
        key: &Key,
        manner: Manner,
        timeout: Option<Duration>,
        bring: impl FnOnce() -> Result<Arc<ImportState>>,
    ) -> Result<Self> {
        thread_state::keep(py);
        let again = held::place_of(key).filter(|_| manner != Manner::Alone);
        if let Some(place) = again.filter(|place| GATE.share_again(key, *place)) {
            return Self::share(py, key, place);
        }
        refuse_nesting(key)?;
        let (grant, place) = ask(py, key, manner, timeout)?;
        if grant == Grant::Share {
            return Self::share(py, key, place);
        }
        let turn = Turn::granted(py, key, place);
        let state = bring()?;
        turn.leave_in_place();
        Ok(Self::of(state))
    }

    fn of(state: Arc<ImportState>) -> Self {
        Self { state, released: false, _thread: PhantomData }
    }

    fn share(py: Python<'_>, key: &Key, place: Place) -> Result<Self> {
        let in_place = World::lock(py)?.in_place().cloned();
        match in_place {
            Some(state) if state.key() == key => {
                held::push(key, place, frame_address(py));
                Ok(Self::of(state))
            }
            _ => {
                // Not reachable: the gate shares what its last turn has put in place.
                if GATE.release(place) == Released::Last {
                    put_outside(py, false)?;
                }
                Err(Error::NotInPlace { project: key.project().to_owned() })
            }
        }
    }

    pub(crate) fn state(&self) -> &Arc<ImportState> {
        &self.state
    }

    /// What dropping the pin does, with the error that it would only report.
    ///
    /// # Errors
    /// The daemon's own import state could not be restored completely.
    pub(crate) fn release(mut self) -> Result<()> {
        self.released = true;
        Ok(self.let_go()?)
    }

    fn let_go(&mut self) -> PyResult<()> {
        Python::attach(|py| {
            forked::end_where_it_came_back(py, None);
            let is_last = GATE.holders() == 1;
            if is_last {
                wait_for_imports(py, &self.state);
                leaving::restore_names(py);
            }
            let has_left_something = is_last && leaving::is_needed(py);
            if has_left_something {
                leaving::clean_up(py);
            }
            let place = held::pop();
            #[cfg(unix)]
            if !held::holds_any() {
                umask::put_back();
            }
            if GATE.release(place) != Released::Last {
                return Ok(());
            }
            let start = Instant::now();
            let orphaned = self.state.is_orphaned();
            if orphaned {
                // Before anybody else gets a turn: a late import would put it in place again.
                self.state.set_retired();
            }
            let damaged = has_left_something && leaving::is_damaged(py);
            let outcome = put_outside(py, damaged);
            guests::drop_all(py);
            tracing::debug!(
                project = self.state.project(),
                core = %self.state.location().install_core().display(),
                modules = modules_of(py, &self.state).len(),
                micros = start.elapsed().as_micros() as u64,
                "parked"
            );
            if orphaned {
                retire(py, &self.state, &Roots::default());
            }
            outcome
        })
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        if !self.released
            && let Err(error) = self.let_go()
        {
            report(&error);
        }
    }
}
