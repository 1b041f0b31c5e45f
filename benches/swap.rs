//! Swapping projects, against the least that it could take and against what the published recipe does
//! instead.
//!
//! For cores of 50 to 1,000 modules: `floor` takes the same names out of `sys.modules` and puts them in
//! again, one by one and nothing else; `swap` leases one of two projects and parks it, in turn; `swap_back`
//! leases the same project again; `own_thread` does so on a thread that is attached for each lease; `recipe`
//! is the published recipe importing the same core anew.
//!
//! `access` is what reading `sys.path` takes, before there is a host and after.

use std::ffi::CString;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use sgtk_host::Host;
use sgtk_host::interpreter::Interpreter;
use sgtk_host_fixtures::{Configs, Core, recipe};

const SIZES: [usize; 4] = [50, 200, 500, 1_000];

fn swaps(criterion: &mut Criterion) {
    for modules in SIZES {
        let configs = Configs::new().unwrap();
        for project in ["a", "b"] {
            configs.localized(project, &Core::generated(modules)).unwrap();
        }
        let host = Host::builder().configs(configs.base()).build().unwrap();
        let mut group = criterion.benchmark_group("swap");
        group.measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(1));

        let names = Python::attach(|py| owned_names(py, &host));
        assert_eq!(names.len(), modules, "a generated core has as many modules as were asked for");
        group.bench_function(BenchmarkId::new("floor", modules), |bencher| {
            Python::attach(|py| {
                let live = sys_modules(py);
                let names: Vec<_> =
                    names.iter().map(|(name, module)| (name.bind(py), module.bind(py))).collect();
                bencher.iter(|| {
                    for (name, module) in &names {
                        live.set_item(name, module).unwrap();
                    }
                    for (name, _) in &names {
                        live.del_item(name).unwrap();
                    }
                });
            });
        });
        group.bench_function(BenchmarkId::new("swap", modules), |bencher| {
            Python::attach(|py| {
                let mut turn = ["a", "b"].into_iter().cycle();
                bencher.iter(|| drop(host.lease(py, turn.next().unwrap()).unwrap()));
            });
        });
        group.bench_function(BenchmarkId::new("swap_back", modules), |bencher| {
            Python::attach(|py| bencher.iter(|| drop(host.lease(py, "a").unwrap())));
        });
        group.bench_function(BenchmarkId::new("own_thread", modules), |bencher| {
            // On a thread of Rust's, which is attached for each lease.
            bencher.iter_custom(|times| {
                let lease = || host.with_sgtk("a", |_| Ok(())).unwrap();
                let timed = || {
                    lease();
                    let start = Instant::now();
                    (0..times).for_each(|_| lease());
                    start.elapsed()
                };
                std::thread::scope(|scope| scope.spawn(timed).join().unwrap())
            });
        });
        drop((names, host));
        group.sample_size(10);
        group.bench_function(BenchmarkId::new("recipe", modules), |bencher| {
            Python::attach(|py| {
                let recipe = Recipe::new(py, &configs);
                bencher.iter_custom(|times| {
                    let start = Instant::now();
                    for _ in 0..times {
                        recipe.import(py, "a");
                    }
                    start.elapsed()
                });
                recipe.clean_up(py);
            });
        });
        group.finish();
    }
}

fn sys_modules(py: Python<'_>) -> Bound<'_, PyDict> {
    py.import("sys").unwrap().getattr("modules").unwrap().cast_into().unwrap()
}

/// The names and modules that a lease brings, and takes away again.
fn owned_names(py: Python<'_>, host: &Host) -> Vec<(Py<PyString>, Py<PyAny>)> {
    drop(host.lease(py, "a").unwrap());
    let before = sys_modules(py).copy().unwrap();
    let lease = host.lease(py, "a").unwrap();
    let now = sys_modules(py).copy().unwrap();
    drop(lease);
    let new = now.iter().filter(|(name, _)| !before.contains(name).unwrap());
    new.map(|(name, module)| (name.cast_into::<PyString>().unwrap().unbind(), module.unbind())).collect()
}

/// The published recipe, in this interpreter.
struct Recipe {
    import: Py<PyAny>,
    path: Vec<String>,
}

impl Recipe {
    fn new(py: Python<'_>, configs: &Configs) -> Self {
        let source = CString::new(std::fs::read_to_string(recipe()).unwrap()).unwrap();
        let module = PyModule::from_code(py, &source, c"published.py", c"published").unwrap();
        let environ = py.import("os").unwrap().getattr("environ").unwrap();
        environ.set_item("SHOTGUN_BASE", configs.base().to_str().unwrap()).unwrap();
        let path = py.import("sys").unwrap().getattr("path").unwrap().extract().unwrap();
        Self { import: module.getattr("import_sgtk").unwrap().unbind(), path }
    }

    fn import(&self, py: Python<'_>, project: &str) {
        self.import.call1(py, (project,)).unwrap();
    }

    /// Takes out what it has left, for the next core.
    fn clean_up(self, py: Python<'_>) {
        let globals = PyDict::new(py);
        globals.set_item("path", self.path).unwrap();
        py.run(
            c"
import gc, logging, os, sys, typing
tops = ('tank', 'sgtk', 'shotgun_api3', 'yaml')
for name in [name for name in sys.modules if name.startswith(tops)]:
    del sys.modules[name]
sys.path[:] = path
sys.meta_path[:] = [finder for finder in sys.meta_path if not type(finder).__module__.startswith('tank')]
vars(sys).pop('_tank_vendor_meta_finder', None)
for name in [name for name in logging.Logger.manager.loggerDict if name.startswith('sgtk')]:
    del logging.Logger.manager.loggerDict[name]
os.environ.pop('TANK_CURRENT_PC', None)
for clear in typing._cleanups:
    clear()
gc.collect()
",
            Some(&globals),
            None,
        )
        .unwrap();
    }
}

/// What the daemon's own code pays for `sys.path` being told apart by the code that asks: `plain` before
/// there is a host, `viewed` after, called from few and from many functions; and an attribute that is not.
fn access(criterion: &mut Criterion) {
    Interpreter::start_default().unwrap();
    let mut group = criterion.benchmark_group("access");
    group.measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_secs(1));
    let mut measure = |state: &str| {
        for (name, depth) in [("path", 1), ("path", 20), ("path", 100), ("modules", 1), ("platform", 1)] {
            let id = BenchmarkId::new(format!("{state} sys.{name}"), depth);
            group.bench_function(id, |bencher| {
                Python::attach(|py| {
                    let code = format!(
                        "
import sys, time
def work(times):
    start = time.perf_counter_ns()
    for _ in range(times):
        sys.{name}
    return time.perf_counter_ns() - start
def at(depth, times):
    return work(times) if depth == 1 else at(depth - 1, times)
"
                    );
                    let code = CString::new(code).unwrap();
                    let module = PyModule::from_code(py, &code, c"access.py", c"access").unwrap();
                    let at = module.getattr("at").unwrap();
                    bencher.iter_custom(|times| {
                        Duration::from_nanos(at.call1((depth, times)).unwrap().extract().unwrap())
                    });
                });
            });
        }
    };
    measure("plain");
    let configs = Configs::new().unwrap();
    configs.localized("a", &Core::generated(50)).unwrap();
    let host = Host::builder().configs(configs.base()).build().unwrap();
    host.with_sgtk("a", |_| Ok(())).unwrap();
    measure("viewed");
    group.finish();
}

criterion_group!(benches, access, swaps);
criterion_main!(benches);
