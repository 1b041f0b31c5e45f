//! What a project's code has others run: functions of C and of the standard library, on threads, timers and
//! executors, while the project does not have its turn.

use std::collections::BTreeMap;
use std::thread;

use pyo3::prelude::*;
use sgtk_host_fixtures::bundle;

use crate::scene::{OTHER, OWN, Scene};
use crate::workshop::{alone, eval, run, until};

/// What the plugin uses of the standard library.
const SHARED: &str = "import asyncio, concurrent.futures, multiprocessing.pool, sched, tempfile";

impl Scene {
    /// What a child of the project's says.
    fn childs(&self) -> String {
        format!("{} 0", self.configs.config(OWN.0).display())
    }

    /// What a function of the plugin gives, called on a thread of its own with nobody in place, and with the
    /// other project in place whenever the code does not load something in its own turn.
    fn told<T>(&self, function: &str, arguments: &[&str]) -> Vec<T>
    where
        T: for<'a> FromPyObject<'a, 'a, Error: Into<PyErr>> + Send,
    {
        let call = || {
            Python::attach(|py| {
                let arguments = pyo3::types::PyTuple::new(py, arguments).unwrap();
                let told = self.code.bind(py).call_method1(function, arguments);
                told.and_then(|told| told.extract().map_err(Into::into))
                    .unwrap_or_else(|error| panic!("{function}: {}", sgtk_host::python_error(&error)))
            })
        };
        let alone = call();
        let beside = thread::scope(|scope| {
            let call = scope.spawn(call);
            while !call.is_finished() {
                Python::attach(|py| {
                    let lease = self.host.lease(py, OTHER).unwrap();
                    py.detach(|| until("it goes on", || call.is_finished() || self.host.waiting() > 0));
                    drop(lease);
                });
            }
            call.join().unwrap()
        });
        vec![alone, beside]
    }
}

type Told = BTreeMap<String, String>;
type Versions = BTreeMap<String, Told>;

/// Runs `body` on a scene where threads have ended that the calls have left behind.
fn scene(name: &str, body: impl FnOnce(&Scene)) {
    alone(name, || {
        let scene = Scene::new("by_others", SHARED);
        let state = || -> (Vec<String>, Vec<(String, String)>) {
            Python::attach(|py| {
                let state = "(list(__import__('sys').path), sorted(__import__('os').environ.items()))";
                eval(py, state, &[])
            })
        };
        let before = state();
        body(&scene);
        assert_eq!(state(), before);
        Python::attach(|py| assert_eq!(scene.host.audit(py).unwrap(), []));
    });
}

#[test]
fn children_have_their_projects_environment_and_no_terminal_whatever_starts_them() {
    scene(
        "by_others::children_have_their_projects_environment_and_no_terminal_whatever_starts_them",
        |scene| {
            for told in scene.told::<Told>("children", &[]) {
                assert_eq!(told.len(), 22);
                for (way, said) in told {
                    assert_eq!(said, scene.childs(), "{way}");
                }
            }
        },
    );
}

#[test]
fn code_that_is_run_or_imported_so_has_its_projects_core() {
    scene("by_others::code_that_is_run_or_imported_so_has_its_projects_core", |scene| {
        let helper = bundle("tk-multi-payload").join("python").join("payload").join("helper.py");
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(&helper, folder.path().join("by_others_helper.py")).unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let executed = scene.told::<Versions>("executed", &[helper.to_str().unwrap()]);
        let imported = scene.told::<Versions>("imported", &[folder.to_str().unwrap(), "by_others_helper"]);
        for told in executed.into_iter().chain(imported) {
            assert_eq!(told.len(), 9);
            for (way, versions) in told {
                assert!(
                    versions.len() == 3 && versions.values().all(|one| one == OWN.1),
                    "{way}: {versions:?}"
                );
            }
        }
    });
}

#[test]
fn what_is_called_so_works_on_its_projects_environment() {
    scene("by_others::what_is_called_so_works_on_its_projects_environment", |scene| {
        let own = scene.configs.config(OWN.0).display().to_string();
        assert_eq!(scene.told::<String>("changed", &["BY_OTHERS"]), [&*own; 2]);
    });
}

#[test]
fn an_executor_of_the_daemons_has_items_of_each_and_is_nobodys() {
    scene("by_others::an_executor_of_the_daemons_has_items_of_each_and_is_nobodys", |scene| {
        Python::attach(|py| {
            let pools = "__import__('concurrent.futures').futures.ThreadPoolExecutor(1)";
            let executor: Bound<'_, PyAny> = eval(py, pools, &[]);
            for _ in 0..2 {
                let said = scene.code.bind(py).call_method1("given", (&executor,)).unwrap();
                assert_eq!(said.extract::<String>().unwrap(), scene.childs());
                // On the very thread that the project's item has started.
                let daemons = "executor.submit(__import__('os').environ.get, 'TANK_CURRENT_PC').result()";
                assert_eq!(eval::<Option<String>>(py, daemons, &[("executor", &executor)]), None);
            }
            executor.call_method0("shutdown").unwrap();
        });
    });
}

#[test]
fn threads_of_the_daemons_are_nobodys_also_while_a_project_is_in_place() {
    scene("by_others::threads_of_the_daemons_are_nobodys_also_while_a_project_is_in_place", |scene| {
        let code = "
import os, threading
seen = []
go_on = threading.Event()
def look():
    go_on.wait()
    seen.append(os.environ.get('TANK_CURRENT_PC'))
thread = threading.Thread(target=look)
thread.start()
";
        Python::attach(|py| {
            let names = {
                let _lease = scene.host.lease(py, OWN.0).unwrap();
                run(py, code, &[])
            };
            run(
                py,
                "go_on.set()\nthread.join()\nassert seen == [None], seen",
                &[
                    ("go_on", &names.get_item("go_on").unwrap().unwrap()),
                    ("thread", &names.get_item("thread").unwrap().unwrap()),
                    ("seen", &names.get_item("seen").unwrap().unwrap()),
                ],
            );
        });
    });
}
