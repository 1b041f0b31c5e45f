//! The Pythons of this machine.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// A CPython as a real executable, not a script that starts one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Python {
    /// Major and minor version.
    pub version: (u32, u32),
    /// Its `sys.executable`.
    pub executable: PathBuf,
}

/// One CPython for each version from 3.7 on, the oldest first: `PYO3_PYTHON`, and those found among pyenv's
/// or on `PATH`.
///
/// Looked for once in each process.
pub fn pythons() -> &'static [Python] {
    static FOUND: OnceLock<Vec<Python>> = OnceLock::new();
    FOUND.get_or_init(look)
}

fn look() -> Vec<Python> {
    let mut found = BTreeMap::new();
    for candidate in candidates() {
        if let Some(python) = ask(&candidate) {
            found.entry(python.version).or_insert(python);
        }
    }
    found.into_values().filter(|python| python.version >= (3, 7)).collect()
}

/// The folders of pyenv first: what it puts on `PATH` are scripts, which are slow and need not lead to a
/// Python.
fn candidates() -> Vec<PathBuf> {
    let home = |variable: &str, below: &str| env::var_os(variable).map(|home| Path::new(&home).join(below));
    let pyenv = home("PYENV_ROOT", "versions").or_else(|| home("HOME", ".pyenv/versions"));
    let versions = pyenv.into_iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|entry| entry.path().join("bin")).collect();
    folders.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    let names: Vec<String> =
        (7..=20).map(|minor| format!("python3.{minor}")).chain(["python3".into()]).collect();
    let files = folders.iter().flat_map(|folder| names.iter().map(move |name| folder.join(name)));
    let chosen = env::var_os("PYO3_PYTHON").map(PathBuf::from);
    chosen.into_iter().chain(files.filter(|file| file.is_file())).collect()
}

fn ask(candidate: &Path) -> Option<Python> {
    let script = "import sys; print(sys.implementation.name, *sys.version_info[:2]); print(sys.executable)";
    let mut command = Command::new(candidate);
    let output = command.args(["-I", "-S", "-c", script]).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut lines = text.lines();
    let words: Vec<&str> = lines.next()?.split(' ').collect();
    let ["cpython", major, minor] = words[..] else { return None };
    let version = (major.parse().ok()?, minor.parse().ok()?);
    Some(Python { version, executable: PathBuf::from(lines.next()?) })
}
