//! What an import asks for.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use crate::host::ownership::toolkit_names::top_level;
use crate::host::python::modules::{is_initializing, module_dict};

/// The module that is asked for, by its full name.
pub(crate) struct Wanted<'py> {
    pub(crate) absolute: String,
    gives: Gives,
    _interpreter: Python<'py>,
}

/// What the import gives.
enum Gives {
    /// `import a.b.c` gives `a`.
    TopLevel,
    /// `from a.b import c, d` gives `a.b`, which must have `c` and `d`.
    From(Vec<String>),
}

impl<'py> Wanted<'py> {
    /// What the statement `import` asks for, where that can be told.
    pub(crate) fn statement(
        name: &Bound<'py, PyAny>,
        globals: Option<&Bound<'py, PyAny>>,
        fromlist: Option<&Bound<'py, PyAny>>,
        level: Option<&Bound<'py, PyAny>>,
    ) -> Option<Self> {
        let py = name.py();
        let name = name.cast::<PyString>().ok()?.to_str().ok()?.to_owned();
        let level = level.map_or(Some(0), |level| level.extract::<usize>().ok())?;
        let names = fromlist.map_or(Some(Vec::new()), |fromlist| strings(fromlist))?;
        let absolute = match level {
            0 => name,
            level => relative(&package(py, globals?)?, &name, level)?,
        };
        let gives = match (names.is_empty(), level) {
            (false, _) => Gives::From(names),
            (true, 0) => Gives::TopLevel,
            (true, _) => return None,
        };
        Some(Self { absolute, gives, _interpreter: py })
    }

    /// What `importlib.import_module` is asked for, where that can be told.
    pub(crate) fn module(name: &Bound<'py, PyAny>, package: Option<&Bound<'py, PyAny>>) -> Option<Self> {
        let py = name.py();
        let name = name.cast::<PyString>().ok()?.to_str().ok()?;
        let level = name.len() - name.trim_start_matches('.').len();
        let absolute = match level {
            0 => name.to_owned(),
            level => {
                let package = package?.cast::<PyString>().ok()?.to_str().ok()?;
                relative(package, name.trim_start_matches('.'), level)?
            }
        };
        Some(Self { absolute, gives: Gives::From(Vec::new()), _interpreter: py })
    }

    /// What the import gives, from the modules that `look_up` knows; `None` where something has to be loaded
    /// for it.
    pub(crate) fn from(
        &self,
        look_up: impl Fn(&str) -> Option<Bound<'py, PyAny>>,
    ) -> Option<Bound<'py, PyAny>> {
        // `None` in `sys.modules` forbids the import: the previous function says so.
        let is_ready = |module: &Bound<'py, PyAny>| !module.is_none() && !is_initializing(module);
        let module = look_up(&self.absolute).filter(is_ready)?;
        let names = match &self.gives {
            Gives::TopLevel => return look_up(top_level(&self.absolute)),
            Gives::From(names) => names,
        };
        if names.is_empty() {
            return Some(module);
        }
        let is_package = module_dict(&module)?.contains(intern!(module.py(), "__path__")).ok()?;
        let all = names.iter().any(|name| name == "*").then(|| public_names(&module)).flatten();
        for name in names.iter().filter(|name| *name != "*").chain(all.iter().flatten()) {
            if has_attribute(&module, name) {
                continue;
            }
            match look_up(&format!("{}.{name}", self.absolute)) {
                // Another thread is loading it: the import system waits for that thread.
                Some(submodule) if !is_ready(&submodule) => return None,
                // As the import system binds a submodule to its package.
                Some(submodule) => module.setattr(name.as_str(), submodule).ok()?,
                None if is_package => return None,
                // The import statement itself raises for a name that is not there.
                None => {}
            }
        }
        Some(module)
    }
}

/// The dictionary first: a module's `__getattr__` is asked only where there is one.
fn has_attribute(module: &Bound<'_, PyAny>, name: &str) -> bool {
    module_dict(module).is_some_and(|dict| dict.contains(name).unwrap_or(false))
        || module.hasattr(name).unwrap_or(false)
}

fn public_names(module: &Bound<'_, PyAny>) -> Option<Vec<String>> {
    strings(&module_dict(module)?.get_item(intern!(module.py(), "__all__")).ok()??)
}

fn strings(sequence: &Bound<'_, PyAny>) -> Option<Vec<String>> {
    if sequence.is_none() {
        return Some(Vec::new());
    }
    let is_plain = sequence.is_exact_instance_of::<PyTuple>() || sequence.is_exact_instance_of::<PyList>();
    // Any sequence will do, a string of one-letter names too: such are not asked for in statements, only in
    // calls.
    if is_plain {
        sequence.extract().ok()
    } else {
        sequence.try_iter().ok()?.map(|name| name?.extract()).collect::<PyResult<_>>().ok()
    }
}

/// The package that a relative import starts from (PEP 366, PEP 451).
fn package(py: Python<'_>, globals: &Bound<'_, PyAny>) -> Option<String> {
    let globals = globals.cast::<PyDict>().ok()?;
    let text = |key| globals.get_item(key).ok().flatten()?.extract::<String>().ok();
    if let Some(package) = text(intern!(py, "__package__")) {
        return Some(package);
    }
    let name = text(intern!(py, "__name__"))?;
    if globals.contains(intern!(py, "__path__")).ok()? {
        return Some(name);
    }
    name.rsplit_once('.').map(|(package, _)| package.to_owned())
}

fn relative(package: &str, name: &str, level: usize) -> Option<String> {
    let mut base = package;
    for _ in 1..level {
        base = base.rsplit_once('.')?.0;
    }
    let absolute = if name.is_empty() { base.to_owned() } else { format!("{base}.{name}") };
    (!base.is_empty()).then_some(absolute)
}
