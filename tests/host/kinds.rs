//! Localized, attached and studio cores: whose configuration is named, by whatever path the core is reached.

use pyo3::prelude::*;
use sgtk_host::Host;
use sgtk_host_fixtures::{Configs, Core, bundled, bundled_versions, isolated, isolated_with};

use crate::support::{Daemon, assert_audit_is_empty, host, lease_own, value};

const CURRENT_PC: &str = "__import__('os').environ.get('TANK_CURRENT_PC')";

fn expected_configuration(configs: &Configs, project: &str) -> Option<String> {
    (project != "project_c").then(|| configs.config(project).to_str().unwrap().to_owned())
}

#[test]
fn localized_and_attached_projects_name_their_own_configuration_and_studio_projects_none() {
    isolated(
        "kinds::localized_and_attached_projects_name_their_own_configuration_and_studio_projects_none",
        || {
            let configs = bundled().unwrap();
            let host = host(&configs);
            for (project, version) in bundled_versions().iter().chain(bundled_versions().iter().rev()) {
                lease_own(&host, project, version, |sgtk| {
                    let named = value::<Option<String>>(sgtk, CURRENT_PC);
                    assert_eq!(named, expected_configuration(&configs, project), "{project}");
                    let configuration =
                        format!("sgtk.sgtk_from_path('/projects/{project}').configuration_path");
                    assert_eq!(value::<Option<String>>(sgtk, &configuration), named);
                });
            }
        },
    );
}

#[test]
fn a_stale_configuration_in_the_daemons_environment_is_seen_by_no_project_and_comes_back() {
    isolated_with(
        "kinds::a_stale_configuration_in_the_daemons_environment_is_seen_by_no_project_and_comes_back",
        |child| {
            child.env("TANK_CURRENT_PC", "/stale");
        },
        || {
            let configs = bundled().unwrap();
            let host = host(&configs);
            let daemon = Daemon::new();
            for _ in 0..2 {
                for (project, version) in bundled_versions() {
                    lease_own(&host, project, version, |sgtk| {
                        assert_eq!(value::<Option<String>>(sgtk, "sgtk.AT_IMPORT['configuration']"), None);
                        assert_eq!(
                            value::<Option<String>>(sgtk, CURRENT_PC),
                            expected_configuration(&configs, project)
                        );
                        // A child process gets the same.
                        let child = "__import__('subprocess').check_output(['sh', '-c', 'echo \
                                     ${TANK_CURRENT_PC-none}'], text=True)";
                        assert_eq!(
                            value::<String>(sgtk, child).trim(),
                            expected_configuration(&configs, project).as_deref().unwrap_or("none")
                        );
                    });
                    assert_eq!(daemon.get::<String>("os.environ['TANK_CURRENT_PC']"), "/stale");
                    assert_eq!(std::env::var("TANK_CURRENT_PC").unwrap(), "/stale");
                }
            }
        },
    );
}

#[test]
fn a_studio_that_is_a_configuration_itself_is_not_named_for_its_projects() {
    isolated("kinds::a_studio_that_is_a_configuration_itself_is_not_named_for_its_projects", || {
        for core in [Core::older("v0.20.35"), Core::newer("v0.24.0")] {
            let configs = Configs::new().unwrap();
            let studio = configs.studio(&core).unwrap();
            configs.unattached("project_c").unwrap();
            configs.unattached("project_g").unwrap();
            // With this file the core takes the studio's folder for the configuration, as it lies in it.
            std::fs::create_dir_all(studio.join("config/core")).unwrap();
            std::fs::write(studio.join("config/core/roots.yml"), "primary: /studio\n").unwrap();
            let host = host(&configs);
            for _ in 0..2 {
                for project in ["project_c", "project_g"] {
                    lease_own(&host, project, core.version(), |sgtk| {
                        assert_eq!(value::<Option<String>>(sgtk, CURRENT_PC), None);
                    });
                }
            }
            let sgtk = host.import_sgtk("project_c").unwrap();
            Python::attach(|py| {
                assert_eq!(value::<Option<String>>(sgtk.bind(py), CURRENT_PC), None);
            });
            host.forget_sgtk().unwrap();
        }
    });
}

#[test]
fn the_configuration_is_named_anew_at_each_lease() {
    isolated("kinds::the_configuration_is_named_anew_at_each_lease", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let daemon = Daemon::new();
        for change in
            ["os.environ['TANK_CURRENT_PC'] = '/another'", "os.environ.pop('TANK_CURRENT_PC', None)"]
        {
            for (project, version) in bundled_versions() {
                lease_own(&host, project, version, |_| daemon.run(change));
                lease_own(&host, project, version, |sgtk| {
                    assert_eq!(
                        value::<Option<String>>(sgtk, CURRENT_PC),
                        expected_configuration(&configs, project),
                        "{project} after {change}"
                    );
                });
            }
        }
    });
}

#[test]
fn cores_reached_through_a_link_are_the_projects_own() {
    isolated("kinds::cores_reached_through_a_link_are_the_projects_own", || {
        let configs = bundled().unwrap();
        let linked = Host::builder().configs(configs.linked_base().unwrap()).build().unwrap();
        let plain = host(&configs);
        let daemon = Daemon::new();
        daemon.remember();
        for _ in 0..2 {
            for (project, version) in bundled_versions() {
                for (host, base) in [(&linked, configs.linked_base().unwrap()), (&plain, configs.base())] {
                    lease_own(host, project, version, |sgtk| {
                        let file = value::<String>(sgtk, "sgtk.__file__");
                        if !matches!(project, "project_b" | "project_e" | "project_f") {
                            assert!(file.starts_with(base.to_str().unwrap()), "{file}");
                        }
                        let late = value::<Vec<String>>(sgtk, "list(sgtk.util.late().values())");
                        assert!(late.iter().all(|got| got == version), "{late:?}");
                    });
                    daemon.assert_as_before(project);
                }
            }
        }
        assert_audit_is_empty(&linked);
        assert_audit_is_empty(&plain);
    });
}

#[test]
fn projects_that_share_a_cores_files_share_no_module() {
    isolated("kinds::projects_that_share_a_cores_files_share_no_module", || {
        let configs = bundled().unwrap();
        configs.unattached("project_g").unwrap();
        let host = host(&configs);
        let daemon = Daemon::new();
        for (one, other, version) in
            [("project_e", "project_f", "v0.23.10"), ("project_c", "project_g", "v0.20.35")]
        {
            lease_own(&host, one, version, |_| {
                daemon.run(
                    "
import sgtk, tank_vendor.yaml
sgtk.set_authenticated_user('ada')
engine = sgtk.platform.start_engine('tk-shell', None, None)
sgtk.util.yaml_cache._cache['/x'] = 1
one = {name: module for name, module in sys.modules.items() if hasattr(module, 'CORE_VERSION')}
",
                );
            });
            lease_own(&host, other, version, |sgtk| {
                assert_eq!(value::<Option<String>>(sgtk, "sgtk.get_authenticated_user()"), None);
                assert!(value::<bool>(sgtk, "sgtk.platform.current_engine() is None"));
                assert!(value::<bool>(sgtk, "sgtk.util.yaml_cache._cache == {}"));
                let shared = "[name for name, module in one.items() if sys.modules.get(name) is module]";
                assert_eq!(daemon.get::<Vec<String>>(shared), [""; 0]);
                daemon.run("import sgtk\nsgtk.set_authenticated_user('bob')");
            });
            lease_own(&host, one, version, |sgtk| {
                assert_eq!(value::<String>(sgtk, "sgtk.get_authenticated_user()"), "ada");
                assert!(daemon.get::<bool>("sys.modules['tank'].platform.current_engine() is engine"));
                daemon.run("engine.destroy()");
            });
            lease_own(&host, other, version, |sgtk| {
                assert_eq!(value::<String>(sgtk, "sgtk.get_authenticated_user()"), "bob");
            });
        }
        assert_audit_is_empty(&host);
    });
}

#[test]
fn a_core_that_was_upgraded_or_repointed_is_imported_anew_and_objects_of_the_old_one_do_not_mix_with_it() {
    isolated(
        "kinds::a_core_that_was_upgraded_or_repointed_is_imported_anew_and_objects_of_the_old_one_do_not_mix_with_it",
        || {
            let configs = bundled().unwrap();
            let host = crate::support::options(&configs)
                .revalidate_after(std::time::Duration::ZERO)
                .build()
                .unwrap();
            let daemon = Daemon::new();
            lease_own(&host, "project_a", "v0.24.0", |_| daemon.run("import sgtk as old_a"));
            lease_own(&host, "project_b", "v0.22.5", |_| daemon.run("import sgtk as old_b"));
            configs.upgrade("project_a", &Core::newer("v0.25.0")).unwrap();
            configs.repoint("project_b", &Core::newer("v0.25.1")).unwrap();
            let mixed = |old: &str, version: &str| {
                daemon.run(&format!(
                    "told = [late({old}.util.late, name) for name in {old}.util.THROUGH_BUILTIN]\n\
                     wrong = [got for got in told if not (list(got.values()) == ['{version}'] if \
                     isinstance(got, dict) \
                     else got.startswith('ImportError: cannot import'))]"
                ));
                assert_eq!(daemon.get::<String>("repr(wrong)"), "[]", "{old}");
            };
            lease_own(&host, "project_a", "v0.25.0", |_| {
                // In its successor's own lease, and in another's.
                mixed("old_a", "v0.24.0");
                mixed("old_b", "v0.22.5");
            });
            lease_own(&host, "project_b", "v0.25.1", |_| {
                mixed("old_a", "v0.24.0");
                mixed("old_b", "v0.22.5");
            });
            mixed("old_a", "v0.24.0");
            assert_audit_is_empty(&host);
        },
    );
}
