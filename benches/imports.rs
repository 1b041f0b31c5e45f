//! Imports: a core's first import and a second project's on the same files against plain CPython's; a late
//! import against a plain one; and finding a core.
//!
//! First imports are measured in processes of their own, since a process imports the standard library once:
//! each sample starts one that tells how long its import took.

use std::process::Command;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyModule};
use sgtk_host::Host;
use sgtk_host::interpreter::Interpreter;
use sgtk_host_fixtures::{Configs, Core};

/// Set in a child that measures imports; its value is the folder of configurations.
const CHILD: &str = "SGTK_HOST_BENCH_IMPORT";

/// About as much source in the zips as the real core's, relative to its modules.
const VENDOR_LINES: usize = 4_000;

fn first_imports(criterion: &mut Criterion) {
    let configs = Configs::new().unwrap();
    let core = Core::newer("v0.24.0").vendor_lines(VENDOR_LINES);
    configs.attached("a", &core).unwrap();
    configs.attached("b", &core).unwrap();
    let python = Interpreter::start_default().unwrap().executable().to_owned();
    let folder = Configs::python(&configs.shared(&core));
    let plain = || {
        // What the host has imported by then is not the core's to count.
        let script = "import logging, sys, threading, time; sys.path.insert(0, sys.argv[1]); start = \
                      time.perf_counter(); import sgtk; print(int((time.perf_counter() - start) * 1e9))";
        let mut command = Command::new(&python);
        command.args(["-I", "-c", script]).arg(&folder).env_remove("PYTHONDONTWRITEBYTECODE");
        nanoseconds(&mut command)[0]
    };
    let host = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        nanoseconds(command.env(CHILD, configs.base()))
    };
    // Bytecode on disk for all three.
    plain();

    let mut group = criterion.benchmark_group("first_import");
    group.sample_size(10).measurement_time(Duration::from_secs(5)).warm_up_time(Duration::from_millis(500));
    group.bench_function("plain", |bencher| bencher.iter_custom(|times| (0..times).map(|_| plain()).sum()));
    group.bench_function("host", |bencher| bencher.iter_custom(|times| (0..times).map(|_| host()[0]).sum()));
    group.bench_function("second_project", |bencher| {
        bencher.iter_custom(|times| (0..times).map(|_| host()[1]).sum());
    });
    group.finish();
}

/// What a child prints, a number of nanoseconds on each line.
fn nanoseconds(command: &mut Command) -> Vec<Duration> {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    text.lines().map(|line| Duration::from_nanos(line.parse().unwrap())).collect()
}

/// The child: leases both projects and tells how long each took.
fn measure_first_imports(base: &str) {
    let host = Host::builder().configs(base).build().unwrap();
    Python::attach(|py| {
        for project in ["a", "b"] {
            let start = Instant::now();
            let lease = host.lease(py, project).unwrap();
            println!("{}", start.elapsed().as_nanos());
            drop(lease);
        }
    });
}

fn late_imports(criterion: &mut Criterion) {
    Interpreter::start_default().unwrap();
    let configs = Configs::new().unwrap();
    configs.localized("a", &Core::newer("v0.24.0")).unwrap();
    // A function whose imports are CPython's own, whatever is done to `builtins` later.
    let source = c"
def late(times):
    for _ in range(times):
        from json.decoder import JSONDecoder
";
    Python::attach(|py| {
        let builtins = py.import("builtins").unwrap().dict().copy().unwrap();
        let globals = PyDict::new(py);
        globals.set_item("__builtins__", builtins).unwrap();
        globals.set_item("__name__", "plain").unwrap();
        globals.set_item("__spec__", py.None()).unwrap();
        py.run(source, Some(&globals), None).unwrap();
        let plain = globals.get_item("late").unwrap().unwrap();
        plain.call1((1,)).unwrap();

        let host = Host::builder().configs(configs.base()).build().unwrap();
        let wrapped =
            PyModule::from_code(py, source, c"daemon.py", c"daemon").unwrap().getattr("late").unwrap();
        let parked = parked_function(py, &host);

        let mut group = criterion.benchmark_group("late_import");
        let mut bench = |name: &str, function: &Bound<'_, PyAny>| {
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|times| {
                    let start = Instant::now();
                    function.call1((times,)).unwrap();
                    start.elapsed()
                });
            });
        };
        bench("plain", &plain);
        bench("daemon", &wrapped);
        bench("parked", &parked);
        let lease = host.lease(py, "a").unwrap();
        bench("in_place", &parked);
        drop(lease);
        group.finish();
    });
}

/// A function of the project's that imports late, after the project was parked.
fn parked_function<'py>(py: Python<'py>, host: &Host) -> Bound<'py, PyAny> {
    let lease = host.lease(py, "a").unwrap();
    let module = lease.getattr("util").unwrap().cast_into::<PyModule>().unwrap();
    let source = c"
def late(times):
    for _ in range(times):
        from tank.errors import TankError
";
    py.run(source, Some(&module.dict()), None).unwrap();
    drop(lease);
    module.getattr("late").unwrap()
}

fn locate(criterion: &mut Criterion) {
    let configs = Configs::new().unwrap();
    configs.localized("localized", &Core::newer("v0.24.0")).unwrap();
    configs.attached("attached", &Core::older("v0.22.5")).unwrap();
    configs.studio(&Core::older("v0.20.35")).unwrap();
    configs.unattached("studio_project").unwrap();
    let found = sgtk_host::config::Configs::new(configs.base());
    let mut group = criterion.benchmark_group("locate");
    for project in ["localized", "attached", "studio_project"] {
        group.bench_function(project, |bencher| bencher.iter(|| found.locate(project).unwrap()));
    }
    group.finish();
}

criterion_group!(benches, locate, late_imports, first_imports);

fn main() {
    match std::env::var(CHILD) {
        Ok(base) => measure_first_imports(&base),
        Err(_) => {
            benches();
            Criterion::default().configure_from_args().final_summary();
        }
    }
}
