//! Which Python a worker runs.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::error::StartError;
use crate::interpreter;

/// How long an executable may take to say where it is. A launcher's script takes 0.3 s.
const LIMIT: Duration = Duration::from_secs(30);

/// Executables and what they really are: a launcher, as pyenv's shims are, costs a fifth of a second with every start.
#[derive(Debug, Default)]
pub(super) struct Pythons {
    real: Mutex<HashMap<PathBuf, PathBuf>>,
}

impl Pythons {
    /// The executable itself, asked once.
    pub(super) fn real(&self, python: &Path) -> Result<PathBuf, StartError> {
        if let Some(known) = self.lock().get(python) {
            return Ok(known.clone());
        }
        let fault = |reason: String| StartError::Python { python: python.to_owned(), reason };
        let mut command = Command::new(python);
        command.args(["-I", "-S", "-c", "import sys; print(sys.executable)"]);
        let outcome = match interpreter::run_for_output(command, LIMIT) {
            Err(error) => return Err(fault(error.to_string())),
            Ok(None) => return Err(fault(format!("it did not say where it is within {LIMIT:?}"))),
            Ok(Some(outcome)) => outcome,
        };
        let found = PathBuf::from(outcome.stdout.trim_end_matches(['\r', '\n']));
        if !found.is_absolute() || !found.is_file() {
            let said = [outcome.stdout, outcome.stderr].concat();
            return Err(fault(format!("asked where it is, it said: {}", said.trim())));
        }
        self.lock().insert(python.to_owned(), found.clone());
        Ok(found)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, PathBuf>> {
        self.real.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
