//! Small Toolkit cores with the hazards of the real ones, and what tests need to use them.
//!
//! For the tests of `sgtk-host` itself, and for those of a studio that uses it: none of it is Autodesk's,
//! nothing but the loopback interface is used, and everything lies in temporary folders that go with the
//! value they belong to. A core takes milliseconds to lay down and to import.
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
//!
//! - [`Configs`]: a folder of pipeline configurations, localized, attached and studio ones, each with a
//!   [`Core`] of either generation; upgrades, pointers, and cores that are [`Broken`] in a way of your
//!   choice. [`bundled`] is a mix of six.
//! - [`Studio`]: distributed configurations of [`Project`]s, a core to start from, and a site that names
//!   them.
//! - [`Site`]: a site on the loopback interface that answers the real client and fails on demand ([`Fault`]).
//!   It runs in a Python of its own: `PYO3_PYTHON`, else `python3`.
//! - [`isolated`]: a test in a process of its own, for what is global to a process: the interpreter, signals,
//!   `import_sgtk`.
//! - [`pythons`]: the Pythons of the machine; [`missing`]: says that a test is skipped, and fails in CI.
//! - [`plugins`], [`misbehaving_plugins`], [`events`]: event plugins, such that do harm, and events.
//!
//! The cores are for CPython 3.9 to 3.13, the older generation for 3.7 and later. Paths into this crate are
//! those of its source when it was compiled, so it serves tests on the machine that built them.

mod archive;
mod broken;
mod bundles;
mod configs;
mod core;
mod generated;
mod isolated;
mod missing;
mod pythons;
mod release;
mod site;
mod sources;
mod studio;

pub use broken::Broken;
pub use bundles::{AppBundle, EngineBundle, bundle};
pub use configs::{Configs, bundled, bundled_versions, lay_bundled};
pub use core::Core;
pub use isolated::{in_child, isolated, isolated_with};
pub use missing::missing;
pub use pythons::{Python, pythons};
pub use release::{Change, Release, upgrade_by_toolkit};
pub use site::{Fault, PipelineConfiguration, Request, Site};
pub use sources::{
    events, host_libraries, host_packages, misbehaving_plugins, plugins, project_code, recipe,
};
pub use studio::{Project, Studio};
