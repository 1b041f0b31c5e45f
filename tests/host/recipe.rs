//! `import_sgtk`: what the published recipe promises, kept.

use std::process::Command;

use pyo3::prelude::*;
use sgtk_host::Error;
use sgtk_host_fixtures::{Broken, Configs, Core, bundled, bundled_versions, isolated, isolated_with, recipe};

use crate::support::{Daemon, assert_audit_is_empty, host, options, value};

/// Imports the project's `sgtk` as the daemon's `sgtk`.
fn import(host: &sgtk_host::Host, daemon: &Daemon, project: &str) {
    let sgtk = host.import_sgtk(project).unwrap();
    Python::attach(|py| daemon.set("sgtk", sgtk.bind(py)));
}

#[test]
fn event_123_for_a_and_then_234_for_b_each_get_their_own_core() {
    isolated("recipe::event_123_for_a_and_then_234_for_b_each_get_their_own_core", || {
        let configs = bundled().unwrap();
        let (host, events) = (host(&configs), [(123, "project_a", "v0.24.0"), (234, "project_b", "v0.22.5")]);
        let daemon = Daemon::new();
        for (event, project, version) in events {
            import(&host, &daemon, project);
            // What a plugin does: `import sgtk` once more, and a Toolkit instance for the project.
            daemon.run("import sgtk as imported");
            assert!(daemon.get::<bool>("imported is sgtk"), "event {event}");
            daemon.run(&format!("tk = imported.sgtk_from_path('/projects/{project}')"));
            assert_eq!(daemon.get::<String>("tk.version"), version, "event {event}");
            assert_eq!(
                daemon.get::<String>("tk.configuration_path"),
                configs.config(project).to_str().unwrap(),
                "event {event}"
            );
        }
    });
}

#[test]
fn the_centralized_example_gives_the_core_of_each_project_it_is_asked_for() {
    isolated("recipe::the_centralized_example_gives_the_core_of_each_project_it_is_asked_for", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let daemon = Daemon::new();
        for (project, version) in bundled_versions().iter().chain(bundled_versions().iter().rev()) {
            import(&host, &daemon, project);
            assert_eq!(daemon.get::<String>("sgtk.__version__"), *version);
            assert_eq!(daemon.get::<Vec<String>>("sgtk.util.foreign_modules()"), [""; 0], "{project}");
            assert_eq!(
                daemon
                    .get::<Vec<String>>("[sgtk.util.shotgun.API_VERSION, sgtk.util.yaml_cache.YAML_VERSION]"),
                [*version; 2]
            );
            assert_audit_is_empty(&host);
        }
    });
}

#[test]
fn the_free_function_finds_the_configurations_by_shotgun_base() {
    // The configurations belong to this process, so that the child's environment can name them.
    let name = "recipe::the_free_function_finds_the_configurations_by_shotgun_base";
    let configs = (!sgtk_host_fixtures::in_child(name)).then(|| bundled().unwrap());
    isolated_with(
        name,
        |child| {
            child.env("SHOTGUN_BASE", configs.as_ref().unwrap().base());
        },
        || {
            for (project, version) in [("project_a", "v0.24.0"), ("project_b", "v0.22.5")] {
                let sgtk = sgtk_host::import_sgtk(project).unwrap();
                Python::attach(|py| {
                    assert_eq!(value::<String>(sgtk.bind(py), "sgtk.__version__"), version);
                });
            }
            let error = sgtk_host::import_sgtk("no such project/..").unwrap_err();
            assert!(matches!(error, Error::Config { .. }), "{error}");
            let daemon = Daemon::new();
            assert_eq!(daemon.get::<String>("__import__('sgtk').__version__"), "v0.22.5");
        },
    );
}

#[test]
fn the_import_begins_without_the_names_and_the_configuration_of_before_and_with_the_core_first_on_the_path() {
    isolated_with(
        "recipe::the_import_begins_without_the_names_and_the_configuration_of_before_and_with_the_core_first_on_the_path",
        |child| {
            child.env("TANK_CURRENT_PC", "/stale");
        },
        || {
            let configs = bundled().unwrap();
            let host = host(&configs);
            let daemon = Daemon::new();
            daemon.run("sys.path.insert(0, HOST_PACKAGES)");
            daemon.run("import tankobon, sgtk_studio_utils");
            for (project, _) in bundled_versions() {
                import(&host, &daemon, project);
                let python = host.configs().locate(project).unwrap().python().to_owned();
                assert_eq!(daemon.get::<String>("sgtk.AT_IMPORT['path']"), python.to_str().unwrap());
                assert_eq!(daemon.get::<Option<String>>("sgtk.AT_IMPORT['configuration']"), None);
                assert_eq!(
                    daemon.get::<Vec<String>>("sgtk.AT_IMPORT['names']"),
                    ["sgtk", "tank"],
                    "the two that are being imported"
                );
            }
        },
    );
}

#[test]
fn nothing_of_the_project_before_is_left() {
    isolated("recipe::nothing_of_the_project_before_is_left", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let daemon = Daemon::new();
        daemon.run("plain_path = list(sys.path)");
        for (project, version) in bundled_versions().iter().cycle().take(13) {
            import(&host, &daemon, project);
            daemon.run(
                "
names = {name: vars(module).get('CORE_VERSION') for name, module in sys.modules.items()
         if name.startswith(('tank', 'sgtk')) and hasattr(module, '__dict__')}
",
            );
            assert_eq!(
                daemon.get::<Vec<(String, String)>>(
                    "[(name, version) for name, version in names.items() if version not in \
                         (sgtk.__version__, None)]"
                ),
                []
            );
            let core = host.configs().locate(project).unwrap().install_core().to_owned();
            let foreign = format!(
                "[entry for entry in sys.path if entry not in plain_path and not entry.startswith({:?})]",
                core.to_str().unwrap()
            );
            assert_eq!(daemon.get::<Vec<String>>(&foreign), [""; 0], "{project} {version}");
            assert!(daemon.get::<bool>("[entry for entry in sys.path if entry in plain_path] == plain_path"));
            let studio = *project == "project_c";
            assert_eq!(
                daemon.get::<Option<String>>("os.environ.get('TANK_CURRENT_PC')"),
                (!studio).then(|| configs.config(project).to_str().unwrap().to_owned())
            );
            assert_eq!(
                daemon.get::<Option<Vec<u8>>>("c_environment().get(b'TANK_CURRENT_PC')"),
                (!studio).then(|| configs.config(project).to_str().unwrap().as_bytes().to_vec())
            );
            assert_eq!(daemon.get::<usize>("len(logging.getLogger('sgtk').handlers)"), 1);
            assert_eq!(
                daemon.get::<Vec<String>>(
                    "[f.core_version for f in sys.meta_path if hasattr(f, 'core_version') and \
                         f.core_version != sgtk.__version__]"
                ),
                [""; 0]
            );
        }
    });
}

#[test]
fn the_same_project_again_is_imported_afresh() {
    isolated("recipe::the_same_project_again_is_imported_afresh", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let daemon = Daemon::new();
        for project in ["project_a", "project_b"] {
            import(&host, &daemon, project);
            daemon
                .run("first, tank, yaml = sgtk, sys.modules['tank.errors'], sys.modules['tank_vendor.yaml']");
            daemon.run("first.set_authenticated_user('ada')");
            import(&host, &daemon, project);
            assert!(daemon.get::<bool>(
                "sgtk is not first and sys.modules['tank.errors'] is not tank \
                     and sys.modules['tank_vendor.yaml'] is not yaml"
            ));
            assert_eq!(daemon.get::<Option<String>>("sgtk.get_authenticated_user()"), None);
        }
    });
}

#[test]
fn only_toolkits_entries_go_from_the_path_whatever_stands_first() {
    isolated("recipe::only_toolkits_entries_go_from_the_path_whatever_stands_first", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let daemon = Daemon::new();
        let stale = Configs::python(&configs.config("project_d"));
        daemon.run(&format!(
            "sys.path[:0] = ['/daemon/first', {:?}, '']\nsys.path.append('/daemon/last')",
            stale.to_str().unwrap()
        ));
        for project in ["project_a", "project_b", "project_a"] {
            import(&host, &daemon, project);
            assert_eq!(
                daemon.get::<Vec<String>>(
                    "[entry for entry in sys.path if entry in ('', '/daemon/first', '/daemon/last')]"
                ),
                ["/daemon/first", "", "/daemon/last"]
            );
            assert!(!daemon.get::<bool>(&format!("{:?} in sys.path", stale.to_str().unwrap())));
        }
        assert!(host.forget_sgtk().unwrap());
        assert_eq!(
            daemon.get::<Vec<String>>("sys.path[:3] + sys.path[-1:]"),
            ["/daemon/first", stale.to_str().unwrap(), "", "/daemon/last"]
        );
    });
}

#[test]
fn what_the_daemon_changes_meanwhile_stays_when_the_next_project_comes() {
    isolated_with(
        "recipe::what_the_daemon_changes_meanwhile_stays_when_the_next_project_comes",
        |child| {
            child.env("DAEMON_OLD", "old");
        },
        || {
            let configs = bundled().unwrap();
            let host = host(&configs);
            let daemon = Daemon::new();
            import(&host, &daemon, "project_a");
            daemon.run(
                "
import types
sys.path.insert(0, '/daemon/first')
sys.path.append('/daemon/last')
os.environ['DAEMON_NEW'] = 'new'
del os.environ['DAEMON_OLD']
sys.daemon_attribute = 'mine'
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return None
sys.meta_path.append(Finder)
sys.modules['daemon_module'] = types.ModuleType('daemon_module')
logging.getLogger('daemon.log').setLevel(5)
",
            );
            let kept = "['/daemon/first' in sys.path, sys.path[-1] == '/daemon/last', \
                        os.environ.get('DAEMON_NEW') == 'new', 'DAEMON_OLD' not in os.environ, getattr(sys, \
                        'daemon_attribute', None) == 'mine', Finder in sys.meta_path, 'daemon_module' in \
                        sys.modules, 'daemon.log' in logging.Logger.manager.loggerDict, \
                        c_environment().get(b'DAEMON_NEW') == b'new', b'DAEMON_OLD' not in c_environment()]";
            for project in ["project_b", "project_a", "project_d"] {
                import(&host, &daemon, project);
                assert_eq!(daemon.get::<Vec<bool>>(kept), [true; 10], "with {project}");
            }
            host.with_sgtk("project_c", |_| {
                assert_eq!(daemon.get::<Vec<bool>>(kept), [true; 10], "in a lease");
                Ok(())
            })
            .unwrap();
            assert!(host.forget_sgtk().unwrap());
            assert_eq!(daemon.get::<Vec<bool>>(kept), [true; 10], "afterwards");
            assert_eq!(daemon.get::<Vec<String>>("toolkit_names()"), [""; 0]);
        },
    );
}

#[test]
fn objects_of_an_earlier_import_keep_working_and_never_import_from_another_core() {
    isolated("recipe::objects_of_an_earlier_import_keep_working_and_never_import_from_another_core", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let daemon = Daemon::new();
        import(&host, &daemon, "project_a");
        daemon.run(
            "
held, tk = sgtk, sgtk.sgtk_from_path('/projects/project_a')
loaded = held.util.late('from_absolute', 'from_relative')
alone = held.util.late
",
        );
        for project in ["project_b", "project_d", "project_c", "project_a"] {
            import(&host, &daemon, project);
            assert_eq!(daemon.get::<String>("str(tk.context_from_path('/p/shot'))"), "p shot");
            assert_eq!(daemon.get::<String>("held.util.loader.TankError.core_version"), "v0.24.0");
            daemon.run("told = {name: late(held.util.late, name) for name in held.util.THROUGH_BUILTIN}");
            assert_eq!(
                daemon.get::<Vec<String>>("[told[name]['from_absolute'] for name in ['from_absolute']]"),
                ["v0.24.0"],
                "what was loaded stays"
            );
            daemon.run(
                "
wrong = []
for name, got in told.items():
    if isinstance(got, dict):
        if got != {name: 'v0.24.0'}:
            wrong.append((name, got))
    elif not (got.startswith('ImportError: cannot import') and \"'project_a'\" in got):
        wrong.append((name, got))
",
            );
            assert_eq!(daemon.get::<String>("repr(wrong)"), "[]", "with {project}");
            assert_audit_is_empty(&host);
        }
        // And from a function alone, when the modules around it are gone.
        daemon.run("del held, tk\nimport gc\ngc.collect()");
        daemon.run("told = [late(alone, name) for name in ('from_relative', 'absolute', 'nested')]");
        assert_eq!(
            daemon.get::<usize>("sum(isinstance(one, dict) or \"'project_a'\" in one for one in told)"),
            3,
            "{}",
            daemon.get::<String>("repr(told)")
        );
    });
}

#[test]
fn the_current_imports_own_late_imports_are_its_own() {
    isolated("recipe::the_current_imports_own_late_imports_are_its_own", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let daemon = Daemon::new();
        for (project, version) in bundled_versions() {
            import(&host, &daemon, project);
            daemon.run("got = {**sgtk.util.late(), **sgtk.util.late(*sgtk.util.AROUND_BUILTIN)}");
            assert_eq!(daemon.get::<Vec<String>>("sorted(set(got.values()))"), [version]);
            assert_audit_is_empty(&host);
        }
    });
}

#[test]
fn names_that_only_start_like_toolkits_go_out_of_the_way_and_come_back() {
    isolated("recipe::names_that_only_start_like_toolkits_go_out_of_the_way_and_come_back", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let daemon = Daemon::new();
        daemon.run("sys.path.append(HOST_PACKAGES)\nimport tankobon, sgtk_studio_utils");
        daemon.run("tankobon.state['opened'] = 1\nvolume = sys.modules['tankobon.volume']");
        for project in ["project_a", "project_b"] {
            import(&host, &daemon, project);
            assert_eq!(
                daemon.get::<Vec<String>>(
                    "[n for n in sys.modules if n.startswith(('tankobon', 'sgtk_studio'))]"
                ),
                [""; 0]
            );
            assert!(
                daemon.get::<bool>("__import__('tankobon') is tankobon"),
                "the daemon's own code finds it"
            );
        }
        assert!(host.forget_sgtk().unwrap());
        assert!(daemon.get::<bool>(
            "sys.modules['tankobon'] is tankobon and sys.modules['tankobon.volume'] is volume \
                 and sys.modules['sgtk_studio_utils'] is sgtk_studio_utils"
        ));
        assert_eq!(daemon.get::<usize>("tankobon.state['opened']"), 1);
    });
}

#[test]
fn exempt_names_stay_where_they_are() {
    isolated("recipe::exempt_names_stay_where_they_are", || {
        let configs = bundled().unwrap();
        let host = options(&configs).exempt("tankobon").exempt("sgtk_studio_utils").build().unwrap();
        let daemon = Daemon::new();
        daemon.run("sys.path.append(HOST_PACKAGES)\nimport tankobon");
        for (project, version) in bundled_versions() {
            import(&host, &daemon, project);
            assert!(
                daemon
                    .get::<bool>("sys.modules['tankobon'] is tankobon and 'tankobon.volume' in sys.modules")
            );
            // Imported while a project is in place, and shared by all.
            daemon.run("import sgtk_studio_utils");
            assert_eq!(daemon.get::<String>("sgtk_studio_utils.current_version()"), version);
        }
        assert!(host.forget_sgtk().unwrap());
        assert_eq!(daemon.get::<usize>("sys.modules['sgtk_studio_utils'].state['calls']"), 6);
    });
}

#[test]
fn a_failed_import_leaves_the_one_before_in_place() {
    isolated("recipe::a_failed_import_leaves_the_one_before_in_place", || {
        let configs = bundled().unwrap();
        configs.broken("project_x", Broken::LeavesTraces).unwrap();
        let host = host(&configs);
        let daemon = Daemon::new();
        import(&host, &daemon, "project_a");
        daemon.run("util = sgtk.util");
        daemon.remember();
        let error = host.import_sgtk("project_x").unwrap_err();
        assert!(matches!(error, Error::Import { .. }), "{error}");
        daemon.assert_as_before("after the failure");
        assert!(daemon.get::<bool>("__import__('sgtk') is sgtk"));
        assert_eq!(daemon.get::<String>("util.late('nested')['nested']"), "v0.24.0");
        import(&host, &daemon, "project_b");
        assert_eq!(daemon.get::<String>("sgtk.__version__"), "v0.22.5");
        configs.repair("project_x").unwrap();
        import(&host, &daemon, "project_x");
        assert_eq!(daemon.get::<String>("sgtk.__version__"), "v0.99.0");
    });
}

#[test]
fn forgetting_leaves_the_process_as_it_was_before_the_first_import() {
    isolated_with(
        "recipe::forgetting_leaves_the_process_as_it_was_before_the_first_import",
        |child| {
            child.env("TANK_CURRENT_PC", "/the/daemons/own");
        },
        || {
            let configs = bundled().unwrap();
            let host = host(&configs);
            let daemon = Daemon::new();
            daemon.remember();
            assert!(!host.forget_sgtk().unwrap(), "nothing to forget");
            for _ in 0..2 {
                for project in ["project_a", "project_b", "project_c"] {
                    import(&host, &daemon, project);
                }
                assert!(host.forget_sgtk().unwrap());
                daemon.assert_as_before("after the import was forgotten");
            }
            assert!(!host.forget_sgtk().unwrap(), "nothing to forget any more");
        },
    );
}

#[test]
fn a_lease_puts_what_was_imported_aside_and_brings_it_back() {
    isolated("recipe::a_lease_puts_what_was_imported_aside_and_brings_it_back", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let other = options(&configs).build().unwrap();
        let daemon = Daemon::new();
        import(&host, &daemon, "project_a");
        host.with_sgtk("project_b", |_| Ok(())).unwrap();
        daemon.remember();
        for (project, version) in bundled_versions() {
            for host in [&host, &other] {
                host.with_sgtk(project, |leased| {
                    assert_eq!(value::<String>(leased, "sgtk.__version__"), version);
                    assert!(
                        daemon.get::<bool>("sys.modules['sgtk'] is not sgtk"),
                        "not even for one project"
                    );
                    assert_eq!(value::<Vec<String>>(leased, "sgtk.util.foreign_modules()"), [""; 0]);
                    Ok(())
                })
                .unwrap();
                daemon.assert_as_before("after a lease");
            }
        }
        assert!(daemon.get::<bool>("__import__('sgtk') is sgtk"));
        assert_audit_is_empty(&host);
    });
}

#[test]
fn inside_a_lease_it_is_refused() {
    isolated("recipe::inside_a_lease_it_is_refused", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        Python::attach(|py| {
            let lease = host.lease(py, "project_a").unwrap();
            for project in ["project_a", "project_b"] {
                let error = host.import_sgtk(project).unwrap_err();
                assert!(
                    matches!(&error, Error::NestedLease { project: wanted, held } if wanted == project && held == "project_a"),
                    "{error}"
                );
            }
            assert_eq!(value::<String>(&lease, "sgtk.__version__"), "v0.24.0");
        });
    });
}

/// In the order of the facts page: A, B, C, D, A. The recipe runs in a Python of its own.
#[test]
fn on_the_same_configurations_the_published_recipe_mixes_cores_and_the_host_does_not() {
    isolated(
        "recipe::on_the_same_configurations_the_published_recipe_mixes_cores_and_the_host_does_not",
        || {
            let configs = bundled().unwrap();
            let order =
                [("a", "v0.24.0"), ("b", "v0.22.5"), ("c", "v0.20.35"), ("d", "v0.23.8"), ("a", "v0.24.0")]
                    .map(|(letter, version)| (format!("project_{letter}"), version));

            let told = published_recipe(&configs, &order.each_ref().map(|(project, _)| project.as_str()));
            let failed: Vec<&str> =
                told.iter().filter(|line| line.contains("sgsix")).map(String::as_str).collect();
            assert_eq!(failed.len(), 2, "{told:#?}");
            assert!(told[3].starts_with("v0.23.8 foreign tank_vendor."), "{told:#?}");

            let host = host(&configs);
            let daemon = Daemon::new();
            for (project, version) in &order {
                import(&host, &daemon, project);
                assert_eq!(daemon.get::<String>("sgtk.__version__"), *version);
                assert_eq!(daemon.get::<Vec<String>>("sgtk.util.foreign_modules()"), [""; 0], "{project}");
            }
            assert!(host.forget_sgtk().unwrap());
            for (project, version) in &order {
                crate::support::lease_own(&host, project, version, |_| ());
            }
            assert_audit_is_empty(&host);
        },
    );
}

/// What the published recipe gives for these projects, a line for each.
fn published_recipe(configs: &Configs, projects: &[&str]) -> Vec<String> {
    let script = "
import importlib.util, sys
spec = importlib.util.spec_from_file_location('published', sys.argv[1])
published = importlib.util.module_from_spec(spec)
spec.loader.exec_module(published)
for project in sys.argv[2:]:
    try:
        sgtk = published.import_sgtk(project)
        foreign = [name for name in sgtk.util.foreign_modules() if name.startswith('tank')]
        print(sgtk.__version__, 'foreign', *foreign)
    except Exception as error:
        print(type(error).__name__, error)
";
    let output = Command::new(env!("SGTK_HOST_LINKED_PYTHON"))
        .args(["-B", "-S", "-c", script])
        .arg(recipe())
        .args(projects)
        .env("SHOTGUN_BASE", configs.base())
        .env_remove("TANK_CURRENT_PC")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn thirty_imports_leave_one_of_everything() {
    isolated("recipe::thirty_imports_leave_one_of_everything", || {
        let configs = Configs::new().unwrap();
        configs.localized("new", &Core::newer("v0.24.0")).unwrap();
        configs.attached("old", &Core::older("v0.22.5")).unwrap();
        let host = host(&configs);
        let daemon = Daemon::new();
        let sizes = "[len(sys.path), len(sys.meta_path), len(sys.modules), \
                         len(logging.Logger.manager.loggerDict), len(logging.getLogger('sgtk').handlers), \
                         len(os.environ)]";
        let round = |daemon: &Daemon| {
            ["new", "old"].map(|project| {
                import(&host, daemon, project);
                daemon.get::<Vec<usize>>(sizes)
            })
        };
        // The first round also loads what the host itself uses of the standard library.
        round(&daemon);
        let first = round(&daemon);
        for _ in 0..13 {
            assert_eq!(round(&daemon), first);
        }
    });
}
