//! The places of the standard library that code may set something in: which are there, what the daemon has
//! in each, and which have changed.

use std::collections::HashMap;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyString, PyType};

use super::log_levels::LevelCaches;
use super::standard_names::{is_everybodys, is_of_module, is_of_stdlib, put, put_in_class};
use super::standard_places::{self, LISTED, Listed, NO_SETTINGS, OTHERS};
use crate::host::ownership::rules::Rules;
use crate::host::python::contents::{self, attributes, items, version};
use crate::host::python::modules::{class_dict, is_initializing, is_made_by_code, module_dict};
use crate::host::python::names::Names;
use crate::host::state::layers::Replaced;

/// See the module's documentation. All public modules of the standard library are watched once they are
/// loaded, and of the listed ones what is listed.
pub(super) struct Watched {
    places: Vec<Place>,
    /// Where each module's place is, by the module's name.
    modules: HashMap<String, usize>,
    /// Of the places that were found: whether anything has changed is a comparison of numbers.
    stamps: Vec<Stamp>,
    /// Modules that were still being imported when they were looked for.
    loading: Vec<usize>,
    /// The module that was last in `sys.modules` when these were looked for: new ones stand behind it.
    newest: Option<Py<PyAny>>,
    caches: LevelCaches,
}

/// Something with names.
struct Place {
    kind: Kind,
    name: Py<PyString>,
    listed: &'static Listed,
    /// Its names, where it is there, and what the daemon has of them.
    found: Option<(Holder, Py<PyDict>)>,
    /// Which of the stamps is its, once it was found.
    stamp: Option<usize>,
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
    /// None where the place is not there any more.
    names: Option<Py<PyDict>>,
    /// The dictionary's version when it was last known to be what it has to be.
    version: Option<u64>,
}

/// A name in one of the places, and what it is; nothing where the project has removed it.
pub(crate) struct Own {
    pub(super) place: usize,
    pub(super) name: Py<PyAny>,
    pub(super) value: Option<Py<PyAny>>,
}

impl Watched {
    pub(super) fn new(py: Python<'_>) -> PyResult<Self> {
        let mut watched = Self {
            places: Vec::new(),
            modules: HashMap::new(),
            stamps: Vec::new(),
            loading: Vec::new(),
            newest: None,
            caches: LevelCaches::find(py)?,
        };
        for listed in LISTED {
            watched.add(py, listed.name, listed);
        }
        Ok(watched)
    }

    /// Adds a module, and what is listed of it. Returns its place.
    fn add(&mut self, py: Python<'_>, name: &str, listed: &'static Listed) -> usize {
        let module = self.places.len();
        let place = |kind, name: &str| {
            let name = PyString::intern(py, name).unbind();
            Place { kind, name, listed, found: None, stamp: None }
        };
        self.places.push(place(Kind::Module, name));
        self.places.extend(listed.classes.iter().map(|name| place(Kind::Class(module), name)));
        self.places.extend(listed.tables.iter().map(|name| place(Kind::Table(module), name)));
        self.places.extend(listed.objects.iter().map(|name| place(Kind::Object(module), name)));
        self.modules.insert(name.to_owned(), module);
        module
    }

    /// Looks for modules that are not known yet, or were loaded anew, among all of `sys.modules`. Returns
    /// whether all that are there are known then.
    pub(super) fn find(
        &mut self,
        modules: &Bound<'_, PyDict>,
        rules: &Rules,
        replaced: &mut Replaced,
    ) -> PyResult<bool> {
        self.loading.clear();
        for (name, module) in items(modules) {
            self.find_module(&name, &module, rules, replaced)?;
        }
        self.note_newest(modules, replaced)?;
        Ok(self.loading.is_empty())
    }

    /// As [`find`](Self::find), among those that have come to `sys.modules` since.
    pub(super) fn find_newest(
        &mut self,
        modules: &Bound<'_, PyDict>,
        rules: &Rules,
        replaced: &mut Replaced,
    ) -> PyResult<bool> {
        let mut names: Vec<_> = std::mem::take(&mut self.loading)
            .into_iter()
            .filter_map(|place| Some(self.places.get(place)?.name.bind(modules.py()).clone().into_any()))
            .collect();
        names.append(&mut contents::keys_after(modules, self.newest.as_ref())?);
        for name in names {
            if let Some(module) = contents::get(modules, &name) {
                self.find_module(&name, &module, rules, replaced)?;
            }
        }
        self.note_newest(modules, replaced)?;
        Ok(self.loading.is_empty())
    }

    fn note_newest(&mut self, modules: &Bound<'_, PyDict>, replaced: &mut Replaced) -> PyResult<()> {
        let newest = contents::newest_key(modules)?.map(Bound::unbind);
        replaced.extend(std::mem::replace(&mut self.newest, newest));
        Ok(())
    }

    fn find_module(
        &mut self,
        name: &Bound<'_, PyAny>,
        module: &Bound<'_, PyAny>,
        rules: &Rules,
        replaced: &mut Replaced,
    ) -> PyResult<()> {
        let py = name.py();
        let Some(text) = name.cast_exact::<PyString>().ok().and_then(|name| name.to_str().ok()) else {
            return Ok(());
        };
        let known = self.modules.get(text).copied();
        if known.is_none() && !standard_places::is_watched(py, text) {
            return Ok(());
        }
        let Some(names) = module_dict(module) else { return Ok(()) };
        let before = known.and_then(|place| self.places.get(place)?.found.as_ref());
        // Code of a project's may have a module of such a name.
        if before.is_some_and(|(before, _)| before.names.is(&names))
            || rules.of_entry(name, module).is_hidden()
            || known.is_none() && !is_of_stdlib(text, module)
        {
            return Ok(());
        }
        let place = known.unwrap_or_else(|| self.add(py, text, &OTHERS));
        if is_initializing(module) {
            self.loading.push(place);
        } else if self.set_found(place, Some((names, None)), replaced)? {
            self.find_parts(py, place, replaced)?;
        }
        Ok(())
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
        let stamp = Stamp {
            place: index,
            version: found.as_ref().and_then(|(names, _)| version(names)),
            names: found.as_ref().map(|(names, _)| names.clone().unbind()),
        };
        match place.stamp.and_then(|stamp| self.stamps.get_mut(stamp)) {
            Some(before) => replaced.extend(std::mem::replace(before, stamp).names.map(Py::into_any)),
            None => {
                place.stamp = Some(self.stamps.len());
                self.stamps.push(stamp);
            }
        }
        let found = match found {
            Some((names, class)) => {
                let base = names.copy()?.unbind();
                Some((Holder { names: names.unbind(), class: class.map(Bound::unbind) }, base))
            }
            None => None,
        };
        if let Some((before, base)) = std::mem::replace(&mut place.found, found) {
            replaced.extend([before.names.into_any(), base.into_any()]);
            replaced.extend(before.class.map(Py::into_any));
        }
        Ok(true)
    }

    /// Takes for the daemon's what has changed while nothing was in place.
    pub(super) fn take_changed(&mut self, py: Python<'_>, replaced: &mut Replaced) -> PyResult<()> {
        let mut index = 0;
        // What the daemon has changed may be where others are found.
        while let Some(stamp) = self.stamps.get(index) {
            if !stamp.is_known(py) {
                let place = stamp.place;
                self.take_base(py, place, replaced)?;
                self.find_parts(py, place, replaced)?;
            }
            index += 1;
        }
        Ok(())
    }

    /// Takes what is there now for the daemon's.
    pub(super) fn take_base(
        &mut self,
        py: Python<'_>,
        index: usize,
        replaced: &mut Replaced,
    ) -> PyResult<()> {
        if let Some((holder, base)) = self.places.get_mut(index).and_then(|place| place.found.as_mut()) {
            let now = holder.names.bind(py).copy()?.unbind();
            replaced.push(std::mem::replace(base, now).into_any());
        }
        self.note_all(py, std::iter::once(index));
        Ok(())
    }

    /// Remembers that these places are as they have to be.
    pub(super) fn note_all(&mut self, py: Python<'_>, places: impl Iterator<Item = usize>) {
        for index in places {
            let stamp = self.places.get(index).and_then(|place| place.stamp);
            if let Some(stamp) = stamp.and_then(|stamp| self.stamps.get_mut(stamp)) {
                stamp.version = stamp.names.as_ref().and_then(|names| version(names.bind(py)));
            }
        }
    }

    /// Whether a place is an object in a module.
    pub(super) fn is_object(&self, index: usize) -> bool {
        self.places.get(index).is_some_and(|place| matches!(place.kind, Kind::Object(_)))
    }

    /// A place's names, and what the daemon has of them.
    pub(super) fn found<'py>(
        &self,
        py: Python<'py>,
        index: usize,
    ) -> Option<(&Bound<'py, PyDict>, &Bound<'py, PyDict>)> {
        let (holder, base) = self.places.get(index)?.found.as_ref()?;
        Some((holder.names.bind(py), base.bind(py)))
    }

    pub(super) fn base<'py>(&self, py: Python<'py>, index: usize) -> Option<&Bound<'py, PyDict>> {
        Some(self.places.get(index)?.found.as_ref()?.1.bind(py))
    }

    /// What is under a name now.
    pub(super) fn value<'py>(
        &self,
        py: Python<'py>,
        index: usize,
        name: &Bound<'py, PyAny>,
    ) -> Option<Bound<'py, PyAny>> {
        self.places.get(index)?.found.as_ref()?.0.names.bind(py).get_item(name).ok().flatten()
    }

    /// The places that are not as they were last known to have to be.
    pub(super) fn changed(&self, py: Python<'_>) -> Vec<usize> {
        self.stamps.iter().filter(|stamp| !stamp.is_known(py)).map(|stamp| stamp.place).collect()
    }

    /// What is not as the daemon has it, and is the project's.
    pub(super) fn changes(&self, py: Python<'_>, index: usize) -> Vec<Own> {
        let mut changes = Vec::new();
        let Some(place) = self.places.get(index) else { return changes };
        let Some((holder, base)) = &place.found else { return changes };
        let (names, base) = (holder.names.bind(py), base.bind(py));
        for (name, value) in items(names) {
            if !place.is_setting(&name) {
                continue;
            }
            let before = base.get_item(&name).ok().flatten();
            let is_known = match &before {
                Some(before) => before.is(&value),
                None => place.kind == Kind::Module && is_of_module(&value, place.name.bind(py)),
            };
            if !is_known && !is_everybodys(&value) {
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
    pub(super) fn put(
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
        let Some(names) = &self.names else { return true };
        self.version.is_some() && version(names.bind(py)) == self.version
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
