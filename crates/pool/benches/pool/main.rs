//! The pool against its floor, a byte over pipes to Python, and against what one would do instead, in one
//! run.
//!
//! `SGTK_HOST_BENCH_PEERS=execnet,rpyc` measures these too, where the linked Python has them. With
//! `SGTK_HOST_BENCH_CONFIGS` and `SGTK_HOST_BENCH_PROJECTS=a,b,…` starts and memory are those of cores of
//! one's own.

mod starts;

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde_json::value::RawValue;
use sgtk_host_fixtures::{Configs, Core};
use sgtk_pool::{Call, WorkerPool};

/// The value that goes forth and back, with so much text.
const SIZES: [(&str, usize); 4] = [("200 B", 170), ("2 KB", 2_000), ("100 KB", 100_000), ("1 MB", 1_000_000)];

const PROJECTS: [&str; 4] = ["a", "b", "c", "d"];

/// Configurations, and a folder with a plugin that gives back what it gets.
fn studio() -> (Configs, tempfile::TempDir) {
    let configs = Configs::new().unwrap();
    for project in PROJECTS {
        configs.attached(project, &Core::newer("v0.24.0")).unwrap();
    }
    let plugins = tempfile::tempdir().unwrap();
    std::fs::write(plugins.path().join("work.py"), "def echo(value):\n    return value\n").unwrap();
    (configs, plugins)
}

/// A Python program that we talk to.
struct Program {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Program {
    fn start(name: &str) -> Self {
        let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/pool").join(name);
        let mut command = Command::new("python3");
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    /// How long a peer takes for so many round trips. `None` where it is not installed.
    fn peer(&mut self, name: &str, size: usize, times: u64) -> Option<Duration> {
        writeln!(self.input.as_mut().unwrap(), "{name} {size} {times}").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().parse().ok().map(Duration::from_nanos)
    }

    fn byte(&mut self) {
        self.input.as_mut().unwrap().write_all(b"x").unwrap();
        self.output.read_exact(&mut [0]).unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // At the end of its input it ends, and with it what it has started.
        drop(self.input.take());
        self.child.wait().unwrap();
    }
}

fn round_trips(criterion: &mut Criterion) {
    let (configs, plugins) = studio();
    let pool = WorkerPool::builder().configs(configs.base()).plugin_path(plugins.path()).build().unwrap();
    let mut floor = Program::start("floor.py");
    let peers = RefCell::new(Program::start("peer.py"));
    let mut names = vec!["pipe".to_owned(), "executor".to_owned()];
    let more = std::env::var("SGTK_HOST_BENCH_PEERS").unwrap_or_default();
    names.extend(more.split(',').filter(|name| !name.is_empty()).map(str::to_owned));

    let mut group = criterion.benchmark_group("round_trip");
    group.measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_millis(500));
    group.bench_function("floor, one byte", |bencher| bencher.iter(|| floor.byte()));
    for (size, text) in SIZES {
        let value = serde_json::json!({"id": 1234, "text": "x".repeat(text)});
        group.bench_function(format!("pool.call, {size}"), |bencher| {
            bencher.iter(|| pool.call::<serde_json::Value>("a", Call::new("work:echo").arg(&value)).unwrap());
        });
        let raw = RawValue::from_string(value.to_string()).unwrap();
        group.bench_function(format!("pool.call, {size}, JSON passed on"), |bencher| {
            bencher.iter(|| pool.call::<Box<RawValue>>("a", Call::new("work:echo").arg(&raw)).unwrap());
        });
        group.bench_function(format!("pool.submit, {size}"), |bencher| {
            bencher.iter(|| {
                let call = Call::new("work:echo").arg(&value);
                pool.submit::<serde_json::Value>("a", call).unwrap().wait().unwrap()
            });
        });
        for name in &names {
            if peers.borrow_mut().peer(name, text, 1).is_none() {
                continue;
            }
            group.bench_function(format!("{name}, {size}"), |bencher| {
                bencher.iter_custom(|times| peers.borrow_mut().peer(name, text, times).unwrap());
            });
        }
    }
    group.finish();
}

fn throughput(criterion: &mut Criterion) {
    let (configs, plugins) = studio();
    let mut group = criterion.benchmark_group("four_callers");
    group.throughput(Throughput::Elements(1)).measurement_time(Duration::from_secs(3));
    group.warm_up_time(Duration::from_millis(500)).sample_size(20);
    for workers in [1, 2, 4] {
        let pool = WorkerPool::builder().configs(configs.base()).plugin_path(plugins.path()).build().unwrap();
        let projects = &PROJECTS[..workers];
        pool.prewarm(projects);
        group.bench_function(format!("{workers} workers"), |bencher| {
            bencher.iter_custom(|times| {
                let start = Instant::now();
                thread::scope(|scope| {
                    for caller in 0..4 {
                        let (pool, project) = (&pool, projects[caller % workers]);
                        let share = times / 4 + u64::from((caller as u64) < times % 4);
                        scope.spawn(move || {
                            for _ in 0..share {
                                let call = Call::new("work:echo").arg("x".repeat(200));
                                pool.call::<String>(project, call).unwrap();
                            }
                        });
                    }
                });
                start.elapsed()
            });
        });
    }
    group.finish();
}

/// A call, and the table of all, where the pool knows 1 to 500 projects, few of which have a worker.
fn slots(criterion: &mut Criterion) {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let mut group = criterion.benchmark_group("slots");
    group.measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_millis(500));
    for count in if is_test { [1, 5] } else { [1, 500] } {
        let (configs, plugins) = studio();
        let names: Vec<_> = (0..count).map(|number| format!("p{number:03}")).collect();
        for name in &names {
            configs.attached(name, &Core::newer("v0.24.0")).unwrap();
        }
        let builder = WorkerPool::builder().configs(configs.base()).plugin_path(plugins.path());
        let pool = builder.templates(true).max_workers(4).build().unwrap();
        for (name, outcome) in pool.prewarm(&names) {
            outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        let last = names.last().unwrap();
        group.bench_function(BenchmarkId::new("pool.call, 200 B", count), |bencher| {
            let text = "x".repeat(170);
            bencher.iter(|| pool.call::<String>(last, Call::new("work:echo").arg(&text)).unwrap());
        });
        group.bench_function(BenchmarkId::new("pool.stats", count), |bencher| {
            bencher.iter(|| pool.stats());
        });
    }
    group.finish();
}

criterion_group!(benches, round_trips, throughput, slots, starts::ready, starts::death, starts::memory);
criterion_main!(benches);
