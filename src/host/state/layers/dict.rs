//! A dictionary that daemon and projects take turns to fill.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::Replaced;
use crate::host::ownership::rules::{Ownership, Rules};
use crate::host::python::contents::{self, Items, Snapshot};

/// See the module's documentation.
pub(crate) struct DictLayer {
    pub(super) live: Py<PyDict>,
    pub(super) base: Snapshot,
    /// Counts the changes of `base`; the first is 1.
    pub(super) version: u64,
}

/// Whether an entry of the daemon's is out of a project's sight, by the project's rules.
pub(crate) type Hides = fn(&Rules, &Bound<'_, PyAny>, &Bound<'_, PyAny>) -> bool;

/// A project's share of a [`DictLayer`].
pub(crate) struct DictShare {
    pub(crate) own: Py<PyDict>,
    pub(super) combined: Snapshot,
    /// The version of the base that `combined` was made for; 0 for none.
    version: u64,
    /// Whether entries of the base are hidden in it.
    hides: bool,
}

impl DictShare {
    pub(crate) fn new(py: Python<'_>) -> Self {
        Self {
            own: PyDict::new(py).unbind(),
            combined: Snapshot::keep(PyDict::new(py)),
            version: 0,
            hides: false,
        }
    }

    /// Takes in an entry that was found elsewhere.
    pub(crate) fn take_in(&mut self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.version = 0;
        self.own.bind(key.py()).set_item(key, value)
    }

    /// The entry that the project itself has under this key.
    pub(crate) fn own_entry<'py>(&self, key: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        contents::get(self.own.bind(key.py()), key)
    }

    /// Whether the project hides entries of the daemon's.
    pub(crate) fn hides(&self) -> bool {
        self.hides
    }
}

impl DictLayer {
    pub(crate) fn new(live: &Bound<'_, PyDict>) -> PyResult<Self> {
        Ok(Self { live: live.clone().unbind(), base: Snapshot::of(live)?, version: 1 })
    }

    pub(crate) fn live<'py>(&self, py: Python<'py>) -> &Bound<'py, PyDict> {
        self.live.bind(py)
    }

    /// Another number whenever the daemon's own contents are others.
    pub(crate) fn base_version(&self) -> u64 {
        self.version
    }

    /// The daemon's own contents: as they are where no project is in place, else as they were when it came.
    pub(crate) fn base<'py>(&self, py: Python<'py>) -> &Bound<'py, PyDict> {
        self.base.dict(py)
    }

    /// The live entries that are new or others since the daemon's own contents were last looked at. Only
    /// while no project is in place.
    pub(crate) fn changes_of_the_daemon<'py>(&self, py: Python<'py>) -> Items<'py> {
        let (live, base) = (self.live.bind(py), self.base.dict(py));
        if self.base.matches(live) {
            return Vec::new();
        }
        let mut items = contents::items(live);
        items.retain(|(key, value)| !contents::get(base, key).is_some_and(|known| known.is(value)));
        items
    }

    /// Takes over what the daemon has changed, and puts the project's entries in place beside those of the
    /// daemon's that are not `hidden`. Entries of the daemon's that the project has its own of are hidden
    /// without asking.
    pub(crate) fn enter(
        &mut self,
        py: Python<'_>,
        share: &mut DictShare,
        replaced: &mut Replaced,
        hidden: impl FnMut(&Bound<'_, PyAny>, &Bound<'_, PyAny>) -> bool,
    ) -> PyResult<()> {
        self.refresh(py, replaced)?;
        self.combine(py, share, replaced, hidden)?.put(self.live.bind(py))
    }

    /// Takes over what the daemon has changed. Only while no project is in place.
    pub(crate) fn refresh(&mut self, py: Python<'_>, replaced: &mut Replaced) -> PyResult<()> {
        let live = self.live.bind(py);
        if !self.base.matches(live) {
            replaced.push(std::mem::replace(&mut self.base, Snapshot::of(live)?).into_any());
            self.version += 1;
        }
        Ok(())
    }

    /// The project's entries beside those of the daemon's that are not `hidden`: what it sees in place.
    pub(crate) fn combine<'s>(
        &self,
        py: Python<'_>,
        share: &'s mut DictShare,
        replaced: &mut Replaced,
        mut hidden: impl FnMut(&Bound<'_, PyAny>, &Bound<'_, PyAny>) -> bool,
    ) -> PyResult<&'s Snapshot> {
        if share.version == self.version {
            return Ok(&share.combined);
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
        Ok(&share.combined)
    }

    /// Gives a parked project an entry of its own.
    pub(crate) fn set_own(
        &self,
        share: &mut DictShare,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        replaced: &mut Replaced,
    ) -> PyResult<()> {
        let py = key.py();
        replaced.extend(share.own_entry(key).map(Bound::unbind));
        share.own.bind(py).set_item(key, value)?;
        if share.version == self.version {
            let combined = share.combined.dict(py).clone();
            combined.set_item(key, value)?;
            share.combined = Snapshot::keep(combined);
            share.hides |= contents::get(self.base.dict(py), key).is_some();
        }
        Ok(())
    }

    /// Takes an entry of a parked project's own away, and returns it where there was one.
    pub(crate) fn remove_own<'py>(
        &self,
        share: &mut DictShare,
        key: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = key.py();
        let Some(value) = share.own_entry(key) else { return Ok(None) };
        share.own.bind(py).del_item(key)?;
        if contents::get(self.base.dict(py), key).is_some() {
            // The daemon's may come into sight again.
            share.version = 0;
        } else if share.version == self.version {
            let combined = share.combined.dict(py).clone();
            combined.del_item(key)?;
            share.combined = Snapshot::keep(combined);
        }
        Ok(Some(value))
    }

    /// Gives the daemon and all projects an entry, where they have nothing under the key yet.
    pub(crate) fn share_entry(
        &mut self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        replaced: &mut Replaced,
    ) -> PyResult<()> {
        let py = key.py();
        let live = self.live.bind(py);
        if contents::get(live, key).is_none() {
            live.set_item(key, value)?;
        }
        if contents::get(self.base.dict(py), key).is_none() {
            let base = self.base.dict(py).copy()?;
            base.set_item(key, value)?;
            self.replace_base(base, replaced);
        }
        Ok(())
    }

    /// Whether the live dictionary still is as [`DictLayer::enter`] left it.
    pub(crate) fn untouched(&self, py: Python<'_>, share: &DictShare) -> bool {
        share.combined.matches(self.live.bind(py))
    }

    /// The live entries that are new or others since the share's combination was made.
    pub(crate) fn changes<'py>(&self, py: Python<'py>, share: &DictShare) -> Items<'py> {
        let combined = share.combined.dict(py);
        let mut items = contents::items(self.live.bind(py));
        items.retain(|(key, value)| !contents::get(combined, key).is_some_and(|known| known.is(value)));
        items
    }

    /// Puts the daemon's own contents in place. Changes that were not taken over with
    /// [`DictLayer::take_over`] are lost.
    pub(crate) fn leave(&self, py: Python<'_>) -> PyResult<()> {
        self.base.put(self.live.bind(py))
    }

    /// Takes what changed since [`DictLayer::enter`] into the share and the base: what is the project's own
    /// goes into the share, another project's goes nowhere, the rest is the daemon's where that has nothing
    /// under the name.
    ///
    /// Whatever the live dictionary holds goes to `replaced`, to be let go of when all is in place.
    pub(crate) fn take_over(
        &mut self,
        py: Python<'_>,
        share: &mut DictShare,
        replaced: &mut Replaced,
        mut whose: impl FnMut(&Bound<'_, PyAny>, &Bound<'_, PyAny>) -> Ownership,
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
            match if known { Ownership::Own } else { whose(&key, &value) } {
                Ownership::Own => own.set_item(key, value)?,
                Ownership::Other => {}
                _ => shared.push((key, value)),
            }
        }
        shared.retain(|(key, _)| contents::get(base, key).is_none());
        if !shared.is_empty() {
            let base = base.copy()?;
            for (key, value) in shared {
                base.set_item(key, value)?;
            }
            self.replace_base(base, replaced);
        }
        replaced.push(std::mem::replace(&mut share.own, own.unbind()).into_any());
        share.version = 0;
        Ok(())
    }

    /// Puts the daemon's own contents in place, and leaves the share as it was on [`DictLayer::enter`]. What
    /// appeared since is lost, but for what is `everybodys`.
    ///
    /// Whatever the live dictionary holds goes to `replaced`.
    pub(crate) fn undo(
        &mut self,
        py: Python<'_>,
        share: &mut DictShare,
        replaced: &mut Replaced,
        everybodys: impl Fn(&Bound<'_, PyAny>, &Bound<'_, PyAny>) -> bool,
    ) -> PyResult<()> {
        let own = share.own.clone_ref(py);
        let taken_over = self.take_over(py, share, replaced, |key, value| {
            if everybodys(key, value) { Ownership::Shared } else { Ownership::Other }
        });
        share.own = own;
        taken_over.and(self.leave(py))
    }

    pub(super) fn replace_base(&mut self, base: Bound<'_, PyDict>, replaced: &mut Replaced) {
        replaced.push(std::mem::replace(&mut self.base, Snapshot::keep(base)).into_any());
        self.version += 1;
    }
}
