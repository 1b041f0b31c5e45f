//! `sys.path`: a project's entries stand around the daemon's, and entries that lead into a core are out of
//! its sight.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::host::ownership::cores::{core_of, is_core_entry};
use crate::host::ownership::roots::Roots;
use crate::host::ownership::rules::{Ownership, Rules};
use crate::host::python::modules::stdlib;
use crate::host::state::layers::Replaced;
use crate::host::state::layers::list::{ListLayer, ListShare, copies, same_entry};
use crate::host::state::part::{Part, Visit};

/// See the module's documentation.
pub(crate) struct SearchPath(ListLayer);

impl Part for SearchPath {
    type Share = ListShare;

    fn new(py: Python<'_>) -> PyResult<Self> {
        ListLayer::new(&py.import("sys")?.dict(), "path").map(Self)
    }

    fn empty(_: Python<'_>) -> ListShare {
        ListShare::default()
    }

    fn enter(&mut self, visit: &mut Visit<'_, '_>, share: &mut ListShare) -> PyResult<()> {
        self.0.enter(visit.py, share, visit.replaced, is_core_entry)
    }

    fn leave(&mut self, visit: &mut Visit<'_, '_>, share: &mut ListShare) -> PyResult<()> {
        if self.0.leave(visit.py, share, visit.replaced, |_| Ownership::Own)? {
            self.note_roots(visit.py, share, visit.rules);
        }
        Ok(())
    }

    fn undo(&mut self, visit: &mut Visit<'_, '_>, share: &mut ListShare) -> PyResult<()> {
        self.0.undo(visit.py, share, visit.replaced, |_| false)
    }

    /// What its code has put there: not what leads into a core. Where that is there already it stays where it
    /// is.
    fn hand_on(py: Python<'_>, from: &mut ListShare, to: &mut ListShare, replaced: &mut Replaced) {
        let [mut front, mut back] = to.parted().map(|entries| copies(py, entries));
        let handed = from
            .parted()
            .map(|entries| copies(py, entries.iter().filter(|entry| !is_core_entry(entry.bind(py)))));
        let is_among = |entry: &Py<PyAny>, entries: &[Py<PyAny>]| {
            entries.iter().any(|other| same_entry(other.bind(py), entry.bind(py)))
        };
        let all: Vec<_> = handed.iter().flatten().map(|entry| entry.clone_ref(py)).collect();
        for entries in [&mut front, &mut back] {
            entries.retain(|entry| is_core_entry(entry.bind(py)) || is_among(entry, &all));
        }
        let known: Vec<_> = front.iter().chain(&back).map(|entry| entry.clone_ref(py)).collect();
        let [new_front, new_back] = handed
            .map(|entries| entries.into_iter().filter(|entry| !is_among(entry, &known)).collect::<Vec<_>>());
        front.splice(0..0, new_front);
        back.extend(new_back);
        replaced.extend(known.into_iter().chain(all));
        to.replace_own(front, back, replaced);
    }

    fn keep_for_daemon(&mut self, visit: &mut Visit<'_, '_>, share: &mut ListShare) -> PyResult<()> {
        let rules = &*visit.rules;
        let is_projects =
            |entry: &Bound<'_, PyAny>| rules.of_path_entry(entry) == Ownership::Own || is_core_entry(entry);
        self.0.keep_for_daemon(visit.py, share, visit.replaced, is_projects)?;
        self.note_roots(visit.py, share, visit.rules);
        Ok(())
    }
}

impl SearchPath {
    /// The install folders of the cores that the daemon's own entries lead into: as they are, where nothing
    /// `is_in_place`, else as they were when the project came.
    pub(crate) fn cores(&self, py: Python<'_>, is_in_place: bool) -> HashSet<PathBuf> {
        let entries = if is_in_place { copies(py, self.0.base()) } else { self.0.live(py) };
        let paths = entries.iter().filter_map(|entry| entry.bind(py).cast::<PyString>().ok());
        let cores = paths.filter_map(|path| core_of(Path::new(&*path.to_string_lossy())).map(Path::to_owned));
        cores.collect()
    }

    /// Whether a file lies in a folder of the daemon's own path.
    pub(crate) fn leads_to(&self, py: Python<'_>, file: &str) -> bool {
        self.0.base().iter().any(|entry| {
            let entry = entry.bind(py).cast::<PyString>();
            entry.is_ok_and(|entry| Path::new(file).starts_with(&*entry.to_string_lossy()))
        })
    }

    /// Whether the project that is in place has lost its core's entry, or one of its plugin folders.
    pub(crate) fn lacks(&self, py: Python<'_>, share: &ListShare, needed: &Roots) -> bool {
        self.0.lacks(py, share, |entry| {
            entry.cast::<PyString>().is_ok_and(|entry| needed.contain(&entry.to_string_lossy()))
        })
    }

    /// The list, and whether an entry of the daemon's is out of a project's sight.
    pub(crate) fn layer(&mut self) -> (&mut ListLayer, super::IsProjects) {
        (&mut self.0, |_, entry| is_core_entry(entry))
    }

    /// Modules from the path entries that the project has added are the project's; not those from folders
    /// that the daemon has on its own path, or the standard library's, which a project may repeat.
    pub(crate) fn note_roots(&self, py: Python<'_>, share: &ListShare, rules: &mut Rules) {
        let base = self.0.base().iter().filter_map(|entry| entry.bind(py).cast::<PyString>().ok());
        let mut shared: Vec<String> = base.map(|entry| entry.to_string_lossy().into_owned()).collect();
        shared.push(stdlib().to_owned());
        for entry in share.own() {
            let Ok(entry) = entry.bind(py).cast::<PyString>() else { continue };
            let entry = entry.to_string_lossy();
            if !shared.iter().any(|shared| Path::new(shared).starts_with(entry.as_ref())) {
                rules.add_root(&entry);
            }
        }
    }
}
