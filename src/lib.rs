//! Gives a Rust daemon the right ShotGrid (Flow Production Tracking) Toolkit core for every project it
//! serves, from one embedded CPython.
//!
//! ```
//! use pyo3::prelude::*;
//! use sgtk_host::Host;
//!
//! # let configs = sgtk_host_fixtures::bundled()?;
//! # let folder = configs.base();
//! let host = Host::builder().configs(folder).build()?;
//! for (project, core) in [("project_a", "v0.24.0"), ("project_b", "v0.22.5"), ("project_a", "v0.24.0")] {
//!     let version: String = host.with_sgtk(project, |sgtk| sgtk.getattr("__version__")?.extract())?;
//!     assert_eq!(version, core);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - [`Host`] serves many projects: each project's core is imported once, parked between leases, and put back
//!   in microseconds.
//! - [`Lease`] is a project in place. It derefs to its `sgtk` module.
//! - [`Engine`] is an engine that [`Host::bootstrap`] has started from [`Bootstrap`] options, for distributed
//!   and centralized configurations: in an import state of its own, alive beside all others.
//! - [`WorkerPool`] keeps a Python process for each project and makes [`Call`]s in it: for plugins that crash
//!   or hang, for other Python versions, and for real parallelism.
//! - [`import_sgtk`] is the published recipe: a fresh import that stays in place until the next.
//! - [`config::Configs`] finds a project's core from its files, without Python, and tells how.
//! - [`interpreter::Interpreter`] starts CPython correctly, and stops it softly.
//! - [`Error`] says which project, which file, what was expected and what was found; [`PythonError`] is a
//!   Python exception as text.
//!
//! # Threads and lifetimes
//!
//! A [`Host`] is `Send`, `Sync` and cheap to clone. A [`Lease`] is bound to its thread and to its attachment
//! to the interpreter. One project is in place at a time, for any number of threads; a thread that wants
//! another waits for its turn, detached, first come first served. A thread that holds a lease cannot lease
//! another project. Never wait, while attached, for something that another attached thread does.
//!
//! A [`WorkerPool`] is `Send`, `Sync` and cheap to clone as well, and needs none of that: calls of one
//! project run in order, projects in parallel. Dropping the last clone ends its processes.
//!
//! # Limits
//!
//! C extensions, the process's environment and its threads are shared by all projects, and a core's import
//! that hangs in C code cannot be stopped. `docs/in-process.md` has the whole list. CPython 3.9 to 3.13 with
//! the GIL; the interpreter is never finalized.
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[cfg(doctest)]
mod compile_fail;
mod engine;
mod error;
mod host;
pub mod interpreter;
mod python_error;

pub use engine::{BootstrapCallbacks, Engine, EngineInfo, EngineLease, Progress};
pub use error::{BootstrapFailure, BootstrapStep, Error, Result};
pub use host::{
    ForeignModule, Host, HostBuilder, Imported, Interruptible, Interruption, Lease, Purpose, Resident,
    import_sgtk, set_late_import_timeout,
};
pub use pyo3;
pub use python_error::python_error;
pub use sgtk_config::{
    Bootstrap, BootstrapBuilder, CachingPolicy, Difference, DifferenceKind, Entity, ProjectRef, PythonError,
    ScriptUser, SettingError,
};
#[cfg(unix)]
pub use sgtk_pool::{Call, CallHandle, Delivery, Lane, PoolError, PoolStats, WorkerPool, WorkerPoolBuilder};

/// Which core belongs to a project, from files alone: what `sgtk-config` knows.
pub mod config {
    pub use sgtk_config::{
        CodeCache, ConfigError, Configs, CoreKind, CoreLocation, CoreWatch, Fingerprint, Listed, Names,
        Platform, PointerProblem, ProjectConfiguration, Rule, STEERING_VARIABLES, Step, StudioFallback,
        Trail,
    };
}

/// What else there is of the worker pool, which is `sgtk-pool`.
#[cfg(unix)]
pub mod pool {
    pub use sgtk_pool::{ProjectStats, StartError, WhenFull, WorkerState};
}

/// Runs the examples of the README and of the pages in `docs`.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/engines.md")]
    struct Engines;
    #[doc = include_str!("../docs/linking.md")]
    struct Linking;
    #[doc = include_str!("../docs/test-harnesses.md")]
    struct TestHarnesses;
    #[doc = include_str!("../docs/workers.md")]
    struct Workers;
}
