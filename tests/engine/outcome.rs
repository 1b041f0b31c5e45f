//! What came of a bootstrap is compared with what was asked for, and nothing ambient steers it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pyo3::prelude::*;
use sgtk_host::{Bootstrap, BootstrapCallbacks, BootstrapFailure, DifferenceKind, Engine, Error};
use sgtk_host_fixtures::{AppBundle, Core, Project, Studio};

use crate::support::{alone, assert_own, bootstrap, host, options, studio};

fn kinds(engine: &Engine) -> Vec<DifferenceKind> {
    engine.info().differences.iter().map(|difference| difference.kind).collect()
}

/// A configuration whose core is not there, in the place of project 177's.
fn without_core(studio: &Studio) {
    let file = studio.configuration(177).join("core/core_api.yml");
    std::fs::write(file, "location:\n  type: path\n  path: /nowhere/core\n").unwrap();
}

#[test]
fn another_projects_configuration_in_the_environment_decides_nothing() {
    alone("outcome::another_projects_configuration_in_the_environment_decides_nothing", || {
        let studio = studio();
        let folder = studio.configuration(178);
        // SAFETY: this process has one thread, and no interpreter yet.
        unsafe {
            std::env::set_var("SHOTGUN_PIPELINE_CONFIGURATION_ID", "1176");
            std::env::set_var("TK_BOOTSTRAP_CONFIG_OVERRIDE", &folder);
        }
        let host = host(&studio);
        let engine = bootstrap(&host, &studio, 177);
        assert_eq!(engine.info().configuration_id, Some(1177));
        assert_eq!(kinds(&engine), []);
        assert_own(&engine, "v0.23.8");
        // The daemon's own environment is its own.
        assert_eq!(std::env::var("SHOTGUN_PIPELINE_CONFIGURATION_ID").as_deref(), Ok("1176"));
    });
}

#[test]
fn an_app_that_is_left_out_and_a_configuration_that_was_restored_are_told() {
    alone("outcome::an_app_that_is_left_out_and_a_configuration_that_was_restored_are_told", || {
        let warnings = warnings();
        let studio = studio();
        let host = host(&studio);
        assert_eq!(kinds(&bootstrap(&host, &studio, 177)), []);
        let project = Project::new(177, "sintel", Core::newer("v0.23.8")).app(AppBundle::Missing);
        studio.project(&project).unwrap();
        assert_eq!(kinds(&bootstrap(&host, &studio, 177)), [DifferenceKind::App]);
        without_core(&studio);
        let engine = bootstrap(&host, &studio, 177);
        assert_eq!(kinds(&engine), [DifferenceKind::Restored, DifferenceKind::App]);
        let [restored, app] = &engine.info().differences[..] else { panic!() };
        assert!(restored.message.contains("/nowhere/core"), "{restored}");
        assert!(app.message.contains("tk-missing") && app.message.contains("not on disk"), "{app}");
        let warnings = warnings.lock().unwrap().concat();
        for difference in [restored, app] {
            assert!(warnings.contains(&difference.message), "{difference}: {warnings}");
        }
    });
}

#[test]
fn a_user_of_another_site_than_was_asked_for_is_told() {
    alone("outcome::a_user_of_another_site_than_was_asked_for_is_told", || {
        let studio = studio();
        let host = host(&studio);
        let callbacks = || {
            let url = studio.site().url();
            BootstrapCallbacks::new().user(move |sgtk| {
                let authenticator =
                    sgtk.getattr("authentication")?.getattr("ShotgunAuthenticator")?.call0()?;
                authenticator.call_method1("create_script_user", (Studio::SCRIPT, Studio::KEY, &url))
            })
        };
        let asked = |site: String| Bootstrap::project(177).core(studio.start()).site(site);
        let url = studio.site().url();
        for same in [url.clone(), format!("{}/", url.to_uppercase())] {
            let engine = host.bootstrap_with(&asked(same).build().unwrap(), &callbacks()).unwrap();
            assert_eq!(kinds(&engine), []);
        }
        let other = || asked("https://another.example".to_owned());
        let engine = host.bootstrap_with(&other().build().unwrap(), &callbacks()).unwrap();
        assert_eq!(kinds(&engine), [DifferenceKind::Site]);
        let told = engine.info().differences[0].to_string();
        assert!(told.contains("https://another.example") && told.contains(&url), "{told}");
        engine.destroy().unwrap();
        let error = host.bootstrap_with(&other().strict(true).build().unwrap(), &callbacks()).unwrap_err();
        assert!(error.to_string().contains("another.example"), "{error}");
    });
}

#[test]
fn a_configuration_that_is_asked_for_by_its_number_and_is_another_projects_is_told() {
    alone("outcome::a_configuration_that_is_asked_for_by_its_number_and_is_another_projects_is_told", || {
        let studio = studio();
        let host = host(&studio);
        let asked = |id: u32| options(&studio, 177).pipeline_configuration(id);
        let by_variable = || options(&studio, 177).variable("SHOTGUN_PIPELINE_CONFIGURATION_ID", "1178");
        assert_eq!(kinds(&host.bootstrap(&asked(1177).build().unwrap()).unwrap()), []);
        for others in [asked(1178), by_variable()] {
            let engine = host.bootstrap(&others.clone().build().unwrap()).unwrap();
            assert_eq!(kinds(&engine), [DifferenceKind::Configuration]);
            let told = engine.info().differences[0].to_string();
            assert!(told.contains("1178 is project 178's") && told.contains("project 177"), "{told}");
            engine.destroy().unwrap();
            let error = host.bootstrap(&others.strict(true).build().unwrap()).unwrap_err();
            assert!(error.to_string().contains("1178 is project 178's"), "{error}");
        }
    });
}

#[test]
fn limits_may_be_the_longest_there_are() {
    alone("outcome::limits_may_be_the_longest_there_are", || {
        let studio = studio();
        let host = host(&studio);
        let longest = options(&studio, 177).site_timeout(Duration::MAX).timeout(Duration::MAX);
        let engine = host.bootstrap(&longest.build().unwrap()).unwrap();
        assert_own(&engine, "v0.23.8");
        engine.destroy().unwrap();
    });
}

#[test]
fn a_strict_bootstrap_fails_where_its_outcome_is_another_one() {
    alone("outcome::a_strict_bootstrap_fails_where_its_outcome_is_another_one", || {
        let studio = studio();
        let host = host(&studio);
        drop(bootstrap(&host, &studio, 177));
        without_core(&studio);
        let strict = options(&studio, 177).strict(true).build().unwrap();
        let error = host.bootstrap(&strict).unwrap_err();
        let Error::Bootstrap { kind: BootstrapFailure::Configuration, .. } = &error else {
            panic!("{error}")
        };
        assert!(error.to_string().contains("/nowhere/core"), "{error}");
        assert!(host.engines().is_empty());
        studio.project(&Project::new(177, "sintel", Core::newer("v0.23.8"))).unwrap();
        host.bootstrap(&strict).unwrap().destroy().unwrap();
    });
}

/// What `tracing` is told as warnings, with `forward_logs` off.
fn warnings() -> Arc<Mutex<Vec<String>>> {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);
    impl std::io::Write for Lines {
        fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().push(String::from_utf8_lossy(text).into_owned());
            Ok(text.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let writer = lines.clone();
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::WARN)
        .with_writer(move || writer.clone())
        .init();
    lines.0
}
