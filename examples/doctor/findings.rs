//! What an examination found, as `--json` prints it.

use std::path::PathBuf;

use serde::Serialize;

/// All of it.
#[derive(Serialize)]
pub(crate) struct Findings {
    /// Whether nothing is wrong: every project can be imported, every pair is right and there is no error.
    pub(crate) right: bool,
    pub(crate) python: Python,
    /// The folder that was examined.
    pub(crate) configs: PathBuf,
    pub(crate) projects: Vec<Project>,
    /// Whether this program is a release build: the times of others say little.
    pub(crate) release_build: bool,
    /// Ordered pairs of the projects that can be imported: one, then the other.
    pub(crate) pairs_tried: usize,
    /// Whether they are all there are of these, or a sample.
    pub(crate) pairs_sampled: bool,
    /// Those of them in which each lease saw its own core and nothing of another's.
    pub(crate) pairs_right: usize,
    /// The pairs with a project that cannot be imported.
    pub(crate) pairs_not_tried: usize,
    /// Modules of another project's core, by the pair after which they were found.
    pub(crate) foreign: Vec<Foreign>,
    /// The errors with their text, those of the projects among them. Of the rounds' errors the first few.
    pub(crate) errors: Vec<Failure>,
    pub(crate) rounds: u32,
    /// Those of them that gave the project its own core.
    pub(crate) rounds_right: u32,
    pub(crate) swap_us: Swap,
    pub(crate) memory: Memory,
}

/// The Python that runs.
#[derive(Serialize)]
pub(crate) struct Python {
    pub(crate) version: String,
    pub(crate) library: Option<PathBuf>,
    pub(crate) executable: PathBuf,
}

/// A project, whose core may or may not be found and imported.
#[derive(Serialize)]
pub(crate) struct Project {
    /// The name of its configuration's folder.
    pub(crate) project: String,
    /// Its number on the site, where the configuration says.
    pub(crate) id: Option<u32>,
    /// The configuration's name on the site: `Primary`, `Dev`.
    pub(crate) configuration: Option<String>,
    /// `localized`, `attached` or `studio`.
    pub(crate) kind: Option<String>,
    /// The core's install folder.
    pub(crate) core: Option<PathBuf>,
    /// As the core's `info.yml` has it.
    pub(crate) version: Option<String>,
    /// As `sgtk.__version__` has it.
    pub(crate) imported_version: Option<String>,
    /// The Python that the configuration asks for. This process has its own.
    pub(crate) interpreter: Option<PathBuf>,
    pub(crate) modules: Option<usize>,
    pub(crate) import_ms: Option<f64>,
    pub(crate) error: Option<String>,
    /// How the core was looked for.
    pub(crate) trail: Vec<Step>,
}

/// A rule that was tried to find a core.
#[derive(Serialize)]
pub(crate) struct Step {
    pub(crate) rule: String,
    pub(crate) path: PathBuf,
    pub(crate) found: String,
}

/// What one project's lease after another's had that it must not have.
#[derive(Serialize)]
pub(crate) struct Foreign {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) modules: Vec<String>,
}

/// An error, and what was done then.
#[derive(Serialize)]
pub(crate) struct Failure {
    pub(crate) during: String,
    pub(crate) error: String,
    /// Where it was a swap: from which project to which.
    #[serde(skip)]
    pub(crate) pair: Option<(String, String)>,
}

/// Microseconds to put a project in place and to park it again. None without rounds.
#[derive(Serialize)]
pub(crate) struct Swap {
    pub(crate) p50: Option<u128>,
    pub(crate) p99: Option<u128>,
}

/// Resident bytes before and after the rounds, where the platform tells.
#[derive(Serialize)]
pub(crate) struct Memory {
    pub(crate) before: Option<u64>,
    pub(crate) after: Option<u64>,
}
