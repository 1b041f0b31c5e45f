//! The published reload recipe, once Toolkit itself has bootstrapped in the process.

use pyo3::prelude::*;
use sgtk_host::Host;
use sgtk_host_fixtures::{Studio, bundled, recipe};

use crate::daemon_code::Daemon;
use crate::support::{alone, assert_own, bootstrap, studio};

/// A daemon whose own Python code has bootstrapped project 176, as the document says.
fn daemon_that_has_bootstrapped(studio: &Studio) -> Daemon {
    let daemon = Daemon::new();
    Python::attach(|py| {
        let text = |text: String| pyo3::types::PyString::new(py, &text).into_any();
        daemon.set("START", &text(studio.start().display().to_string()));
        daemon.set("SITE", &text(studio.site().url()));
        daemon.set("KEY", &text(Studio::KEY.to_owned()));
        daemon.set("SCRIPT", &text(Studio::SCRIPT.to_owned()));
        daemon.set("RECIPE", &text(std::fs::read_to_string(recipe()).unwrap()));
    });
    daemon.run(
        "
sys.path.insert(0, START)
import sgtk
user = sgtk.authentication.ShotgunAuthenticator().create_script_user(api_script=SCRIPT, api_key=KEY, host=SITE)
sgtk.set_authenticated_user(user)
mgr = sgtk.bootstrap.ToolkitManager(sg_user=user)
mgr.plugin_id = 'basic.'
engine = mgr.bootstrap_engine('tk-shell', entity={'type': 'Project', 'id': 176})
engine.destroy()
del engine, mgr, user
",
    );
    daemon
}

#[test]
fn after_a_bootstrap_the_published_recipe_gets_the_wrong_core_and_ours_the_right_one() {
    alone(
        "recipe::after_a_bootstrap_the_published_recipe_gets_the_wrong_core_and_ours_the_right_one",
        || {
            let (studio, configs) = (studio(), bundled().unwrap());
            let host = Host::builder().configs(configs.base()).build().unwrap();
            let daemon = daemon_that_has_bootstrapped(&studio);
            // SAFETY: no other thread of this test's own process reads the environment now.
            unsafe { std::env::set_var("SHOTGUN_BASE", configs.base()) };
            Python::attach(|py| {
                daemon.set(
                    "BASE",
                    &pyo3::types::PyString::new(py, &configs.base().display().to_string()).into_any(),
                );
            });
            daemon.run(
                "os.environ['SHOTGUN_BASE'] = BASE; scope = {'__name__': 'published'}; exec(RECIPE, scope)",
            );
            // Project A has v0.24.0; the bootstrapped core was v0.22.7.
            let published: String = daemon.get("late(lambda: scope['import_sgtk']('project_a').__version__)");
            assert_eq!(published, "v0.22.7");
            for (project, version) in
                [("project_a", "v0.24.0"), ("project_b", "v0.22.5"), ("project_a", "v0.24.0")]
            {
                let sgtk = host.import_sgtk(project).unwrap();
                let seen: String =
                    Python::attach(|py| sgtk.getattr(py, "__version__").unwrap().extract(py).unwrap());
                assert_eq!(seen, version);
            }
            host.forget_sgtk().unwrap();
            let leased: String =
                host.with_sgtk("project_d", |sgtk| sgtk.getattr("__version__")?.extract()).unwrap();
            assert_eq!(leased, "v0.23.8");
            // And engines beside what the daemon has done itself.
            let engine = bootstrap(&host, &studio, 177);
            assert_own(&engine, "v0.23.8");
        },
    );
}

#[test]
fn the_recipe_leases_and_engines_work_side_by_side() {
    alone("recipe::the_recipe_leases_and_engines_work_side_by_side", || {
        let (studio, configs) = (studio(), bundled().unwrap());
        let host = Host::builder().configs(configs.base()).build().unwrap();
        let in_place = host.import_sgtk("project_b").unwrap();
        let engine = bootstrap(&host, &studio, 176);
        assert_own(&engine, "v0.22.7");
        Python::attach(|py| assert!(py.import("sgtk").unwrap().is(in_place.bind(py))));
        engine.destroy().unwrap();
        let version: String = Python::attach(|py| {
            py.import("sgtk").unwrap().getattr("__version__").unwrap().extract().unwrap()
        });
        assert_eq!(version, "v0.22.5");
    });
}
