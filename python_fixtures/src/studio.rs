//! A studio with distributed configurations: a core to start from, projects with cores of their own, and a
//! site.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;

use crate::bundles::{AppBundle, EngineBundle};
use crate::configs::Configs;
use crate::core::Core;
use crate::site::{PipelineConfiguration, Site};
use crate::sources::write;

/// A temporary folder with a core that belongs to no project, configurations with cores of their own, a
/// folder for `SHOTGUN_HOME`, and a [`Site`] that knows them. It goes when this value does.
///
/// The site lets the script [`Studio::SCRIPT`] in with [`Studio::KEY`].
pub struct Studio {
    root: PathBuf,
    site: Site,
    /// The shared cores, each with its folder.
    laid: Mutex<Vec<(PathBuf, Core)>>,
    _temporary: TempDir,
}

/// A project that can be bootstrapped.
#[derive(Clone, Debug)]
#[must_use = "a project is laid down by `Studio::project`"]
pub struct Project {
    id: i64,
    name: String,
    core: Core,
    engine: EngineBundle,
    apps: Vec<AppBundle>,
    way: Way,
}

/// How a project's configuration is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// The site has a pipeline configuration with its descriptor, for the plug-ins `basic.*`.
    Registered,
    /// The site has none: `base_configuration` has to name it.
    Unregistered,
    /// The site has one with a path: a centralized configuration that holds its core.
    Centralized,
    /// The same, attached to a shared core.
    Attached,
}

impl Project {
    /// With the good engine and the app [`AppBundle::Versions`], registered on the site with a descriptor.
    pub fn new(id: i64, name: &str, core: Core) -> Project {
        let (engine, apps) = (EngineBundle::Shell, vec![AppBundle::Versions]);
        Project { id, name: name.to_owned(), core, engine, apps, way: Way::Registered }
    }

    /// Another engine.
    pub fn engine(mut self, engine: EngineBundle) -> Project {
        self.engine = engine;
        self
    }

    /// One more app.
    pub fn app(mut self, app: AppBundle) -> Project {
        self.apps.push(app);
        self
    }

    /// The site knows the project, but no configuration of it: [`Studio::descriptor`] has to be the base
    /// configuration.
    pub fn unregistered(mut self) -> Project {
        self.way = Way::Unregistered;
        self
    }

    /// With a centralized configuration that holds its core.
    pub fn centralized(mut self) -> Project {
        self.way = Way::Centralized;
        self
    }

    /// With a centralized configuration that is attached to a shared core.
    pub fn attached(mut self) -> Project {
        self.way = Way::Attached;
        self
    }
}

impl Studio {
    /// The name of the script that the site lets in.
    pub const SCRIPT: &str = "daemon";

    /// Its key.
    pub const KEY: &str = "fixture-key-that-must-not-be-told";

    /// A studio without projects, with this core to start from.
    ///
    /// # Errors
    ///
    /// As all that follow: when a file can't be read or written, or the site does not do what it is told to.
    pub fn new(starting: &Core) -> io::Result<Studio> {
        let temporary = tempfile::Builder::new().prefix("sgtk-studio-").tempdir()?;
        // Without symbolic links in it, so that Python's idea of the path and ours are the same.
        let root = temporary.path().canonicalize()?;
        starting.lay(&root.join("start"))?;
        fs::create_dir_all(root.join("home"))?;
        fs::create_dir_all(root.join("storage"))?;
        let site = Site::start()?;
        site.script_user(Studio::SCRIPT, Studio::KEY)?;
        site.local_storage(1, "primary", &root.join("storage"))?;
        Ok(Studio { root, site, laid: Mutex::default(), _temporary: temporary })
    }

    /// The site.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// The `python` folder of the core to start from.
    pub fn start(&self) -> PathBuf {
        Configs::python(&self.root.join("start"))
    }

    /// The temporary folder of everything.
    pub fn root(&self) -> PathBuf {
        self.root.clone()
    }

    /// What `SHOTGUN_HOME` has to be.
    pub fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    /// The folder of a project's configuration: what the descriptor names, or the centralized one.
    pub fn configuration(&self, id: i64) -> PathBuf {
        self.root.join("configurations").join(id.to_string())
    }

    /// The descriptor of a project's configuration.
    pub fn descriptor(&self, id: i64) -> String {
        format!("sgtk:descriptor:path?path={}", self.configuration(id).display())
    }

    /// The folder of a project on its storage, by its name.
    pub fn project_path(&self, name: &str) -> PathBuf {
        self.root.join("storage").join(name)
    }

    /// Lays a project's configuration down, replacing what is there, and tells the site.
    pub fn project(&self, project: &Project) -> io::Result<()> {
        let configuration = self.configuration(project.id);
        if configuration.exists() {
            fs::remove_dir_all(&configuration)?;
        }
        fs::create_dir_all(self.project_path(&project.name))?;
        self.site.project(project.id, &project.name)?;
        match project.way {
            Way::Registered | Way::Unregistered => self.distributed(project, &configuration)?,
            Way::Centralized | Way::Attached => self.centralized(project, &configuration)?,
        }
        let on_site = PipelineConfiguration::new(project.id + 1000).project(project.id);
        match project.way {
            Way::Registered => self.site.pipeline_configuration(
                on_site.plugin_ids("basic.*").descriptor(&self.descriptor(project.id)),
            ),
            Way::Unregistered => self.site.remove("PipelineConfiguration", project.id + 1000),
            Way::Centralized | Way::Attached => {
                self.site.pipeline_configuration(on_site.path(&configuration))
            }
        }
    }

    fn distributed(&self, project: &Project, folder: &Path) -> io::Result<()> {
        let core = self.shared(&project.core)?.join("install").join("core");
        write(
            &folder.join("core/core_api.yml"),
            format!("location:\n  type: path\n  path: {}\n", core.display()),
        )?;
        write(&folder.join("core/roots.yml"), "primary: primary\n")?;
        environments(project, &folder.join("env"))
    }

    fn centralized(&self, project: &Project, folder: &Path) -> io::Result<()> {
        let config = folder.join("config");
        let storage = self.project_path(&project.name);
        write(&config.join("core/roots.yml"), format!("primary: {}\n", storage.display()))?;
        write(
            &config.join("core/pipeline_configuration.yml"),
            format!(
                "project_name: {}\nproject_id: {}\npc_name: Primary\npc_id: {}\n",
                project.name,
                project.id,
                project.id + 1000
            ),
        )?;
        environments(project, &config.join("env"))?;
        if project.way == Way::Centralized {
            return project.core.lay(folder).map(drop);
        }
        let shared = self.shared(&project.core)?;
        for platform in ["Linux", "Darwin", "Windows"] {
            let pointer = folder.join("install/core").join(format!("core_{platform}.cfg"));
            write(&pointer, shared.to_string_lossy().as_bytes())?;
        }
        Ok(())
    }

    /// The folder of a core for all who want the same one. One that is there is never replaced, as it may be
    /// in use.
    fn shared(&self, core: &Core) -> io::Result<PathBuf> {
        let mut laid = self.laid.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((folder, _)) = laid.iter().find(|(_, other)| other == core) {
            return Ok(folder.clone());
        }
        let same_version = laid.iter().filter(|(_, other)| other.version() == core.version()).count();
        let name = match same_version {
            0 => core.version().to_owned(),
            others => format!("{}-{}", core.version(), others + 1),
        };
        let folder = self.root.join("cores").join(name);
        core.lay(&folder)?;
        laid.push((folder.clone(), core.clone()));
        Ok(folder)
    }
}

/// Both environments with the project's engine and apps.
fn environments(project: &Project, folder: &Path) -> io::Result<()> {
    let mut text = format!(
        "engines:\n  tk-shell:\n    location:\n      type: path\n      path: {}\n    apps:\n",
        project.engine.folder().display()
    );
    for app in &project.apps {
        let (name, folder) = (app.name(), app.folder());
        let _ = write!(
            text,
            "      {name}:\n        location:\n          type: path\n          path: {}\n",
            folder.display()
        );
    }
    write(&folder.join("project.yml"), &text)?;
    write(&folder.join("site.yml"), &text)
}
