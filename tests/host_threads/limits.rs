//! What isolation in one process cannot do, as `docs/in-process.md` has it: each is tried, so that the list
//! is neither longer than it has to be, nor shorter.

use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::scene::{OTHER, OWN, Scene};
use crate::workshop::{alone, eval, run};

/// Runs `body` with another project in place than that of the plugin, whose code is off its turn then.
fn beside_another(name: &str, body: impl FnOnce(&Scene, Python<'_>, &Bound<'_, PyAny>)) {
    alone(name, || {
        let scene = Scene::new("by_back_doors", "import pickle, socket");
        Python::attach(|py| {
            let lease = scene.host.lease(py, OTHER).unwrap();
            body(&scene, py, scene.code.bind(py));
            lease.finish().unwrap();
        });
    });
}

fn call<'py, T>(code: &Bound<'py, PyAny>, function: &str) -> T
where
    T: for<'a> FromPyObject<'a, 'py>,
{
    code.call_method0(function).unwrap().extract().map_err(Into::into).unwrap()
}

#[test]
fn below_the_attributes_of_sys_is_what_is_in_place() {
    beside_another("limits::below_the_attributes_of_sys_is_what_is_in_place", |_, py, code| {
        assert_eq!(call::<String>(code, "own_version"), OWN.1);
        assert_eq!(call::<String>(code, "version_of_what_is_in_place"), "v0.22.5");
        let path: Bound<'_, PyList> = eval(py, "__import__('sys').path", &[]);
        let told: [bool; 2] = code.call_method1("is_the_interpreters", (&path,)).unwrap().extract().unwrap();
        assert_eq!(told, [true, false]);
        code.call_method0("set_attribute").unwrap();
        assert_eq!(eval::<String>(py, "__import__('sys').by_back_doors", &[]), "set");
    });
}

#[test]
fn what_is_appended_below_the_methods_of_a_view_is_lost() {
    beside_another("limits::what_is_appended_below_the_methods_of_a_view_is_lost", |_, py, code| {
        let before: Vec<String> = eval(py, "list(__import__('sys').path)", &[]);
        let shows: bool = code.call_method1("appended", ("/below",)).unwrap().extract().unwrap();
        assert!(!shows);
        assert_eq!(eval::<Vec<String>>(py, "list(__import__('sys').path)", &[]), before, "what is in place");
        let below = code.call_method0("below").unwrap().str().unwrap().to_string();
        assert_eq!(below, "[0, True]");
    });
}

#[test]
fn pickle_looks_up_what_is_in_place() {
    beside_another("limits::pickle_looks_up_what_is_in_place", |_, py, code| {
        let data = eval::<Vec<u8>>(py, "__import__('pickle').dumps(__import__('sgtk').TankError)", &[]);
        let data = pyo3::types::PyBytes::new(py, &data);
        let own: bool = code.call_method1("loaded", (data,)).unwrap().extract().unwrap();
        assert!(!own);
    });
}

#[test]
fn settings_made_off_turn_are_those_of_what_is_in_place() {
    alone("limits::settings_made_off_turn_are_those_of_what_is_in_place", || {
        let scene = Scene::new("by_back_doors", "import pickle, socket");
        let timeout = "__import__('socket').getdefaulttimeout()";
        Python::attach(|py| {
            let seen = |project: &str| {
                let lease = scene.host.lease(py, project).unwrap();
                let timeout: Option<f64> = eval(py, timeout, &[]);
                lease.finish().unwrap();
                timeout
            };
            let lease = scene.host.lease(py, OTHER).unwrap();
            scene.code.call_method0(py, "set_timeout").unwrap();
            lease.finish().unwrap();
            assert_eq!((seen(OTHER), seen(OWN.0)), (Some(7.0), None));
            assert_eq!(eval::<Option<f64>>(py, timeout, &[]), None, "the daemon's");
        });
    });
}

#[test]
fn what_another_thread_of_the_daemons_changes_in_sys_counts_as_the_projects_in_place() {
    alone(
        "limits::what_another_thread_of_the_daemons_changes_in_sys_counts_as_the_projects_in_place",
        || {
            let scene = Scene::new("by_back_doors", "");
            let change = "import sys, os\nsys.path.append('/of/a/thread')\nos.environ['OF_A_THREAD'] = '1'\n\
                          sys.of_a_thread = 1";
            let seen = "('/of/a/thread' in __import__('sys').path, 'OF_A_THREAD' in __import__('os').environ, \
                        hasattr(__import__('sys'), 'of_a_thread'))";
            Python::attach(|py| {
                let lease = scene.host.lease(py, OTHER).unwrap();
                py.detach(|| {
                    std::thread::scope(|scope| {
                        scope.spawn(|| Python::attach(|py| run(py, change, &[]).clear()));
                    });
                });
                assert_eq!(eval::<[bool; 3]>(py, seen, &[]), [true; 3]);
                lease.finish().unwrap();
                assert_eq!(eval::<[bool; 3]>(py, seen, &[]), [false; 3]);
                let lease = scene.host.lease(py, OTHER).unwrap();
                assert_eq!(eval::<[bool; 3]>(py, seen, &[]), [true; 3]);
                lease.finish().unwrap();
            });
        },
    );
}
