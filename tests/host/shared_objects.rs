//! Host packages that keep a project's objects: the audit sees them, and `per_project` gives each project its
//! own.

use std::fs;

use pyo3::prelude::*;
use sgtk_host::{Error, Host};
use sgtk_host_fixtures::{bundled, bundled_versions, isolated};

use crate::support::{Daemon, assert_audit_is_empty, host, lease_own, options};

/// A package of the studio's, as many have one.
const STUDIO_TOOLS: &str = "
_tk = None
_deep = {'held': []}
def tk(project):
    global _tk
    import sgtk
    if _tk is None:
        _tk = sgtk.Sgtk('/projects/' + project)
    return _tk
def keep(thing):
    _deep['held'].append((1, {'thing': thing}))
    _deep['itself'] = _deep
";

/// A daemon that has the package on its path, and has imported it.
fn with_tools(build: impl FnOnce() -> Host) -> (Host, Daemon, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let package = folder.path().join("studio_tools");
    fs::create_dir(&package).unwrap();
    fs::write(package.join("__init__.py"), STUDIO_TOOLS).unwrap();
    fs::write(package.join("naming.py"), "try:\n    import sgtk\nexcept ImportError:\n    sgtk = None\n")
        .unwrap();
    let host = build();
    let daemon = Daemon::new();
    daemon.run(&format!("sys.path.insert(0, {:?})\nimport studio_tools", folder.path().to_str().unwrap()));
    (host, daemon, folder)
}

fn found(host: &Host) -> Vec<String> {
    Python::attach(|py| host.audit(py).unwrap().iter().map(ToString::to_string).collect())
}

#[test]
fn an_object_in_a_global_of_a_host_package_is_seen() {
    isolated("shared_objects::an_object_in_a_global_of_a_host_package_is_seen", || {
        let configs = bundled().unwrap();
        let (host, daemon, _folder) = with_tools(|| host(&configs));
        lease_own(&host, "project_a", "v0.24.0", |_| daemon.run("studio_tools.tk('project_a')"));
        let audit = found(&host);
        assert_eq!(audit.len(), 1, "{audit:?}");
        for part in ["'studio_tools' of the daemon", "'_tk'", "project 'project_a'", "tank.api.Sgtk"] {
            assert!(audit[0].contains(part), "{part}: {audit:?}");
        }
        daemon.run("studio_tools._tk = None");
        assert_audit_is_empty(&host);
    });
}

#[test]
fn a_module_or_class_that_an_object_of_a_host_package_leads_to_is_seen() {
    isolated("shared_objects::a_module_or_class_that_an_object_of_a_host_package_leads_to_is_seen", || {
        let configs = bundled().unwrap();
        let (host, daemon, _folder) = with_tools(|| host(&configs));
        daemon.run(
            "exec('''
import functools, sys
class Keeper:
    held = None
class Slotted:
    __slots__ = ('held',)
held = None
modules = sys.modules
def default(held=None): pass
@functools.lru_cache
def cached(held): return held
def closure(held):
    return lambda: held
''', vars(studio_tools))",
        );
        for (keep, let_go) in [
            ("tools.Keeper.held = sgtk", "tools.Keeper.held = None"),
            ("tools.Keeper.held = [sgtk.Sgtk]", "tools.Keeper.held = None"),
            ("tools.held = tools.Keeper(); tools.held.held = sgtk", "tools.held = None"),
            ("tools.held = tools.Slotted(); tools.held.held = sgtk.Sgtk", "tools.held = None"),
            ("tools.default.__defaults__ = (sgtk,)", "tools.default.__defaults__ = (None,)"),
            ("tools.default.held = sgtk", "del tools.default.held"),
            ("tools.cached(sgtk)", "tools.cached.cache_clear()"),
            ("tools.held = tools.closure(sgtk)", "tools.held = None"),
            ("tools.held = {sgtk.Sgtk: 1}", "tools.held = None"),
        ] {
            lease_own(&host, "project_a", "v0.24.0", |sgtk| {
                daemon.set("sgtk", sgtk.as_any());
                daemon.run(&format!("import studio_tools as tools; {keep}"));
                // What is in place is no object that the package keeps.
                assert_eq!(found(&host).len(), 1, "{keep}, in the lease");
            });
            daemon.run("sgtk = None");
            let audit = found(&host);
            assert_eq!(audit.len(), 1, "{keep}: {audit:?}");
            assert!(audit[0].contains("'studio_tools' of the daemon"), "{keep}: {audit:?}");
            assert!(audit[0].contains("project 'project_a'"), "{keep}: {audit:?}");
            daemon.run(let_go);
            assert_audit_is_empty(&host);
        }
    });
}

#[test]
fn an_object_behind_containers_that_lead_in_circles_is_seen() {
    isolated("shared_objects::an_object_behind_containers_that_lead_in_circles_is_seen", || {
        let configs = bundled().unwrap();
        let (host, daemon, _folder) = with_tools(|| host(&configs));
        for thing in [
            "sgtk.Sgtk('/projects/project_a')",
            "sgtk.Sgtk('/projects/project_a').execute_core_hook",
            "sgtk.util.late",
        ] {
            lease_own(&host, "project_a", "v0.24.0", |sgtk| {
                daemon.set("sgtk", sgtk.as_any());
                daemon.run(&format!("studio_tools.keep({thing})"));
            });
            let audit = found(&host);
            assert_eq!(audit.len(), 1, "{thing}: {audit:?}");
            assert!(audit[0].contains("'_deep' leads to") && audit[0].contains("'project_a'"), "{audit:?}");
            daemon.run("studio_tools._deep['held'].clear()");
        }
        daemon.run("studio_tools._deep = {'plain': [{'values': list(range(100))}]}");
        assert_audit_is_empty(&host);
    });
}

#[test]
fn a_host_module_that_was_reloaded_in_a_lease_is_seen() {
    isolated("shared_objects::a_host_module_that_was_reloaded_in_a_lease_is_seen", || {
        let configs = bundled().unwrap();
        let (host, daemon, _folder) = with_tools(|| host(&configs));
        daemon.run("import importlib, studio_tools.naming\nnaming = studio_tools.naming");
        assert!(daemon.get::<bool>("naming.sgtk is None"));
        lease_own(&host, "project_a", "v0.24.0", |_| daemon.run("importlib.reload(naming)"));
        if daemon.get::<bool>("naming.sgtk is None") {
            return;
        }
        let audit = found(&host);
        assert!(
            audit.iter().any(|one| one.contains("studio_tools.naming") && one.contains("'sgtk'")),
            "{audit:?}"
        );
    });
}

#[test]
fn a_module_loaded_by_hand_from_another_cores_folder_is_seen() {
    isolated("shared_objects::a_module_loaded_by_hand_from_another_cores_folder_is_seen", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let daemon = Daemon::new();
        lease_own(&host, "project_a", "v0.24.0", |_| ());
        let file = host.configs().locate("project_a").unwrap().python().join("tank/errors.py");
        host.with_sgtk("project_b", |_| {
            daemon.run(&format!(
                "import importlib.util\nspec = importlib.util.spec_from_file_location('borrowed', {:?})\n\
                 borrowed = importlib.util.module_from_spec(spec)\nsys.modules['borrowed'] = borrowed\n\
                 spec.loader.exec_module(borrowed)",
                file.to_str().unwrap()
            ));
            let audit = found(&host);
            assert!(audit.iter().any(|one| one.contains("'borrowed' of project_b")), "{audit:?}");
            Ok(())
        })
        .unwrap();
        let audit = found(&host);
        assert!(audit.iter().any(|one| one.contains("'borrowed' of the daemon")), "{audit:?}");
        daemon.run("del sys.modules['borrowed']");
        assert_audit_is_empty(&host);
    });
}

#[test]
fn the_daemons_own_core_is_its_own() {
    isolated("shared_objects::the_daemons_own_core_is_its_own", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let daemon = Daemon::new();
        let python = host.configs().locate("project_d").unwrap().python().to_owned();
        daemon.run(&format!("sys.path.insert(0, {:?})\nimport sgtk, yaml", python.to_str().unwrap()));
        assert_audit_is_empty(&host);
        for (project, _) in bundled_versions() {
            Python::attach(|py| {
                let lease = host.lease(py, project).unwrap();
                assert_eq!(host.audit(py).unwrap(), [], "{project}");
                drop(lease);
            });
        }
        assert_audit_is_empty(&host);
    });
}

#[test]
fn files_that_were_rewritten_under_a_core_in_memory_are_seen() {
    isolated("shared_objects::files_that_were_rewritten_under_a_core_in_memory_are_seen", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        lease_own(&host, "project_a", "v0.24.0", |_| ());
        let api = host.configs().locate("project_a").unwrap().python().join("tank/api.py");
        fs::write(&api, fs::read_to_string(&api).unwrap() + "\n").unwrap();
        let audit = found(&host);
        assert!(
            audit.iter().any(|one| one.contains("'tank.api' of project_a") && one.contains("changed since")),
            "{audit:?}"
        );
        let pair = Python::attach(|py| host.audit_projects(py, &["project_a"])).unwrap();
        assert_eq!(pair, [], "that is not what a swap could have done");
    });
}

#[test]
fn a_package_that_is_declared_per_project_has_a_copy_for_each() {
    isolated("shared_objects::a_package_that_is_declared_per_project_has_a_copy_for_each", || {
        let configs = bundled().unwrap();
        let (host, daemon, _folder) =
            with_tools(|| options(&configs).per_project("studio_tools").build().unwrap());
        daemon.run("mine, seen = studio_tools, {}\nlater = {}");
        for _ in 0..2 {
            for (project, version) in bundled_versions() {
                lease_own(&host, project, version, |_| {
                    daemon.run(&format!(
                        "import studio_tools as own, studio_tools.naming as naming\n\
                         tk = own.tk({project:?})\nlater[{project:?}] = own.tk"
                    ));
                    assert_eq!(daemon.get::<String>("tk.version"), version);
                    assert_eq!(daemon.get::<String>("naming.sgtk.__version__"), version);
                    assert!(daemon.get::<bool>(&format!(
                        "seen.setdefault({project:?}, own) is own and own is not mine"
                    )));
                });
                assert!(daemon.get::<bool>("sys.modules['studio_tools'] is mine and mine._tk is None"));
            }
        }
        assert_eq!(daemon.get::<usize>("len({id(module) for module in seen.values()})"), 6);
        // Off its turn too.
        for (project, version) in bundled_versions() {
            assert_eq!(daemon.get::<String>(&format!("later[{project:?}]({project:?}).version")), version);
        }
        daemon.run("seen.clear(); later.clear(); own = naming = tk = None");
        assert_audit_is_empty(&host);
    });
}

#[test]
fn names_that_cannot_be_each_projects_own_are_refused() {
    isolated("shared_objects::names_that_cannot_be_each_projects_own_are_refused", || {
        for (name, reason) in [
            ("", "top-level"),
            ("studio_tools.naming", "top-level"),
            ("tank", "the core's own"),
            ("logging", "the standard library's"),
        ] {
            let error = Host::builder().per_project(name).build().unwrap_err();
            assert!(matches!(&error, Error::Setting { .. }) && error.to_string().contains(reason), "{error}");
        }
        let both = Host::builder().per_project("studio_tools").exempt("studio_tools").build().unwrap_err();
        assert!(both.to_string().contains("per_project"), "{both}");
    });
}
