//! What the daemon does to each freshly imported core before anybody uses it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use sgtk_config::{CoreLocation, ScriptUser};

use crate::host::python::steps_in_python;

/// A core that was just imported.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Imported {
    /// The project as errors and logs name it; of a bootstrap, its target.
    pub project: String,
    /// The core.
    pub core: CoreLocation,
    /// What it was imported for.
    pub purpose: Purpose,
}

/// What a core is imported for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Purpose {
    /// For a project's leases: the first one, and again after an upgrade, an eviction, or where it was
    /// damaged.
    Lease,
    /// By [`import_sgtk`](crate::import_sgtk).
    Recipe,
    /// For a bootstrap: the core that it starts from, and the project's own. The bootstrap sets the user
    /// itself.
    Bootstrap,
}

type Function = Arc<dyn for<'py> Fn(&Bound<'py, PyModule>, &Imported) -> PyResult<()> + Send + Sync>;

/// The functions, in the order in which they are called.
#[derive(Clone, Default)]
pub(crate) struct OnImport(Vec<Function>);

impl OnImport {
    pub(crate) fn add(
        &mut self,
        function: impl for<'py> Fn(&Bound<'py, PyModule>, &Imported) -> PyResult<()> + Send + Sync + 'static,
    ) {
        self.0.push(Arc::new(function));
    }

    pub(crate) fn append(&mut self, later: Self) {
        self.0.extend(later.0);
    }

    /// Calls them. The first error is the last thing that is done; a panic counts as one.
    pub(crate) fn call(&self, sgtk: &Bound<'_, PyModule>, imported: &Imported) -> PyResult<()> {
        self.0.iter().try_for_each(|function| {
            catch_unwind(AssertUnwindSafe(|| function(sgtk, imported)))
                .unwrap_or_else(|_| Err(PyRuntimeError::new_err("the function for new imports panicked")))
        })
    }
}

impl fmt::Debug for OnImport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnImport").field(&self.0.len()).finish()
    }
}

/// Makes the user in a core and has it be that core's authenticated user (`sgtk.set_authenticated_user`).
///
/// # Errors
/// What the core's code raises. The site is not asked.
pub(crate) fn set_script_user(user: &ScriptUser, sgtk: &Bound<'_, PyModule>) -> PyResult<()> {
    let named = PyDict::new(sgtk.py());
    for (name, value) in user.to_json().as_object().into_iter().flatten() {
        named.set_item(name, value.as_str())?;
    }
    steps_in_python::call(sgtk.py(), "set_script_user", (sgtk, named)).map(drop)
}
