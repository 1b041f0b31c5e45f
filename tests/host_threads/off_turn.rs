//! What a project's code does by hand with `sys.path`, `sys.modules`, finders and loggers while it does not
//! have its turn.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use pyo3::prelude::*;
use pyo3::types::{PyModule, PyTuple};
use sgtk_host::Host;
use sgtk_host_fixtures::bundle;

use crate::scene::{OTHER, OWN, Scene};
use crate::state::{assert_same, interpreter};
use crate::workshop::{alone, eval, keep, run, until};

/// What the plugin uses of the standard library, which not each Python has.
const SHARED: &str = "for name in ('imp', 'runpy', 'site', 'pkgutil'):
    try: __import__(name)
    except ImportError: pass";

impl Scene {
    /// Calls a function of the plugin on a thread of its own: with nobody in place, with the other in place
    /// whenever the code does not load something in its own turn, and with its own project in place. Nothing
    /// of what is in place changes.
    fn everywhere<T>(&self, function: &str, arguments: &[&str]) -> Vec<T>
    where
        T: for<'a> FromPyObject<'a, 'a, Error: Into<PyErr>> + Send,
    {
        let situations = [None, Some(OTHER), Some(OWN.0)];
        let told = situations.map(|in_place| {
            let outside = Python::attach(interpreter);
            let told = thread::scope(|scope| {
                let call = scope.spawn(|| Python::attach(|py| self.call(py, function, arguments)));
                while let Some(project) = in_place
                    && !call.is_finished()
                {
                    Python::attach(|py| {
                        let lease = self.host.lease(py, project).unwrap();
                        let before = interpreter(py);
                        py.detach(|| until("it goes on", || call.is_finished() || self.host.waiting() > 0));
                        let after = interpreter(py);
                        drop(lease);
                        // Its own code may change what is its own.
                        if project != OWN.0 {
                            assert_same(&before, &after, &format!("{function} with {project} in place"));
                        }
                    });
                }
                call.join().unwrap()
            });
            let told = told.unwrap_or_else(|error| panic!("{function} with {in_place:?} in place: {error}"));
            let now = Python::attach(interpreter);
            assert_same(&outside, &now, &format!("{function} with {in_place:?} in place before"));
            told
        });
        Python::attach(|py| assert_eq!(self.host.audit(py).unwrap(), []));
        told.into()
    }

    fn call<T>(&self, py: Python<'_>, function: &str, arguments: &[&str]) -> Result<T, String>
    where
        T: for<'a> FromPyObject<'a, 'a, Error: Into<PyErr>>,
    {
        let arguments = PyTuple::new(py, arguments).unwrap();
        let told = self.code.bind(py).call_method1(function, arguments);
        told.and_then(|told| told.extract().map_err(Into::into))
            .map_err(|error| sgtk_host::python_error(&error).to_string())
    }
}

/// The folder of the app's package, and a file in it that needs its core.
fn payload() -> (String, String) {
    let folder = bundle("tk-multi-payload").join("python");
    let file = folder.join("payload").join("helper.py");
    (folder.to_str().unwrap().to_owned(), file.to_str().unwrap().to_owned())
}

type Versions = BTreeMap<String, String>;

#[track_caller]
fn assert_own(told: &[Versions], parts: usize) {
    for versions in told {
        assert!(versions.len() == parts && versions.values().all(|one| one == OWN.1), "{versions:?}");
    }
}

#[test]
fn code_that_is_loaded_as_bundles_are_is_its_own_project_s() {
    alone("off_turn::code_that_is_loaded_as_bundles_are_is_its_own_project_s", || {
        let scene = Scene::new("by_hand", SHARED);
        assert_own(&scene.everywhere("bundle", &[&payload().0]), 4);
        assert_own(&scene.everywhere("reloaded", &[&payload().0]), 3);
    });
}

#[test]
fn a_file_that_is_loaded_by_hand_is_its_own_project_s() {
    alone("off_turn::a_file_that_is_loaded_by_hand_is_its_own_project_s", || {
        let scene = Scene::new("by_hand", SHARED);
        let (_, file) = payload();
        // One that no rule about folders counts as the project's.
        let elsewhere = tempfile::tempdir().unwrap();
        let copy = elsewhere.path().join("helper.py");
        std::fs::copy(&file, &copy).unwrap();
        for file in [&*file, copy.to_str().unwrap()] {
            for function in ["file", "unnamed_file", "executed", "finder"] {
                assert_own(&scene.everywhere(function, &[file]), 3);
            }
            for versions in scene.everywhere::<Versions>("load_source", &[file]) {
                assert!(versions.values().all(|one| one == OWN.1), "{versions:?}");
            }
        }
    });
}

#[test]
fn a_folder_that_is_put_on_the_path_is_on_its_own_project_s() {
    alone("off_turn::a_folder_that_is_put_on_the_path_is_on_its_own_project_s", || {
        let scene = Scene::new("by_hand", SHARED);
        let elsewhere = tempfile::tempdir().unwrap();
        std::fs::copy(payload().1, elsewhere.path().join("by_hand_helper.py")).unwrap();
        let folder = elsewhere.path().canonicalize().unwrap();
        for function in ["from_path", "run_module", "site_folder", "kept"] {
            assert_own(&scene.everywhere(function, &[folder.to_str().unwrap(), "by_hand_helper"]), 3);
        }
    });
}

#[test]
fn views_are_like_lists_and_dictionaries() {
    alone("off_turn::views_are_like_lists_and_dictionaries", || {
        let scene = Scene::new("by_hand", SHARED);
        assert_eq!(scene.everywhere::<bool>("lists", &[]), [true; 3]);
        assert_eq!(scene.everywhere::<bool>("dictionaries", &[]), [true; 3]);
        assert_eq!(scene.everywhere::<bool>("other_modules", &[]), [true; 3]);
    });
}

#[test]
fn the_environment_is_its_own_project_s() {
    alone("off_turn::the_environment_is_its_own_project_s", || {
        let scene = Scene::new("by_hand", SHARED);
        let own = scene.configs.config(OWN.0).display().to_string();
        let variables = || std::env::vars().collect::<BTreeMap<_, _>>();
        let before = variables();
        assert_eq!(scene.everywhere::<String>("environment", &["BY_HAND"]), [&*own; 3]);
        assert_eq!(variables(), before);
    });
}

#[test]
fn a_logger_that_is_made_late_hangs_on_its_own_project_s() {
    alone("off_turn::a_logger_that_is_made_late_hangs_on_its_own_project_s", || {
        let scene = Scene::new("by_hand", SHARED);
        let own = keep(&scene.host, OWN.0, "__import__('logging').getLogger('sgtk')");
        for (number, name) in ["sgtk.late.one", "sgtk.late.two.three", "sgtk.late.two"].iter().enumerate() {
            for root in scene.everywhere::<Py<PyAny>>("logger", &[name]) {
                assert!(root.is(&own), "{name}, logger {number}");
            }
        }
        // One of the daemon's is everybody's, and one that the code makes its project's, whatever the name.
        Python::attach(|py| {
            run(py, "import logging; logging.getLogger('studio.daemon')", &[]);
            for (name, is_everybodys) in [("studio.daemon", true), ("studio.tools", false)] {
                let code = format!("__import__('logging').getLogger({name:?})");
                let theirs: Py<PyAny> = scene.call(py, "get_logger", &[name]).unwrap();
                assert_eq!(keep(&scene.host, OTHER, &code).is(&theirs), is_everybodys, "{name}");
                assert!(keep(&scene.host, OWN.0, &code).is(&theirs), "{name}");
            }
        });
    });
}

#[test]
fn records_of_a_project_go_to_its_own_handlers_of_the_root_logger() {
    alone("off_turn::records_of_a_project_go_to_its_own_handlers_of_the_root_logger", || {
        let scene = Scene::new("by_hand", SHARED);
        let names = |py: Python<'_>| -> Vec<String> {
            eval(py, "[type(handler).__name__ for handler in __import__('logging').root.handlers]", &[])
        };
        let daemons = Python::attach(names);
        Python::attach(|py| {
            run(py, "import logging; logging.getLogger('studio.tools')", &[]).clear();
            let lease = scene.host.lease(py, OWN.0).unwrap();
            scene.call::<Option<bool>>(py, "add_root_handler", &["on turn"]).unwrap();
            lease.finish().unwrap();
        });
        for kept in scene.everywhere::<Vec<String>>("kept_of", &["studio.tools", "told"]) {
            assert_eq!(kept, ["on turn: told"]);
        }
        scene.everywhere::<Option<bool>>("add_root_handler", &["off turn"]);
        for kept in scene.everywhere::<Vec<String>>("kept_of", &["studio.tools", "told"]) {
            assert_eq!(kept, ["on turn: told", "off turn: told"]);
        }
        // Another's are not among them, and its records go nowhere else.
        let other = keep(&scene.host, OTHER, "__import__('by_hand')");
        Python::attach(|py| {
            assert_eq!(names(py), daemons);
            let lease = scene.host.lease(py, OTHER).unwrap();
            let kept = other.bind(py).call_method1("kept_of", ("studio.tools", "told")).unwrap();
            assert_eq!(kept.len().unwrap(), 0);
            lease.finish().unwrap();
            let own = scene.host.lease(py, OWN.0).unwrap();
            assert_eq!(names(py).len(), daemons.len() + 2);
            own.finish().unwrap();
        });
    });
}

#[test]
fn habits_of_tests_and_old_libraries_concern_its_own_project_only() {
    alone("off_turn::habits_of_tests_and_old_libraries_concern_its_own_project_only", || {
        let scene = Scene::new("by_habit", "import unittest.mock, zipimport, pkgutil, tempfile, asyncio");
        for (function, parts) in [
            ("patched_dictionary", 2),
            ("from_zip", 2),
            ("by_importer", 2),
            ("walked", 3),
            ("lazy", 2),
            ("replaced_path", 2),
            ("in_pieces", 2),
            ("forgotten", 3),
            ("with_exec", 2),
            ("in_c", 2),
            ("when_collected", 2),
            ("generated", 2),
        ] {
            println!("{function}");
            assert_own(&scene.everywhere(function, &[]), parts);
        }
        let own = scene.configs.config(OWN.0).to_str().unwrap().to_owned();
        assert_eq!(scene.everywhere::<String>("patched_variable", &[]), [&*own; 3]);
    });
}

#[test]
fn who_leases_while_others_have_taken_the_core_out_of_sys_modules_has_it() {
    let name = "off_turn::who_leases_while_others_have_taken_the_core_out_of_sys_modules_has_it";
    alone(name, || {
        let scene = Scene::new("by_hand", SHARED);
        Python::attach(|py| {
            let lease = scene.host.lease(py, OWN.0).unwrap();
            let own = lease.sgtk().clone().unbind();
            for (what, change) in [
                ("taken away", "sys.modules.clear()"),
                ("replaced", "sys.modules['sgtk'] = sys.modules['tank'] = sys"),
            ] {
                // As `unittest.mock.patch.dict` does for a moment.
                let code = format!("import sys\nbefore = sys.modules.copy()\n{change}");
                let scope = run(py, &code, &[]);
                let told = py.detach(|| {
                    let lease =
                        || Python::attach(|py| Ok(scene.host.lease(py, OWN.0)?.sgtk().clone().unbind()));
                    thread::scope(|scope| scope.spawn(lease).join().unwrap())
                });
                let told: Result<Py<PyModule>, sgtk_host::Error> = told;
                py.run(c"sys.modules.clear(); sys.modules.update(before)", Some(&scope), None).unwrap();
                assert!(told.unwrap().is(&own), "{what}");
            }
            lease.finish().unwrap();
            let lease = scene.host.lease(py, OWN.0).unwrap();
            assert!(lease.sgtk().is(&own));
            lease.finish().unwrap();
        });
    });
}

/// How many loads there are in the test below. For many, `SGTK_HOST_TEST_SECONDS` has to be more too.
fn loads() -> usize {
    std::env::var("SGTK_HOST_LOADS").map_or(2_000, |loads| loads.parse().unwrap())
}

#[test]
fn thousands_of_loads_beside_swaps_give_no_wrong_module_and_leave_nothing() {
    alone("off_turn::thousands_of_loads_beside_swaps_give_no_wrong_module_and_leave_nothing", || {
        let scene = Scene::new("by_hand", SHARED);
        let other = keep(&scene.host, OTHER, "__import__('by_hand')");
        let folder = payload().0;
        let (loads, done, leases) = (loads(), AtomicUsize::new(0), AtomicUsize::new(0));
        for code in [&scene.code, &other] {
            // What it needs of its core is loaded once and stays.
            Python::attach(|py| code.call_method1(py, "bundle", (&folder,)).map(drop).unwrap());
        }
        let (outside, owned) = Python::attach(|py| (interpreter(py), owned(py, &scene.host)));
        let mut before = 0;
        thread::scope(|scope| {
            // Two of one project, one of another.
            for (code, version) in [(&scene.code, OWN.1), (&scene.code, OWN.1), (&other, "v0.22.5")] {
                let (folder, done) = (&folder, &done);
                scope.spawn(move || {
                    while done.fetch_add(1, Ordering::Relaxed) < loads {
                        Python::attach(|py| {
                            let told = code.bind(py).call_method1("bundle", (folder,));
                            let told: Versions = told
                                .and_then(|told| told.extract())
                                .unwrap_or_else(|error| panic!("{}", sgtk_host::python_error(&error)));
                            assert!(told.values().all(|one| one == version), "{version}: {told:?}");
                        });
                    }
                });
            }
            while done.load(Ordering::Relaxed) < loads {
                let project = [OWN.0, OTHER, "project_c"][leases.fetch_add(1, Ordering::Relaxed) % 3];
                scene.host.with_sgtk(project, |_| Ok(())).unwrap();
                if before == 0 && done.load(Ordering::Relaxed) > loads / 4 {
                    before = resident();
                }
            }
        });
        let after = resident();
        assert!(after < before + 8 * 1024 * 1024, "{before} bytes at a quarter of it, {after} at the end");
        Python::attach(|py| {
            assert_same(&outside, &interpreter(py), "after all");
            assert_eq!(self::owned(py, &scene.host), owned);
            assert_eq!(scene.host.audit(py).unwrap(), []);
        });
        // Each lease has waited for a turn or two of the others.
        let leases = leases.into_inner();
        assert!(leases * 20 > loads, "{leases} leases beside {loads} loads");
    });
}

/// How much each project has: path entries, modules, loggers.
fn owned(py: Python<'_>, host: &Host) -> Vec<Vec<usize>> {
    let own = |project| {
        let _lease = host.lease(py, project).unwrap();
        interpreter(py).iter().map(Vec::len).collect()
    };
    [OWN.0, OTHER].map(own).into()
}

/// The memory that the process has resident, in bytes; 0 where the platform does not tell.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok())
        .map_or(0, |kib: usize| kib * 1024)
}
