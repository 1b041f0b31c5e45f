//! Which core belongs to a project, from files alone.
//!
//! A centralized pipeline configuration is a folder for each project below one base folder. Its core is found
//! by three rules, tried in order:
//!
//! 1. **localized**: `<config>/install/core/_core_upgrader.py` exists, so the core lies inside the
//!    configuration;
//! 2. **attached**: `<config>/install/core/core_Linux.cfg` (or `core_Darwin.cfg`, `core_Windows.cfg`) names
//!    the folder whose `install/core` is the core;
//! 3. **studio**: neither, and nothing shows that there was one, so it is `<base>/studio/install/core`.
//!
//! The rules and their order are those of the recipe in ShotGrid's developer documentation ("How can I load
//! different Toolkit core modules using the shotgunEvent daemon?"); how a pointer file reads is taken from
//! `tk-core` itself. What those two leave open (a pointer that cannot be followed, a link to nowhere, a core
//! that is being upgraded) is an error here and never another project's core.
//!
//! ```
//! use sgtk_config::{Configs, CoreKind};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let core = folder.path().join("project_a/install/core");
//! # for package in ["sgtk", "tank"] {
//! #     std::fs::create_dir_all(core.join("python").join(package))?;
//! #     std::fs::write(core.join("python").join(package).join("__init__.py"), "")?;
//! # }
//! # std::fs::write(core.join("_core_upgrader.py"), "")?;
//! # let base = folder.path();
//! let configs = Configs::new(base);
//! let core = configs.locate("project_a")?;
//! assert_eq!(core.kind(), CoreKind::Localized);
//! assert_eq!(core.python(), base.join("project_a/install/core/python"));
//! println!("{}", core.trail());
//! # Ok(())
//! # }
//! ```

mod bootstrapped;
mod configs;
mod evidence;
mod fallback;
mod folder_watch;
mod footprint;
mod interpreter_file;
mod interrupted;
mod listing;
mod location;
mod memory;
mod overview;
mod pointer;
mod project_watch;
mod resolve;
mod trail;
mod version;
mod watch;
mod whole;

pub use configs::Configs;
pub use fallback::StudioFallback;
pub use folder_watch::{ChangedFiles, FolderWatch};
pub use location::{CoreKind, CoreLocation};
pub use overview::Listed;
pub use project_watch::{Changed, ProjectWatch, snapshot};
pub use trail::{Rule, Step, Trail};
pub use watch::CoreWatch;
pub use whole::{BeforeImport, CoreChanging, CoresOnDisk};
