//! What a bootstrap tells of its progress.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use sgtk_host::{BootstrapCallbacks, Progress};

use crate::support::{PROJECTS, alone, assert_own, host, options, studio};

#[test]
fn progress_never_goes_back_and_ends_at_one_once() {
    alone("progress::progress_never_goes_back_and_ends_at_one_once", || {
        let studio = studio();
        let host = host(&studio);
        for (id, ..) in PROJECTS {
            let seen: Arc<Mutex<Vec<Progress>>> = Arc::default();
            let told = Arc::clone(&seen);
            let callbacks = BootstrapCallbacks::new().on_progress(move |progress| {
                told.lock().unwrap().push(progress.clone());
                ControlFlow::Continue(())
            });
            let engine = host.bootstrap_with(&options(&studio, id).build().unwrap(), &callbacks).unwrap();
            let seen = seen.lock().unwrap();
            let fractions: Vec<f64> = seen.iter().map(|progress| progress.fraction).collect();
            assert!(fractions.is_sorted(), "{fractions:?}");
            assert_eq!(fractions.first(), Some(&0.0));
            assert_eq!(fractions.iter().filter(|fraction| **fraction >= 1.0).count(), 1, "{fractions:?}");
            assert_eq!(fractions.last(), Some(&1.0));
            assert!(
                fractions.len() > 6 && seen.iter().all(|progress| !progress.message.is_empty()),
                "{seen:?}"
            );
            drop(engine);
        }
    });
}

#[test]
fn a_callback_that_panics_is_left_alone_and_the_bootstrap_goes_on() {
    alone("progress::a_callback_that_panics_is_left_alone_and_the_bootstrap_goes_on", || {
        let studio = studio();
        let host = host(&studio);
        let calls = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&calls);
        let callbacks = BootstrapCallbacks::new().on_progress(move |progress| {
            *counted.lock().unwrap_or_else(std::sync::PoisonError::into_inner) += 1;
            assert!(progress.fraction < 0.1, "a panic of the test's own");
            ControlFlow::Continue(())
        });
        let engine = host.bootstrap_with(&options(&studio, 176).build().unwrap(), &callbacks).unwrap();
        assert_own(&engine, "v0.22.7");
        assert_eq!(*calls.lock().unwrap_or_else(std::sync::PoisonError::into_inner), 3);
    });
}

#[test]
fn a_user_can_be_made_by_a_callback() {
    alone("progress::a_user_can_be_made_by_a_callback", || {
        use pyo3::prelude::*;
        use sgtk_host_fixtures::Studio;
        let studio = studio();
        let host = host(&studio);
        let site = studio.site().url();
        let callbacks = BootstrapCallbacks::new().user(move |sgtk| {
            let authenticator = sgtk.getattr("authentication")?.getattr("ShotgunAuthenticator")?.call0()?;
            authenticator.call_method1("create_script_user", (Studio::SCRIPT, Studio::KEY, &site))
        });
        let engine = host.bootstrap_with(&options(&studio, 176).build().unwrap(), &callbacks).unwrap();
        assert_own(&engine, "v0.22.7");
    });
}

#[test]
fn a_callback_whose_wish_to_stop_is_swallowed_gets_it_at_the_end() {
    alone("progress::a_callback_whose_wish_to_stop_is_swallowed_gets_it_at_the_end", || {
        use pyo3::prelude::*;
        use pyo3::types::PyDict;
        use sgtk_host::Error;
        use sgtk_host_fixtures::Studio;
        let studio = studio();
        let host = host(&studio);
        let site = studio.site().url();
        let stops = BootstrapCallbacks::new().on_progress(|progress| {
            if progress.fraction < 0.05 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        // Code of the core's that catches whatever a callback raises.
        let stops = stops.user(move |sgtk| {
            let scope = PyDict::new(sgtk.py());
            scope.set_item("manager", sgtk.getattr("bootstrap")?.getattr("ToolkitManager")?)?;
            sgtk.py().run(
                c"
def swallowing(report):
    def reports(*args):
        try:
            report(*args)
        except BaseException:
            pass
    return reports
manager._report = swallowing(manager._report)
",
                Some(&scope),
                None,
            )?;
            let authenticator = sgtk.getattr("authentication")?.getattr("ShotgunAuthenticator")?.call0()?;
            authenticator.call_method1("create_script_user", (Studio::SCRIPT, Studio::KEY, &site))
        });
        let error = host.bootstrap_with(&options(&studio, 176).build().unwrap(), &stops).unwrap_err();
        assert!(matches!(error, Error::BootstrapStopped { .. }), "{error}");
        assert_eq!(host.engines(), []);
    });
}
