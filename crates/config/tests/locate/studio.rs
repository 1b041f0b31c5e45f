//! A folder of configurations, made for one test.

use std::fs;
use std::path::{Path, PathBuf};

use sgtk_config::{Configs, Platform};
use tempfile::TempDir;

pub(crate) const PLATFORMS: [Platform; 3] = [Platform::Linux, Platform::Darwin, Platform::Windows];

/// Configurations below `configs`, and beside that folder what is to be out of reach for a project's name.
pub(crate) struct Studio {
    folder: TempDir,
}

impl Studio {
    /// Nothing but the folders.
    pub(crate) fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("configs")).unwrap();
        Self { folder }
    }

    /// With a studio core.
    pub(crate) fn new() -> Self {
        let studio = Self::empty();
        studio.core("configs/studio");
        studio
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// The configurations as Linux sees them, with an environment of their own.
    pub(crate) fn configs(&self) -> Configs {
        let folder = self.folder.path();
        Configs::new(self.path("configs")).platform(Platform::Linux).variables([
            ("STUDIO", folder),
            ("HOME", folder),
            ("USERPROFILE", folder),
        ])
    }

    pub(crate) fn write(&self, path: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, contents).unwrap();
        path
    }

    /// What every core has, in `<root>/install/core`.
    pub(crate) fn core(&self, root: &str) -> PathBuf {
        for file in ["python/sgtk/__init__.py", "python/tank/__init__.py"] {
            self.write(&format!("{root}/install/core/{file}"), "");
        }
        self.path(root)
    }

    /// A configuration with a core of its own.
    pub(crate) fn localized(&self, project: &str) -> PathBuf {
        self.write(&format!("configs/{project}/install/core/_core_upgrader.py"), "");
        self.pipeline_configuration(project);
        self.core(&format!("configs/{project}"))
    }

    /// A configuration that names `pointer` on Linux, with the API proxies that Toolkit puts there.
    pub(crate) fn attached(&self, project: &str, pointer: impl AsRef<[u8]>) -> PathBuf {
        self.core(&format!("configs/{project}"));
        self.pipeline_configuration(project);
        self.write(&format!("configs/{project}/install/core/core_Linux.cfg"), pointer)
    }

    /// What makes Toolkit take the project's folder for a pipeline configuration.
    pub(crate) fn pipeline_configuration(&self, project: &str) {
        self.write(&format!("configs/{project}/config/core/roots.yml"), "{}");
    }
}

/// `path` as an absolute one by `platform`'s rules.
pub(crate) fn spelled(path: &Path, platform: Platform) -> String {
    let path = path.to_str().unwrap();
    if platform == Platform::Windows { format!("/{path}") } else { path.to_owned() }
}
