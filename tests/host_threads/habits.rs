//! What a project's code does in passing gives the same out of its turn as in it, and leaves nothing.

use std::thread;

use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyModule};

use crate::scene::{OTHER, OWN, Scene};
use crate::state::{assert_same, interpreter};
use crate::workshop::{alone, eval, keep, run, until};

/// What the plugin uses of the standard library while it runs.
const SHARED: &str = "import asyncio.events, concurrent.futures.thread, multiprocessing.pool, tempfile";

/// The plugin's functions without arguments.
const FUNCTIONS: &str = "[name for name, value in vars(code).items() if isinstance(value, type(lambda: 0)) \
                         and value.__module__ == code.__name__ and name not in ('written', *code.TAKING)]";

/// What a function of the plugin's gives, as Python writes it.
fn told(scene: &Scene, function: &str) -> String {
    Python::attach(|py| match scene.code.bind(py).call_method0(function) {
        Ok(value) => value.repr().unwrap().to_string(),
        Err(error) => panic!("{function}: {}", sgtk_host::python_error(&error)),
    })
}

/// Calls a function on a thread of its own while the other project is in place whenever the code does not
/// load something in its own turn.
fn told_beside_another(scene: &Scene, function: &str) -> String {
    thread::scope(|scope| {
        let running = scope.spawn(|| told(scene, function));
        while !running.is_finished() {
            Python::attach(|py| {
                let lease = scene.host.lease(py, OTHER).unwrap();
                let before = interpreter(py);
                py.detach(|| until("it goes on", || running.is_finished() || scene.host.waiting() > 0));
                let after = interpreter(py);
                drop(lease);
                assert_same(&before, &after, &format!("{function}, another project's"));
            });
        }
        running.join().unwrap()
    })
}

#[test]
fn what_code_does_in_passing_is_the_same_out_of_its_turn() {
    alone("habits::what_code_does_in_passing_is_the_same_out_of_its_turn", || {
        let scene = Scene::new("habits", SHARED);
        let functions: Vec<String> =
            Python::attach(|py| eval(py, FUNCTIONS, &[("code", scene.code.bind(py))]));
        assert!(functions.len() > 50, "{functions:?}");
        for function in &functions {
            println!("{function}");
            let own = Python::attach(|py| {
                let _lease = scene.host.lease(py, OWN.0).unwrap();
                told(&scene, function)
            });
            let daemons = Python::attach(interpreter);
            for elsewhere in [told(&scene, function), told_beside_another(&scene, function)] {
                assert_eq!(elsewhere, own, "{function}");
                assert_same(&daemons, &Python::attach(interpreter), &format!("{function}, the daemon's"));
            }
        }
        Python::attach(|py| assert_eq!(scene.host.audit(py).unwrap(), []));
    });
}

/// A module that is made by hand, by a loader of the project's, or by a library for all.
const MADE: &str = "
import importlib.util, sys, types
sys.modules['made_plain'] = types.ModuleType('made_plain')
sys.modules['made_plain'].show = 'own'
sys.modules['made_with_code'] = types.ModuleType('made_with_code')
sys.modules['made_with_code'].function = code.version
sys.modules['made_of_text'] = types.ModuleType('made_of_text')
exec('from math import sqrt\\ndef function(): pass\\nclass Own: pass', vars(sys.modules['made_of_text']))
class Loader:
    create_module = staticmethod(lambda spec: None)
    exec_module = staticmethod(lambda module: vars(module).update(show='own'))
Loader.__module__ = code.__name__
spec = importlib.util.spec_from_loader('made_by_a_loader', Loader)
sys.modules['made_by_a_loader'] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules['made_by_a_loader'])
import makes_modules
";

#[test]
fn a_module_that_code_makes_is_its_projects_and_one_that_a_library_makes_is_everybodys() {
    let name = "habits::a_module_that_code_makes_is_its_projects_and_one_that_a_library_makes_is_everybodys";
    alone(name, || {
        let scene = Scene::new("habits", SHARED);
        let library = tempfile::tempdir().unwrap();
        let text =
            "import sys, types\nsys.modules['made_by_a_library'] = types.ModuleType('made_by_a_library')\n";
        std::fs::write(library.path().join("makes_modules.py"), text).unwrap();
        let made = |py: Python<'_>| -> Vec<String> {
            eval(py, "sorted(name for name in __import__('sys').modules if name.startswith('made_'))", &[])
        };
        let for_all = ["made_by_a_library", "made_in_rust"];
        let own = ["made_by_a_loader", "made_of_text", "made_plain", "made_with_code"];
        let mut all = [&for_all[..], &own].concat();
        all.sort_unstable();
        Python::attach(|py| {
            let path = py.import("sys").unwrap().getattr("path").unwrap();
            path.call_method1("append", (library.path().to_str().unwrap(),)).unwrap();
            let lease = scene.host.lease(py, OWN.0).unwrap();
            run(py, MADE, &[("code", scene.code.bind(py))]);
            // The daemon's own code may make one in a lease: its functions are in Rust.
            let daemons = PyModule::new(py, "made_in_rust").unwrap();
            let function = PyCFunction::new_closure(py, None, None, |_, _| 1).unwrap();
            daemons.add("function", function).unwrap();
            py.import("sys").unwrap().getattr("modules").unwrap().set_item("made_in_rust", daemons).unwrap();
            assert_eq!(made(py), all);
            lease.finish().unwrap();
            assert_eq!(made(py), for_all, "the daemon's");
            let lease = scene.host.lease(py, OTHER).unwrap();
            assert_eq!(made(py), for_all, "another project's");
            lease.finish().unwrap();
            let lease = scene.host.lease(py, OWN.0).unwrap();
            assert_eq!(made(py), all, "its own again");
            lease.finish().unwrap();
        });
    });
}

#[test]
fn a_core_that_its_code_takes_away_while_it_is_parked_is_there_for_the_next_lease() {
    let name = "habits::a_core_that_its_code_takes_away_while_it_is_parked_is_there_for_the_next_lease";
    alone(name, || {
        let scene = Scene::new("habits", SHARED);
        let sgtk: Py<PyAny> = keep(&scene.host, OWN.0, "sgtk");
        for taken in ["take_core", "replace_core"] {
            Python::attach(|py| {
                scene.code.bind(py).call_method0(taken).unwrap();
                let lease = scene.host.lease(py, OWN.0).unwrap_or_else(|error| panic!("{taken}: {error}"));
                assert!(lease.sgtk().is(&sgtk), "{taken}");
                let named = |name: &str| py.import(name).unwrap();
                let core: [Bound<'_, PyModule>; 2] = [named("tank"), named("tank.errors")];
                assert!(core[0].is(&sgtk) && core[1].getattr("TankError").is_ok(), "{taken}");
                lease.finish().unwrap();
            });
        }
        Python::attach(|py| assert_eq!(scene.host.audit(py).unwrap(), []));
    });
}
