//! Many threads, many projects, all at once.

use std::sync::Mutex;

use pyo3::prelude::*;
use sgtk_host_fixtures::bundled;
use tempfile::TempDir;

use crate::support::{host, options};
use crate::workshop::{Dice, alone, eval, get, run, until};

/// The projects that take turns, with the versions of their cores: one of each kind.
const PROJECTS: [(&str, &str); 3] =
    [("project_a", "v0.24.0"), ("project_b", "v0.22.5"), ("project_c", "v0.20.35")];

/// What code inside a lease does: lets go of the interpreter in every way, and looks at what it sees after
/// each.
const WORK: &str = r#"
import os, threading, time

def look(where):
    import sgtk as visible
    import tank.late_a
    from tank_vendor import yaml
    seen = [visible.__version__, visible.CORE_VERSION, tank.late_a.CORE_VERSION, yaml.CORE_VERSION]
    seen += sgtk.util.late().values()
    wrong.extend((where, version) for version in seen if version != expected)
    loaded = sgtk.util.baked_versions().items()
    wrong.extend((where, name) for name, version in loaded if version not in (expected, "host"))

wrong = []
look("at first")
time.sleep(0)
look("after a sleep")

asked, answered = threading.Event(), threading.Event()
def answer():
    asked.wait()
    wrong.extend(("on a helper", name) for name, version in sgtk.util.late().items() if version != expected)
    answered.set()
helper = threading.Thread(target=answer)
helper.start()
asked.set()
answered.wait()
helper.join()
look("after a handshake")

reading, writing = os.pipe()
threading.Thread(target=os.write, args=(writing, b"x")).start()
os.read(reading, 1)
os.close(reading)
os.close(writing)
look("after a read")
"#;

/// Plugins to import late, each of which looks at the core that it got while it is being loaded.
fn plugins(count: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    for index in 0..count {
        let text =
            "import sgtk\nfrom tank.late_c import CORE_VERSION as LATE\nSEEN = (sgtk.CORE_VERSION, LATE)\n";
        write(&format!("part_{index:03}.py"), text);
    }
    write(
        "loads_parts.py",
        "import importlib, sgtk
def load(numbers):
    'The versions that the parts got that were not this core\\'s.'
    wrong = []
    for number in numbers:
        name = 'part_%03d' % number
        part = importlib.import_module(name) if number % 2 else __import__(name)
        wrong.extend((name, version) for version in part.SEEN if version != sgtk.CORE_VERSION)
    return wrong
",
    );
    folder
}

#[test]
fn eight_threads_and_background_imports_of_parked_projects_never_see_a_wrong_module() {
    alone(
        "threads::eight_threads_and_background_imports_of_parked_projects_never_see_a_wrong_module",
        || {
            let (configs, plugins) = (bundled().unwrap(), plugins(60));
            let host = options(&configs).plugin_path(plugins.path()).build().unwrap();
            // The daemon's own background threads go on too.
            let background = Python::attach(|py| {
                let scope = run(
                    py,
                    "
import threading, yaml
assert yaml.CORE_VERSION == 'host'
import sys
stop, wrong, threads, rounds = threading.Event(), [], [], []
def daemon():
    while not stop.is_set():
        import yaml
        if yaml.CORE_VERSION != 'host':
            wrong.append(('the daemon', yaml.CORE_VERSION))
def again(sgtk):
    count, found = sgtk.util.late_until(stop)
    rounds.append(count)
    wrong.extend(found)
def load(plugin, numbers):
    wrong.extend(plugin.load(numbers))
def start(target, *args):
    threads.append(threading.Thread(target=target, args=args))
    threads[-1].start()
start(daemon)
",
                    &[],
                );
                for (project, _) in PROJECTS {
                    let lease = host.lease(py, project).unwrap();
                    let plugin = py.import("loads_parts").unwrap();
                    let names = [
                        ("sgtk", lease.sgtk().as_any()),
                        ("plugin", plugin.as_any()),
                        ("all", scope.as_any()),
                    ];
                    run(
                        py,
                        "
all['start'](all['again'], sgtk)
all['start'](all['load'], plugin, range(0, 40))
all['start'](all['load'], plugin, range(59, 19, -1))
",
                        &names,
                    );
                }
                scope.unbind()
            });
            let wrong = Mutex::new(Vec::new());
            std::thread::scope(|scope| {
                for seed in 0..8 {
                    let (host, wrong) = (host.clone(), &wrong);
                    scope.spawn(move || {
                        let mut dice = Dice::new(seed + 1);
                        for _ in 0..6 {
                            let (project, version) = PROJECTS[dice.throw(PROJECTS.len())];
                            Python::attach(|py| {
                                let lease = host.lease(py, project).unwrap();
                                let version = version.into_pyobject(py).unwrap();
                                let names = [("sgtk", lease.sgtk().as_any()), ("expected", version.as_any())];
                                let found: Vec<(String, String)> = get(&run(py, WORK, &names), "wrong");
                                wrong.lock().unwrap().extend(found.into_iter().map(|found| (project, found)));
                            });
                        }
                    });
                }
            });
            Python::attach(|py| {
                let scope = background.bind(py);
                run(
                    py,
                    "all['stop'].set()\nfor thread in all['threads']: thread.join()",
                    &[("all", scope.as_any())],
                );
                assert_eq!(get::<Vec<(String, String)>>(scope, "wrong"), []);
                assert_eq!(
                    get::<Vec<u64>>(scope, "rounds").len(),
                    3,
                    "a background thread ended with an exception"
                );
                assert_eq!(wrong.into_inner().unwrap(), []);
                assert_eq!(host.audit(py).unwrap(), []);
            });
        },
    );
}

#[test]
fn turns_come_in_the_order_of_asking() {
    alone("threads::turns_come_in_the_order_of_asking", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let order = Mutex::new(Vec::new());
        let wanted =
            ["project_b", "project_a", "project_c", "project_b", "project_c", "project_c", "project_a"];
        std::thread::scope(|scope| {
            Python::attach(|py| {
                let lease = host.lease(py, "project_a").unwrap();
                for (number, project) in wanted.into_iter().enumerate() {
                    let (asking, order) = (host.clone(), &order);
                    scope.spawn(move || {
                        Python::attach(|py| {
                            let lease = asking.lease(py, project).unwrap();
                            order.lock().unwrap().push((number, lease.project().to_owned()));
                        });
                    });
                    py.detach(|| until("the thread is queued", || host.waiting() == number + 1));
                }
                drop(lease);
            });
        });
        let order = order.into_inner().unwrap();
        let projects: Vec<_> = order.iter().map(|(_, project)| project.as_str()).collect();
        assert_eq!(projects, wanted);
        // Neighbours that want the same share one turn, in any order.
        let mut numbers: Vec<_> = order.iter().map(|(number, _)| *number).collect();
        numbers[4..6].sort_unstable();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(host.waiting(), 0);
    });
}

#[test]
fn threads_that_want_the_project_in_place_share_it() {
    alone("threads::threads_that_want_the_project_in_place_share_it", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        Python::attach(|py| {
            let lease = host.lease(py, "project_a").unwrap();
            let other = host.clone();
            py.detach(|| {
                // Ends only if it need not wait for the lease.
                std::thread::scope(|scope| {
                    let joined = scope.spawn(|| {
                        other.with_sgtk("project_a", |sgtk| sgtk.getattr("__version__")?.extract::<String>())
                    });
                    assert_eq!(joined.join().unwrap().unwrap(), "v0.24.0");
                });
            });
            assert!(eval::<bool>(py, "__import__('sgtk') is sgtk", &[("sgtk", lease.sgtk().as_any())]));
        });
    });
}

#[test]
fn who_gives_up_waiting_does_not_hold_up_those_behind() {
    alone("threads::who_gives_up_waiting_does_not_hold_up_those_behind", || {
        let configs = bundled().unwrap();
        let (patient, hasty) =
            (host(&configs), options(&configs).lease_timeout(std::time::Duration::ZERO).build().unwrap());
        std::thread::scope(|scope| {
            Python::attach(|py| {
                let lease = patient.lease(py, "project_a").unwrap();
                let waits = patient.clone();
                let waits = scope.spawn(move || {
                    waits.with_sgtk("project_b", |sgtk| sgtk.getattr("__version__")?.extract::<String>())
                });
                py.detach(|| until("it is queued", || patient.waiting() == 1));
                let error = py.detach(|| {
                    let hasty = hasty.clone();
                    scope.spawn(move || hasty.with_sgtk("project_c", |_| Ok(())).unwrap_err()).join().unwrap()
                });
                let text = error.to_string();
                assert!(text.contains("'project_c'") && text.contains("'project_a' is in place"), "{text}");
                drop(lease);
                assert_eq!(py.detach(|| waits.join().unwrap().unwrap()), "v0.22.5");
            });
        });
    });
}
