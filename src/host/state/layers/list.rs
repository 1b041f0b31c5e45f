//! A list that daemon and projects take turns to fill, and the attribute of a module that leads to it.

use std::collections::{HashMap, HashSet};

use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use super::Replaced;
use crate::host::ownership::rules::Ownership;
use crate::host::python::contents;

/// See the module's documentation.
pub(crate) struct ListLayer {
    /// The module and the attribute, `sys` and `path` for example: code that gives the attribute another list
    /// is followed, and the list itself put back.
    holder: (Py<PyDict>, &'static str),
    pub(super) live: Py<PyList>,
    pub(super) base: Vec<Py<PyAny>>,
    /// Counts the changes of `base`; the first is 1.
    pub(super) version: u64,
}

/// A project's share of a [`ListLayer`].
#[derive(Default)]
pub(crate) struct ListShare {
    /// What stands before the daemon's own entries.
    front: Vec<Py<PyAny>>,
    /// What stands after the first of the daemon's own entries.
    back: Vec<Py<PyAny>>,
    /// Strings (paths) that its code has put there without having its turn, and may take away again by their
    /// position.
    by_hand: HashSet<String>,
    /// The daemon's entries that the project can see.
    visible: Vec<Py<PyAny>>,
    pub(super) combined: Vec<Py<PyAny>>,
    /// The version of the base that `combined` was made for; 0 for none.
    version: u64,
}

impl ListShare {
    /// Puts `front` before the daemon's own entries.
    pub(crate) fn start_with(&mut self, front: Vec<Py<PyAny>>) {
        self.front = front;
        self.version = 0;
    }

    /// The project's own entries.
    pub(crate) fn own(&self) -> impl Iterator<Item = &Py<PyAny>> {
        self.front.iter().chain(&self.back)
    }

    /// The entries of the daemon's that the project could see.
    pub(super) fn visible(&self) -> &[Py<PyAny>] {
        &self.visible
    }

    /// The project's entries before the daemon's own, and after the first of them.
    pub(crate) fn parted(&self) -> [&[Py<PyAny>]; 2] {
        [&self.front, &self.back]
    }

    /// Gives a share that is not in place other entries.
    pub(crate) fn replace_own(
        &mut self,
        front: Vec<Py<PyAny>>,
        back: Vec<Py<PyAny>>,
        replaced: &mut Replaced,
    ) {
        self.set_own(front, back, replaced);
    }

    /// Notes what code off its turn has put into the list.
    pub(crate) fn note_by_hand(&mut self, before: &Bound<'_, PyList>, after: &Bound<'_, PyList>) {
        let py = before.py();
        // Those that are gone again need not be known any more.
        let there: HashSet<String> = before.iter().filter_map(|entry| text(py, &entry.unbind())).collect();
        self.by_hand.retain(|entry| there.contains(entry));
        let mut known: HashMap<String, usize> = HashMap::new();
        for entry in before.iter().filter_map(|entry| text(py, &entry.unbind())) {
            *known.entry(entry).or_default() += 1;
        }
        for entry in after.iter().filter_map(|entry| text(py, &entry.unbind())) {
            match known.get_mut(&entry) {
                Some(count) if *count > 0 => *count -= 1,
                _ => drop(self.by_hand.insert(entry)),
            }
        }
    }

    /// Makes these the project's own entries.
    pub(super) fn set_own(&mut self, front: Vec<Py<PyAny>>, back: Vec<Py<PyAny>>, replaced: &mut Replaced) {
        replaced.append(&mut self.front);
        replaced.append(&mut self.back);
        (self.front, self.back, self.version) = (front, back, 0);
    }
}

/// The entries of a list that was changed while the project was in place.
#[derive(Default)]
pub(super) struct Found {
    /// The project's, before and after the first of the daemon's.
    pub(super) front: Vec<Py<PyAny>>,
    pub(super) back: Vec<Py<PyAny>>,
    /// Everybody's, in order.
    pub(super) others: Vec<OtherEntry>,
}

pub(super) struct OtherEntry {
    pub(super) entry: Py<PyAny>,
    /// Whether it was the daemon's before.
    known: bool,
    /// Whether it stands after one that was the daemon's before.
    behind: bool,
}

/// How many copies of a path stay that code off its turn has put there: threads that load from one folder at
/// a time each put it there and take it away again by its position. As many of a finder or a hook stay.
const MOST_COPIES: usize = 8;

impl Found {
    /// Drops the project's strings (paths) that stand behind an equal one of the list, as nothing is ever
    /// found by them, and all but a few copies of other objects (finders): code that adds a folder each time
    /// it runs would make the list grow without end.
    fn drop_repeated(&mut self, py: Python<'_>, share: &ListShare, replaced: &mut Replaced) {
        let mut seen: HashMap<String, usize> = HashMap::new();
        let mut objects: HashMap<usize, usize> = HashMap::new();
        let mut keep = |entries: &mut Vec<Py<PyAny>>, seen: &mut HashMap<String, usize>| {
            let is_new = |entry: &Py<PyAny>| {
                let (most, count) = match text(py, entry) {
                    Some(text) if share.by_hand.contains(&text) => {
                        (MOST_COPIES, seen.entry(text).or_default())
                    }
                    Some(text) => (1, seen.entry(text).or_default()),
                    None => (MOST_COPIES, objects.entry(entry.as_ptr() as usize).or_default()),
                };
                *count += 1;
                *count <= most
            };
            let (kept, repeated): (Vec<_>, Vec<_>) = std::mem::take(entries).into_iter().partition(is_new);
            *entries = kept;
            replaced.extend(repeated);
        };
        keep(&mut self.front, &mut seen);
        for daemons in share.visible().iter().filter_map(|entry| text(py, entry)) {
            *seen.entry(daemons).or_default() += 1;
        }
        keep(&mut self.back, &mut seen);
    }
}

fn text(py: Python<'_>, entry: &Py<PyAny>) -> Option<String> {
    Some(entry.bind(py).cast_exact::<PyString>().ok()?.to_string_lossy().into_owned())
}

impl ListLayer {
    pub(crate) fn new(module: &Bound<'_, PyDict>, attribute: &'static str) -> PyResult<Self> {
        let live = module
            .get_item(attribute)?
            .ok_or_else(|| PyAttributeError::new_err(attribute))?
            .cast_into::<PyList>()?;
        let base = contents::list_items(&live);
        Ok(Self { holder: (module.clone().unbind(), attribute), live: live.unbind(), base, version: 1 })
    }

    /// The entries that are there now.
    pub(crate) fn live(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        contents::list_items(self.live.bind(py))
    }

    /// The daemon's own entries.
    pub(crate) fn base(&self) -> &[Py<PyAny>] {
        &self.base
    }

    /// Follows the attribute to the list that it names now; the old list gets its contents and the attribute
    /// back.
    pub(super) fn reclaim(&self, py: Python<'_>, replaced: &mut Replaced) -> PyResult<()> {
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

    /// The list itself, which the attribute leads to.
    pub(crate) fn itself<'py>(
        &self,
        py: Python<'py>,
        replaced: &mut Replaced,
    ) -> PyResult<&Bound<'py, PyList>> {
        self.reclaim(py, replaced)?;
        Ok(self.live.bind(py))
    }

    /// Takes over what the daemon has changed. Only while no project is in place.
    pub(crate) fn refresh(&mut self, py: Python<'_>, replaced: &mut Replaced) -> PyResult<()> {
        self.reclaim(py, replaced)?;
        let live = self.live.bind(py);
        if !contents::same_list(live, &self.base) {
            replaced.append(&mut self.base);
            self.base = contents::list_items(live);
            self.version += 1;
        }
        Ok(())
    }

    /// The project's entries around those of the daemon's that are not `hidden`: what it sees in place.
    pub(crate) fn combine<'s>(
        &self,
        py: Python<'_>,
        share: &'s mut ListShare,
        replaced: &mut Replaced,
        mut hidden: impl FnMut(&Bound<'_, PyAny>) -> bool,
    ) -> &'s [Py<PyAny>] {
        if share.version != self.version {
            replaced.append(&mut share.combined);
            replaced.append(&mut share.visible);
            share.visible = copies(py, self.base.iter().filter(|entry| !hidden(entry.bind(py))));
            share.combined = copies(py, share.front.iter().chain(&share.visible).chain(&share.back));
            share.version = self.version;
        }
        &share.combined
    }

    /// Takes over what the daemon has changed, and puts the project's entries in place around those of the
    /// daemon's that are not `hidden`.
    pub(crate) fn enter(
        &mut self,
        py: Python<'_>,
        share: &mut ListShare,
        replaced: &mut Replaced,
        hidden: impl FnMut(&Bound<'_, PyAny>) -> bool,
    ) -> PyResult<()> {
        self.refresh(py, replaced)?;
        let combined = self.combine(py, share, replaced, hidden);
        contents::replace_list(self.live.bind(py), combined)
    }

    /// Gives a parked project, whose share was [combined](Self::combine), these entries. What is new is its
    /// own; entries of the daemon's that are gone are so for this project only.
    pub(crate) fn edit(
        &self,
        py: Python<'_>,
        share: &mut ListShare,
        entries: &Bound<'_, PyList>,
        replaced: &mut Replaced,
    ) {
        let found = self.sort(py, share, entries, replaced, |_| Ownership::Own);
        share.set_own(found.front, found.back, replaced);
        replaced.append(&mut share.combined);
        share.combined = contents::list_items(entries);
        share.version = self.version;
    }

    /// Takes what changed into the share and the base, then puts the base in place. Returns whether the
    /// project's own entries may be others than before.
    pub(crate) fn leave(
        &mut self,
        py: Python<'_>,
        share: &mut ListShare,
        replaced: &mut Replaced,
        whose: impl FnMut(&Bound<'_, PyAny>) -> Ownership,
    ) -> PyResult<bool> {
        self.reclaim(py, replaced)?;
        let changed = !contents::same_list(self.live.bind(py), &share.combined);
        if changed {
            let mut found = self.sort(py, share, self.live.bind(py), replaced, whose);
            found.drop_repeated(py, share, replaced);
            let new = found.others.into_iter().filter(|other| !other.known);
            let (back, front): (Vec<_>, Vec<_>) = new.partition(|other| other.behind);
            share.set_own(found.front, found.back, replaced);
            if !(front.is_empty() && back.is_empty()) {
                self.base.splice(0..0, front.into_iter().map(|other| other.entry));
                self.base.extend(back.into_iter().map(|other| other.entry));
                self.version += 1;
            }
        }
        contents::replace_list(self.live.bind(py), &self.base)?;
        Ok(changed)
    }

    /// Puts the base in place, and leaves the share as it was on [`enter`](Self::enter). What appeared since
    /// is lost, but for what is `everybodys`.
    pub(crate) fn undo(
        &mut self,
        py: Python<'_>,
        share: &mut ListShare,
        replaced: &mut Replaced,
        everybodys: impl Fn(&Bound<'_, PyAny>) -> bool,
    ) -> PyResult<()> {
        self.reclaim(py, replaced)?;
        if !contents::same_list(self.live.bind(py), &share.combined) {
            let whose = |entry: &Bound<'_, PyAny>| {
                if everybodys(entry) { Ownership::Shared } else { Ownership::Other }
            };
            let found = self.sort(py, share, self.live.bind(py), replaced, whose);
            let new = found.others.into_iter().filter(|other| !other.known).map(|other| other.entry);
            let before = self.base.len();
            self.base.extend(new);
            self.version += u64::from(self.base.len() > before);
        }
        contents::replace_list(self.live.bind(py), &self.base)
    }

    /// Whether entries of the project's own that `wanted` names are gone from the list, which the project has
    /// in place.
    pub(crate) fn lacks(
        &self,
        py: Python<'_>,
        share: &ListShare,
        wanted: impl Fn(&Bound<'_, PyAny>) -> bool,
    ) -> bool {
        let (module, attribute) = (self.holder.0.bind(py), self.holder.1);
        let now = module.get_item(attribute).ok().flatten().and_then(|now| now.cast_into::<PyList>().ok());
        let Some(now) = now else { return true };
        if contents::same_list(&now, &share.combined) {
            return false;
        }
        let there: Vec<_> = now.iter().collect();
        let is_gone = |entry: &Bound<'_, PyAny>| !there.iter().any(|other| same_entry(other, entry));
        share.own().map(|entry| entry.bind(py)).any(|entry| wanted(entry) && is_gone(entry))
    }

    /// Whose these entries are, which the list has now.
    pub(super) fn sort(
        &self,
        py: Python<'_>,
        share: &ListShare,
        entries: &Bound<'_, PyList>,
        replaced: &mut Replaced,
        mut whose: impl FnMut(&Bound<'_, PyAny>) -> Ownership,
    ) -> Found {
        // Only what the project could see of the daemon's entries counts as the daemon's.
        let (mut bases, mut owns) = (copies(py, share.visible()), copies(py, share.own()));
        // A folder may be on the path twice, as the project's and as the daemon's: the object itself tells
        // which.
        let is_same: Vec<bool> =
            entries.iter().map(|entry| take(&mut bases, replaced, |base| base.bind(py).is(&entry))).collect();
        let mut found = Found::default();
        let mut behind = false;
        for (entry, is_same) in entries.iter().zip(is_same) {
            replaced.push(entry.clone().unbind());
            let is_own = !is_same && take(&mut owns, replaced, |own| same_entry(own.bind(py), &entry));
            let known =
                is_same || !is_own && take(&mut bases, replaced, |base| same_entry(base.bind(py), &entry));
            behind |= known;
            let whose = match (known, is_own) {
                (true, _) => Ownership::Shared,
                (false, true) => Ownership::Own,
                (false, false) => whose(&entry),
            };
            let entry = entry.unbind();
            match whose {
                Ownership::Own if behind => found.back.push(entry),
                Ownership::Own => found.front.push(entry),
                Ownership::Other => {}
                _ => found.others.push(OtherEntry { entry, known, behind }),
            }
        }
        replaced.append(&mut bases);
        replaced.append(&mut owns);
        found
    }
}

pub(crate) fn copies<'a>(py: Python<'_>, entries: impl IntoIterator<Item = &'a Py<PyAny>>) -> Vec<Py<PyAny>> {
    entries.into_iter().map(|entry| entry.clone_ref(py)).collect()
}

/// Moves the first entry that `wanted` names to `replaced`. Returns whether there was one.
fn take(
    entries: &mut Vec<Py<PyAny>>,
    replaced: &mut Replaced,
    wanted: impl FnMut(&Py<PyAny>) -> bool,
) -> bool {
    let found = entries.iter().position(wanted);
    replaced.extend(found.map(|index| entries.remove(index)));
    found.is_some()
}

/// Whether two entries are one: the same object, or equal strings (paths).
pub(crate) fn same_entry(one: &Bound<'_, PyAny>, other: &Bound<'_, PyAny>) -> bool {
    one.is(other)
        || match (one.cast_exact::<PyString>(), other.cast_exact::<PyString>()) {
            (Ok(one), Ok(other)) => one.to_string_lossy() == other.to_string_lossy(),
            _ => false,
        }
}
