//! Whose the modules are that appeared while a project was in place.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType};

use super::contents::{self, Items};
use super::layers::Whose;
use super::ownership::{self, Origin, Owner, Rules};
use super::state::ImportState;

/// What became of each new module, by the address of its name.
pub(super) struct Verdicts(HashMap<usize, Whose>);

impl Verdicts {
    pub(super) fn of(&self, name: &Bound<'_, PyAny>) -> Whose {
        self.0.get(&(name.as_ptr() as usize)).copied().unwrap_or(Whose::Shared)
    }
}

/// Judges the modules that appeared while a project was in place, and marks those that are its own.
///
/// Most are told by name or place. The rest follows from those: what code has made in the name of an owned package, and
/// host packages that took one of the project's libraries into their globals. Shared, such a package would carry that
/// library to the daemon and to other projects. What another thread is just loading by hand is left alone until it tells whose
/// it is.
pub(super) fn judge(
    py: Python<'_>,
    rules: &Rules,
    state: &Arc<ImportState>,
    known: &Bound<'_, PyDict>,
    appeared: &Items<'_>,
    stdlib: &str,
) -> PyResult<Verdicts> {
    let mark = Bound::new(py, Owner { state: Arc::clone(state) })?;
    let mut court = Court { rules, state, known, mark, own: HashSet::new(), verdicts: HashMap::new() };
    let mut undecided = Vec::new();
    for (key, module) in appeared {
        let Ok(name) = key.cast::<PyString>() else { continue };
        let case = Case {
            key: key.as_ptr() as usize,
            name: name.to_string_lossy().into_owned(),
            origin: ownership::origin(module),
            module,
        };
        match ownership::owner_of_module(module) {
            Some(owner) if !Arc::ptr_eq(&owner, state) => {
                court.verdicts.insert(case.key, Whose::Nobody);
            }
            Some(_) => court.own(case)?,
            None if ownership::is_being_loaded_by_hand(&case.name, module) => {}
            None if rules.owns_module(&case.name, &case.origin) => court.own(case)?,
            None if rules.is_exempt(&case.name) || is_standard(&case.origin, stdlib) => {}
            None => undecided.push(case),
        }
    }
    // The order of sys.modules does not help: a package moves behind its submodules when its import ends.
    loop {
        let (own, rest): (Vec<_>, Vec<_>) = undecided.into_iter().partition(|case| court.follows(case));
        if own.is_empty() {
            return Ok(Verdicts(court.verdicts));
        }
        own.into_iter().try_for_each(|case| court.own(case))?;
        undecided = rest;
    }
}

/// A module to be judged.
struct Case<'a, 'py> {
    key: usize,
    name: String,
    origin: Origin,
    module: &'a Bound<'py, PyAny>,
}

struct Court<'a, 'py> {
    rules: &'a Rules,
    state: &'a Arc<ImportState>,
    /// What the project owned before.
    known: &'a Bound<'py, PyDict>,
    mark: Bound<'py, Owner>,
    own: HashSet<String>,
    verdicts: HashMap<usize, Whose>,
}

impl<'py> Court<'_, 'py> {
    fn own(&mut self, case: Case<'_, 'py>) -> PyResult<()> {
        // An alias of somebody else's module is an entry of the project's, and no more.
        if !self.rules.is_borrowed(&case.name, case.module) {
            ownership::mark(case.module, &self.mark)?;
        }
        self.verdicts.insert(case.key, Whose::Project);
        self.own.insert(case.name);
        Ok(())
    }

    /// Whether a module is the project's because others are.
    fn follows(&self, case: &Case<'_, 'py>) -> bool {
        // Without its package a submodule is of no use to anybody else: it is not bound to the next copy of the package.
        let is_in_own_package = || case.name.rsplit_once('.').is_some_and(|(parent, _)| self.owns(parent));
        match case.origin {
            // Its parent's, or its class's, as six's lazy `moves` are.
            Origin::Made => {
                is_in_own_package()
                    || ownership::class_module(case.module).is_some_and(|class| self.owns(&class))
            }
            Origin::Path(_) => is_in_own_package() || self.is_referred_to_by(case.module),
            Origin::Interpreter => false,
        }
    }

    fn owns(&self, name: &str) -> bool {
        self.own.contains(name) || self.known.contains(PyString::new(self.known.py(), name)).unwrap_or(false)
    }

    /// Whether a module's globals name a module, function or class of the project's.
    fn is_referred_to_by(&self, module: &Bound<'py, PyAny>) -> bool {
        let Some(dict) = ownership::module_dict(module) else { return false };
        contents::items(&dict).iter().any(|(_, value)| {
            if value.is_exact_instance_of::<PyType>() {
                return ownership::class_module(value).is_some_and(|module| self.owns(&module));
            }
            let owner = match ownership::function_globals(value) {
                Some(globals) => ownership::owner_of_globals(&globals),
                None => ownership::owner_of_module(value),
            };
            owner.is_some_and(|owner| Arc::ptr_eq(&owner, self.state))
        })
    }
}

fn is_standard(origin: &Origin, stdlib: &str) -> bool {
    let Origin::Path(path) = origin else { return false };
    path.strip_prefix(stdlib)
        .is_some_and(|rest| !rest.contains("site-packages") && !rest.contains("dist-packages"))
}
