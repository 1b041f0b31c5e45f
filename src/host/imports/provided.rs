//! The libraries that a core brings along.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use parking_lot::Mutex;
use pyo3::prelude::*;
use sgtk_config::{CoreLocation, Stamp};

use crate::host::python::import::import_for_host;
use crate::host::python::import_caches;
use crate::host::python::modules::is_standard_name;

/// The top-level names in the zips of libraries that the core brings along for the running Python.
///
/// Newer cores import them under their real names, and take what is there already instead of their own: so
/// these are the names to hide from the first import. The zips are looked at anew where they have changed.
/// Where they are, and that a missing or damaged one is passed over, is the core's own rule.
pub(super) fn provided_names(py: Python<'_>, location: &CoreLocation) -> PyResult<HashSet<String>> {
    let core = location.install_core();
    let version = py.version_info();
    let folders = [
        core.join("requirements").join(format!("{}.{}", version.major, version.minor)),
        core.join("requirements").join("any"),
        core.join("python").join("tank_vendor").join("vendor_any"),
    ];
    let zips: Vec<PathBuf> = folders.iter().flat_map(|folder| zips_in(folder)).collect();
    import_caches::refresh_zips(py, &zips)?;
    let mut names = HashSet::new();
    for zip in zips {
        match known_names(py, &zip) {
            Ok(found) => names.extend(found),
            Err(error) => tracing::warn!(zip = %zip.display(), %error, "cannot read a zip of libraries"),
        }
    }
    // Those are everybody's, also where a zip has a module of the same name.
    names.retain(|name| !is_standard_name(py, name));
    Ok(names)
}

fn zips_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.map(|entry| entry.path());
    files.filter(|file| file.extension().is_some_and(|extension| extension == "zip")).collect()
}

/// The names in zips, each as it was when it was looked at.
static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);

type Known = HashMap<PathBuf, (Stamp, HashSet<String>)>;

fn known_names(py: Python<'_>, zip: &Path) -> PyResult<HashSet<String>> {
    let stamp = Stamp::at(zip);
    if let Some((seen, names)) = KNOWN.lock().get(zip)
        && *seen == stamp
    {
        return Ok(names.clone());
    }
    let names = zip_names(py, zip)?;
    KNOWN.lock().insert(zip.to_owned(), (stamp, names.clone()));
    Ok(names)
}

fn zip_names(py: Python<'_>, zip: &Path) -> PyResult<HashSet<String>> {
    let archive = import_for_host(py, "zipfile")?.getattr("ZipFile")?.call1((zip,))?;
    let names = archive.call_method0("namelist").and_then(|names| names.extract::<Vec<String>>());
    archive.call_method0("close")?;
    let tops = names?.into_iter().filter_map(|name| {
        let top = name.split('/').next()?;
        let top = top.strip_suffix(".py").unwrap_or(top);
        let is_name = !top.is_empty() && top.chars().all(|c| c == '_' || c.is_alphanumeric());
        (is_name && top != "__pycache__").then(|| top.to_owned())
    });
    Ok(tops.collect())
}
