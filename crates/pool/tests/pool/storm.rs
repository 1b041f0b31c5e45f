//! Many threads, more projects than workers, and workers that are killed all the time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use sgtk_host_fixtures::isolated;
use sgtk_pool::{Call, Delivery, PoolError, WorkerPool};

use crate::processes::{descendants, descriptors, kill_worker, threads};
use crate::support::{LONG, Studio, until};

const THREADS: usize = 8;
const PROJECTS: usize = 12;
const BURSTS: usize = 100;
const BURST: usize = 25;
const CALLS_PER_KILL: u64 = 60;

/// A small generator of our own: the same storm each time, as far as threads let it.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }
}

/// What became of one call.
struct Ended {
    project: usize,
    thread: usize,
    number: usize,
    outcome: Result<(), Delivery>,
}

#[test]
fn every_call_in_a_storm_ends_once_in_order_and_nothing_is_left() {
    isolated("storm::every_call_in_a_storm_ends_once_in_order_and_nothing_is_left", storm);
}

fn storm() {
    let names: Vec<String> = (0..PROJECTS).map(|number| format!("p{number}")).collect();
    let studio = Studio::of(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let files: Vec<_> = names.iter().map(|name| studio.plugins.path().join(name)).collect();
    let before = (descendants(), descriptors(), threads());
    let short = Duration::from_millis(2);
    let options = studio.options().max_workers(4).back_off(short, short).circuit_after(1_000_000);
    let pool = options.slice(Duration::from_millis(30)).build().unwrap();

    let calm = AtomicBool::new(false);
    let ended: Vec<Ended> = thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (pool, names, files) = (&pool, &names, &files);
                scope.spawn(move || one_thread(pool, names, files, thread))
            })
            .collect();
        scope.spawn(|| {
            let mut dice = Dice(4711);
            let mut answered = 0;
            while !calm.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(5));
                let stats = pool.stats();
                // However slow the machine is, there is time for calls between two kills.
                if stats.succeeded < answered + CALLS_PER_KILL {
                    continue;
                }
                answered = stats.succeeded;
                let pids: Vec<u32> = stats.projects.iter().filter_map(|project| project.pid).collect();
                assert!(pids.len() <= 4, "{stats:?}");
                if !pids.is_empty() {
                    kill_worker(pids[dice.roll(pids.len())]);
                }
            }
        });
        let ended = workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
        calm.store(true, Ordering::Relaxed);
        ended
    });

    let stats = pool.stats();
    println!("{stats:?}");
    assert!(stats.lost > 0 && stats.succeeded > 10_000, "{stats:?}");
    assert_eq!(ended.len(), THREADS * BURSTS * BURST);
    account(&ended, &files);
    drop(pool);
    assert_eq!(descendants(), before.0);
    assert_eq!(descriptors(), before.1);
    until("the threads end", || threads() == before.2);
}

fn one_thread(
    pool: &WorkerPool,
    names: &[String],
    files: &[std::path::PathBuf],
    thread: usize,
) -> Vec<Ended> {
    let mut dice = Dice(thread as u64 + 1);
    let mut ended = Vec::new();
    for burst in 0..BURSTS {
        let project = dice.roll(PROJECTS);
        let name = &names[project];
        let call =
            |number| Call::new("work:record").arg(&files[project]).arg(thread).arg(number).timeout(LONG);
        let numbers = burst * BURST..(burst + 1) * BURST;
        let mut note = |number: usize, outcome: Result<[usize; 2], PoolError>| {
            let outcome = outcome.map(|answer| assert_eq!(answer, [thread, number]));
            let outcome = outcome.map_err(|error| {
                assert!(
                    matches!(error, PoolError::WorkerLost { .. } | PoolError::NotStarted { .. }),
                    "{error}"
                );
                error.delivery()
            });
            ended.push(Ended { project, thread, number, outcome });
        };
        if burst % 2 == 0 {
            let handles: Vec<_> =
                numbers.map(|number| (number, pool.submit(name, call(number)).unwrap())).collect();
            handles.into_iter().for_each(|(number, handle)| note(number, handle.wait()));
        } else {
            numbers.for_each(|number| note(number, pool.call(name, call(number))));
        }
    }
    ended
}

/// Compares what callers were told with what the workers have done.
fn account(ended: &[Ended], files: &[std::path::PathBuf]) {
    let mut ran: HashMap<(usize, usize, usize), usize> = HashMap::new();
    for (project, file) in files.iter().enumerate() {
        let mut last = [None; THREADS];
        for line in std::fs::read_to_string(file).unwrap_or_default().lines() {
            let (thread, number) = line.split_once(' ').unwrap();
            let (thread, number): (usize, usize) = (thread.parse().unwrap(), number.parse().unwrap());
            assert!(last[thread] < Some(number), "{thread} {number} after {last:?} in project {project}");
            last[thread] = Some(number);
            *ran.entry((project, thread, number)).or_default() += 1;
        }
    }
    for call in ended {
        let times = ran.remove(&(call.project, call.thread, call.number)).unwrap_or_default();
        let number = call.number;
        match call.outcome {
            Ok(()) => assert_eq!(times, 1, "call {number} succeeded"),
            Err(Delivery::NeverRan) => assert_eq!(times, 0, "call {number} never ran"),
            Err(Delivery::MayHaveRun) => assert!(times <= 1, "call {number} may have run"),
            Err(other) => panic!("call {number}: {other:?}"),
        }
    }
    assert!(ran.is_empty(), "calls that nobody made: {ran:?}");
}
