//! Whose the modules are that appeared while a project was in place.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyModule, PyString, PyType};

use super::import_state::ImportState;
use super::marks::{self, Owner};
use super::rules::{Ownership, Rules};
use crate::host::python::contents::{self, Items};
use crate::host::python::modules::{self, Origin};
use crate::host::python::names::Names;

/// Whose each new module is, by the address of its name.
pub(crate) struct Sorted(HashMap<usize, Ownership>);

impl Sorted {
    pub(crate) fn of(&self, name: &Bound<'_, PyAny>) -> Ownership {
        self.0.get(&(name.as_ptr() as usize)).copied().unwrap_or(Ownership::Shared)
    }
}

/// Sorts the modules that appeared while a project was in place, and marks those that are its own.
///
/// Most are told by name or place. The rest follows from those: what code has made in the name of an owned
/// package, and host packages that took one of the project's libraries into their globals. Shared, such a
/// package would carry that library to the daemon and to other projects. What another thread is just loading
/// by hand is left alone.
///
/// `is_anothers` tells of a module without a file, by its name's address, that code of nobody's has made it.
pub(crate) fn sort(
    py: Python<'_>,
    rules: &Rules,
    state: &Arc<ImportState>,
    known: &Bound<'_, PyDict>,
    appeared: &Items<'_>,
    is_anothers: &dyn Fn(usize) -> bool,
) -> PyResult<Sorted> {
    let mark = marks::new(py, state)?;
    let mut sorting =
        Sorting { rules, state, known, mark, is_anothers, own: HashSet::new(), sorted: HashMap::new() };
    let mut open = Vec::new();
    for (key, module) in appeared {
        let Ok(name) = key.cast::<PyString>() else { continue };
        let newcomer =
            Newcomer { key: key.as_ptr() as usize, name: name.to_string_lossy().into_owned(), module };
        match marks::classify(rules, state, &newcomer.name, module) {
            Ownership::Own => sorting.own(newcomer)?,
            Ownership::Other => {
                sorting.sorted.insert(newcomer.key, Ownership::Other);
            }
            Ownership::Shared | Ownership::Loading => {}
            Ownership::Shadowed | Ownership::Open => open.push(newcomer),
        }
    }
    // The order of sys.modules does not help: a package moves behind its submodules when its import ends.
    loop {
        let (own, rest): (Vec<_>, Vec<_>) = open.into_iter().partition(|newcomer| sorting.follows(newcomer));
        if own.is_empty() {
            return Ok(Sorted(sorting.sorted));
        }
        own.into_iter().try_for_each(|newcomer| sorting.own(newcomer))?;
        open = rest;
    }
}

/// A module that appeared.
struct Newcomer<'a, 'py> {
    key: usize,
    name: String,
    module: &'a Bound<'py, PyAny>,
}

struct Sorting<'a, 'py> {
    rules: &'a Rules,
    state: &'a Arc<ImportState>,
    /// What the project owned before.
    known: &'a Bound<'py, PyDict>,
    mark: Bound<'py, Owner>,
    is_anothers: &'a dyn Fn(usize) -> bool,
    own: HashSet<String>,
    sorted: HashMap<usize, Ownership>,
}

impl<'py> Sorting<'_, 'py> {
    fn own(&mut self, newcomer: Newcomer<'_, 'py>) -> PyResult<()> {
        // An alias of somebody else's module is an entry of the project's, and no more.
        if !self.rules.is_alias(&newcomer.name, newcomer.module) {
            marks::mark(newcomer.module, &self.mark)?;
        }
        self.sorted.insert(newcomer.key, Ownership::Own);
        self.own.insert(newcomer.name);
        Ok(())
    }

    /// Whether a module is the project's because others are.
    fn follows(&self, newcomer: &Newcomer<'_, 'py>) -> bool {
        // Without its package a submodule is of no use to anybody else: it is not bound to the next copy of
        // the package.
        let is_in_own_package =
            || newcomer.name.rsplit_once('.').is_some_and(|(parent, _)| self.owns(parent));
        match modules::origin(newcomer.module) {
            // Its parent's, or its class's, as six's lazy `moves` are, or that of the code which has made it.
            Origin::Made => {
                is_in_own_package()
                    || modules::class_module(newcomer.module).is_some_and(|class| self.owns(&class))
                    || !(self.is_anothers)(newcomer.key) && self.has_made(newcomer.module)
            }
            Origin::Path(_) => is_in_own_package() || self.is_referred_to_by(newcomer.module),
            Origin::Interpreter => false,
        }
    }

    fn owns(&self, name: &str) -> bool {
        self.own.contains(name) || self.known.contains(PyString::new(self.known.py(), name)).unwrap_or(false)
    }

    /// Whether the project's code has made a module, as far as can be told: by hand, or by a loader of its
    /// own, or with something of the project's in it. What has a spec was made by somebody's loader, and what
    /// has functions of its own in C or Rust by that.
    fn has_made(&self, module: &Bound<'py, PyAny>) -> bool {
        let Some(dict) = modules::module_dict(module) else { return false };
        let names = Names::of(module.py());
        let is_by_hand = module.is_exact_instance_of::<PyModule>()
            && dict.get_item(&names.spec).is_ok_and(|spec| spec.is_none_or(|spec| spec.is_none()))
            && !contents::items(&dict).iter().any(|(_, value)| is_of_native_module(value, module));
        let loader = dict.get_item(&names.loader).ok().flatten();
        is_by_hand
            || loader.and_then(|loader| modules::class_module(&loader)).is_some_and(|of| self.owns(&of))
            || self.is_referred_to_by(module)
    }

    /// Whether a module's globals name a module, function or class of the project's.
    fn is_referred_to_by(&self, module: &Bound<'py, PyAny>) -> bool {
        let Some(dict) = modules::module_dict(module) else { return false };
        contents::items(&dict).iter().any(|(_, value)| {
            if value.is_exact_instance_of::<PyType>() {
                return modules::class_module(value).is_some_and(|module| self.owns(&module));
            }
            marks::owner_of_value(value).is_some_and(|owner| Arc::ptr_eq(&owner, self.state))
        })
    }
}

/// Whether a function is not Python's, and this module's rather than one that it has taken from another.
fn is_of_native_module(value: &Bound<'_, PyAny>, module: &Bound<'_, PyAny>) -> bool {
    let Ok(function) = value.cast::<PyCFunction>() else { return false };
    let of = function.getattr("__self__");
    of.is_ok_and(|of| of.is(module) || !of.is_instance_of::<PyModule>())
}
