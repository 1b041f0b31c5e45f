//! `sys.modules`, and the attributes of shared packages that lead to a project's modules.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::appeared::Appeared;
use super::bindings::Bindings;
use super::core_names::{CoreNames, LostNames};
use crate::host::ownership::cores::{core_of, is_core_entry};
use crate::host::ownership::import_state::ImportState;
use crate::host::ownership::marks;
use crate::host::ownership::newcomers::{self, Sorted};
use crate::host::ownership::roots::Roots;
use crate::host::ownership::rules::{Ownership, Rules};
use crate::host::ownership::toolkit_names::{is_core_name, is_toolkit_name, top_level};
use crate::host::python::contents;
use crate::host::python::modules::{Origin, origin};
use crate::host::python::names::Names;
use crate::host::state::layers::Replaced;
use crate::host::state::layers::dict::{DictLayer, DictShare, Hides};
use crate::host::state::layers::list::ListShare;
use crate::host::state::part::{Part, VisibleModules, Visit};

/// Whether the project that is in place hides modules of the daemon's. While one comes or goes it is told too
/// early and taken back too late, rather than the other way round.
static HIDES_DAEMONS: AtomicBool = AtomicBool::new(false);

/// Whether any project's code has ever taken modules of its core while it was parked.
static ANY_TAKEN: AtomicBool = AtomicBool::new(false);

/// See the module's documentation.
pub(crate) struct Modules {
    layer: DictLayer,
    sys: Py<PyDict>,
    /// Names of hooks and bundles among the daemon's modules which nothing told yet whose they are.
    unclaimed: Vec<Py<PyAny>>,
    appeared: Appeared,
}

/// A project's modules.
pub(crate) struct OwnModules {
    share: DictShare,
    /// Those in packages that are everybody's.
    bindings: Bindings,
    names: CoreNames,
    /// Modules of its core that its code has taken away or replaced since it was parked, as
    /// `unittest.mock.patch.dict` does for a moment.
    taken: Vec<(Py<PyAny>, Py<PyAny>)>,
}

impl OwnModules {
    /// The modules by name. Not those that were imported since the project was last put in place.
    pub(crate) fn by_name<'py>(&self, py: Python<'py>) -> &Bound<'py, PyDict> {
        self.share.own.bind(py)
    }

    pub(crate) fn share(&self) -> &DictShare {
        &self.share
    }

    /// Puts names back that code has taken from top modules of the core.
    pub(crate) fn restore_names(
        &mut self,
        py: Python<'_>,
        replaced: &mut Replaced,
    ) -> PyResult<Vec<LostNames>> {
        self.names.restore(py, replaced)
    }

    /// Is told before the entry of a parked project's is taken away or replaced.
    pub(crate) fn note_taken(&mut self, name: &Bound<'_, PyAny>) {
        let of_core = name.cast::<PyString>().is_ok_and(|name| {
            let name = name.to_string_lossy();
            is_kept_by_core(top_level(&name))
        });
        let is_known = || self.taken.iter().any(|(taken, _)| taken.bind(name.py()).eq(name).unwrap_or(true));
        if of_core && !is_known() {
            let module = self.share.own_entry(name).map(|module| (name.clone().unbind(), module.unbind()));
            self.taken.extend(module);
            ANY_TAKEN.store(true, Ordering::Relaxed);
        }
    }

    /// Puts the modules back that were taken, as they are when a lease ends.
    pub(crate) fn put_back_taken(&mut self, py: Python<'_>, replaced: &mut Replaced) -> PyResult<()> {
        for (name, module) in std::mem::take(&mut self.taken) {
            let now = self.share.own_entry(name.bind(py));
            if !now.as_ref().is_some_and(|now| now.is(&module)) {
                self.share.take_in(name.bind(py), module.bind(py))?;
            }
            replaced.extend([name, module]);
            replaced.extend(now.map(Bound::unbind));
        }
        Ok(())
    }

    /// Takes in a module that was found elsewhere.
    pub(crate) fn take_in(&mut self, name: &Bound<'_, PyAny>, module: &Bound<'_, PyAny>) -> PyResult<()> {
        self.share.take_in(name, module)
    }
}

impl Part for Modules {
    type Share = OwnModules;

    fn new(py: Python<'_>) -> PyResult<Self> {
        let sys = py.import("sys")?.dict();
        let modules = sys.get_item("modules")?.map(|modules| modules.cast_into::<PyDict>()).transpose()?;
        let modules = modules.ok_or_else(|| PyAttributeError::new_err("sys.modules"))?;
        Ok(Self {
            layer: DictLayer::new(&modules)?,
            sys: sys.unbind(),
            unclaimed: Vec::new(),
            appeared: Appeared::default(),
        })
    }

    fn empty(py: Python<'_>) -> OwnModules {
        OwnModules {
            share: DictShare::new(py),
            bindings: Bindings::default(),
            names: CoreNames::default(),
            taken: Vec::new(),
        }
    }

    fn enter(&mut self, visit: &mut Visit<'_, '_>, own: &mut OwnModules) -> PyResult<()> {
        let rules = &*visit.rules;
        let hidden = |name: &Bound<'_, PyAny>, module: &Bound<'_, PyAny>| is_hidden(rules, name, module);
        HIDES_DAEMONS.store(true, Ordering::Relaxed);
        let entered = self.layer.enter(visit.py, &mut own.share, visit.replaced, hidden);
        HIDES_DAEMONS.store(own.share.hides(), Ordering::Relaxed);
        visit.daemons_modules = self.layer.base_version();
        entered.and(own.bindings.enter(visit.py)).and(own.names.note(own.share.own.bind(visit.py)))
    }

    fn leave(&mut self, visit: &mut Visit<'_, '_>, own: &mut OwnModules) -> PyResult<()> {
        let py = visit.py;
        let mut outcome = self.reclaim(py, visit.replaced);
        if self.layer.untouched(py, &own.share) {
            outcome = outcome.and(self.layer.leave(py)).and(own.bindings.leave(py, visit.replaced));
        } else {
            let sorted = self.sort(py, visit.state, visit.rules, own, true);
            let taken_over = self.take_over(visit, own, sorted.as_ref().ok());
            let restored = self.layer.leave(py);
            own.bindings.find(own.share.own.bind(py), self.layer.base(py));
            let unbound = own.bindings.leave(py, visit.replaced);
            outcome = outcome.and(sorted.map(drop)).and(taken_over).and(restored).and(unbound);
        }
        HIDES_DAEMONS.store(false, Ordering::Relaxed);
        self.appeared.forget(visit.replaced);
        visit.daemons_modules = self.layer.base_version();
        visit.modules =
            Some(VisibleModules { own: own.share.own.bind(py).clone(), base: self.layer.base(py).clone() });
        outcome
    }

    fn undo(&mut self, visit: &mut Visit<'_, '_>, own: &mut OwnModules) -> PyResult<()> {
        let py = visit.py;
        let mut outcome = self.reclaim(py, visit.replaced);
        let everybodys = {
            let sorted = self.sort(py, visit.state, visit.rules, own, true);
            let modules = contents::items(self.layer.live(py));
            // Also what nobody can be told for yet: it is another core's where it lies in one.
            let is = |name: &Bound<'_, PyAny>, module: &Bound<'_, PyAny>| {
                let whose = sorted.as_ref().map_or(Ownership::Other, |sorted| sorted.of(name));
                !matches!(whose, Ownership::Own | Ownership::Other) && !is_of_a_core(module)
            };
            let text = |name: &Bound<'_, PyAny>| {
                name.cast::<PyString>().ok().map(|name| name.to_string_lossy().into_owned())
            };
            let lost = modules.iter().filter(|(name, module)| !is(name, module));
            let lost: HashSet<String> = lost.filter_map(|(name, _)| text(name)).collect();
            // Nor is what lies in a package that goes.
            let is_lost = |name: &Bound<'_, PyAny>| {
                text(name).is_none_or(|name| {
                    let parents = name.match_indices('.').filter_map(|(end, _)| name.get(..end));
                    parents.chain([name.as_str()]).any(|name| lost.contains(name))
                })
            };
            let kept = modules.iter().filter(|(name, _)| !is_lost(name));
            kept.map(|(name, _)| name.as_ptr() as usize).collect::<HashSet<_>>()
        };
        let kept =
            |name: &Bound<'_, PyAny>, _: &Bound<'_, PyAny>| everybodys.contains(&(name.as_ptr() as usize));
        outcome = outcome.and(self.layer.undo(py, &mut own.share, visit.replaced, kept));
        HIDES_DAEMONS.store(false, Ordering::Relaxed);
        self.appeared.forget(visit.replaced);
        visit.daemons_modules = self.layer.base_version();
        outcome = outcome.and(own.bindings.leave(py, visit.replaced));
        visit.modules =
            Some(VisibleModules { own: own.share.own.bind(py).clone(), base: self.layer.base(py).clone() });
        outcome
    }

    fn keep_for_daemon(&mut self, visit: &mut Visit<'_, '_>, own: &mut OwnModules) -> PyResult<()> {
        let py = visit.py;
        self.reclaim(py, visit.replaced)?;
        if self.layer.untouched(py, &own.share) {
            return Ok(());
        }
        self.appeared.keep_for_daemon();
        let sorted = self.sort(py, visit.state, visit.rules, own, false)?;
        let is_projects = |name: &Bound<'_, PyAny>, _: &Bound<'_, PyAny>| {
            matches!(sorted.of(name), Ownership::Own | Ownership::Other)
        };
        self.layer.keep_for_daemon(py, &own.share, visit.replaced, is_projects)
    }
}

impl Modules {
    /// A module of the core that is gone from `sys.modules`, or has another in its place, while the project
    /// is there.
    pub(crate) fn lost(&self, py: Python<'_>, own: &OwnModules) -> Option<String> {
        let live = self.layer.live(py);
        if self.layer.untouched(py, &own.share) {
            return None;
        }
        contents::items(own.share.own.bind(py)).into_iter().find_map(|(name, module)| {
            let text = name.cast::<PyString>().ok()?.to_string_lossy();
            let top = top_level(&text);
            if !is_core_name(top) {
                return None;
            }
            let now = contents::get(live, &name);
            let is_lost = now.as_ref().is_none_or(|now| is_kept_by_core(top) && !now.is(&module));
            is_lost.then(|| text.into_owned())
        })
    }

    /// Has a guest of a project's see those of its modules that come from the folders which its code, or the
    /// daemon, has put on its `sys.path`: plugins above all, which run on.
    pub(crate) fn lend(
        py: Python<'_>,
        base: &ImportState,
        from: &OwnModules,
        path: &ListShare,
        to: &mut OwnModules,
    ) -> PyResult<()> {
        let mut folders = Roots::default();
        for entry in path.own().filter(|entry| !is_core_entry(entry.bind(py))) {
            if let Ok(entry) = entry.bind(py).cast::<PyString>() {
                folders.add(&entry.to_string_lossy());
            }
        }
        for (name, module) in contents::items(from.by_name(py)) {
            let is_lent = name.cast::<PyString>().is_ok_and(|name| {
                let name = name.to_string_lossy();
                !is_toolkit_name(&name) && !base.rules(py).provides(&name)
            }) && matches!(origin(&module), Origin::Path(path) if folders.contain(&path));
            if is_lent {
                to.take_in(&name, &module)?;
            }
        }
        Ok(())
    }

    pub(crate) fn dict(&self) -> &DictLayer {
        &self.layer
    }

    /// The dictionary, a project's share of it, and whether an entry of the daemon's is out of a project's
    /// sight.
    pub(crate) fn layer<'a>(
        &'a mut self,
        own: Option<&'a mut OwnModules>,
    ) -> (&'a mut DictLayer, Option<&'a mut DictShare>, Hides) {
        (&mut self.layer, own.map(|own| &mut own.share), is_hidden)
    }

    /// Whether [`OwnModules::put_back_taken`] may have something to do. Needs no lock.
    pub(crate) fn may_be_taken() -> bool {
        ANY_TAKEN.load(Ordering::Relaxed)
    }

    /// Whether the project that is in place hides modules of the daemon's.
    pub(crate) fn hide_daemons() -> bool {
        HIDES_DAEMONS.load(Ordering::Relaxed)
    }

    /// `sys.modules`.
    pub(crate) fn live<'py>(&self, py: Python<'py>) -> &Bound<'py, PyDict> {
        self.layer.live(py)
    }

    /// The daemon's own modules: as they are where no project is in place, else as they were when it came.
    pub(crate) fn base<'py>(&self, py: Python<'py>) -> &Bound<'py, PyDict> {
        self.layer.base(py)
    }

    /// Sorts and marks the modules that appeared since the state was put in place, with those that code has
    /// made without a file where these are the project's (`made`).
    pub(crate) fn sort(
        &self,
        py: Python<'_>,
        state: &Arc<ImportState>,
        rules: &Rules,
        own: &OwnModules,
        made: bool,
    ) -> PyResult<Sorted> {
        let appeared = self.layer.changes(py, &own.share);
        let is_anothers = |name| !made || self.appeared.is_for_all(name);
        newcomers::sort(py, rules, state, own.share.own.bind(py), &appeared, &is_anothers)
    }

    /// Takes the modules that have appeared since as made by a library for all, or not.
    pub(crate) fn settle(&mut self, py: Python<'_>, own: &OwnModules, is_for_all: bool) -> PyResult<()> {
        self.appeared.settle(py, &self.layer, &own.share, is_for_all)
    }

    fn take_over(
        &mut self,
        visit: &mut Visit<'_, '_>,
        own: &mut OwnModules,
        sorted: Option<&Sorted>,
    ) -> PyResult<()> {
        let (py, rules) = (visit.py, &*visit.rules);
        let mut shared = Vec::new();
        let whose = |name: &Bound<'_, PyAny>, module: &Bound<'_, PyAny>| {
            let whose = match sorted {
                Some(sorted) => sorted.of(name),
                // It could not be told, so nobody is to have it that it might harm.
                None if rules.of_entry(name, module).is_hidden() => Ownership::Other,
                None => Ownership::Shared,
            };
            if !matches!(whose, Ownership::Own | Ownership::Other) {
                shared.push(name.clone().unbind());
            }
            whose
        };
        let taken_over = self.layer.take_over(py, &mut own.share, visit.replaced, whose);
        self.unclaimed.extend(shared.into_iter().filter(|name| marks::is_unclaimed(name.bind(py))));
        taken_over
    }

    /// Takes projects' modules that are among the daemon's own out, and returns them with their owners. A
    /// hook that is loaded by hand, on a thread that does not hold its project, gets there. Only while
    /// nothing is in place.
    pub(crate) fn remove_misplaced<'py>(&mut self, py: Python<'py>) -> PyResult<Vec<Misplaced<'py>>> {
        let live = self.layer.live(py).clone();
        let unclaimed = std::mem::take(&mut self.unclaimed).into_iter().filter_map(|name| {
            let name = name.into_bound(py);
            let module = contents::get(&live, &name)?;
            Some((name, module))
        });
        let found: Vec<_> = self.layer.changes_of_the_daemon(py).into_iter().chain(unclaimed).collect();
        let mut misplaced = Vec::new();
        for (name, module) in found {
            match marks::owner_of_module(&module) {
                Some(owner) => {
                    if contents::get(&live, &name).is_some() {
                        live.del_item(&name)?;
                    }
                    misplaced.push(Misplaced { owner: owner.current(), name, module });
                }
                None if marks::is_unclaimed(&name) => self.unclaimed.push(name.unbind()),
                None => {}
            }
        }
        Ok(misplaced)
    }

    /// `sys.modules` given another dictionary changes nothing for the interpreter itself, only for those who
    /// ask `sys`.
    fn reclaim(&self, py: Python<'_>, replaced: &mut Replaced) -> PyResult<()> {
        let (sys, live) = (self.sys.bind(py), self.layer.live(py));
        match sys.get_item(&Names::of(py).modules)? {
            Some(now) if now.is(live) => Ok(()),
            other => {
                replaced.extend(other.map(Bound::unbind));
                sys.set_item(&Names::of(py).modules, live)
            }
        }
    }
}

/// Whether a core's module of such a name stays the one that it is. What a core puts in the place of its own
/// libraries' modules is its own affair.
fn is_kept_by_core(top: &str) -> bool {
    is_core_name(top) && top != "tank_vendor"
}

/// Whether a module's file lies in a Toolkit core.
fn is_of_a_core(module: &Bound<'_, PyAny>) -> bool {
    matches!(origin(module), Origin::Path(path) if core_of(Path::new(&path)).is_some())
}

fn is_hidden(rules: &Rules, name: &Bound<'_, PyAny>, module: &Bound<'_, PyAny>) -> bool {
    rules.of_entry(name, module).is_hidden()
}

/// A project's module that was found among the daemon's.
pub(crate) struct Misplaced<'py> {
    pub(crate) owner: Arc<ImportState>,
    pub(crate) name: Bound<'py, PyAny>,
    pub(crate) module: Bound<'py, PyAny>,
}
