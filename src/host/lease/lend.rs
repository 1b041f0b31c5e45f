//! A bootstrap's turn, lent to others while its thread waits for the site, for a program or for others'
//! turns.
//!
//! Calls of the standard library that wait are wrapped once (`waits.py`). On a thread that [lends](lending)
//! its turn such a call parks what is in place, opens the gate, waits, and takes the turn again before any of
//! the project's code goes on. So code runs in its turn alone, as ever; only its waits do not count.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};

use super::quiet::wait_for_imports;
use super::turn::{ask, put_outside, report};
#[cfg(unix)]
use super::umask;
use crate::error::Result;
use crate::host::gate::{GATE, Manner, held};
use crate::host::python::import::is_nested;
use crate::host::state::world::{World, put_back};

/// What has to know when a turn is lent and when it is back. It runs no Python code, in which a time limit
/// could strike.
pub(crate) trait Lender {
    /// Others are about to have their turns.
    fn lend(&self, py: Python<'_>) -> PyResult<()>;
    /// They have had them.
    fn take_back(&self, py: Python<'_>) -> PyResult<()>;
}

thread_local! {
    static LENDER: RefCell<Option<Rc<dyn Lender>>> = const { RefCell::new(None) };
}

/// Has this thread lend its turn, until dropped.
#[must_use = "nothing is lent once it is dropped"]
pub(crate) struct Lending {
    id: u64,
    before: Option<Rc<dyn Lender>>,
}

/// The threads that may have lent their turns at this moment.
static LENDING: Mutex<Active> = Mutex::new(Active { next: 0, ids: Vec::new() });
static ENDED: Condvar = Condvar::new();

struct Active {
    next: u64,
    ids: Vec<u64>,
}

/// Has this thread lend its turn, whose only one it is, wherever it waits.
pub(crate) fn lending(lender: Rc<dyn Lender>) -> Lending {
    let mut active = LENDING.lock();
    let id = active.next;
    active.next += 1;
    active.ids.push(id);
    drop(active);
    Lending { id, before: replace(Some(lender)) }
}

impl Drop for Lending {
    fn drop(&mut self) {
        drop(replace(self.before.take()));
        LENDING.lock().ids.retain(|id| *id != self.id);
        ENDED.notify_all();
    }
}

/// Where the thread is ending, it lends nothing.
fn replace(lender: Option<Rc<dyn Lender>>) -> Option<Rc<dyn Lender>> {
    LENDER.try_with(|slot| slot.replace(lender)).ok().flatten()
}

/// Those that may have lent their turns when this is called.
pub(crate) fn lenders() -> Vec<u64> {
    LENDING.lock().ids.clone()
}

/// Waits until none of these may lend its turn any more: they have it back, or it is over. `timeout` at most.
pub(crate) fn wait_for_lenders(py: Python<'_>, lenders: &[u64], timeout: Option<Duration>) {
    let are_active = |active: &mut Active| active.ids.iter().any(|id| lenders.contains(id));
    py.detach(|| match timeout {
        Some(timeout) => drop(ENDED.wait_while_for(&mut LENDING.lock(), are_active, timeout)),
        None => ENDED.wait_while(&mut LENDING.lock(), are_active),
    });
}

/// The lender, where this thread may lend at this moment. Not within an import: others would wait for its
/// lock.
fn lender() -> Option<Rc<dyn Lender>> {
    if is_nested() || held::held_once().is_none() {
        return None;
    }
    LENDER.try_with(|lender| lender.borrow().clone()).ok().flatten()
}

/// Runs `wait` while others have their turns.
fn lend<T>(py: Python<'_>, lender: &dyn Lender, wait: impl FnOnce() -> PyResult<T>) -> Result<PyResult<T>> {
    let in_place = World::lock(py)?.in_place().cloned();
    let (Some(state), Some((key, frame))) = (in_place, held::held_once()) else { return Ok(wait()) };
    wait_for_imports(py, &state);
    lender.lend(py)?;
    #[cfg(unix)]
    let mask = umask::suspend();
    held::pop();
    if let Err(error) = put_outside(py, false) {
        report(&error);
    }
    let outcome = wait();
    // Alone, as a turn is: not together with a late import of the project's own. Without a limit, as there is
    // no way back.
    let (_, place) = ask(py, &key, Manner::Alone, None)?;
    held::push(&key, place, frame);
    let back = put_back(py, &state);
    #[cfg(unix)]
    umask::resume(mask);
    lender.take_back(py)?;
    back.map(|()| outcome)
}

/// Wraps the calls that wait, once.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    static INSTALLED: PyOnceLock<()> = PyOnceLock::new();
    INSTALLED.get_or_try_init(py, || wrap_waits(py)).copied()
}

fn wrap_waits(py: Python<'_>) -> PyResult<()> {
    let globals = PyDict::new(py);
    globals.set_item("__name__", "sgtk_host.waits")?;
    // As modules have it: its imports are its own, not its callers'.
    globals.set_item("__loader__", py.None())?;
    let builtins = py.import("builtins")?;
    let code =
        builtins.getattr("compile")?.call1((include_str!("waits.py"), "<sgtk-host>/waits.py", "exec"))?;
    builtins.getattr("exec")?.call1((code, &globals))?;
    let install = globals.get_item("install")?;
    let functions = (
        wrap_pyfunction!(lends, py)?,
        wrap_pyfunction!(call_lending, py)?,
        wrap_pyfunction!(let_others_go, py)?,
    );
    install.map_or(Ok(()), |install| install.call1(functions).map(drop))
}

/// Whether this thread lends its turn at this moment.
#[pyfunction]
fn lends() -> bool {
    lender().is_some()
}

/// Calls a function while others have their turns.
#[pyfunction]
fn call_lending(
    py: Python<'_>,
    function: &Bound<'_, PyAny>,
    arguments: &Bound<'_, PyTuple>,
    named: &Bound<'_, PyDict>,
) -> PyResult<Py<PyAny>> {
    let call = || function.call(arguments, Some(named)).map(Bound::unbind);
    match lender() {
        Some(lender) => lend(py, &*lender, call)?,
        None => call(),
    }
}

/// Lets those have their turns who wait at this moment.
#[pyfunction]
fn let_others_go(py: Python<'_>) -> PyResult<()> {
    match lender().filter(|_| GATE.waiting() > 0) {
        Some(lender) => lend(py, &*lender, || Ok(()))?,
        None => Ok(()),
    }
}
