//! What the pool's tests share.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde_json::Value;
use sgtk_host_fixtures::{Configs, Core};
use sgtk_pool::{CallHandle, PoolError, WorkerPool, WorkerPoolBuilder};

/// A generous limit for what has to happen, on a machine that has other things to do as well.
pub(crate) const LONG: Duration = Duration::from_secs(300);

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

/// The error of a call that never comes back, and whose time is up after it was sent. How long it takes until
/// it is sent depends on the machine, so the limit that `call` is given grows until that is enough.
#[track_caller]
pub(crate) fn out_of_time(call: impl Fn(Duration) -> Result<Value, PoolError>) -> PoolError {
    let mut limit = Duration::from_millis(100);
    while limit < LONG {
        match call(limit) {
            Err(PoolError::TimedOut { sent: false, .. }) => limit *= 2,
            Err(error @ PoolError::TimedOut { sent: true, .. }) => return error,
            outcome => panic!("{outcome:?}"),
        }
    }
    panic!("never sent");
}

/// A submitted call whose time is not up yet when it is polled, and is later: the limit that `submit` is
/// given grows until that is so.
#[track_caller]
pub(crate) fn still_pending<T: DeserializeOwned + 'static>(
    context: &mut Context<'_>,
    submit: impl Fn(Duration) -> CallHandle<T>,
) -> CallHandle<T> {
    let mut limit = Duration::from_millis(100);
    while limit < LONG {
        let mut handle = submit(limit);
        if Pin::new(&mut handle).poll(context).is_pending() {
            return handle;
        }
        limit *= 2;
    }
    panic!("its time is always up");
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
