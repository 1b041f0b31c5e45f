//! What the daemon and the projects take turns to fill: dictionaries (`sys.modules`, the loggers, the environment) and
//! lists (`sys.path`, `sys.meta_path`, `sys.path_hooks`).
//!
//! Each layer remembers the daemon's own contents (`base`). A project's share of it is what it *owns*, and a ready-made
//! combination of both. Entering gives the live object the combined contents, leaving gives it the base again, unless
//! the live object is found changed: then the differences are judged one by one.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::contents::{self, Items, Snapshot};

/// Whose a new or changed entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// The project's: it goes and comes with it.
    Project,
    /// Everybody's: it stays in place, for the daemon and all projects.
    Shared,
    /// Nobody's: it goes.
    Nobody,
}

/// Who has made the changes that are found when a project leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// The project's code, in a lease: what it did to the daemon's own entries is undone.
    Project,
    /// The daemon, while a project was in place outside leases: what it did to its own entries stays done.
    Daemon,
}

/// A dictionary that daemon and projects take turns to fill.
pub(super) struct DictLayer {
    live: Py<PyDict>,
    base: Snapshot,
    /// Counts the changes of `base`; the first is 1.
    version: u64,
}

/// A project's share of a [`DictLayer`].
pub(super) struct DictShare {
    pub(super) own: Py<PyDict>,
    combined: Snapshot,
    /// The version of the base that `combined` was made for; 0 for none.
    version: u64,
    /// Whether entries of the base are hidden in it.
    hides: bool,
}

impl DictShare {
    pub(super) fn new(py: Python<'_>) -> Self {
        Self {
            own: PyDict::new(py).unbind(),
            combined: Snapshot::keep(PyDict::new(py)),
            version: 0,
            hides: false,
        }
    }

    /// Takes in an entry that was found elsewhere.
    pub(super) fn take_in(&mut self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.version = 0;
        self.own.bind(key.py()).set_item(key, value)
    }

    /// Whether the project hides entries of the daemon's.
    pub(super) fn hides(&self) -> bool {
        self.hides
    }
}

impl DictLayer {
    pub(super) fn new(live: &Bound<'_, PyDict>) -> PyResult<Self> {
        Ok(Self { live: live.clone().unbind(), base: Snapshot::of(live)?, version: 1 })
    }

    pub(super) fn live<'py>(&self, py: Python<'py>) -> &Bound<'py, PyDict> {
        self.live.bind(py)
    }

    /// The daemon's own contents: as they are where no project is in place, else as they were when it came.
    pub(super) fn base<'py>(&self, py: Python<'py>) -> &Bound<'py, PyDict> {
        self.base.dict(py)
    }

    /// Takes over what the daemon changed since. Only while no project is in place.
    pub(super) fn refresh(&mut self, py: Python<'_>, replaced: &mut Vec<Py<PyAny>>) -> PyResult<()> {
        let live = self.live.bind(py);
        if !self.base.matches(live) {
            replaced.push(std::mem::replace(&mut self.base, Snapshot::of(live)?).into_any());
            self.version += 1;
        }
        Ok(())
    }

    /// The live entries that are new or others since the daemon's own contents were last looked at. Only while no project
    /// is in place.
    pub(super) fn changes_of_the_daemon<'py>(&self, py: Python<'py>) -> Items<'py> {
        let (live, base) = (self.live.bind(py), self.base.dict(py));
        if self.base.matches(live) {
            return Vec::new();
        }
        let mut items = contents::items(live);
        items.retain(|(key, value)| !contents::get(base, key).is_some_and(|known| known.is(value)));
        items
    }

    /// Gives `share` the combination of the base, without what `hidden` names, and its own entries.
    ///
    /// Entries of the base that the project has its own of are hidden without asking.
    pub(super) fn combine(
        &self,
        py: Python<'_>,
        share: &mut DictShare,
        replaced: &mut Vec<Py<PyAny>>,
        mut hidden: impl FnMut(&Bound<'_, PyAny>, &Bound<'_, PyAny>) -> bool,
    ) -> PyResult<()> {
        if share.version == self.version {
            return Ok(());
        }
        let own = share.own.bind(py);
        let combined = PyDict::new(py);
        let base = self.base.dict(py);
        for (key, value) in contents::items(base) {
            if contents::get(own, &key).is_none() && !hidden(&key, &value) {
                combined.set_item(key, value)?;
            }
        }
        share.hides = combined.len() < base.len();
        combined.update(own.as_mapping())?;
        replaced.push(std::mem::replace(&mut share.combined, Snapshot::keep(combined)).into_any());
        share.version = self.version;
        Ok(())
    }

    /// Puts the combined contents in place.
    pub(super) fn enter(&self, py: Python<'_>, share: &DictShare) -> PyResult<()> {
        share.combined.put(self.live.bind(py))
    }

    /// Whether the live dictionary still is as [`DictLayer::enter`] left it.
    pub(super) fn untouched(&self, py: Python<'_>, share: &DictShare) -> bool {
        share.combined.matches(self.live.bind(py))
    }

    /// The live entries that are new or others since the share's combination was made.
    pub(super) fn changes<'py>(&self, py: Python<'py>, share: &DictShare) -> Items<'py> {
        let combined = share.combined.dict(py);
        let mut items = contents::items(self.live.bind(py));
        items.retain(|(key, value)| !contents::get(combined, key).is_some_and(|known| known.is(value)));
        items
    }

    /// Puts the daemon's own contents in place. Changes that were not taken over with [`DictLayer::take_over`] are lost.
    pub(super) fn leave(&self, py: Python<'_>) -> PyResult<()> {
        self.base.put(self.live.bind(py))
    }

    /// Takes what changed since [`DictLayer::enter`] into the share and the base.
    ///
    /// Whatever the live dictionary holds goes to `replaced`, to be let go of when all is in place.
    pub(super) fn take_over(
        &mut self,
        py: Python<'_>,
        share: &mut DictShare,
        replaced: &mut Vec<Py<PyAny>>,
        by: By,
        mut whose: impl FnMut(&Bound<'_, PyAny>, &Bound<'_, PyAny>) -> Whose,
    ) -> PyResult<()> {
        let (own, combined) = (PyDict::new(py), share.combined.dict(py));
        let (live, base) = (self.live.bind(py), self.base.dict(py));
        let mut shared: Items<'_> = Vec::new();
        for (key, value) in contents::items(live) {
            replaced.push(value.clone().unbind());
            let known = contents::get(combined, &key).is_some_and(|known| known.is(&value));
            if known && contents::get(share.own.bind(py), &key).is_none() {
                continue;
            }
            match if known { Whose::Project } else { whose(&key, &value) } {
                Whose::Project => own.set_item(key, value)?,
                Whose::Shared => shared.push((key, value)),
                Whose::Nobody => {}
            }
        }
        let mut gone = Vec::new();
        match by {
            By::Project => shared.retain(|(key, _)| contents::get(base, key).is_none()),
            By::Daemon => {
                let visible = contents::items(combined).into_iter().map(|(key, _)| key);
                gone.extend(visible.filter(|key| {
                    contents::get(live, key).is_none() && contents::get(share.own.bind(py), key).is_none()
                }));
            }
        }
        if !shared.is_empty() || !gone.is_empty() {
            let base = base.copy()?;
            for (key, value) in shared {
                base.set_item(key, value)?;
            }
            for key in gone {
                base.del_item(key)?;
            }
            replaced.push(std::mem::replace(&mut self.base, Snapshot::keep(base)).into_any());
            self.version += 1;
        }
        replaced.push(std::mem::replace(&mut share.own, own.unbind()).into_any());
        share.version = 0;
        Ok(())
    }
}

/// A list that daemon and projects take turns to fill, and the attribute of a module that leads to it.
pub(super) struct ListLayer {
    /// The module and the attribute, `sys` and `path` say: code that gives the attribute another list is followed, and
    /// the list itself put back.
    holder: (Py<PyDict>, &'static str),
    live: Py<PyList>,
    base: Vec<Py<PyAny>>,
    /// Counts the changes of `base`; the first is 1.
    version: u64,
}

/// A project's share of a [`ListLayer`].
#[derive(Default)]
pub(super) struct ListShare {
    /// What stands before the daemon's own entries.
    pub(super) front: Vec<Py<PyAny>>,
    /// What stands after the first of the daemon's own entries.
    pub(super) back: Vec<Py<PyAny>>,
    combined: Vec<Py<PyAny>>,
    /// The version of the base that `combined` was made for; 0 for none.
    version: u64,
}

impl ListShare {
    pub(super) fn starting_with(front: Vec<Py<PyAny>>) -> Self {
        Self { front, ..Self::default() }
    }
}

impl ListLayer {
    pub(super) fn new(module: &Bound<'_, PyDict>, attribute: &'static str) -> PyResult<Self> {
        let live = module
            .get_item(attribute)?
            .ok_or_else(|| pyo3::exceptions::PyAttributeError::new_err(attribute))?
            .cast_into::<PyList>()?;
        let base = contents::list_items(&live);
        Ok(Self { holder: (module.clone().unbind(), attribute), live: live.unbind(), base, version: 1 })
    }

    /// The daemon's own entries.
    pub(super) fn base(&self) -> &[Py<PyAny>] {
        &self.base
    }

    /// Follows the attribute to the list that it names now; the old list gets its contents and the attribute back.
    fn reclaim(&self, py: Python<'_>, replaced: &mut Vec<Py<PyAny>>) -> PyResult<()> {
        let (module, attribute) = (self.holder.0.bind(py), self.holder.1);
        let live = self.live.bind(py);
        let now = module.get_item(attribute)?;
        if now.as_ref().is_some_and(|now| now.is(live)) {
            return Ok(());
        }
        if let Some(now) = now.and_then(|now| now.cast_into::<PyList>().ok()) {
            replaced.extend(contents::list_items(live));
            contents::replace_list(live, &contents::list_items(&now))?;
            replaced.push(now.into_any().unbind());
        }
        module.set_item(attribute, live)
    }

    /// Takes over what the daemon changed since. Only while no project is in place.
    pub(super) fn refresh(&mut self, py: Python<'_>, replaced: &mut Vec<Py<PyAny>>) -> PyResult<()> {
        self.reclaim(py, replaced)?;
        let live = self.live.bind(py);
        if !contents::same_list(live, &self.base) {
            replaced.append(&mut self.base);
            self.base = contents::list_items(live);
            self.version += 1;
        }
        Ok(())
    }

    /// Puts the project's entries in place around those of the daemon's that are not `hidden`.
    pub(super) fn enter(
        &self,
        py: Python<'_>,
        share: &mut ListShare,
        replaced: &mut Vec<Py<PyAny>>,
        mut hidden: impl FnMut(&Bound<'_, PyAny>) -> bool,
    ) -> PyResult<()> {
        if share.version != self.version {
            replaced.append(&mut share.combined);
            let visible = self.base.iter().filter(|entry| !hidden(entry.bind(py)));
            let all = share.front.iter().chain(visible).chain(&share.back);
            share.combined = all.map(|entry| entry.clone_ref(py)).collect();
            share.version = self.version;
        }
        contents::replace_list(self.live.bind(py), &share.combined)
    }

    /// Takes what changed into the share and the base, then puts the base in place.
    pub(super) fn leave(
        &mut self,
        py: Python<'_>,
        share: &mut ListShare,
        replaced: &mut Vec<Py<PyAny>>,
        by: By,
        whose: impl FnMut(&Bound<'_, PyAny>) -> Whose,
    ) -> PyResult<()> {
        self.reclaim(py, replaced)?;
        if !contents::same_list(self.live.bind(py), &share.combined) {
            self.take_over(py, share, replaced, by, whose);
        }
        contents::replace_list(self.live.bind(py), &self.base)
    }

    fn take_over(
        &mut self,
        py: Python<'_>,
        share: &mut ListShare,
        replaced: &mut Vec<Py<PyAny>>,
        by: By,
        mut whose: impl FnMut(&Bound<'_, PyAny>) -> Whose,
    ) {
        // Only what the project could see of the daemon's entries counts as the daemon's.
        let visible = share.front.len()..share.combined.len().saturating_sub(share.back.len());
        let visible = share.combined.get(visible).unwrap_or_default();
        let (mut bases, mut owns) = (copies(py, visible), copies(py, share.front.iter().chain(&share.back)));
        let (mut front, mut back, mut shared_front, mut shared_back) = (vec![], vec![], vec![], vec![]);
        let mut daemons = Vec::new();
        let mut passed_base = false;
        for entry in self.live.bind(py).iter() {
            replaced.push(entry.clone().unbind());
            // A folder may be on the path twice, as the project's and as the daemon's: the object itself tells which.
            let is_base = take(&mut bases, replaced, |base| base.bind(py).is(&entry));
            let is_own = !is_base && take(&mut owns, replaced, |own| same_entry(own.bind(py), &entry));
            if is_base || !is_own && take(&mut bases, replaced, |base| same_entry(base.bind(py), &entry)) {
                daemons.push(entry.unbind());
                passed_base = true;
                continue;
            }
            match (if is_own { Whose::Project } else { whose(&entry) }, passed_base) {
                (Whose::Project, false) => front.push(entry.unbind()),
                (Whose::Project, true) => back.push(entry.unbind()),
                (Whose::Shared, _) if by == By::Daemon => daemons.push(entry.unbind()),
                (Whose::Shared, false) => shared_front.push(entry.unbind()),
                (Whose::Shared, true) => shared_back.push(entry.unbind()),
                (Whose::Nobody, _) => {}
            }
        }
        if by == By::Daemon {
            let hidden = with_hidden(py, daemons, &self.base, visible);
            replaced.extend(std::mem::replace(&mut self.base, hidden));
            self.version += 1;
        }
        replaced.append(&mut bases);
        replaced.append(&mut owns);
        replaced.append(&mut share.front);
        replaced.append(&mut share.back);
        (share.front, share.back, share.version) = (front, back, 0);
        if !(shared_front.is_empty() && shared_back.is_empty()) {
            self.base.splice(0..0, shared_front);
            self.base.extend(shared_back);
            self.version += 1;
        }
    }
}

fn copies<'a>(py: Python<'_>, entries: impl IntoIterator<Item = &'a Py<PyAny>>) -> Vec<Py<PyAny>> {
    entries.into_iter().map(|entry| entry.clone_ref(py)).collect()
}

/// Moves the first entry that `wanted` names to `replaced`. Returns whether there was one.
fn take(
    entries: &mut Vec<Py<PyAny>>,
    replaced: &mut Vec<Py<PyAny>>,
    wanted: impl FnMut(&Py<PyAny>) -> bool,
) -> bool {
    let found = entries.iter().position(wanted);
    replaced.extend(found.map(|index| entries.remove(index)));
    found.is_some()
}

/// The daemon's entries as it has left them, with those of `base` that were not `visible` to it where they stood: each
/// behind the one that it stood behind.
fn with_hidden(
    py: Python<'_>,
    mut daemons: Vec<Py<PyAny>>,
    base: &[Py<PyAny>],
    visible: &[Py<PyAny>],
) -> Vec<Py<PyAny>> {
    let mut visible = visible.iter().peekable();
    let mut behind = 0;
    for entry in base {
        if visible.next_if(|visible| visible.is(entry)).is_none() {
            daemons.insert(behind, entry.clone_ref(py));
            behind += 1;
        } else if let Some(index) = daemons.iter().position(|kept| same_entry(kept.bind(py), entry.bind(py)))
        {
            behind = index + 1;
        }
    }
    daemons
}

/// Whether two entries are one: the same object, or equal strings (paths).
fn same_entry(one: &Bound<'_, PyAny>, other: &Bound<'_, PyAny>) -> bool {
    use pyo3::types::PyString;
    one.is(other)
        || match (one.cast_exact::<PyString>(), other.cast_exact::<PyString>()) {
            (Ok(one), Ok(other)) => one.to_string_lossy() == other.to_string_lossy(),
            _ => false,
        }
}
