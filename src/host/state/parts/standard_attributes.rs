//! What code replaces in the standard library, or adds to it: in its modules (`socket.socket` by a class that
//! goes through a proxy, `tempfile.tempdir`, `os.environ` as a whole), in its classes
//! (`HTTPConnection.debuglevel`), in the dictionaries that it registers things in (`logging.addLevelName`),
//! in the root logger.

use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::standard_names::{put, same_name};
use super::standard_watched::{Own, Watched};
use crate::host::ownership::rules::Rules;
use crate::host::python::contents::version;
use crate::host::python::modules::all_loaded;
use crate::host::python::names::Names;
use crate::host::state::layers::Replaced;
use crate::host::state::part::{Part, Visit};

/// The version of `sys.modules` when modules were last looked for in it; 0 for never.
static NOTED_AT: AtomicU64 = AtomicU64::new(0);

/// See the module's documentation. What a project's code sets is its own, and the daemon's comes back when it
/// leaves. A module that is loaded while a project is in place is the daemon's as it is when the import ends.
pub(crate) struct StandardAttributes {
    watched: Watched,
    /// The daemon's modules when these were last looked for.
    found_among: u64,
}

impl Part for StandardAttributes {
    type Share = Vec<Own>;

    fn new(py: Python<'_>) -> PyResult<Self> {
        Ok(Self { watched: Watched::new(py)?, found_among: 0 })
    }

    fn empty(_: Python<'_>) -> Self::Share {
        Vec::new()
    }

    fn enter(&mut self, visit: &mut Visit<'_, '_>, own: &mut Self::Share) -> PyResult<()> {
        let py = visit.py;
        if self.found_among != visit.daemons_modules
            && let Some(modules) = all_loaded(py)
        {
            let all = self.watched.find(&modules, visit.rules, visit.replaced)?;
            self.found_among = if all { visit.daemons_modules } else { 0 };
        }
        self.watched.take_changed(py, visit.replaced)?;
        if own.is_empty() {
            return Ok(());
        }
        let mut outcome = Ok(());
        for one in own.iter() {
            outcome = outcome.and(self.watched.put(py, one.place, one.name.bind(py), one.value.as_ref()));
        }
        self.watched.note_all(py, own.iter().map(|one| one.place));
        outcome
    }

    fn leave(&mut self, visit: &mut Visit<'_, '_>, own: &mut Self::Share) -> PyResult<()> {
        let py = visit.py;
        let changed = self.watched.changed(py);
        if !changed.is_empty() {
            self.gather(py, own, visit.replaced);
        }
        let mut outcome = Ok(());
        for one in own.iter() {
            let before =
                self.watched.base(py, one.place).and_then(|base| base.get_item(&one.name).ok().flatten());
            let before = before.map(Bound::unbind);
            outcome = outcome.and(self.watched.put(py, one.place, one.name.bind(py), before.as_ref()));
        }
        self.watched.note_all(py, own.iter().map(|one| one.place));
        // What is left is everybody's: what this library has wrapped, what modules remember.
        for place in changed {
            outcome = outcome.and(self.watched.take_base(py, place, visit.replaced));
        }
        outcome
    }

    fn hand_on(_: Python<'_>, from: &mut Self::Share, to: &mut Self::Share, replaced: &mut Replaced) {
        let_go(std::mem::replace(to, std::mem::take(from)), replaced);
    }

    fn keep_for_daemon(&mut self, visit: &mut Visit<'_, '_>, own: &mut Self::Share) -> PyResult<()> {
        let py = visit.py;
        for place in self.watched.changed(py) {
            let Some(before) = self.watched.base(py, place).map(|base| base.clone().unbind()) else {
                continue;
            };
            self.watched.take_base(py, place, visit.replaced)?;
            let Some((names, base)) = self.watched.found(py, place) else {
                continue;
            };
            // What is still the project's stays so.
            for one in own.iter().filter(|one| one.place == place) {
                let name = one.name.bind(py);
                let is_own = match (names.get_item(name)?, &one.value) {
                    (Some(now), Some(value)) => now.is(value),
                    (None, None) => true,
                    _ => false,
                };
                if is_own {
                    let daemons = before.bind(py).get_item(name)?.map(Bound::unbind);
                    put(base, name, daemons.as_ref())?;
                }
            }
            visit.replaced.push(before.into_any());
        }
        Ok(())
    }
}

impl StandardAttributes {
    /// Whether [`note_imported`](Self::note_imported) has nothing to do. `modules` is `sys.modules`.
    pub(crate) fn are_known(modules: &Bound<'_, PyDict>) -> bool {
        version(modules).is_some_and(|version| version == NOTED_AT.load(Ordering::Relaxed))
    }

    /// Takes the modules that have been imported since the project was put in place as the daemon's, before
    /// the code that has imported them goes on. `modules` is `sys.modules`.
    pub(crate) fn note_imported(
        &mut self,
        modules: &Bound<'_, PyDict>,
        rules: &Rules,
        replaced: &mut Replaced,
    ) -> PyResult<()> {
        let all = self.watched.find_newest(modules, rules, replaced)?;
        NOTED_AT.store(version(modules).filter(|_| all).unwrap_or(0), Ordering::Relaxed);
        Ok(())
    }

    /// The list that a parked project has given the root logger as its handlers, where it has given it one.
    pub(crate) fn own_root_handlers<'py>(&self, py: Python<'py>, own: &[Own]) -> Option<Bound<'py, PyList>> {
        let handlers = Names::of(py).handlers.bind(py);
        let own = own.iter().find(|one| {
            self.watched.is_object(one.place) && one.name.bind(py).eq(handlers).unwrap_or(false)
        })?;
        own.value.as_ref()?.bind(py).cast_exact::<PyList>().ok().cloned()
    }

    /// Takes what has changed since as the project's own, or as everybody's, and leaves it in place.
    pub(crate) fn settle(
        &mut self,
        py: Python<'_>,
        own: &mut Vec<Own>,
        is_for_all: bool,
        replaced: &mut Replaced,
    ) -> PyResult<()> {
        let changed = self.watched.changed(py);
        if changed.is_empty() {
            return Ok(());
        }
        if is_for_all {
            let mut news = Vec::new();
            self.gather(py, &mut news, replaced);
            for Own { place, name, value } in news {
                let is_own = own.iter().find(|one| one.place == place && same_name(py, &one.name, &name));
                let is_as_before = is_own.is_some_and(|one| match (&one.value, &value) {
                    (Some(one), Some(value)) => one.is(value),
                    (one, value) => one.is_none() && value.is_none(),
                });
                if !is_as_before && let Some(base) = self.watched.base(py, place) {
                    put(base, name.bind(py), value.as_ref())?;
                }
                replaced.push(name);
                replaced.extend(value);
            }
            // What was the project's and is not any more was replaced by what is everybody's.
            let there = |one: &Own| self.watched.value(py, one.place, one.name.bind(py));
            let (kept, gone) =
                std::mem::take(own).into_iter().partition(|one| match (there(one), &one.value) {
                    (Some(now), Some(value)) => now.is(value),
                    (now, value) => now.is_none() && value.is_none(),
                });
            *own = kept;
            let_go(gone, replaced);
        } else {
            self.gather(py, own, replaced);
        }
        self.watched.note_all(py, changed.into_iter());
        Ok(())
    }

    /// In the places that have changed, puts all that is not as the daemon has it, and is the project's, in
    /// the place of what was known of it.
    fn gather(&self, py: Python<'_>, own: &mut Vec<Own>, replaced: &mut Replaced) {
        let places = self.watched.changed(py);
        let found = places.iter().flat_map(|place| self.watched.changes(py, *place)).collect();
        let (gone, others) =
            std::mem::take(own).into_iter().partition(|one: &Own| places.contains(&one.place));
        let_go(gone, replaced);
        *own = others;
        own.append(&mut { found });
    }
}

fn let_go(own: Vec<Own>, replaced: &mut Replaced) {
    for Own { name, value, .. } in own {
        replaced.push(name);
        replaced.extend(value);
    }
}
