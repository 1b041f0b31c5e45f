//! What an app does by hand, on threads of its own, while its engine is parked.

use std::collections::BTreeMap;
use std::thread;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use sgtk_host::{Engine, Host};
use sgtk_host_fixtures::{AppBundle, Project, Studio};

use crate::support::{PROJECTS, alone, assert_own, bootstrap, command, core, host, studio};

fn studio_with_payloads() -> Studio {
    let studio = studio();
    for (id, name, version) in PROJECTS {
        studio.project(&Project::new(id.into(), name, core(version)).app(AppBundle::Payload)).unwrap();
    }
    studio
}

/// A thread that an app of the engine has started in a lease, which waits for `go`.
struct Started {
    go: Py<PyAny>,
    thread: Py<PyAny>,
    outcome: Py<PyAny>,
}

impl Started {
    fn new(engine: &Engine, name: &str) -> Self {
        let started = engine.with(|engine| {
            let commands = engine.getattr("commands")?;
            let loads = commands.get_item(name)?.get_item("callback")?;
            let go = engine.py().import("threading")?.getattr("Event")?.call0()?;
            let start = commands.get_item("start")?.get_item("callback")?;
            let (thread, outcome): (Py<PyAny>, Py<PyAny>) = start.call1((loads, &go))?.extract()?;
            Ok(Self { go: go.unbind(), thread, outcome })
        });
        started.unwrap()
    }

    fn go(&self) {
        Python::attach(|py| self.go.call_method0(py, "set").map(drop).unwrap());
    }

    fn is_alive(&self, py: Python<'_>) -> bool {
        self.thread.call_method0(py, "is_alive").unwrap().extract(py).unwrap()
    }

    /// What the command gave.
    fn outcome(&self) -> BTreeMap<String, String> {
        Python::attach(|py| {
            self.thread.call_method0(py, "join").unwrap();
            let outcome = self.outcome.bind(py).get_item(0).unwrap();
            outcome.extract().unwrap_or_else(|_| panic!("{outcome}"))
        })
    }
}

/// Paths, and names of modules and loggers.
fn interpreter(py: Python<'_>) -> Vec<Vec<String>> {
    let scope = PyDict::new(py);
    let code = c"
import logging, sys
state = [[str(entry) for entry in sys.path], sorted(sys.modules), sorted(logging.Logger.manager.loggerDict)]
";
    py.run(code, Some(&scope), None).unwrap();
    scope.get_item("state").unwrap().unwrap().extract().unwrap()
}

#[test]
fn an_app_s_thread_loads_its_payload_whoever_is_in_place() {
    alone("off_turn::an_app_s_thread_loads_its_payload_whoever_is_in_place", || {
        let studio = studio_with_payloads();
        let host = host(&studio);
        let engines = PROJECTS.map(|(id, ..)| bootstrap(&host, &studio, id));
        for (number, (.., version)) in PROJECTS.iter().enumerate() {
            for in_place in [None, Some((number + 1) % 3), Some(number)] {
                let started = Started::new(&engines[number], "load_again");
                let outside = Python::attach(interpreter);
                started.go();
                while let Some(in_place) = in_place
                    && Python::attach(|py| started.is_alive(py))
                {
                    let same = engines[in_place].with(|engine| {
                        let before = interpreter(engine.py());
                        // As long as the thread does not load something in its own turn.
                        engine.py().detach(|| {
                            while host.waiting() == 0 && Python::attach(|py| started.is_alive(py)) {
                                thread::yield_now();
                            }
                        });
                        Ok(interpreter(engine.py()) == before)
                    });
                    assert!(same.unwrap() || in_place == number);
                }
                let told = started.outcome();
                assert!(told.len() == 4 && told.values().all(|one| one == version), "{version}: {told:?}");
                assert_eq!(Python::attach(interpreter), outside);
            }
        }
        // What was loaded once is loaded.
        for (engine, (.., version)) in engines.iter().zip(PROJECTS) {
            for _ in 0..2 {
                let started = Started::new(engine, "load");
                started.go();
                assert!(started.outcome().values().all(|one| one == version));
            }
            assert_own(engine, version);
        }
        Python::attach(|py| assert_eq!(host.audit(py).unwrap(), []));
    });
}

#[test]
fn engines_whose_apps_have_loaded_by_hand_leave_nothing() {
    alone("off_turn::engines_whose_apps_have_loaded_by_hand_leave_nothing", || {
        let studio = studio_with_payloads();
        let host: Host = host(&studio);
        // The first bootstrap leaves what is everybody's.
        bootstrap(&host, &studio, 176).destroy().unwrap();
        let outside = Python::attach(interpreter);
        for _ in 0..3 {
            let engine = bootstrap(&host, &studio, 176);
            let started = Started::new(&engine, "load");
            started.go();
            assert_eq!(started.outcome().len(), 4);
            let module = engine.with(|engine| {
                let app = command(engine, "load")?;
                assert_eq!(app.len()?, 4);
                let weak = engine.py().import("weakref")?.getattr("ref")?;
                let app = engine.getattr("apps")?.get_item("tk-multi-payload")?;
                let payload = app.call_method1("import_module", ("payload",))?;
                Ok(weak.call1((payload,))?.unbind())
            });
            drop(started);
            engine.destroy().unwrap();
            Python::attach(|py| {
                py.import("gc").unwrap().call_method0("collect").unwrap();
                assert!(module.unwrap().call0(py).unwrap().is_none(py), "the payload is still there");
                assert_eq!(interpreter(py), outside);
            });
        }
    });
}
