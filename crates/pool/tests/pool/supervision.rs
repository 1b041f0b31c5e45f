//! Starts, ends, replacement.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sgtk_host_fixtures::{Broken, Core};
use sgtk_pool::{Call, Delivery, PoolError, WorkerPool};
use sgtk_pool::{StartError, WhenFull, WorkerState};

use crate::support::{LONG, Studio, until};

fn state(pool: &WorkerPool, project: &str) -> WorkerState {
    let stats = pool.stats();
    stats.projects.iter().find(|found| found.project == project).unwrap().state
}

fn kill(pid: u32) {
    kill_process(Pid::from_raw(pid as i32).unwrap(), Signal::KILL).unwrap();
}

#[test]
fn a_worker_that_dies_in_a_call_costs_that_call_an_error_with_its_last_words() {
    let studio = Studio::of(&["a", "b"]);
    let pool = studio.pool();
    let other: u32 = pool.call("b", Call::new("work:pid")).unwrap();
    let error = pool.call::<Value>("a", Call::new("work:leave").arg(3)).unwrap_err();
    assert_eq!(error.delivery(), Delivery::MayHaveRun);
    let PoolError::WorkerLost { how, output, .. } = &error else { panic!("{error:?}") };
    assert_eq!((&**how, &**output), ("it ended with status 3", "about to leave"));
    let error = pool.call::<Value>("a", Call::new("work:die")).unwrap_err();
    let PoolError::WorkerLost { how, .. } = &error else { panic!("{error:?}") };
    assert_eq!(how, "it was killed by signal 9 (SIGKILL)");
    assert_eq!(pool.call::<u32>("a", Call::new("work:echo").arg(1)).unwrap(), 1);
    assert_eq!(pool.call::<u32>("b", Call::new("work:pid")).unwrap(), other);
}

#[test]
fn calls_that_wait_behind_one_that_kills_its_worker_run_in_the_next() {
    let studio = Studio::of(&["a"]);
    let pool = studio.pool();
    let dies = pool.submit::<Value>("a", Call::new("work:die")).unwrap();
    let waits: Vec<_> =
        (0..5).map(|number| pool.submit::<u32>("a", Call::new("work:echo").arg(number)).unwrap()).collect();
    assert!(matches!(dies.wait(), Err(PoolError::WorkerLost { sent: true, .. })));
    for (number, handle) in waits.into_iter().enumerate() {
        assert_eq!(handle.wait().unwrap(), number as u32);
    }
}

#[test]
fn the_death_of_an_idle_worker_is_noticed_and_costs_no_call() {
    let studio = Studio::of(&["a"]);
    let pool = studio.pool();
    for round in 0..5 {
        let pid: u32 = pool.call("a", Call::new("work:pid")).unwrap();
        kill(pid);
        if round % 2 == 0 {
            until("the death is seen", || state(&pool, "a") == WorkerState::Absent);
        }
        assert!(pool.call::<u32>("a", Call::new("work:pid")).is_ok_and(|next| next != pid) || round % 2 == 1);
    }
}

#[test]
fn a_core_that_raises_is_an_error_with_its_traceback_until_it_is_repaired() {
    let studio = Studio::of(&["a"]);
    studio.configs.broken("x", Broken::RaisesImportError).unwrap();
    for templates in [false, true] {
        let pool = studio.options().templates(templates).build().unwrap();
        let error = pool.call::<Value>("x", Call::new("work:about")).unwrap_err();
        assert!(error.never_ran());
        assert!(error.python().unwrap().is_a("ImportError"), "{error}");
        assert!(error.to_string().contains("commands.py"), "{error}");
        studio.configs.repair("x").unwrap();
        let about: Value = pool.call("x", Call::new("work:about")).unwrap();
        assert_eq!(about["version"], "v0.99.0");
        studio.configs.broken("x", Broken::RaisesImportError).unwrap();
    }
}

#[test]
fn a_project_that_keeps_failing_opens_its_circuit_with_the_cause_and_closes_it_again() {
    let studio = Studio::of(&["good"]);
    studio.configs.broken("x", Broken::SyntaxError).unwrap();
    let back_off = Duration::from_millis(50);
    let pool = studio.options().circuit_after(2).back_off(back_off, LONG).build().unwrap();
    let call = || pool.call::<Value>("x", Call::new("work:about"));
    for _ in 0..2 {
        assert!(matches!(call().unwrap_err(), PoolError::NotStarted { .. }));
    }
    // A call that comes when the delay is over is a try, and doubles it.
    let error = loop {
        match call().unwrap_err() {
            PoolError::NotStarted { .. } => {}
            error => break error,
        }
    };
    let PoolError::CircuitOpen { failures: 2.., cause, .. } = &error else { panic!("{error:?}") };
    assert!(matches!(&**cause, StartError::Enter { .. }), "{cause}");
    assert!(error.never_ran() && error.to_string().contains("SyntaxError"), "{error}");
    studio.configs.repair("x").unwrap();
    until("the next try", || call().is_ok());
    assert!(pool.call::<Value>("good", Call::new("work:about")).is_ok());
}

#[test]
fn a_worker_that_dies_in_its_first_call_again_and_again_counts_as_a_failure() {
    let studio = Studio::of(&["a"]);
    let back_off = Duration::from_secs(600);
    let pool = studio.options().circuit_after(2).back_off(back_off, back_off).build().unwrap();
    for _ in 0..2 {
        let error = pool.call::<Value>("a", Call::new("work:die")).unwrap_err();
        assert!(matches!(error, PoolError::WorkerLost { .. }), "{error:?}");
    }
    let error = pool.call::<Value>("a", Call::new("work:pid")).unwrap_err();
    let PoolError::CircuitOpen { cause, .. } = &error else { panic!("{error:?}") };
    assert!(matches!(&**cause, StartError::Crashed { .. }), "{cause}");
}

#[test]
fn calls_that_never_ran_are_tried_again_where_that_is_chosen() {
    let studio = Studio::of(&["good"]);
    studio.configs.broken("x", Broken::SystemExit).unwrap();
    let pool = studio.options().retry_never_ran(10).circuit_after(1000).build().unwrap();
    let waits = pool.submit::<Value>("x", Call::new("work:about")).unwrap();
    until("a start fails", || pool.stats().failed_starts > 0);
    studio.configs.repair("x").unwrap();
    assert_eq!(waits.wait().unwrap()["version"], "v0.99.0");
}

#[test]
fn a_core_whose_import_hangs_is_given_up_after_the_limit() {
    let studio = Studio::of(&["good"]);
    let config = studio.configs.localized("x", &Core::newer("v0.24.0")).unwrap();
    let commands = config.join("install/core/python/tank/commands.py");
    std::fs::write(commands, "import time\ntime.sleep(600)\n").unwrap();
    let limit = Duration::from_millis(500);
    let pool = studio.options().enter_timeout(limit).templates(false).build().unwrap();
    let error = pool.call::<Value>("x", Call::new("work:about")).unwrap_err();
    let PoolError::NotStarted { cause, .. } = &error else { panic!("{error:?}") };
    assert!(matches!(&**cause, StartError::TimedOut { .. }), "{cause}");
}

#[test]
fn limits_may_be_as_good_as_for_ever() {
    let studio = Studio::of(&["a"]);
    studio.configs.broken("x", Broken::SyntaxError).unwrap();
    let ever = Duration::MAX;
    for templates in [false, true] {
        let options = studio.options().start_timeout(ever).enter_timeout(ever).call_timeout(ever);
        let options = options.idle_timeout(ever).grace(ever, ever).back_off(ever, ever).slice(ever);
        let pool = options.revalidate_after(ever).templates(templates).build().unwrap();
        assert!(pool.call::<u32>("a", Call::new("work:pid")).is_ok());
        let mut handle = pool.submit::<u32>("a", Call::new("work:pid")).unwrap();
        assert!(handle.wait_timeout(ever).unwrap().is_ok());
        for _ in 0..2 {
            assert!(pool.call::<Value>("x", Call::new("work:about")).unwrap_err().never_ran());
        }
        pool.shutdown(ever).unwrap();
    }
}

#[test]
fn a_python_that_never_begins_to_speak_is_given_up_after_the_limit() {
    let studio = Studio::of(&["a"]);
    let python = studio.plugins.path().join("python");
    let script =
        "#!/bin/sh\ncase \"$*\" in *sys.executable*) echo \"$0\";; *) echo silence; exec sleep 600;; esac\n";
    std::fs::write(&python, script).unwrap();
    std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut limit = Duration::from_millis(100);
    loop {
        let options = studio.options().python(&python).start_timeout(limit);
        let pool = options.templates(false).build().unwrap();
        let error = pool.call::<Value>("a", Call::new("work:pid")).unwrap_err();
        let PoolError::NotStarted { cause, .. } = &error else { panic!("{error:?}") };
        let StartError::TimedOut { phase, output, .. } = &**cause else { panic!("{cause:?}") };
        assert_eq!(*phase, "starting");
        // What it has printed by then, which on a busy machine is nothing yet.
        if output == "silence" {
            break;
        }
        assert!(output.is_empty() && limit < LONG, "{output}");
        limit *= 2;
    }
}

#[test]
fn a_shutdown_ends_workers_that_are_being_started() {
    let studio = Studio::of(&[]);
    let config = studio.configs.localized("x", &Core::newer("v0.24.0")).unwrap();
    let commands = config.join("install/core/python/tank/commands.py");
    let begun = studio.plugins.path().join("begun");
    let text = format!("import time\nopen({begun:?}, 'w').close()\ntime.sleep(600)\n");
    std::fs::write(commands, text).unwrap();
    for templates in [false, true] {
        let pool = studio.options().templates(templates).build().unwrap();
        let waits = pool.submit::<Value>("x", Call::new("work:about")).unwrap();
        until("the import begins", || begun.exists());
        pool.shutdown(Duration::ZERO).unwrap();
        assert!(matches!(waits.wait(), Err(PoolError::ShutDown { .. })));
        std::fs::remove_file(&begun).unwrap();
    }
}

#[test]
fn a_shutdown_ends_the_wait_of_callers_in_the_queue_and_of_those_before_it() {
    let studio = Studio::of(&["a"]);
    let pool = studio.options().queue_limit(1).when_full(WhenFull::Wait).build().unwrap();
    let begun = studio.plugins.path().join("begun");
    let running: sgtk_pool::CallHandle<bool> =
        pool.submit("a", Call::new("work:sign").arg(&begun).arg("/never")).unwrap();
    until("it runs", || begun.exists());
    std::thread::scope(|scope| {
        let callers = [0, 1].map(|_| scope.spawn(|| pool.call::<Value>("a", Call::new("work:pid"))));
        until("one waits for its turn", || pool.stats().projects[0].queued == 1);
        pool.shutdown(Duration::ZERO).unwrap();
        for caller in callers {
            assert!(matches!(caller.join().unwrap(), Err(PoolError::ShutDown { .. })));
        }
    });
    assert_eq!(running.wait().unwrap_err().delivery(), Delivery::MayHaveRun);
}

#[test]
fn a_worker_is_asked_to_end_and_terminated_only_where_it_does_not_and_killed_only_after_that() {
    let studio = Studio::of(&["a"]);
    studio.plugin("ends", include_str!("ends.py"));
    let ends = |deaf: bool, grace: Duration| {
        let folder = tempfile::tempdir().unwrap();
        let told = folder.path().join("told");
        let pool = studio.options().grace(grace, grace).build().unwrap();
        let pid: u32 = pool.call("a", Call::new("ends:tell").arg(&told).arg(deaf)).unwrap();
        pool.shutdown(LONG).unwrap();
        assert!(!crate::processes::runs(pid));
        std::fs::read_to_string(&told).unwrap_or_default()
    };
    assert_eq!(ends(false, LONG), "asked ");
    // What notices everything and goes on is killed when it has had its time for each, be that long enough on
    // this machine.
    let mut grace = Duration::from_millis(200);
    while ends(true, grace) != "asked terminated " {
        grace *= 2;
        assert!(grace < Duration::from_secs(30), "it is not told in order, however much time it has");
    }
}

#[test]
fn nobody_wakes_a_worker_that_has_nothing_to_do() {
    let studio = Studio::of(&["a", "b"]);
    let pool = studio.pool();
    let pid: u32 = pool.call("a", Call::new("work:pid")).unwrap();
    let status = |field: &str| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim_start_matches(':').trim().to_owned()
    };
    until("it sleeps", || status("State").starts_with('S'));
    let before = status("voluntary_ctxt_switches");
    for _ in 0..100 {
        pool.call::<u32>("b", Call::new("work:pid")).unwrap();
        assert_eq!(state(&pool, "a"), WorkerState::Idle);
    }
    assert_eq!(status("voluntary_ctxt_switches"), before);
}

#[test]
fn projects_without_a_configuration_and_pythons_that_are_none_are_errors_that_name_them() {
    let studio = Studio::of(&["a"]);
    let pool = studio.pool();
    let error = pool.call::<Value>("../a", Call::new("work:pid")).unwrap_err();
    assert!(matches!(error, PoolError::Config { .. }) && error.never_ran(), "{error:?}");
    let pool = studio.options().python("/bin/false").build().unwrap();
    let error = pool.call::<Value>("a", Call::new("work:pid")).unwrap_err();
    assert!(error.to_string().contains("/bin/false"), "{error}");
}

#[test]
fn prewarmed_workers_are_ready_and_failures_are_told() {
    let studio = Studio::of(&["a", "b"]);
    studio.configs.broken("x", Broken::SyntaxError).unwrap();
    let pool = studio.pool();
    let outcomes = pool.prewarm(["a", "x", "b", "../a"]);
    let is_ok: Vec<_> = outcomes.iter().map(|(project, outcome)| (&**project, outcome.is_ok())).collect();
    assert_eq!(is_ok, [("a", true), ("x", false), ("b", true), ("../a", false)]);
    assert_eq!([state(&pool, "a"), state(&pool, "b")], [WorkerState::Idle; 2]);
}

#[test]
fn a_worker_is_replaced_after_so_many_calls() {
    let studio = Studio::of(&["a"]);
    let pool = studio.options().recycle_after(3).build().unwrap();
    let pids: Vec<u32> = (0..7).map(|_| pool.call("a", Call::new("work:pid")).unwrap()).collect();
    assert!(pids[0] == pids[2] && pids[2] != pids[3] && pids[3] == pids[5] && pids[5] != pids[6], "{pids:?}");
}

#[test]
fn a_worker_is_replaced_when_it_has_too_much_memory() {
    let studio = Studio::of(&["a"]);
    let pool = studio.options().recycle_above(150 << 20).build().unwrap();
    let first: u32 = pool.call("a", Call::new("work:pid")).unwrap();
    pool.call::<u32>("a", Call::new("work:grow").arg(200)).unwrap();
    until("it is replaced", || pool.call::<u32>("a", Call::new("work:pid")).unwrap() != first);
    assert_eq!(pool.stats().recycled, 1);
}

#[test]
fn a_worker_whose_core_was_upgraded_is_replaced_by_one_with_the_new_core() {
    let studio = Studio::of(&[]);
    studio.configs.localized("a", &Core::older("v0.22.5")).unwrap();
    let pool = studio.options().revalidate_after(Duration::ZERO).build().unwrap();
    let version = || pool.call::<Value>("a", Call::new("work:about")).unwrap()["version"].clone();
    assert_eq!(version(), "v0.22.5");
    studio.configs.upgrade("a", &Core::newer("v0.24.0")).unwrap();
    assert_eq!(version(), "v0.24.0");
}

#[test]
fn idle_workers_are_ended_and_come_back_with_the_next_call() {
    let studio = Studio::of(&["a"]);
    let pool = studio.options().idle_timeout(Duration::from_millis(100)).build().unwrap();
    let first: u32 = pool.call("a", Call::new("work:pid")).unwrap();
    until("it is ended", || state(&pool, "a") == WorkerState::Absent);
    assert_ne!(pool.call::<u32>("a", Call::new("work:pid")).unwrap(), first);
    assert!(pool.stats().idle_ended >= 1);
}

#[test]
fn the_least_recently_used_worker_makes_room_for_another_project() {
    let studio = Studio::of(&["a", "b", "c"]);
    let pool = studio.options().max_workers(2).build().unwrap();
    let a: u32 = pool.call("a", Call::new("work:pid")).unwrap();
    let b: u32 = pool.call("b", Call::new("work:pid")).unwrap();
    assert_eq!(pool.call::<u32>("a", Call::new("work:pid")).unwrap(), a);
    pool.call::<u32>("c", Call::new("work:pid")).unwrap();
    assert_eq!(pool.call::<u32>("a", Call::new("work:pid")).unwrap(), a);
    assert_ne!(pool.call::<u32>("b", Call::new("work:pid")).unwrap(), b);
    assert_eq!(pool.stats().evicted, 2);
}

#[test]
fn a_busy_project_lets_others_have_its_place_after_its_slice() {
    let studio = Studio::of(&["a", "b"]);
    let pool = studio.options().max_workers(1).slice(Duration::from_millis(20)).build().unwrap();
    let busy: Vec<_> =
        (0..40).map(|_| pool.submit::<f64>("a", Call::new("work:sleep").arg(0.02)).unwrap()).collect();
    pool.call::<u32>("b", Call::new("work:pid")).unwrap();
    let a = pool.stats().projects[0].clone();
    assert!(a.queued > 0, "{a:?}");
    for handle in busy {
        handle.wait().unwrap();
    }
}

#[test]
fn a_project_that_makes_its_next_call_at_once_keeps_its_worker_though_others_wait() {
    let studio = Studio::of(&["a", "b"]);
    let pool = studio.options().max_workers(1).slice(None).linger(LONG).build().unwrap();
    let a: u32 = pool.call("a", Call::new("work:pid")).unwrap();
    let b = pool.submit::<u32>("b", Call::new("work:pid")).unwrap();
    for _ in 0..5 {
        assert_eq!(pool.call::<u32>("a", Call::new("work:pid")).unwrap(), a);
    }
    assert_eq!(pool.stats().evicted, 0);
    pool.evict("a");
    assert_ne!(b.wait().unwrap(), a);
}

#[test]
fn a_project_that_makes_no_further_call_gives_up_its_worker_after_a_moment() {
    let studio = Studio::of(&["a", "b"]);
    let linger = Duration::from_millis(50);
    let pool = studio.options().max_workers(1).slice(None).linger(linger).build().unwrap();
    for project in ["a", "b", "a"] {
        pool.call::<u32>(project, Call::new("work:pid")).unwrap();
    }
    assert_eq!(pool.stats().evicted, 2);
}

#[test]
fn a_project_that_makes_its_calls_one_after_the_other_has_a_slice_too() {
    let studio = Studio::of(&["a", "b"]);
    let slice = Duration::from_millis(20);
    let pool = studio.options().max_workers(1).slice(slice).linger(LONG).build().unwrap();
    pool.call::<u32>("a", Call::new("work:pid")).unwrap();
    let b = pool.submit::<u32>("b", Call::new("work:pid")).unwrap();
    until("the slice is over", || {
        pool.call::<f64>("a", Call::new("work:sleep").arg(0.01)).unwrap();
        pool.stats().evicted > 0
    });
    b.wait().unwrap();
}

#[test]
fn a_shutdown_fails_waiting_calls_lets_running_ones_end_and_accepts_no_more() {
    let studio = Studio::of(&["a"]);
    let pool = studio.pool();
    let begun = studio.plugins.path().join("begun");
    let gate = studio.plugins.path().join("gate");
    let running: sgtk_pool::CallHandle<bool> =
        pool.submit("a", Call::new("work:sign").arg(&begun).arg(&gate)).unwrap();
    until("it runs", || begun.exists());
    let waiting = pool.submit::<Value>("a", Call::new("work:pid")).unwrap();
    std::thread::scope(|scope| {
        let shutdown = scope.spawn(|| pool.shutdown(LONG));
        assert!(matches!(waiting.wait(), Err(PoolError::ShutDown { .. })));
        // A second one leaves it to the first, and does not shorten what that one has promised.
        pool.shutdown(LONG).unwrap();
        std::fs::write(&gate, "").unwrap();
        assert!(running.wait().unwrap());
        shutdown.join().unwrap().unwrap();
    });
    let error = pool.call::<Value>("a", Call::new("work:pid")).unwrap_err();
    assert!(matches!(error, PoolError::ShutDown { .. }) && error.never_ran(), "{error:?}");
    pool.shutdown(LONG).unwrap();
}
