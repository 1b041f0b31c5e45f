//! Modules that a core in memory loads late, while its files on disk are replaced.
//!
//! A core that is kept, as the one on disk is not whole, would get modules of the other version. So a finder
//! of the project's own refuses files that are not what they were before the core was imported.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;
use pyo3::types::PyString;
use sgtk_config::CoreWatch;

/// See the module's documentation. It finds nothing itself.
#[pyclass(frozen, module = "sgtk_host")]
struct LateLoads {
    watch: Arc<CoreWatch>,
}

/// Has the project that is in place load no file of its core's late that was replaced since `watch` was
/// taken.
pub(crate) fn guard(py: Python<'_>, watch: &Arc<CoreWatch>) -> PyResult<()> {
    let finders = py.import("sys")?.getattr("meta_path")?;
    finders.call_method1("insert", (0, LateLoads { watch: Arc::clone(watch) })).map(drop)
}

#[pymethods]
impl LateLoads {
    #[pyo3(signature = (name, path=None, _target=None))]
    fn find_spec(
        &self,
        name: &Bound<'_, PyAny>,
        path: Option<&Bound<'_, PyAny>>,
        _target: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let Ok(name) = name.cast::<PyString>() else { return Ok(()) };
        let name = name.to_string_lossy();
        let tail = name.rsplit('.').next().unwrap_or_default();
        for folder in self.folders(path) {
            if let Some((file, reason)) = self.changed(&folder, tail) {
                let location = self.watch.location();
                return Err(PyImportError::new_err(format!(
                    "cannot import '{name}' for project '{}' (core {}): {} {reason} since the core was \
                     imported; an upgrade may be running",
                    location.project(),
                    location.install_core().display(),
                    file.display()
                )));
            }
        }
        Ok(())
    }

    /// For `importlib.invalidate_caches`.
    #[expect(clippy::unused_self, reason = "Python calls it as a method")]
    fn invalidate_caches(&self) {}
}

impl LateLoads {
    /// The core's folders and zips that a module is looked for in: those of its package, else the core's
    /// `python`.
    fn folders(&self, path: Option<&Bound<'_, PyAny>>) -> Vec<PathBuf> {
        let location = self.watch.location();
        let Some(path) = path.filter(|path| !path.is_none()) else {
            return vec![location.python().to_owned()];
        };
        let Ok(entries) = path.try_iter().map(|entries| entries.filter_map(Result::ok).collect::<Vec<_>>())
        else {
            return Vec::new();
        };
        let texts = entries.iter().filter_map(|entry| entry.cast::<PyString>().ok());
        let folders = texts.map(|entry| PathBuf::from(entry.to_string_lossy().as_ref()));
        folders.filter(|folder| folder.starts_with(location.install_core())).collect()
    }

    /// The file that a module of that name would be loaded from, where that is another one now.
    fn changed(&self, folder: &Path, tail: &str) -> Option<(PathBuf, &'static str)> {
        let core = self.watch.location().install_core();
        let inside = folder.ancestors().take_while(|part| part.starts_with(core));
        let is_zip = |part: &&Path| part.extension().is_some_and(|end| end == "zip");
        let zip = inside.clone().find(is_zip).map(Path::to_owned);
        let files = match zip {
            Some(zip) => vec![zip],
            None => vec![folder.join(tail).join("__init__.py"), folder.join(format!("{tail}.py"))],
        };
        files.into_iter().find_map(|file| {
            let reason = self.watch.what_became_of(&file)?;
            Some((file, reason))
        })
    }
}
