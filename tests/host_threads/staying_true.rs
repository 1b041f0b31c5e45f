//! Cores that change on disk, and cores that are dropped.

use std::time::Duration;

use pyo3::prelude::*;
use sgtk_host::{Error, Host};
use sgtk_host_fixtures::{Broken, Configs, Core, bundled};

use crate::support::{host, options};
use crate::workshop::{alone, eval, get, keep, run, until};

fn version(host: &Host, project: &str) -> String {
    host.with_sgtk(project, |sgtk| sgtk.getattr("__version__")?.extract()).unwrap()
}

/// The versions of a core and of the libraries that it brings.
fn versions(sgtk: &sgtk_host::Lease<'_>) -> Vec<String> {
    let versions = "[sgtk.__version__, sgtk.util.yaml_cache.YAML_VERSION, sgtk.util.shotgun.API_VERSION]";
    eval(sgtk.py(), versions, &[("sgtk", sgtk.sgtk().as_any())])
}

fn watchful(configs: &Configs) -> Host {
    options(configs).revalidate_after(Duration::ZERO).build().unwrap()
}

#[test]
fn a_core_that_was_upgraded_in_place_is_imported_anew_with_its_libraries() {
    alone("staying_true::a_core_that_was_upgraded_in_place_is_imported_anew_with_its_libraries", || {
        let configs = bundled().unwrap();
        let host = watchful(&configs);
        for (project, old, new) in [
            ("project_a", "v0.24.0", Core::newer("v0.24.1")),
            ("project_b", "v0.22.5", Core::older("v0.22.6")),
            ("project_c", "v0.20.35", Core::older("v0.21.0")),
            ("project_e", "v0.23.10", Core::newer("v0.23.11")),
        ] {
            assert_eq!(version(&host, project), old);
            let entries = host.residents().iter().find(|one| one.project == project).unwrap().entries;
            assert_eq!(version(&host, project), old);
            let again = host.residents().iter().find(|one| one.project == project).unwrap().entries;
            assert_eq!(again, entries + 1, "what did not change is not imported anew");
            configs.upgrade(project, &new).unwrap();
            Python::attach(|py| {
                let sgtk = host.lease(py, project).unwrap();
                let seen = versions(&sgtk);
                assert_eq!(seen, [new.version(); 3], "stale zips of {project}");
                assert_eq!(
                    eval::<Vec<String>>(py, "sgtk.util.foreign_modules()", &[("sgtk", sgtk.sgtk().as_any())]),
                    [""; 0]
                );
            });
        }
    });
}

#[test]
fn a_shared_core_that_was_upgraded_is_imported_anew_for_each_project_on_it() {
    alone("staying_true::a_shared_core_that_was_upgraded_is_imported_anew_for_each_project_on_it", || {
        let configs = bundled().unwrap();
        let host = watchful(&configs);
        assert_eq!(version(&host, "project_e"), "v0.23.10");
        assert_eq!(version(&host, "project_f"), "v0.23.10");
        configs.upgrade("project_e", &Core::newer("v0.23.12")).unwrap();
        // The first is imported anew while the other one is parked still, with what was known of the old
        // files.
        for project in ["project_e", "project_f"] {
            Python::attach(|py| {
                let sgtk = host.lease(py, project).unwrap();
                let seen = versions(&sgtk);
                assert_eq!(seen, ["v0.23.12"; 3], "{project}");
            });
        }
    });
}

#[test]
fn a_repointed_configuration_gets_its_new_core() {
    alone("staying_true::a_repointed_configuration_gets_its_new_core", || {
        let configs = bundled().unwrap();
        let host = watchful(&configs);
        assert_eq!(
            (version(&host, "project_e"), version(&host, "project_f")),
            ("v0.23.10".into(), "v0.23.10".into())
        );
        configs.repoint("project_e", &Core::older("v0.22.5")).unwrap();
        assert_eq!(
            (version(&host, "project_e"), version(&host, "project_f")),
            ("v0.22.5".into(), "v0.23.10".into())
        );
        configs.localized("project_b", &Core::newer("v0.24.2")).unwrap();
        assert_eq!(version(&host, "project_b"), "v0.24.2");
    });
}

#[test]
fn a_change_is_not_looked_for_before_its_time() {
    alone("staying_true::a_change_is_not_looked_for_before_its_time", || {
        let configs = bundled().unwrap();
        let host = options(&configs).revalidate_after(Duration::from_secs(3600)).build().unwrap();
        assert_eq!(version(&host, "project_a"), "v0.24.0");
        configs.upgrade("project_a", &Core::newer("v0.24.1")).unwrap();
        assert_eq!(version(&host, "project_a"), "v0.24.0");
        Python::attach(|py| assert!(host.evict(py, "project_a").unwrap()));
        assert_eq!(version(&host, "project_a"), "v0.24.1");
    });
}

#[test]
fn a_broken_core_is_an_error_until_it_is_repaired() {
    alone("staying_true::a_broken_core_is_an_error_until_it_is_repaired", || {
        let configs = bundled().unwrap();
        let host = watchful(&configs);
        configs.upgrade("project_a", &Core::newer("v0.24.1").broken(Broken::HalfUpgraded)).unwrap();
        for _ in 0..2 {
            let error = host.with_sgtk("project_a", |_| Ok(())).unwrap_err();
            assert!(matches!(&error, Error::Import { project, .. } if project == "project_a"), "{error}");
            assert_eq!(version(&host, "project_b"), "v0.22.5");
        }
        configs.repair("project_a").unwrap();
        assert_eq!(version(&host, "project_a"), "v0.24.1");
    });
}

#[test]
fn the_least_recently_used_core_is_dropped_first() {
    alone("staying_true::the_least_recently_used_core_is_dropped_first", || {
        let configs = bundled().unwrap();
        let host = options(&configs).max_resident(2).build().unwrap();
        let resident = || host.residents().into_iter().map(|one| one.project).collect::<Vec<_>>();
        version(&host, "project_a");
        version(&host, "project_b");
        version(&host, "project_a");
        assert_eq!(resident(), ["project_b", "project_a"]);
        version(&host, "project_c");
        assert_eq!(resident(), ["project_a", "project_c"]);
        Python::attach(|py| {
            let lease = host.lease(py, "project_d").unwrap();
            assert_eq!(resident(), ["project_c", "project_d"]);
            assert_eq!(lease.project(), "project_d");
        });
        Python::attach(|py| assert!(!host.evict(py, "project_a").unwrap(), "it is not there any more"));
    });
}

#[test]
fn an_eviction_waits_for_the_leases_to_end() {
    alone("staying_true::an_eviction_waits_for_the_leases_to_end", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        std::thread::scope(|scope| {
            Python::attach(|py| {
                let lease = host.lease(py, "project_a").unwrap();
                let evicting = scope.spawn(|| Python::attach(|py| host.evict(py, "project_a")).unwrap());
                py.detach(|| until("the eviction is queued", || host.waiting() == 1));
                assert_eq!(eval::<String>(py, "__import__('sgtk').__version__", &[]), "v0.24.0");
                drop(lease);
                assert!(py.detach(|| evicting.join().unwrap()));
            });
        });
        assert!(host.residents().is_empty());
    });
}

#[test]
fn objects_of_a_dropped_core_keep_working() {
    alone("staying_true::objects_of_a_dropped_core_keep_working", || {
        let configs = bundled().unwrap();
        let host = watchful(&configs);
        let tk = keep(&host, "project_a", "sgtk.sgtk_from_path('/projects/project_a')");
        configs.upgrade("project_a", &Core::newer("v0.24.1")).unwrap();
        let new = keep(&host, "project_a", "sgtk.sgtk_from_path('/projects/project_a')");
        Python::attach(|py| {
            let names = [("old", tk.bind(py)), ("new", new.bind(py))];
            assert_eq!(
                eval::<(String, String)>(py, "(old.version, new.version)", &names),
                ("v0.24.0".into(), "v0.24.1".into())
            );
            let path = "old.templates['publish'].apply_fields({'name': 'n', 'version': 1})";
            assert_eq!(eval::<String>(py, path, &names), "/projects/project_a/publish/n.v1");
            assert_eq!(
                eval::<String>(py, "str(old.context_from_path('/projects/project_a/shot'))", &names),
                "project_a shot"
            );
            assert!(eval::<bool>(py, "type(old) is not type(new)", &names));
        });
    });
}

#[test]
fn a_late_import_that_waited_while_its_core_was_imported_anew_gets_nothing_of_the_new_one() {
    alone(
        "staying_true::a_late_import_that_waited_while_its_core_was_imported_anew_gets_nothing_of_the_new_one",
        || {
            let configs = bundled().unwrap();
            let host = watchful(&configs);
            let missing = keep(&host, "project_a", "sgtk.util.late.__globals__['from_absolute']");
            configs.upgrade("project_a", &Core::newer("v0.24.1")).unwrap();
            std::thread::scope(|scope| {
                Python::attach(|py| {
                    let lease = host.lease(py, "project_b").unwrap();
                    let renewing = scope.spawn(|| version(&host, "project_a"));
                    py.detach(|| until("the lease is queued", || host.waiting() == 1));
                    let late = run(
                        py,
                        "
import threading
got = []
def load():
    try:
        got.append(missing())
    except ImportError as error:
        got.append(str(error))
thread = threading.Thread(target=load)
thread.start()
",
                        &[("missing", missing.bind(py))],
                    );
                    py.detach(|| until("the import is queued", || host.waiting() == 2));
                    drop(lease);
                    assert_eq!(py.detach(|| renewing.join().unwrap()), "v0.24.1");
                    run(py, "thread.join()", &[("thread", &late.get_item("thread").unwrap().unwrap())]);
                    let got = get::<Vec<String>>(&late, "got").concat();
                    assert!(got.contains("'project_a'") && got.contains("imported anew"), "{got}");
                });
            });
        },
    );
}
