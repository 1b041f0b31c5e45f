//! The threads of `rayon` and `tokio`: what Python code keeps for each, their end, and shutting down while
//! they live.

use std::time::Duration;

use pyo3::prelude::*;
use rayon::prelude::*;
use sgtk_host::Host;
use sgtk_host::interpreter::Interpreter;
use sgtk_host_fixtures::bundled;

use crate::counter::Counter;
use crate::support::host;
use crate::workshop::{alone, until};

const PROJECTS: [&str; 3] = ["project_a", "project_b", "project_d"];

fn project(index: usize) -> &'static str {
    PROJECTS[index % PROJECTS.len()]
}

fn rayons(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

fn firsts(calls: impl IntoIterator<Item = u32>) -> usize {
    calls.into_iter().filter(|call| *call == 1).count()
}

#[test]
fn rayons_threads_have_one_state_each_until_their_pool_goes() {
    alone("thread_pools::rayons_threads_have_one_state_each_until_their_pool_goes", || {
        let (configs, counter) = (bundled().unwrap(), Counter::new());
        let host = host(&configs);
        let mut all = 0;
        for _ in 0..3 {
            let pool = rayons(4);
            let calls: Vec<u32> = pool.install(|| {
                (0..400_usize).into_par_iter().map(|index| counter.call(&host, project(index))).collect()
            });
            let threads = firsts(calls.iter().copied());
            assert!((1..=4).contains(&threads), "{threads} connections of 4 threads");
            all += threads;
            // They end by themselves, also while somebody holds the interpreter.
            Python::attach(|_| drop(pool));
            until("all connections are closed", || counter.ended() == all);
        }
    });
}

#[test]
fn a_task_that_rayon_runs_within_a_lease_has_the_lease_or_an_error() {
    alone("thread_pools::a_task_that_rayon_runs_within_a_lease_has_the_lease_or_an_error", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let version =
            |project: &str| host.with_sgtk(project, |sgtk| sgtk.getattr("__version__")?.extract::<String>());
        // One thread: what it waits for it runs itself.
        let (same, other) = rayons(1).install(|| {
            host.with_sgtk("project_a", |sgtk| {
                Ok(sgtk.py().detach(|| rayon::join(|| version("project_a"), || version("project_b"))))
            })
            .unwrap()
        });
        assert_eq!(same.unwrap(), "v0.24.0");
        assert!(matches!(other, Err(sgtk_host::Error::NestedLease { .. })), "{other:?}");
        assert_eq!(rayons(1).install(|| version("project_b")).unwrap(), "v0.22.5");
    });
}

#[test]
fn tokios_blocking_threads_that_end_when_idle_leave_nothing() {
    alone("thread_pools::tokios_blocking_threads_that_end_when_idle_leave_nothing", || {
        let (configs, counter) = (bundled().unwrap(), Counter::new());
        let host = host(&configs);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(8)
            .thread_keep_alive(Duration::from_millis(1))
            .build()
            .unwrap();
        let mut all = 0;
        for _ in 0..5 {
            let calls: Vec<u32> = runtime.block_on(async {
                let calls = (0..40).map(|index| {
                    let (host, counter) = (host.clone(), counter.clone());
                    tokio::task::spawn_blocking(move || counter.call(&host, project(index)))
                });
                let mut answers = Vec::new();
                for call in calls.collect::<Vec<_>>() {
                    answers.push(call.await.unwrap());
                }
                answers
            });
            all += firsts(calls);
            until("the idle threads' connections are closed", || counter.ended() == all);
        }
    });
}

/// Threads of both kinds that have had leases and are idle.
fn used(host: &Host, counter: &Counter) -> (rayon::ThreadPool, tokio::runtime::Runtime) {
    let pool = rayons(3);
    pool.broadcast(|context| counter.call(host, project(context.index())));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    for index in 0..4 {
        let (host, counter) = (host.clone(), counter.clone());
        runtime.block_on(runtime.spawn(async move { counter.call(&host, project(index)) })).unwrap();
    }
    (pool, runtime)
}

#[test]
fn python_is_shut_down_while_such_threads_live_and_they_end_afterwards() {
    alone("thread_pools::python_is_shut_down_while_such_threads_live_and_they_end_afterwards", || {
        let (configs, counter) = (bundled().unwrap(), Counter::new());
        let host = host(&configs);
        let (pool, runtime) = used(&host, &counter);
        host.shutdown().unwrap();
        Interpreter::current().unwrap().shutdown(Duration::from_secs(300)).unwrap();
        let refused = pool.broadcast(|_| host.with_sgtk("project_a", |_| Ok(())).is_err());
        assert!(refused.iter().all(|refused| *refused));
        let spawned = runtime.spawn(async move { host.with_sgtk("project_b", |_| Ok(())).is_err() });
        assert!(runtime.block_on(spawned).unwrap());
        drop((pool, runtime));
        until("all connections are closed", || counter.ended() >= 4);
    });
}

#[test]
fn a_process_ends_well_while_such_threads_live_and_lease() {
    alone("thread_pools::a_process_ends_well_while_such_threads_live_and_lease", || {
        let (configs, counter) = (bundled().unwrap(), Counter::new());
        let host = host(&configs);
        let (pool, runtime) = used(&host, &counter);
        let (busy, its_counter) = (host.clone(), counter.clone());
        pool.spawn(move || {
            for index in 0.. {
                // Until the host is shut down.
                if busy.with_sgtk(PROJECTS[index % 3], |_| Ok(())).is_err() {
                    return;
                }
                let _ = its_counter.ended();
            }
        });
        host.shutdown().unwrap();
        Interpreter::current().unwrap().shutdown(Duration::from_secs(300)).unwrap();
        std::mem::forget((pool, runtime));
    });
}
