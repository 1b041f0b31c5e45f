//! Files that change under a running pool: upgrades in any order of files, edited plugins and configurations.

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::Value;
use sgtk_host_fixtures::{Broken, Configs, Core, Release, bundled};
use sgtk_pool::{Call, PoolError, StartError, WorkerPool, WorkerPoolBuilder};

/// The versions of the parts of a core, one of them imported late.
const PLUGIN: &str = "
def versions(sgtk, late=None):
    found = [sgtk.__version__, sgtk.platform.CORE_VERSION, sgtk.api.CORE_VERSION]
    found += [sgtk.util.shotgun.API_VERSION, sgtk.util.yaml_cache.YAML_VERSION]
    if late:
        import importlib
        found.append(getattr(importlib.import_module('tank.util.late'), late)())
    return found
";

const LATE: [&str; 5] = ["from_absolute", "from_relative", "by_importlib", "nested", "vendored"];

struct Studio {
    configs: Configs,
    plugins: tempfile::TempDir,
}

impl Studio {
    fn new() -> Self {
        let (configs, plugins) = (bundled().unwrap(), tempfile::tempdir().unwrap());
        fs::write(plugins.path().join("parts.py"), PLUGIN).unwrap();
        Self { configs, plugins }
    }

    fn options(&self, templates: bool) -> WorkerPoolBuilder {
        WorkerPool::builder()
            .configs(self.configs.base())
            .plugin_path(self.plugins.path())
            .revalidate_after(Duration::ZERO)
            // An error is told, and the next call tries again.
            .back_off(Duration::from_millis(1), Duration::from_millis(1))
            .circuit_after(None)
            .templates(templates)
    }

    fn core(&self) -> std::path::PathBuf {
        self.configs.config("project_a").join("install/core")
    }
}

/// The version of all of it.
#[track_caller]
fn version(pool: &WorkerPool, project: &str, late: Option<&str>) -> Result<String, PoolError> {
    let found: Vec<String> = pool.call(project, Call::new("parts:versions").kwarg("late", late))?;
    assert!(found.iter().all(|version| *version == found[0]), "a mix: {found:?}");
    Ok(found.into_iter().next().unwrap())
}

/// Pools with and without templates.
fn each_pool(run: impl Fn(&Studio, WorkerPool)) {
    for templates in [true, false] {
        let studio = Studio::new();
        run(&studio, studio.options(templates).build().unwrap());
    }
}

fn is_told(error: &PoolError) -> bool {
    match error {
        PoolError::NotStarted { cause, .. } => {
            matches!(
                **cause,
                StartError::Config { .. } | StartError::CoreChanging { .. } | StartError::Enter { .. }
            )
        }
        // A late import that neither memory nor disk has the right file for.
        PoolError::Python { error, .. } => error.is_a("ConfigurationRewritten"),
        PoolError::Config { .. } => true,
        _ => false,
    }
}

#[test]
fn a_core_whose_upgrader_is_deleted_goes_on_and_nothing_else_takes_its_place() {
    each_pool(|studio, pool| {
        assert_eq!(version(&pool, "project_a", None).unwrap(), "v0.24.0");
        let upgrader = studio.core().join("_core_upgrader.py");
        let text = fs::read(&upgrader).unwrap();
        fs::remove_file(&upgrader).unwrap();
        for _ in 0..3 {
            assert_eq!(version(&pool, "project_a", None).unwrap(), "v0.24.0");
        }
        // Where there is no worker, nothing else is given either.
        pool.evict("project_a");
        let error = version(&pool, "project_a", None).unwrap_err();
        assert!(error.to_string().contains("_core_upgrader.py") && error.never_ran(), "{error}");
        fs::write(&upgrader, text).unwrap();
        assert_eq!(version(&pool, "project_a", None).unwrap(), "v0.24.0");
    });
}

#[test]
fn an_attached_project_whose_pointer_is_missing_or_cut_short_keeps_its_core() {
    each_pool(|studio, pool| {
        let pointer = studio.configs.config("project_b").join("install/core/core_Linux.cfg");
        assert_eq!(version(&pool, "project_b", None).unwrap(), "v0.22.5");
        let whole = fs::read(&pointer).unwrap();
        for broken in [&b""[..], &whole[..whole.len() / 2], b"/no/such/folder"] {
            fs::write(&pointer, broken).unwrap();
            assert_eq!(version(&pool, "project_b", None).unwrap(), "v0.22.5");
        }
        fs::remove_file(&pointer).unwrap();
        assert_eq!(version(&pool, "project_b", None).unwrap(), "v0.22.5");
        assert_eq!(pool.stats().started + pool.stats().forked, 1, "the same worker all the while");
        studio.configs.repoint("project_b", &Core::older("v0.22.6")).unwrap();
        assert_eq!(version(&pool, "project_b", None).unwrap(), "v0.22.6");
    });
}

#[test]
fn a_core_that_is_copied_with_its_marks_first_is_never_half_of_one_and_half_of_the_other() {
    each_pool(|studio, pool| {
        assert_eq!(version(&pool, "project_a", None).unwrap(), "v0.24.0");
        let release = Release::new(&Core::newer("v0.24.1")).unwrap();
        let marks = ["info.yml", "_core_upgrader.py", "python/sgtk/__init__.py", "python/tank/__init__.py"];
        for file in marks {
            release.copy(Path::new(file), &studio.core(), true).unwrap();
        }
        for late in [None, Some("from_absolute"), Some("vendored")] {
            assert_eq!(version(&pool, "project_a", late).unwrap(), "v0.24.0");
        }
        pool.evict("project_a");
        let error = version(&pool, "project_a", None).unwrap_err();
        assert!(is_told(&error) && error.to_string().contains("an upgrade may be running"), "{error}");
        for file in release.files().iter().filter(|file| !marks.contains(&file.to_str().unwrap())) {
            release.copy(file, &studio.core(), true).unwrap();
        }
        for late in [None, Some("nested")] {
            assert_eq!(version(&pool, "project_a", late).unwrap(), "v0.24.1");
        }
    });
}

#[test]
fn an_upgrade_in_any_order_gives_the_old_core_an_error_or_the_new_one() {
    let upgrades = prop::collection::vec((any::<u64>(), any::<bool>(), any::<bool>(), 4..14_usize), 1..3);
    each_pool(|studio, pool| {
        assert_eq!(version(&pool, "project_a", None).unwrap(), "v0.24.0");
        let releases =
            ["v0.24.0", "v0.24.1"].map(|version| (version, Release::new(&Core::newer(version)).unwrap()));
        let now = Cell::new(0_usize);
        let config = Config { cases: 2, max_shrink_iters: 0, ..Config::default() };
        let seed = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let outcome = TestRunner::new_with_rng(config, seed).run(&upgrades, |upgrades| {
            for (order, deletes_first, in_place, every) in upgrades {
                let (old, _) = &releases[now.get()];
                now.set(1 - now.get());
                let (new, release) = &releases[now.get()];
                for (step, change) in release.upgrade(order, deletes_first).iter().enumerate() {
                    release.change(change, &studio.core(), in_place).unwrap();
                    if step % every > 0 {
                        continue;
                    }
                    let late = LATE.get(step / every % 8).copied();
                    match version(&pool, "project_a", late) {
                        Ok(found) => assert!(*old == found || *new == found, "{found}"),
                        Err(error) => assert!(is_told(&error), "{error}"),
                    }
                    if step % (3 * every) == 0 {
                        pool.evict("project_a");
                    }
                    assert_eq!(version(&pool, "project_d", None).unwrap(), "v0.23.8", "another project");
                }
                for late in [None, Some("from_absolute")] {
                    assert_eq!(version(&pool, "project_a", late).unwrap(), *new);
                }
            }
            Ok(())
        });
        outcome.unwrap();
    });
}

#[test]
fn a_new_core_that_cannot_be_imported_leaves_the_old_one_until_it_is_repaired() {
    each_pool(|studio, pool| {
        assert_eq!(version(&pool, "project_a", None).unwrap(), "v0.24.0");
        let broken = Core::newer("v0.24.1").broken(Broken::LeavesTraces);
        studio.configs.upgrade("project_a", &broken).unwrap();
        for _ in 0..3 {
            assert_eq!(version(&pool, "project_a", None).unwrap(), "v0.24.0");
        }
        studio.configs.repair("project_a").unwrap();
        assert_eq!(version(&pool, "project_a", None).unwrap(), "v0.24.1");
    });
}

#[test]
fn a_core_that_is_edited_in_place_has_new_workers_once_it_is_quiet() {
    let studio = Studio::new();
    let api = studio.core().join("python/tank/api.py");
    fs::write(
        studio.plugins.path().join("edit.py"),
        "def edited(sgtk):\n    return hasattr(sgtk.api, 'EDITED')\n",
    )
    .unwrap();
    let [patient, hasty] = [Duration::from_secs(3600), Duration::ZERO]
        .map(|quiet| studio.options(true).settle_after(quiet).build().unwrap());
    let edited = |pool: &WorkerPool| -> bool { pool.call("project_a", Call::new("edit:edited")).unwrap() };
    assert!(!edited(&patient) && !edited(&hasty));
    fs::write(&api, fs::read_to_string(&api).unwrap() + "\nEDITED = True\n").unwrap();
    assert!(!edited(&patient), "it may be the first file of an upgrade");
    assert!(edited(&hasty));
}

#[test]
fn edited_plugins_and_their_helpers_are_seen_and_those_that_do_not_compile_are_not() {
    each_pool(|studio, pool| {
        let helper = studio.plugins.path().join("helping.py");
        fs::write(
            studio.plugins.path().join("tells.py"),
            "import helping\ndef tell():\n    return helping.WORD\n",
        )
        .unwrap();
        let tell = || -> String { pool.call("project_a", Call::new("tells:tell")).unwrap() };
        for word in ["one", "two", "three"] {
            fs::write(&helper, format!("WORD = {word:?}\n")).unwrap();
            assert_eq!(tell(), word);
        }
        fs::write(&helper, "WORD = 'four'\ndef broken(:\n").unwrap();
        for _ in 0..2 {
            assert_eq!(tell(), "three");
        }
        fs::write(&helper, "WORD = 'five'\n").unwrap();
        assert_eq!(tell(), "five");
        // What file systems and editors put beside a file that somebody edits.
        let settings = studio.configs.config("project_a").join("config/core");
        fs::write(studio.plugins.path().join("._helping.py"), b"\0\x05\x16\x07 [").unwrap();
        fs::write(settings.join("._templates.yml"), b"\0\x05\x16\x07 [").unwrap();
        std::os::unix::fs::symlink("user@host.4711", studio.plugins.path().join(".#helping.py")).unwrap();
        fs::write(&helper, "WORD = 'six'\n").unwrap();
        assert_eq!(tell(), "six");
    });
}

#[test]
fn plugins_that_are_away_for_a_moment_are_gone_on_with() {
    let studio = Studio::new();
    let plugins = studio.plugins.path().join("share");
    let helper = plugins.join("helping.py");
    fs::create_dir(&plugins).unwrap();
    fs::write(plugins.join("tells.py"), "import helping\ndef tell():\n    return helping.WORD\n").unwrap();
    fs::write(&helper, "WORD = 'one'\n").unwrap();
    let [patient, hasty] = [Duration::from_secs(3600), Duration::ZERO]
        .map(|quiet| studio.options(false).plugin_path(&plugins).settle_after(quiet).build().unwrap());
    let call = |pool: &WorkerPool, function: &str| pool.call::<Value>("project_a", Call::new(function));
    let (tell, pid) = (
        |pool: &WorkerPool| call(pool, "tells:tell").map(|word| word.as_str().unwrap().to_owned()),
        |pool: &WorkerPool| call(pool, "os:getpid").unwrap(),
    );
    for pool in [&patient, &hasty] {
        assert_eq!(tell(pool).unwrap(), "one");
        let before = pid(pool);
        fs::rename(&plugins, plugins.with_extension("away")).unwrap();
        assert_eq!(tell(pool).unwrap(), "one");
        fs::rename(plugins.with_extension("away"), &plugins).unwrap();
        assert_eq!((tell(pool).unwrap(), pid(pool)), ("one".to_owned(), before));
    }
    let before = pid(&patient);
    fs::remove_file(&helper).unwrap();
    assert_eq!((tell(&patient).unwrap(), pid(&patient)), ("one".to_owned(), before));
    let error = tell(&hasty).unwrap_err().to_string();
    assert!(error.contains("No module named 'helping'"), "{error}");
    fs::write(&helper, "WORD = 'two'\n").unwrap();
    assert_eq!((tell(&patient).unwrap(), tell(&hasty).unwrap()), ("two".to_owned(), "two".to_owned()));
}

#[test]
fn a_plugin_that_is_empty_while_it_is_saved_and_a_folder_that_is_while_its_disk_is_away_decide_nothing() {
    let studio = Studio::new();
    let plugins = studio.plugins.path().join("share");
    let plugin = plugins.join("tells.py");
    fs::create_dir(&plugins).unwrap();
    fs::write(&plugin, "def tell():\n    return 'one'\n").unwrap();
    let pool = studio.options(false).plugin_path(&plugins).settle_after(Duration::from_secs(3600));
    let pool = pool.build().unwrap();
    let call = |function: &str| pool.call::<Value>("project_a", Call::new(function)).unwrap();
    let tell = || (call("tells:tell"), call("os:getpid"));
    let first = tell();
    fs::write(&plugin, "").unwrap();
    assert_eq!(tell(), first);
    fs::write(&plugin, "def tell():\n    return 'two'\n").unwrap();
    let second = tell();
    assert_eq!(second.0, "two");
    // A mount point of long ago.
    fs::rename(&plugins, plugins.with_extension("away")).unwrap();
    fs::create_dir(&plugins).unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(1_000_000);
    fs::File::open(&plugins).unwrap().set_modified(long_ago).unwrap();
    assert_eq!(tell(), second);
    fs::remove_dir(&plugins).unwrap();
    fs::rename(plugins.with_extension("away"), &plugins).unwrap();
    assert_eq!(tell(), second);
}

#[test]
fn an_edited_configuration_has_a_new_worker_unless_it_cannot_be_read() {
    let studio = Studio::new();
    let pool = studio.options(true).build().unwrap();
    let pid = || -> u32 {
        pool.call::<Value>("project_a", Call::new("os:getpid")).unwrap().as_u64().unwrap() as u32
    };
    let templates = studio.configs.config("project_a").join("config/core/templates.yml");
    let first = pid();
    fs::write(&templates, "paths: {a: {definition: b}}\n").unwrap();
    let second = pid();
    assert_ne!(first, second);
    fs::write(&templates, "paths: {a: [\n").unwrap();
    assert_eq!(pid(), second);
    fs::write(&templates, "paths: {a: {definition: c}}\n").unwrap();
    assert_ne!(pid(), second);
}
