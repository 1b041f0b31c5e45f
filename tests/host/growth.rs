//! Code that changes the same things each time that it runs, as hooks do which count on running once: nothing
//! grows, neither the daemon's nor the project's own.

use std::collections::BTreeMap;
use std::fs;

use pyo3::prelude::*;
use pyo3::types::PyList;
use sgtk_host::Host;
use sgtk_host_fixtures::{Configs, Core, bundled, isolated, isolated_with};

use crate::support::options;

/// What is not to grow.
const COUNTS: &str = r#"
import atexit, logging, os, sys, warnings

def counts():
    return {
        "path": len(sys.path),
        "finders": len(sys.meta_path),
        "hooks": len(sys.path_hooks),
        "known folders": len(sys.path_importer_cache),
        "PATH": len(os.environ.get("PATH", "")),
        "PYTHONPATH": len(os.environ.get("PYTHONPATH", "")),
        "variables": len(os.environ),
        "modules": len(sys.modules),
        "loggers": len(logging.Logger.manager.loggerDict),
        "handlers": len(getattr(logging.Logger.manager.loggerDict.get("sgtk"), "handlers", ())),
        "references to handlers": len(logging._handlerList),
        "callbacks": atexit._ncallbacks(),
        "filters": len(warnings.filters),
    }
"#;

/// Changes all of it.
const PLUGIN: &str = r#"

FOLDER = os.path.dirname(os.path.abspath(__file__))

class Finder(object):
    @staticmethod
    def find_spec(name, folders=None, target=None):
        return None

HANDLER = logging.NullHandler()

def leave_word():
    with open(os.environ["GROWTH_ENDED"], "a") as file:
        file.write(".")

atexit.register(leave_word)
atexit.register(os.getpid)

def grow():
    sys.path.insert(0, FOLDER)
    sys.path.append(os.path.join(FOLDER, "more"))
    for name in ("PATH", "PYTHONPATH"):
        os.environ[name] = os.pathsep.join([FOLDER, os.environ.get(name, ""), FOLDER + "/more"])
    sys.meta_path.insert(0, Finder)
    sys.path_hooks.append(find_nothing)
    logging.getLogger("sgtk").addHandler(HANDLER)
    logging.getLogger("sgtk.grows").setLevel("INFO")
    try:
        import no_such_module
    except ImportError:
        pass
    return counts()

def find_nothing(path):
    raise ImportError(path)
"#;

type Counts = BTreeMap<String, usize>;

const PROJECTS: [&str; 3] = ["project_a", "project_b", "project_d"];

/// The counts that a function of the plugin gives in a lease.
fn in_lease(host: &Host, project: &str, function: &str) -> Counts {
    let call =
        |sgtk: &Bound<'_, PyModule>| sgtk.py().import("grows")?.call_method0(function)?.extract::<Counts>();
    host.with_sgtk(project, call).unwrap()
}

/// The daemon's own.
fn outside() -> Counts {
    let code = std::ffi::CString::new(COUNTS).unwrap();
    Python::attach(|py| {
        let scope = pyo3::types::PyDict::new(py);
        py.run(&code, Some(&scope), None).unwrap();
        scope.get_item("counts").unwrap().unwrap().call0().unwrap().extract().unwrap()
    })
}

fn alone(name: &str, body: impl FnOnce(&dyn Fn() -> Host, &std::path::Path)) {
    let ended = tempfile::NamedTempFile::new().unwrap();
    let prepare = |command: &mut std::process::Command| {
        command.env("GROWTH_ENDED", ended.path());
    };
    isolated_with(name, prepare, || {
        let (configs, plugins) = (bundled().unwrap(), tempfile::tempdir().unwrap());
        fs::write(plugins.path().join("grows.py"), COUNTS.to_owned() + PLUGIN).unwrap();
        let host = || options(&configs).plugin_path(plugins.path()).build().unwrap();
        let words = std::path::PathBuf::from(std::env::var_os("GROWTH_ENDED").unwrap());
        body(&host, &words);
    });
}

#[test]
fn hundreds_of_swaps_leave_all_as_long_as_it_was() {
    alone("growth::hundreds_of_swaps_leave_all_as_long_as_it_was", |host, _| {
        let host = host();
        let mut own: BTreeMap<&str, Counts> = BTreeMap::new();
        let mut daemons = Counts::new();
        for swap in 0..600 {
            let project = PROJECTS[swap % PROJECTS.len()];
            let counts = in_lease(&host, project, "grow");
            match swap {
                0..30 => drop(own.insert(project, in_lease(&host, project, "counts"))),
                30 => daemons = outside(),
                _ if swap % 50 == 0 => {
                    assert_eq!(in_lease(&host, project, "counts"), own[project], "{project}, swap {swap}");
                    assert_eq!(outside(), daemons, "swap {swap}");
                }
                _ => drop(counts),
            }
        }
        Python::attach(|py| assert_eq!(host.audit(py).unwrap(), []));
    });
}

#[test]
fn projects_that_go_and_come_leave_nothing_and_their_callbacks_are_called_at_their_end() {
    alone(
        "growth::projects_that_go_and_come_leave_nothing_and_their_callbacks_are_called_at_their_end",
        |host, words| {
            let host = host();
            let mut daemons = Counts::new();
            for round in 0..15 {
                for project in PROJECTS {
                    in_lease(&host, project, "grow");
                }
                for project in PROJECTS {
                    assert!(Python::attach(|py| host.evict(py, project)).unwrap());
                }
                if round == 3 {
                    daemons = outside();
                }
            }
            assert_eq!(outside(), daemons);
            assert_eq!(fs::read(words).unwrap().len(), 15 * PROJECTS.len(), "one word of each");
        },
    );
}

#[test]
fn garbage_of_dropped_projects_is_collected_before_it_is_an_eighth_of_all_and_not_each_time() {
    isolated(
        "growth::garbage_of_dropped_projects_is_collected_before_it_is_an_eighth_of_all_and_not_each_time",
        || {
            const RESIDENT: usize = 24;
            const DROPPED: usize = 12;
            let configs = Configs::new().unwrap();
            let names: Vec<_> = (0..RESIDENT + DROPPED).map(|number| format!("p{number}")).collect();
            for name in &names {
                configs.attached(name, &Core::newer("v0.24.0")).unwrap();
            }
            let host = options(&configs).max_resident(RESIDENT).build().unwrap();
            let alive = |cores: &Bound<'_, PyList>| {
                cores.iter().filter(|core| !core.call0().unwrap().is_none()).count()
            };
            Python::attach(|py| {
                // Its own collections would be counted with those that are asked for.
                py.import("gc").unwrap().call_method1("set_threshold", (0,)).unwrap();
                let reference = py.import("weakref").unwrap().getattr("ref").unwrap();
                let (cores, mut collections, mut before) = (PyList::empty(py), 0, 0);
                for name in &names {
                    let lease = host.lease(py, name.as_str()).unwrap();
                    cores
                        .append(reference.call1((lease.sgtk().getattr("TankError").unwrap(),)).unwrap())
                        .unwrap();
                    drop(lease);
                    let now = alive(&cores);
                    assert!(now <= RESIDENT + RESIDENT / 8 + 1, "{now} cores are alive");
                    collections += usize::from(now < before);
                    before = now;
                }
                assert!((1..=DROPPED / 2).contains(&collections), "{collections} for {DROPPED} projects");
                assert!(host.evict(py, names.last().unwrap().as_str()).unwrap());
                assert_eq!(alive(&cores), RESIDENT - 1, "what was asked for is collected at once");
            });
        },
    );
}
