//! Whose something is by its name and place: the answer, and one project's rules.

use std::collections::HashSet;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyString;

use super::roots::Roots;
use super::toolkit_names::{is_toolkit_name, top_level};
use crate::host::python::modules::{self, Origin};

/// Whose a module, a finder, a logger or a path entry is, seen from one project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// The project's: it comes and goes with it.
    Own,
    /// Another project's.
    Other,
    /// Everybody's, under a name that the core's own libraries have: out of sight while the project is in
    /// place.
    Shadowed,
    /// Everybody's for certain: an exempt name, or the standard library's.
    Shared,
    /// Nobody can tell yet: another thread is loading it by hand, and its code has not begun to run.
    Loading,
    /// Neither name nor place tells: everybody's, unless it belongs to something that is a project's.
    Open,
}

impl Ownership {
    /// Whether what the daemon has of it must be out of sight while the project is in place.
    pub(crate) fn is_hidden(self) -> bool {
        matches!(self, Self::Own | Self::Other | Self::Shadowed)
    }
}

/// The names and places by which a project's own are told.
pub(crate) struct Rules {
    /// Folders and zips that are the project's.
    roots: Roots,
    /// The top-level names that the core's zips provide.
    provided: HashSet<String>,
    names: Arc<DeclaredNames>,
    /// The folders that have to be on `sys.path`.
    needed: Roots,
}

/// Top-level names of which the caller says whose they are.
#[derive(Debug, Default)]
pub(crate) struct DeclaredNames {
    /// Never a project's.
    pub(crate) exempt: HashSet<String>,
    /// Each project's own, wherever they come from.
    pub(crate) per_project: HashSet<String>,
}

impl Rules {
    pub(crate) fn new(names: Arc<DeclaredNames>, provided: HashSet<String>) -> Self {
        Self { roots: Roots::default(), provided, names, needed: Roots::default() }
    }

    /// Counts all under `root` as the project's.
    pub(crate) fn add_root(&mut self, root: &str) {
        self.roots.add(root);
    }

    /// Counts all under `root` as the project's, which has to be on `sys.path`.
    pub(crate) fn add_needed_root(&mut self, root: &str) {
        self.roots.add(root);
        self.needed.add(root);
    }

    /// The folders that have to be on `sys.path`.
    pub(crate) fn needed(&self) -> &Roots {
        &self.needed
    }

    /// Whether the core brings a library of that top-level name.
    pub(crate) fn provides(&self, name: &str) -> bool {
        self.provided.contains(top_level(name))
    }

    pub(crate) fn roots(&self) -> &Roots {
        &self.roots
    }

    /// Whose something of this dotted name is, wherever it comes from.
    pub(crate) fn of_name(&self, name: &str) -> Ownership {
        let top = top_level(name);
        if self.names.exempt.contains(top) {
            Ownership::Shared
        } else if is_toolkit_name(name) || self.names.per_project.contains(top) {
            Ownership::Own
        } else if self.provided.contains(top) {
            Ownership::Shadowed
        } else {
            Ownership::Open
        }
    }

    /// Whose a module is by its name and by where it comes from.
    pub(crate) fn of_module(&self, name: &str, origin: &Origin) -> Ownership {
        match (self.of_name(name), origin) {
            (Ownership::Open | Ownership::Shadowed, Origin::Path(path)) if self.roots.contain(path) => {
                Ownership::Own
            }
            (Ownership::Open, Origin::Path(path)) if modules::is_in_stdlib(path) => Ownership::Shared,
            (by_name, _) => by_name,
        }
    }

    /// As [`of_module`](Self::of_module), for an entry of `sys.modules`.
    pub(crate) fn of_entry(&self, name: &Bound<'_, PyAny>, module: &Bound<'_, PyAny>) -> Ownership {
        let Ok(name) = name.cast::<PyString>() else { return Ownership::Open };
        self.of_module(&name.to_string_lossy(), &modules::origin(module))
    }

    /// Whose an object is, a finder for example, by the module that its class comes from.
    pub(crate) fn of_object(&self, object: &Bound<'_, PyAny>) -> Ownership {
        modules::class_module(object).map_or(Ownership::Open, |module| self.of_name(&module))
    }

    /// Whose a logger is: Toolkit's and its libraries' are the project's.
    pub(crate) fn of_logger(&self, name: &Bound<'_, PyAny>) -> Ownership {
        let Ok(name) = name.cast::<PyString>() else { return Ownership::Open };
        let name = name.to_string_lossy();
        let top = top_level(&name);
        // Older cores have the client inside `tank_vendor`, where it logs under its own name all the same.
        let is_own = matches!(top, "sgtk" | "tank" | "tank_vendor" | "shotgun_api3");
        if is_own || self.provided.contains(top) { Ownership::Own } else { Ownership::Shared }
    }

    /// Whose an entry of `sys.path` is, as far as the project's own folders and zips tell.
    pub(crate) fn of_path_entry(&self, entry: &Bound<'_, PyAny>) -> Ownership {
        let is_own = entry.cast::<PyString>().is_ok_and(|entry| self.roots.contain(&entry.to_string_lossy()));
        if is_own { Ownership::Own } else { Ownership::Open }
    }

    /// Whether a project's entry of `sys.modules` only lends its name to somebody else's module, as six's
    /// `moves.urllib_parse` does to `urllib.parse`.
    pub(crate) fn is_alias(&self, entry: &str, module: &Bound<'_, PyAny>) -> bool {
        let is_elsewhere = match modules::origin(module) {
            Origin::Path(path) => !self.roots.contain(&path),
            Origin::Interpreter => true,
            Origin::Made => false,
        };
        is_elsewhere && modules::own_name(module).is_some_and(|name| name != entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_told_by_its_name_then_by_its_place() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<HashSet<_>>();
        let declared = DeclaredNames { exempt: names(&["tankobon"]), per_project: names(&["studio_tools"]) };
        let mut rules = Rules::new(Arc::new(declared), names(&["yaml"]));
        rules.add_root("/core");
        let path = |path: &str| Origin::Path(path.to_owned());
        for (name, origin, expected) in [
            ("tank.util", path("/elsewhere/tank/util.py"), Ownership::Own),
            ("tkimp0123.app", Origin::Made, Ownership::Own),
            ("tankobon", path("/core/tankobon.py"), Ownership::Shared),
            ("yaml", path("/core/yaml.zip/yaml/__init__.py"), Ownership::Own),
            ("yaml", path("/site-packages/yaml/__init__.py"), Ownership::Shadowed),
            ("studio_tools.x", path("/site-packages/studio_tools/x.py"), Ownership::Own),
            ("plugin", path("/core/plugin.py"), Ownership::Own),
            ("plugin", path("/elsewhere/plugin.py"), Ownership::Open),
        ] {
            assert_eq!(rules.of_module(name, &origin), expected, "{name} from {origin:?}");
        }
    }
}
