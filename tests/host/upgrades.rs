//! Files that change under a running daemon: upgrades in any order of files, edited plugins, hooks and
//! configurations.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use pyo3::prelude::*;
use sgtk_host::{Error, Host};
use sgtk_host_fixtures::{Broken, Configs, Core, bundled, isolated};

use crate::support::{Daemon, assert_audit_is_empty, options, value};

/// What must be of one version: the core's own, that of a package in it, that of a module, and that of its
/// libraries.
const VERSIONS: &str = "[sgtk.__version__, sgtk.platform.CORE_VERSION, sgtk.api.CORE_VERSION, \
                        sgtk.util.shotgun.API_VERSION, sgtk.util.yaml_cache.YAML_VERSION]";

fn versions(host: &Host, project: &str) -> Result<Vec<String>, Error> {
    host.with_sgtk(project, |sgtk| Ok(value(sgtk, VERSIONS)))
}

/// The version of all of it.
#[track_caller]
fn version(host: &Host, project: &str) -> Result<String, Error> {
    let found = versions(host, project)?;
    assert!(found.iter().all(|version| *version == found[0]), "a mix: {found:?}");
    Ok(found.into_iter().next().unwrap())
}

fn watchful(configs: &Configs) -> Host {
    options(configs).revalidate_after(Duration::ZERO).build().unwrap()
}

/// A core that lies apart, to be copied over another file by file.
struct Release {
    _folder: tempfile::TempDir,
    core: PathBuf,
    files: Vec<PathBuf>,
}

impl Release {
    fn new(core: &Core) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let core = core.lay(folder.path()).unwrap();
        let mut files = Vec::new();
        list(&core, &core, &mut files);
        files.sort();
        Self { _folder: folder, core, files }
    }

    /// Over what is there, as `cp` does, or as another file in its place. Never in the second in which
    /// another version was written: Python takes a file of the same size and second for the one whose
    /// bytecode it has.
    fn copy(&self, file: &Path, to: &Path, in_place: bool) {
        static COPIES: AtomicU64 = AtomicU64::new(1);
        let later = Duration::from_secs(2 * COPIES.fetch_add(1, Ordering::Relaxed));
        let target = to.join(file);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        let written = if in_place { target.clone() } else { target.with_extension("new") };
        fs::copy(self.core.join(file), &written).unwrap();
        let opened = fs::File::options().write(true).open(&written).unwrap();
        opened.set_modified(SystemTime::now() + later).unwrap();
        if !in_place {
            fs::rename(written, target).unwrap();
        }
    }
}

fn list(folder: &Path, root: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list(&path, root, files);
        } else {
            files.push(path.strip_prefix(root).unwrap().to_owned());
        }
    }
}

#[test]
fn a_core_whose_upgrader_is_deleted_goes_on_and_nothing_else_takes_its_place() {
    isolated("upgrades::a_core_whose_upgrader_is_deleted_goes_on_and_nothing_else_takes_its_place", || {
        let configs = bundled().unwrap();
        let host = watchful(&configs);
        let core = configs.config("project_a").join("install/core");
        assert_eq!(version(&host, "project_a").unwrap(), "v0.24.0");
        fs::remove_file(core.join("_core_upgrader.py")).unwrap();
        for _ in 0..3 {
            assert_eq!(version(&host, "project_a").unwrap(), "v0.24.0");
        }
        let error = host.import_sgtk("project_a").unwrap_err().to_string();
        assert!(
            error.contains("_core_upgrader.py") && error.contains("an upgrade may be running"),
            "{error}"
        );
        // Where none is in memory, nothing else is given either.
        Python::attach(|py| host.evict(py, "project_a")).unwrap();
        let error = version(&host, "project_a").unwrap_err();
        assert!(matches!(error, Error::Config { .. }), "{error}");
        Release::new(&Core::newer("v0.24.0")).copy(Path::new("_core_upgrader.py"), &core, false);
        assert_eq!(version(&host, "project_a").unwrap(), "v0.24.0");
    });
}

#[test]
fn an_attached_project_whose_pointer_is_missing_or_cut_short_keeps_its_core() {
    isolated("upgrades::an_attached_project_whose_pointer_is_missing_or_cut_short_keeps_its_core", || {
        let configs = bundled().unwrap();
        let host = watchful(&configs);
        let pointer = configs.config("project_b").join("install/core/core_Linux.cfg");
        assert_eq!(version(&host, "project_b").unwrap(), "v0.22.5");
        let whole = fs::read(&pointer).unwrap();
        for broken in [&b""[..], &whole[..whole.len() / 2], b"/no/such/folder"] {
            fs::write(&pointer, broken).unwrap();
            assert_eq!(version(&host, "project_b").unwrap(), "v0.22.5");
        }
        fs::remove_file(&pointer).unwrap();
        assert_eq!(version(&host, "project_b").unwrap(), "v0.22.5");
        configs.repoint("project_b", &Core::older("v0.22.6")).unwrap();
        assert_eq!(version(&host, "project_b").unwrap(), "v0.22.6");
    });
}

#[test]
fn a_shared_core_that_is_away_is_gone_on_with_by_all_its_projects() {
    isolated("upgrades::a_shared_core_that_is_away_is_gone_on_with_by_all_its_projects", || {
        let configs = bundled().unwrap();
        let host = watchful(&configs);
        let shared = configs.shared(&Core::newer("v0.23.10"));
        for project in ["project_e", "project_f"] {
            assert_eq!(version(&host, project).unwrap(), "v0.23.10");
        }
        let away = shared.with_extension("away");
        fs::rename(&shared, &away).unwrap();
        for project in ["project_e", "project_f"] {
            assert_eq!(version(&host, project).unwrap(), "v0.23.10");
        }
        fs::rename(&away, &shared).unwrap();
        let entries = host.residents()[0].entries;
        for project in ["project_e", "project_f"] {
            assert_eq!(version(&host, project).unwrap(), "v0.23.10");
        }
        assert!(host.residents()[0].entries >= entries, "it is the same core, which need not be imported");
    });
}

#[test]
fn a_core_that_is_copied_with_its_marks_first_is_never_half_of_one_and_half_of_the_other() {
    isolated(
        "upgrades::a_core_that_is_copied_with_its_marks_first_is_never_half_of_one_and_half_of_the_other",
        || {
            let configs = bundled().unwrap();
            let host = watchful(&configs);
            let core = configs.config("project_a").join("install/core");
            assert_eq!(version(&host, "project_a").unwrap(), "v0.24.0");
            let release = Release::new(&Core::newer("v0.24.1"));
            let marks =
                ["info.yml", "_core_upgrader.py", "python/sgtk/__init__.py", "python/tank/__init__.py"];
            for file in marks {
                release.copy(Path::new(file), &core, true);
            }
            for _ in 0..2 {
                assert_eq!(version(&host, "project_a").unwrap(), "v0.24.0");
                let error = host.import_sgtk("project_a").unwrap_err();
                assert!(matches!(error, Error::CoreChanging { .. }), "{error}");
            }
            for file in release.files.iter().filter(|file| !marks.contains(&file.to_str().unwrap())) {
                release.copy(file, &core, true);
            }
            for _ in 0..2 {
                assert_eq!(version(&host, "project_a").unwrap(), "v0.24.1");
            }
            assert_audit_is_empty(&host);
        },
    );
}

#[test]
fn a_project_that_shares_a_core_being_replaced_is_refused_until_it_is_whole() {
    isolated("upgrades::a_project_that_shares_a_core_being_replaced_is_refused_until_it_is_whole", || {
        let configs = bundled().unwrap();
        let host = watchful(&configs);
        assert_eq!(version(&host, "project_e").unwrap(), "v0.23.10");
        let core = configs.shared(&Core::newer("v0.23.10")).join("install/core");
        let release = Release::new(&Core::newer("v0.23.11"));
        let (first, rest) = release.files.split_at(release.files.len() / 2);
        for file in first {
            release.copy(file, &core, false);
        }
        let error = version(&host, "project_f").unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::CoreChanging { .. }), "{error}");
        assert!(text.contains("project_f") && text.contains("an upgrade may be running"), "{text}");
        for file in rest {
            release.copy(file, &core, false);
        }
        for project in ["project_f", "project_e"] {
            assert_eq!(version(&host, project).unwrap(), "v0.23.11");
        }
    });
}

/// What happens to a core's files, and to whoever uses it meanwhile.
#[derive(Clone, Debug)]
struct Upgrade {
    /// Where in the order each file is deleted, and where it is copied, by random numbers.
    order: u64,
    /// Deletes all before anything is copied, after a backup, as Toolkit's own upgrader does.
    deletes_first: bool,
    in_place: bool,
    /// One in so many steps is followed by a lease.
    leases: usize,
}

fn upgrades() -> impl Strategy<Value = Vec<Upgrade>> {
    let upgrade = (any::<u64>(), any::<bool>(), any::<bool>(), 2..12_usize).prop_map(
        |(order, deletes_first, in_place, leases)| Upgrade { order, deletes_first, in_place, leases },
    );
    prop::collection::vec(upgrade, 1..4)
}

#[derive(Clone, Debug)]
enum Operation {
    Delete(PathBuf),
    Copy(PathBuf),
}

/// A small generator of numbers that look random.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

fn shuffle<T>(items: &mut [T], state: &mut u64) {
    for index in (1..items.len()).rev() {
        let other = usize::try_from(next(state)).unwrap() % (index + 1);
        items.swap(index, other);
    }
}

impl Upgrade {
    fn operations(&self, files: &[PathBuf]) -> Vec<Operation> {
        let mut state = self.order;
        let mut deletes: Vec<_> = files.iter().cloned().map(Operation::Delete).collect();
        let mut copies: Vec<_> = files.iter().cloned().map(Operation::Copy).collect();
        shuffle(&mut deletes, &mut state);
        shuffle(&mut copies, &mut state);
        if self.deletes_first {
            deletes.extend(copies);
            return deletes;
        }
        // Half of the files are overwritten without having been deleted.
        deletes.truncate(files.len() / 2);
        deletes.extend(copies);
        shuffle(&mut deletes, &mut state);
        deletes
    }

    /// Takes a core from one version to another, and asks for it all the while.
    fn run(&self, core: &Path, release: &Release, ask: impl Fn()) {
        let backups = core.with_file_name("core.backup");
        drop(fs::remove_dir_all(&backups));
        if self.deletes_first {
            for file in &release.files {
                let backup = backups.join("20260102_030405").join(file);
                fs::create_dir_all(backup.parent().unwrap()).unwrap();
                fs::copy(core.join(file), backup).unwrap();
            }
        }
        let mut state = self.order ^ 0x5555;
        let mut copied: Vec<PathBuf> = Vec::new();
        for operation in self.operations(&release.files) {
            match operation {
                Operation::Delete(file) if !copied.contains(&file) => {
                    drop(fs::remove_file(core.join(file)));
                }
                Operation::Delete(_) => continue,
                Operation::Copy(file) => {
                    release.copy(&file, core, self.in_place);
                    copied.push(file);
                }
            }
            if (next(&mut state) as usize).is_multiple_of(self.leases) {
                ask();
            }
        }
    }
}

/// Runs upgrades of a core from v0.24.0 to v0.24.1 and back, in many orders. `ask` is told both versions and,
/// once it has ended, the upgrade.
fn upgrade_in_any_order(core: &Path, ask: impl Fn([&str; 2], Option<&Upgrade>)) {
    let releases = ["v0.24.0", "v0.24.1"].map(|version| (version, Release::new(&Core::newer(version))));
    let now = std::cell::Cell::new(0_usize);
    let config = Config { cases: 6, max_shrink_iters: 0, ..Config::default() };
    let seed = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let outcome = TestRunner::new_with_rng(config, seed).run(&upgrades(), |upgrades| {
        for upgrade in upgrades {
            let (old, _) = &releases[now.get()];
            now.set(1 - now.get());
            let (new, release) = &releases[now.get()];
            upgrade.run(core, release, || ask([old, new], None));
            ask([old, new], Some(&upgrade));
        }
        Ok(())
    });
    outcome.unwrap();
}

fn is_told(error: &Error) -> bool {
    matches!(error, Error::Config { .. } | Error::CoreChanging { .. } | Error::Import { .. })
}

#[test]
fn an_upgrade_in_any_order_gives_the_old_core_an_error_or_the_new_one() {
    isolated("upgrades::an_upgrade_in_any_order_gives_the_old_core_an_error_or_the_new_one", || {
        let configs = bundled().unwrap();
        let host = watchful(&configs);
        let core = configs.config("project_a").join("install/core");
        assert_eq!(version(&host, "project_a").unwrap(), "v0.24.0");
        upgrade_in_any_order(&core, |[old, new], ended| {
            if ended.is_some() {
                assert_eq!(version(&host, "project_a").unwrap(), new);
                return;
            }
            match version(&host, "project_a") {
                Ok(found) => assert!([old, new].contains(&&*found), "{found}"),
                Err(error) => assert!(is_told(&error), "{error}"),
            }
            let imported = host.import_sgtk("project_d").map(|_| ());
            assert!(imported.is_ok(), "another project: {imported:?}");
            match host.import_sgtk("project_a") {
                Ok(sgtk) => Python::attach(|py| {
                    let found: Vec<String> = value(sgtk.bind(py), VERSIONS);
                    assert!(found.iter().all(|version| *version == found[0]), "a mix: {found:?}");
                }),
                Err(error) => assert!(is_told(&error), "{error}"),
            }
        });
    });
}

#[test]
fn a_further_project_on_a_core_gets_the_old_one_an_error_or_the_new_one() {
    isolated("upgrades::a_further_project_on_a_core_gets_the_old_one_an_error_or_the_new_one", || {
        let configs = Configs::new().unwrap();
        let host = watchful(&configs);
        for project in ["first", "further"] {
            configs.attached(project, &Core::newer("v0.24.0")).unwrap();
        }
        let core = configs.shared(&Core::newer("v0.24.0")).join("install/core");
        assert_eq!(version(&host, "first").unwrap(), "v0.24.0");
        upgrade_in_any_order(&core, |[old, new], ended| {
            // Nothing of it is in memory, and the core's files are known from the first project's import.
            Python::attach(|py| host.evict(py, "further")).unwrap();
            match version(&host, "further") {
                Ok(found) if ended.is_some() => assert_eq!(found, new),
                Ok(found) => assert!([old, new].contains(&&*found), "{found}"),
                // Where nothing tells what is still to come, the new core may have been imported without its
                // last files, and those that arrived then are waited for.
                Err(error) => {
                    let is_complete = ended.is_some_and(|upgrade| upgrade.deletes_first);
                    assert!(is_told(&error) && !is_complete, "{error}");
                }
            }
            if ended.is_some() {
                assert_eq!(version(&host, "first").unwrap(), new);
            }
        });
        assert_audit_is_empty(&host);
    });
}

#[test]
fn a_new_core_that_cannot_be_imported_leaves_the_old_one_until_it_is_repaired() {
    isolated("upgrades::a_new_core_that_cannot_be_imported_leaves_the_old_one_until_it_is_repaired", || {
        let configs = bundled().unwrap();
        let host = watchful(&configs);
        let daemon = Daemon::new();
        assert_eq!(version(&host, "project_a").unwrap(), "v0.24.0");
        daemon.remember();
        configs.upgrade("project_a", &Core::newer("v0.24.1").broken(Broken::LeavesTraces)).unwrap();
        for _ in 0..3 {
            assert_eq!(version(&host, "project_a").unwrap(), "v0.24.0");
            daemon.assert_as_before("after a failed import");
        }
        configs.repair("project_a").unwrap();
        assert_eq!(version(&host, "project_a").unwrap(), "v0.24.1");
        assert_audit_is_empty(&host);
    });
}

#[test]
fn a_core_that_is_edited_in_place_is_imported_anew_once_it_is_quiet() {
    isolated("upgrades::a_core_that_is_edited_in_place_is_imported_anew_once_it_is_quiet", || {
        let configs = bundled().unwrap();
        let core = configs.config("project_a").join("install/core");
        let api = core.join("python/tank/api.py");
        let edited = |host: &Host| -> bool {
            host.with_sgtk("project_a", |sgtk| sgtk.getattr("api")?.hasattr("EDITED")).unwrap()
        };
        let [patient, hasty] = [Duration::from_secs(3600), Duration::ZERO].map(|quiet| {
            options(&configs).revalidate_after(Duration::ZERO).settle_after(quiet).build().unwrap()
        });
        assert!(!edited(&patient) && !edited(&hasty));
        fs::write(&api, fs::read_to_string(&api).unwrap() + "\nEDITED = True\n").unwrap();
        assert!(!edited(&patient), "it may be the first file of an upgrade");
        assert!(edited(&hasty));
    });
}

/// What file systems and editors put beside a file that somebody edits: none of it compiles.
fn clutter(folder: &Path) {
    fs::create_dir_all(folder.join(".snapshot/hourly.0")).unwrap();
    for name in ["._helping.py", "._templates.yml", ".nfs0001.py", ".snapshot/hourly.0/helping.py"] {
        fs::write(folder.join(name), b"\0\x05\x16\x07 [").unwrap();
    }
    for link in [".#helping.py", "linked.py"] {
        std::os::unix::fs::symlink("user@host.4711", folder.join(link)).unwrap();
    }
}

#[test]
fn edited_plugins_and_their_helpers_are_seen_and_those_that_do_not_compile_are_not() {
    isolated(
        "upgrades::edited_plugins_and_their_helpers_are_seen_and_those_that_do_not_compile_are_not",
        || {
            let (configs, plugins) = (bundled().unwrap(), tempfile::tempdir().unwrap());
            let (plugin, helper) = (plugins.path().join("tells.py"), plugins.path().join("helping.py"));
            fs::write(
                &plugin,
                "import sgtk, helping\ndef tell():\n    return sgtk.__version__, helping.WORD\n",
            )
            .unwrap();
            fs::write(&helper, "WORD = 'one'\n").unwrap();
            let host = options(&configs)
                .revalidate_after(Duration::ZERO)
                .plugin_path(plugins.path())
                .build()
                .unwrap();
            let daemon = Daemon::new();
            let tell = |project: &str| -> (String, String) {
                host.with_sgtk(project, |_| Ok(daemon.get("__import__('tells').tell()"))).unwrap()
            };
            let told = |version: &str, word: &str| (version.to_owned(), word.to_owned());
            for word in ["one", "two", "three"] {
                fs::write(&helper, format!("WORD = {word:?}\n")).unwrap();
                assert_eq!(tell("project_a"), told("v0.24.0", word));
                assert_eq!(tell("project_b"), told("v0.22.5", word));
            }
            fs::write(&plugin, "import sgtk\ndef tell(:\n").unwrap();
            fs::write(&helper, "WORD = 'four'\n").unwrap();
            for _ in 0..2 {
                assert_eq!(tell("project_a"), told("v0.24.0", "three"), "all of the old ones go on");
            }
            fs::write(&plugin, "import sgtk, helping\ndef tell():\n    return 'repaired', helping.WORD\n")
                .unwrap();
            assert_eq!(tell("project_a"), told("repaired", "four"));
            clutter(plugins.path());
            clutter(&configs.config("project_a").join("config/core"));
            fs::write(&helper, "WORD = 'five'\n").unwrap();
            assert_eq!(tell("project_a"), told("repaired", "five"));
            assert_audit_is_empty(&host);
        },
    );
}

#[test]
fn plugins_and_hooks_that_are_away_for_a_moment_are_gone_on_with() {
    isolated("upgrades::plugins_and_hooks_that_are_away_for_a_moment_are_gone_on_with", || {
        let (configs, share) = (bundled().unwrap(), tempfile::tempdir().unwrap());
        let plugins = share.path().join("plugins");
        let helper = plugins.join("helping.py");
        fs::create_dir(&plugins).unwrap();
        fs::write(plugins.join("tells.py"), "import helping\ndef tell():\n    return helping.WORD\n")
            .unwrap();
        fs::write(&helper, "WORD = 'one'\n").unwrap();
        let hook = configs.config("project_a").join("config/core/hooks/core_version.py");
        let own = "import sgtk\nclass Own(sgtk.get_hook_baseclass()):\n    def execute(self, **_):\n        \
                   return 'own'\n";
        fs::create_dir_all(hook.parent().unwrap()).unwrap();
        fs::write(&hook, own).unwrap();
        let [patient, hasty] = [Duration::from_secs(3600), Duration::ZERO].map(|quiet| {
            let options = options(&configs).revalidate_after(Duration::ZERO).plugin_path(&plugins);
            options.settle_after(quiet).build().unwrap()
        });
        let daemon = Daemon::new();
        daemon.run("import importlib");
        let tell = |host: &Host| {
            host.with_sgtk("project_a", |sgtk| {
                let plugin = sgtk.py().import("importlib")?.call_method1("import_module", ("tells",))?;
                plugin.call_method0("tell")?.extract::<String>()
            })
        };
        let imported = |host: &Host| host.with_sgtk("project_a", |sgtk| Ok(sgtk.as_ptr() as usize)).unwrap();
        for host in [&patient, &hasty] {
            assert_eq!(tell(host).unwrap(), "one");
            let before = imported(host);
            // A share that is not mounted for a moment.
            let away = plugins.with_extension("away");
            fs::rename(&plugins, &away).unwrap();
            assert_eq!(tell(host).unwrap(), "one");
            fs::rename(&away, &plugins).unwrap();
            assert_eq!(tell(host).unwrap(), "one");
            assert_eq!(imported(host), before, "nothing has changed");
        }
        // An editor that writes the new file after it has taken the old one away.
        for (word, file) in [("two", &helper), ("three", &helper)] {
            let before = imported(&patient);
            fs::remove_file(file).unwrap();
            fs::remove_file(&hook).unwrap();
            assert_eq!(imported(&patient), before);
            fs::write(file, format!("WORD = {word:?}\n")).unwrap();
            fs::write(&hook, own).unwrap();
            assert_eq!(tell(&patient).unwrap(), word);
        }
        assert_eq!(tell(&hasty).unwrap(), "three");
        fs::remove_file(&helper).unwrap();
        let error = tell(&hasty).unwrap_err().to_string();
        assert!(error.contains("No module named 'helping'"), "{error}");
        assert_eq!(tell(&patient).unwrap(), "three");
    });
}

#[test]
fn a_file_that_is_empty_while_it_is_saved_and_a_folder_that_is_while_its_disk_is_away_decide_nothing() {
    isolated(
        "upgrades::a_file_that_is_empty_while_it_is_saved_and_a_folder_that_is_while_its_disk_is_away_decide_nothing",
        || {
            let (configs, share) = (bundled().unwrap(), tempfile::tempdir().unwrap());
            let plugins = share.path().join("plugins");
            let plugin = plugins.join("tells.py");
            let write =
                |word: &str| fs::write(&plugin, format!("def tell():\n    return {word:?}\n")).unwrap();
            let templates = configs.config("project_a").join("config/core/templates.yml");
            let settings = configs.config("project_a").join("config");
            fs::create_dir(&plugins).unwrap();
            write("one");
            fs::write(&templates, "paths: {}\n").unwrap();
            let host = options(&configs).revalidate_after(Duration::ZERO).plugin_path(&plugins);
            let host = host.settle_after(Duration::from_secs(3600)).build().unwrap();
            let tell = || {
                let told = |sgtk: &Bound<'_, PyModule>| {
                    let plugin = sgtk.py().import("importlib")?.call_method1("import_module", ("tells",))?;
                    Ok((plugin.call_method0("tell")?.extract::<String>()?, sgtk.as_ptr() as usize))
                };
                host.with_sgtk("project_a", told).unwrap()
            };
            let first = tell();
            for file in [&plugin, &templates] {
                fs::write(file, "").unwrap();
                assert_eq!(tell(), first);
            }
            fs::write(&templates, "paths: {}\n").unwrap();
            write("two");
            let second = tell();
            assert_eq!(second.0, "two");
            // A mount point of long ago.
            for folder in [&plugins, &settings] {
                let away = folder.with_extension("away");
                fs::rename(folder, &away).unwrap();
                fs::create_dir(folder).unwrap();
                let long_ago = SystemTime::now() - Duration::from_secs(1_000_000);
                fs::File::open(folder).unwrap().set_modified(long_ago).unwrap();
                assert_eq!(tell(), second);
                fs::remove_dir(folder).unwrap();
                fs::rename(&away, folder).unwrap();
                assert_eq!(tell(), second);
            }
        },
    );
}

#[test]
fn edited_hooks_and_settings_of_a_configuration_are_seen() {
    isolated("upgrades::edited_hooks_and_settings_of_a_configuration_are_seen", || {
        let configs = bundled().unwrap();
        let host = watchful(&configs);
        let settings = configs.config("project_a").join("config/core");
        let hook = settings.join("hooks/core_version.py");
        let write_hook = |word: &str| {
            fs::create_dir_all(hook.parent().unwrap()).unwrap();
            let code = "import sgtk\nclass Own(sgtk.get_hook_baseclass()):\n    def execute(self, \
                            **_):\n        return ";
            fs::write(&hook, format!("{code}{word}\n")).unwrap();
        };
        let run = || -> String {
            let expression = "sgtk.Sgtk('/projects/project_a').execute_core_hook('core_version')";
            host.with_sgtk("project_a", |sgtk| Ok(value(sgtk, expression))).unwrap()
        };
        for word in ["one", "two"] {
            write_hook(&format!("{word:?}"));
            assert_eq!(run(), word);
        }
        write_hook("(");
        assert_eq!(run(), "two");
        write_hook("'three'");
        assert_eq!(run(), "three");
        // A file that is no YAML is not given up the old ones for either.
        let identity = || {
            let id = |sgtk: &Bound<'_, PyModule>| Ok(sgtk.as_ptr() as usize);
            host.with_sgtk("project_a", id).unwrap()
        };
        let before = identity();
        fs::write(settings.join("templates.yml"), "paths: [unclosed\n").unwrap();
        assert_eq!(identity(), before);
        fs::write(settings.join("templates.yml"), "paths: {}\n").unwrap();
        assert_ne!(identity(), before, "what the core has read of it is read again");
        assert_eq!(host.residents().len(), 1);
    });
}

#[test]
fn a_core_that_is_kept_loads_no_module_of_the_new_one_late() {
    isolated("upgrades::a_core_that_is_kept_loads_no_module_of_the_new_one_late", || {
        let configs = bundled().unwrap();
        let host = watchful(&configs);
        let core = configs.config("project_a").join("install/core");
        assert_eq!(version(&host, "project_a").unwrap(), "v0.24.0");
        let late = |module: &str| {
            let code = format!("__import__('{module}', fromlist=['x']).CORE_VERSION");
            host.with_sgtk("project_a", |sgtk| {
                let code = std::ffi::CString::new(code.as_str()).unwrap();
                sgtk.py().eval(&code, None, None)?.extract::<String>()
            })
        };
        assert_eq!(late("tank.late_a").unwrap(), "v0.24.0");
        let new = Release::new(&Core::newer("v0.25.0"));
        // An upgrade that has come as far as this, and stands still.
        new.copy(Path::new("python/tank/late_b.py"), &core, false);
        new.copy(Path::new("python/tank/late_c.py"), &core, true);
        fs::remove_file(core.join("python/tank/late_d.py")).unwrap();
        fs::write(core.join("python/tank/late_z.py"), "CORE_VERSION = 'v0.25.0'\n").unwrap();
        for (module, reason) in [
            ("late_b", "was replaced"),
            ("late_c", "was replaced"),
            ("late_d", "has gone"),
            ("late_z", "has come"),
        ] {
            let error = late(&format!("tank.{module}")).unwrap_err().to_string();
            for word in [module, reason, "'project_a'", "an upgrade may be running"] {
                assert!(error.contains(word), "{error}");
            }
        }
        // What has not been replaced is still its own, and so is what is loaded.
        assert_eq!(late("tank.late_e").unwrap(), "v0.24.0");
        assert_eq!(version(&host, "project_a").unwrap(), "v0.24.0");
        // Permissions are nothing that counts.
        let file = core.join("python/tank/deferred/__init__.py");
        let mut permissions = fs::metadata(&file).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&file, permissions).unwrap();
        assert_eq!(late("tank.deferred").unwrap(), "v0.24.0");
        for file in &new.files {
            new.copy(file, &core, false);
        }
        fs::remove_file(core.join("python/tank/late_z.py")).unwrap();
        assert_eq!(late("tank.late_b").unwrap(), "v0.25.0");
        assert_eq!(version(&host, "project_a").unwrap(), "v0.25.0");
    });
}
