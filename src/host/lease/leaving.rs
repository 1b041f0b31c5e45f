//! What is looked at before the last holder lets go of what is in place: what project code has done to its
//! own import state.
//!
//! Code may bootstrap by itself, and leave the engine; it may take its core's modules away, or put another
//! core's in their place. The project's own comes back, and it is told once who has done it.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::guests;
use super::threads;
use crate::error::Error;
use crate::host::gate::{GATE, Key};
use crate::host::ownership::culprit::{self, Culprit};
use crate::host::ownership::import_state::ImportState;
use crate::host::ownership::marks;
use crate::host::python::contents;
use crate::host::python::steps_in_python;
use crate::host::state::world::{self, Damage, World, place};

/// How long the threads of an engine that was left may take to end.
pub(super) const THREADS_GRACE: Duration = Duration::from_secs(8);

/// The engine that code has started in the core that is in place, or was before its guests.
static ENGINE: Mutex<Option<Started>> = Mutex::new(None);

/// The same in the core that stays in place outside leases.
static ENGINE_OUTSIDE: Mutex<Option<Started>> = Mutex::new(None);

/// Who has changed what is in place, where that was seen when it happened.
static SEEN: Mutex<Option<(u64, String)>> = Mutex::new(None);

struct Started {
    state: Arc<ImportState>,
    by: String,
}

/// Notes that code starts an engine in the core that is in place. One that the daemon's own code starts by
/// itself stays, as it is meant to be used in further leases; others end with the lease.
pub(crate) fn note_engine(py: Python<'_>) -> PyResult<()> {
    let noted = match GATE.holders() {
        0 if GATE.is_free() => &ENGINE_OUTSIDE,
        // In the middle of a turn the engine is what the turn is for.
        0 => return Ok(()),
        _ => &ENGINE,
    };
    let culprit = Culprit::running(py);
    let Some(state) = World::lock(py)?.in_place().cloned() else { return Ok(()) };
    let is_outside = World::lock(py)?.is_outside();
    // Those of guests are ended in any case.
    if (is_outside || state.base().is_none()) && (culprit.is_projects || culprit.bootstraps) {
        *noted.lock() = Some(Started { state, by: culprit.by });
    }
    Ok(())
}

/// Notes who it is, where what is in place is seen to be damaged for the first time.
pub(crate) fn note_damage(py: Python<'_>) -> PyResult<()> {
    let (state, damage) = {
        let world = World::lock(py)?;
        (world.in_place().cloned(), world.core_is_replaced(py))
    };
    let Some(state) = state.filter(|_| damage) else { return Ok(()) };
    let is_known = SEEN.lock().as_ref().is_some_and(|(id, _)| *id == state.id());
    if !is_known {
        let by = Culprit::running(py).by;
        *SEEN.lock() = Some((state.id(), by));
    }
    Ok(())
}

/// Ends what code has left: engines and their threads, and the code of a core that took the place of the
/// project's own. For the last holder, who still has it in place. Returns what is wrong with what is in place
/// then.
pub(super) fn clean_up(py: Python<'_>) {
    end_engines_of_guests(py);
    end_engine(py);
    let (state, damage) = match World::lock(py) {
        Ok(world) => (world.in_place().cloned(), world.damage(py)),
        Err(_) => return,
    };
    if let (Some(state), Some(damage)) = (state, damage) {
        tell_damage(&state, &damage.to_string(), &take_seen(py, &state));
        if matches!(damage, Damage::Module(_)) {
            end_replacement(py, &state);
        }
    }
}

fn end_engines_of_guests(py: Python<'_>) {
    for (guest, by) in guests::to_end() {
        if let Err(error) = place(py, Some(&guest)) {
            tracing::error!(
                project = guest.project(), %error,
                "failed to put a core of code's own bootstrap in place again"
            );
            continue;
        }
        end_left_engine(py, &guest, &by, true);
        let left = threads::end(py, &[Arc::clone(&guest)], Instant::now() + THREADS_GRACE);
        tell_threads(&guest, &by, &left);
    }
}

/// Ends the engine that code has left in what was in place outside leases until now, and the threads of its
/// core and of those that this one took the place of. For the thread whose turn it is.
pub(crate) fn end_outside(py: Python<'_>, before: &[Arc<ImportState>]) {
    let started = ENGINE_OUTSIDE.lock().take();
    let Some(Started { state, by }) = started.filter(|started| !started.state.is_retired()) else { return };
    *ENGINE.lock() = Some(Started { state: Arc::clone(&state), by: by.clone() });
    end_engine(py);
    let states: Vec<_> = before.iter().chain([&state]).cloned().collect();
    let left = threads::end(py, &states, Instant::now() + THREADS_GRACE);
    tell_threads(&state, &by, &left);
}

/// Ends the engine that code has left in the project's own core.
fn end_engine(py: Python<'_>) {
    let Some(Started { state, by }) = ENGINE.lock().take() else { return };
    if state.is_retired() {
        return;
    }
    match place(py, Some(&state)) {
        Ok(()) => end_left_engine(py, &state, &by, false),
        Err(error) => {
            tracing::error!(project = state.project(), %error, "failed to put a core in place again")
        }
    }
}

fn end_left_engine(py: Python<'_>, state: &ImportState, by: &str, ends_log: bool) {
    let ended = steps_in_python::call(py, "end_left_engine", (ends_log,));
    let ended = ended.and_then(|told| told.extract::<(Option<String>, Option<String>)>());
    match ended.map_err(Error::from) {
        Ok((None, _)) => {}
        Ok((Some(engine), problem)) => {
            let project = state.project();
            let problem = problem.as_deref().map(sgtk_config::keys::redacted).unwrap_or_default();
            if is_news(project, by, "engine") {
                tracing::warn!(
                    project, by, engine, %problem,
                    "code has left an engine that it has started; it was destroyed"
                );
            } else {
                tracing::debug!(project, by, engine, %problem, "destroyed an engine that code has left again");
            }
        }
        Err(error) => {
            tracing::warn!(project = state.project(), %error, "failed to look for an engine that was left")
        }
    }
}

fn tell_threads(state: &ImportState, by: &str, left: &[String]) {
    if !left.is_empty() && is_news(state.project(), by, "threads") {
        tracing::warn!(
            project = state.project(), by, threads = ?left,
            "threads of code's own bootstrap did not end"
        );
    }
}

/// Puts names back that code has taken from the top modules of its core. For the last holder.
pub(super) fn restore_names(py: Python<'_>) {
    let lost = match world::restore_names(py) {
        Ok(lost) if lost.is_empty() => return,
        Ok(lost) => lost,
        Err(error) => {
            let error = Error::from(error);
            return tracing::warn!(%error, "failed to look at the names in a core's modules");
        }
    };
    if let Some(state) = World::lock(py).ok().and_then(|world| world.in_place().cloned()) {
        let lost = lost.iter().map(ToString::to_string).collect::<Vec<_>>();
        tell_damage(&state, &lost.join("; "), &leases_code());
    }
}

/// Who has changed what is in place, as far as that was seen.
fn take_seen(py: Python<'_>, state: &ImportState) -> String {
    let seen = SEEN.lock().take().filter(|(id, _)| *id == state.id()).map(|(_, by)| by);
    let asked = culprit::take_asked(py, state);
    seen.or(asked).unwrap_or_else(leases_code)
}

fn leases_code() -> String {
    let thread = std::thread::current();
    format!("code of the lease on thread '{}'", thread.name().unwrap_or("unnamed"))
}

fn tell_damage(state: &ImportState, damage: &str, by: &str) {
    let project = state.project();
    if is_news(project, by, damage) {
        tracing::warn!(
            project, by, what = %damage,
            "code has changed its project's import state; it was put back"
        );
    } else {
        tracing::debug!(project, by, what = %damage, "put a project's import state back again");
    }
}

/// Ends what code of another core has begun that took the place of the project's own, and has its modules be
/// nobody's: they are not to import from the project's core.
fn end_replacement(py: Python<'_>, state: &Arc<ImportState>) {
    let ended = steps_in_python::call(py, "end_left_engine", (true,));
    if let Err(error) = ended.map_err(Error::from) {
        tracing::debug!(project = state.project(), %error, "failed to look for an engine in another core");
    }
    match disown(py, state) {
        Ok(nobodys) => {
            let left = threads::end(py, &[nobodys], Instant::now() + THREADS_GRACE);
            tell_threads(state, "code of the lease", &left);
        }
        Err(error) => {
            let error = Error::from(error);
            tracing::warn!(
                project = state.project(), %error,
                "failed to tell another core's modules from the project's"
            );
        }
    }
}

/// Marks the modules that appeared in the lease as those of a state that was dropped.
fn disown(py: Python<'_>, state: &Arc<ImportState>) -> PyResult<Arc<ImportState>> {
    let newcomers = {
        let world = World::lock(py)?;
        world.adopt(py)?;
        world.newcomers(py)
    };
    let nobodys = ImportState::like(state, Key::unique(state.project()));
    let (mark, remains) = (marks::new(py, &nobodys)?, PyDict::new(py));
    for (name, module) in newcomers {
        marks::mark(&module, &mark)?;
        if let Some(reference) = contents::reference(&module) {
            remains.set_item(name, reference)?;
        }
    }
    nobodys.set_retired();
    nobodys.keep_remains(py, remains);
    Ok(nobodys)
}

/// Whether it was not told before of this code.
fn is_news(project: &str, by: &str, what: &str) -> bool {
    static TOLD: LazyLock<Mutex<HashSet<[String; 3]>>> = LazyLock::new(Mutex::default);
    TOLD.lock().insert([project, by, what].map(str::to_owned))
}

/// Whether there is anything to [clean up](clean_up), as far as a look tells.
pub(super) fn is_needed(py: Python<'_>) -> bool {
    guests::are_there()
        || ENGINE.lock().is_some()
        || World::lock(py).is_ok_and(|world| world.damage(py).is_some())
}

/// Whether what is in place is damaged.
pub(super) fn is_damaged(py: Python<'_>) -> bool {
    World::lock(py).is_ok_and(|world| world.damage(py).is_some())
}
