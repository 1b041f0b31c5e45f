//! Outside leases the process is the daemon's own: names, order and identity, whatever happened in the lease.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use sgtk_host::Error;
use sgtk_host_fixtures::{bundled, bundled_versions, isolated, isolated_with};

use crate::support::{Daemon, assert_audit_is_empty, host, lease_own, value};

/// What project code can do to the process in a lease.
const DEEDS: &[(&str, &str)] = &[
    ("rebinds the path", "sys.path = ['/rebound'] + sys.path + ['/at/the/end']"),
    ("rebinds the path to new strings", "sys.path = [str(bytes(p, 'utf8'), 'utf8') for p in sys.path]"),
    ("rebinds the path to a tuple", "sys.path = tuple(sys.path)"),
    ("empties the path", "del sys.path[:]"),
    ("turns the path around", "sys.path.reverse()"),
    ("rebinds the finders", "sys.meta_path = [f for f in sys.meta_path if True]"),
    ("removes a finder", "del sys.meta_path[-1]"),
    ("adds finders", "sys.meta_path.insert(0, Finder)\nsys.meta_path.append(Finder)"),
    ("adds a path hook", "sys.path_hooks.insert(0, Finder)"),
    ("rebinds the path hooks", "sys.path_hooks = list(sys.path_hooks)[::-1]"),
    ("rebinds the modules", "sys.modules = dict(sys.modules)"),
    ("deletes the daemon's modules", "del sys.modules['decimal'], sys.modules['daemon_module']"),
    ("replaces the daemon's modules", "sys.modules['daemon_module'] = types.ModuleType('daemon_module')"),
    ("imports the daemon's modules again", "del sys.modules['decimal']\nimport decimal as again"),
    ("moves the daemon's modules", "sys.modules['decimal'] = sys.modules.pop('decimal')"),
    (
        "adds modules by hand",
        "sys.modules['tank.made'] = sys.modules['sgtk_made'] = types.ModuleType('tank.made')",
    ),
    ("puts an object among the modules", "sys.modules['tank.odd'] = object()"),
    (
        "sets variables",
        "os.environ['NEW'] = 'x'; os.environ['DAEMON'] = 'changed'; os.environ['PATH'] += ':/x'",
    ),
    ("deletes variables", "del os.environ['DAEMON']; os.environ.pop('TANK_CURRENT_PC', None)"),
    ("deletes and sets a variable", "del os.environ['DAEMON']; os.environ['DAEMON'] = 'daemon'"),
    ("clears the environment", "os.environ.clear()"),
    ("names another configuration", "os.environ['TANK_CURRENT_PC'] = '/another'"),
    ("adds loggers", "logging.getLogger('sgtk.new.one').setLevel(3); logging.getLogger('tank.new')"),
    ("deletes loggers", "logging.Logger.manager.loggerDict.pop('sgtk')"),
    ("adds an attribute to sys", "sys._mine = Finder; sys._tank_something = 3"),
    ("deletes an attribute of sys", "del sys.daemon_attribute"),
    ("replaces an attribute of sys", "sys.daemon_attribute = 'other'; sys.excepthook = print"),
    ("imports late", "import tank.late_a, tank.deferred.outer.inner, sgtk.late_e"),
];

/// A daemon with entries in all that projects change, whose standard library is loaded as far as projects
/// need it.
fn daemon() -> Daemon {
    let daemon = Daemon::new();
    daemon.run(
        "
import decimal, types, uuid, zipfile, glob, typing, inspect, queue, urllib.parse, gc, traceback, weakref
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return None
    @staticmethod
    def invalidate_caches():
        pass
sys.modules['daemon_module'] = types.ModuleType('daemon_module')
sys.daemon_attribute = 'mine'
os.environ['DAEMON'] = 'daemon'
sys.path.insert(0, HOST_PACKAGES)
import tankobon
logging.getLogger('sgtk.of.the.daemon').addHandler(logging.NullHandler())
",
    );
    daemon
}

#[test]
fn leases_leave_names_order_and_identity_as_they_were() {
    isolated_with(
        "exactness::leases_leave_names_order_and_identity_as_they_were",
        |child| {
            child.env("TANK_CURRENT_PC", "/stale/one").env("LAST_IN_ORDER", "1");
        },
        || {
            let configs = bundled().unwrap();
            let host = host(&configs);
            let daemon = daemon();
            daemon.remember();
            for _ in 0..3 {
                for (project, version) in bundled_versions() {
                    lease_own(&host, project, version, |_| ());
                    daemon.assert_as_before(project);
                }
            }
            assert_eq!(daemon.get::<String>("os.environ['TANK_CURRENT_PC']"), "/stale/one");
        },
    );
}

#[test]
fn whatever_project_code_does_to_the_process_is_undone() {
    isolated_with(
        "exactness::whatever_project_code_does_to_the_process_is_undone",
        |child| {
            child.env("TANK_CURRENT_PC", "/stale/one");
        },
        || {
            let configs = bundled().unwrap();
            let host = host(&configs);
            let daemon = daemon();
            for (project, version) in [("project_a", "v0.24.0"), ("project_b", "v0.22.5")] {
                lease_own(&host, project, version, |_| ());
            }
            daemon.remember();
            for (deed, code) in DEEDS {
                for (project, version) in [("project_a", "v0.24.0"), ("project_b", "v0.22.5")] {
                    Python::attach(|py| {
                        let lease = host.lease(py, project).unwrap();
                        daemon.run(code);
                        lease.finish().unwrap();
                    });
                    daemon.assert_as_before(&format!("{project} {deed}"));
                    // And it harms neither the next project nor this one.
                    lease_own(&host, "project_d", "v0.23.8", |_| ());
                    lease_own(&host, project, version, |_| ());
                    daemon.assert_as_before(&format!("after {project} {deed}"));
                    assert_audit_is_empty(&host);
                    Python::attach(|py| host.evict(py, project)).unwrap();
                    daemon.assert_as_before(&format!("when {project} was dropped"));
                }
            }
        },
    );
}

#[test]
fn a_python_exception_in_a_lease_parks_the_project() {
    isolated("exactness::a_python_exception_in_a_lease_parks_the_project", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let daemon = daemon();
        daemon.remember();
        for (project, version) in bundled_versions() {
            let error = host
                .with_sgtk(project, |sgtk| -> PyResult<()> {
                    daemon.run("os.environ['NEW'] = '1'; sys.path.append('/new')");
                    sgtk.call_method1("sgtk_from_path", ("",))?;
                    Ok(())
                })
                .unwrap_err();
            let Error::Python { source } = &error else { panic!("{error}") };
            assert!(source.is_a("TankError") && source.traceback.is_some(), "{error}");
            daemon.assert_as_before(project);
            lease_own(&host, project, version, |_| ());
            let error = host.with_sgtk(project, |_| Err::<(), _>(PyValueError::new_err("mine"))).unwrap_err();
            assert_eq!(error.to_string(), "ValueError: mine");
            daemon.assert_as_before(project);
        }
    });
}

#[test]
fn a_rust_panic_in_a_lease_parks_the_project() {
    isolated("exactness::a_rust_panic_in_a_lease_parks_the_project", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let daemon = daemon();
        daemon.remember();
        for (project, version) in bundled_versions() {
            let unwound = catch_unwind(AssertUnwindSafe(|| {
                host.with_sgtk(project, |_| -> PyResult<()> {
                    daemon.run("os.environ['NEW'] = '1'; sys.path.append('/new'); import tank.late_b");
                    panic!("in the middle of {project}");
                })
            }));
            assert!(unwound.is_err());
            daemon.assert_as_before(project);
            let nested = catch_unwind(AssertUnwindSafe(|| {
                Python::attach(|py| {
                    let _outer = host.lease(py, project).unwrap();
                    let _inner = host.lease(py, project).unwrap();
                    panic!("with two leases of {project}");
                })
            }));
            assert!(nested.is_err());
            daemon.assert_as_before(project);
            lease_own(&host, project, version, |_| ());
            assert_audit_is_empty(&host);
        }
    });
}

#[test]
fn what_a_project_does_to_its_own_process_state_is_there_again_in_its_next_lease() {
    isolated(
        "exactness::what_a_project_does_to_its_own_process_state_is_there_again_in_its_next_lease",
        || {
            let configs = bundled().unwrap();
            let host = host(&configs);
            let daemon = daemon();
            lease_own(&host, "project_a", "v0.24.0", |_| {
                daemon.run(
                    "
sys.path.insert(0, '/of/a'); sys.path.append('/of/a/too')
sys.meta_path.append(Finder)
sys._of_a = Finder
os.environ['OF_A'] = '1'; del os.environ['DAEMON']
logging.getLogger('sgtk.of.a').setLevel(11)
import tank.late_a
late_a = tank.late_a
",
                );
            });
            let there = "['/of/a' in sys.path, sys.path[-1] == '/of/a/too', Finder in sys.meta_path, \
                         hasattr(sys, '_of_a'), 'OF_A' in os.environ, 'DAEMON' not in os.environ, \
                         'OF_A'.encode() in c_environment(), b'DAEMON' not in c_environment(), \
                         sys.modules.get('tank.late_a') is late_a, 'sgtk.of.a' in \
                         logging.Logger.manager.loggerDict]";
            assert_eq!(daemon.get::<Vec<bool>>(there), [false; 10]);
            lease_own(&host, "project_d", "v0.23.8", |_| {
                assert_eq!(daemon.get::<Vec<bool>>(there), [false; 10]);
            });
            for _ in 0..2 {
                lease_own(&host, "project_a", "v0.24.0", |_| {
                    assert_eq!(daemon.get::<Vec<bool>>(there), [true; 10]);
                });
            }
        },
    );
}

#[test]
fn what_the_daemon_changes_outside_leases_is_seen_inside_and_stays() {
    isolated("exactness::what_the_daemon_changes_outside_leases_is_seen_inside_and_stays", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let daemon = daemon();
        for (project, version) in bundled_versions() {
            lease_own(&host, project, version, |_| ());
        }
        daemon.run(
            "
sys.path = ['/new/first'] + sys.path
sys.meta_path.append(Finder)
sys.modules['new_module'] = types.ModuleType('new_module')
del sys.modules['daemon_module']
os.environ['NEW'] = '1'
del os.environ['DAEMON']
sys.new_attribute = 1
logging.getLogger('new.logger')
",
        );
        let there = "['/new/first' in sys.path, Finder in sys.meta_path, 'new_module' in sys.modules, \
                         'daemon_module' not in sys.modules, 'NEW' in os.environ, 'DAEMON' not in \
                         os.environ, hasattr(sys, 'new_attribute'), 'new.logger' in \
                         logging.Logger.manager.loggerDict]";
        for (project, version) in bundled_versions() {
            lease_own(&host, project, version, |_| {
                assert_eq!(daemon.get::<Vec<bool>>(there), [true; 8], "{project}");
            });
            assert_eq!(daemon.get::<Vec<bool>>(there), [true; 8]);
        }
    });
}

#[test]
fn the_lists_and_dictionaries_keep_their_identity_inside_leases() {
    isolated("exactness::the_lists_and_dictionaries_keep_their_identity_inside_leases", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let daemon = daemon();
        daemon.run(
            "held = [sys.modules, sys.path, sys.meta_path, sys.path_hooks, os.environ, os.environ._data]",
        );
        let same = "[a is b for a, b in zip(held, [sys.modules, sys.path, sys.meta_path, sys.path_hooks, \
                        os.environ, os.environ._data])]";
        for (project, version) in bundled_versions() {
            lease_own(&host, project, version, |sgtk| {
                assert_eq!(daemon.get::<Vec<bool>>(same), [true; 6], "{project}");
                assert_eq!(
                    daemon.get::<Vec<u8>>("c_environment().get(b'TANK_CURRENT_PC', b'')"),
                    value::<Option<String>>(sgtk, "__import__('os').environ.get('TANK_CURRENT_PC')")
                        .unwrap_or_default()
                        .as_bytes()
                );
            });
        }
    });
}

/// Classes and objects that answer in Python, as `typing.io` does before 3.12, and note that they were asked.
const ANSWERS_IN_PYTHON: &str = "
asked = []
class Meta(type):
    def __getattribute__(cls, name):
        asked.append(('a class', name))
        return super().__getattribute__(name)
class Answers(metaclass=Meta):
    def __getattribute__(self, name):
        asked.append(('an object', name))
        return super().__getattribute__(name)
    def find_spec(self, name, path=None, target=None):
        return None
class Plain:
    __module__ = property(lambda self: asked.append(('a property', '__module__')))
";

#[test]
fn no_code_of_a_project_s_objects_runs_while_it_comes_or_goes() {
    // Others could run then, and see the state of neither.
    isolated("exactness::no_code_of_a_project_s_objects_runs_while_it_comes_or_goes", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let daemon = daemon();
        daemon.run(ANSWERS_IN_PYTHON);
        for (project, version) in [("project_a", "v0.24.0"), ("project_b", "v0.22.5")] {
            lease_own(&host, project, version, |_| ());
        }
        for placed in [
            "sys.modules['made.of.a.class'] = Answers",
            "sys.modules['made.of.an.object'] = Answers()",
            "sys.modules['made.plainly'] = Plain; sys.modules['made.plainly.too'] = Plain()",
            "sys._made = Answers; sys._made_too = Answers()",
            "sys.modules['sgtk'].made = Answers; sys.modules['sgtk'].made_too = Answers()",
        ] {
            for _ in 0..2 {
                Python::attach(|py| {
                    let lease = host.lease(py, "project_a").unwrap();
                    daemon.run(placed);
                    daemon.run("asked.clear()");
                    lease.finish().unwrap();
                    host.lease(py, "project_b").unwrap().finish().unwrap();
                });
                let asked: Vec<(String, String)> = daemon.get("list(asked)");
                assert_eq!(asked, [], "{placed}");
            }
        }
    });
}
