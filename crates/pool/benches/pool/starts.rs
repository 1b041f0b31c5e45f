//! Starts, ends and memory of workers.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use criterion::Criterion;
use sgtk_host_fixtures::{Configs, Core};
use sgtk_pool::{Call, WorkerPool};

const PROJECTS: usize = 16;

/// Where projects are, by name: the fixtures', or one's own.
fn projects() -> (Option<Configs>, PathBuf, Vec<String>) {
    if let (Ok(base), Ok(names)) =
        (std::env::var("SGTK_HOST_BENCH_CONFIGS"), std::env::var("SGTK_HOST_BENCH_PROJECTS"))
    {
        return (None, base.into(), names.split(',').map(str::to_owned).collect());
    }
    let configs = Configs::new().unwrap();
    let names: Vec<String> = (0..PROJECTS).map(|number| format!("p{number}")).collect();
    for name in &names {
        configs.attached(name, &Core::newer("v0.24.0")).unwrap();
    }
    let base = configs.base();
    (Some(configs), base, names)
}

fn pool(base: &std::path::Path, templates: bool) -> WorkerPool {
    WorkerPool::builder().configs(base).templates(templates).build().unwrap()
}

fn start(pool: &WorkerPool, project: &str) {
    for (project, outcome) in pool.prewarm([project]) {
        outcome.unwrap_or_else(|error| panic!("{project}: {error}"));
    }
}

pub(super) fn ready(criterion: &mut Criterion) {
    let (_configs, base, names) = projects();
    let mut group = criterion.benchmark_group("worker_ready");
    group.sample_size(10).measurement_time(Duration::from_secs(4)).warm_up_time(Duration::from_millis(500));
    for (way, templates) in [("started", false), ("forked from a template", true)] {
        group.bench_function(way, |bencher| {
            bencher.iter_custom(|times| {
                let mut spent = Duration::ZERO;
                let mut left = times;
                while left > 0 {
                    let pool = pool(&base, templates);
                    let (first, others) = names.split_first().unwrap();
                    // Its core is imported once by then, and in the template's memory.
                    start(&pool, first);
                    for name in others.iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
                        let begun = Instant::now();
                        start(&pool, name);
                        spent += begun.elapsed();
                        left -= 1;
                    }
                }
                spent
            });
        });
    }
    group.finish();
}

pub(super) fn death(criterion: &mut Criterion) {
    let (_configs, base, names) = projects();
    let pool = pool(&base, true);
    let project = &*names[0];
    let mut group = criterion.benchmark_group("death");
    group.sample_size(20).measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_millis(500));
    group.bench_function("from SIGKILL to the caller's error", |bencher| {
        bencher.iter_custom(|times| (0..times).map(|_| one_death(&pool, project)).sum());
    });
    group.finish();
}

fn one_death(pool: &WorkerPool, project: &str) -> Duration {
    let pid: i32 = pool.call(project, Call::new("os:getpid")).unwrap();
    thread::scope(|scope| {
        let caller = scope.spawn(|| {
            pool.call::<()>(project, Call::new("time:sleep").arg(60)).unwrap_err();
            Instant::now()
        });
        // It has to be in the call by then.
        thread::sleep(Duration::from_millis(5));
        let killed = Instant::now();
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(pid).unwrap(),
            rustix::process::Signal::KILL,
        )
        .unwrap();
        caller.join().unwrap() - killed
    })
}

/// Not a time: proportional set sizes, printed.
pub(super) fn memory(_: &mut Criterion) {
    let (_configs, base, names) = projects();
    for (way, templates) in [("started", false), ("forked", true)] {
        for count in [1, 8.min(names.len())] {
            let pool = pool(&base, templates);
            let pids: Vec<u32> =
                names[..count].iter().map(|name| pool.call(name, Call::new("os:getpid")).unwrap()).collect();
            let sizes: Option<Vec<u64>> = pids.iter().map(|pid| proportional_set_size(*pid)).collect();
            if let Some(sizes) = sizes {
                let each = sizes.iter().sum::<u64>() as f64 / count as f64 / 1024.0;
                println!("memory/{count} workers, {way}: {each:.1} MiB each (PSS)");
            }
        }
    }
}

/// In KiB, where the system tells.
fn proportional_set_size(pid: u32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
