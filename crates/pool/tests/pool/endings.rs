//! Nothing is left: when a pool goes, when a worker goes, when the daemon goes. Each in a process of its own,
//! as it counts what the process has.

use std::io::{BufRead, BufReader};
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use rustix::process::WaitOptions;
use serde_json::Value;
use sgtk_host_fixtures::isolated;
use sgtk_pool::{Call, CallHandle, PoolError, WorkerPool};

use crate::processes::{descendants, descriptors, kill_worker, runs, threads};
use crate::support::{LONG, Studio, out_of_time, still_pending, until};

#[test]
fn a_pool_that_is_dropped_leaves_no_process_no_descriptor_and_no_thread() {
    isolated("endings::a_pool_that_is_dropped_leaves_no_process_no_descriptor_and_no_thread", || {
        let studio = Studio::of(&["a", "b", "c"]);
        let before = (descendants(), descriptors(), threads());
        for templates in [true, false] {
            let pool = studio.options().templates(templates).build().unwrap();
            pool.call::<u32>("a", Call::new("work:pid")).unwrap();
            pool.submit::<u32>("b", Call::new("work:pid")).unwrap().wait().unwrap();
            pool.call::<Value>("b", Call::new("work:die")).unwrap_err();
            let sleeps = pool.submit::<Value>("c", Call::new("work:sleep").arg(600)).unwrap();
            let waits = pool.submit::<Value>("c", Call::new("work:pid")).unwrap();
            until("it runs", || pool.stats().projects[2].queued == 1);
            assert!(descendants().len() >= 2);
            drop(pool);
            assert_eq!(descendants(), before.0);
            assert!(matches!(sleeps.wait(), Err(PoolError::WorkerLost { .. })));
            assert!(matches!(waits.wait(), Err(PoolError::ShutDown { .. })));
            assert_eq!(descriptors(), before.1);
            // A thread that was joined may be in the list for a moment.
            until("the threads end", || threads() == before.2);
        }
    });
}

/// Drops what it holds when it is woken.
struct Drops(Mutex<Option<WorkerPool>>);

impl Wake for Drops {
    fn wake(self: Arc<Self>) {
        drop(self.0.lock().unwrap().take());
    }
}

#[test]
fn a_pool_may_be_dropped_by_a_waker_that_it_calls_itself() {
    for expires in [true, false] {
        let studio = Studio::of(&["a"]);
        let pool = studio.pool();
        let pid: u32 = pool.call("a", Call::new("work:pid")).unwrap();
        let begun = studio.plugins.path().join("begun");
        let gate = studio.plugins.path().join("gate");
        let mut running: CallHandle<bool> =
            pool.submit("a", Call::new("work:sign").arg(&begun).arg(&gate)).unwrap();
        until("it runs", || begun.exists());
        let held = Arc::new(Drops(Mutex::new(Some(pool))));
        let waker = Waker::from(Arc::clone(&held));
        let context = &mut Context::from_waker(&waker);
        // Its time is up on the supervisor's thread, or it ends on the attendant's.
        let waiting = expires.then(|| {
            still_pending(context, |limit| {
                let pool = held.0.lock().unwrap();
                let call = Call::new("work:pid").timeout(limit);
                pool.as_ref().unwrap().submit::<u32>("a", call).unwrap()
            })
        });
        if waiting.is_none() {
            assert!(Pin::new(&mut running).poll(context).is_pending());
            std::fs::write(&gate, "").unwrap();
        }
        until("the worker ends", || !runs(pid));
    }
}

#[test]
fn what_a_worker_has_started_ends_with_it() {
    let studio = Studio::of(&["a"]);
    let pool = studio.pool();
    let child: u32 = pool.call("a", Call::new("work:start_child")).unwrap();
    kill_worker(pool.call("a", Call::new("work:pid")).unwrap());
    until("the grandchild ends", || !runs(child));
    let child: u32 = pool.call("a", Call::new("work:start_child")).unwrap();
    assert!(runs(child));
    drop(pool);
    until("the grandchild ends", || !runs(child));
}

/// Set for a child that is a daemon to be killed.
const DAEMON: &str = "SGTK_HOST_POOL_DAEMON";

#[test]
fn workers_end_when_the_daemon_is_killed_busy_or_idle_forked_or_started() {
    let name = "endings::workers_end_when_the_daemon_is_killed_busy_or_idle_forked_or_started";
    if std::env::var_os(DAEMON).is_some() {
        return daemon();
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(DAEMON, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let told = lines.into_iter().find_map(|line| line.strip_prefix("family ").map(str::to_owned)).unwrap();
    let family: Vec<u32> = told.split(' ').map(|pid| pid.parse().unwrap()).collect();
    // Two started, two forked, and their template.
    assert_eq!(family.len(), 5, "{family:?}");
    assert!(family.iter().all(|pid| runs(*pid)));
    child.kill().unwrap();
    child.wait().unwrap();
    until("all of its workers end", || family.iter().all(|pid| !runs(*pid)));
}

fn daemon() {
    let studio = Studio::of(&["a", "b"]);
    let pools = [studio.options().templates(false).build().unwrap(), studio.pool()];
    for (number, pool) in pools.iter().enumerate() {
        pool.call::<u32>("a", Call::new("work:pid")).unwrap();
        let begun = studio.plugins.path().join(format!("begun{number}"));
        let call = Call::new("work:sign").arg(&begun).arg("/never");
        pool.submit::<Value>("b", call).unwrap().detach();
        until("it runs", || begun.exists());
    }
    let family: Vec<String> = descendants().iter().map(u32::to_string).collect();
    println!("\nfamily {}", family.join(" "));
    std::thread::sleep(LONG);
}

#[test]
fn a_pool_works_where_the_daemon_takes_no_notice_of_its_children() {
    isolated("endings::a_pool_works_where_the_daemon_takes_no_notice_of_its_children", || {
        // SAFETY: a plain system call, before any thread of ours looks at children.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        let studio = Studio::of(&["a"]);
        for templates in [true, false] {
            let pool = studio.options().templates(templates).build().unwrap();
            pool.call::<u32>("a", Call::new("work:pid")).unwrap();
            let error = pool.call::<Value>("a", Call::new("work:leave").arg(3)).unwrap_err();
            assert!(matches!(error, PoolError::WorkerLost { .. }), "{error:?}");
            pool.call::<u32>("a", Call::new("work:pid")).unwrap();
            drop(pool);
            assert_eq!(descendants().len(), 0);
        }
    });
}

#[test]
fn a_pool_works_where_the_daemon_reaps_all_children_itself() {
    isolated("endings::a_pool_works_where_the_daemon_reaps_all_children_itself", || {
        // Any child, as soon as it ends: the pool finds no status.
        std::thread::spawn(|| {
            loop {
                if rustix::process::wait(WaitOptions::empty()).is_err() {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        let studio = Studio::of(&["a"]);
        for templates in [true, false] {
            let pool = studio.options().templates(templates).build().unwrap();
            for _ in 0..5 {
                pool.call::<u32>("a", Call::new("work:pid")).unwrap();
                let error = pool.call::<Value>("a", Call::new("work:die")).unwrap_err();
                assert!(matches!(error, PoolError::WorkerLost { sent: true, .. }), "{error:?}");
            }
            pool.call::<u32>("a", Call::new("work:pid")).unwrap();
            out_of_time(|limit| pool.call("a", Call::new("work:sleep").arg(600).timeout(limit)));
            pool.shutdown(LONG).unwrap();
            until("all are reaped", || descendants().is_empty());
        }
    });
}
