//! Changes by the daemon while a project is in place outside leases: what [`import_sgtk`](crate::import_sgtk)
//! leaves there.
//!
//! What the daemon does to its own entries meanwhile stays done. A layer is told so before the project
//! leaves; leaving then finds nothing changed but what is the project's.

use pyo3::prelude::*;

use super::Replaced;
use super::dict::{DictLayer, DictShare};
use super::list::{ListLayer, ListShare, same_entry};
use super::overlay::{Change, OverlayLayer, OverlayShare, put};
use crate::host::ownership::rules::Ownership;
use crate::host::python::contents::{self, Snapshot};

impl DictLayer {
    /// Counts what changed since [`DictLayer::enter`] as the daemon's own, but for entries that `is_projects`
    /// names.
    pub(crate) fn keep_for_daemon(
        &mut self,
        py: Python<'_>,
        share: &DictShare,
        replaced: &mut Replaced,
        is_projects: impl Fn(&Bound<'_, PyAny>, &Bound<'_, PyAny>) -> bool,
    ) -> PyResult<()> {
        if self.untouched(py, share) {
            return Ok(());
        }
        let base = self.base.dict(py).copy()?;
        for (key, value) in self.changes(py, share) {
            if !is_projects(&key, &value) {
                base.set_item(key, value)?;
            }
        }
        let (live, own) = (self.live.bind(py), share.own.bind(py));
        for (key, _) in contents::items(share.combined.dict(py)) {
            let is_gone = contents::get(live, &key).is_none() && contents::get(own, &key).is_none();
            if is_gone && contents::get(&base, &key).is_some() {
                base.del_item(key)?;
            }
        }
        self.replace_base(base, replaced);
        Ok(())
    }
}

impl ListLayer {
    /// Counts what changed since [`ListLayer::enter`] as the daemon's own, but for entries that `is_projects`
    /// names.
    pub(crate) fn keep_for_daemon(
        &mut self,
        py: Python<'_>,
        share: &mut ListShare,
        replaced: &mut Replaced,
        is_projects: impl Fn(&Bound<'_, PyAny>) -> bool,
    ) -> PyResult<()> {
        self.reclaim(py, replaced)?;
        let live = self.live.bind(py);
        if contents::same_list(live, &share.combined) {
            return Ok(());
        }
        let whose = |entry: &Bound<'_, PyAny>| {
            if is_projects(entry) { Ownership::Own } else { Ownership::Shared }
        };
        let found = self.sort(py, share, self.live.bind(py), replaced, whose);
        let daemons = found.others.into_iter().map(|other| other.entry).collect();
        let base = with_hidden(py, daemons, &self.base, share.visible());
        replaced.extend(std::mem::replace(&mut self.base, base));
        self.version += 1;
        share.set_own(found.front, found.back, replaced);
        replaced.append(&mut share.combined);
        share.combined = contents::list_items(live);
        Ok(())
    }
}

/// The daemon's entries as it has left them, with those of `base` that were not `visible` to it where they
/// stood: each behind the one that it stood behind.
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

impl OverlayLayer {
    /// Counts what changed since [`OverlayLayer::enter`] as the daemon's own, but for entries that
    /// `is_projects` names.
    pub(crate) fn keep_for_daemon(
        &mut self,
        py: Python<'_>,
        share: &OverlayShare,
        replaced: &mut Replaced,
        is_projects: impl Fn(&Change) -> bool,
    ) -> PyResult<()> {
        if share.is_untouched(self.live.bind(py)) {
            return Ok(());
        }
        let (base, entered) = (self.base.dict(py).copy()?, self.base.dict(py).copy()?);
        for (key, value) in &share.differs {
            put(&entered, key.bind(py), value.as_ref().map(|value| value.bind(py)))?;
        }
        let mut changes = self.differences_from(py, &entered);
        changes.retain(|change| !is_projects(change));
        for (key, value) in &changes {
            put(&base, key.bind(py), value.as_ref().map(|value| value.bind(py)))?;
        }
        replaced.push(std::mem::replace(&mut self.base, Snapshot::keep(base)).into_any());
        Ok(())
    }
}
