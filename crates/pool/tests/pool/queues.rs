//! Order, bounds, time limits, giving up.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sgtk_host_fixtures::isolated;
use sgtk_pool::WhenFull;
use sgtk_pool::{Call, CallHandle, Delivery, PoolError, WorkerPool};

use crate::processes::resident_memory;
use crate::support::{LONG, Studio, out_of_time, still_pending, until};

/// Has the project's worker busy until the gate is opened.
struct Busy {
    gate: std::path::PathBuf,
    running: CallHandle<bool>,
}

impl Busy {
    fn at(studio: &Studio, pool: &WorkerPool, project: &str) -> Self {
        let gate = studio.plugins.path().join(format!("{project}.gate"));
        let begun = studio.plugins.path().join(format!("{project}.begun"));
        let running = pool.submit(project, Call::new("work:sign").arg(&begun).arg(&gate)).unwrap();
        until("the call begins", || begun.exists());
        Self { gate, running }
    }

    fn end(self) {
        std::fs::write(&self.gate, "").unwrap();
        assert!(self.running.wait().unwrap());
    }
}

#[test]
fn calls_of_one_project_run_in_the_order_in_which_they_were_made() {
    let studio = Studio::of(&["a"]);
    let pool = studio.pool();
    let handles: Vec<CallHandle<Value>> =
        (0..50).map(|number| pool.submit("a", Call::new("work:note").arg(number)).unwrap()).collect();
    let last: Vec<u32> = pool.call("a", Call::new("work:note").arg(50)).unwrap();
    assert_eq!(last, (0..=50).collect::<Vec<_>>());
    for (number, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.wait().unwrap().as_array().unwrap().len(), number + 1);
    }
}

#[test]
fn calls_from_many_threads_are_each_answered_with_their_own() {
    let studio = Studio::of(&["a", "b"]);
    let pool = studio.pool();
    thread::scope(|scope| {
        for thread in 0..6 {
            let pool = &pool;
            scope.spawn(move || {
                for number in 0..200 {
                    let project = if number % 2 == 0 { "a" } else { "b" };
                    let value = json!([thread, number]);
                    let call = Call::new("work:echo").arg(&value);
                    if number % 3 == 0 {
                        assert_eq!(pool.submit::<Value>(project, call).unwrap().wait().unwrap(), value);
                    } else {
                        assert_eq!(pool.call::<Value>(project, call).unwrap(), value);
                    }
                }
            });
        }
    });
    assert_eq!(pool.stats().succeeded, 1200);
}

#[test]
fn projects_run_in_parallel() {
    let studio = Studio::of(&["a", "b"]);
    let pool = studio.pool();
    let gate = studio.plugins.path().join("gate");
    let waits = pool.submit::<bool>("a", Call::new("work:wait_for").arg(&gate)).unwrap();
    assert!(pool.call::<bool>("b", Call::new("work:sign").arg(&gate)).unwrap());
    assert!(waits.wait().unwrap());
}

#[test]
fn a_call_beyond_the_queues_limit_is_refused_and_never_ran() {
    let studio = Studio::of(&["a"]);
    let pool = studio.options().queue_limit(2).build().unwrap();
    let busy = Busy::at(&studio, &pool, "a");
    let waiting: Vec<CallHandle<Value>> =
        (0..2).map(|number| pool.submit("a", Call::new("work:note").arg(number)).unwrap()).collect();
    let error = pool.call::<Value>("a", Call::new("work:note").arg(2)).unwrap_err();
    assert!(matches!(error, PoolError::QueueFull { limit: 2, .. }), "{error:?}");
    assert!(error.never_ran());
    busy.end();
    for handle in waiting {
        handle.wait().unwrap();
    }
    assert_eq!(pool.call::<Vec<u32>>("a", Call::new("work:noted")).unwrap(), [0, 1]);
}

#[test]
fn where_it_is_chosen_a_call_beyond_the_limit_waits_for_room() {
    let studio = Studio::of(&["a"]);
    let pool = studio.options().queue_limit(1).when_full(WhenFull::Wait).build().unwrap();
    let busy = Busy::at(&studio, &pool, "a");
    let waiting: CallHandle<Value> = pool.submit("a", Call::new("work:note").arg(0)).unwrap();
    let late = Call::new("work:note").arg(1).timeout(Duration::from_millis(20));
    let error = pool.call::<Value>("a", late).unwrap_err();
    assert!(matches!(error, PoolError::TimedOut { sent: false, .. }), "{error:?}");
    thread::scope(|scope| {
        let patient = scope.spawn(|| pool.call::<Vec<u32>>("a", Call::new("work:note").arg(2)).unwrap());
        busy.end();
        assert_eq!(patient.join().unwrap(), [0, 2]);
    });
    waiting.wait().unwrap();
}

#[test]
fn a_call_whose_time_is_up_before_its_turn_is_never_sent() {
    let studio = Studio::of(&["a"]);
    let pool = studio.pool();
    let busy = Busy::at(&studio, &pool, "a");
    let limit = Duration::from_millis(30);
    let note = |number| Call::new("work:note").arg(number).timeout(limit);
    let submitted: CallHandle<Value> = pool.submit("a", note(1)).unwrap();
    for error in [pool.call::<Value>("a", note(2)).unwrap_err(), submitted.wait().unwrap_err()] {
        assert!(matches!(error, PoolError::TimedOut { sent: false, .. }), "{error:?}");
        assert_eq!(error.delivery(), Delivery::NeverRan);
    }
    busy.end();
    assert_eq!(pool.call::<Vec<u32>>("a", Call::new("work:noted")).unwrap(), [0; 0]);
    assert_eq!(pool.stats().timed_out, 0);
}

#[test]
fn a_call_that_runs_for_too_long_is_told_so_at_once_and_its_worker_is_replaced() {
    let studio = Studio::of(&["a"]);
    let pool = studio.pool();
    let first: u32 = pool.call("a", Call::new("work:pid")).unwrap();
    for submitted in [false, true] {
        let error = out_of_time(|limit| {
            let call = Call::new("work:sleep").arg(600).timeout(limit);
            if submitted { pool.submit("a", call).unwrap().wait() } else { pool.call("a", call) }
        });
        assert_eq!(error.delivery(), Delivery::MayHaveRun);
    }
    let next: u32 = pool.call("a", Call::new("work:pid")).unwrap();
    assert_ne!(first, next);
    assert_eq!(pool.stats().timed_out, 2);
}

#[test]
fn a_handle_that_is_dropped_before_its_turn_takes_its_call_along() {
    let studio = Studio::of(&["a"]);
    let pool = studio.options().queue_limit(1).build().unwrap();
    let busy = Busy::at(&studio, &pool, "a");
    drop(pool.submit::<Value>("a", Call::new("work:note").arg(1)).unwrap());
    // There is room again.
    pool.submit::<Value>("a", Call::new("work:note").arg(2)).unwrap().detach();
    busy.end();
    until("the detached call runs", || pool.call::<Vec<u32>>("a", Call::new("work:noted")).unwrap() == [2]);
}

#[test]
fn a_handle_that_is_dropped_while_its_call_is_half_sent_takes_it_along() {
    let studio = Studio::of(&["a"]);
    let pool = studio.pool();
    let pid: u32 = pool.call("a", Call::new("work:pid")).unwrap();
    let signal = |signal| kill_process(Pid::from_raw(pid as i32).unwrap(), signal).unwrap();
    signal(Signal::STOP);
    // More than a pipe takes.
    let handle: CallHandle<Value> =
        pool.submit("a", Call::new("work:note").arg("x".repeat(1 << 20))).unwrap();
    until("it has its turn", || pool.stats().projects[0].queued == 0);
    drop(handle);
    signal(Signal::KILL);
    assert_eq!(pool.call::<Vec<Value>>("a", Call::new("work:noted")).unwrap().len(), 0);
}

#[test]
fn the_answer_of_a_call_whose_handle_was_dropped_reaches_no_other_call() {
    let studio = Studio::of(&["a"]);
    let pool = studio.pool();
    for number in 0..20 {
        let begun = studio.plugins.path().join(format!("begun{number}"));
        let running: CallHandle<bool> = pool.submit("a", Call::new("work:sign").arg(&begun)).unwrap();
        until("it runs", || begun.exists());
        drop(running);
        assert_eq!(pool.call::<u32>("a", Call::new("work:echo").arg(number)).unwrap(), number);
    }
}

#[test]
fn nothing_of_a_call_stays_in_memory_until_its_time_would_have_been_up() {
    let name = "queues::nothing_of_a_call_stays_in_memory_until_its_time_would_have_been_up";
    isolated(name, || {
        let studio = Studio::of(&["a"]);
        let pool = studio.pool();
        let text = "x".repeat(1 << 20);
        let call = || {
            let call = Call::new("work:size").arg(&text).timeout(Duration::from_secs(3600));
            assert_eq!(pool.submit::<usize>("a", call).unwrap().wait().unwrap(), 1 << 20);
        };
        call();
        let before = resident_memory();
        (0..200).for_each(|_| call());
        let grown = resident_memory().saturating_sub(before);
        assert!(grown < 50 << 20, "{grown} bytes of 200 MiB");
    });
}

#[test]
fn a_submitted_call_can_be_polled_and_awaited() {
    let studio = Studio::of(&["a", "b"]);
    let pool = studio.pool();
    let busy = Busy::at(&studio, &pool, "a");
    let mut handle: CallHandle<u32> = pool.submit("a", Call::new("work:echo").arg(5)).unwrap();
    assert!(handle.try_wait().is_none());
    busy.end();
    assert_eq!(handle.wait_timeout(LONG).unwrap().unwrap(), 5);

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let sum: u32 = runtime.block_on(async {
        let calls = (0..100).map(|number| {
            let project = if number % 2 == 0 { "a" } else { "b" };
            let handle: CallHandle<u32> = pool.submit(project, Call::new("work:echo").arg(number)).unwrap();
            tokio::spawn(handle)
        });
        let mut sum = 0;
        for call in calls.collect::<Vec<_>>() {
            sum += call.await.unwrap().unwrap();
        }
        sum
    });
    assert_eq!(sum, 4950);
}

#[test]
fn a_result_can_be_taken_once_and_a_second_time_is_an_error() {
    let studio = Studio::of(&["a"]);
    let pool = studio.pool();
    let call = || pool.submit::<u32>("a", Call::new("work:echo").arg(5)).unwrap();
    let mut handle = call();
    assert_eq!(handle.wait_timeout(LONG).unwrap().unwrap(), 5);
    assert!(handle.try_wait().is_none());
    assert!(matches!(handle.wait(), Err(PoolError::Taken { .. })));

    let mut handle = call();
    assert_eq!(handle.wait_timeout(LONG).unwrap().unwrap(), 5);
    let polled = Pin::new(&mut handle).poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(Err(PoolError::Taken { .. }))));
}

struct Counts(AtomicU32);

impl Wake for Counts {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn the_last_waker_that_polled_is_woken_and_no_other() {
    let studio = Studio::of(&["a"]);
    let pool = studio.pool();
    let busy = Busy::at(&studio, &pool, "a");
    let mut handle: CallHandle<u32> = pool.submit("a", Call::new("work:echo").arg(5)).unwrap();
    let counts = [0, 0].map(|none| Arc::new(Counts(AtomicU32::new(none))));
    for count in &counts {
        let waker = Waker::from(Arc::clone(count));
        assert!(Pin::new(&mut handle).poll(&mut Context::from_waker(&waker)).is_pending());
    }
    // Nobody keeps the first one any more.
    assert_eq!(Arc::strong_count(&counts[0]), 1);
    busy.end();
    assert_eq!(handle.wait().unwrap(), 5);
    until("it is woken", || counts[1].0.load(Ordering::SeqCst) == 1);
    assert_eq!(counts[0].0.load(Ordering::SeqCst), 0);
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("in a waker, as the test wants it");
    }
}

#[test]
fn a_waker_that_panics_harms_no_other_call() {
    let studio = Studio::of(&["a"]);
    let pool = studio.pool();
    let busy = Busy::at(&studio, &pool, "a");
    // Its own attendant wakes the one, the supervisor the other.
    let mut ends: CallHandle<u32> = pool.submit("a", Call::new("work:echo").arg(5)).unwrap();
    let waker = Waker::from(Arc::new(Panics));
    let context = &mut Context::from_waker(&waker);
    assert!(Pin::new(&mut ends).poll(context).is_pending());
    let expires = still_pending(context, |limit| {
        pool.submit::<u32>("a", Call::new("work:echo").timeout(limit)).unwrap()
    });
    assert!(matches!(expires.wait(), Err(PoolError::TimedOut { sent: false, .. })));
    busy.end();
    assert_eq!(ends.wait().unwrap(), 5);
    let dies = pool.submit::<Value>("a", Call::new("work:leave").arg(3)).unwrap();
    let Err(PoolError::WorkerLost { how, .. }) = dies.wait() else { panic!("it is lost") };
    assert_eq!(how, "it ended with status 3");
    assert_eq!(pool.call::<u32>("a", Call::new("work:echo").arg(6)).unwrap(), 6);
}

#[test]
fn a_future_that_is_dropped_by_a_time_limit_leaves_the_pool_usable() {
    let studio = Studio::of(&["a"]);
    let pool = studio.pool();
    let busy = Busy::at(&studio, &pool, "a");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let handle: CallHandle<Value> = pool.submit("a", Call::new("work:note").arg(1)).unwrap();
    let outcome = runtime.block_on(async { tokio::time::timeout(Duration::from_millis(20), handle).await });
    assert!(outcome.is_err());
    busy.end();
    assert_eq!(pool.call::<Vec<u32>>("a", Call::new("work:noted")).unwrap(), [0; 0]);
}
