//! What the import system, `linecache` and `importlib.metadata` remember of folders and zips.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use sgtk_config::Stamp;

use super::contents;
use super::import::import_for_host;

/// Forgets all that is remembered of the paths that `is_forgotten` names.
pub(crate) fn forget(py: Python<'_>, is_forgotten: impl Fn(&str) -> bool) -> PyResult<()> {
    let caches =
        [("sys", "path_importer_cache"), ("zipimport", "_zip_directory_cache"), ("linecache", "cache")];
    for (module, cache) in caches {
        let Ok(cache) = import_for_host(py, module).and_then(|module| module.getattr(cache)) else {
            continue;
        };
        let Ok(cache) = cache.cast_into::<PyDict>() else { continue };
        for (path, _) in contents::items(&cache) {
            if path.cast::<PyString>().is_ok_and(|path| is_forgotten(&path.to_string_lossy())) {
                cache.del_item(path)?;
            }
        }
    }
    // importlib.metadata keeps the zips that it looked into open.
    let modules = import_for_host(py, "sys")?.getattr("modules")?.cast_into::<PyDict>()?;
    if let Some(metadata) = modules.get_item("importlib.metadata")? {
        metadata.getattr("MetadataPathFinder")?.call0()?.call_method0("invalidate_caches")?;
    }
    Ok(())
}

/// The zips of cores, as they were when they were last imported from.
static SEEN: LazyLock<Mutex<HashMap<PathBuf, Stamp>>> = LazyLock::new(Mutex::default);

/// Has the import system read those zips anew that are not what they were. Before a core's import.
///
/// It reads a zip's directory once: where the zip is replaced on disk, as when a core is upgraded, it would
/// look at the old places in the new file.
pub(crate) fn refresh_zips(py: Python<'_>, zips: &[PathBuf]) -> PyResult<()> {
    let mut changed = Vec::new();
    for zip in zips {
        // Newer cores put the real path on `sys.path`.
        let real = zip.canonicalize().unwrap_or_else(|_| zip.clone());
        if is_changed(&real) {
            changed.extend([zip.clone(), real]);
        }
    }
    if changed.is_empty() {
        return Ok(());
    }
    forget(py, |path| changed.iter().any(|zip| Path::new(path).starts_with(zip)))
}

fn is_changed(zip: &Path) -> bool {
    let stamp = Stamp::at(zip);
    let mut seen = SEEN.lock();
    if seen.get(zip) == Some(&stamp) {
        return false;
    }
    seen.insert(zip.to_owned(), stamp);
    true
}
