//! Cores that a bootstrap starts from or leads to, named by their `python` folder.

use std::path::{Path, PathBuf};

use super::listing::STORAGE_ROOTS;
use super::resolve;
use super::{Configs, CoreKind, CoreLocation, Trail, interpreter_file, version};
use crate::ConfigError;

impl Configs {
    /// The core that a bootstrap of `target` starts from, by its `python` folder. It belongs to no project,
    /// wherever it lies: `TANK_CURRENT_PC` is not set for it.
    ///
    /// # Errors
    /// [`ConfigError::CoreIncomplete`] or [`ConfigError::Unreadable`] where the folder does not hold a core.
    // For `sgtk-host`, which imports it.
    #[doc(hidden)]
    pub fn core_to_start_from(&self, target: &str, python: &Path) -> Result<CoreLocation, ConfigError> {
        self.core_of_python_folder(target, python, None)
    }

    /// The core that Toolkit has found for `target`, by its `python` folder. Where that lies in a pipeline
    /// configuration, it is that one's.
    ///
    /// # Errors
    /// As [`Configs::core_to_start_from`].
    // For `sgtk-host`, which imports it.
    #[doc(hidden)]
    pub fn bootstrapped_core(&self, target: &str, python: &Path) -> Result<CoreLocation, ConfigError> {
        // As `tank/__init__.py` looks for it: <configuration>/install/core/python.
        let around = python.ancestors().nth(3).filter(|folder| folder.join(STORAGE_ROOTS).is_file());
        self.core_of_python_folder(target, python, around)
    }

    fn core_of_python_folder(
        &self,
        target: &str,
        python: &Path,
        configuration: Option<&Path>,
    ) -> Result<CoreLocation, ConfigError> {
        let mut trail = Trail::default();
        resolve::check_python_folder(target, python, &mut trail)?;
        let install_core = python.parent().unwrap_or(python);
        let root = install_core.ancestors().nth(2).filter(|_| install_core.ends_with("install/core"));
        let interpreter =
            root.and_then(|root| interpreter_file::read(root, self.platform, &self.environment, &mut trail));
        Ok(CoreLocation {
            project: target.to_owned(),
            kind: CoreKind::Bootstrapped,
            install_core: install_core.to_owned(),
            python: python.to_owned(),
            pipeline_configuration: configuration.map(Path::to_owned),
            has_storage_roots: configuration.is_some(),
            pointer: install_core.join(self.platform.core_pointer()),
            version: version::read(install_core, &mut trail),
            interpreter,
            trail,
        })
    }
}

impl CoreLocation {
    /// The same core, used by the pipeline configuration in that folder.
    // For `sgtk-host`: only a bootstrapped engine says which configuration it has.
    #[doc(hidden)]
    #[must_use]
    pub fn for_configuration(mut self, folder: PathBuf) -> Self {
        self.has_storage_roots = true;
        self.pipeline_configuration = Some(folder);
        self
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A core in `root`, as a localized one lies.
    fn core_in(root: &Path) -> PathBuf {
        let python = root.join("install/core/python");
        for package in ["sgtk", "tank"] {
            fs::create_dir_all(python.join(package)).unwrap();
            fs::write(python.join(package).join("__init__.py"), "").unwrap();
        }
        fs::write(root.join("install/core/info.yml"), "version: v1.2.3\n").unwrap();
        python
    }

    #[test]
    fn a_core_to_start_from_belongs_to_no_configuration_wherever_it_lies() {
        let root = tempfile::tempdir().unwrap();
        let python = core_in(root.path());
        fs::create_dir_all(root.path().join("config/core")).unwrap();
        fs::write(root.path().join("config/core/roots.yml"), "").unwrap();
        let configs = Configs::new(root.path());
        let start = configs.core_to_start_from("Project 1", &python).unwrap();
        assert_eq!((start.version(), start.current_pc()), (Some("v1.2.3"), None));
        let found = configs.bootstrapped_core("Project 1", &python).unwrap();
        assert_eq!(found.current_pc(), Some(root.path()));
        let shared = start.for_configuration("/configs/a".into());
        assert_eq!(shared.current_pc(), Some(Path::new("/configs/a")));
    }

    #[test]
    fn a_folder_without_a_core_is_named_with_what_is_missing() {
        let root = tempfile::tempdir().unwrap();
        let error =
            Configs::new(root.path()).core_to_start_from("Project 1", root.path()).unwrap_err().to_string();
        assert!(error.contains("Project 1") && error.contains(root.path().to_str().unwrap()), "{error}");
    }
}
