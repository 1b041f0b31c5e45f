//! What code replaces in the standard library, or adds to it: in its modules (`socket.socket` by a class that
//! goes through a proxy, `tempfile.tempdir`, `os.environ` as a whole), in its classes
//! (`HTTPConnection.debuglevel`), in the dictionaries that it registers things in (`logging.addLevelName`),
//! in the root logger.

use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyList, PyString, PyType};

use super::log_levels::LevelCaches;
use super::standard_names::{attributes, is_everybodys, put, put_in_class, same_name};
use super::standard_places::{LISTED, Listed, NO_SETTINGS};
use crate::host::ownership::rules::Rules;
use crate::host::python::contents::{items, version};
use crate::host::python::modules::{
    class_dict, is_initializing, is_made_by_code, loaded_module, module_dict,
};
use crate::host::python::names::Names;
use crate::host::state::layers::Replaced;
use crate::host::state::part::{Part, Visit};

/// The version of `sys.modules` when modules were last looked for in it; 0 for never.
static NOTED_AT: AtomicU64 = AtomicU64::new(0);

/// See the module's documentation. What a project's code sets is its own, and the daemon's comes back when it
/// leaves. A module that is loaded while a project is in place is the daemon's as it is when the import ends.
pub(crate) struct StandardAttributes {
    places: Vec<Place>,
    /// Of the places that are there: whether anything has changed is a comparison of numbers.
    stamps: Vec<Stamp>,
    caches: LevelCaches,
    /// The daemon's modules when these were last looked for.
    found_among: u64,
}

/// Something with names.
struct Place {
    kind: Kind,
    name: Py<PyString>,
    listed: &'static Listed,
    /// Its names, where it is there, and what the daemon has of them.
    found: Option<(Holder, Py<PyDict>)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Module,
    /// These are in the module at this place.
    Class(usize),
    Table(usize),
    Object(usize),
}

/// What has the names, and the dictionary that it keeps them in.
struct Holder {
    names: Py<PyDict>,
    class: Option<Py<PyType>>,
}

struct Stamp {
    place: usize,
    names: Py<PyDict>,
    /// The dictionary's version when it was last known to be what it has to be.
    version: Option<u64>,
}

/// A name in one of the places, and what it is; nothing where the project has removed it.
pub(crate) struct Own {
    place: usize,
    name: Py<PyAny>,
    value: Option<Py<PyAny>>,
}

impl Part for StandardAttributes {
    type Share = Vec<Own>;

    fn new(py: Python<'_>) -> PyResult<Self> {
        let mut places = Vec::new();
        for listed in LISTED {
            let module = places.len();
            let place =
                |kind, name| Place { kind, name: PyString::intern(py, name).unbind(), listed, found: None };
            places.push(place(Kind::Module, listed.name));
            places.extend(listed.classes.iter().map(|name| place(Kind::Class(module), name)));
            places.extend(listed.tables.iter().map(|name| place(Kind::Table(module), name)));
            places.extend(listed.objects.iter().map(|name| place(Kind::Object(module), name)));
        }
        Ok(Self { places, stamps: Vec::new(), caches: LevelCaches::find(py)?, found_among: 0 })
    }

    fn empty(_: Python<'_>) -> Self::Share {
        Vec::new()
    }

    fn enter(&mut self, visit: &mut Visit<'_, '_>, own: &mut Self::Share) -> PyResult<()> {
        let py = visit.py;
        if self.found_among != visit.daemons_modules {
            let all = self.find(py, visit.rules, visit.replaced)?;
            self.found_among = if all { visit.daemons_modules } else { 0 };
        }
        let mut index = 0;
        // What the daemon has changed may be where others are found.
        while let Some(stamp) = self.stamps.get(index) {
            if !stamp.is_known(py) {
                let place = stamp.place;
                self.take_base(py, place, visit.replaced)?;
                self.find_parts(py, place, visit.replaced)?;
            }
            index += 1;
        }
        if own.is_empty() {
            return Ok(());
        }
        let mut outcome = Ok(());
        for one in own.iter() {
            outcome = outcome.and(self.put(py, one.place, one.name.bind(py), one.value.as_ref()));
        }
        self.note_all(py, own.iter().map(|one| one.place));
        outcome
    }

    fn leave(&mut self, visit: &mut Visit<'_, '_>, own: &mut Self::Share) -> PyResult<()> {
        let py = visit.py;
        let changed = self.changed(py);
        if !changed.is_empty() {
            self.gather(py, own, visit.replaced);
        }
        let mut outcome = Ok(());
        for one in own.iter() {
            let before = self.base(py, one.place).and_then(|base| base.get_item(&one.name).ok().flatten());
            let before = before.map(Bound::unbind);
            outcome = outcome.and(self.put(py, one.place, one.name.bind(py), before.as_ref()));
        }
        self.note_all(py, own.iter().map(|one| one.place));
        // What is left is everybody's: what this library has wrapped, what modules remember.
        for place in changed {
            outcome = outcome.and(self.take_base(py, place, visit.replaced));
        }
        outcome
    }

    fn hand_on(_: Python<'_>, from: &mut Self::Share, to: &mut Self::Share, replaced: &mut Replaced) {
        let_go(std::mem::replace(to, std::mem::take(from)), replaced);
    }

    fn keep_for_daemon(&mut self, visit: &mut Visit<'_, '_>, own: &mut Self::Share) -> PyResult<()> {
        let py = visit.py;
        for place in self.changed(py) {
            let Some(before) = self.base(py, place).map(|base| base.clone().unbind()) else { continue };
            self.take_base(py, place, visit.replaced)?;
            let Some((holder, base)) = self.places.get(place).and_then(|place| place.found.as_ref()) else {
                continue;
            };
            // What is still the project's stays so.
            for one in own.iter().filter(|one| one.place == place) {
                let name = one.name.bind(py);
                let is_own = match (holder.names.bind(py).get_item(name)?, &one.value) {
                    (Some(now), Some(value)) => now.is(value),
                    (None, None) => true,
                    _ => false,
                };
                if is_own {
                    let daemons = before.bind(py).get_item(name)?.map(Bound::unbind);
                    put(base.bind(py), name, daemons.as_ref())?;
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
        let all = self.find(modules.py(), rules, replaced)?;
        NOTED_AT.store(version(modules).filter(|_| all).unwrap_or(0), Ordering::Relaxed);
        Ok(())
    }

    /// The list that a parked project has given the root logger as its handlers, where it has given it one.
    pub(crate) fn own_root_handlers<'py>(&self, py: Python<'py>, own: &[Own]) -> Option<Bound<'py, PyList>> {
        let is_root =
            |place: usize| self.places.get(place).is_some_and(|place| matches!(place.kind, Kind::Object(_)));
        let handlers = Names::of(py).handlers.bind(py);
        let own =
            own.iter().find(|one| is_root(one.place) && one.name.bind(py).eq(handlers).unwrap_or(false))?;
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
        let changed = self.changed(py);
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
                if !is_as_before && let Some(base) = self.base(py, place) {
                    put(base, name.bind(py), value.as_ref())?;
                }
                replaced.push(name);
                replaced.extend(value);
            }
            // What was the project's and is not any more was replaced by what is everybody's.
            let there = |one: &Own| self.value(py, one.place, one.name.bind(py));
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
        self.note_all(py, changed.into_iter());
        Ok(())
    }

    /// The places that are not as they were last known to have to be.
    fn changed(&self, py: Python<'_>) -> Vec<usize> {
        self.stamps.iter().filter(|stamp| !stamp.is_known(py)).map(|stamp| stamp.place).collect()
    }

    /// In the places that have changed, puts all that is not as the daemon has it, and is the project's, in
    /// the place of what was known of it.
    fn gather(&self, py: Python<'_>, own: &mut Vec<Own>, replaced: &mut Replaced) {
        let places = self.changed(py);
        let found = places.iter().flat_map(|place| self.changes(py, *place)).collect();
        let (gone, others) =
            std::mem::take(own).into_iter().partition(|one: &Own| places.contains(&one.place));
        let_go(gone, replaced);
        *own = others;
        own.append(&mut { found });
    }

    /// Looks for the modules that are not known yet, or were loaded anew. Returns whether all that are there
    /// are known then.
    fn find(&mut self, py: Python<'_>, rules: &Rules, replaced: &mut Replaced) -> PyResult<bool> {
        let mut all = true;
        for index in 0..self.places.len() {
            let Some(place) = self.places.get(index).filter(|place| place.kind == Kind::Module) else {
                continue;
            };
            let Some(module) = loaded_module(py, &place.name) else { continue };
            let Some(names) = module_dict(&module) else { continue };
            if place.found.as_ref().is_some_and(|(before, _)| before.names.is(&names)) {
                continue;
            }
            if is_initializing(&module) {
                all = false;
            // Code of a project's may have a module of such a name.
            } else if !rules.of_entry(place.name.bind(py).as_any(), &module).is_hidden()
                && self.set_found(index, Some((names, None)), replaced)?
            {
                self.find_parts(py, index, replaced)?;
            }
        }
        Ok(all)
    }

    /// Looks for what is in the module at this place: the daemon's.
    fn find_parts(&mut self, py: Python<'_>, module: usize, replaced: &mut Replaced) -> PyResult<()> {
        let kinds = [Kind::Class(module), Kind::Table(module), Kind::Object(module)];
        let parts = self.places.iter().enumerate().skip(module + 1);
        let parts = parts.take_while(|(_, place)| kinds.contains(&place.kind));
        for index in parts.map(|(index, _)| index).collect::<Vec<_>>() {
            let Some(place) = self.places.get(index) else { continue };
            let value = self.base(py, module).and_then(|base| base.get_item(&place.name).ok().flatten());
            let found = value.and_then(|value| match place.kind {
                Kind::Class(_) => {
                    let class = value.cast_into::<PyType>().ok().filter(is_made_by_code)?;
                    Some((class_dict(&class)?, Some(class)))
                }
                Kind::Table(_) => Some((value.cast_into_exact::<PyDict>().ok()?, None)),
                Kind::Object(_) => Some((attributes(&value)?, None)),
                Kind::Module => None,
            });
            self.set_found(index, found, replaced)?;
        }
        Ok(())
    }

    /// What was known of a module before does not hold for one that was loaded anew. Returns whether it is
    /// another one.
    fn set_found<'py>(
        &mut self,
        index: usize,
        found: Option<(Bound<'py, PyDict>, Option<Bound<'py, PyType>>)>,
        replaced: &mut Replaced,
    ) -> PyResult<bool> {
        let Some(place) = self.places.get_mut(index) else { return Ok(false) };
        let is_same = match (&place.found, &found) {
            (Some((before, _)), Some((names, _))) => before.names.is(names),
            (before, found) => before.is_none() && found.is_none(),
        };
        if is_same {
            return Ok(false);
        }
        let found = match found {
            Some((names, class)) => {
                let (base, class) = (names.copy()?.unbind(), class.map(Bound::unbind));
                let stamp = Stamp { place: index, version: version(&names), names: names.clone().unbind() };
                self.stamps.push(stamp);
                Some((Holder { names: names.unbind(), class }, base))
            }
            None => None,
        };
        if let Some((before, base)) = std::mem::replace(&mut place.found, found) {
            let old =
                self.stamps.iter().position(|stamp| stamp.place == index && stamp.names.is(&before.names));
            replaced.extend(old.map(|old| self.stamps.remove(old).names.into_any()));
            replaced.extend([before.names.into_any(), base.into_any()]);
            replaced.extend(before.class.map(Py::into_any));
        }
        Ok(true)
    }

    /// Takes what is there now for the daemon's.
    fn take_base(&mut self, py: Python<'_>, index: usize, replaced: &mut Replaced) -> PyResult<()> {
        if let Some((holder, base)) = self.places.get_mut(index).and_then(|place| place.found.as_mut()) {
            let now = holder.names.bind(py).copy()?.unbind();
            replaced.push(std::mem::replace(base, now).into_any());
        }
        self.note_all(py, std::iter::once(index));
        Ok(())
    }

    /// Remembers that these places are as they have to be.
    fn note_all(&mut self, py: Python<'_>, places: impl Iterator<Item = usize>) {
        let mut last = None;
        // Names of one place follow each other.
        for index in places.filter(|index| last.replace(*index) != Some(*index)) {
            if let Some(stamp) = self.stamps.iter_mut().find(|stamp| stamp.place == index) {
                stamp.version = version(stamp.names.bind(py));
            }
        }
    }

    fn base<'py>(&self, py: Python<'py>, index: usize) -> Option<&Bound<'py, PyDict>> {
        Some(self.places.get(index)?.found.as_ref()?.1.bind(py))
    }

    /// What is under a name now.
    fn value<'py>(
        &self,
        py: Python<'py>,
        index: usize,
        name: &Bound<'py, PyAny>,
    ) -> Option<Bound<'py, PyAny>> {
        self.places.get(index)?.found.as_ref()?.0.names.bind(py).get_item(name).ok().flatten()
    }

    /// What is not as the daemon has it, and is the project's.
    fn changes(&self, py: Python<'_>, index: usize) -> Vec<Own> {
        let mut changes = Vec::new();
        let Some(place) = self.places.get(index) else { return changes };
        let Some((holder, base)) = &place.found else { return changes };
        let (names, base) = (holder.names.bind(py), base.bind(py));
        for (name, value) in items(names) {
            let is_same = || base.get_item(&name).ok().flatten().is_some_and(|before| before.is(&value));
            if place.is_setting(&name) && !is_same() && !is_everybodys(&value) {
                changes.push(Own { place: index, name: name.unbind(), value: Some(value.unbind()) });
            }
        }
        for (name, _) in items(base) {
            if place.is_setting(&name) && !names.contains(&name).unwrap_or(true) {
                changes.push(Own { place: index, name: name.unbind(), value: None });
            }
        }
        changes
    }

    /// Gives a name a value, or takes it away.
    fn put(
        &self,
        py: Python<'_>,
        index: usize,
        name: &Bound<'_, PyAny>,
        value: Option<&Py<PyAny>>,
    ) -> PyResult<()> {
        let place = self.places.get(index);
        let Some((place, (holder, _))) = place.and_then(|place| Some((place, place.found.as_ref()?))) else {
            return Ok(());
        };
        let names = holder.names.bind(py);
        match &holder.class {
            Some(class) => put_in_class(class.bind(py), names, name, value)?,
            None => put(names, name, value)?,
        }
        if matches!(place.kind, Kind::Object(_)) && name.eq(&Names::of(py).level)? {
            self.caches.forget(py);
        }
        Ok(())
    }
}

impl Stamp {
    /// Whether nothing has changed. Where Python keeps no versions, nobody can tell.
    #[inline]
    fn is_known(&self, py: Python<'_>) -> bool {
        self.version.is_some() && version(self.names.bind(py)) == self.version
    }
}

impl Place {
    /// Whether a name may be a setting: others are what the module itself remembers.
    fn is_setting(&self, name: &Bound<'_, PyAny>) -> bool {
        let text = name.cast_exact::<PyString>().ok().and_then(|name| name.to_str().ok());
        match (self.kind, text) {
            (Kind::Module, Some(name)) if name.starts_with('_') => self.listed.private.contains(&name),
            (Kind::Module, Some(name)) => !self.listed.ignored.contains(&name),
            (Kind::Class(_) | Kind::Object(_), Some(name)) => !NO_SETTINGS.contains(&name),
            (Kind::Table(_), Some(_)) => true,
            // Keys whose comparison runs no Python code.
            (Kind::Table(_), None) => {
                name.is_exact_instance_of::<PyInt>() || name.is_exact_instance_of::<PyType>()
            }
            (_, None) => false,
        }
    }
}

fn let_go(own: Vec<Own>, replaced: &mut Replaced) {
    for Own { name, value, .. } in own {
        replaced.push(name);
        replaced.extend(value);
    }
}
