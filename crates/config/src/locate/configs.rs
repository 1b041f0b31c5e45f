//! The folder of configurations, and how its files are read.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::memory::Memory;
use super::{CoreLocation, StudioFallback, Trail, listing, resolve};
use crate::Platform;
use crate::paths::Environment;
use crate::projects::Index;
use crate::{ConfigError, ProjectConfiguration, ProjectRef};

/// Names the base folder, as in the published recipe.
const BASE_VARIABLE: &str = "SHOTGUN_BASE";

/// Where the published recipe looks when [`BASE_VARIABLE`] says nothing.
const DEFAULT_BASE: &str = "/mnt/sgtk/configs";

/// The folder that holds a pipeline configuration for each project, and the rules by which a core is found in
/// it.
///
/// Cheap to clone. Nothing is cached: each [`locate`](Self::locate) reads the files as they are now. What is
/// remembered, by all clones together, is that a project had a core of its own or a pointer: from then on it
/// is never answered with the studio core, whatever an upgrade or a share that is away takes from it for a
/// moment ([`forget`](Self::forget)). The process's environment on the other hand is read **once**, when the
/// value is made: while Python code changes the environment from other threads it cannot be read safely, and
/// a pointer must not mean one thing or another by which project happens to be in place.
#[derive(Clone, Debug)]
#[must_use]
pub struct Configs {
    pub(super) base: Arc<Path>,
    pub(super) platform: Platform,
    pub(super) studio_fallback: StudioFallback,
    pub(super) memory: Arc<Memory>,
    pub(super) index: Arc<Index>,
    pub(super) environment: Arc<Environment>,
    /// Those of single projects, each with all variables.
    pub(super) of_projects: HashMap<String, Arc<Environment>>,
}

impl Configs {
    /// Configurations below `base`, for the platform this is compiled for.
    ///
    /// A relative `base` is taken from the current folder, now: it stays where it is when the process changes
    /// folder.
    pub fn new(base: impl Into<PathBuf>) -> Self {
        Self::with_environment(base.into(), Environment::of_process())
    }

    /// Configurations below the folder that `SHOTGUN_BASE` names, else below `/mnt/sgtk/configs`.
    ///
    /// An empty `SHOTGUN_BASE` counts as unset. (The published recipe would then look in the current folder,
    /// which no daemon wants.)
    pub fn from_env() -> Self {
        Self::from_environment(Environment::of_process())
    }

    fn from_environment(environment: Environment) -> Self {
        let base = environment.filled(BASE_VARIABLE, Platform::current());
        let base = base.map_or_else(|| PathBuf::from(DEFAULT_BASE), PathBuf::from);
        Self::with_environment(base, environment)
    }

    fn with_environment(base: PathBuf, environment: Environment) -> Self {
        // Fails for an empty path or without a current folder; `locate` then refuses the base for being
        // relative.
        let base = std::path::absolute(&base).unwrap_or(base);
        Self {
            base: base.into(),
            platform: Platform::current(),
            studio_fallback: StudioFallback::default(),
            memory: Arc::default(),
            index: Arc::default(),
            environment: Arc::new(environment),
            of_projects: HashMap::new(),
        }
    }

    /// When a project without a core of its own and without a pointer gets `<base>/studio/install/core`.
    /// Default: [`StudioFallback::ExistingConfigurations`].
    pub fn studio_fallback(mut self, fallback: StudioFallback) -> Self {
        self.studio_fallback = fallback;
        self
    }

    /// Reads the files of `platform` and judges their paths by its rules, instead of those of the platform
    /// this is compiled for.
    pub fn platform(mut self, platform: Platform) -> Self {
        self.platform = platform;
        self.memory = Arc::default();
        self
    }

    /// The variables that pointer and interpreter files may use, instead of the process's own.
    pub fn variables<K, V>(mut self, variables: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        self.environment = Arc::new(Environment::of(variables));
        self
    }

    /// Variables that the pointer and interpreter files of one project may use, beside and before those of
    /// all. To be called after [`variables`](Self::variables).
    pub fn project_variables<K, V>(
        mut self,
        project: impl Into<String>,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let project = project.into();
        let own = self.of_projects.get(&project).unwrap_or(&self.environment).with(variables);
        self.of_projects.insert(project, Arc::new(own));
        self.memory = Arc::default();
        self
    }

    /// What the files of `project` may use.
    pub(super) fn environment_of(&self, project: &str) -> &Environment {
        self.of_projects.get(project).unwrap_or(&self.environment)
    }

    /// The base folder.
    #[must_use]
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// Finds the core of `project`, the name of a folder below the base folder.
    ///
    /// Links are followed, wherever they lead; the name itself cannot lead out of the base folder.
    ///
    /// # Errors
    /// A name that is no plain folder name, before any file is touched; an unknown project; a configuration
    /// whose core or pointer is missing at this moment; a pointer that cannot be followed; a core that is
    /// missing or incomplete; a file that cannot be read.
    pub fn locate(&self, project: &str) -> Result<CoreLocation, ConfigError> {
        self.explain(project).1
    }

    /// Takes `project` for one that was never looked at: where its core and its pointer were removed for
    /// good, the studio core may serve it again.
    pub fn forget(&self, project: &str) {
        self.index.forget(project);
        self.memory.forget(project, &self.base.join(project).join("install").join("core"));
    }

    /// Finds the configuration of a project by what an event says of it: its number, its tank name or its
    /// folder.
    ///
    /// What the configurations say (`config/core/pipeline_configuration.yml`) is kept, for all clones of this
    /// value, and read again where a file has changed. A call looks at two files where the project is known,
    /// at one for each configuration where it is not, and after five seconds.
    ///
    /// A configuration that cannot be read hides no other, and no other takes its place: where `Primary`
    /// cannot be read at this moment, `Dev` is not found instead.
    ///
    /// # Errors
    /// No configuration is the project's, several are, or the one that is cannot be read; the base folder
    /// cannot be listed.
    pub fn find(&self, project: &ProjectRef) -> Result<ProjectConfiguration, ConfigError> {
        self.index.find(&self.base, project)
    }

    /// As [`locate`](Self::locate), with the trail also where it ended in an error.
    pub fn explain(&self, project: &str) -> (Trail, Result<CoreLocation, ConfigError>) {
        let mut trail = Trail::default();
        let location = resolve::resolve(self, project, &mut trail);
        (trail, location)
    }

    /// The projects below the base folder, sorted: folders that hold `install/core` or `config/core`, and
    /// whose names [`locate`](Self::locate) accepts.
    ///
    /// `studio` is among them only where it is a pipeline configuration itself (it has
    /// `config/core/roots.yml`): most often it only holds the shared core. Folders that cannot be looked into
    /// are left out.
    ///
    /// # Errors
    /// The base folder cannot be listed.
    pub fn projects(&self) -> Result<Vec<String>, ConfigError> {
        listing::projects(&self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base_with(variables: &[(&str, &str)]) -> PathBuf {
        Configs::from_environment(Environment::of(variables.iter().copied())).base().to_owned()
    }

    #[test]
    fn the_base_comes_from_shotgun_base() {
        let folder = std::env::temp_dir();
        assert_eq!(base_with(&[("SHOTGUN_BASE", folder.to_str().unwrap())]), folder);
    }

    #[test]
    fn an_unset_or_empty_shotgun_base_is_the_recipes_default() {
        let default = std::path::absolute(DEFAULT_BASE).unwrap();
        assert_eq!(base_with(&[]), default);
        assert_eq!(base_with(&[("SHOTGUN_BASE", "")]), default);
    }

    #[test]
    fn a_relative_base_is_made_absolute_at_once() {
        assert_eq!(Configs::new("configs").base(), std::env::current_dir().unwrap().join("configs"));
    }

    #[test]
    fn an_empty_base_is_refused_before_any_file_is_touched() {
        let error = Configs::new("").locate("a").unwrap_err();
        assert!(matches!(error, ConfigError::RelativeBase { .. }), "{error:?}");
    }
}
