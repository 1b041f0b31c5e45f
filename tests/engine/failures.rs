//! Bootstraps that fail: one error that names step, kind and cause, and a process as before.

use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use sgtk_host::{BootstrapBuilder, BootstrapCallbacks, BootstrapFailure, BootstrapStep, Error, Host};
use sgtk_host_fixtures::{AppBundle, Broken, Core, EngineBundle, Fault, Project, Studio};

use crate::daemon_code::Daemon;
use crate::support::{alone, assert_own, bootstrap, counts, host, options, studio};

use BootstrapFailure::{Authentication, Configuration, Engine, Other, SiteUnreachable, TimedOut};
use BootstrapStep::{
    Authenticate, CacheBundles, ImportCore, ResolveConfiguration, StartEngine, SwapCore, Verify,
};

/// A daemon that sees whether anything is left behind.
struct Watch<'a> {
    studio: &'a Studio,
    host: &'a Host,
    daemon: Daemon,
    before: Vec<(String, usize)>,
}

impl<'a> Watch<'a> {
    /// After what every bootstrap loads of the standard library.
    fn new(studio: &'a Studio, host: &'a Host) -> Self {
        let daemon = Daemon::new();
        for id in [176, 177] {
            bootstrap(host, studio, id).destroy().unwrap();
        }
        daemon.run(
            "import json.decoder, http.client, socket, ssl, traceback, encodings.idna, encodings.utf_8_sig",
        );
        daemon.remember();
        Self { studio, host, daemon, before: Python::attach(counts) }
    }

    /// Fails unless the bootstrap fails in this way, leaves nothing behind, and the next of another project
    /// works.
    #[track_caller]
    fn fails(
        &self,
        what: &str,
        options: BootstrapBuilder,
        expected: (BootstrapStep, BootstrapFailure),
        words: &str,
    ) {
        self.fails_with(what, options, BootstrapCallbacks::new(), expected, words);
    }

    #[track_caller]
    fn fails_with(
        &self,
        what: &str,
        options: BootstrapBuilder,
        callbacks: BootstrapCallbacks,
        expected: (BootstrapStep, BootstrapFailure),
        words: &str,
    ) {
        let error = self.host.bootstrap_with(&options.build().unwrap(), &callbacks).expect_err(what);
        let text = error.to_string();
        let Error::Bootstrap { step, kind, cause, .. } = &error else { panic!("{what}: {text}") };
        assert_eq!((*step, *kind), expected, "{what}: {text}");
        assert!(text.contains(words), "{what}: expected {words:?} in {text}");
        if let Error::Python { source } = &**cause {
            assert!(source.traceback.is_some(), "{what}: {text}");
        }
        assert!(!text.contains(Studio::KEY), "{what}: {text}");
        self.as_before(what);
        self.next_works();
    }

    #[track_caller]
    fn as_before(&self, what: &str) {
        self.daemon.assert_as_before(what);
        assert_eq!(Python::attach(counts), self.before, "{what}");
    }

    #[track_caller]
    fn next_works(&self) {
        let engine = bootstrap(self.host, self.studio, 177);
        assert_own(&engine, "v0.23.8");
        engine.destroy().unwrap();
    }
}

#[test]
fn wrong_options_fail_at_their_step() {
    alone("failures::wrong_options_fail_at_their_step", || {
        let studio = studio();
        let host = host(&studio);
        let watch = Watch::new(&studio, &host);
        let options = |id| options(&studio, id);
        let home = studio.home();
        watch.fails("no core", options(176).core(&home), (ImportCore, Configuration), "lacks sgtk");
        let resolve = ResolveConfiguration;
        watch.fails(
            "wrong key",
            options(176).script_user(Studio::SCRIPT, "another key"),
            (resolve, Authentication),
            "AuthenticationFault",
        );
        watch.fails(
            "no site",
            options(176).site("http://127.0.0.1:9"),
            (resolve, SiteUnreachable),
            "refused",
        );
        watch.fails("no project", options(9), (resolve, Configuration), "Traceback");
        watch.fails(
            "no configuration of that number",
            options(176).pipeline_configuration(77),
            (resolve, Configuration),
            "Traceback",
        );
        let lookup =
            |descriptor: &str| options(176).do_shotgun_config_lookup(false).base_configuration(descriptor);
        watch.fails(
            "no configuration at that place",
            lookup("sgtk:descriptor:path?path=/is/not/there"),
            (resolve, Configuration),
            "/is/not/there",
        );
        watch.fails("no such engine", options(176).engine("tk-none"), (StartEngine, Engine), "tk-none");
        watch.fails_with(
            "no user",
            options(176),
            BootstrapCallbacks::new().user(|_| Err(PyValueError::new_err("nobody is here"))),
            (Authenticate, Other),
            "nobody is here",
        );
        watch.fails_with(
            "a user's callback that panics",
            options(176),
            BootstrapCallbacks::new().user(|_| panic!("a panic of the test's own")),
            (Authenticate, Other),
            "panicked",
        );
    });
}

#[test]
fn a_site_that_fails_is_unreachable() {
    alone("failures::a_site_that_fails_is_unreachable", || {
        let studio = studio();
        let host = host(&studio);
        let watch = Watch::new(&studio, &host);
        let faults = [Fault::Status(502), Fault::HangUp, Fault::Garbage, Fault::NoHttp, Fault::Hang];
        for fault in faults {
            for kind in ["info", "read:PipelineConfiguration", "read:Project"] {
                // The others take their time to try again.
                if fault == Fault::Status(502) && kind != "info" {
                    continue;
                }
                studio.site().fault(kind, fault.clone()).unwrap();
                let options = options(&studio, 176).site_timeout(Duration::from_millis(500));
                let error = host.bootstrap(&options.build().unwrap()).expect_err(kind);
                studio.site().clear_faults().unwrap();
                studio.site().release().unwrap();
                let is_unreachable = matches!(error, Error::Bootstrap { kind: SiteUnreachable, .. });
                assert!(is_unreachable, "{fault:?} {kind}: {error}");
                watch.as_before(&format!("{fault:?} {kind}"));
            }
            watch.next_works();
        }
    });
}

#[test]
fn bundles_and_engines_that_cannot_start_fail_by_name() {
    alone("failures::bundles_and_engines_that_cannot_start_fail_by_name", || {
        let studio = studio();
        let odd = [
            (300, EngineBundle::Missing, "tk-missing"),
            (301, EngineBundle::RaisesOnImport, "a_library_that_is_nowhere"),
        ];
        for (id, engine, _) in odd {
            studio.project(&Project::new(id, "odd", Core::older("v0.22.7")).engine(engine)).unwrap();
        }
        let host = host(&studio);
        let watch = Watch::new(&studio, &host);
        for (id, engine, words) in odd {
            let options = options(&studio, u32::try_from(id).unwrap());
            watch.fails(&format!("{engine:?}"), options, (StartEngine, Engine), words);
        }
    });
}

#[test]
fn an_engine_whose_init_raises_takes_nothing_with_it_but_a_thread_that_cannot_be_reached() {
    let name =
        "failures::an_engine_whose_init_raises_takes_nothing_with_it_but_a_thread_that_cannot_be_reached";
    alone(name, || {
        let studio = studio();
        let project = Project::new(300, "odd", Core::newer("v0.23.10")).engine(EngineBundle::InitRaises);
        studio.project(&project).unwrap();
        let host = host(&studio);
        let watch = Watch::new(&studio, &host);
        let error = host.bootstrap(&options(&studio, 300).build().unwrap()).unwrap_err();
        assert!(error.to_string().contains("does not start"), "{error}");
        watch.daemon.assert_as_before("after a failed init");
        // It waits in C for an event that nobody sets, and was given nothing of the engine's to run.
        let left = Python::attach(counts);
        let more: Vec<_> = left.iter().zip(&watch.before).filter(|(now, before)| now != before).collect();
        assert_eq!(more.iter().map(|(now, _)| &*now.0).collect::<Vec<_>>(), ["threads"], "{more:?}");
        watch.next_works();
    });
}

#[test]
fn an_app_that_cannot_be_loaded_is_toolkits_to_tell() {
    alone("failures::an_app_that_cannot_be_loaded_is_toolkits_to_tell", || {
        let studio = studio();
        let project = Project::new(300, "odd", Core::newer("v0.23.10"));
        let project =
            project.app(AppBundle::Missing).app(AppBundle::RaisesOnImport).app(AppBundle::InitRaises);
        studio.project(&project).unwrap();
        let host = host(&studio);
        let engine = bootstrap(&host, &studio, 300);
        assert_own(&engine, "v0.23.10");
        let apps: usize = engine.with(|engine| engine.getattr("apps")?.len()).unwrap();
        assert_eq!(apps, 1);
        let told = &engine.info().differences;
        assert_eq!(told.len(), 3, "{told:?}");
        for name in ["tk-missing", "tk-raises-on-import", "tk-init-raises"] {
            let start = format!("app {name} was left out: ");
            assert!(told.iter().any(|one| one.message.starts_with(&start)), "{name}: {told:?}");
        }
    });
}

#[test]
fn a_core_that_cannot_be_imported_after_the_swap_leaves_nothing_of_itself() {
    alone("failures::a_core_that_cannot_be_imported_after_the_swap_leaves_nothing_of_itself", || {
        let studio = studio();
        let cores = [
            (300, "v0.99.0", Broken::RaisesImportError),
            (301, "v0.99.1", Broken::SystemExit),
            (302, "v0.99.2", Broken::SyntaxError),
        ];
        for (id, version, broken) in cores {
            let core = Core::newer(version).broken(broken);
            studio.project(&Project::new(id, "odd", core)).unwrap();
        }
        let host = host(&studio);
        let watch = Watch::new(&studio, &host);
        for (id, words) in [(300, "ModuleNotFoundError"), (301, "SystemExit"), (302, "SyntaxError")] {
            let what = format!("a swap to a core with {words}");
            watch.fails(&what, options(&studio, id), (SwapCore, Configuration), words);
        }
    });
}

fn engine_has_begun(py: Python<'_>) -> PyResult<bool> {
    py.import("fixture_gate")?.getattr("entered")?.call_method0("is_set")?.extract()
}

#[test]
fn a_bootstrap_that_takes_too_long_is_stopped() {
    alone("failures::a_bootstrap_that_takes_too_long_is_stopped", || {
        let studio = studio();
        let project = Project::new(300, "odd", Core::newer("v0.23.8")).engine(EngineBundle::InitHangs);
        studio.project(&project).unwrap();
        let host = host(&studio);
        let watch = Watch::new(&studio, &host);
        watch.daemon.run("import sys; sys.path.append(HOST_PACKAGES); import fixture_gate");
        watch.daemon.remember();
        // On a busy machine a short limit is up before the engine begins, which is another step.
        let mut limit = Duration::from_millis(900);
        let error = loop {
            let options = options(&studio, 300).timeout(limit);
            let error = host.bootstrap(&options.build().unwrap()).unwrap_err();
            assert!(matches!(error, Error::Bootstrap { kind: TimedOut, .. }), "{error}");
            if Python::attach(engine_has_begun).unwrap() {
                break error;
            }
            limit *= 2;
        };
        assert!(error.to_string().contains(&format!("{limit:?}")), "{error}");
        watch.daemon.assert_as_before("after the time limit");
        watch.next_works();
    });
}

#[test]
fn an_engine_that_does_not_tell_its_configuration_is_none() {
    alone("failures::an_engine_that_does_not_tell_its_configuration_is_none", || {
        let studio = studio();
        let host = host(&studio);
        let watch = Watch::new(&studio, &host);
        let callbacks = BootstrapCallbacks::new().on_progress(|progress| {
            if (0.97..0.98).contains(&progress.fraction) {
                let code = c"
import tank
def without(start):
    def starts(*args):
        engine = start(*args)
        engine.sgtk.pipeline_configuration.get_path = lambda: None
        return engine
    return starts
tank.platform.start_engine = without(tank.platform.start_engine)
";
                Python::attach(|py| py.run(code, Some(&PyDict::new(py)), None).unwrap());
            }
            std::ops::ControlFlow::Continue(())
        });
        watch.fails_with(
            "no configuration told",
            options(&studio, 176),
            callbacks,
            (Verify, Other),
            "names no folder",
        );
    });
}

#[test]
fn a_failure_while_bundles_are_cached_names_that_step() {
    alone("failures::a_failure_while_bundles_are_cached_names_that_step", || {
        let studio = studio();
        let host = host(&studio);
        let watch = Watch::new(&studio, &host);
        let stop = BootstrapCallbacks::new().on_progress(|progress| {
            if progress.fraction > 0.19 {
                std::ops::ControlFlow::Break(())
            } else {
                std::ops::ControlFlow::Continue(())
            }
        });
        let error = host.bootstrap_with(&options(&studio, 176).build().unwrap(), &stop).unwrap_err();
        let Error::BootstrapStopped { target, step } = &error else { panic!("{error}") };
        assert_eq!((&**target, *step), ("Project 176 (tk-shell)", CacheBundles));
        watch.as_before("after a bootstrap that was stopped");
        watch.next_works();
    });
}

#[test]
fn an_answer_that_is_no_sites_is_told_as_such_at_every_step() {
    alone("failures::an_answer_that_is_no_sites_is_told_as_such_at_every_step", || {
        let studio = studio();
        let host = host(&studio);
        for fault in [Fault::Page, Fault::Garbage] {
            for call in ["info", "read"] {
                studio.site().fault(call, fault.clone()).unwrap();
                let error = host.bootstrap(&options(&studio, 176).build().unwrap()).unwrap_err();
                let Error::Bootstrap { kind, .. } = &error else { panic!("{error}") };
                assert_eq!(*kind, SiteUnreachable, "{fault:?} of {call}: {error}");
                studio.site().clear_faults().unwrap();
            }
            // By the project's own core, in the last step but one.
            let asks = BootstrapCallbacks::new().pre_engine_start(|context| {
                let user = context.py().import("sgtk")?.call_method0("get_authenticated_user")?;
                let connection = user.call_method0("create_sg_connection")?;
                // As the client does where its answer is none.
                connection.call_method1("_call_rpc", ("nonsense", context.py().None())).map(drop)
            });
            studio.site().fault("nonsense", Fault::Garbage).unwrap();
            let error = host.bootstrap_with(&options(&studio, 177).build().unwrap(), &asks).unwrap_err();
            let Error::Bootstrap { kind, step, .. } = &error else { panic!("{error}") };
            assert_eq!((*kind, *step), (SiteUnreachable, StartEngine), "{error}");
            studio.site().clear_faults().unwrap();
        }
    });
}
