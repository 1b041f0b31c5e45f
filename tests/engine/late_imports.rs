//! What an engine's code imports late, on other threads and when others are in place, is its own core's.

use std::sync::{Arc, Mutex};
use std::thread;

use pyo3::prelude::*;
use sgtk_host::{BootstrapCallbacks, Engine};
use sgtk_host_fixtures::Studio;

use crate::support::{PROJECTS, alone, assert_own, bootstrap, command, host, options, studio};

#[test]
fn hooks_apps_and_threads_import_from_their_own_core_while_others_are_in_place() {
    alone(
        "late_imports::hooks_apps_and_threads_import_from_their_own_core_while_others_are_in_place",
        || {
            let studio = studio();
            let host = host(&studio);
            let engines: Vec<Engine> =
                PROJECTS.iter().map(|(id, ..)| bootstrap(&host, &studio, *id)).collect();
            // The commands themselves, to be run outside leases.
            let commands: Vec<Py<PyAny>> = engines
                .iter()
                .map(|engine| {
                    let command = engine.with(|engine| {
                        let commands = engine.getattr("commands")?;
                        Ok(commands.get_item("versions")?.get_item("callback")?.unbind())
                    });
                    command.unwrap()
                })
                .collect();
            thread::scope(|scope| {
                for (command, (.., version)) in commands.iter().zip(PROJECTS) {
                    scope.spawn(move || {
                        for _ in 0..200 {
                            Python::attach(|py| {
                                let told: std::collections::BTreeMap<String, String> =
                                    command.call0(py).unwrap().extract(py).unwrap();
                                assert!(told.values().all(|one| one == version), "{version}: {told:?}");
                            });
                        }
                    });
                }
                // Meanwhile all of them come and go.
                scope.spawn(|| {
                    for number in 0..600 {
                        let (engine, (.., version)) = (&engines[number % 3], PROJECTS[number % 3]);
                        let seen: String =
                            engine.with(|engine| engine.sgtk().getattr("__version__")?.extract()).unwrap();
                        assert_eq!(seen, version);
                    }
                });
            });
            Python::attach(|py| {
                drop(commands);
                assert_eq!(host.audit(py).unwrap(), []);
            });
        },
    );
}

#[test]
fn a_thread_that_an_app_starts_in_a_lease_has_its_own_core() {
    alone("late_imports::a_thread_that_an_app_starts_in_a_lease_has_its_own_core", || {
        let studio = studio();
        let host = host(&studio);
        for (id, _, version) in PROJECTS {
            let engine = bootstrap(&host, &studio, id);
            let told: std::collections::BTreeMap<String, String> =
                engine.with(|engine| command(engine, "in_a_thread")?.extract()).unwrap();
            assert!(told.values().all(|one| one == version), "{version}: {told:?}");
        }
    });
}

#[test]
fn a_core_that_is_swapped_after_the_bootstrap_is_an_error_and_not_the_core_before() {
    alone(
        "late_imports::a_core_that_is_swapped_after_the_bootstrap_is_an_error_and_not_the_core_before",
        || {
            let studio = studio();
            let host = host(&studio);
            // What whoever keeps the starting core's manager has.
            let kept: Arc<Mutex<Option<Py<PyAny>>>> = Arc::default();
            let keep = Arc::clone(&kept);
            let site = studio.site().url();
            let callbacks = BootstrapCallbacks::new().user(move |sgtk| {
                let handler = sgtk.py().import("tank.bootstrap.import_handler")?;
                *keep.lock().unwrap() = Some(handler.getattr("CoreImportHandler")?.unbind());
                let authenticator =
                    sgtk.getattr("authentication")?.getattr("ShotgunAuthenticator")?.call0()?;
                authenticator.call_method1("create_script_user", (Studio::SCRIPT, Studio::KEY, &site))
            });
            let engine = host.bootstrap_with(&options(&studio, 176).build().unwrap(), &callbacks).unwrap();
            let handler = kept.lock().unwrap().take().unwrap();
            let swapped = engine
                .with(|engine| handler.call_method1(engine.py(), "swap_core", (studio.start(),)).map(drop));
            assert!(swapped.unwrap_err().to_string().contains("is over"));
            assert_own(&engine, "v0.22.7");
        },
    );
}
