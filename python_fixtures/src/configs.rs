//! A folder of pipeline configurations.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;

use crate::broken::Broken;
use crate::core::Core;
use crate::sources::{read_tree, source, write};

/// The first of [`bundled_versions`]'s projects has this number on the site, those that follow the next ones.
const BUNDLED_ID: u32 = 69;

const PLATFORMS: [&str; 3] = ["Linux", "Darwin", "Windows"];

/// A folder of pipeline configurations (`configs/`) and, beside it, one of shared cores (`cores/<version>`).
///
/// Every method lays down its files anew, so calling one again for the same project replaces what was there.
pub struct Configs {
    root: PathBuf,
    /// What was laid down where, by the folder that has `install/core`.
    laid: Mutex<HashMap<PathBuf, Core>>,
    _temporary: Option<TempDir>,
}

impl Configs {
    /// In a temporary folder, which goes when this value does.
    ///
    /// # Errors
    ///
    /// When the folder can't be made.
    pub fn new() -> io::Result<Configs> {
        let folder = tempfile::Builder::new().prefix("sgtk-host-").tempdir()?;
        // Without symbolic links in it, so that Python's idea of the path and ours are the same.
        let root = folder.path().canonicalize()?;
        fs::create_dir_all(root.join("configs"))?;
        Ok(Configs { root, laid: Mutex::default(), _temporary: Some(folder) })
    }

    /// In a folder that stays: `<root>/configs` and `<root>/cores`.
    ///
    /// # Errors
    ///
    /// When the folder can't be made.
    pub fn at(root: impl Into<PathBuf>) -> io::Result<Configs> {
        let root = root.into();
        fs::create_dir_all(root.join("configs"))?;
        Ok(Configs { root, laid: Mutex::default(), _temporary: None })
    }

    /// The folder of everything: of the configurations and the shared cores.
    pub fn root(&self) -> PathBuf {
        self.root.clone()
    }

    /// The folder of the configurations: what `SHOTGUN_BASE` names.
    pub fn base(&self) -> PathBuf {
        self.root.join("configs")
    }

    /// The same folder by another path, which leads through a symbolic link. A newer core puts the real paths
    /// of its zips on `sys.path` all the same.
    ///
    /// # Errors
    ///
    /// When the link can't be made.
    #[cfg(unix)]
    pub fn linked_base(&self) -> io::Result<PathBuf> {
        let link = self.root.join("linked");
        if !link.exists() {
            std::os::unix::fs::symlink(self.base(), &link)?;
        }
        Ok(link)
    }

    /// The configuration of a project.
    pub fn config(&self, project: &str) -> PathBuf {
        self.base().join(project)
    }

    /// The folder that a pointer to this shared core names; it has `install/core`.
    pub fn shared(&self, core: &Core) -> PathBuf {
        self.root.join("cores").join(core.version())
    }

    /// The `python` folder below the folder of a configuration or of a shared core.
    pub fn python(folder: &Path) -> PathBuf {
        folder.join("install").join("core").join("python")
    }

    /// A configuration that holds its core itself.
    ///
    /// # Errors
    ///
    /// As all that follow: when a file can't be read or written.
    pub fn localized(&self, project: &str, core: &Core) -> io::Result<PathBuf> {
        let config = self.settings(project)?;
        self.lay(core, &config)?;
        Ok(config)
    }

    /// A configuration attached to the shared core of that version, which is laid down unless it is there:
    /// pointers for the three platforms, and API proxies in `install/core/python`.
    pub fn attached(&self, project: &str, core: &Core) -> io::Result<PathBuf> {
        let config = self.settings(project)?;
        let shared = self.shared(core);
        if self.laid().get(&shared) != Some(core) {
            self.lay(core, &shared)?;
        }
        let install = config.join("install").join("core");
        if install.exists() {
            fs::remove_dir_all(&install)?;
        }
        for entry in read_tree(&source("cores/proxy"), &[])? {
            write(&install.join(&entry.path), &entry.text)?;
        }
        self.pointer(project, shared.to_string_lossy().as_ref())?;
        Ok(config)
    }

    /// A configuration that neither holds a core nor points to one: it gets the studio's.
    pub fn unattached(&self, project: &str) -> io::Result<PathBuf> {
        let config = self.settings(project)?;
        let install = config.join("install").join("core");
        if install.exists() {
            fs::remove_dir_all(&install)?;
        }
        fs::create_dir_all(&install)?;
        Ok(config)
    }

    /// The studio's core, the default of all configurations. It lies in no configuration: there is no
    /// `roots.yml`.
    pub fn studio(&self, core: &Core) -> io::Result<PathBuf> {
        let studio = self.base().join("studio");
        self.lay(core, &studio)?;
        Ok(studio)
    }

    /// A localized configuration whose core, of the newer generation and version `v0.99.0`, is broken.
    pub fn broken(&self, project: &str, broken: Broken) -> io::Result<PathBuf> {
        self.localized(project, &Core::newer("v0.99.0").broken(broken))
    }

    /// Lays a project's broken core down again, of the same version and with nothing wrong.
    pub fn repair(&self, project: &str) -> io::Result<()> {
        let folder = self.core_folder(project)?;
        let core = self.laid().get(&folder).cloned();
        let core = core.ok_or_else(|| io::Error::other(format!("no core was laid for {project}")))?;
        self.lay(&core.repaired(), &folder)
    }

    /// Replaces the core where it lies: the project's own, the shared one that it points to (its folder keeps
    /// the old version's name), or the studio's.
    pub fn upgrade(&self, project: &str, core: &Core) -> io::Result<()> {
        let folder = self.core_folder(project)?;
        self.lay(core, &folder)
    }

    /// Points an attached configuration to another shared core, which is laid down unless it is there.
    pub fn repoint(&self, project: &str, core: &Core) -> io::Result<()> {
        let shared = self.shared(core);
        if self.laid().get(&shared) != Some(core) {
            self.lay(core, &shared)?;
        }
        self.pointer(project, shared.to_string_lossy().as_ref())
    }

    /// Writes the pointer files of the three platforms with exactly these contents.
    pub fn pointer(&self, project: &str, contents: impl AsRef<[u8]>) -> io::Result<()> {
        let install = self.config(project).join("install").join("core");
        for platform in PLATFORMS {
            write(&install.join(format!("core_{platform}.cfg")), contents.as_ref())?;
        }
        Ok(())
    }

    /// Names the Python that a configuration or, given its folder, a shared core wants, on all three
    /// platforms.
    pub fn interpreter(&self, folder: &Path, python: &str) -> io::Result<()> {
        for platform in PLATFORMS {
            write(&folder.join("config/core").join(format!("interpreter_{platform}.cfg")), python)?;
        }
        Ok(())
    }

    /// Has a configuration say which project of the site it is for: the number, the tank name, which may have
    /// slashes, and the configuration's own name (`Primary`, `Dev`).
    pub fn project(&self, folder: &str, id: u32, tank_name: &str, configuration: &str) -> io::Result<()> {
        let file = self.config(folder).join("config").join("core").join("pipeline_configuration.yml");
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-/".contains(c);
        let quote = if tank_name.chars().all(is_plain) { "" } else { "\"" };
        let text = format!(
            "project_name: {quote}{tank_name}{quote}\nproject_id: {id}\npc_name: {configuration}\npc_id: \
             {}\n",
            id + 1000
        );
        write(&file, text)
    }

    /// The configuration's own settings.
    fn settings(&self, project: &str) -> io::Result<PathBuf> {
        let config = self.config(project);
        let folder = config.join("config").join("core");
        write(&folder.join("roots.yml"), format!("primary: /projects/{project}\n"))?;
        // What the site's numbers are does not matter, but no two projects have the same.
        let known = bundled_versions().iter().position(|(name, _)| *name == project);
        match known.and_then(|index| u32::try_from(index).ok()) {
            Some(index) => self.project(project, BUNDLED_ID + index, project, "Primary")?,
            None => {
                write(&folder.join("pipeline_configuration.yml"), format!("project_name: {project}\n"))?;
            }
        }
        Ok(config)
    }

    /// The folder whose `install/core` is the project's core.
    fn core_folder(&self, project: &str) -> io::Result<PathBuf> {
        let config = self.config(project);
        let install = config.join("install").join("core");
        if install.join("_core_upgrader.py").exists() {
            return Ok(config);
        }
        match fs::read_to_string(install.join("core_Linux.cfg")) {
            Ok(pointer) => Ok(PathBuf::from(pointer.trim())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(self.base().join("studio")),
            Err(error) => Err(error),
        }
    }

    fn lay(&self, core: &Core, folder: &Path) -> io::Result<()> {
        core.lay(folder)?;
        self.laid().insert(folder.to_owned(), core.clone());
        Ok(())
    }

    fn laid(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, Core>> {
        self.laid.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The mix that the examples use: `project_a` localized and newer, `project_b` attached and older,
/// `project_c` on the studio's older core, `project_d` localized and of another newer version, `project_e`
/// and `project_f` attached to the same newer core. The cores of [`bundled_versions`].
///
/// # Errors
///
/// When a file can't be read or written.
pub fn bundled() -> io::Result<Configs> {
    let configs = Configs::new()?;
    lay_bundled(&configs)?;
    Ok(configs)
}

/// Lays [`bundled`]'s mix in a folder of one's own.
///
/// # Errors
///
/// When a file can't be read or written.
pub fn lay_bundled(configs: &Configs) -> io::Result<()> {
    configs.localized("project_a", &Core::newer("v0.24.0"))?;
    configs.attached("project_b", &Core::older("v0.22.5"))?;
    configs.studio(&Core::older("v0.20.35"))?;
    configs.unattached("project_c")?;
    configs.localized("project_d", &Core::newer("v0.23.8"))?;
    configs.attached("project_e", &Core::newer("v0.23.10"))?;
    configs.attached("project_f", &Core::newer("v0.23.10"))?;
    Ok(())
}

/// The projects of [`bundled`] and the version of each one's core. They say that they are the site's projects
/// 69 to 74.
pub fn bundled_versions() -> [(&'static str, &'static str); 6] {
    [
        ("project_a", "v0.24.0"),
        ("project_b", "v0.22.5"),
        ("project_c", "v0.20.35"),
        ("project_d", "v0.23.8"),
        ("project_e", "v0.23.10"),
        ("project_f", "v0.23.10"),
    ]
}
