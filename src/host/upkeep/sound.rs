//! Whether files that were edited can be read at all, before what is in memory is given up for them.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use sgtk_config::check_yaml;

use crate::host::python::import::import_for_host;
use crate::python_error::python_error;

/// A file that cannot be read as what it is.
#[derive(Debug)]
pub(crate) struct Unsound {
    file: PathBuf,
    reason: String,
}

impl fmt::Display for Unsound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.reason)
    }
}

/// Sees that Python files compile and YAML files can be parsed. Files that are gone, and those of other
/// kinds, are passed over.
///
/// # Errors
/// The first that is not sound.
pub(crate) fn check<'a>(py: Python<'_>, files: impl Iterator<Item = &'a Path>) -> Result<(), Unsound> {
    for file in files {
        let reason = match file.extension().and_then(OsStr::to_str) {
            Some("py") => read(file).and_then(|text| compile(py, file, &text)),
            Some("yml" | "yaml") => check_yaml(file),
            _ => Ok(()),
        };
        reason.map_err(|reason| Unsound { file: file.to_owned(), reason })?;
    }
    Ok(())
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    match std::fs::read(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(|error| error.to_string()),
    }
}

fn compile(py: Python<'_>, file: &Path, text: &[u8]) -> Result<(), String> {
    let compiled = import_for_host(py, "builtins").and_then(|builtins| {
        // With nothing of the caller's own compiler flags.
        builtins.getattr("compile")?.call1((PyBytes::new(py, text), file, "exec", 0, true))
    });
    compiled.map(drop).map_err(|error| {
        let error = python_error(&error);
        format!("{}: {}", error.type_name, error.message)
    })
}
