//! Leases of several projects, in turn.

use pyo3::prelude::*;
use sgtk_host::Error;
use sgtk_host_fixtures::{bundled, bundled_versions, isolated};

use crate::support::{Daemon, assert_audit_is_empty, assert_own, host, lease_own, options, value};

#[test]
fn each_project_gets_its_own_core_in_any_order() {
    isolated("swaps::each_project_gets_its_own_core_in_any_order", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        for _ in 0..3 {
            for (project, version) in bundled_versions() {
                lease_own(&host, project, version, |sgtk| {
                    let foreign = value::<Vec<String>>(sgtk, "sgtk.util.foreign_modules()");
                    assert_eq!(foreign, [""; 0], "{project}");
                });
            }
        }
        assert_audit_is_empty(&host);
    });
}

#[test]
fn thousands_of_swaps_in_changing_order_leave_each_project_its_own() {
    isolated("swaps::thousands_of_swaps_in_changing_order_leave_each_project_its_own", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let daemon = Daemon::new();
        daemon.run(
                "
def seen():
    handlers = [handler.core_version for handler in logging.getLogger('sgtk').handlers]
    finders = [finder.core_version for finder in sys.meta_path if hasattr(finder, 'core_version')]
    named = [name for name in ('shotgun_api3', 'yaml') if name in sys.modules]
    libraries = [sys.modules[name].CORE_VERSION for name in named + ['tank', 'sgtk', 'tank_vendor.yaml']]
    current = os.environ.get('TANK_CURRENT_PC')
    return set(handlers + finders + libraries), len(handlers), current and os.path.basename(current), len(sys.modules)
",
            );
        let projects = bundled_versions();
        for (project, version) in projects {
            lease_own(&host, project, version, |_| ());
        }
        daemon.remember();
        let mut sizes = [None; 6];
        // A fixed sequence in which every project follows every other.
        let mut state = 1_u64;
        for swap in 0..4000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let index = (state >> 33) as usize % projects.len();
            let (project, version) = projects[index];
            host.with_sgtk(project, |_| {
                let (versions, handlers, current, modules) =
                    daemon.get::<(std::collections::HashSet<String>, usize, Option<String>, usize)>("seen()");
                assert_eq!(versions, [version.to_owned()].into(), "swap {swap} to {project}");
                assert_eq!(handlers, 1);
                assert_eq!(current.as_deref(), (project != "project_c").then_some(project));
                assert_eq!(*sizes[index].get_or_insert(modules), modules, "swap {swap} to {project}");
                Ok(())
            })
            .unwrap();
        }
        daemon.assert_as_before("after all swaps");
        assert_audit_is_empty(&host);
    });
}

#[test]
fn modules_are_the_same_objects_in_every_lease_until_the_project_is_evicted() {
    isolated("swaps::modules_are_the_same_objects_in_every_lease_until_the_project_is_evicted", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let daemon = Daemon::new();
        daemon.run("held = {}");
        let remember = "held = {name: module for name, module in sys.modules.items() if \
                            name.startswith(('tank', 'sgtk'))}";
        let changed = "[name for name in held if sys.modules.get(name) is not held[name]]";
        for (project, version) in bundled_versions() {
            lease_own(&host, project, version, |_| daemon.run(remember));
            lease_own(&host, "project_d", "v0.23.8", |_| ());
            lease_own(&host, project, version, |_| {
                assert_eq!(daemon.get::<Vec<String>>(changed), [""; 0], "{project}");
            });
            assert!(Python::attach(|py| host.evict(py, project)).unwrap());
            assert!(!Python::attach(|py| host.evict(py, project)).unwrap());
            lease_own(&host, project, version, |_| {
                assert!(daemon.get::<usize>(&format!("len({changed})")) > 40, "{project}");
            });
        }
    });
}

#[test]
fn a_thread_may_lease_its_project_again_and_no_other() {
    isolated("swaps::a_thread_may_lease_its_project_again_and_no_other", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let other = options(&configs).build().unwrap();
        let daemon = Daemon::new();
        daemon.remember();
        Python::attach(|py| {
            let first = host.lease(py, "project_a").unwrap();
            let second = host.lease(py, "project_a").unwrap();
            assert!(first.sgtk().is(second.sgtk()));
            let refused = [
                host.lease(py, "project_b").map(drop),
                // Another host's state of the same project is another state.
                other.lease(py, "project_a").map(drop),
                host.evict(py, "project_a").map(drop),
                host.evict(py, "project_b").map(drop),
                host.forget_sgtk().map(drop),
            ];
            for outcome in refused {
                let error = outcome.unwrap_err();
                assert!(matches!(&error, Error::NestedLease { held, .. } if held == "project_a"), "{error}");
            }
            first.finish().unwrap();
            assert_own(&second, "project_a", "v0.24.0");
        });
        daemon.assert_as_before("after both");
        lease_own(&host, "project_b", "v0.22.5", |_| ());
    });
}

#[test]
fn a_project_without_a_core_is_refused_before_anything_is_touched() {
    isolated("swaps::a_project_without_a_core_is_refused_before_anything_is_touched", || {
        let configs = bundled().unwrap();
        configs.pointer("project_f", "/no/such/core").unwrap();
        let host = host(&configs);
        let daemon = Daemon::new();
        daemon.remember();
        for project in ["project_f", "", "..", "a/b", "a\0b"] {
            let error = Python::attach(|py| host.lease(py, project).map(drop)).unwrap_err();
            assert!(matches!(error, Error::Config { .. }), "{project:?}: {error}");
            let error = host.import_sgtk(project).unwrap_err();
            assert!(matches!(error, Error::Config { .. }), "{project:?}: {error}");
        }
        // It is refused on a thread that holds another project, too: nothing was to wait for.
        Python::attach(|py| {
            let _lease = host.lease(py, "project_a").unwrap();
            let error = host.lease(py, "project_f").map(drop).unwrap_err();
            assert!(matches!(error, Error::Config { .. }), "{error}");
        });
        daemon.assert_as_before("after the refusals");
    });
}

#[test]
fn the_least_recently_used_goes_when_there_are_more_than_may_be() {
    isolated("swaps::the_least_recently_used_goes_when_there_are_more_than_may_be", || {
        let configs = bundled().unwrap();
        let host = options(&configs).max_resident(2).build().unwrap();
        let daemon = Daemon::new();
        daemon.remember();
        let residents = || -> Vec<String> { host.residents().into_iter().map(|one| one.project).collect() };
        lease_own(&host, "project_a", "v0.24.0", |_| ());
        lease_own(&host, "project_b", "v0.22.5", |_| ());
        lease_own(&host, "project_a", "v0.24.0", |_| ());
        assert_eq!(residents(), ["project_b", "project_a"]);
        lease_own(&host, "project_c", "v0.20.35", |_| ());
        assert_eq!(residents(), ["project_a", "project_c"]);
        for _ in 0..2 {
            for (project, version) in bundled_versions() {
                lease_own(&host, project, version, |_| ());
                assert!(residents().len() <= 2);
                daemon.assert_as_before(project);
            }
        }
    });
}

#[test]
fn a_host_that_is_dropped_takes_its_projects_with_it() {
    isolated("swaps::a_host_that_is_dropped_takes_its_projects_with_it", || {
        let configs = bundled().unwrap();
        let daemon = {
            let _first = host(&configs);
            Daemon::new()
        };
        daemon.run("gone = []");
        daemon.remember();
        for _ in 0..3 {
            let host = host(&configs);
            for (project, version) in bundled_versions() {
                lease_own(&host, project, version, |_| {
                    daemon.run(
                        "import weakref, sgtk\n\
                                 pinned = getattr(sgtk.util.pins, 'Pinned', sgtk)\n\
                                 gone += [weakref.ref(sgtk), weakref.ref(pinned)]\ndel sgtk, pinned",
                    );
                });
            }
            daemon.assert_as_before("with the projects parked");
            drop(host);
            assert_eq!(daemon.get::<usize>("sum(reference() is not None for reference in gone)"), 0);
            daemon.assert_as_before("with the host gone");
        }
    });
}
