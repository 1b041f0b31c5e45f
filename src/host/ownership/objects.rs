//! Whose an object is: by its class, whose functions say which module they were defined in.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyModule, PyTuple, PyType};

use super::import_state::ImportState;
use super::marks;
use crate::host::python::contents;
use crate::host::python::modules;

/// How far an object may be from the global that leads to it.
const DEEPEST: usize = 6;

/// How many objects are looked at for one module, and for all together.
const MOST_OF_ONE: usize = 20_000;
const MOST: usize = 200_000;

/// The owners of classes, as far as it was asked. To be dropped soon: it keeps the classes alive.
#[derive(Default)]
pub(crate) struct Owners<'py> {
    classes: Known<'py>,
    /// The same by their own functions alone.
    alone: Known<'py>,
}

type Known<'py> = HashMap<usize, (Bound<'py, PyType>, Option<Arc<ImportState>>)>;

impl<'py> Owners<'py> {
    /// The project whose module, function, class or instance of a class an object is, if it is one's.
    pub(crate) fn of(&mut self, object: &Bound<'py, PyAny>) -> Option<Arc<ImportState>> {
        if let Ok(class) = object.cast::<PyType>() {
            return self.of_class(class);
        }
        if object.is_instance_of::<PyModule>() || modules::function_globals(object).is_some() {
            return marks::owner_of_value(object);
        }
        self.of_class(&object.get_type())
    }

    fn of_class(&mut self, class: &Bound<'py, PyType>) -> Option<Arc<ImportState>> {
        if !modules::is_made_by_code(class) {
            return None;
        }
        let address = class.as_ptr() as usize;
        if let Some((_, owner)) = self.classes.get(&address) {
            return owner.clone();
        }
        let owner = class.mro().iter().find_map(|class| self.of_class_alone(class.cast::<PyType>().ok()?));
        self.classes.insert(address, (class.clone(), owner.clone()));
        owner
    }

    fn of_class_alone(&mut self, class: &Bound<'py, PyType>) -> Option<Arc<ImportState>> {
        if !modules::is_made_by_code(class) {
            return None;
        }
        let known = self.alone.entry(class.as_ptr() as usize);
        known.or_insert_with(|| (class.clone(), by_functions(class))).1.clone()
    }
}

/// The owner of the first function of the class.
fn by_functions(class: &Bound<'_, PyType>) -> Option<Arc<ImportState>> {
    let functions =
        contents::items(&modules::class_dict(class)?).into_iter().filter_map(|(_, value)| function_of(value));
    functions.into_iter().find_map(|globals| marks::owner_of_globals(&globals))
}

/// The globals of a function, or of that which a method or a property is made of.
fn function_of<'py>(value: Bound<'py, PyAny>) -> Option<Bound<'py, PyDict>> {
    modules::function_globals(&value).or_else(|| {
        let kind = value.get_type();
        let name = match kind.name().ok()?.to_str().ok()? {
            "staticmethod" | "classmethod" => "__func__",
            "property" => "fget",
            _ => return None,
        };
        modules::function_globals(&value.getattr(name).ok()?)
    })
}

/// What a global of a shared module holds that it must not.
pub(crate) struct Held {
    pub(crate) global: String,
    /// What it is, in a few words.
    pub(crate) what: String,
}

/// Looks through what the globals of shared modules hold.
pub(crate) struct Search<'py> {
    referents: Bound<'py, PyAny>,
    modules: Bound<'py, PyAny>,
    owners: Owners<'py>,
    /// What has been looked into.
    known: HashSet<usize>,
    left: usize,
}

impl<'py> Search<'py> {
    pub(crate) fn new(py: Python<'py>) -> PyResult<Self> {
        let referents = crate::host::python::import::import_for_host(py, "gc")?.getattr("get_referents")?;
        let modules = crate::host::python::import::import_for_host(py, "sys")?.getattr("modules")?;
        Ok(Self { referents, modules, owners: Owners::default(), known: HashSet::new(), left: MOST })
    }

    /// The first project's object that each global of the module holds, or leads to over containers and
    /// attributes, those of the module's own classes too. Modules, other classes and functions' globals are
    /// not followed.
    pub(crate) fn held_by(&mut self, module: &Bound<'py, PyAny>) -> PyResult<Vec<Held>> {
        let Some(globals) = modules::module_dict(module) else { return Ok(Vec::new()) };
        let (mut held, mut left) = (Vec::new(), MOST_OF_ONE.min(self.left));
        let before = left;
        for (name, value) in contents::items(&globals) {
            let name = name.to_string();
            // What the import system put there.
            if name.starts_with("__") {
                continue;
            }
            if let Some(what) = self.behind(&value, &mut left)? {
                held.push(Held { global: name, what });
                continue;
            }
            // A class's attributes are as good as globals, in the module that it is defined in.
            let class = value.cast::<PyType>().ok().filter(|class| {
                modules::class_module(class.as_any()).is_some_and(|of| Some(of) == modules::own_name(module))
            });
            for (attribute, value) in class.and_then(modules::class_dict).iter().flat_map(contents::items) {
                if let Some(what) = self.behind(&value, &mut left)? {
                    held.push(Held { global: format!("{name}.{attribute}"), what });
                }
            }
        }
        self.left -= before - left;
        Ok(held)
    }

    fn behind(&mut self, value: &Bound<'py, PyAny>, left: &mut usize) -> PyResult<Option<String>> {
        if let Some(owner) = self.owners.of(value) {
            return Ok(Some(format!("is {} of project '{}'", describe(value), owner.project())));
        }
        let mut edge = vec![value.clone()];
        for _ in 0..DEEPEST {
            // The dictionary of all modules holds whatever is in place.
            edge.retain(|object| {
                leads_on(object) && !object.is(&self.modules) && self.known.insert(object.as_ptr() as usize)
            });
            edge.truncate(*left);
            if edge.is_empty() {
                return Ok(None);
            }
            *left -= edge.len();
            // Follows what the collector follows, and runs no code of the objects.
            let found = self.referents.call1(PyTuple::new(value.py(), &edge)?)?;
            edge = found.try_iter()?.collect::<PyResult<_>>()?;
            for object in &edge {
                if let Some(owner) = self.owners.of(object) {
                    let what = describe(object);
                    return Ok(Some(format!("leads to {what} of project '{}'", owner.project())));
                }
            }
        }
        Ok(None)
    }
}

/// Whether what an object refers to is part of it. A module's dictionary is that module's.
fn leads_on(object: &Bound<'_, PyAny>) -> bool {
    if object.is_instance_of::<PyModule>() || object.is_instance_of::<PyType>() {
        return false;
    }
    object.cast::<PyDict>().map_or(true, |dict| !dict.contains("__builtins__").unwrap_or(true))
}

fn describe(object: &Bound<'_, PyAny>) -> String {
    let name = |class: &Bound<'_, PyType>| {
        let module = modules::class_module(class.as_any()).unwrap_or_default();
        format!("{module}.{}", class.name().map_or_else(|_| "?".to_owned(), |name| name.to_string()))
    };
    if let Ok(class) = object.cast::<PyType>() {
        return format!("the class {}", name(class));
    }
    if object.is_instance_of::<PyModule>() {
        return format!("the module '{}'", modules::own_name(object).unwrap_or_default());
    }
    if modules::function_globals(object).is_some() {
        return "a function".to_owned();
    }
    format!("an object ({})", name(&object.get_type()))
}
