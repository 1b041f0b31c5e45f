//! Ends of engines and hosts while other threads use them.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use sgtk_host::{BootstrapCallbacks, Error, Host};
use sgtk_host_fixtures::bundled;

use crate::support::{PROJECTS, alone, bootstrap, command, counts, host, options, studio};

/// Waits, detached, until as many threads wait for their turn, or the thread is done without having waited.
#[track_caller]
fn wait_until_waiting<T>(host: &Host, waiting: usize, thread: &JoinHandle<T>) {
    let start = Instant::now();
    while host.waiting() < waiting && !thread.is_finished() {
        assert!(start.elapsed() < Duration::from_secs(300), "never waited");
        std::thread::yield_now();
    }
}

/// `threading` goes on counting threads of Rust's that have logged something in Python, before 3.12 forever.
fn counts_without_threads(py: Python<'_>) -> Vec<(String, usize)> {
    counts(py).into_iter().filter(|(what, _)| what != "threads").collect()
}

#[test]
fn shutting_down_waits_for_the_leases_of_an_engine() {
    alone("at_once::shutting_down_waits_for_the_leases_of_an_engine", || {
        let studio = studio();
        let host = host(&studio);
        let engine = bootstrap(&host, &studio, 176);
        let (entered, has_entered) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let engine = &engine;
            let holder = scope.spawn(move || {
                engine.with(|engine| {
                    entered.send(()).unwrap();
                    engine.py().detach(move || may_go_on.recv()).unwrap();
                    let current = engine.sgtk().getattr("platform")?.call_method0("current_engine")?;
                    assert!(current.is(engine.engine()), "destroyed while it was leased");
                    command(engine, "project_name")?.extract::<String>()
                })
            });
            has_entered.recv().unwrap();
            let ending = {
                let host = host.clone();
                std::thread::spawn(move || host.shutdown())
            };
            wait_until_waiting(&host, 1, &ending);
            go_on.send(()).unwrap();
            assert_eq!(holder.join().unwrap().unwrap(), "bunny");
            ending.join().unwrap().unwrap();
        });
        assert_eq!(host.engines(), []);
        let error = engine.with(|_| Ok(())).unwrap_err();
        assert!(matches!(error, Error::Dropped { .. }), "{error}");
    });
}

#[test]
fn a_host_cannot_be_shut_down_inside_a_lease_of_its_engine() {
    alone("at_once::a_host_cannot_be_shut_down_inside_a_lease_of_its_engine", || {
        let studio = studio();
        let host = host(&studio);
        let engine = bootstrap(&host, &studio, 176);
        let name = engine.with(|engine| {
            let error = host.shutdown().unwrap_err();
            assert!(matches!(error, Error::NestedLease { .. }), "{error}");
            command(engine, "project_name")?.extract::<String>()
        });
        assert_eq!(name.unwrap(), "bunny");
        host.shutdown().unwrap();
        assert_eq!(host.engines(), []);
    });
}

#[test]
fn a_bootstrap_that_a_shutdown_overtakes_leaves_no_engine() {
    alone("at_once::a_bootstrap_that_a_shutdown_overtakes_leaves_no_engine", || {
        let studio = studio();
        let host = host(&studio);
        bootstrap(&host, &studio, 176).destroy().unwrap();
        let before = Python::attach(counts);
        let (ending, ended) = mpsc::channel();
        let of_callback = host.clone();
        let callbacks = BootstrapCallbacks::new().on_progress(move |progress| {
            if progress.fraction < 0.05 {
                let host = of_callback.clone();
                let thread = std::thread::spawn(move || host.shutdown());
                wait_until_waiting(&of_callback, 1, &thread);
                ending.send(thread).unwrap();
            }
            ControlFlow::Continue(())
        });
        let error = host.bootstrap_with(&options(&studio, 176).build().unwrap(), &callbacks).unwrap_err();
        assert!(matches!(error, Error::HostShutDown { .. }), "{error}");
        let thread: JoinHandle<Result<(), Error>> = ended.recv().unwrap();
        thread.join().unwrap().unwrap();
        assert_eq!(host.engines(), []);
        assert_eq!(Python::attach(counts), before);
    });
}

#[test]
fn a_lease_that_waits_when_its_host_is_shut_down_is_refused() {
    alone("at_once::a_lease_that_waits_when_its_host_is_shut_down_is_refused", || {
        let configs = bundled().unwrap();
        let host = Host::builder().configs(configs.base()).build().unwrap();
        let (late, ending) = host
            .with_sgtk("project_a", |sgtk| {
                Ok(sgtk.py().detach(|| {
                    let (first, second) = (host.clone(), host.clone());
                    // Asked for before the shutdown, and has its turn before it.
                    let late = std::thread::spawn(move || first.with_sgtk("project_b", |_| Ok(())));
                    wait_until_waiting(&host, 1, &late);
                    let ending = std::thread::spawn(move || second.shutdown());
                    wait_until_waiting(&host, 2, &ending);
                    (late, ending)
                }))
            })
            .unwrap();
        let error = late.join().unwrap().unwrap_err();
        assert!(matches!(error, Error::HostShutDown { .. }), "{error}");
        ending.join().unwrap().unwrap();
        assert!(host.residents().is_empty());
    });
}

#[test]
fn engines_that_many_threads_use_are_used_or_gone_and_nothing_between() {
    alone("at_once::engines_that_many_threads_use_are_used_or_gone_and_nothing_between", || {
        let studio = studio();
        let host = host(&studio);
        bootstrap(&host, &studio, 176).destroy().unwrap();
        let before = Python::attach(counts);
        for _ in 0..5 {
            // A host that is shut down is used no more.
            let host = crate::support::host(&studio);
            let engines = Arc::new(PROJECTS.map(|(id, ..)| bootstrap(&host, &studio, id)));
            let (used, was_used) = mpsc::channel();
            let users: Vec<_> = (0..4)
                .map(|number| {
                    let (engines, used) = (Arc::clone(&engines), used.clone());
                    std::thread::spawn(move || {
                        for turn in number.. {
                            let which = turn % PROJECTS.len();
                            let name = engines[which]
                                .with(|engine| command(engine, "project_name")?.extract::<String>());
                            match name {
                                Ok(name) => assert_eq!(name, PROJECTS[which].1),
                                Err(Error::Dropped { .. }) => break,
                                Err(error) => panic!("{error}"),
                            }
                            // The test may have seen enough.
                            let _ = used.send(());
                        }
                    })
                })
                .collect();
            was_used.iter().take(100).for_each(drop);
            host.shutdown().unwrap();
            users.into_iter().for_each(|user| user.join().unwrap());
            assert_eq!(host.engines(), []);
        }
        assert_eq!(Python::attach(counts), before);
    });
}

#[test]
fn bootstraps_and_ends_of_many_threads_leave_nothing_when_their_host_is_shut_down() {
    alone("at_once::bootstraps_and_ends_of_many_threads_leave_nothing_when_their_host_is_shut_down", || {
        let studio = studio();
        let first = host(&studio);
        for (id, ..) in PROJECTS {
            bootstrap(&first, &studio, id).destroy().unwrap();
        }
        let before = Python::attach(counts_without_threads);
        let host = host(&studio);
        let (made, was_made) = mpsc::channel();
        std::thread::scope(|scope| {
            for (id, name, _) in PROJECTS {
                let (host, studio, made) = (&host, &studio, made.clone());
                scope.spawn(move || {
                    let options = options(studio, id).build().unwrap();
                    loop {
                        let engine = match host.bootstrap(&options) {
                            Ok(engine) => engine,
                            Err(Error::HostShutDown { .. }) => break,
                            Err(error) => panic!("{error}"),
                        };
                        let told = engine.with(|engine| command(engine, "project_name")?.extract::<String>());
                        match told {
                            Ok(told) => assert_eq!(told, name),
                            Err(Error::Dropped { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                        // The test may have seen enough.
                        let _ = made.send(());
                        drop(engine);
                    }
                });
            }
            was_made.iter().take(12).for_each(drop);
            host.shutdown().unwrap();
        });
        assert_eq!(host.engines(), []);
        assert_eq!(Python::attach(counts_without_threads), before);
        assert_eq!(Python::attach(|py| host.audit(py).unwrap()), []);
    });
}

#[test]
fn a_bootstrap_on_its_way_when_the_interpreter_ends_leaves_no_engine() {
    alone("at_once::a_bootstrap_on_its_way_when_the_interpreter_ends_leaves_no_engine", || {
        let studio = studio();
        let host = host(&studio);
        let (entered, has_entered) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let waits = std::sync::Mutex::new(may_go_on);
        let callbacks = BootstrapCallbacks::new().on_progress(move |progress| {
            if progress.fraction >= 0.95 && entered.send(()).is_ok() {
                // The second time nobody sends any more.
                let _ = waits.lock().unwrap().recv();
            }
            ControlFlow::Continue(())
        });
        let bootstrap = options(&studio, 176).build().unwrap();
        let started = {
            let host = host.clone();
            std::thread::spawn(move || host.bootstrap_with(&bootstrap, &callbacks))
        };
        has_entered.recv().unwrap();
        let ending = {
            let interpreter = host.interpreter();
            std::thread::spawn(move || interpreter.shutdown(Duration::from_secs(300)))
        };
        // The shutdown waits for the bootstrap's turn to end.
        wait_until_waiting(&host, 1, &ending);
        drop(go_on);
        let error = started.join().unwrap().unwrap_err();
        assert!(matches!(error, Error::Interpreter { .. } | Error::Bootstrap { .. }), "{error}");
        ending.join().unwrap().unwrap();
        assert_eq!(host.engines(), []);
    });
}
