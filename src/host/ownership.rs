//! Whose a module, a finder or a path entry is.
//!
//! Everything here looks into dictionaries and type slots and runs no Python code: reading `module.__file__` the usual
//! way can run a lazy module's `__getattr__`, and takes milliseconds over a thousand modules.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFunction, PyList, PyModule, PyString, PyType};

use super::names::Names;
use super::state::ImportState;

/// Names the project that a module belongs to, from within the module's own dictionary.
///
/// A mark in the dictionary lives and dies with it, and is found from any function's globals, also when the module
/// itself is gone. (A table of addresses would name a project for whatever takes a dead dictionary's place.)
#[pyclass(frozen, module = "sgtk_host")]
pub(super) struct Owner {
    pub(super) state: Arc<ImportState>,
}

#[pymethods]
impl Owner {
    fn __repr__(&self) -> String {
        format!("<module of project '{}'>", self.state.project())
    }

    /// A copy of a module's dictionary (`copy.deepcopy` too) belongs to the same project.
    fn __deepcopy__(slf: Py<Self>, _memo: Py<PyAny>) -> Py<Self> {
        slf
    }
}

/// The project whose dictionary of globals this is, if it is one's.
pub(super) fn owner_of_globals(globals: &Bound<'_, PyDict>) -> Option<Arc<ImportState>> {
    let mark = globals.get_item(&Names::of(globals.py()).mark).ok()??;
    Some(Arc::clone(&mark.cast_exact::<Owner>().ok()?.get().state))
}

/// The project that a module belongs to, if it was marked.
pub(super) fn owner_of_module(module: &Bound<'_, PyAny>) -> Option<Arc<ImportState>> {
    owner_of_globals(&module_dict(module)?)
}

/// Marks a module as the project's.
pub(super) fn mark(module: &Bound<'_, PyAny>, owner: &Bound<'_, Owner>) -> PyResult<()> {
    module_dict(module).map_or(Ok(()), |dict| mark_globals(&dict, owner))
}

/// Marks a module, by its dictionary, as the project's.
pub(super) fn mark_globals(globals: &Bound<'_, PyDict>, owner: &Bound<'_, Owner>) -> PyResult<()> {
    globals.set_item(&Names::of(globals.py()).mark, owner)
}

/// A module's dictionary, without asking the module. `None` for the other things that `sys.modules` may hold.
pub(super) fn module_dict<'py>(module: &Bound<'py, PyAny>) -> Option<Bound<'py, PyDict>> {
    let module = module.cast::<PyModule>().ok()?;
    Some(module.dict())
}

/// The part of a dotted name before the first dot.
pub(super) fn top_level(name: &str) -> &str {
    name.split_once('.').map_or(name, |(top, _)| top)
}

/// Whether the published recipe would remove a module of this name: `tank*` and `sgtk*`.
pub(super) fn recipe_takes(name: &str) -> bool {
    name.starts_with("tank") || name.starts_with("sgtk")
}

/// Whether Toolkit gives modules such names: the recipe's, those of swapped cores, and those of hooks and bundles.
fn toolkit_name(name: &str) -> bool {
    const PREFIXES: [&str; 2] = ["core_swap_", "_tank_vendor_swap_"];
    recipe_takes(name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || is_made_up(name)
}

/// Whether this is a hook or a bundle, by the name that Toolkit makes up for it, whose code has not begun to run: another
/// thread is loading it by hand, and nothing tells yet for whom.
pub(super) fn is_being_loaded_by_hand(name: &str, module: &Bound<'_, PyAny>) -> bool {
    let has_begun = |dict: Bound<'_, PyDict>| dict.contains(&Names::of(dict.py()).builtins).unwrap_or(true);
    is_made_up(name) && module_dict(module).is_some_and(|dict| !has_begun(dict))
}

/// Whether Toolkit makes up such names, for hooks and bundles.
pub(super) fn is_made_up(name: &str) -> bool {
    let top = top_level(name);
    let is_hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    top.starts_with("tkimp") || top.len() == 32 && top.bytes().all(is_hexadecimal)
}

/// Where a module comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A file or folder, or something inside a zip.
    Path(String),
    /// Compiled into the interpreter.
    Interpreter,
    /// Nowhere: made by code.
    Made,
}

/// Where a module comes from, by its dictionary.
pub(super) fn origin(module: &Bound<'_, PyAny>) -> Origin {
    let Some(dict) = module_dict(module) else { return Origin::Made };
    let py = dict.py();
    if let Some(file) = text(dict.get_item(&Names::of(py).file)) {
        return Origin::Path(file);
    }
    if let Some(folder) = search_folder(&dict) {
        return Origin::Path(folder);
    }
    let spec = dict.get_item(&Names::of(py).spec).ok().flatten().filter(is_plain_spec);
    match spec.and_then(|spec| text(spec.getattr(&Names::of(py).origin).map(Some))).as_deref() {
        Some("built-in" | "frozen") => Origin::Interpreter,
        Some(path) => Origin::Path(path.to_owned()),
        None => Origin::Made,
    }
}

/// A namespace package has no file, only the folders that it spans: the first tells.
fn search_folder(dict: &Bound<'_, PyDict>) -> Option<String> {
    let py = dict.py();
    let path = dict.get_item(&Names::of(py).path).ok()??;
    let folders = match path.cast_exact::<PyList>() {
        Ok(list) => list.clone(),
        // importlib's _NamespacePath keeps its list in a plain attribute.
        Err(_) if !path.get_type().name().is_ok_and(|name| name == "_NamespacePath") => return None,
        Err(_) => path.getattr(&Names::of(py).path_list).ok()?.cast_into::<PyList>().ok()?,
    };
    text(folders.get_item(0).map(Some))
}

/// Whether this is importlib's own class, whose attributes are plain.
fn is_plain_spec(spec: &Bound<'_, PyAny>) -> bool {
    spec.get_type().name().is_ok_and(|name| name == "ModuleSpec")
}

/// Whether a module is still being imported by some thread.
pub(super) fn is_initializing(module: &Bound<'_, PyAny>) -> bool {
    let Some(dict) = module_dict(module) else { return false };
    let py = dict.py();
    let spec = dict.get_item(&Names::of(py).spec).ok().flatten().filter(is_plain_spec);
    spec.and_then(|spec| spec.getattr(&Names::of(py).initializing).ok())
        .is_some_and(|initializing| initializing.is_truthy().unwrap_or(false))
}

fn text(value: PyResult<Option<Bound<'_, PyAny>>>) -> Option<String> {
    let value = value.ok()??;
    let value = value.cast::<PyString>().ok()?.to_string_lossy();
    (!value.is_empty()).then(|| value.into_owned())
}

/// The names and places by which a project's own are told.
pub(super) struct Rules {
    /// Folders and zips that are the project's, each with a separator at its end.
    roots: Vec<String>,
    /// The top-level names that the core's zips provide.
    provided: HashSet<String>,
    /// The top-level names that are never the project's.
    exempt: Arc<HashSet<String>>,
}

impl Rules {
    pub(super) fn new(exempt: Arc<HashSet<String>>) -> Self {
        Self { roots: Vec::new(), provided: HashSet::new(), exempt }
    }

    /// Counts all under `root` as the project's.
    pub(super) fn add_root(&mut self, root: &str) {
        if !Path::new(root).is_absolute() {
            return;
        }
        let root = format!("{}{}", root.trim_end_matches(['/', '\\']), std::path::MAIN_SEPARATOR);
        // An entry such as `/` would make everything the project's.
        if root.len() > 1 && !self.roots.contains(&root) {
            self.roots.push(root);
        }
    }

    pub(super) fn provide(&mut self, names: impl IntoIterator<Item = String>) {
        self.provided.extend(names);
    }

    pub(super) fn is_under_root(&self, path: &str) -> bool {
        let is_root = |root: &str| root.strip_suffix(std::path::MAIN_SEPARATOR) == Some(path);
        self.roots.iter().any(|root| path.starts_with(root.as_str()) || is_root(root))
    }

    /// Whether an entry of `sys.path` is one of the project's folders or zips, or lies in one.
    pub(super) fn is_root_entry(&self, entry: &Bound<'_, PyAny>) -> bool {
        entry.cast::<PyString>().is_ok_and(|entry| self.is_under_root(&entry.to_string_lossy()))
    }

    pub(super) fn roots(&self) -> &[String] {
        &self.roots
    }

    /// Whether a name belongs to Toolkit wherever it comes from.
    pub(super) fn claims_name(&self, name: &str) -> bool {
        let top = top_level(name);
        !self.is_exempt(name) && (toolkit_name(name) || self.provided.contains(top))
    }

    /// Whether the daemon's own module of this name must be out of the way while the project is in place.
    pub(super) fn hides_module(&self, name: &Bound<'_, PyAny>, module: &Bound<'_, PyAny>) -> bool {
        let Ok(name) = name.cast::<PyString>() else { return false };
        let name = name.to_string_lossy();
        !self.is_exempt(&name)
            && (self.claims_name(&name)
                || matches!(origin(module), Origin::Path(path) if self.is_under_root(&path)))
    }

    /// Whether an object of the daemon's, a finder say, is of a class that the project has, or may have, its own of.
    pub(super) fn hides_object(&self, object: &Bound<'_, PyAny>) -> bool {
        class_module(object).is_some_and(|module| self.claims_name(&module))
    }

    /// Whether a logger is one of Toolkit's or of the libraries that the core brings.
    pub(super) fn claims_logger(&self, name: &Bound<'_, PyAny>) -> bool {
        let Ok(name) = name.cast::<PyString>() else { return false };
        let name = name.to_string_lossy();
        let top = top_level(&name);
        // Older cores have the client inside `tank_vendor`, where it logs under its own name all the same.
        matches!(top, "sgtk" | "tank" | "tank_vendor" | "shotgun_api3") || self.provided.contains(top)
    }

    /// Whether a project's entry of `sys.modules` only lends its name to somebody else's module, as six's
    /// `moves.urllib_parse` does to `urllib.parse`.
    pub(super) fn is_borrowed(&self, entry: &str, module: &Bound<'_, PyAny>) -> bool {
        let elsewhere = match origin(module) {
            Origin::Path(path) => !self.is_under_root(&path),
            Origin::Interpreter => true,
            Origin::Made => false,
        };
        let name = module_dict(module).and_then(|dict| text(dict.get_item(&Names::of(module.py()).name)));
        elsewhere && name.is_some_and(|name| name != entry)
    }

    /// Whether a module is the project's by its name or by where it comes from.
    pub(super) fn owns_module(&self, name: &str, origin: &Origin) -> bool {
        !self.is_exempt(name)
            && (toolkit_name(name) || matches!(origin, Origin::Path(path) if self.is_under_root(path)))
    }

    /// Whether a module of this name is never the project's.
    pub(super) fn is_exempt(&self, name: &str) -> bool {
        self.exempt.contains(top_level(name))
    }
}

/// The name of the module that an object's class, or the class itself, says it comes from.
pub(super) fn class_module(object: &Bound<'_, PyAny>) -> Option<String> {
    let class = object.cast::<PyType>().cloned().unwrap_or_else(|_| object.get_type());
    text(class.getattr(&Names::of(object.py()).module).map(Some))
}

/// A Python function's globals.
pub(super) fn function_globals<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyDict>> {
    let function = object.cast_exact::<PyFunction>().ok()?;
    // SAFETY: the object is a Python function and the interpreter is held; the result is a borrowed reference to the
    // dictionary that the function keeps alive, or null.
    let globals = unsafe {
        Bound::from_borrowed_ptr_or_opt(object.py(), ffi::PyFunction_GetGlobals(function.as_ptr()))
    };
    globals?.cast_into().ok()
}
