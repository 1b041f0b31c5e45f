//! Cores that cannot be imported: a clear error, an exact undo, and no harm to anybody else.

use pyo3::prelude::*;
use sgtk_host::{Error, Host};
use sgtk_host_fixtures::{Broken, Configs, Core, bundled, isolated};

use crate::support::{Daemon, assert_audit_is_empty, host, lease_own, options, value};

/// What can be broken about a core and what the error must say of it.
fn ways(configs: &Configs) -> Vec<(Broken, &'static [&'static str])> {
    let elsewhere = Configs::python(&configs.config("project_d"));
    vec![
        (Broken::RaisesImportError, &["Traceback", "commands.py", "a_library_that_is_nowhere"]),
        (Broken::SyntaxError, &["commands.py", "SyntaxError"]),
        (Broken::SystemExit, &["Traceback", "commands.py", "SystemExit: this core wants another Python"]),
        (Broken::KeyboardInterrupt, &["Traceback", "commands.py", "KeyboardInterrupt: in the middle"]),
        (Broken::LacksSgtk, &["sgtk"]),
        (Broken::HalfUpgraded, &["Traceback", "TankUnreadableFileError"]),
        (
            Broken::LeavesTraces,
            &["Traceback", "commands.py", "this core fails when it has changed everything"],
        ),
        (Broken::SgtkIsNotTank, &["'sgtk' was expected from", "which is not the module 'tank'"]),
        (Broken::BorrowsTank(elsewhere), &["'tank' was expected from", "project_d"]),
    ]
}

/// A daemon with something of everything that a broken core could spoil.
fn rich_daemon() -> Daemon {
    let daemon = Daemon::new();
    daemon.run(
        "
sys.path[:0] = [HOST_LIBRARIES, HOST_PACKAGES]
import tankobon, yaml, shotgun_api3, types
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return None
sys.meta_path.insert(0, Finder)
sys.modules['tank_of_water'] = None
sys._tank_vendor_meta_finder_of_the_daemon = Finder
os.environ['SHOTGUN_HOME'] = '/the/daemons/own'
os.environ['TANK_CURRENT_PC'] = '/stale'
logging.getLogger('sgtk').addHandler(logging.NullHandler())
logging.getLogger('tank.below')
logging.getLogger('sgtk.daemon').setLevel(7)
",
    );
    daemon
}

#[test]
fn a_failed_import_leaves_the_process_as_it_was() {
    isolated("failures::a_failed_import_leaves_the_process_as_it_was", || {
        let configs = bundled().unwrap();
        for generation in [Core::newer("v0.99.0"), Core::older("v0.98.0")] {
            for (broken, said) in ways(&configs) {
                if matches!(broken, Broken::BorrowsTank(_)) && !generation.is_newer() {
                    // The other core takes the daemon's libraries then, and raises.
                    continue;
                }
                configs.localized("project_x", &generation.clone().broken(broken.clone())).unwrap();
                let host = host(&configs);
                let daemon = rich_daemon();
                daemon.remember();
                let error = match Python::attach(|py| host.lease(py, "project_x").map(drop)) {
                    Err(error) => error,
                    Ok(()) => panic!("{broken:?} was imported"),
                };
                assert_says(&error, &broken, &configs, said);
                daemon.assert_as_before(&format!("{broken:?}"));
                assert_eq!(host.residents().len(), 0);
                assert_audit_is_empty(&host);
                daemon
                    .run("sys.path[:2] = []\nsys.meta_path.remove(Finder)\ndel sys.modules['tank_of_water']");
            }
        }
    });
}

fn assert_says(error: &Error, broken: &Broken, configs: &Configs, said: &[&str]) {
    let text = error.to_string();
    let core = configs.config("project_x").join("install/core");
    assert!(text.contains(core.to_str().unwrap()), "{broken:?} names the core: {text}");
    if !matches!(error, Error::Config { .. }) {
        assert!(text.contains("'project_x'"), "{broken:?} names the project: {text}");
    }
    for words in said {
        assert!(text.contains(words), "{broken:?} says {words}: {text}");
    }
    match broken {
        Broken::LacksSgtk => assert!(matches!(error, Error::Config { .. }), "{text}"),
        Broken::SgtkIsNotTank | Broken::BorrowsTank(_) => {
            assert!(matches!(error, Error::WrongCore { .. }), "{text}");
        }
        _ => assert!(matches!(error, Error::Import { .. }), "{text}"),
    }
    if let Error::Import { cause, version, .. } = error {
        assert!(version.starts_with("v0.9"), "{version}");
        assert_eq!(cause.traceback.is_some(), said.contains(&"Traceback") || *broken == Broken::SyntaxError);
    }
}

#[test]
fn the_next_project_works_after_each_failure_and_so_does_the_broken_one_once_mended() {
    isolated(
        "failures::the_next_project_works_after_each_failure_and_so_does_the_broken_one_once_mended",
        || {
            let configs = bundled().unwrap();
            let host = host(&configs);
            let daemon = Daemon::new();
            lease_own(&host, "project_a", "v0.24.0", |_| ());
            daemon.remember();
            for (number, (broken, _)) in ways(&configs).into_iter().enumerate() {
                let project = format!("project_x{number}");
                configs.broken(&project, broken.clone()).unwrap();
                for _ in 0..2 {
                    Python::attach(|py| host.lease(py, &project).map(drop)).unwrap_err();
                    lease_own(&host, "project_a", "v0.24.0", |_| ());
                    lease_own(&host, "project_b", "v0.22.5", |_| ());
                }
                configs.repair(&project).unwrap();
                lease_own(&host, &project, "v0.99.0", |sgtk| {
                    assert_eq!(value::<String>(sgtk, "sgtk.commands.CORE_VERSION"), "v0.99.0", "{broken:?}");
                });
                daemon.assert_as_before(&format!("{broken:?}, repaired"));
            }
            assert_audit_is_empty(&host);
        },
    );
}

#[test]
fn a_core_that_fails_on_top_of_another_ones_lease_history_leaves_no_name_of_its_own() {
    isolated(
        "failures::a_core_that_fails_on_top_of_another_ones_lease_history_leaves_no_name_of_its_own",
        || {
            let configs = bundled().unwrap();
            configs.broken("project_x", Broken::LeavesTraces).unwrap();
            let host = options(&configs).build().unwrap();
            let daemon = Daemon::new();
            lease_own(&host, "project_b", "v0.22.5", |_| ());
            Python::attach(|py| host.lease(py, "project_x").map(drop)).unwrap_err();
            lease_own(&host, "project_b", "v0.22.5", |_| {
                for trace in [
                    "[name for name in sys.modules if name in ('sgtk_trace',) or 'core_swap' in name or \
                     name == 'tank.never']",
                    "[entry for entry in sys.path if 'traces' in entry]",
                    "[name for name in vars(sys) if 'trace_finder' in name]",
                    "[name for name in os.environ if 'FIXTURE_TRACE' in name]",
                    "[name for name in logging.Logger.manager.loggerDict if 'trace' in name]",
                ] {
                    assert_eq!(daemon.get::<Vec<String>>(trace), [""; 0], "{trace}");
                }
                assert_eq!(daemon.get::<usize>("len(logging.getLogger('sgtk').handlers)"), 1);
            });
        },
    );
}

#[test]
fn an_import_that_does_not_end_is_stopped_and_undone() {
    isolated("failures::an_import_that_does_not_end_is_stopped_and_undone", || {
        let configs = bundled().unwrap();
        let config = configs.localized("project_x", &Core::newer("v0.99.0")).unwrap();
        let commands = Configs::python(&config).join("tank/commands.py");
        std::fs::write(
            &commands,
            "while True:\n    try:\n        pass\n    except Exception:\n        pass\n",
        )
        .unwrap();
        let host =
            options(&configs).import_timeout(Some(std::time::Duration::from_millis(300))).build().unwrap();
        let daemon = Daemon::new();
        daemon.remember();
        let error = Python::attach(|py| host.lease(py, "project_x").map(drop)).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("'project_x'") && text.contains("did not end within 300ms"), "{text}");
        daemon.assert_as_before("after the limit struck");
        configs.repair("project_x").unwrap();
        let host: Host = options(&configs).build().unwrap();
        lease_own(&host, "project_x", "v0.99.0", |_| ());
    });
}

#[test]
fn a_project_whose_code_has_taken_its_core_apart_has_it_whole_in_the_next_lease() {
    isolated(
        "failures::a_project_whose_code_has_taken_its_core_apart_has_it_whole_in_the_next_lease",
        || {
            let configs = bundled().unwrap();
            let host = host(&configs);
            let daemon = Daemon::new();
            let elsewhere = Configs::python(&configs.config("project_d"));
            let damage = [
                "del sys.modules['sgtk']".to_owned(),
                "del sys.modules['tank']".to_owned(),
                "sys.modules['sgtk'] = type(sys)('sgtk')".to_owned(),
                // What code does that knows of one core alone.
                format!(
                    "
for name in [name for name in sys.modules if name.split('.')[0] == 'tank']:
    del sys.modules[name]
sys.path.insert(0, {:?})
import tank
",
                    elsewhere.to_str().unwrap()
                ),
            ];
            for damage in damage {
                lease_own(&host, "project_a", "v0.24.0", |_| ());
                daemon.remember();
                Python::attach(|py| {
                    let lease = host.lease(py, "project_a").unwrap();
                    daemon.run(&damage);
                    lease.finish().unwrap();
                });
                daemon.assert_as_before(&damage);
                lease_own(&host, "project_a", "v0.24.0", |_| ());
                assert_audit_is_empty(&host);
            }
        },
    );
}
