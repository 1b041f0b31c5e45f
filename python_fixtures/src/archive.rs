//! The zips that newer cores bring their libraries in.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;

use crate::sources::Entry;

/// The Pythons that a newer core has libraries for.
pub(crate) const PYTHONS: [&str; 6] = ["3.9", "3.10", "3.11", "3.12", "3.13", "3.14"];

/// Writes the entries as a zip: folders have entries of their own (without them `zipimport` finds no
/// namespace package before Python 3.13), and the same sources give the same bytes.
pub(crate) fn write_zip(path: &Path, entries: &[Entry]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let options = SimpleFileOptions::default().last_modified_time(zip::DateTime::default());
    let mut archive = zip::ZipWriter::new(fs::File::create(path)?);
    let mut folders = BTreeSet::new();
    for entry in entries {
        let name = entry.path.to_string_lossy().replace('\\', "/");
        for (end, _) in name.match_indices('/') {
            if folders.insert(name[..end].to_owned()) {
                archive.add_directory(&name[..end], options)?;
            }
        }
        archive.start_file(name, options)?;
        archive.write_all(entry.text.as_bytes())?;
    }
    archive.finish()?;
    Ok(())
}

/// The same file under another name: a hard link, or a copy where there are none.
pub(crate) fn same_file(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(drop))
}
