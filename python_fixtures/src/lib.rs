//! Small Toolkit cores with the hazards of the real ones, and what tests need to use them.
//!
//! ```
//! use sgtk_host_fixtures::{Broken, Configs, Core};
//!
//! let configs = Configs::new()?;
//! configs.localized("project_a", &Core::newer("v0.24.0"))?;
//! configs.attached("project_b", &Core::older("v0.22.5"))?;
//! configs.studio(&Core::older("v0.20.35"))?;
//! configs.unattached("project_c")?;
//! configs.broken("project_x", Broken::SystemExit)?;
//! assert!(configs.base().join("project_x/install/core/_core_upgrader.py").exists());
//! # std::io::Result::Ok(())
//! ```
#![warn(missing_docs, unreachable_pub)]

mod archive;
mod broken;
mod bundles;
mod configs;
mod core;
mod generated;
mod isolated;
mod missing;
mod pythons;
mod site;
mod sources;
mod studio;

pub use broken::Broken;
pub use bundles::{AppBundle, EngineBundle};
pub use configs::{Configs, bundled, bundled_versions, lay_bundled};
pub use core::Core;
pub use isolated::{in_child, isolated};
pub use missing::missing;
pub use pythons::{Python, pythons};
pub use site::{Fault, PipelineConfiguration, Request, Site};
pub use sources::{events, host_libraries, host_packages, misbehaving_plugins, plugins, recipe};
pub use studio::{Project, Studio};
