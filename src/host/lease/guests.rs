//! Cores that code has put in the place of its project's own by a bootstrap of its own: guests, until the
//! lease ends.
//!
//! The project's own state is parked meanwhile, whole. The thread whose code it is holds the guest as it
//! holds the project; nobody else shares it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pyo3::prelude::*;

use crate::error::{Error, Result};
use crate::host::gate::{GATE, Key, held};
use crate::host::ownership::import_state::ImportState;

/// How long a bootstrap of code's own waits for other threads that share its project.
const ALONE: Duration = Duration::from_secs(30);

static GUESTS: Mutex<Vec<Guest>> = Mutex::new(Vec::new());

/// Whether there are any.
static ANY: AtomicBool = AtomicBool::new(false);

/// Drops a guest that is not in place.
type Drops = Box<dyn Fn(Python<'_>, &Arc<ImportState>) + Send>;

struct Guest {
    state: Arc<ImportState>,
    by: String,
    ended: bool,
    drop: Drops,
}

/// A place of the gate's that is another state's now. Undone when dropped, unless it is
/// [kept](Exchanged::keep).
pub(crate) struct Exchanged {
    from: Key,
    to: Key,
    undo: bool,
}

/// Has a state of the key `to` be what this thread holds, in the place of `from`'s, once no other thread
/// holds that.
///
/// # Errors
/// [`Error::LeaseTimeout`] where others go on holding it.
pub(crate) fn exchange(py: Python<'_>, from: &Key, to: &Key) -> Result<Exchanged> {
    let start = Instant::now();
    let refused = || Error::LeaseTimeout {
        project: from.project().to_owned(),
        waited: start.elapsed(),
        holder: format!("{} (another thread)", from.project()),
    };
    let place =
        held::place_with(from).ok_or_else(|| Error::NotInPlace { project: from.project().to_owned() })?;
    let mut pause = Duration::from_micros(50);
    while !GATE.exchange(from, to, place) {
        if !GATE.close(place) {
            return Err(refused());
        }
        if start.elapsed() > ALONE {
            GATE.reopen();
            return Err(refused());
        }
        py.detach(|| std::thread::sleep(pause));
        pause = (pause * 2).min(Duration::from_millis(5));
    }
    held::add_guest(to);
    Ok(Exchanged { from: from.clone(), to: to.clone(), undo: true })
}

impl Exchanged {
    /// Leaves it so until the lease ends.
    pub(crate) fn keep(mut self) {
        self.undo = false;
    }
}

impl Drop for Exchanged {
    fn drop(&mut self) {
        if self.undo
            && let Some(place) = held::place_with(&self.to)
        {
            held::remove_guest(&self.to);
            GATE.exchange(&self.to, &self.from, place);
        }
    }
}

/// Notes a guest that is in place, and how it is to be dropped.
pub(crate) fn add(
    state: &Arc<ImportState>,
    by: String,
    drop: impl Fn(Python<'_>, &Arc<ImportState>) + Send + 'static,
) {
    GUESTS.lock().push(Guest { state: Arc::clone(state), by, ended: false, drop: Box::new(drop) });
    ANY.store(true, Ordering::Release);
}

/// Whether there are guests.
pub(super) fn are_there() -> bool {
    ANY.load(Ordering::Acquire)
}

/// The guests whose engines were not ended yet, the last first, each with the code that has brought it. From
/// now on they count as ended.
pub(super) fn to_end() -> Vec<(Arc<ImportState>, String)> {
    let mut guests = GUESTS.lock();
    let open = guests.iter_mut().rev().filter(|guest| !guest.ended);
    open.map(|guest| {
        guest.ended = true;
        (Arc::clone(&guest.state), guest.by.clone())
    })
    .collect()
}

/// Drops the guests, the last first. None of them is in place.
pub(super) fn drop_all(py: Python<'_>) {
    if !are_there() {
        return;
    }
    let guests = std::mem::take(&mut *GUESTS.lock());
    ANY.store(false, Ordering::Release);
    for guest in guests.iter().rev() {
        (guest.drop)(py, &guest.state);
    }
}
