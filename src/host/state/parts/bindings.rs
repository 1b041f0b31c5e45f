//! Modules of a project inside packages that are everybody's.
//!
//! The import system binds a submodule to its package: after `import studio.publish` the package `studio` has
//! an attribute `publish`. Where the package is the daemon's and the submodule a project's own copy, that
//! attribute has to come and go with the project, or `from studio import publish` finds another project's.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::host::python::contents;
use crate::host::python::modules;

/// The attribute of a package that leads to a project's module.
struct Binding {
    package: Py<PyDict>,
    name: Py<PyString>,
    module: Py<PyAny>,
    /// What the attribute was before the project came.
    before: Option<Py<PyAny>>,
}

/// A project's bindings.
#[derive(Default)]
pub(crate) struct Bindings(Vec<Binding>);

impl Bindings {
    /// Puts the attributes in place.
    pub(crate) fn enter(&mut self, py: Python<'_>) -> PyResult<()> {
        self.0.iter_mut().try_for_each(|binding| {
            let (package, name) = (binding.package.bind(py), binding.name.bind(py));
            binding.before = contents::get(package, name).map(Bound::unbind);
            package.set_item(name, &binding.module)
        })
    }

    /// Finds the attributes that came while the project was in place: of packages among `base`, which are
    /// everybody's, to modules that the project owns.
    pub(crate) fn find(&mut self, own: &Bound<'_, PyDict>, base: &Bound<'_, PyDict>) {
        let py = own.py();
        for (key, module) in contents::items(own) {
            let Ok(name) = key.cast::<PyString>() else { continue };
            let name = name.to_string_lossy();
            let Some((parent, child)) = name.rsplit_once('.') else { continue };
            let parent = PyString::new(py, parent).into_any();
            if contents::get(own, &parent).is_some() {
                continue;
            }
            let package = contents::get(base, &parent).and_then(|parent| modules::module_dict(&parent));
            let Some(package) = package else { continue };
            let name = PyString::new(py, child);
            let is_bound = contents::get(&package, &name).is_some_and(|bound| bound.is(&module));
            let is_known = self
                .0
                .iter()
                .any(|known| known.package.bind(py).is(&package) && known.module.bind(py).is(&module));
            if is_bound && !is_known {
                let (package, name, module) = (package.unbind(), name.unbind(), module.unbind());
                // The daemon may have had its own submodule bound there, which the project's import replaced.
                let before = contents::get(base, &key).map(Bound::unbind);
                self.0.push(Binding { package, name, module, before });
            }
        }
    }

    /// Gives the attributes back what they were. One that the project's code has changed is left as it is.
    pub(crate) fn leave(&mut self, py: Python<'_>, replaced: &mut Vec<Py<PyAny>>) -> PyResult<()> {
        let mut outcome = Ok(());
        for binding in &mut self.0 {
            let (package, name) = (binding.package.bind(py), binding.name.bind(py));
            let before = binding.before.take();
            if !contents::get(package, name).is_some_and(|bound| bound.is(&binding.module)) {
                replaced.extend(before);
                continue;
            }
            let restored = match before {
                Some(before) => package.set_item(name, before),
                None => package.del_item(name),
            };
            outcome = outcome.and(restored);
        }
        outcome
    }
}
