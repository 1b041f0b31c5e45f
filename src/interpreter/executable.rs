//! Which Python executable to run as, where none is chosen.

use std::path::{Path, PathBuf};

use super::error::InterpreterError;
use super::library;
use super::version::PythonVersion;

/// The Python that the loaded libpython belongs to. Never one from `PATH`: what comes first there depends on
/// who starts the daemon.
pub(super) fn default(version: PythonVersion) -> Result<PathBuf, InterpreterError> {
    let linked = option_env!("SGTK_HOST_LINKED_PYTHON").map(PathBuf::from);
    let loaded = library::loaded();
    let beside = loaded.iter().flat_map(|path| beside(path, version));
    // A daemon that was shipped with a libpython of its own is not to take the standard library of another
    // Python that happens to lie where the linked one did.
    let candidates: Vec<PathBuf> = match &loaded {
        Some(loaded) if library::is_elsewhere(loaded) => beside.chain(linked).collect(),
        _ => linked.into_iter().chain(beside).collect(),
    };
    match candidates.iter().find(|path| path.is_file()) {
        Some(found) => Ok(found.clone()),
        None => Err(InterpreterError::NoExecutable { version, tried: candidates }),
    }
}

/// `bin/python3.x` under the folders above libpython, nearest first: a prefix has it in `lib`, Debian in
/// `lib/x86_64-linux-gnu`, a macOS framework at its top.
fn beside(library: &Path, version: PythonVersion) -> impl Iterator<Item = PathBuf> {
    let name = format!("python{}.{}", version.major, version.minor);
    library.ancestors().skip(1).take(3).map(move |folder| folder.join("bin").join(&name))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{PythonVersion, beside};

    #[test]
    fn the_executable_is_looked_for_in_the_prefix_of_the_library() {
        let version = PythonVersion::new(3, 11, 7);
        let found: Vec<PathBuf> =
            beside(Path::new("/usr/lib/x86_64-linux-gnu/libpython3.11.so.1.0"), version).collect();
        assert_eq!(found.last(), Some(&PathBuf::from("/usr/bin/python3.11")));
        assert_eq!(
            beside(Path::new("/opt/py/lib/libpython3.11.so"), version).nth(1),
            Some(PathBuf::from("/opt/py/bin/python3.11")),
        );
    }
}
