//! What the import system remembers of a core's zips.
//!
//! It reads a zip's directory once. Where the zip is replaced on disk, as when a core is upgraded or a cached configuration is
//! brought up to date, it would look at the old places in the new file.

use std::collections::HashMap;
use std::path::{MAIN_SEPARATOR, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use sgtk_config::Stamp;

use super::retire;

/// The zips of cores, as they were when they were last imported from.
static SEEN: Mutex<Option<HashMap<PathBuf, Stamp>>> = Mutex::new(None);

/// Has the import system read those zips anew that are not what they were. Before a core's import.
pub(super) fn refresh(py: Python<'_>, zips: &[PathBuf]) -> PyResult<()> {
    let mut changed = Vec::new();
    for zip in zips {
        // Newer cores put the real path on `sys.path`.
        let real = zip.canonicalize().unwrap_or_else(|_| zip.clone());
        if is_changed(&real) {
            changed.extend([zip.clone(), real]);
        }
    }
    let paths = changed.iter().filter_map(|zip| zip.to_str());
    let roots: Vec<String> = paths.map(|zip| format!("{zip}{MAIN_SEPARATOR}")).collect();
    if roots.is_empty() { Ok(()) } else { retire::forget_paths(py, &roots.iter().collect::<Vec<_>>()) }
}

fn is_changed(zip: &Path) -> bool {
    let stamp = Stamp::at(zip);
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let seen = seen.get_or_insert_default();
    if seen.get(zip) == Some(&stamp) {
        return false;
    }
    seen.insert(zip.to_owned(), stamp);
    true
}
