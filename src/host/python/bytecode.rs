//! Compiled code beside sources that were edited.
//!
//! Python takes compiled code for that of a source with the same size and the same second of its last change. A file that is
//! edited twice in one second, as programs do, would be the old one for good.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use pyo3::prelude::*;

use super::import::import_for_host;

/// Removes the compiled code of those sources for which Python would take it, as it cannot be told whether it is theirs.
/// Where it cannot be removed it stays.
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

/// Whether the head of a file of compiled code names the source's time and size (PEP 552).
fn looks_current(source: &Path, compiled: &Path) -> bool {
    let Ok(head) = read_head(compiled) else { return false };
    let Ok(metadata) = fs::metadata(source) else { return false };
    let seconds = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let number =
        |at: usize| -> Option<u32> { Some(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?)) };
    // As Python has them: the lowest 32 bits.
    number(4) == Some(0)
        && number(8) == seconds.map(|time| time.as_secs() as u32)
        && number(12) == Some(metadata.len() as u32)
}

fn read_head(file: &Path) -> std::io::Result<[u8; 16]> {
    let mut head = [0; 16];
    std::io::Read::read_exact(&mut fs::File::open(file)?, &mut head)?;
    Ok(head)
}
