//! What the tests of engines share.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyDict;
use sgtk_host::{Bootstrap, BootstrapBuilder, Engine, EngineLease, Host};
use sgtk_host_fixtures::{Core, Project, Studio, isolated_with};

/// The projects of [`studio`]: number, name, version of the core.
pub(crate) const PROJECTS: [(u32, &str, &str); 3] =
    [(176, "bunny", "v0.22.7"), (177, "sintel", "v0.23.8"), (178, "spring", "v0.24.0")];

/// Runs a test in a process of its own, with a `SHOTGUN_HOME` of its own.
pub(crate) fn alone(name: &str, body: impl FnOnce()) {
    let home = tempfile::tempdir().unwrap();
    let prepare = |command: &mut std::process::Command| {
        command.env("SHOTGUN_HOME", home.path());
    };
    isolated_with(name, prepare, body);
}

/// A studio with three projects on older and newer cores, to be started from a newer one.
pub(crate) fn studio() -> Studio {
    let studio = Studio::new(&Core::newer("v0.24.0")).unwrap();
    for (id, name, version) in PROJECTS {
        studio.project(&Project::new(id.into(), name, core(version))).unwrap();
    }
    studio
}

/// The core of that version, of the generation that it belongs to.
pub(crate) fn core(version: &str) -> Core {
    if version < "v0.23" { Core::older(version) } else { Core::newer(version) }
}

/// A host that serves no projects of its own.
pub(crate) fn host(studio: &Studio) -> Host {
    Host::builder().configs(studio.home()).build().unwrap()
}

/// The options to bootstrap an entity of the studio's.
pub(crate) fn options(studio: &Studio, id: u32) -> BootstrapBuilder {
    with_access(Bootstrap::project(id), studio)
}

/// With the studio's starting core, site and script user.
pub(crate) fn with_access(options: BootstrapBuilder, studio: &Studio) -> BootstrapBuilder {
    options.core(studio.start()).site(studio.site().url()).script_user(Studio::SCRIPT, Studio::KEY)
}

/// A project's engine.
#[track_caller]
pub(crate) fn bootstrap(host: &Host, studio: &Studio, id: u32) -> Engine {
    host.bootstrap(&options(studio, id).build().unwrap()).unwrap_or_else(|error| panic!("{error}"))
}

/// What a command of an engine's app gives.
pub(crate) fn command<'py>(engine: &EngineLease<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    engine.getattr("commands")?.get_item(name)?.get_item("callback")?.call0()
}

/// Fails unless every part of the engine and its app has the core of that version, when loaded and when
/// imported late.
#[track_caller]
pub(crate) fn assert_own(engine: &Engine, version: &str) {
    let told = engine.with(|engine| {
        let versions: BTreeMap<String, String> = command(engine, "versions")?.extract()?;
        let baked: BTreeMap<String, Option<String>> =
            engine.sgtk().getattr("util")?.call_method0("baked_versions")?.extract()?;
        let current_pc = engine.py().import("os")?.getattr("environ")?.get_item("TANK_CURRENT_PC")?;
        Ok((versions, baked, current_pc.extract::<std::path::PathBuf>()?))
    });
    let (versions, baked, current_pc) = told.unwrap_or_else(|error| panic!("{error}"));
    assert!(versions.values().all(|one| one == version), "expected {version}: {versions:?}");
    let foreign: Vec<_> = baked
        .iter()
        .filter(|(_, one)| one.as_ref().is_some_and(|one| one != version && one != "host"))
        .collect();
    assert!(foreign.is_empty(), "expected {version}: {foreign:?}");
    assert_eq!(current_pc, engine.info().configuration);
}

/// What must not grow: names, paths, finders, handlers, callbacks, threads, descriptors.
pub(crate) fn counts(py: Python<'_>) -> Vec<(String, usize)> {
    let scope = PyDict::new(py);
    let code = c"
import atexit, gc, logging, os, sys, threading, warnings
gc.collect()
counts = [
    ('modules', len(sys.modules)),
    ('path', len(sys.path)),
    ('finders', len(sys.meta_path)),
    ('path hooks', len(sys.path_hooks)),
    ('callbacks', atexit._ncallbacks()),
    ('PATH', len(os.environ.get('PATH', ''))),
    ('PYTHONPATH', len(os.environ.get('PYTHONPATH', ''))),
    ('loggers', len(logging.Logger.manager.loggerDict)),
    ('handlers', len(logging._handlerList)),
    ('root handlers', len(logging.root.handlers)),
    ('filters', len(warnings.filters)),
    ('variables', len(os.environ)),
    ('threads', threading.active_count()),
    ('swapped', sum(name.startswith('core_swap_') for name in sys.modules)),
]
";
    py.run(code, Some(&scope), None).unwrap();
    let mut counts: Vec<(String, usize)> = scope.get_item("counts").unwrap().unwrap().extract().unwrap();
    if let Ok(descriptors) = std::fs::read_dir("/proc/self/fd") {
        counts.push(("descriptors".to_owned(), descriptors.count()));
    }
    counts
}

/// Fails unless nothing has grown since `before`, once the threads of engines have closed what they had open
/// for a moment.
#[track_caller]
pub(crate) fn assert_not_grown(before: &[(String, usize)]) {
    let start = Instant::now();
    loop {
        let now = Python::attach(counts);
        let grown: Vec<_> = now.iter().zip(before).filter(|(now, before)| now.1 > before.1).collect();
        if grown.is_empty() {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(300), "{grown:?}");
        std::thread::yield_now();
    }
}

/// The memory that the process has resident, in KiB; 0 where the platform does not tell.
pub(crate) fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok()).unwrap_or(0)
}
