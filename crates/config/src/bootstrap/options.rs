//! Options of a bootstrap that are more than a text or a number.

use std::fmt;

use serde_json::Value;

/// What Toolkit reads from the environment to decide whose configuration it takes, and from which bundles it
/// starts what: a launcher exports them for whole shells, and whatever is started from there has them. A
/// project does not get them from the daemon's environment; what they say can be asked for by options.
/// `docs/variables.md` has all that Toolkit reads.
pub const STEERING_VARIABLES: [&str; 8] = [
    "SHOTGUN_PIPELINE_CONFIGURATION_ID",
    "TK_BOOTSTRAP_CONFIG_OVERRIDE",
    "SHOTGUN_BUNDLE_CACHE_FALLBACK_PATHS",
    "SGTK_EXT_CONFIG_DATA",
    "SHOTGUN_SITE",
    "SHOTGUN_ENTITY_TYPE",
    "SHOTGUN_ENTITY_ID",
    "TANK_QA_ENABLED",
];

/// Which bundles are downloaded before an engine starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CachingPolicy {
    /// Those of the engine that is started: Toolkit's `CACHE_SPARSE`.
    #[default]
    Lazy,
    /// Those of all environments of the configuration: Toolkit's `CACHE_FULL`.
    Full,
}

impl CachingPolicy {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Lazy => "lazy",
            Self::Full => "full",
        }
    }
}

/// In what an engine that was bootstrapped is not what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// What differs.
    pub kind: DifferenceKind,
    /// What was asked for, what came of it and why, in one sentence.
    pub message: String,
}

/// What differs from what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DifferenceKind {
    /// The engine's project.
    Project,
    /// The site that its user is of.
    Site,
    /// Its pipeline configuration.
    Configuration,
    /// The configuration could not be brought up to date, and the one before was restored.
    Restored,
    /// The core in memory is not the one on disk.
    Core,
    /// An app of the environment was left out.
    App,
    /// Something of a later version.
    Other,
}

impl Difference {
    /// What `describe` of `outcome.py` tells of them.
    // For `sgtk-host` and `sgtk-pool`.
    #[doc(hidden)]
    #[must_use]
    pub fn of_description(description: &Value) -> Vec<Self> {
        let told = description.get("differences").and_then(Value::as_array);
        let pairs = told
            .into_iter()
            .flatten()
            .filter_map(|pair| Some((pair.get(0)?.as_str()?, pair.get(1)?.as_str()?)));
        pairs.map(|(kind, message)| Self::new(kind, message)).collect()
    }

    /// `kind` as `outcome.py` calls it.
    // For `sgtk-host` and `sgtk-pool`.
    #[doc(hidden)]
    #[must_use]
    pub fn new(kind: &str, message: &str) -> Self {
        let kind = match kind {
            "project" => DifferenceKind::Project,
            "site" => DifferenceKind::Site,
            "configuration" => DifferenceKind::Configuration,
            "restored" => DifferenceKind::Restored,
            "core" => DifferenceKind::Core,
            "app" => DifferenceKind::App,
            _ => DifferenceKind::Other,
        };
        Self { kind, message: crate::keys::redacted(message).into_owned() }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
