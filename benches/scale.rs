//! What must not grow with the number of projects, or of threads.
//!
//! `parked`: with 1 to 1,000 projects in memory, all attached to one core: `lease` leases them in strides and
//! parks them again, `residents` lists them, and `audit` looks at every module of all of them, so that one is
//! linear by what it does: it is given for each project.
//!
//! `threads`: 1 to 16 threads take leases of one project and of many at the same time. The time is that of
//! one lease on the whole; `floor` has as many threads take the interpreter as often, and nothing else.
//! `longest wait` is the longest that any lease of a run has waited, for each thread that there is: with
//! turns in order it is about one lease of each other thread.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pyo3::prelude::*;
use sgtk_host::Host;
use sgtk_host_fixtures::{Configs, Core};

const THREADS: [usize; 5] = [1, 2, 4, 8, 16];

/// How many projects are parked. A test of the bench takes few.
fn parked_counts() -> &'static [usize] {
    if std::env::args().any(|argument| argument == "--test") { &[1, 10] } else { &[1, 10, 100, 1_000] }
}

struct Studio {
    /// Gone with its folders.
    _configs: Configs,
    host: Host,
    projects: Vec<String>,
}

/// This many projects, all on one core, and all imported.
fn studio(projects: usize) -> Studio {
    let configs = Configs::new().unwrap();
    let core = Core::newer("v0.24.0");
    let projects: Vec<_> = (0..projects).map(|number| format!("p{number:04}")).collect();
    for project in &projects {
        configs.attached(project, &core).unwrap();
    }
    let host = Host::builder().configs(configs.base()).build().unwrap();
    for project in &projects {
        host.with_sgtk(project.as_str(), |_| Ok(())).unwrap();
    }
    Studio { _configs: configs, host, projects }
}

fn parked(criterion: &mut Criterion) {
    for &count in parked_counts() {
        let Studio { host, projects, .. } = &studio(count);
        let mut group = criterion.benchmark_group("parked");
        group.measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_millis(500));
        group.bench_function(BenchmarkId::new("lease", count), |bencher| {
            // A prime, so that each comes up.
            let mut turn = (0..).map(|index: usize| &*projects[index * 7_919 % projects.len()]);
            Python::attach(|py| bencher.iter(|| drop(host.lease(py, turn.next().unwrap()).unwrap())));
        });
        group.bench_function(BenchmarkId::new("residents", count), |bencher| {
            bencher.iter(|| assert_eq!(host.residents().len(), count));
        });
        group.sample_size(10).throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("audit", count), |bencher| {
            Python::attach(|py| bencher.iter(|| assert!(host.audit(py).unwrap().is_empty())));
        });
        group.finish();
    }
}

fn threads(criterion: &mut Criterion) {
    let Studio { host, projects, .. } = &studio(16);
    let mut group = criterion.benchmark_group("threads");
    group.measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500)).sample_size(20);
    for threads in THREADS {
        group.bench_function(BenchmarkId::new("floor", threads), |bencher| {
            bencher.iter_custom(|times| together(threads, times, |_| Python::attach(|_| ())).0);
        });
        for (name, projects) in [("one project", &projects[..1]), ("many projects", &projects[..])] {
            let lease =
                |index: usize| host.with_sgtk(&*projects[index % projects.len()], |_| Ok(())).unwrap();
            group.bench_function(BenchmarkId::new(name, threads), |bencher| {
                bencher.iter_custom(|times| together(threads, times, lease).0);
            });
            group.bench_function(BenchmarkId::new(format!("longest wait, {name}"), threads), |bencher| {
                // The longest of a hundred of each thread, as often as was asked for.
                bencher.iter_custom(|times| {
                    let each = threads as u64 * 100;
                    (0..times).map(|_| together(threads, each, lease).1 / threads as u32).sum()
                });
            });
        }
    }
    group.finish();
}

/// Has the threads do something `times` times in all, and tells how long that took, and the longest single
/// one.
fn together(threads: usize, times: u64, work: impl Fn(usize) + Sync) -> (Duration, Duration) {
    let (work, ready) = (&work, &Barrier::new(threads + 1));
    std::thread::scope(|scope| {
        let each = |thread: usize| {
            // Attached before the clock starts.
            work(thread);
            ready.wait();
            let (mine, mut longest) = (times / threads as u64 + 1, Duration::ZERO);
            for _ in 0..mine {
                let start = Instant::now();
                work(thread);
                longest = longest.max(start.elapsed());
            }
            longest
        };
        let workers: Vec<_> = (0..threads).map(|thread| scope.spawn(move || each(thread))).collect();
        ready.wait();
        let start = Instant::now();
        let longest = workers.into_iter().map(|worker| worker.join().unwrap()).max().unwrap_or_default();
        (start.elapsed(), longest)
    })
}

criterion_group!(benches, parked, threads);
criterion_main!(benches);
