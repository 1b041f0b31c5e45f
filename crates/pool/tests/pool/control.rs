//! Aborting calls, replacing workers, several workers of a project, workers without one.

use std::time::Duration;

use serde_json::Value;
use sgtk_pool::{Call, CallHandle, Delivery, Lane, PoolError, WorkerPool, WorkerState};

use crate::support::{LONG, Studio, until};

/// A call that runs until it is ended.
fn runs_for_ever(studio: &Studio, pool: &WorkerPool) -> CallHandle<bool> {
    let begun = studio.plugins.path().join("begun");
    let call = pool.submit("a", Call::new("work:sign").arg(&begun).arg("/never")).unwrap();
    until("the call begins", || begun.exists());
    std::fs::remove_file(begun).unwrap();
    call
}

#[test]
fn a_call_that_runs_is_aborted_with_its_worker_and_the_next_one_gets_another() {
    let studio = Studio::of(&["a"]);
    for templates in [false, true] {
        let pool = studio.options().templates(templates).build().unwrap();
        let pid: u32 = pool.call("a", Call::new("work:pid")).unwrap();
        let running = runs_for_ever(&studio, &pool);
        let next = pool.submit::<u32>("a", Call::new("work:pid")).unwrap();
        running.abort();
        running.abort();
        let error = running.wait().unwrap_err();
        assert!(matches!(error, PoolError::Aborted { sent: true, .. }), "{error:?}");
        assert_eq!(error.delivery(), Delivery::MayHaveRun);
        assert_ne!(next.wait().unwrap(), pid);
        // It was ended on purpose.
        let stats = pool.stats();
        assert_eq!((stats.lost, stats.projects[0].failures, stats.may_have_run), (0, 0, 1), "{stats:?}");
    }
}

#[test]
fn a_call_that_waits_is_aborted_and_never_sent() {
    let studio = Studio::of(&["a"]);
    let pool = studio.pool();
    let running = runs_for_ever(&studio, &pool);
    let pid = pool.stats().projects[0].pid;
    let waits = pool.submit::<Value>("a", Call::new("work:note").arg(1)).unwrap();
    waits.abort();
    let error = waits.wait().unwrap_err();
    assert!(matches!(error, PoolError::Aborted { sent: false, .. }) && error.never_ran(), "{error:?}");
    assert_eq!(pool.stats().projects[0].pid, pid, "the worker goes on");
    drop(running);
}

#[test]
fn the_abort_of_a_call_that_has_ended_changes_nothing() {
    let studio = Studio::of(&["a"]);
    let pool = studio.pool();
    let mut call = pool.submit::<u32>("a", Call::new("work:pid")).unwrap();
    let pid = call.wait_timeout(LONG).unwrap().unwrap();
    call.abort();
    assert_eq!(pool.call::<u32>("a", Call::new("work:pid")).unwrap(), pid);
}

#[test]
fn a_worker_that_ignores_sigterm_is_killed_for_an_abort() {
    let studio = Studio::of(&["a"]);
    let grace = Duration::from_millis(100);
    let options = studio.options().grace(grace, grace);
    let pool = options.plugin_path(sgtk_host_fixtures::misbehaving_plugins()).build().unwrap();
    pool.call::<u32>("a", Call::new("work:pid")).unwrap();
    let running = pool.submit::<Value>("a", Call::new("bad_hangs:ignoring_sigterm")).unwrap();
    until("it runs", || pool.stats().projects[0].state == WorkerState::Busy);
    running.abort();
    assert!(matches!(running.wait(), Err(PoolError::Aborted { .. })));
    assert!(pool.call::<u32>("a", Call::new("work:pid")).is_ok());
}

#[test]
fn a_run_timeout_does_not_count_the_time_in_the_queue_or_the_start() {
    let studio = Studio::of(&["a"]);
    let pool = studio.options().run_timeout(LONG).build().unwrap();
    let gate = studio.plugins.path().join("gate");
    let begun = studio.plugins.path().join("begun");
    let running: CallHandle<bool> = pool.submit("a", Call::new("work:sign").arg(&begun).arg(&gate)).unwrap();
    until("it runs", || begun.exists());
    // It waits for longer than it may run.
    let limit = Duration::from_secs(1);
    let waits = pool.submit::<u32>("a", Call::new("work:echo").arg(1).run_timeout(limit)).unwrap();
    std::thread::sleep(limit + limit / 4);
    std::fs::write(&gate, "").unwrap();
    assert!(running.wait().unwrap());
    assert_eq!(waits.wait().unwrap(), 1);
    let error = pool.call::<Value>("a", Call::new("work:sleep").arg(600).run_timeout(limit)).unwrap_err();
    assert!(
        matches!(error, PoolError::TimedOut { sent: true, timeout, .. } if timeout == limit),
        "{error:?}"
    );
}

#[test]
fn an_evicted_worker_is_ended_after_its_call_and_a_restarted_one_is_ready_again() {
    let studio = Studio::of(&["a"]);
    let pool = studio.pool();
    pool.evict("a");
    let pid = || pool.call::<u32>("a", Call::new("work:pid")).unwrap();
    let first = pid();
    pool.evict("a");
    assert_eq!(pool.stats().projects[0].state, WorkerState::Absent);
    let second = pid();
    assert_ne!(first, second);

    let gate = studio.plugins.path().join("gate");
    let begun = studio.plugins.path().join("begun");
    let running: CallHandle<bool> = pool.submit("a", Call::new("work:sign").arg(&begun).arg(&gate)).unwrap();
    until("it runs", || begun.exists());
    std::thread::scope(|scope| {
        let restart = scope.spawn(|| pool.restart("a"));
        until("the restart waits", || pool.stats().projects[0].queued == 1);
        std::fs::write(&gate, "").unwrap();
        restart.join().unwrap().unwrap();
    });
    assert!(running.wait().unwrap(), "a running call ends by itself");
    assert_eq!(pool.stats().projects[0].state, WorkerState::Idle);
    assert_ne!(pid(), second);
    assert_eq!(pool.stats().lost, 0);
}

#[test]
fn an_eviction_closes_an_open_circuit() {
    let studio = Studio::of(&[]);
    studio.configs.broken("x", sgtk_host_fixtures::Broken::SyntaxError).unwrap();
    let back_off = Duration::from_secs(600);
    let pool = studio.options().circuit_after(2).back_off(back_off, back_off).build().unwrap();
    let call = || pool.call::<Value>("x", Call::new("work:about"));
    for _ in 0..2 {
        assert!(matches!(call().unwrap_err(), PoolError::NotStarted { .. }));
    }
    assert!(matches!(call().unwrap_err(), PoolError::CircuitOpen { .. }));
    studio.configs.repair("x").unwrap();
    pool.evict("x");
    assert_eq!(call().unwrap()["version"], "v0.99.0");
}

#[test]
fn lanes_of_a_project_run_in_parallel_each_in_order() {
    let studio = Studio::of(&["a"]);
    let pool = studio.pool();
    let gate = studio.plugins.path().join("gate");
    let waits = pool.submit::<bool>("a", Call::new("work:wait_for").arg(&gate)).unwrap();
    let lane = Lane::new("a", "thumbnails");
    let notes: Vec<_> = (0..5)
        .map(|number| pool.submit::<Vec<u32>>(lane, Call::new("work:note").arg(number)).unwrap())
        .collect();
    assert!(pool.call::<bool>(lane, Call::new("work:sign").arg(&gate)).unwrap());
    assert!(waits.wait().unwrap());
    assert_eq!(notes.into_iter().next_back().unwrap().wait().unwrap(), [0, 1, 2, 3, 4]);
    let about: Value = pool.call(lane, Call::new("work:about")).unwrap();
    assert_eq!(about["version"], "v0.24.0");
    let stats = pool.stats();
    let lanes: Vec<_> = stats.projects.iter().map(|slot| (&*slot.project, slot.lane.as_deref())).collect();
    assert_eq!(lanes, [("a", None), ("a", Some("thumbnails"))]);
    let main = stats.projects[0].pid;
    pool.evict(lane);
    assert_eq!(pool.stats().projects[0].pid, main, "the other lane's worker stays");
}

#[test]
fn a_plain_worker_has_the_plugins_and_no_toolkit() {
    let studio = Studio::of(&["a"]);
    for templates in [false, true] {
        let pool = studio.options().plain("tools").templates(templates).build().unwrap();
        assert_eq!(pool.call::<u32>("tools", Call::new("work:echo").arg(1)).unwrap(), 1);
        let error = pool.call::<Value>("tools", Call::new("work:about")).unwrap_err();
        assert!(error.to_string().contains("has entered no project"), "{error}");
        assert_eq!(pool.call::<Value>("a", Call::new("work:about")).unwrap()["version"], "v0.24.0");
    }
}

#[test]
fn a_projects_own_folder_is_on_its_workers_path_alone() {
    let studio = Studio::of(&["a", "b"]);
    let own = tempfile::tempdir().unwrap();
    std::fs::write(own.path().join("own.py"), "def name():\n    return __name__\n").unwrap();
    // It hides the module of the same name for all projects.
    std::fs::write(own.path().join("work.py"), "def echo(value):\n    return 'own'\n").unwrap();
    for templates in [false, true] {
        let pool = studio.options().project_path("a", own.path()).templates(templates).build().unwrap();
        assert_eq!(pool.call::<String>("a", Call::new("own:name")).unwrap(), "own");
        assert_eq!(pool.call::<String>("a", Call::new("work:echo").arg("all")).unwrap(), "own");
        assert_eq!(pool.call::<String>("b", Call::new("work:echo").arg("all")).unwrap(), "all");
        let error = pool.call::<String>("b", Call::new("own:name")).unwrap_err();
        assert!(error.python().unwrap().is_a("ModuleNotFoundError"), "{error}");
    }
}
