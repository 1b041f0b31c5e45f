//! The daemon's environment, which may be a Toolkit shell's, decides on no project's configuration.

use sgtk_host_fixtures::isolated_with;

use crate::support::{assert_own, bootstrap, host, options, studio};

/// With a configuration of project 176 in the daemon's environment, in both ways that Toolkit reads.
fn in_a_shell_of_176(name: &str, body: impl FnOnce()) {
    let home = tempfile::tempdir().unwrap();
    let prepare = |command: &mut std::process::Command| {
        command
            .env("SHOTGUN_HOME", home.path())
            .env("SHOTGUN_PIPELINE_CONFIGURATION_ID", "1176")
            .env("TK_BOOTSTRAP_CONFIG_OVERRIDE", "/nonexistent/configuration");
    };
    isolated_with(name, prepare, body);
}

#[test]
fn a_bootstrap_is_of_the_project_that_was_asked_for() {
    in_a_shell_of_176("steered::a_bootstrap_is_of_the_project_that_was_asked_for", || {
        let studio = studio();
        let host = host(&studio);
        let engine = bootstrap(&host, &studio, 177);
        assert_own(&engine, "v0.23.8");
        assert_eq!((engine.info().project_id, engine.info().configuration_id), (Some(177), Some(1177)));
        assert!(engine.info().differences.is_empty(), "{:?}", engine.info().differences);
        // The daemon's own environment keeps what it was given.
        let kept = pyo3::Python::attach(|py| {
            use pyo3::prelude::*;
            py.import("os")?.getattr("environ")?.contains("SHOTGUN_PIPELINE_CONFIGURATION_ID")
        });
        assert!(kept.unwrap());
    });
}

#[test]
fn what_a_configuration_asks_for_is_asked_by_options() {
    in_a_shell_of_176("steered::what_a_configuration_asks_for_is_asked_by_options", || {
        let studio = studio();
        let host = host(&studio);
        let strict = options(&studio, 178).pipeline_configuration(1178).strict(true).build().unwrap();
        let engine = host.bootstrap(&strict).unwrap();
        assert_own(&engine, "v0.24.0");
        assert_eq!(engine.info().configuration_id, Some(1178));
    });
}

#[test]
fn a_time_zone_that_is_asked_for_is_the_engines_alone() {
    in_a_shell_of_176("steered::a_time_zone_that_is_asked_for_is_the_engines_alone", || {
        let studio = studio();
        let host = host(&studio);
        let zone = |py: pyo3::Python<'_>| -> pyo3::PyResult<Vec<String>> {
            use pyo3::prelude::*;
            py.eval(c"[__import__('time').tzname[0], __import__('time').strftime('%z')]", None, None)?
                .extract()
        };
        let daemons = pyo3::Python::attach(zone).unwrap();
        assert_ne!(daemons[0], "JST", "this machine is none in Tokyo");
        let asked = options(&studio, 177).variable("TZ", "Asia/Tokyo").build().unwrap();
        let engine = host.bootstrap(&asked).unwrap();
        let other = bootstrap(&host, &studio, 178);
        for _ in 0..2 {
            assert_eq!(engine.with(|engine| zone(engine.py())).unwrap(), ["JST", "+0900"]);
            assert_eq!(other.with(|engine| zone(engine.py())).unwrap(), daemons);
            assert_eq!(pyo3::Python::attach(zone).unwrap(), daemons);
        }
    });
}
