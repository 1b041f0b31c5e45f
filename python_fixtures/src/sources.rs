//! The files of this crate, and how they are laid down elsewhere.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A file or folder of this crate.
pub(crate) fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Event plugins as shotgunEvents has them; each says `import sgtk` at the top.
pub fn plugins() -> PathBuf {
    source("plugins")
}

/// Modules of project code that are no plugins: `by_hand` works on the import system as bundles and studio
/// tools do.
pub fn project_code() -> PathBuf {
    source("project_code")
}

/// Plugins for worker processes, each of which does harm in ways of its own (`bad_*`), and `told`, which does
/// none and tells about its process.
pub fn misbehaving_plugins() -> PathBuf {
    source("plugins_misbehaving")
}

/// Events of several projects, one JSON object a line (`id`, `type`, `project`, `entity`).
pub fn events() -> PathBuf {
    source("events.jsonl")
}

/// The published recipe as a Python module.
pub fn recipe() -> PathBuf {
    source("recipe/published.py")
}

/// A folder for `sys.path` with what a daemon may have imported itself and whose names start like Toolkit's
/// (`tankobon`, `sgtk_studio_utils`), and with `fixture_gate` (see [`Broken::Hangs`](crate::Broken::Hangs)).
pub fn host_packages() -> PathBuf {
    source("host_packages")
}

/// A folder for `sys.path` with libraries of the daemon (`yaml`, `shotgun_api3`) that the newer cores vendor
/// too; their `CORE_VERSION` is `"host"`.
pub fn host_libraries() -> PathBuf {
    source("host_libraries")
}

/// What a file says and where it belongs, relative to the folder that is laid down.
pub(crate) struct Entry {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// All files below a folder of this crate in the order of their paths, placeholders (`@NAME@`) replaced.
pub(crate) fn read_tree(folder: &Path, placeholders: &[(&str, &str)]) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    collect(folder, folder, placeholders, &mut entries)?;
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

fn collect(
    root: &Path,
    folder: &Path,
    placeholders: &[(&str, &str)],
    into: &mut Vec<Entry>,
) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if !path.ends_with("__pycache__") {
                collect(root, &path, placeholders, into)?;
            }
            continue;
        }
        let mut text = fs::read_to_string(&path)?;
        for (name, value) in placeholders {
            text = text.replace(name, value);
        }
        let path = path.strip_prefix(root).expect("a file below the folder").to_owned();
        into.push(Entry { path, text });
    }
    Ok(())
}

/// Writes a file and the folders that it needs.
pub(crate) fn write(path: &Path, text: impl AsRef<[u8]>) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}
