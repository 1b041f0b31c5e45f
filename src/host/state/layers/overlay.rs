//! Small dictionaries of which a project changes an entry or two: the attributes of `sys` and the
//! environment.
//!
//! Unlike in a [`DictLayer`](super::dict::DictLayer), every change made while the project is in place is the
//! project's, removals included: it is undone when the project leaves and made again when it comes back.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::Replaced;
use crate::host::python::contents::{self, Snapshot};

/// An entry's key, and its value or that it is absent.
pub(crate) type Change = (Py<PyAny>, Option<Py<PyAny>>);

/// A dictionary that each project changes in its own way.
pub(crate) struct OverlayLayer {
    pub(super) live: Py<PyDict>,
    pub(super) base: Snapshot,
    /// Entries that are nobody's: they stay as they are.
    ignored: &'static [&'static str],
    /// Entries of the daemon's that no project may see.
    hidden: Vec<Py<PyAny>>,
}

/// A project's share of an [`OverlayLayer`].
pub(crate) struct OverlayShare {
    changes: Vec<Change>,
    /// How the live dictionary differed from the base when [`OverlayLayer::enter`] left it, and its version
    /// then.
    pub(super) differs: Vec<Change>,
    entered_at: Option<u64>,
    /// Whether the changes may be others than those that were revised last.
    is_new: bool,
}

impl OverlayShare {
    pub(crate) fn new() -> Self {
        Self { changes: Vec::new(), differs: Vec::new(), entered_at: None, is_new: true }
    }

    /// A share with the same changes, for a state that was never in place.
    pub(crate) fn inherited(&self, py: Python<'_>) -> Self {
        let changes = self.changes.iter();
        let changes = changes.map(|(key, value)| (key.clone_ref(py), copied(py, value.as_ref()))).collect();
        Self { changes, ..Self::new() }
    }

    /// Hands the changes that `goes` names on to another share, whose own of these are let go of.
    pub(crate) fn hand_on(
        &mut self,
        py: Python<'_>,
        to: &mut Self,
        replaced: &mut Replaced,
        goes: impl Fn(&Change) -> bool,
    ) {
        let (going, staying) = std::mem::take(&mut self.changes).into_iter().partition(&goes);
        self.changes = staying;
        let (gone, mut kept): (Vec<Change>, Vec<Change>) =
            std::mem::take(&mut to.changes).into_iter().partition(&goes);
        replaced.extend(gone.into_iter().filter_map(|(_, value)| value));
        let going: Vec<Change> = going;
        kept.retain(|(key, _)| !going.iter().any(|(other, _)| same_key(py, key, other)));
        kept.extend(going);
        to.changes = kept;
    }

    /// Gives changes that the last [`OverlayLayer::leave`] has found other values, where `revised` has one.
    pub(crate) fn revise(
        &mut self,
        py: Python<'_>,
        replaced: &mut Replaced,
        revised: impl Fn(&Bound<'_, PyAny>, &Bound<'_, PyAny>) -> Option<Py<PyAny>>,
    ) {
        if !std::mem::take(&mut self.is_new) {
            return;
        }
        for (key, value) in &mut self.changes {
            let other = value.as_ref().and_then(|value| revised(key.bind(py), value.bind(py)));
            if other.is_some() {
                replaced.extend(std::mem::replace(value, other));
            }
        }
    }

    /// The values of the changes, to be dropped later.
    pub(crate) fn into_values(self) -> impl Iterator<Item = Py<PyAny>> {
        self.changes.into_iter().chain(self.differs).filter_map(|(_, value)| value)
    }

    /// Whether `live` is as [`OverlayLayer::enter`] left it. Where Python keeps no versions nobody can tell:
    /// then all entries are to be looked at.
    pub(super) fn is_untouched(&self, live: &Bound<'_, PyDict>) -> bool {
        self.entered_at.is_some() && self.entered_at == contents::version(live)
    }
}

impl OverlayLayer {
    pub(crate) fn new(live: &Bound<'_, PyDict>, ignored: &'static [&'static str]) -> Self {
        // An empty base differs from the live dictionary, so that the first entry looks at all of it.
        let base = Snapshot::keep(PyDict::new(live.py()));
        Self { live: live.clone().unbind(), base, ignored, hidden: Vec::new() }
    }

    /// Takes over what the daemon has changed, makes the project's changes, and returns all that now differs
    /// from the daemon's own.
    ///
    /// `forced` wins over what the project had made of the same entry, and is not counted as the project's
    /// change. Entries of the daemon's whose value `hides` names are out of the project's sight.
    pub(crate) fn enter<'s>(
        &mut self,
        py: Python<'_>,
        share: &'s mut OverlayShare,
        forced: Option<Change>,
        replaced: &mut Replaced,
        hides: impl Fn(&Bound<'_, PyAny>) -> bool,
    ) -> PyResult<&'s [Change]> {
        self.refresh(py, replaced, hides)?;
        let live = self.live.bind(py);
        let base = self.base.dict(py);
        if let Some((forced, _)) = &forced {
            share.changes.retain(|(key, _)| !same_key(py, key, forced));
        }
        let hidden =
            self.hidden.iter().filter(|key| !share.changes.iter().any(|own| same_key(py, key, &own.0)));
        let hidden = hidden.map(|key| (key.clone_ref(py), None));
        let own = share.changes.iter().map(|(key, value)| (key.clone_ref(py), copied(py, value.as_ref())));
        let mut differs: Vec<Change> = Vec::new();
        for (key, value) in hidden.chain(own).chain(forced) {
            let was = contents::get(base, key.bind(py));
            if !same(was.as_ref(), value.as_ref().map(|value| value.bind(py))) {
                put(live, key.bind(py), value.as_ref().map(|value| value.bind(py)))?;
                differs.push((key, value));
            }
        }
        replaced.extend(
            std::mem::replace(&mut share.differs, differs).into_iter().filter_map(|(_, value)| value),
        );
        share.entered_at = contents::version(live);
        Ok(&share.differs)
    }

    /// Takes over what the daemon has changed. Only while no project is in place.
    pub(crate) fn refresh(
        &mut self,
        py: Python<'_>,
        replaced: &mut Replaced,
        hides: impl Fn(&Bound<'_, PyAny>) -> bool,
    ) -> PyResult<()> {
        let live = self.live.bind(py);
        if !self.base.matches(live) {
            replaced.push(std::mem::replace(&mut self.base, Snapshot::of(live)?).into_any());
            let items = contents::items(live).into_iter();
            self.hidden = items.filter(|(_, value)| hides(value)).map(|(key, _)| key.unbind()).collect();
        }
        Ok(())
    }

    pub(crate) fn live<'py>(&self, py: Python<'py>) -> &Bound<'py, PyDict> {
        self.live.bind(py)
    }

    /// What a project would see in place, in a dictionary of its own; without a share what the daemon has.
    /// `forced` is as in [`enter`](Self::enter).
    pub(crate) fn seen<'py>(
        &self,
        py: Python<'py>,
        share: Option<&OverlayShare>,
        forced: &Change,
    ) -> PyResult<Bound<'py, PyDict>> {
        let seen = self.base.dict(py).copy()?;
        let Some(share) = share else { return Ok(seen) };
        let hidden =
            self.hidden.iter().filter(|key| !share.changes.iter().any(|own| same_key(py, key, &own.0)));
        for key in hidden {
            put(&seen, key.bind(py), None)?;
        }
        for (key, value) in share.changes.iter().chain([forced]) {
            put(&seen, key.bind(py), value.as_ref().map(|value| value.bind(py)))?;
        }
        Ok(seen)
    }

    /// Makes a change for a parked project.
    pub(crate) fn edit(
        &self,
        py: Python<'_>,
        share: &mut OverlayShare,
        change: Change,
        replaced: &mut Replaced,
    ) {
        let (same, others) = std::mem::take(&mut share.changes)
            .into_iter()
            .partition::<Vec<Change>, _>(|(key, _)| same_key(py, key, &change.0));
        replaced.extend(same.into_iter().filter_map(|(_, value)| value));
        share.changes = others;
        let was = contents::get(self.base.dict(py), change.0.bind(py));
        let is_undone = match (&was, &change.1) {
            (None, None) => true,
            // Both are `str` or `bytes`.
            (Some(was), Some(wanted)) => was.eq(wanted.bind(py)).unwrap_or(false),
            _ => false,
        };
        if !is_undone {
            share.changes.push(change);
        }
    }

    /// Changes the live dictionary as the project's own code might.
    pub(crate) fn put(&self, py: Python<'_>, changes: &[Change]) -> PyResult<()> {
        changes.iter().try_for_each(|(key, value)| {
            put(self.live.bind(py), key.bind(py), value.as_ref().map(|value| value.bind(py)))
        })
    }

    /// The entries that the live dictionary has otherwise, with the daemon's values.
    pub(crate) fn changed(&self, py: Python<'_>) -> Vec<Change> {
        let base = self.base.dict(py);
        let daemons = |key: Py<PyAny>| {
            let value = contents::get(base, key.bind(py)).map(Bound::unbind);
            (key, value)
        };
        self.differences(py).into_iter().map(|(key, _)| daemons(key)).collect()
    }

    /// Takes what changed into the share, puts the daemon's own entries in place, and returns those that were
    /// put.
    pub(crate) fn leave(
        &self,
        py: Python<'_>,
        share: &mut OverlayShare,
        replaced: &mut Replaced,
    ) -> PyResult<Vec<Change>> {
        let (live, base) = (self.live.bind(py), self.base.dict(py));
        let untouched = share.is_untouched(live);
        let changes = if untouched { std::mem::take(&mut share.differs) } else { self.differences(py) };
        let mut restored: Vec<Change> = Vec::with_capacity(changes.len());
        for (key, value) in &changes {
            let was = contents::get(base, key.bind(py));
            replaced.extend(copied(py, value.as_ref()));
            put(live, key.bind(py), was.as_ref())?;
            restored.push((key.clone_ref(py), was.map(Bound::unbind)));
        }
        if untouched && restored.iter().all(|(_, was)| was.is_none()) {
            // Entries came and went, so the rest stands as it stood.
            self.base.note_equal(live);
        } else if self.ignored.is_empty() && !self.base.matches(live) {
            // An entry that went and came back stands at the end now: the daemon's order counts too.
            self.base.put(live)?;
        }
        if !untouched {
            let hidden = |key: &Py<PyAny>| self.hidden.iter().any(|hidden| same_key(py, hidden, key));
            let own = changes.into_iter().filter(|(key, value)| value.is_some() || !hidden(key)).collect();
            let before = std::mem::replace(&mut share.changes, own);
            share.is_new = true;
            replaced.extend(before.into_iter().filter_map(|(_, value)| value));
        }
        Ok(restored)
    }

    /// Puts the daemon's own entries in place and leaves the share as it was on [`enter`](Self::enter).
    pub(crate) fn undo(
        &self,
        py: Python<'_>,
        share: &mut OverlayShare,
        replaced: &mut Replaced,
    ) -> PyResult<()> {
        let before = share.inherited(py);
        let left = self.leave(py, share, replaced);
        replaced.extend(std::mem::replace(share, before).into_values());
        left.map(|restored| replaced.extend(restored.into_iter().filter_map(|(_, value)| value)))
    }

    /// All entries of the live dictionary that are not as in the base, with their values now.
    fn differences(&self, py: Python<'_>) -> Vec<Change> {
        self.differences_from(py, self.base.dict(py))
    }

    pub(super) fn differences_from(&self, py: Python<'_>, base: &Bound<'_, PyDict>) -> Vec<Change> {
        let live = self.live.bind(py);
        let now = contents::items(live).into_iter();
        let others = now
            .filter(|(key, value)| {
                !same(contents::get(base, key).as_ref(), Some(value)) && !self.ignores(key)
            })
            .map(|(key, value)| (key.unbind(), Some(value.unbind())));
        let before = contents::items(base).into_iter();
        let gone = before
            .filter(|(key, _)| contents::get(live, key).is_none() && !self.ignores(key))
            .map(|(key, _)| (key.unbind(), None));
        others.chain(gone).collect()
    }

    fn ignores(&self, key: &Bound<'_, PyAny>) -> bool {
        let Ok(key) = key.cast::<PyString>() else { return false };
        let key = key.to_string_lossy();
        self.ignored.iter().any(|ignored| *ignored == key)
    }
}

fn copied(py: Python<'_>, value: Option<&Py<PyAny>>) -> Option<Py<PyAny>> {
    value.map(|value| value.clone_ref(py))
}

fn same(known: Option<&Bound<'_, PyAny>>, wanted: Option<&Bound<'_, PyAny>>) -> bool {
    match (known, wanted) {
        (None, None) => true,
        (Some(known), Some(wanted)) => known.is(wanted),
        _ => false,
    }
}

/// Keys are `str` or `bytes`, whose comparison is C code.
fn same_key(py: Python<'_>, one: &Py<PyAny>, other: &Py<PyAny>) -> bool {
    one.is(other) || one.bind(py).eq(other.bind(py)).unwrap_or(false)
}

pub(super) fn put(
    dict: &Bound<'_, PyDict>,
    key: &Bound<'_, PyAny>,
    value: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    match value {
        Some(value) => dict.set_item(key, value),
        None if dict.contains(key)? => dict.del_item(key),
        None => Ok(()),
    }
}
