//! What the pool's tests share.

use std::time::{Duration, Instant};

use sgtk_host_fixtures::{Configs, Core};
use sgtk_pool::{WorkerPool, WorkerPoolBuilder};

/// A generous limit for what has to happen.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Configurations, plugins and a pool over them.
pub(crate) struct Studio {
    pub(crate) configs: Configs,
    pub(crate) plugins: tempfile::TempDir,
}

impl Studio {
    /// With projects of these names, all with the same small core.
    pub(crate) fn of(projects: &[&str]) -> Self {
        let configs = Configs::new().unwrap();
        for project in projects {
            configs.attached(project, &Core::newer("v0.24.0")).unwrap();
        }
        let plugins = tempfile::tempdir().unwrap();
        let studio = Self { configs, plugins };
        studio.plugin("work", include_str!("work.py"));
        studio
    }

    pub(crate) fn plugin(&self, name: &str, text: &str) {
        std::fs::write(self.plugins.path().join(name).with_extension("py"), text).unwrap();
    }

    pub(crate) fn options(&self) -> WorkerPoolBuilder {
        WorkerPool::builder().configs(self.configs.base()).plugin_path(self.plugins.path())
    }

    pub(crate) fn pool(&self) -> WorkerPool {
        self.options().build().unwrap()
    }
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !so() {
        assert!(Instant::now() < end, "never came: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
