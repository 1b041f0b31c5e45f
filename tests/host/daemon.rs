//! What the daemon has imported itself: no core takes it, none touches it.

use pyo3::prelude::*;
use sgtk_host_fixtures::{bundled, bundled_versions, isolated};

use crate::support::{Daemon, assert_audit_is_empty, host, lease_own, options, value};

/// A daemon that has libraries which cores bring along too, in other versions.
fn with_libraries() -> Daemon {
    let daemon = Daemon::new();
    daemon.run(
        "
sys.path.insert(0, HOST_LIBRARIES)
import yaml, shotgun_api3, yaml.loader
Shotgun, certificates = shotgun_api3.Shotgun, shotgun_api3.Shotgun._get_certs_file
libraries = {name: module for name, module in sys.modules.items() if name.split('.')[0] in ('yaml', 'shotgun_api3')}
",
    );
    daemon
}

#[test]
fn a_library_of_the_daemons_is_neither_taken_by_a_core_nor_touched() {
    isolated("daemon::a_library_of_the_daemons_is_neither_taken_by_a_core_nor_touched", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let daemon = with_libraries();
        daemon.remember();
        for _ in 0..2 {
            for (project, version) in bundled_versions() {
                lease_own(&host, project, version, |sgtk| {
                    let newer = version > "v0.23";
                    let visible = if newer { version } else { "host" };
                    assert_eq!(
                        daemon.get::<Vec<String>>(
                            "[sys.modules[n].CORE_VERSION for n in ('yaml', 'shotgun_api3')]"
                        ),
                        [visible; 2],
                        "{project}"
                    );
                    assert_eq!(
                        value::<String>(sgtk, "sgtk.util.shotgun.connection('x').core_version"),
                        version
                    );
                });
                assert!(
                    daemon.get::<bool>("all(sys.modules[name] is libraries[name] for name in libraries)")
                );
                assert!(daemon.get::<bool>(
                    "shotgun_api3.Shotgun is Shotgun and Shotgun._get_certs_file is certificates \
                         and not hasattr(certificates, 'wrapped')"
                ));
                daemon.assert_as_before(project);
            }
        }
        assert_audit_is_empty(&host);
    });
}

#[test]
fn the_daemons_own_code_finds_its_own_library_even_inside_a_lease() {
    isolated("daemon::the_daemons_own_code_finds_its_own_library_even_inside_a_lease", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let daemon = with_libraries();
        // On a thread of the daemon's that holds no lease.
        daemon.run(
            "
import threading, importlib
def look():
    def run():
        import yaml as statement
        from shotgun_api3 import Shotgun as by_name
        seen[:] = [statement, importlib.import_module('yaml.loader'), by_name]
    seen = []
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return [seen[0] is yaml, seen[1] is libraries['yaml.loader'], seen[2] is Shotgun]
",
        );
        for (project, version) in bundled_versions() {
            lease_own(&host, project, version, |_| {
                assert_eq!(daemon.get::<Vec<bool>>("look()"), [true; 3], "{project}");
            });
        }
    });
}

#[test]
fn a_library_that_the_daemon_imports_between_leases_is_its_own() {
    isolated("daemon::a_library_that_the_daemon_imports_between_leases_is_its_own", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let daemon = Daemon::new();
        for (project, version) in bundled_versions() {
            lease_own(&host, project, version, |_| ());
        }
        daemon.run("sys.path.insert(0, HOST_LIBRARIES)\nimport yaml");
        assert_eq!(daemon.get::<String>("yaml.CORE_VERSION"), "host");
        for (project, version) in bundled_versions() {
            lease_own(&host, project, version, |_| ());
            assert!(daemon.get::<bool>("sys.modules['yaml'] is yaml"));
        }
        daemon.run("del sys.modules['yaml'], sys.modules['yaml.loader']");
        for (project, version) in bundled_versions() {
            lease_own(&host, project, version, |_| ());
            assert!(!daemon.get::<bool>("'yaml' in sys.modules"));
        }
    });
}

#[test]
fn a_core_of_the_daemons_own_is_out_of_the_way_and_comes_back() {
    isolated("daemon::a_core_of_the_daemons_own_is_out_of_the_way_and_comes_back", || {
        let configs = bundled().unwrap();
        let other = bundled().unwrap();
        let host = host(&configs);
        let daemon = Daemon::new();
        // What a daemon does that has used Toolkit without this crate: a newer core, zips, finder and
        // all.
        let core = sgtk_host_fixtures::Configs::python(&other.config("project_d"));
        daemon.run(&format!("sys.path.insert(0, {:?})\nimport sgtk as own", core.to_str().unwrap()));
        daemon.remember();
        for _ in 0..2 {
            for (project, version) in bundled_versions() {
                host.with_sgtk(project, |sgtk| {
                    assert_eq!(value::<String>(sgtk, "sgtk.__version__"), version);
                    assert_eq!(value::<String>(sgtk, "sgtk.util.shotgun.API_VERSION"), version);
                    // Its libraries under their real names are the daemon's, which an older core does not
                    // use.
                    let foreign =
                        "[n for n in sgtk.util.foreign_modules() if n.startswith(('tank', 'sgtk'))]";
                    assert_eq!(value::<Vec<String>>(sgtk, foreign), [""; 0], "{project}");
                    if version > "v0.23" {
                        assert_eq!(value::<Vec<String>>(sgtk, "sgtk.util.foreign_modules()"), [""; 0]);
                    }
                    assert!(daemon.get::<bool>("sys.modules['sgtk'] is not own"));
                    let theirs = format!("[entry for entry in sys.path if {:?} in entry]", other.base());
                    assert_eq!(daemon.get::<Vec<String>>(&theirs), [""; 0], "{project}");
                    Ok(())
                })
                .unwrap();
                daemon.assert_as_before(project);
            }
        }
        assert_eq!(daemon.get::<String>("own.util.late('from_absolute')['from_absolute']"), "v0.23.8");
        assert_audit_is_empty(&host);
    });
}

#[test]
fn names_that_start_like_toolkits_are_the_daemons_again_outside_leases() {
    isolated("daemon::names_that_start_like_toolkits_are_the_daemons_again_outside_leases", || {
        let configs = bundled().unwrap();
        let host = options(&configs).exempt("sgtk_studio_utils").build().unwrap();
        let daemon = Daemon::new();
        daemon.run("sys.path.append(HOST_PACKAGES)\nimport tankobon, sgtk_studio_utils");
        daemon.remember();
        for (project, version) in bundled_versions() {
            lease_own(&host, project, version, |_| {
                assert!(!daemon.get::<bool>("'tankobon' in sys.modules"));
                assert!(daemon.get::<bool>("sys.modules['sgtk_studio_utils'] is sgtk_studio_utils"));
                assert_eq!(daemon.get::<String>("sgtk_studio_utils.current_version()"), version);
            });
            daemon.assert_as_before(project);
        }
        assert_eq!(daemon.get::<usize>("sgtk_studio_utils.state['calls']"), 6);
    });
}

#[test]
fn the_daemons_loggers_are_its_own_and_a_projects_level_stays_with_it() {
    isolated("daemon::the_daemons_loggers_are_its_own_and_a_projects_level_stays_with_it", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let daemon = Daemon::new();
        daemon.run(
            "own = logging.getLogger('sgtk')\nown.setLevel(33)\nbelow = logging.getLogger('sgtk.below')",
        );
        for (project, version) in bundled_versions().iter().cycle().take(12) {
            lease_own(&host, project, version, |_| {
                daemon.run("project = logging.getLogger('sgtk')");
                assert!(daemon.get::<bool>(
                    "project is not own and 'sgtk.below' not in logging.Logger.manager.loggerDict"
                ));
                assert_eq!(daemon.get::<usize>("project.level"), 10);
                assert_eq!(
                    daemon.get::<Vec<String>>("[h.core_version for h in project.handlers]"),
                    [*version]
                );
            });
            assert!(
                daemon.get::<bool>(
                    "logging.getLogger('sgtk') is own and own.level == 33 and below.parent is own"
                )
            );
        }
    });
}

#[test]
fn a_level_that_the_daemon_sets_for_all_counts_for_parked_projects_too() {
    isolated("daemon::a_level_that_the_daemon_sets_for_all_counts_for_parked_projects_too", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let daemon = Daemon::new();
        let enabled = "logging.getLogger('sgtk.core.api').isEnabledFor(logging.INFO)";
        lease_own(&host, "project_a", "v0.24.0", |_| assert!(daemon.get::<bool>(enabled)));
        daemon.run("logging.disable(logging.WARNING)");
        lease_own(&host, "project_a", "v0.24.0", |_| assert!(!daemon.get::<bool>(enabled)));
        daemon.run("logging.disable(logging.NOTSET)");
        lease_own(&host, "project_a", "v0.24.0", |_| assert!(daemon.get::<bool>(enabled)));
    });
}

#[test]
fn a_daemon_that_changes_things_between_all_leases_sees_them_all() {
    isolated("daemon::a_daemon_that_changes_things_between_all_leases_sees_them_all", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let daemon = Daemon::new();
        for (round, (project, version)) in bundled_versions().iter().cycle().take(60).enumerate() {
            daemon.run(&format!(
                "
import types
sys.modules['module_{round}'] = types.ModuleType('module_{round}')
sys.path.append('/path/{round}')
os.environ['VARIABLE_{round}'] = '{round}'
logging.getLogger('logger.{round}')
"
            ));
            daemon.remember();
            lease_own(&host, project, version, |_| {
                let there = format!(
                    "['module_{round}' in sys.modules, '/path/{round}' in sys.path, 'VARIABLE_{round}' \
                         in os.environ, 'logger.{round}' in logging.Logger.manager.loggerDict]"
                );
                assert_eq!(daemon.get::<Vec<bool>>(&there), [true; 4]);
            });
            daemon.assert_as_before(project);
        }
        Python::attach(|py| assert_eq!(host.audit(py).unwrap(), []));
    });
}
