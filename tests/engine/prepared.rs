//! What the daemon does in the middle of a bootstrap: to the cores that are imported, and before the engine
//! starts.

use std::sync::{Arc, Mutex};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use sgtk_host::{BootstrapCallbacks, BootstrapFailure, BootstrapStep, Error, Host, Purpose};

use crate::support::{alone, assert_own, bootstrap, host, options, studio};

#[test]
fn the_context_is_prepared_in_the_projects_own_core_before_the_engine_starts() {
    alone("prepared::the_context_is_prepared_in_the_projects_own_core_before_the_engine_starts", || {
        let studio = studio();
        let host = host(&studio);
        let told = Arc::new(Mutex::new(Vec::new()));
        let calls = Arc::clone(&told);
        let callbacks = BootstrapCallbacks::new().pre_engine_start(move |context| {
            let tank = context.getattr("tank")?;
            tank.call_method0("synchronize_filesystem_structure")?;
            let sgtk = context.py().import("sgtk")?;
            let engine = sgtk.getattr("platform")?.call_method0("current_engine")?;
            let id: u32 = context.getattr("project")?.get_item("id")?.extract()?;
            let version: String = sgtk.getattr("__version__")?.extract()?;
            calls.lock().unwrap().push((id, version, engine.is_none()));
            Ok(())
        });
        let engine = host.bootstrap_with(&options(&studio, 176).build().unwrap(), &callbacks).unwrap();
        assert_eq!(*told.lock().unwrap(), [(176, "v0.22.7".to_owned(), true)]);
        let synchronized =
            engine.with(|engine| engine.tank()?.getattr("synchronized")?.extract::<usize>()).unwrap();
        assert_eq!(synchronized, 1);
        engine.destroy().unwrap();
    });
}

#[test]
fn what_fails_before_the_engine_starts_ends_the_bootstrap() {
    alone("prepared::what_fails_before_the_engine_starts_ends_the_bootstrap", || {
        let studio = studio();
        let host = host(&studio);
        let refuses = BootstrapCallbacks::new().pre_engine_start(|_| Err(PyValueError::new_err("not today")));
        let panics = BootstrapCallbacks::new().pre_engine_start(|_| panic!("not today"));
        for (callbacks, words) in [(refuses, "not today"), (panics, "panicked")] {
            let failed = host.bootstrap_with(&options(&studio, 176).build().unwrap(), &callbacks);
            let error = failed.unwrap_err();
            let Error::Bootstrap { step: BootstrapStep::StartEngine, kind: BootstrapFailure::Engine, .. } =
                error
            else {
                panic!("{error}")
            };
            assert!(error.to_string().contains(words), "{error}");
            assert!(host.engines().is_empty());
        }
        assert_own(&bootstrap(&host, &studio, 176), "v0.22.7");
    });
}

#[test]
fn both_cores_of_a_bootstrap_are_prepared() {
    alone("prepared::both_cores_of_a_bootstrap_are_prepared", || {
        let studio = studio();
        let told = Arc::new(Mutex::new(Vec::new()));
        let calls = Arc::clone(&told);
        let host = Host::builder()
            .configs(studio.home())
            .on_import(move |sgtk, about| {
                sgtk.setattr("prepared", "by the daemon")?;
                calls.lock().unwrap().push((about.core.version().map(str::to_owned), about.purpose));
                Ok(())
            })
            .build()
            .unwrap();
        let engine = bootstrap(&host, &studio, 177);
        let versions = ["v0.24.0", "v0.23.8"].map(|version| (Some(version.to_owned()), Purpose::Bootstrap));
        assert_eq!(*told.lock().unwrap(), versions);
        let prepared = engine.with(|engine| engine.sgtk().getattr("prepared")?.extract::<String>()).unwrap();
        assert_eq!(prepared, "by the daemon");
    });
}
