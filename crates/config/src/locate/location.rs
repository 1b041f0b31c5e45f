//! Where a project's core is.

use std::fmt;
use std::path::{Path, PathBuf};

use super::Trail;

/// How a project comes by its core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CoreKind {
    /// The core lies in the project's own configuration.
    Localized,
    /// The configuration names another folder that holds the core, which several may share.
    Attached,
    /// The configuration says nothing, so the core next to all configurations is its own.
    Studio,
    /// An engine's bootstrap has started from it, or found it.
    Bootstrapped,
}

impl fmt::Display for CoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Localized => "localized",
            Self::Attached => "attached",
            Self::Studio => "studio",
            Self::Bootstrapped => "bootstrapped",
        })
    }
}

/// A project's core as found on disk at one moment. Its `python` folder held `sgtk` and `tank` then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreLocation {
    pub(super) project: String,
    pub(super) kind: CoreKind,
    pub(super) install_core: PathBuf,
    pub(super) python: PathBuf,
    pub(super) pipeline_configuration: Option<PathBuf>,
    pub(super) has_storage_roots: bool,
    pub(super) pointer: PathBuf,
    pub(super) version: Option<String>,
    pub(super) interpreter: Option<PathBuf>,
    pub(super) trail: Trail,
}

impl CoreLocation {
    /// The project's name, as it was asked for.
    #[must_use]
    pub fn project(&self) -> &str {
        &self.project
    }

    /// How the project comes by its core.
    #[must_use]
    pub fn kind(&self) -> CoreKind {
        self.kind
    }

    /// The core's `install/core` folder. It is the same for projects that share a core.
    #[must_use]
    pub fn install_core(&self) -> &Path {
        &self.install_core
    }

    /// The folder to import `sgtk` from: `python` in [`install_core`](Self::install_core).
    #[must_use]
    pub fn python(&self) -> &Path {
        &self.python
    }

    /// The project's own folder below the base folder, which for a studio core need not exist; for a
    /// bootstrapped core the configuration that it is used for, `None` while that is not known.
    #[must_use]
    pub fn pipeline_configuration(&self) -> Option<&Path> {
        self.pipeline_configuration.as_deref()
    }

    /// Whether Toolkit takes [`pipeline_configuration`](Self::pipeline_configuration) for one: it has
    /// `config/core/roots.yml`, which is what `tk-core` asks.
    #[must_use]
    pub fn is_pipeline_configuration(&self) -> bool {
        self.has_storage_roots
    }

    /// What `TANK_CURRENT_PC` is once the project's `sgtk` is imported: the project's own configuration, for
    /// a localized or an attached core, where Toolkit takes the folder for one, and for an engine's; nothing
    /// for a studio core.
    ///
    /// A localized core sets it so by itself. For an attached one the configuration's API proxy would, which
    /// does not run when the core is imported directly.
    #[must_use]
    pub fn current_pc(&self) -> Option<&Path> {
        match self.kind {
            CoreKind::Studio => None,
            _ => self.pipeline_configuration().filter(|_| self.has_storage_roots),
        }
    }

    /// Where the configuration's core pointer is, or would be.
    pub(crate) fn pointer(&self) -> &Path {
        &self.pointer
    }

    /// The core's version as its `info.yml` gives it (`v0.24.0`), where that can be read. A clone of
    /// `tk-core` says `HEAD`.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The Python that `interpreter_*.cfg` names: in the configuration for a localized core, beside the
    /// shared core otherwise. `None` where there is no such file, or where it names no existing file; the
    /// trail says which.
    #[must_use]
    pub fn interpreter(&self) -> Option<&Path> {
        self.interpreter.as_deref()
    }

    /// The rules that were tried and what each found.
    #[must_use]
    pub fn trail(&self) -> &Trail {
        &self.trail
    }
}
