//! The published document's second listing, line by line.

use pyo3::prelude::*;
use sgtk_host::{Bootstrap, Host};
use sgtk_host_fixtures::Studio;

use crate::support::{alone, command, studio};

#[test]
fn each_line_of_the_second_listing_has_its_like_here() {
    alone("document::each_line_of_the_second_listing_has_its_like_here", || {
        let studio = studio();
        let host = Host::builder().configs(studio.home()).build().unwrap();
        let bootstrap = |project| {
            let options = Bootstrap::project(project)
                // sys.path.insert(0, "/path/to/non/project/centric/sgtk"); import sgtk
                .core(studio.start())
                // user = sa.create_script_user(api_script="SCRIPTNAME", api_key="SCRIPTKEY",
                // host="https://SITENAME…")
                .script_user(Studio::SCRIPT, Studio::KEY)
                .site(studio.site().url())
                // mgr.plugin_id = "basic."
                .plugin_id("basic.")
                .engine("tk-shell")
                .build()?;
            // engine = mgr.bootstrap_engine("tk-shell", entity={"type": "Project", "id": 176})
            host.bootstrap(&options)
        };

        let engine = bootstrap(176).unwrap();
        // import sgtk   # again, for the newly bootstrapped project
        let version: String = engine.with(|engine| engine.sgtk().getattr("__version__")?.extract()).unwrap();
        assert_eq!(version, "v0.22.7");
        // perform any required operations on Project 176 ...
        let name: String = engine.with(|engine| command(engine, "project_name")?.extract()).unwrap();
        assert_eq!(name, "bunny");
        let id: u32 =
            engine.with(|engine| engine.context()?.getattr("project")?.get_item("id")?.extract()).unwrap();
        assert_eq!(id, 176);
        // engine.destroy()
        engine.destroy().unwrap();

        // now repeat the process for the next project
        let engine = bootstrap(177).unwrap();
        let version: String = engine.with(|engine| engine.tank()?.getattr("version")?.extract()).unwrap();
        assert_eq!(version, "v0.23.8");
        engine.destroy().unwrap();
    });
}

#[test]
fn what_an_import_statement_gives_in_a_lease_is_the_engines_sgtk() {
    alone("document::what_an_import_statement_gives_in_a_lease_is_the_engines_sgtk", || {
        let studio = studio();
        let host = Host::builder().configs(studio.home()).build().unwrap();
        let options = crate::support::options(&studio, 176).build().unwrap();
        let engine = host.bootstrap(&options).unwrap();
        engine
            .with(|engine| {
                assert!(engine.py().import("sgtk")?.is(engine.sgtk()));
                let current = engine.sgtk().getattr("platform")?.call_method0("current_engine")?;
                assert!(current.is(engine.engine()));
                assert!(engine.tank()?.is(&engine.getattr("sgtk")?));
                Ok(())
            })
            .unwrap();
        Python::attach(|py| assert!(py.import("sgtk").is_err(), "outside leases there is none"));
    });
}
