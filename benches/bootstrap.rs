//! Bootstrapping an engine in process against plain Python; and switching between live engines against
//! destroying one and bootstrapping the next.
//!
//! The fixtures' studio throughout: three projects with cores of their own, started from a fourth, and a site
//! on the loopback interface. `plain` is the published document's second listing (`bootstrap.py`); `floor`
//! imports the two cores of a bootstrap and makes as many calls to the site, in plain Python too, and nothing
//! else.
//!
//! A process imports the standard library once: each sample of a first bootstrap starts one that tells how
//! long it took.

use std::process::Command;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, SamplingMode, criterion_group};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use sgtk_host::interpreter::Interpreter;
use sgtk_host::{Bootstrap, Engine, Host};
use sgtk_host_fixtures::{Core, Project, Studio};

/// Set in a child that measures a first bootstrap; its values are the core to start from and the site.
const CHILD: [&str; 2] = ["SGTK_HOST_BENCH_START", "SGTK_HOST_BENCH_SITE"];

/// About as much source in the zips as the real core's, relative to its modules.
const VENDOR_LINES: usize = 4_000;

const PROJECTS: [u32; 3] = [176, 177, 178];

/// How often the plain processes take turns before they are timed: what loads the standard library, and each
/// core once.
const UNTIMED: u64 = PROJECTS.len() as u64;

/// A studio, and what one bootstrap of each project takes.
struct Setting {
    studio: Studio,
    /// `id=python folder of its core`, for each project.
    projects: Vec<String>,
    /// How many calls the site gets for one bootstrap.
    calls: usize,
}

impl Setting {
    /// With bytecode, configurations and what else there is to cache on disk.
    fn new() -> Self {
        let newer = |version: &str| Core::newer(version).vendor_lines(VENDOR_LINES);
        let studio = Studio::new(&newer("v0.24.0")).unwrap();
        let cores = [Core::older("v0.22.7"), newer("v0.23.8"), newer("v0.23.10")];
        for (id, core) in PROJECTS.into_iter().zip(cores) {
            studio.project(&Project::new(id.into(), &format!("project_{id}"), core)).unwrap();
        }
        let host = host();
        let projects = PROJECTS.map(|id| {
            let engine = bootstrap(&host, &studio.start(), &studio.site().url(), id);
            let core = engine.info().core.join("python");
            engine.destroy().unwrap();
            format!("{id}={}", core.display())
        });
        studio.site().forget_requests().unwrap();
        bootstrap(&host, &studio.start(), &studio.site().url(), PROJECTS[0]).destroy().unwrap();
        let calls = studio.site().requests().unwrap().len();
        let setting = Self { studio, projects: projects.into(), calls };
        setting.plain("document", UNTIMED, 1);
        setting
    }

    fn bootstrap(&self, host: &Host, id: u32) -> Engine {
        bootstrap(host, &self.studio.start(), &self.studio.site().url(), id)
    }

    /// How long turns take in a plain Python, after those that are not timed.
    fn plain(&self, way: &str, untimed: u64, timed: u64) -> Duration {
        let python = Interpreter::start_default().unwrap();
        let mut command = Command::new(python.executable());
        command.args(["-I", "-c", include_str!("bootstrap.py"), way]);
        command.arg(self.studio.start()).arg(self.studio.site().url()).args([Studio::SCRIPT, Studio::KEY]);
        command.args([self.calls.to_string(), untimed.to_string(), timed.to_string()]).args(&self.projects);
        nanoseconds(command.env_remove("PYTHONDONTWRITEBYTECODE"))
    }

    /// How long the first bootstrap of a process takes in a host.
    fn first(&self) -> Duration {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env(CHILD[0], self.studio.start()).env(CHILD[1], self.studio.site().url());
        nanoseconds(&mut command)
    }
}

fn host() -> Host {
    Host::builder().configs(std::env::var_os("SHOTGUN_HOME").unwrap()).build().unwrap()
}

fn bootstrap(host: &Host, start: &std::path::Path, site: &str, id: u32) -> Engine {
    let options = Bootstrap::project(id).core(start).site(site).script_user(Studio::SCRIPT, Studio::KEY);
    host.bootstrap(&options.build().unwrap()).unwrap()
}

/// What a child prints.
fn nanoseconds(command: &mut Command) -> Duration {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Duration::from_nanos(String::from_utf8(output.stdout).unwrap().trim().parse().unwrap())
}

/// The child: bootstraps one project and tells how long that took.
fn measure_first_bootstrap(start: &str, site: &str) {
    let host = host();
    let since = Instant::now();
    let engine = bootstrap(&host, start.as_ref(), site, PROJECTS[0]);
    println!("{}", since.elapsed().as_nanos());
    engine.destroy().unwrap();
}

fn first_bootstraps(criterion: &mut Criterion) {
    let setting = Setting::new();
    let mut group = criterion.benchmark_group("first_bootstrap");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.measurement_time(Duration::from_secs(5)).warm_up_time(Duration::from_millis(500));
    for (name, way) in [("floor", "floor"), ("plain", "document")] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| setting.plain(way, 0, 1)).sum());
        });
    }
    group.bench_function("host", |bencher| {
        bencher.iter_custom(|times| (0..times).map(|_| setting.first()).sum());
    });
    group.finish();
}

/// Each project in turn: bootstrap and destroy, which is one iteration since the projects are not alike; or
/// merely switch to an engine that is alive.
fn turns(criterion: &mut Criterion) {
    let setting = Setting::new();
    let host = host();
    let mut group = criterion.benchmark_group("bootstrap_and_destroy_three");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.measurement_time(Duration::from_secs(5)).warm_up_time(Duration::from_millis(500));
    for (name, way) in [("floor", "floor"), ("plain", "document")] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| setting.plain(way, UNTIMED, times * PROJECTS.len() as u64));
        });
    }
    group.bench_function("host", |bencher| {
        bencher.iter(|| PROJECTS.map(|id| setting.bootstrap(&host, id).destroy().unwrap()));
    });
    group.finish();

    let engines = PROJECTS.map(|id| setting.bootstrap(&host, id));
    let mut group = criterion.benchmark_group("switch");
    group.measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(1));
    for alive in [2, 3] {
        let engines = &engines[..alive];
        group.bench_function(BenchmarkId::new("floor", alive), |bencher| {
            Python::attach(|py| {
                let live = sys_modules(py);
                let names: Vec<_> = engines.iter().map(|engine| owned_names(py, engine)).collect();
                let mut turn = names.iter().cycle();
                bencher.iter(|| {
                    let names = turn.next().unwrap();
                    for (name, module) in names {
                        live.set_item(name, module).unwrap();
                    }
                    for (name, _) in names {
                        live.del_item(name).unwrap();
                    }
                });
            });
        });
        group.bench_function(BenchmarkId::new("engines", alive), |bencher| {
            let mut turn = engines.iter().cycle();
            bencher.iter(|| turn.next().unwrap().with(|_| Ok(())).unwrap());
        });
    }
    group.finish();
    engines.into_iter().for_each(|engine| engine.destroy().unwrap());
}

fn sys_modules(py: Python<'_>) -> Bound<'_, PyDict> {
    py.import("sys").unwrap().getattr("modules").unwrap().cast_into().unwrap()
}

/// The names and modules that a lease of the engine brings, and takes away again.
fn owned_names<'py>(py: Python<'py>, engine: &Engine) -> Vec<(Bound<'py, PyString>, Bound<'py, PyAny>)> {
    let before = sys_modules(py).copy().unwrap();
    let lease = engine.lease(py).unwrap();
    let now = sys_modules(py).copy().unwrap();
    drop(lease);
    let new = now.iter().filter(|(name, _)| !before.contains(name).unwrap());
    new.map(|(name, module)| (name.cast_into().unwrap(), module)).collect()
}

criterion_group!(benches, first_bootstraps, turns);

fn main() {
    if let [Ok(start), Ok(site)] = CHILD.map(std::env::var) {
        return measure_first_bootstrap(&start, &site);
    }
    let home = tempfile::tempdir().unwrap();
    // SAFETY: nothing has started a thread yet. Children inherit it.
    unsafe { std::env::set_var("SHOTGUN_HOME", home.path()) };
    benches();
    Criterion::default().configure_from_args().final_summary();
}
