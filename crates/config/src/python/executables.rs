//! What a Python executable really is.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use parking_lot::Mutex;

use super::run;

/// How long an executable may take to say where it is. A launcher's script takes 0.3 s.
const LIMIT: Duration = Duration::from_secs(30);

/// A Python executable that cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot run Python {}: {reason}", python.display())]
#[non_exhaustive]
pub struct ExecutableError {
    /// The executable as it was chosen.
    pub python: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// Executables and what they really are: a launcher, as pyenv's shims are, costs a fifth of a second with
/// every start.
#[derive(Debug, Default)]
pub struct Executables {
    real: Mutex<HashMap<PathBuf, PathBuf>>,
}

impl Executables {
    /// The executable itself, asked once.
    ///
    /// # Errors
    /// It cannot be run, or does not say where it is.
    pub fn real(&self, python: &Path) -> Result<PathBuf, ExecutableError> {
        if let Some(known) = self.real.lock().get(python) {
            return Ok(known.clone());
        }
        let fault = |reason: String| ExecutableError { python: python.to_owned(), reason };
        let mut command = Command::new(python);
        command.args(["-I", "-S", "-c", "import sys; print(sys.executable)"]);
        let outcome = match run(command, LIMIT) {
            Err(error) => return Err(fault(error.to_string())),
            Ok(None) => return Err(fault(format!("it did not say where it is within {LIMIT:?}"))),
            Ok(Some(outcome)) => outcome,
        };
        let found = PathBuf::from(outcome.stdout.trim_end_matches(['\r', '\n']));
        if !found.is_absolute() || !found.is_file() {
            let said = [outcome.stdout, outcome.stderr].concat();
            return Err(fault(format!("asked where it is, it said: {}", said.trim())));
        }
        self.real.lock().insert(python.to_owned(), found.clone());
        Ok(found)
    }
}
