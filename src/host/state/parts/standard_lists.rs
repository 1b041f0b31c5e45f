//! Lists of the standard library that code puts something into: the filters of `warnings`, the root logger's
//! handlers, the callbacks of `gc`, what `urllib.parse` knows of schemes.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use crate::host::python::contents::{attributes, get, list_items, replace_list, same_list, version};
use crate::host::python::modules::loaded;
use crate::host::state::layers::Replaced;
use crate::host::state::layers::list::copies;
use crate::host::state::part::{Part, Visit};

/// Each list: its module, the object in it that has the list where that is not the module, and the attribute.
const LISTS: [(&str, Option<&str>, &str); 10] = [
    ("logging", Some("root"), HANDLERS),
    ("warnings", None, FILTERS),
    ("logging", Some("root"), "filters"),
    ("gc", None, "callbacks"),
    ("mimetypes", None, "knownfiles"),
    ("urllib.parse", None, "uses_relative"),
    ("urllib.parse", None, "uses_netloc"),
    ("urllib.parse", None, "uses_params"),
    ("urllib.parse", None, "uses_query"),
    ("urllib.parse", None, "uses_fragment"),
];

/// `warnings.catch_warnings` has another list there for a while, on whatever thread, and then this one again.
/// So it is the contents of the first one that are taken, and the attribute is left alone.
const FILTERS: &str = "filters";

/// The first of the lists is that of the root logger's handlers.
const ROOT_HANDLERS: usize = 0;

/// The attribute of the root logger that has it.
pub(crate) const HANDLERS: &str = "handlers";

/// See the module's documentation. What a project's code puts in, or takes out, is its own; the daemon's own
/// contents come back when it leaves. What the daemon puts in or takes out is so for all projects.
pub(crate) struct StandardLists(Vec<Place>);

struct Place {
    module: Py<PyString>,
    object: Option<Py<PyString>>,
    attribute: Py<PyString>,
    is_followed: bool,
    found: Option<Found>,
}

/// A list that is there.
struct Found {
    /// The dictionary that has it, and its version when the list was last looked for.
    holder: Py<PyDict>,
    version: Option<u64>,
    list: Py<PyList>,
    /// What the daemon has in it.
    base: Vec<Py<PyAny>>,
    /// What the project in place has in it, where that is not the same.
    entered: Option<Vec<Py<PyAny>>>,
}

/// How a project has one of the lists otherwise than the daemon.
pub(crate) struct Own {
    place: usize,
    /// What stands before all of the daemon's, and after the first of them.
    front: Vec<Py<PyAny>>,
    back: Vec<Py<PyAny>>,
    /// What of the daemon's is not there.
    gone: Vec<Py<PyAny>>,
}

impl Part for StandardLists {
    type Share = Vec<Own>;

    fn new(py: Python<'_>) -> PyResult<Self> {
        let intern = |name: &str| PyString::intern(py, name).unbind();
        let place = |(module, object, attribute): (&str, Option<&str>, &str)| Place {
            module: intern(module),
            object: object.map(intern),
            attribute: intern(attribute),
            is_followed: attribute != FILTERS,
            found: None,
        };
        Ok(Self(LISTS.map(place).into()))
    }

    fn empty(_: Python<'_>) -> Self::Share {
        Vec::new()
    }

    fn enter(&mut self, visit: &mut Visit<'_, '_>, own: &mut Self::Share) -> PyResult<()> {
        let py = visit.py;
        let mut outcome = Ok(());
        for (index, place) in self.0.iter_mut().enumerate() {
            place.find(py, visit.replaced);
            let Some(found) = &mut place.found else { continue };
            let list = found.list.bind(py);
            if !same_list(list, &found.base) {
                visit.replaced.extend(std::mem::replace(&mut found.base, list_items(list)));
            }
            found.entered = None;
            if let Some(own) = own.iter().find(|own| own.place == index) {
                let entered = own.with(py, &found.base);
                outcome = outcome.and(replace_list(list, &entered));
                found.entered = Some(entered);
            }
        }
        outcome
    }

    fn leave(&mut self, visit: &mut Visit<'_, '_>, own: &mut Self::Share) -> PyResult<()> {
        let py = visit.py;
        let mut outcome = Ok(());
        for (index, place) in self.0.iter_mut().enumerate() {
            let Some(found) = &mut place.found else { continue };
            if found.is_as_entered(py) && found.entered.is_none() {
                continue;
            }
            let list = found.list.bind(py);
            found.gather(py, index, list_items(list), own, visit.replaced);
            visit.replaced.extend(list_items(list));
            visit.replaced.extend(found.entered.take().into_iter().flatten());
            outcome = outcome.and(replace_list(list, &found.base));
        }
        outcome
    }

    fn hand_on(_: Python<'_>, from: &mut Self::Share, to: &mut Self::Share, replaced: &mut Replaced) {
        std::mem::replace(to, std::mem::take(from)).into_iter().for_each(|own| own.let_go(replaced));
    }

    fn keep_for_daemon(&mut self, visit: &mut Visit<'_, '_>, own: &mut Self::Share) -> PyResult<()> {
        let py = visit.py;
        for (index, place) in self.0.iter_mut().enumerate() {
            let Some(found) = &mut place.found else { continue };
            if found.is_as_entered(py) {
                continue;
            }
            // What was not the project's before is the daemon's.
            let now = list_items(found.list.bind(py));
            let known = own.iter().find(|own| own.place == index);
            let is_own = |entry: &Py<PyAny>| known.is_some_and(|own| own.has(entry));
            let mut base: Vec<Py<PyAny>> = copies(py, now.iter().filter(|entry| !is_own(entry)));
            base.extend(known.into_iter().flat_map(|own| copies(py, own.gone.iter())));
            visit.replaced.extend(std::mem::replace(&mut found.base, base));
            visit.replaced.extend(now);
        }
        Ok(())
    }
}

impl StandardLists {
    /// Takes what has changed since as the project's own, or as everybody's, and leaves it in place.
    pub(crate) fn settle(
        &mut self,
        py: Python<'_>,
        own: &mut Vec<Own>,
        is_for_all: bool,
        replaced: &mut Replaced,
    ) {
        for (index, place) in self.0.iter_mut().enumerate() {
            let Some(found) = &mut place.found else { continue };
            if found.is_as_entered(py) {
                continue;
            }
            let now = list_items(found.list.bind(py));
            if is_for_all {
                let before = found.entered.as_ref().unwrap_or(&found.base);
                let is_new = |entry: &&Py<PyAny>| !before.iter().any(|other| other.is(*entry));
                let first = now.iter().position(|entry| !is_new(&entry)).unwrap_or(now.len());
                let front = copies(py, now.iter().take(first));
                let back = copies(py, now.iter().skip(first).filter(is_new));
                found.base.splice(0..0, front);
                found.base.extend(back);
            } else {
                found.gather(py, index, copies(py, now.iter()), own, replaced);
            }
            let entered = if same_list(found.list.bind(py), &found.base) { None } else { Some(now) };
            replaced.extend(std::mem::replace(&mut found.entered, entered).into_iter().flatten());
        }
    }
}

/// The root logger's handlers, for code off its turn.
impl StandardLists {
    /// Those that a parked project would see, by its share where it was not retired.
    pub(crate) fn handlers_seen<'py>(
        &self,
        py: Python<'py>,
        own: Option<&Vec<Own>>,
        is_nothing_in_place: bool,
    ) -> PyResult<Bound<'py, PyList>> {
        let Some(found) = self.0.get(ROOT_HANDLERS).and_then(|place| place.found.as_ref()) else {
            return Ok(PyList::empty(py));
        };
        let live = is_nothing_in_place.then(|| list_items(found.list.bind(py)));
        let base = live.as_ref().unwrap_or(&found.base);
        match own.and_then(|own| own.iter().find(|own| own.place == ROOT_HANDLERS)) {
            Some(own) => PyList::new(py, own.with(py, base)),
            None => PyList::new(py, base),
        }
    }

    /// Gives a parked project these.
    pub(crate) fn set_handlers(
        &self,
        py: Python<'_>,
        own: &mut Vec<Own>,
        entries: &Bound<'_, PyList>,
        replaced: &mut Replaced,
    ) {
        if let Some(found) = self.0.get(ROOT_HANDLERS).and_then(|place| place.found.as_ref()) {
            found.gather(py, ROOT_HANDLERS, list_items(entries), own, replaced);
        }
    }
}

impl Place {
    /// Finds the daemon's list, where it may be another one now.
    fn find(&mut self, py: Python<'_>, replaced: &mut Replaced) {
        if let Some(found) = &self.found {
            let now = version(found.holder.bind(py));
            if now.is_some() && now == found.version {
                return;
            }
        }
        let Some(holder) = self.holder(py) else { return };
        let version = version(&holder);
        let is_known = |found: &Found, list: &Bound<'_, PyList>| {
            found.list.is(list) || !self.is_followed && found.holder.is(&holder)
        };
        let list = get(&holder, self.attribute.bind(py).as_any());
        let Some(list) = list.and_then(|list| list.cast_into_exact::<PyList>().ok()) else { return };
        if let Some(found) = self.found.as_mut().filter(|found| is_known(found, &list)) {
            found.version = version;
            return;
        }
        let base = list_items(&list);
        let found = Found { holder: holder.unbind(), version, list: list.unbind(), base, entered: None };
        if let Some(before) = self.found.replace(found) {
            replaced.extend([before.holder.into_any(), before.list.into_any()]);
            replaced.extend(before.base);
        }
    }

    fn holder<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyDict>> {
        let module = loaded(py, &self.module)?;
        match &self.object {
            None => Some(module),
            Some(object) => {
                let object = get(&module, object.bind(py).as_any())?;
                attributes(&object)
            }
        }
    }
}

impl Found {
    fn is_as_entered(&self, py: Python<'_>) -> bool {
        same_list(self.list.bind(py), self.entered.as_ref().unwrap_or(&self.base))
    }

    /// Puts how these entries differ from the daemon's in the place of what was known of that.
    fn gather(
        &self,
        py: Python<'_>,
        place: usize,
        now: Vec<Py<PyAny>>,
        own: &mut Vec<Own>,
        replaced: &mut Replaced,
    ) {
        let is_base = |entry: &Py<PyAny>| self.base.iter().any(|base| base.is(entry));
        let first = now.iter().position(is_base).unwrap_or(now.len());
        let mut differs = Own {
            place,
            front: copies(py, now.iter().take(first)),
            back: copies(py, now.iter().skip(first).filter(|entry| !is_base(entry))),
            gone: Vec::new(),
        };
        let is_there = |entry: &&Py<PyAny>| now.iter().any(|other| other.is(*entry));
        differs.gone = copies(py, self.base.iter().filter(|entry| !is_there(entry)));
        replaced.extend(now);
        if let Some(known) = own.iter().position(|own| own.place == place) {
            own.swap_remove(known).let_go(replaced);
        }
        if differs.front.is_empty() && differs.back.is_empty() && differs.gone.is_empty() {
            return;
        }
        own.push(differs);
    }
}

impl Own {
    /// The daemon's entries as the project has them.
    fn with(&self, py: Python<'_>, base: &[Py<PyAny>]) -> Vec<Py<PyAny>> {
        let is_there = |entry: &&Py<PyAny>| !self.gone.iter().any(|gone| gone.is(*entry));
        copies(py, self.front.iter().chain(base.iter().filter(is_there)).chain(&self.back))
    }

    fn has(&self, entry: &Py<PyAny>) -> bool {
        self.front.iter().chain(&self.back).any(|own| own.is(entry))
    }

    fn let_go(self, replaced: &mut Replaced) {
        replaced.extend(self.front.into_iter().chain(self.back).chain(self.gone));
    }
}
