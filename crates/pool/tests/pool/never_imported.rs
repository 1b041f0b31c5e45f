//! Cores that no worker has imported yet, in the middle of an upgrade of Toolkit's own that stands still.

use std::fs;
use std::path::Path;
use std::time::Duration;

use sgtk_host_fixtures::{Change, Configs, Core, Project, Release, Studio, upgrade_by_toolkit};
use sgtk_pool::{Bootstrap, Call, PoolError, StartError, WorkerPool, WorkerPoolBuilder};

use crate::support::until;

const PLUGIN: &str = "
def versions(sgtk):
    return [sgtk.__version__, sgtk.platform.CORE_VERSION, sgtk.api.CORE_VERSION,
            sgtk.util.shotgun.API_VERSION, sgtk.util.yaml_cache.YAML_VERSION]
";

/// The version of the whole core, for a pool that knows of none.
fn version(options: WorkerPoolBuilder, project: &str) -> Result<String, PoolError> {
    let pool = options.build().unwrap();
    let versions: Vec<String> = pool.call(project, Call::new("parts:versions"))?;
    assert!(versions.iter().all(|version| *version == versions[0]), "a mix: {versions:?}");
    Ok(versions[0].clone())
}

fn is_told(error: &PoolError) -> bool {
    match error {
        PoolError::NotStarted { cause, .. } => matches!(
            **cause,
            StartError::Config { .. } | StartError::CoreChanging { .. } | StartError::Enter { .. }
        ),
        PoolError::Config { .. } => true,
        _ => false,
    }
}

fn upgrade(core: &Path, in_use: usize, mut look: impl FnMut(&Change)) {
    let release = Release::new(&Core::newer("v0.24.1")).unwrap();
    let changes = upgrade_by_toolkit(core, &release, 11, in_use).unwrap();
    for (step, change) in changes.iter().enumerate() {
        release.change(change, core, false).unwrap();
        if step % 29 == 0 || step + 1 == changes.len() {
            look(change);
        }
    }
}

#[test]
fn an_upgrade_that_stops_at_any_step_gives_the_old_core_an_error_or_the_new_one() {
    let plugins = tempfile::tempdir().unwrap();
    fs::write(plugins.path().join("parts.py"), PLUGIN).unwrap();
    for (templates, in_use) in [(true, 0), (false, 0), (true, 2), (false, 2)] {
        let configs = Configs::new().unwrap();
        let project = configs.localized("project_a", &Core::newer("v0.24.0")).unwrap();
        let options = || {
            let options = WorkerPool::builder().configs(configs.base()).plugin_path(plugins.path());
            options.revalidate_after(Duration::ZERO).templates(templates)
        };
        let mut found = Vec::new();
        upgrade(&project.join("install/core"), in_use, |change| match version(options(), "project_a") {
            Ok(version) => {
                let is_backing_up = matches!(change, Change::BackUp(_));
                assert_eq!(version, if is_backing_up { "v0.24.0" } else { "v0.24.1" }, "{change:?}");
                found.push(version);
            }
            Err(error) => {
                assert!(is_told(&error) && !matches!(change, Change::BackUp(_)), "{change:?}: {error}");
                found.push("none".to_owned());
            }
        });
        let last = if in_use == 0 { "v0.24.1" } else { "none" };
        assert_eq!([&*found[0], &*found[found.len() - 1]], ["v0.24.0", last], "{found:?}");
        assert!(found.iter().any(|version| version == "none"), "{found:?}");
    }
}

#[test]
fn a_bootstrap_starts_from_no_core_that_is_half_replaced() {
    for templates in [true, false] {
        let studio = Studio::new(&Core::newer("v0.24.0")).unwrap();
        studio.project(&Project::new(176, "bunny", Core::newer("v0.23.8"))).unwrap();
        let start = studio.start();
        let bootstrap = || {
            let options = Bootstrap::project(176).core(&start).site(studio.site().url());
            options.script_user(Studio::SCRIPT, Studio::KEY).build().unwrap()
        };
        let call = || -> Result<u32, PoolError> {
            let options = WorkerPool::builder().configs(studio.home()).bootstrap("bunny", bootstrap());
            let pool = options.env("SHOTGUN_HOME", studio.home()).templates(templates).build().unwrap();
            pool.call("bunny", Call::new("os:getpid"))
        };
        upgrade(start.parent().unwrap(), 3, |change| {
            if !matches!(change, Change::BackUp(_)) {
                let error = call().unwrap_err();
                assert!(is_told(&error), "{change:?}: {error}");
            }
        });
        let release = Release::new(&Core::newer("v0.24.1")).unwrap();
        for file in release.files() {
            release.copy(file, start.parent().unwrap(), false).unwrap();
        }
        call().unwrap();
    }
}

#[test]
fn calls_that_come_while_files_are_replaced_have_nobody_wait_afterwards() {
    let plugins = tempfile::tempdir().unwrap();
    fs::write(plugins.path().join("parts.py"), PLUGIN).unwrap();
    let configs = Configs::new().unwrap();
    let core = configs.localized("project_a", &Core::newer("v0.24.0")).unwrap().join("install/core");
    let forever = Duration::from_secs(3600);
    let pool = WorkerPool::builder().configs(configs.base()).plugin_path(plugins.path());
    let pool = pool.back_off(forever, forever).circuit_after(2).retry_never_ran(0).build().unwrap();
    let call = || pool.call::<Vec<String>>("project_a", Call::new("parts:versions"));
    let release = Release::new(&Core::newer("v0.24.1")).unwrap();
    // Its files in use are never deleted.
    for change in upgrade_by_toolkit(&core, &release, 4, 2).unwrap() {
        release.change(&change, &core, false).unwrap();
    }
    for _ in 0..5 {
        let error = call().unwrap_err();
        assert!(is_told(&error) && error.to_string().contains("an upgrade may be running"), "{error}");
    }
    assert_eq!((pool.stats().failed_starts, pool.stats().projects[0].failures), (0, 0));
    for file in release.files() {
        release.copy(file, &core, false).unwrap();
    }
    assert_eq!(call().unwrap()[0], "v0.24.1");
}

#[test]
fn a_new_core_whose_import_takes_long_is_tried_beside_calls_that_go_on_with_the_old_one() {
    for templates in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("parts.py"), PLUGIN).unwrap();
        let configs = Configs::new().unwrap();
        let core = configs.localized("project_a", &Core::newer("v0.24.0")).unwrap().join("install/core");
        let pool = WorkerPool::builder().configs(configs.base()).plugin_path(folder.path());
        let pool = pool.revalidate_after(Duration::ZERO).templates(templates).build().unwrap();
        let call = || {
            let call = Call::new("parts:versions").timeout(Duration::from_secs(120));
            pool.call::<Vec<String>>("project_a", call).unwrap().swap_remove(0)
        };
        assert_eq!(call(), "v0.24.0");
        let release = Release::new(&Core::newer("v0.24.1")).unwrap();
        for file in release.files() {
            release.copy(file, &core, false).unwrap();
        }
        let init = core.join("python/tank/__init__.py");
        let gate = folder.path().join("go_on");
        let waits = format!("\nimport os, time\nwhile not os.path.exists({gate:?}): time.sleep(0.01)\n");
        fs::write(&init, fs::read_to_string(&init).unwrap() + &waits).unwrap();
        for _ in 0..2 {
            assert_eq!(call(), "v0.24.0");
        }
        fs::write(gate, "").unwrap();
        until("the new core", || call() == "v0.24.1");
        assert_eq!(pool.stats().timed_out, 0);
        pool.shutdown(Duration::from_secs(5)).unwrap();
    }
}
