//! What a Python executable really is.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
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

/// Whether it is the interpreter itself, by its name and its first bytes, and no script that leads to one: to
/// ask it would take as long as half of a worker's start.
fn is_binary(python: &Path) -> bool {
    let is_named = python.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"python"));
    let mut first = [0; 4];
    let read = File::open(python).and_then(|mut file| file.read_exact(&mut first));
    python.is_absolute() && is_named && read.is_ok() && first == *b"\x7fELF"
}

/// Whether a variable of the environment changes which Python an executable is, or what it loads.
#[must_use]
pub fn steers_python(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b"PYTHON") || name == "__PYVENV_LAUNCHER__"
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
        if is_binary(python) {
            return Ok(python.to_owned());
        }
        let fault = |reason: String| ExecutableError { python: python.to_owned(), reason };
        let mut command = Command::new(python);
        command.args(["-I", "-S", "-c", "import sys; print(sys.executable)"]);
        // `-I` comes too late for some of them: PYTHONEXECUTABLE would be its answer.
        for (name, _) in std::env::vars_os().filter(|(name, _)| steers_python(name)) {
            command.env_remove(name);
        }
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_binary_is_taken_as_it_is_and_a_launcher_is_asked_where_it_leads() {
        let folder = tempfile::tempdir().unwrap();
        // It would not say where it is.
        let (binary, launcher) = (folder.path().join("python3"), folder.path().join("python"));
        symlink("/bin/false", &binary).unwrap();
        std::fs::write(&launcher, format!("#!/bin/sh\necho {}\n", binary.display())).unwrap();
        std::fs::set_permissions(&launcher, PermissionsExt::from_mode(0o755)).unwrap();
        let executables = Executables::default();
        assert_eq!(executables.real(&binary), Ok(binary.clone()));
        assert_eq!(executables.real(&launcher), Ok(binary));
    }
}
