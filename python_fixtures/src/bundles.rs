//! Engines and apps, good ones and others.

use std::path::{Path, PathBuf};

use crate::sources::source;

/// The code of an engine. In its configuration every engine is called `tk-shell`, whatever it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineBundle {
    /// A good one, with a log handler of its own that goes with it.
    #[default]
    Shell,
    /// Its folder is not there.
    Missing,
    /// Its module needs a library that is nowhere.
    RaisesOnImport,
    /// Starts a thread, has its apps loaded, and raises then. The thread stays.
    InitRaises,
    /// Sets `fixture_gate.entered` and waits for `fixture_gate.proceed` (see
    /// [`host_packages`](crate::host_packages)).
    InitHangs,
    /// Raises when it is destroyed.
    DestroyRaises,
    /// Leaves a thread that imports late all the time, a timer, log handlers, an open file, environment
    /// variables, a finder, a path, an attribute of `sys`, an `atexit` function.
    LeavesTraces,
}

/// The code of an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AppBundle {
    /// A good one. Its commands `versions` and `in_a_thread` tell which core each of its parts gets,
    /// `project_name` asks the site, `fail` raises an error of its core, `log_something` logs.
    Versions,
    /// Loads code by hand when it is asked to. Its command `load` does so once, `load_again` each time anew,
    /// `log_late` makes loggers, `start` runs one of them on a thread of its own that waits for an event.
    Payload,
    /// Its folder is not there.
    Missing,
    /// Its module needs a library that is nowhere.
    RaisesOnImport,
    /// Raises when it begins.
    InitRaises,
}

impl EngineBundle {
    pub(crate) fn folder(self) -> PathBuf {
        bundle(match self {
            EngineBundle::Shell => "tk-shell",
            EngineBundle::Missing => "tk-missing",
            EngineBundle::RaisesOnImport => "tk-raises-on-import",
            EngineBundle::InitRaises => "tk-init-raises",
            EngineBundle::InitHangs => "tk-init-hangs",
            EngineBundle::DestroyRaises => "tk-destroy-raises",
            EngineBundle::LeavesTraces => "tk-leaves-traces",
        })
    }
}

impl AppBundle {
    pub(crate) fn name(self) -> &'static str {
        match self {
            AppBundle::Versions => "tk-multi-versions",
            AppBundle::Payload => "tk-multi-payload",
            AppBundle::Missing => "tk-missing",
            AppBundle::RaisesOnImport => "tk-raises-on-import",
            AppBundle::InitRaises => "tk-init-raises",
        }
    }

    pub(crate) fn folder(self) -> PathBuf {
        bundle(self.name())
    }
}

/// The folder of an engine or app.
pub fn bundle(name: &str) -> PathBuf {
    source(Path::new("bundles").join(name).to_string_lossy().as_ref())
}
