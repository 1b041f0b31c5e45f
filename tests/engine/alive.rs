//! Several engines alive at once, and leases beside them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use pyo3::prelude::*;
use sgtk_host::{Engine, Host};
use sgtk_host_fixtures::{Core, Project, bundled, bundled_versions};

use crate::daemon_code::Daemon;
use crate::support::{
    PROJECTS, alone, assert_not_grown, assert_own, bootstrap, counts, host, options, resident, studio,
    with_access,
};

#[test]
fn three_engines_alive_at_once_have_their_own_core_for_a_thousand_rounds() {
    alone("alive::three_engines_alive_at_once_have_their_own_core_for_a_thousand_rounds", || {
        let studio = studio();
        let host = host(&studio);
        let engines: Vec<Engine> = PROJECTS.iter().map(|(id, ..)| bootstrap(&host, &studio, *id)).collect();
        let told: Vec<_> = host.engines().into_iter().map(|info| info.project_id.unwrap()).collect();
        assert_eq!(told, [176, 177, 178]);

        let round = |thorough: bool| {
            for (engine, (_, name, version)) in engines.iter().zip(PROJECTS) {
                if thorough {
                    assert_own(engine, version);
                }
                let (seen, project): (String, String) = engine
                    .with(|engine| {
                        let project = engine.context()?.getattr("project")?.get_item("name")?;
                        Ok((engine.sgtk().getattr("__version__")?.extract()?, project.extract()?))
                    })
                    .unwrap();
                assert_eq!((&*seen, &*project), (version, name));
            }
        };
        round(true);
        // The thread of each engine that tells the site of commands keeps a connection, once it has told.
        let has_told =
            |times| studio.site().wait_for("track_metrics", times, Duration::from_secs(300)).unwrap();
        assert!(has_told(3));
        let (before, memory) = (Python::attach(counts), resident());
        (0..1000).for_each(|_| round(false));
        let grown = resident().saturating_sub(memory);
        assert!(grown < 1024, "{grown} KiB more");
        (0..10).for_each(|_| round(true));
        assert!(has_told(33));
        // What was told is told over a connection that is closed a moment later.
        assert_not_grown(&before);
        Python::attach(|py| assert_eq!(host.audit(py).unwrap(), []));

        // In another order than they came.
        let [first, second, third] = <[Engine; 3]>::try_from(engines).unwrap();
        second.destroy().unwrap();
        assert_own(&first, "v0.22.7");
        assert_own(&third, "v0.24.0");
        third.destroy().unwrap();
        assert_own(&first, "v0.22.7");
        first.destroy().unwrap();
        assert_eq!(host.engines(), []);
    });
}

#[test]
fn the_process_is_the_daemons_own_outside_leases_of_engines() {
    alone("alive::the_process_is_the_daemons_own_outside_leases_of_engines", || {
        let studio = studio();
        let host = host(&studio);
        let daemon = Daemon::new();
        // The standard library as far as a bootstrap needs it is everybody's.
        bootstrap(&host, &studio, 177).destroy().unwrap();
        daemon.run("os.environ['TANK_CURRENT_PC'] = '/the/daemons/own'");
        daemon.remember();
        let engine = bootstrap(&host, &studio, 177);
        daemon.assert_as_before("after a bootstrap");
        assert_own(&engine, "v0.23.8");
        daemon.assert_as_before("after a lease");
        engine.destroy().unwrap();
        daemon.assert_as_before("after the engine's end");
    });
}

#[test]
fn engines_and_leases_of_many_threads_alternate() {
    alone("alive::engines_and_leases_of_many_threads_alternate", || {
        let (studio, configs) = (studio(), bundled().unwrap());
        // A single parked core, so that each lease of another drops one: never an engine.
        let host = Host::builder().configs(configs.base()).max_resident(1).build().unwrap();
        let engines: Arc<Vec<Engine>> =
            Arc::new(PROJECTS.iter().map(|(id, ..)| bootstrap(&host, &studio, *id)).collect());
        let done = AtomicUsize::new(0);
        thread::scope(|scope| {
            for worker in 0..6 {
                let (host, engines, done) = (&host, &engines, &done);
                scope.spawn(move || {
                    for round in 0..30 {
                        let pick = worker + round;
                        if pick % 4 == 3 {
                            let (project, version) = bundled_versions()[pick % 6];
                            let seen: String = host
                                .with_sgtk(project, |sgtk| sgtk.getattr("__version__")?.extract())
                                .unwrap();
                            assert_eq!(seen, version);
                        } else {
                            assert_own(&engines[pick % 3], PROJECTS[pick % 3].2);
                        }
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(done.load(Ordering::Relaxed), 180);
        assert_eq!(host.engines().len(), 3);
        Python::attach(|py| assert_eq!(host.audit(py).unwrap(), []));
    });
}

#[test]
fn threads_share_an_engine_that_is_in_place() {
    alone("alive::threads_share_an_engine_that_is_in_place", || {
        let studio = studio();
        let host = host(&studio);
        let engine = bootstrap(&host, &studio, 176);
        engine
            .with(|lease| {
                lease
                    .py()
                    .detach(|| thread::scope(|scope| scope.spawn(|| assert_own(&engine, "v0.22.7")).join()))
                    .unwrap();
                Ok(())
            })
            .unwrap();
    });
}

#[test]
fn an_engine_is_not_leased_on_a_thread_that_holds_another_project() {
    alone("alive::an_engine_is_not_leased_on_a_thread_that_holds_another_project", || {
        let studio = studio();
        let host = host(&studio);
        let (first, second) = (bootstrap(&host, &studio, 176), bootstrap(&host, &studio, 177));
        Python::attach(|py| {
            let lease = first.lease(py).unwrap();
            let error = second.lease(py).unwrap_err().to_string();
            assert!(
                error.contains("Project 176 (tk-shell)") && error.contains("Project 177 (tk-shell)"),
                "{error}"
            );
            let error = host.bootstrap(&options(&studio, 178).build().unwrap()).unwrap_err().to_string();
            assert!(error.contains("Project 178 (tk-shell)"), "{error}");
            // The same once more is no other.
            first.lease(py).unwrap().finish().unwrap();
            lease.finish().unwrap();
        });
    });
}

#[test]
fn one_project_bootstrapped_twice_has_two_engines_apart_from_each_other() {
    alone("alive::one_project_bootstrapped_twice_has_two_engines_apart_from_each_other", || {
        let studio = studio();
        let host = host(&studio);
        let (first, second) = (bootstrap(&host, &studio, 177), bootstrap(&host, &studio, 177));
        let mark = |engine: &Engine, text: &str| {
            engine.with(|engine| engine.sgtk().setattr("mark", text)).unwrap();
        };
        mark(&first, "first");
        mark(&second, "second");
        let marked = |engine: &Engine| {
            engine.with(|engine| engine.sgtk().getattr("mark")?.extract::<String>()).unwrap()
        };
        assert_eq!((marked(&first), marked(&second)), ("first".to_owned(), "second".to_owned()));
        first.destroy().unwrap();
        assert_own(&second, "v0.23.8");
        assert_eq!(marked(&second), "second");
    });
}

#[test]
fn any_entity_the_site_and_centralized_configurations_are_bootstrapped_the_same_way() {
    alone("alive::any_entity_the_site_and_centralized_configurations_are_bootstrapped_the_same_way", || {
        use sgtk_host::Bootstrap;
        let studio = studio();
        studio.project(&Project::new(200, "localized", Core::older("v0.22.5")).centralized()).unwrap();
        studio.project(&Project::new(201, "shared", Core::newer("v0.23.10")).attached()).unwrap();
        studio.project(&Project::new(202, "unnamed", Core::newer("v0.23.3")).unregistered()).unwrap();
        let shot = serde_json::json!({"type": "Shot", "id": 5, "code": "s010",
            "project": {"type": "Project", "id": 177, "name": "sintel"}});
        studio.site().entity(shot).unwrap();
        let host = host(&studio);
        let all = [
            (options(&studio, 200), "v0.22.5", Some(200)),
            (options(&studio, 201), "v0.23.10", Some(201)),
            (
                options(&studio, 202)
                    .do_shotgun_config_lookup(false)
                    .base_configuration(studio.descriptor(202)),
                "v0.23.3",
                Some(202),
            ),
            (options(&studio, 176).pipeline_configuration(1176), "v0.22.7", Some(176)),
            (with_access(Bootstrap::entity("Shot", 5), &studio), "v0.23.8", Some(177)),
            (
                with_access(Bootstrap::site_configuration(), &studio)
                    .base_configuration(studio.descriptor(178)),
                "v0.24.0",
                None,
            ),
        ];
        let engines: Vec<(Engine, &str)> = all
            .map(|(options, version, project)| {
                let engine =
                    host.bootstrap(&options.build().unwrap()).unwrap_or_else(|error| panic!("{error}"));
                assert_eq!(engine.info().project_id, project);
                assert_eq!(engine.info().core_version.as_deref(), Some(version));
                (engine, version)
            })
            .into();
        assert_eq!(engines[0].0.info().configuration, studio.configuration(200));
        assert_eq!(engines[1].0.info().configuration, studio.configuration(201));
        let entity = engines[4].0.info().entity.clone().unwrap();
        assert_eq!(entity.to_string(), "Shot 5");
        for (engine, version) in &engines {
            assert_own(engine, version);
        }
    });
}

#[test]
fn an_engine_starts_from_an_older_core_as_well() {
    alone("alive::an_engine_starts_from_an_older_core_as_well", || {
        let studio = sgtk_host_fixtures::Studio::new(&Core::older("v0.21.8")).unwrap();
        for (id, name, version) in PROJECTS {
            studio.project(&Project::new(id.into(), name, crate::support::core(version))).unwrap();
        }
        let host = host(&studio);
        let engines: Vec<Engine> = PROJECTS.iter().map(|(id, ..)| bootstrap(&host, &studio, *id)).collect();
        for (engine, (.., version)) in engines.iter().zip(PROJECTS) {
            assert_own(engine, version);
        }
    });
}
