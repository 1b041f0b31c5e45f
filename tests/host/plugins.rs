//! Event plugins, and host packages that a project's code imports: whose copy they are.

use std::fs;
use std::path::Path;

use pyo3::prelude::*;
use sgtk_host::{Error, Host};
use sgtk_host_fixtures::{bundled, bundled_versions, isolated, plugins};

use crate::support::{Daemon, assert_audit_is_empty, host, lease_own, options};

fn with_plugins() -> (sgtk_host_fixtures::Configs, Host, Daemon) {
    let configs = bundled().unwrap();
    let host = options(&configs).plugin_path(plugins()).build().unwrap();
    let daemon = Daemon::new();
    daemon.run(
        "
import importlib
log = logging.getLogger('daemon.plugins')
def event(project, number=1):
    return {'id': number, 'type': 'x', 'project': project, 'entity': {'type': 'Version', 'id': 1}}
def handle(plugin, project, args=None):
    return getattr(importlib.import_module(plugin), plugin)(None, log, event(project), args)
",
    );
    (configs, host, daemon)
}

#[test]
fn each_project_has_its_own_copy_of_a_plugin_bound_to_its_own_core() {
    isolated("plugins::each_project_has_its_own_copy_of_a_plugin_bound_to_its_own_core", || {
        let (_configs, host, daemon) = with_plugins();
        daemon.run("copies = {}");
        for _ in 0..3 {
            for (project, version) in bundled_versions() {
                lease_own(&host, project, version, |_| {
                    daemon.run(&format!(
                        "
told = handle('report_core', {project:?})
yaml = handle('core_yaml', {project:?}, {{'key': 'project_name'}})
counted = handle('counts', {project:?})
late_import = handle('late_import', {project:?})
failed = late(handle, 'raises', {project:?})
copies.setdefault({project:?}, sys.modules['report_core'])
own = copies[{project:?}] is sys.modules['report_core']
"
                    ));
                    assert_eq!(
                        daemon.get::<Vec<String>>(
                            "[told['version'], told['library'], yaml['version'], yaml['yaml'], \
                                 counted['version'], late_import['version']]"
                        ),
                        [version; 6]
                    );
                    assert_eq!(daemon.get::<Vec<String>>("list(counted['seen'])"), [project]);
                    assert_eq!(daemon.get::<String>("failed"), format!("TankError: {version}: no asset 1"));
                    assert!(daemon.get::<bool>("own"), "the same copy in each lease");
                });
                assert!(!daemon.get::<bool>("'report_core' in sys.modules or 'counts' in sys.modules"));
            }
        }
        assert_eq!(daemon.get::<usize>("len({id(module) for module in copies.values()})"), 6);
        assert_audit_is_empty(&host);
    });
}

#[test]
fn a_parked_plugin_that_the_daemon_still_holds_imports_from_its_own_core() {
    isolated("plugins::a_parked_plugin_that_the_daemon_still_holds_imports_from_its_own_core", || {
        let (_configs, host, daemon) = with_plugins();
        daemon.run("callbacks = {}");
        for (project, version) in bundled_versions() {
            lease_own(&host, project, version, |_| {
                daemon.run(&format!(
                    "callbacks[{project:?}] = importlib.import_module('late_import').late_import"
                ));
            });
        }
        for (project, version) in bundled_versions() {
            let call = format!("callbacks[{project:?}](None, log, event({project:?}), None)['version']");
            assert_eq!(daemon.get::<String>(&call), version, "outside leases");
        }
        assert_audit_is_empty(&host);
    });
}

#[test]
fn plugin_folders_stand_behind_the_core_and_before_the_daemons_own_path() {
    isolated("plugins::plugin_folders_stand_behind_the_core_and_before_the_daemons_own_path", || {
        let (configs, host, daemon) = with_plugins();
        // The daemon may well have the folder on its own path too, and modules of it loaded.
        daemon.run(&format!("plugins = {:?}\nsys.path.append(plugins)", plugins()));
        daemon.run(
            "import types\nsys.modules['report_core'] = mine = \
                        types.ModuleType('report_core')\nmine.__file__ = plugins + '/report_core.py'",
        );
        daemon.remember();
        for _ in 0..3 {
            for (project, version) in bundled_versions() {
                lease_own(&host, project, version, |_| {
                    let core = host.configs().locate(project).unwrap().python().to_owned();
                    daemon.run(&format!("core, first = sys.path.index({core:?}), sys.path.index(plugins)"));
                    daemon.run("index = sys.path.index(before['path'][0])");
                    assert!(
                        daemon.get::<bool>("core < first < index and sys.path.count(plugins) == 2"),
                        "{project}: {}",
                        daemon.get::<String>("repr(sys.path)")
                    );
                    daemon.run(&format!("told = handle('report_core', {project:?})"));
                    assert_eq!(daemon.get::<String>("told['version']"), version);
                });
                daemon.assert_as_before(project);
            }
        }
        drop(configs);
    });
}

#[test]
fn a_plugin_that_changed_is_read_again_when_its_project_is_imported_anew() {
    isolated("plugins::a_plugin_that_changed_is_read_again_when_its_project_is_imported_anew", || {
        let configs = bundled().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let plugin = folder.path().join("my_plugin.py");
        fs::write(&plugin, "import sgtk\nTEXT = 'first'\n").unwrap();
        let host = options(&configs).plugin_path(folder.path()).build().unwrap();
        let daemon = Daemon::new();
        daemon.run("sys.dont_write_bytecode = True");
        let text = || daemon.get::<String>("__import__('my_plugin').TEXT");
        for (project, version) in [("project_a", "v0.24.0"), ("project_b", "v0.22.5")] {
            lease_own(&host, project, version, |_| assert_eq!(text(), "first"));
        }
        fs::write(&plugin, "import sgtk\nTEXT = 'the second text'\n").unwrap();
        lease_own(&host, "project_a", "v0.24.0", |_| {
            daemon.run("import importlib, my_plugin\nimportlib.reload(my_plugin)");
            assert_eq!(text(), "the second text");
        });
        lease_own(&host, "project_b", "v0.22.5", |_| assert_eq!(text(), "first", "its own copy"));
        assert!(Python::attach(|py| host.evict(py, "project_b")).unwrap());
        lease_own(&host, "project_b", "v0.22.5", |_| assert_eq!(text(), "the second text"));
        // A file that was not there when the folder was first looked at.
        fs::write(folder.path().join("new_plugin.py"), "import sgtk\nTEXT = sgtk.__version__\n").unwrap();
        daemon.run("import importlib\nimportlib.invalidate_caches()");
        for (project, version) in bundled_versions() {
            lease_own(&host, project, version, |_| {
                assert_eq!(daemon.get::<String>("__import__('new_plugin').TEXT"), version);
            });
        }
    });
}

#[test]
fn exempt_modules_of_a_plugin_folder_are_everybodys() {
    isolated("plugins::exempt_modules_of_a_plugin_folder_are_everybodys", || {
        let configs = bundled().unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("shared_things.py"), "seen = []\n").unwrap();
        fs::write(folder.path().join("own_things.py"), "seen = []\n").unwrap();
        let host = options(&configs).plugin_path(folder.path()).exempt("shared_things").build().unwrap();
        let daemon = Daemon::new();
        for (number, (project, version)) in bundled_versions().into_iter().enumerate() {
            lease_own(&host, project, version, |_| {
                daemon.run(
                    "import shared_things, \
                                own_things\nshared_things.seen.append(1)\nown_things.seen.append(1)",
                );
                assert_eq!(daemon.get::<usize>("len(shared_things.seen)"), number + 1);
                assert_eq!(daemon.get::<usize>("len(own_things.seen)"), 1);
            });
        }
        assert!(daemon.get::<bool>("'shared_things' in sys.modules and 'own_things' not in sys.modules"));
    });
}

#[test]
fn a_plugin_folder_that_is_none_is_refused() {
    isolated("plugins::a_plugin_folder_that_is_none_is_refused", || {
        let configs = bundled().unwrap();
        let error = options(&configs).plugin_path("/no/such/folder").build().unwrap_err();
        assert!(
            matches!(&error, Error::Setting { source } if source.setting == "plugin_path" && source.value == "'/no/such/folder'"),
            "{error}"
        );
        for name in ["sgtk", "tank", "", "a.b"] {
            let error = options(&configs).exempt(name).build().unwrap_err();
            assert!(matches!(&error, Error::Setting { source } if source.setting == "exempt"), "{error}");
        }
        let error = options(&configs).max_resident(0).build().unwrap_err();
        assert!(matches!(&error, Error::Setting { source } if source.setting == "max_resident"), "{error}");
    });
}

/// Loads a folder as Toolkit's bundles do, under a name that nobody knows in advance.
const LOADS: &str = "
import importlib.util, sys, uuid

def load(folder):
    name = 'tkimp' + uuid.uuid4().hex
    spec = importlib.util.spec_from_file_location(name, folder + '/__init__.py')
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [name, module.inside.VERSION, sys.modules[name + '.folder'].inside.VERSION]
";

#[test]
fn a_package_without_a_file_inside_a_bundle_is_its_projects() {
    isolated("plugins::a_package_without_a_file_inside_a_bundle_is_its_projects", || {
        let configs = bundled().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let bundle = folder.path().join("bundle");
        fs::create_dir_all(bundle.join("folder/deeper")).unwrap();
        fs::write(folder.path().join("loads.py"), LOADS).unwrap();
        fs::write(
            bundle.join("__init__.py"),
            "from .folder import inside\nfrom .folder.deeper import last\n",
        )
        .unwrap();
        for file in ["folder/inside.py", "folder/deeper/last.py"] {
            fs::write(bundle.join(file), "import sgtk\nVERSION = sgtk.__version__\n").unwrap();
        }
        let host = options(&configs).plugin_path(folder.path()).build().unwrap();
        let daemon = Daemon::new();
        daemon.run(&format!("bundle = {:?}\nnames = []", bundle.display().to_string()));
        let visible = "[name for name in sys.modules if name.startswith('tkimp')]";
        for _ in 0..2 {
            for (project, version) in bundled_versions() {
                let seen = lease_own(&host, project, version, |_| {
                    daemon.run("import loads\ntold = loads.load(bundle)\nnames.append(told.pop(0))");
                    assert_eq!(daemon.get::<Vec<String>>("told"), [version; 2]);
                    daemon.get::<usize>(&format!("len({visible})"))
                });
                assert_eq!(daemon.get::<Vec<String>>(visible), [""; 0], "{project}");
                // A package, its folder, the deeper one, and a module in each.
                assert!(seen % 5 == 0, "{project} sees {seen}");
            }
        }
        for (project, version) in bundled_versions() {
            let seen =
                lease_own(&host, project, version, |_| daemon.get::<usize>(&format!("len({visible})")));
            assert_eq!(seen, 10, "{project}");
            Python::attach(|py| host.evict(py, project)).unwrap();
        }
        daemon.run("import gc\ngc.collect()");
        let left = "[name for module in gc.get_objects() if isinstance(module, type(sys)) \
                        for name in [getattr(module, '__name__', '')] if name.startswith('tkimp')]";
        assert_eq!(daemon.get::<Vec<String>>(left), [""; 0]);
        assert_audit_is_empty(&host);
    });
}

/// Host packages, in a folder that stands on the daemon's own path.
fn studio_packages(folder: &Path) {
    let package = folder.join("studio");
    fs::create_dir_all(&package).unwrap();
    for (file, text) in [
        ("__init__.py", ""),
        ("plain.py", "seen = []\n"),
        ("by_module.py", "import shotgun_api3\n\ndef got():\n    return shotgun_api3.CORE_VERSION\n"),
        ("by_class.py", "from shotgun_api3 import Shotgun\n\ndef got():\n    return Shotgun.core_version\n"),
        (
            "by_function.py",
            "from yaml import safe_load\n\ndef got():\n    return safe_load.__globals__['CORE_VERSION']\n",
        ),
        ("by_another.py", "from . import by_class\n\ndef got():\n    return by_class.got()\n"),
        ("of_the_core.py", "import sgtk\n\ndef got():\n    return sgtk.__version__\n"),
    ] {
        fs::write(package.join(file), text).unwrap();
    }
}

const CONTAMINATED: [&str; 5] = ["by_module", "by_class", "by_function", "by_another", "of_the_core"];

#[test]
fn a_host_package_that_takes_a_projects_library_is_that_projects_own_copy() {
    isolated("plugins::a_host_package_that_takes_a_projects_library_is_that_projects_own_copy", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let folder = tempfile::tempdir().unwrap();
        studio_packages(folder.path());
        let daemon = Daemon::new();
        // The older cores do not bring the libraries under these names: the daemon's own are found.
        daemon.run(&format!("import importlib\nsys.path[:0] = [{:?}, HOST_LIBRARIES]", folder.path()));
        for _ in 0..2 {
            for (project, version) in bundled_versions() {
                lease_own(&host, project, version, |_| {
                    for name in CONTAMINATED {
                        let got: String =
                            daemon.get(&format!("importlib.import_module('studio.{name}').got()"));
                        let host_library = version < "v0.23" && name != "of_the_core";
                        assert_eq!(got, if host_library { "host" } else { version }, "{project}: {name}");
                        // By the package's attribute, as `from studio import by_class` finds it.
                        daemon.run(&format!("from studio import {name} as by_attribute"));
                        assert_eq!(daemon.get::<String>("by_attribute.got()"), got, "{project}: {name}");
                    }
                    daemon.run("import studio.plain\nstudio.plain.seen.append(1)");
                });
                assert_audit_is_empty(&host);
            }
        }
    });
}

#[test]
fn a_shared_package_does_not_carry_one_projects_submodule_to_another() {
    isolated("plugins::a_shared_package_does_not_carry_one_projects_submodule_to_another", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let folder = tempfile::tempdir().unwrap();
        studio_packages(folder.path());
        let daemon = Daemon::new();
        daemon.run(&format!("sys.path[:0] = [{:?}, HOST_LIBRARIES]\nimport studio.plain", folder.path()));
        daemon.run("package = dict(vars(studio))");
        for _ in 0..2 {
            for (project, version) in bundled_versions() {
                lease_own(&host, project, version, |_| {
                    daemon.run("import studio.of_the_core\nfrom studio import of_the_core as by_attribute");
                    assert_eq!(daemon.get::<String>("by_attribute.got()"), version, "{project}");
                    assert!(daemon.get::<bool>("sys.modules['studio.of_the_core'] is studio.of_the_core"));
                    daemon.run("studio.plain.seen.append(1)");
                });
                assert!(
                    daemon.get::<bool>("vars(studio) == package"),
                    "nothing of {project} outside its lease"
                );
            }
        }
        assert_eq!(daemon.get::<usize>("len(studio.plain.seen)"), 12);
        assert_audit_is_empty(&host);
    });
}

#[test]
fn a_host_package_that_the_daemon_has_imported_stays_the_daemons() {
    isolated("plugins::a_host_package_that_the_daemon_has_imported_stays_the_daemons", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let folder = tempfile::tempdir().unwrap();
        studio_packages(folder.path());
        let daemon = Daemon::new();
        daemon.run(&format!("sys.path[:0] = [{:?}, HOST_LIBRARIES]\nimport studio.by_class", folder.path()));
        daemon.remember();
        for (project, version) in bundled_versions() {
            lease_own(&host, project, version, |_| {
                assert_eq!(daemon.get::<String>("studio.by_class.got()"), "host");
                assert!(daemon.get::<bool>("sys.modules['studio.by_class'] is studio.by_class"));
            });
            daemon.assert_as_before(project);
        }
    });
}

#[test]
fn a_module_of_the_standard_library_under_a_second_name_is_nobodys() {
    isolated("plugins::a_module_of_the_standard_library_under_a_second_name_is_nobodys", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let daemon = Daemon::new();
        daemon.run("import queue, urllib.parse");
        for _ in 0..2 {
            for (project, version) in [("project_b", "v0.22.5"), ("project_c", "v0.20.35")] {
                lease_own(&host, project, version, |_| {
                    daemon.run("moved = sys.modules['tank_vendor.six.moves.queue']");
                    assert!(daemon.get::<bool>("moved is queue and moved is sys.modules['queue']"));
                });
                let marked = "[name for name, module in sys.modules.items() \
                                  if any('owner' in key for key in getattr(module, '__dict__', ()))]";
                assert_eq!(daemon.get::<Vec<String>>(marked), [""; 0]);
            }
        }
        // Looking at modules runs no lazy module's code.
        lease_own(&host, "project_b", "v0.22.5", |_| {
            let asked = "sys.modules['tank_vendor.six.moves'].__dict__['asked_in_vain']";
            assert_eq!(daemon.get::<Vec<String>>(asked), [""; 0]);
        });
    });
}

#[test]
fn a_plugins_import_on_another_thread_finds_its_own_module_and_not_the_daemons_of_that_name() {
    isolated(
        "plugins::a_plugins_import_on_another_thread_finds_its_own_module_and_not_the_daemons_of_that_name",
        || {
            let configs = bundled().unwrap();
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("settings.py"), "import sgtk\nTEXT = sgtk.__version__\n").unwrap();
            fs::write(
                folder.path().join("caller.py"),
                "def text():\n    import settings\n    return settings.TEXT\n",
            )
            .unwrap();
            let host = options(&configs).plugin_path(folder.path()).build().unwrap();
            let daemon = Daemon::new();
            daemon.run(
                "
import threading, types
sys.modules['settings'] = settings = types.ModuleType('settings')
settings.TEXT = 'the daemon'
def on_a_thread(function):
    got = []
    thread = threading.Thread(target=lambda: got.append(late(function)))
    thread.start()
    thread.join()
    return got[0]
callers = {}
",
            );
            // The daemon has read the same file: its copy is out of the way in leases.
            daemon.run(&format!("settings.__file__ = {:?}", folder.path().join("settings.py")));
            for _ in 0..2 {
                for (project, version) in bundled_versions() {
                    lease_own(&host, project, version, |_| {
                        daemon.run(&format!(
                            "import caller, settings as own\ncallers[{project:?}] = caller.text"
                        ));
                        assert_eq!(daemon.get::<String>("own.TEXT"), version);
                        for (there, version) in bundled_versions() {
                            let call =
                                format!("on_a_thread(callers[{there:?}]) if {there:?} in callers else None");
                            let got = daemon.get::<Option<String>>(&call);
                            assert!(got.is_none_or(|got| got == version), "{there} from within {project}");
                        }
                    });
                }
            }
        },
    );
}
