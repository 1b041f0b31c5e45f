//! A thread's hold on the project that is in place.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use super::caller;
use super::gate::{Answer, Grant, Key, Manner, Released};
use super::retire;
use super::state::ImportState;
use super::world::{GATE, World};
use crate::error::{Error, Result};

thread_local! {
    /// What this thread holds, or is putting in place: the same key several times, or nothing.
    static HELD: RefCell<Vec<Held>> = const { RefCell::new(Vec::new()) };
}

struct Held {
    key: Key,
    /// The frame of the Python code that asked for it, by its address; 0 for none.
    frame: usize,
}

fn hold(py: Python<'_>, key: &Key) {
    let held = Held { key: key.clone(), frame: caller::frame_address(py) };
    HELD.with_borrow_mut(|all| all.push(held));
}

/// How long the last holder waits for a module that another thread is still importing before it parks the project all
/// the same.
const IMPORT_GRACE: Duration = Duration::from_secs(10);

/// Keeps its project in place until dropped. Bound to its thread.
#[must_use = "the project is parked when its last pin is dropped"]
pub(crate) struct Pin {
    state: Arc<ImportState>,
    released: bool,
    _thread: PhantomData<*const ()>,
}

/// The key that this thread holds.
pub(super) fn held() -> Option<Key> {
    HELD.with_borrow(|held| held.last().map(|held| held.key.clone()))
}

/// Whether this thread holds the state. Not where it holds the one that came after it: a dropped core's and the new one's
/// have their project's key in common.
pub(super) fn holds(state: &ImportState) -> bool {
    HELD.with_borrow(|held| held.last().is_some_and(|held| held.key == *state.key())) && !state.is_retired()
}

/// The frame of the Python code from which this thread first asked for what it holds, by its address.
pub(super) fn leased_from() -> Option<usize> {
    HELD.with_borrow(|held| held.first().map(|held| held.frame)).filter(|frame| *frame != 0)
}

/// Whether this thread holds any project.
pub(super) fn holds_any() -> bool {
    HELD.with_borrow(|held| !held.is_empty())
}

/// The gate's turn to change what is in place. Dropped without [`Turn::into_pin`], it puts back what is to be in place
/// outside leases and passes the turn on.
pub(crate) struct Turn<'py> {
    py: Python<'py>,
}

impl<'py> Turn<'py> {
    /// Waits for the turn to put `key`'s project in place. The key must be new.
    ///
    /// # Errors
    /// [`Error::NestedLease`] where this thread holds a project, [`Error::LeaseTimeout`] after `limit`.
    pub(super) fn take(py: Python<'py>, key: &Key, limit: Option<Duration>) -> Result<Self> {
        refuse_nesting(key)?;
        // Nobody else has this key, so there is nothing to share.
        ask(py, key, Manner::Queue, limit)?;
        Ok(Self::granted(py, key))
    }

    fn granted(py: Python<'py>, key: &Key) -> Self {
        hold(py, key);
        Self { py }
    }

    fn into_pin(self, state: Arc<ImportState>) -> Pin {
        GATE.entered();
        std::mem::forget(self);
        Pin::of(state)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        HELD.with_borrow_mut(|held| held.pop());
        if let Err(error) = put_back(self.py) {
            report(&error);
        }
    }
}

/// Puts in place what is to be there outside leases, then opens the gate.
fn put_back(py: Python<'_>) -> PyResult<()> {
    let (replaced, outcome) = match World::lock(py) {
        Ok(mut world) => {
            let ambient = world.ambient().cloned();
            world.place(py, ambient.as_ref())
        }
        Err(error) => (super::world::Replaced::default(), Err(error)),
    };
    GATE.left();
    drop(replaced);
    outcome
}

fn report(error: &PyErr) {
    tracing::error!(%error, "failed to restore the daemon's own import state completely");
}

impl Pin {
    /// Holds `key`'s project: shares it where it is in place, else has `bring` put it there.
    ///
    /// # Errors
    /// [`Error::NestedLease`] where this thread holds another project, or the same one and wants it alone, [`Error::LeaseTimeout`] after `limit`, and those
    /// of `bring`, after which everything is as before.
    pub(super) fn acquire(
        py: Python<'_>,
        key: &Key,
        manner: Manner,
        limit: Option<Duration>,
        bring: impl FnOnce() -> Result<Arc<ImportState>>,
    ) -> Result<Self> {
        let again = manner != Manner::Alone && held().as_ref() == Some(key) && GATE.share_again(key);
        if !again {
            refuse_nesting(key)?;
        }
        if again || ask(py, key, manner, limit)? == Grant::Share {
            return Self::share(py, key);
        }
        let turn = Turn::granted(py, key);
        let state = bring()?;
        Ok(turn.into_pin(state))
    }

    fn of(state: Arc<ImportState>) -> Self {
        Self { state, released: false, _thread: PhantomData }
    }

    fn share(py: Python<'_>, key: &Key) -> Result<Self> {
        let in_place = World::lock(py)?.in_place().cloned();
        match in_place {
            Some(state) if state.key() == key => {
                hold(py, key);
                Ok(Self::of(state))
            }
            _ => {
                // Not reachable: the gate shares what its last turn has put in place.
                if GATE.release() == Released::Last {
                    put_back(py)?;
                }
                Err(Error::NotInPlace { project: key.project().to_owned() })
            }
        }
    }

    pub(super) fn state(&self) -> &Arc<ImportState> {
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
            if GATE.holders() == 1 {
                wait_for_imports(py, &self.state);
            }
            HELD.with_borrow_mut(|held| held.pop());
            if GATE.release() != Released::Last {
                return Ok(());
            }
            let start = Instant::now();
            let orphaned = self.state.is_orphaned();
            if orphaned {
                // Before anybody else gets a turn: a late import would put it in place again.
                self.state.set_retired();
            }
            let outcome = put_back(py);
            tracing::debug!(
                project = self.state.project(),
                core = %self.state.location().install_core().display(),
                modules = self.state.modules(py).len(),
                micros = start.elapsed().as_micros() as u64,
                "parked"
            );
            if orphaned {
                retire::retire(py, &self.state, &[]);
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

fn refuse_nesting(key: &Key) -> Result<()> {
    match held() {
        None => Ok(()),
        Some(held) => {
            Err(Error::NestedLease { project: key.project().to_owned(), held: held.project().to_owned() })
        }
    }
}

fn ask(py: Python<'_>, key: &Key, manner: Manner, limit: Option<Duration>) -> Result<Grant> {
    let ticket = match GATE.request(key, manner) {
        Answer::Granted(grant) => return Ok(grant),
        Answer::Queued(ticket) => ticket,
    };
    // Detached: whoever has the gate needs the interpreter to give it up.
    let outcome = py.detach(|| GATE.wait(&ticket, limit));
    let waited = ticket.waited();
    tracing::debug!(project = key.project(), micros = waited.as_micros() as u64, "waited");
    outcome.map_err(|timed_out| Error::LeaseTimeout {
        project: key.project().to_owned(),
        waited,
        holder: timed_out.holder.unwrap_or_else(|| "nobody".to_owned()),
    })
}

/// Waits, still holding the project in place, until no other thread is in the middle of importing one of its modules.
pub(super) fn wait_for_imports(py: Python<'_>, state: &ImportState) {
    let start = Instant::now();
    let mut pause = Duration::from_micros(50);
    loop {
        let busy = World::lock(py).map(|world| world.initializing(py)).unwrap_or_default();
        if busy.is_empty() {
            return;
        }
        if start.elapsed() > IMPORT_GRACE {
            tracing::warn!(
                project = state.project(),
                modules = ?busy,
                seconds = IMPORT_GRACE.as_secs(),
                "parking a project while another thread is still importing its modules"
            );
            return;
        }
        py.detach(|| std::thread::sleep(pause));
        pause = (pause * 2).min(Duration::from_millis(5));
    }
}
