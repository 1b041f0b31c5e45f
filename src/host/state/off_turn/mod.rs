//! What a project's code sees and changes while it does not have its turn.
//!
//! Each function here is one step that no other thread can come between: it finds out whether the project is
//! in place, works on the interpreter's own list or dictionary there, and on the project's share of it where
//! the project is parked. So what the code does reaches its own project only, whatever is in place.

mod environment;
mod handlers;
mod tables;

use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};

use self::handlers::live_handlers;
use crate::host::ownership::import_state::ImportState;
use crate::host::ownership::rules::Rules;
use crate::host::python::collector::CollectorPaused;
use crate::host::python::contents;
use crate::host::state::layers::Replaced;
use crate::host::state::layers::list::{ListLayer, ListShare};
use crate::host::state::parts::modules::Modules;
use crate::host::state::world::World;

/// One of the lists that a project has entries in: those of `sys`, and the root logger's handlers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    Path,
    MetaPath,
    PathHooks,
    /// The root logger's.
    Handlers,
}

/// One of the dictionaries that a project has entries in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Named(Named),
    /// What `os.environ` keeps its variables in.
    Environment,
}

/// One whose entries are told by their names whose they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// `sys.modules`.
    Modules,
    /// `logging.Manager.loggerDict`.
    Loggers,
}

/// The list as the project sees it now, in a list of its own.
pub(crate) fn list<'py>(
    py: Python<'py>,
    state: &Arc<ImportState>,
    which: List,
) -> PyResult<Bound<'py, PyList>> {
    locked(py, |world, replaced| world.list_seen_by(py, state, which, replaced))
}

/// Gives the project's list other entries, where it still has those of `before`. Returns whether it had.
pub(crate) fn replace_list(
    py: Python<'_>,
    state: &Arc<ImportState>,
    which: List,
    before: &Bound<'_, PyList>,
    after: &Bound<'_, PyList>,
) -> PyResult<bool> {
    locked(py, |world, replaced| {
        let now = world.list_seen_by(py, state, which, replaced)?;
        let unchanged = contents::same_list(&now, &contents::list_items(before));
        replaced.push(now.into_any().unbind());
        if unchanged {
            world.set_list(py, state, which, (before, after), replaced)?;
        }
        Ok(unchanged)
    })
}

/// The dictionary as the project sees it now, in a dictionary of its own.
pub(crate) fn table<'py>(
    py: Python<'py>,
    state: &Arc<ImportState>,
    which: Table,
) -> PyResult<Bound<'py, PyDict>> {
    locked(py, |world, replaced| world.table(py, state, which, replaced))
}

/// What the project's dictionary has under the key.
pub(crate) fn entry<'py>(
    py: Python<'py>,
    state: &Arc<ImportState>,
    which: Table,
    key: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    locked(py, |world, replaced| world.entry(py, state, which, key, replaced))
}

/// Gives the project's dictionary an entry. A logger of everybody's, and a module that is exempt, is
/// everybody's here too.
pub(crate) fn set_entry<'py>(
    py: Python<'py>,
    state: &Arc<ImportState>,
    which: Table,
    key: &Bound<'py, PyAny>,
    value: &Bound<'py, PyAny>,
) -> PyResult<()> {
    locked(py, |world, replaced| world.set(py, state, which, key, value, replaced))
}

/// As [`set_entry`], where there is no entry yet. Returns what there is then.
pub(crate) fn set_missing_entry<'py>(
    py: Python<'py>,
    state: &Arc<ImportState>,
    which: Table,
    key: &Bound<'py, PyAny>,
    value: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    locked(py, |world, replaced| {
        if let Some(known) = world.entry(py, state, which, key, replaced)? {
            return Ok(known);
        }
        world.set(py, state, which, key, value, replaced)?;
        Ok(value.clone())
    })
}

/// Takes an entry out of the project's dictionary and returns it. A module or logger of the daemon's stays
/// where it is.
pub(crate) fn remove_entry<'py>(
    py: Python<'py>,
    state: &Arc<ImportState>,
    which: Table,
    key: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    locked(py, |world, replaced| {
        let known = world.entry(py, state, which, key, replaced)?;
        match which {
            _ if known.is_none() => {}
            Table::Named(which) => world.remove_named(py, state, which, key)?,
            Table::Environment => {
                world.change_environment(py, state, (key.clone().unbind(), None), replaced)?;
            }
        }
        Ok(known)
    })
}

/// The names that can be taken out of the project's dictionary, the newest last.
pub(crate) fn own_names<'py>(
    py: Python<'py>,
    state: &Arc<ImportState>,
    which: Table,
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    locked(py, |world, replaced| {
        let mut seen = contents::items(&world.table(py, state, which, replaced)?);
        if let Table::Named(which) = which {
            let daemons = world.daemons_table(py, which);
            let is_daemons = |name: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>| {
                contents::get(daemons, &name.clone().into_any()).is_some_and(|daemons| daemons.is(value))
            };
            seen.retain(|(name, value)| !is_daemons(name, value));
        }
        Ok(seen.into_iter().map(|(name, _)| name).collect())
    })
}

/// A key without what a subclass might do when it is compared. The variables of the environment have bytes.
pub(crate) fn plain_key<'py>(key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if key.is_exact_instance_of::<PyString>() || key.is_exact_instance_of::<PyBytes>() {
        return Ok(key.clone());
    }
    let text = key
        .cast::<PyString>()
        .map_err(|_| PyTypeError::new_err(format!("the name must be a str, not {}", key.get_type())))?;
    Ok(PyString::new(key.py(), &text.to_string_lossy()).into_any())
}

/// Puts back what a parked project's code has taken from its core, before a lease puts the project in place:
/// whoever leases it is to have its core, as when a lease ends. The code's own late imports see what it has
/// made of it.
pub(crate) fn put_back_taken(py: Python<'_>, state: &Arc<ImportState>) -> PyResult<()> {
    if !Modules::may_be_taken() {
        return Ok(());
    }
    locked(py, |world, replaced| match world.parts_and_shares(state) {
        (_, Some(shares)) => shares.modules.put_back_taken(py, replaced),
        _ => Ok(()),
    })
}

/// Works on the world with the collector paused, and lets go of what was replaced when all is unlocked.
fn locked<T>(py: Python<'_>, body: impl FnOnce(&mut World, &mut Replaced) -> PyResult<T>) -> PyResult<T> {
    let mut replaced = Replaced::new();
    let outcome = {
        let _paused = CollectorPaused::new(py);
        let mut world = World::lock(py)?;
        let returned = if world.in_place().is_none() { world.return_misplaced(py) } else { Ok(()) };
        returned.and_then(|()| body(&mut world, &mut replaced))
    };
    drop(replaced);
    outcome
}

/// A list with what one project has of it; no share for a project that was retired.
struct ListPart<'a> {
    layer: &'a mut ListLayer,
    share: Option<&'a mut ListShare>,
    hides: fn(&Rules, &Bound<'_, PyAny>) -> bool,
}

impl World {
    /// The part of one of the lists of `sys`.
    fn list_part(&mut self, state: &ImportState, which: List) -> Option<ListPart<'_>> {
        let (parts, shares) = self.parts_and_shares(state);
        Some(match which {
            List::Handlers => return None,
            List::Path => {
                let (layer, hides) = parts.path.layer();
                ListPart { layer, share: shares.map(|shares| &mut shares.path), hides }
            }
            List::MetaPath | List::PathHooks => {
                let index = usize::from(which == List::PathHooks);
                let ([meta_path, path_hooks], hides) = parts.finders.layers();
                let layer = if index == 0 { meta_path } else { path_hooks };
                let share = shares.and_then(|shares| shares.finders.get_mut(index));
                ListPart { layer, share, hides }
            }
        })
    }

    fn list_seen_by<'py>(
        &mut self,
        py: Python<'py>,
        state: &Arc<ImportState>,
        which: List,
        replaced: &mut Replaced,
    ) -> PyResult<Bound<'py, PyList>> {
        let (here, nothing) = (self.is_in_place(state), self.in_place().is_none());
        let Some(ListPart { layer, share, hides }) = self.list_part(state, which) else {
            let seen = if here { live_handlers(py)? } else { self.handlers_seen_by(py, state)? };
            return PyList::new(py, seen.iter());
        };
        if here {
            return PyList::new(py, layer.itself(py, replaced)?.iter());
        }
        if nothing {
            layer.refresh(py, replaced)?;
        }
        let rules = &*state.rules(py);
        let hidden = |entry: &Bound<'_, PyAny>| hides(rules, entry);
        match share {
            Some(share) => PyList::new(py, layer.combine(py, share, replaced, hidden)),
            None => PyList::new(
                py,
                layer.base().iter().filter(|entry| !hidden(entry.bind(py))).collect::<Vec<_>>(),
            ),
        }
    }

    /// What [`list_seen_by`](Self::list_seen_by) has just given is the ground on which the new entries are
    /// told.
    fn set_list(
        &mut self,
        py: Python<'_>,
        state: &Arc<ImportState>,
        which: List,
        (before, entries): (&Bound<'_, PyList>, &Bound<'_, PyList>),
        replaced: &mut Replaced,
    ) -> PyResult<()> {
        let here = self.is_in_place(state);
        let Some(ListPart { layer, mut share, .. }) = self.list_part(state, which) else {
            if !here {
                return self.set_handlers(py, state, entries, replaced);
            }
            let live = live_handlers(py)?;
            replaced.extend(contents::list_items(&live));
            return contents::replace_list(&live, &contents::list_items(entries));
        };
        if let Some(share) = &mut share {
            share.note_by_hand(before, entries);
        }
        if here {
            let live = layer.itself(py, replaced)?;
            replaced.extend(contents::list_items(live));
            return contents::replace_list(live, &contents::list_items(entries));
        }
        let Some(share) = share else { return Ok(()) };
        layer.edit(py, share, entries, replaced);
        if which == List::Path {
            let (parts, shares) = self.parts_and_shares(state);
            if let Some(shares) = shares {
                parts.path.note_roots(py, &shares.path, &mut state.rules(py));
            }
        }
        Ok(())
    }
}
