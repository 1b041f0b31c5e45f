//! The end of engines.

use pyo3::prelude::*;
use sgtk_host::{Error, Host};
use sgtk_host_fixtures::{Core, EngineBundle, Project, Studio};

use crate::daemon_code::Daemon;
use crate::support::{alone, assert_own, bootstrap, counts, host, options, studio};

fn with_engine(engine: EngineBundle) -> Studio {
    let studio = studio();
    studio.project(&Project::new(300, "odd", Core::newer("v0.23.8")).engine(engine)).unwrap();
    studio
}

#[test]
fn an_engine_that_raises_when_destroyed_is_gone_all_the_same() {
    alone("destroy::an_engine_that_raises_when_destroyed_is_gone_all_the_same", || {
        let studio = with_engine(EngineBundle::DestroyRaises);
        let host = host(&studio);
        bootstrap(&host, &studio, 177).destroy().unwrap();
        let before = Python::attach(counts);
        let error = bootstrap(&host, &studio, 300).destroy().unwrap_err();
        let Error::Destroy { target, cause } = &error else { panic!("{error}") };
        assert_eq!(target, "Project 300 (tk-shell)");
        assert!(cause.is_a("TankError") && cause.message.contains("does not end"), "{cause}");
        assert_eq!(host.engines(), []);
        assert_eq!(Python::attach(counts), before);
    });
}

#[test]
fn what_an_engine_leaves_behind_goes_with_it() {
    alone("destroy::what_an_engine_leaves_behind_goes_with_it", || {
        let studio = with_engine(EngineBundle::LeavesTraces);
        let host = host(&studio);
        let daemon = Daemon::new();
        bootstrap(&host, &studio, 177).destroy().unwrap();
        daemon.run("import atexit");
        daemon.remember();
        let before = Python::attach(counts);
        let engine = bootstrap(&host, &studio, 300);
        assert_own(&engine, "v0.23.8");
        // Its thread imports late all the time, and is asked to end.
        engine.destroy().unwrap();
        assert_eq!(Python::attach(counts), before);
        daemon.assert_as_before("after the engine's end");
    });
}

#[test]
fn an_engine_whose_modules_were_damaged_is_put_right_and_takes_its_handlers_with_it() {
    alone(
        "destroy::an_engine_whose_modules_were_damaged_is_put_right_and_takes_its_handlers_with_it",
        || {
            let studio = with_engine(EngineBundle::LeavesTraces);
            let host = host(&studio);
            bootstrap(&host, &studio, 177).destroy().unwrap();
            let handlers = |py: Python<'_>| {
                let root = py.import("logging").unwrap().getattr("root").unwrap();
                root.getattr("handlers").unwrap().len().unwrap()
            };
            let before = Python::attach(handlers);
            let engine = bootstrap(&host, &studio, 300);
            assert_eq!(engine.with(|engine| Ok(handlers(engine.py()))).unwrap(), before + 1);
            assert_eq!(Python::attach(handlers), before, "the daemon's");
            let damaged = engine.with(|engine| {
                let modules = engine.py().import("sys")?.getattr("modules")?;
                modules.del_item("sgtk")?;
                modules.del_item("tank")
            });
            damaged.unwrap();
            engine.destroy().unwrap();
            assert_eq!(host.engines(), []);
            assert_eq!(Python::attach(handlers), before);
        },
    );
}

#[test]
fn a_dropped_handle_destroys_its_engine() {
    alone("destroy::a_dropped_handle_destroys_its_engine", || {
        let studio = studio();
        let host = host(&studio);
        bootstrap(&host, &studio, 176).destroy().unwrap();
        let before = Python::attach(counts);
        drop(bootstrap(&host, &studio, 176));
        assert_eq!(host.engines(), []);
        assert_eq!(Python::attach(counts), before);
    });
}

#[test]
fn a_handle_dropped_inside_another_lease_has_its_engine_destroyed_after_it() {
    alone("destroy::a_handle_dropped_inside_another_lease_has_its_engine_destroyed_after_it", || {
        let studio = studio();
        let host = host(&studio);
        let (held, dropped) = (bootstrap(&host, &studio, 176), bootstrap(&host, &studio, 177));
        let destroyed = bootstrap(&host, &studio, 178);
        held.with(|_| {
            drop(dropped);
            let error = destroyed.destroy().unwrap_err();
            assert!(matches!(error, Error::NestedLease { .. }), "{error}");
            assert_eq!(host.engines().len(), 3);
            Ok(())
        })
        .unwrap();
        let start = std::time::Instant::now();
        while host.engines().len() > 1 {
            assert!(start.elapsed().as_secs() < 60, "never destroyed");
            std::thread::yield_now();
        }
        assert_own(&held, "v0.22.7");
    });
}

#[test]
fn an_engine_whose_own_code_has_destroyed_it_is_not_destroyed_twice() {
    alone("destroy::an_engine_whose_own_code_has_destroyed_it_is_not_destroyed_twice", || {
        let studio = studio();
        let host = host(&studio);
        let engine = bootstrap(&host, &studio, 176);
        engine.with(|engine| engine.call_method0("destroy").map(drop)).unwrap();
        engine.destroy().unwrap();
    });
}

#[test]
fn a_host_that_is_shut_down_has_no_engines_and_takes_no_more() {
    alone("destroy::a_host_that_is_shut_down_has_no_engines_and_takes_no_more", || {
        let studio = studio();
        let host = host(&studio);
        let other = Host::builder().configs(studio.home()).build().unwrap();
        let engines = [bootstrap(&host, &studio, 176), bootstrap(&host, &studio, 177)];
        let others = bootstrap(&other, &studio, 178);
        host.shutdown().unwrap();
        assert_eq!(host.engines(), []);
        for engine in engines {
            let error = engine.with(|_| Ok(())).unwrap_err();
            assert!(matches!(error, Error::Dropped { .. }), "{error}");
            engine.destroy().unwrap();
        }
        let error = host.bootstrap(&options(&studio, 176).build().unwrap()).unwrap_err();
        assert!(matches!(error, Error::HostShutDown { .. }), "{error}");
        let error = host.with_sgtk("project_a", |_| Ok(())).unwrap_err();
        assert!(matches!(error, Error::HostShutDown { .. }), "{error}");
        assert_own(&others, "v0.24.0");
        host.shutdown().unwrap();
    });
}

#[test]
fn the_interpreters_shutdown_destroys_all_engines() {
    alone("destroy::the_interpreters_shutdown_destroys_all_engines", || {
        let studio = studio();
        let host = host(&studio);
        let engine = bootstrap(&host, &studio, 176);
        host.interpreter().shutdown(std::time::Duration::from_secs(300)).unwrap();
        assert_eq!(host.engines(), []);
        engine.destroy().unwrap();
    });
}

#[test]
fn after_a_restart_the_handle_gives_the_engine_that_is_alive() {
    alone("destroy::after_a_restart_the_handle_gives_the_engine_that_is_alive", || {
        let studio = studio();
        let host = host(&studio);
        let engine = bootstrap(&host, &studio, 177);
        let before = engine.with(|engine| Ok(engine.engine().clone().unbind())).unwrap();
        engine.with(|engine| engine.sgtk().getattr("platform")?.call_method0("restart").map(drop)).unwrap();
        engine
            .with(|engine| {
                let current = engine.sgtk().getattr("platform")?.call_method0("current_engine")?;
                assert!(engine.engine().is(&current) && !engine.engine().is(before.bind(engine.py())));
                Ok(())
            })
            .unwrap();
        drop(before);
        engine.destroy().unwrap();
    });
}
