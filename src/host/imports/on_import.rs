//! What the daemon does to each freshly imported core before anybody uses it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use secrecy::{ExposeSecret, SecretString};
use sgtk_config::CoreLocation;

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
    /// For a project's leases: the first one, and again after an upgrade, an eviction, or where it was damaged.
    Lease,
    /// By [`import_sgtk`](crate::import_sgtk).
    Recipe,
    /// For a bootstrap: the core that it starts from, and the project's own. The bootstrap sets the user itself.
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

/// A script user of a site's, for [`HostBuilder::script_user`](crate::HostBuilder::script_user).
///
/// Its key is in no `Debug`, error or log.
#[derive(Clone)]
pub struct ScriptUser {
    site: String,
    name: String,
    key: SecretString,
    http_proxy: Option<SecretString>,
}

impl ScriptUser {
    /// The script user `name` of the site at this address, with its key there.
    pub fn new(site: impl Into<String>, name: impl Into<String>, key: impl Into<SecretString>) -> Self {
        Self { site: site.into(), name: name.into(), key: key.into(), http_proxy: None }
    }

    /// The proxy for its calls: `host:port`, or `user:password@host:port`. Default: none.
    #[must_use]
    pub fn http_proxy(mut self, address: impl Into<SecretString>) -> Self {
        self.http_proxy = Some(address.into());
        self
    }

    /// Makes the user in a core and has it be that core's authenticated user (`sgtk.set_authenticated_user`).
    ///
    /// # Errors
    /// What the core's code raises. The site is not asked.
    pub fn set(&self, sgtk: &Bound<'_, PyModule>) -> PyResult<()> {
        let py = sgtk.py();
        // Older cores do not import it by themselves.
        let authentication = match sgtk.getattr("authentication") {
            Ok(module) => module,
            Err(_) => py.import("sgtk.authentication")?.into_any(),
        };
        let authenticator = authentication.getattr("ShotgunAuthenticator")?.call0()?;
        let named = PyDict::new(py);
        named.set_item("api_script", &self.name)?;
        named.set_item("api_key", self.key.expose_secret())?;
        named.set_item("host", &self.site)?;
        named.set_item("http_proxy", self.http_proxy.as_ref().map(|proxy| proxy.expose_secret()))?;
        let user = authenticator.call_method("create_script_user", (), Some(&named))?;
        sgtk.call_method1("set_authenticated_user", (user,)).map(drop)
    }

    /// What must not be seen anywhere.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = SecretString> {
        [Some(self.key.clone()), self.http_proxy.clone()].into_iter().flatten()
    }
}

impl fmt::Debug for ScriptUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptUser")
            .field("site", &self.site)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
