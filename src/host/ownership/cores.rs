//! Whether a path lies in a Toolkit core.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// Which folders hold a core, as far as it was asked.
static CORES: LazyLock<Mutex<HashMap<PathBuf, bool>>> = LazyLock::new(Mutex::default);

/// The install folder of the Toolkit core that a path lies in: its code, or the libraries that it brings
/// along.
///
/// A core is told by the layout around it and not by the mere presence of a `tank` package, as it may be
/// installed among other packages in `site-packages`.
pub(crate) fn core_of(path: &Path) -> Option<&Path> {
    if !path.is_absolute() {
        return None;
    }
    path.ancestors()
        .skip(1)
        .find(|core| is_install_core(core) || is_in_core_layout(path, core) && is_core(core))
}

/// Whether an entry of `sys.path` leads into a Toolkit core.
pub(crate) fn is_core_entry(entry: &Bound<'_, PyAny>) -> bool {
    entry.cast::<PyString>().is_ok_and(|entry| core_of(Path::new(entry.to_string_lossy().as_ref())).is_some())
}

/// `install/core` is a core's folder, also while its files are being replaced.
fn is_install_core(folder: &Path) -> bool {
    let name = |folder: &Path, wanted: &str| folder.file_name().is_some_and(|name| name == wanted);
    name(folder, "core") && folder.parent().is_some_and(|install| name(install, "install"))
}

/// Whether a path lies where the core's code and libraries lie in a core at `core`.
fn is_in_core_layout(path: &Path, core: &Path) -> bool {
    let Ok(inside) = path.strip_prefix(core) else { return false };
    inside == Path::new("python")
        || ["requirements", "python/tank", "python/sgtk", "python/tank_vendor"]
            .iter()
            .any(|folder| inside.starts_with(folder))
}

fn is_core(folder: &Path) -> bool {
    if let Some(known) = CORES.lock().get(folder) {
        return *known;
    }
    let is_core = folder.join("python").join("tank").join("__init__.py").is_file();
    CORES.lock().insert(folder.to_owned(), is_core);
    is_core
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_path_lies_in_a_core_by_the_layout_around_it() {
        let folder = tempfile::tempdir().unwrap();
        let core = folder.path().join("tk-core");
        let site_packages = folder.path().join("site-packages");
        for tank in [core.join("python/tank"), site_packages.join("tank")] {
            fs::create_dir_all(&tank).unwrap();
            fs::write(tank.join("__init__.py"), "").unwrap();
        }
        for inside in ["python", "python/tank/util/late.py", "requirements/any/yaml.zip"] {
            assert_eq!(core_of(&core.join(inside)), Some(core.as_path()), "{inside}");
        }
        for outside in [core.join("python/plugins/x.py"), core.join("hooks"), site_packages.join("tank")] {
            assert_eq!(core_of(&outside), None, "{}", outside.display());
        }
    }

    #[test]
    #[cfg(unix)]
    fn an_installed_core_is_one_while_its_files_are_replaced() {
        let path = Path::new("/configs/a/install/core/python/tank/api.py");
        assert_eq!(core_of(path), Some(Path::new("/configs/a/install/core")));
    }
}
