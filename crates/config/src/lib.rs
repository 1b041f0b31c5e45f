//! What a daemon has to know of ShotGrid (Flow Production Tracking) Toolkit before any Python runs: which
//! core a project has, which Python that asks for, and what to bootstrap.
//!
//! Nothing here links or starts Python. `sgtk-host` (cores in this process) and `sgtk-pool` (a process for
//! each project) both stand on it, and re-export what their callers need.
//!
//! - [`Configs`] finds a project's core from the files of its pipeline configuration, and tells how:
//!   [`CoreLocation`], [`Trail`], [`ConfigError`].
//! - [`Configs::find`] finds the configuration of a project by what events say: [`ProjectRef`].
//! - [`Fingerprint`] and [`CoreWatch`] tell whether what was read is still what is on disk.
//! - [`Bootstrap`] is what a bootstrap of a distributed configuration needs to know, as data.
//! - [`CodeCache`] says where compiled code of cores is kept on disk.
//! - [`keys`] hides keys and passwords in all that leaves the process as text.
//! - [`PythonError`] is a Python exception as text.
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod bootstrap;
mod code_cache;
mod disk;
mod error;
pub mod keys;
mod locate;
mod paths;
mod platform;
mod plugin_folder;
mod project_name;
mod project_variables;
mod projects;
// For `sgtk-host` and `sgtk-pool`, which run Python executables.
#[doc(hidden)]
pub mod python;
mod python_error;
mod script_user;
mod setting;
mod sound;

pub use bootstrap::{
    Bootstrap, BootstrapBuilder, CachingPolicy, Difference, DifferenceKind, Entity, STEERING_VARIABLES,
};
pub use code_cache::CodeCache;
pub use disk::Fingerprint;
pub use error::{ConfigError, Names, PointerProblem};
pub use locate::{Configs, CoreKind, CoreLocation, CoreWatch, Listed, Rule, Step, StudioFallback, Trail};
pub use platform::Platform;
pub use projects::{ProjectConfiguration, ProjectRef};
pub use python_error::PythonError;
pub use script_user::ScriptUser;
pub use setting::SettingError;

// For `sgtk-host` and `sgtk-pool`, which import what they look at.
#[doc(hidden)]
pub use locate::{
    BeforeImport, Changed, ChangedFiles, CoreChanging, CoresOnDisk, FolderWatch, ProjectWatch, snapshot,
};
// For `sgtk-host`, which compiles.
#[doc(hidden)]
pub use code_cache::{CodeKey, CodeStore, UnusableCodeCache};
// For `sgtk-host` and `sgtk-pool`, which look at zips and sources as well.
#[doc(hidden)]
pub use bootstrap::is_function;
// For `sgtk-host`, which reads an engine's files so.
#[cfg(unix)]
#[doc(hidden)]
pub use disk::{FolderContents, ReadFile};
// For `sgtk-host` and `sgtk-pool`, which look at single files, and forget bytecode of edited ones.
#[doc(hidden)]
pub use disk::{Stamp, forget_compiled, looks_current};
// For `sgtk-host` and `sgtk-pool`, which take no edited settings that cannot be read.
#[doc(hidden)]
pub use sound::check_yaml;
// For `sgtk-host` and `sgtk-pool`, which both have such an option.
#[doc(hidden)]
pub use project_variables::ProjectVariables;
// For `sgtk-host` and `sgtk-pool` alone, which check the same option and run the same steps.
#[doc(hidden)]
pub use bootstrap::STEPS as BOOTSTRAP_STEPS;
// For `sgtk-host` and `sgtk-pool`, which check the same option.
#[doc(hidden)]
pub use plugin_folder::plugin_folder;
