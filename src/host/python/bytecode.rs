//! Compiled code beside sources that were edited.
//!
//! Python takes compiled code for that of a source with the same size and the same second of its last change.
//! A file that is edited twice in one second, as programs do, would be the old one for good.

use std::fs;
use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use sgtk_config::looks_current;

use super::import::import_for_host;

/// Removes the compiled code of those sources for which Python would take it, as it cannot be told whether it
/// is theirs. Where it cannot be removed it stays.
pub(crate) fn forget<'a>(py: Python<'_>, sources: impl Iterator<Item = &'a Path>) -> PyResult<()> {
    let place = import_for_host(py, "importlib.util")?.getattr("cache_from_source")?;
    for source in sources.filter(|source| source.extension().is_some_and(|end| end == "py")) {
        let compiled: PathBuf = place.call1((source,))?.extract()?;
        if looks_current(source, &compiled) {
            drop(fs::remove_file(compiled));
        }
    }
    Ok(())
}
