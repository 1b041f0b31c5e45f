//! Imports that a project's code runs on another thread, or after the project was parked or dropped.

use std::collections::BTreeMap;

use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;
use pyo3::types::PyCFunction;
use sgtk_host::Host;
use sgtk_host_fixtures::{Configs, bundled};
use tempfile::TempDir;

use crate::support::{host, options};
use crate::workshop::{Dice, alone, eval, get, keep, run};

const ALL: &str = "sgtk.util.late(*sgtk.util.THROUGH_BUILTIN + sgtk.util.AROUND_BUILTIN)";

/// A plugin with ways to import that the core's own `tank.util.late` has not.
fn plugin() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"
import builtins, importlib, sgtk
def without_globals(): return __import__('tank.errors', None, None, ['CORE_VERSION']).CORE_VERSION
def top_level(): return builtins.__import__('sgtk').CORE_VERSION
def keyword_arguments(): return __import__(name='tank.errors', fromlist=('x',), level=0).CORE_VERSION
def dotted():
    import tank.util.survey
    return tank.util.survey.CORE_VERSION
def submodule():
    from tank import errors
    return errors.CORE_VERSION
def star():
    scope = {}
    exec('from tank.errors import *', scope)
    return scope['TankError'].core_version
def plainly_executed():
    scope = {}
    exec('import sgtk', scope)
    return scope['sgtk'].CORE_VERSION
def through_importlib(): return importlib.import_module('tank.errors').CORE_VERSION
def by_relative_name(): return importlib.import_module('.errors', 'tank').CORE_VERSION
def by_letters(): return __import__('tank.errors', globals(), None, 'CORE_VERSION').CORE_VERSION
def by_a_set(): return __import__('tank.errors', globals(), None, {'x'}).CORE_VERSION
def library():
    import yaml
    return yaml.CORE_VERSION
def part_of_a_library():
    from yaml.loader import CORE_VERSION as version
    return version
def standard():
    import wave, json.tool
    from xml.etree import ElementTree
    return wave.__name__ + json.tool.__name__ + ElementTree.__name__
def of_the_daemon():
    import fixture_gate
    return fixture_gate.__name__
def nowhere():
    import tank.nowhere
def no_such_name():
    from tank.errors import nothing_like_it
"#;
    std::fs::write(folder.path().join("forms.py"), text).unwrap();
    folder
}

const FORMS: [&str; 9] = [
    "without_globals",
    "top_level",
    "keyword_arguments",
    "dotted",
    "submodule",
    "star",
    "plainly_executed",
    "through_importlib",
    "by_relative_name",
];

fn with_plugin(configs: &Configs) -> (Host, TempDir) {
    let plugin = plugin();
    (options(configs).plugin_path(plugin.path()).build().unwrap(), plugin)
}

fn call<'py>(py: Python<'py>, function: &Py<PyAny>) -> PyResult<Bound<'py, PyAny>> {
    function.bind(py).call0()
}

/// What a function returns, as text; or the type and text of what it raises.
fn outcome(py: Python<'_>, function: &Py<PyAny>) -> String {
    match call(py, function) {
        Ok(value) => value.to_string(),
        Err(error) => format!("{}: {}", error.get_type(py).name().unwrap(), error.value(py)),
    }
}

fn refuses(py: Python<'_>, function: &Py<PyAny>, project: &str) {
    let error = call(py, function).unwrap_err();
    assert!(error.is_instance_of::<PyImportError>(py), "{error}");
    assert!(error.to_string().contains(&format!("'{project}'")), "{error}");
}

#[test]
fn code_of_a_parked_project_gets_its_own_modules_loaded_or_not() {
    alone("late_imports::code_of_a_parked_project_gets_its_own_modules_loaded_or_not", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let all = [("project_a", "v0.24.0"), ("project_b", "v0.22.5"), ("project_c", "v0.20.35")]
            .map(|(project, version)| (keep(&host, project, &format!("lambda: {ALL}")), version));
        for _ in 0..2 {
            for (late, version) in &all {
                Python::attach(|py| {
                    let got: BTreeMap<String, String> = call(py, late).unwrap().extract().unwrap();
                    assert!(got.values().all(|got| got == version), "{version}: {got:?}");
                });
            }
        }
        Python::attach(|py| {
            assert_eq!(
                eval::<Vec<String>>(
                    py,
                    "[n for n in __import__('sys').modules if n.startswith('tank.')]",
                    &[]
                ),
                [""; 0]
            );
            assert_eq!(host.audit(py).unwrap(), []);
        });
    });
}

#[test]
fn every_form_of_import_gets_the_own_module_while_another_project_is_in_place() {
    alone("late_imports::every_form_of_import_gets_the_own_module_while_another_project_is_in_place", || {
        let configs = bundled().unwrap();
        let (host, _plugin) = with_plugin(&configs);
        for (project, version, other) in [
            ("project_a", "v0.24.0", "project_b"),
            ("project_b", "v0.22.5", "project_a"),
            ("project_d", "v0.23.8", "project_a"),
        ] {
            let forms = keep(&host, project, "__import__('forms')");
            Python::attach(|py| {
                let _lease = host.lease(py, other).unwrap();
                for form in FORMS {
                    let got: String = forms.bind(py).call_method0(form).unwrap().extract().unwrap();
                    assert_eq!(got, version, "{form} of {project}");
                }
            });
        }
    });
}

#[test]
fn what_is_not_loaded_cannot_be_imported_on_a_thread_that_holds_another_project() {
    alone(
        "late_imports::what_is_not_loaded_cannot_be_imported_on_a_thread_that_holds_another_project",
        || {
            let configs = bundled().unwrap();
            let host = host(&configs);
            let (loaded, missing, by_importlib) = (
                keep(&host, "project_a", "sgtk.util.late.__globals__['the_core']"),
                keep(&host, "project_a", "sgtk.util.late.__globals__['from_absolute']"),
                keep(&host, "project_a", "sgtk.util.late.__globals__['by_importlib']"),
            );
            Python::attach(|py| {
                let lease = host.lease(py, "project_b").unwrap();
                assert_eq!(outcome(py, &loaded), "v0.24.0");
                refuses(py, &missing, "project_a");
                refuses(py, &by_importlib, "project_a");
                drop(lease);
                assert_eq!(outcome(py, &missing), "v0.24.0");
                let _lease = host.lease(py, "project_b").unwrap();
                assert_eq!(outcome(py, &missing), "v0.24.0", "it is loaded now");
            });
        },
    );
}

#[test]
fn a_background_thread_waits_for_its_project_s_turn_to_load_a_module() {
    alone("late_imports::a_background_thread_waits_for_its_project_s_turn_to_load_a_module", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let missing = keep(&host, "project_a", "sgtk.util.late.__globals__['nested']");
        Python::attach(|py| {
            let lease = host.lease(py, "project_b").unwrap();
            let scope = run(
                py,
                "
import threading
got = []
thread = threading.Thread(target=lambda: got.append(missing()))
thread.start()
",
                &[("missing", missing.bind(py))],
            );
            py.detach(|| crate::workshop::until("the import is queued", || host.waiting() == 1));
            assert_eq!(get::<Vec<String>>(&scope, "got"), [""; 0]);
            drop(lease);
            run(py, "thread.join()", &[("thread", &scope.get_item("thread").unwrap().unwrap())]);
            assert_eq!(get::<Vec<String>>(&scope, "got"), ["v0.24.0"]);
        });
    });
}

#[test]
fn a_late_import_that_gets_no_turn_in_time_is_an_error_that_names_both_projects() {
    alone(
        "late_imports::a_late_import_that_gets_no_turn_in_time_is_an_error_that_names_both_projects",
        || {
            let configs = bundled().unwrap();
            let host = options(&configs).build().unwrap();
            sgtk_host::set_late_import_timeout(std::time::Duration::from_millis(1));
            let missing = keep(&host, "project_a", "sgtk.util.late.__globals__['nested']");
            Python::attach(|py| {
                let _lease = host.lease(py, "project_b").unwrap();
                let text: String = eval(
                    py,
                    "__import__('concurrent.futures').futures.ThreadPoolExecutor(1).submit(missing).exception().msg",
                    &[("missing", missing.bind(py))],
                );
                assert!(text.contains("'project_a'") && text.contains("'project_b' is in place"), "{text}");
            });
        },
    );
}

#[test]
fn a_dropped_core_s_code_gets_its_own_modules_or_an_error_that_names_the_project() {
    alone(
        "late_imports::a_dropped_core_s_code_gets_its_own_modules_or_an_error_that_names_the_project",
        || {
            let configs = bundled().unwrap();
            let (host, _plugin) = with_plugin(&configs);
            let late = keep(&host, "project_a", "sgtk.util.late.__globals__['from_absolute']");
            let forms = keep(&host, "project_a", "__import__('forms')");
            Python::attach(|py| {
                assert!(host.evict(py, "project_a").unwrap());
                refuses(py, &late, "project_a");
                // Also while the project's new core is in place, on a thread that holds it.
                let lease = host.lease(py, "project_a").unwrap();
                refuses(py, &late, "project_a");
                for form in FORMS {
                    let got: Bound<'_, PyAny> = forms.bind(py).call_method0(form).unwrap();
                    assert_eq!(got.to_string(), "v0.24.0", "{form}");
                }
                let old: Bound<'_, PyAny> =
                    eval(py, "f.top_level.__globals__['sgtk']", &[("f", forms.bind(py))]);
                let again: Bound<'_, PyAny> =
                    eval(py, "f.__builtins__['__import__']('sgtk', f.__dict__)", &[("f", forms.bind(py))]);
                assert!(old.is(&again), "its own, which is still alive");
                assert!(!again.is(lease.sgtk()), "and not the new core's");
            });
        },
    );
}

#[test]
fn a_core_of_the_recipe_s_that_was_dropped_keeps_to_itself() {
    alone("late_imports::a_core_of_the_recipe_s_that_was_dropped_keeps_to_itself", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let first = host.import_sgtk("project_a").unwrap();
        host.import_sgtk("project_b").unwrap();
        Python::attach(|py| {
            let names = [("sgtk", first.bind(py).as_any())];
            assert_eq!(eval::<String>(py, "sgtk.util.late('the_core')['the_core']", &names), "v0.24.0");
            let missing = first.bind(py).getattr("util").unwrap().getattr("late").unwrap();
            let missing: Bound<'_, PyAny> =
                eval(py, "late.__globals__['from_absolute']", &[("late", &missing)]);
            refuses(py, &missing.unbind(), "project_a");
            assert_eq!(eval::<String>(py, "__import__('sgtk').__version__", &[]), "v0.22.5");
        });
        // The one in place imports late at will, also from other threads.
        Python::attach(|py| {
            let got: Vec<String> = eval(
                py,
                "list(__import__('concurrent.futures').futures.ThreadPoolExecutor(1).submit(__import__('sgtk').util.late).result().values())",
                &[],
            );
            assert!(got.iter().all(|got| got == "v0.22.5"), "{got:?}");
        });
        assert!(host.forget_sgtk().unwrap());
        Python::attach(|py| assert!(eval::<bool>(py, "'sgtk' not in __import__('sys').modules", &[])));
    });
}

#[test]
fn libraries_that_several_have_are_the_caller_s_own_or_the_daemon_s() {
    alone("late_imports::libraries_that_several_have_are_the_caller_s_own_or_the_daemon_s", || {
        let configs = bundled().unwrap();
        let (host, _plugin) = with_plugin(&configs);
        Python::attach(|py| run(py, "import yaml, yaml.loader", &[]).clear());
        let [newer, older] =
            ["project_a", "project_b"].map(|project| keep(&host, project, "__import__('forms')"));
        for in_place in [None, Some("project_a"), Some("project_b"), Some("project_d")] {
            Python::attach(|py| {
                let _lease = in_place.map(|project| host.lease(py, project).unwrap());
                let got =
                    |forms: &Py<PyAny>, form: &str| forms.bind(py).call_method0(form).unwrap().to_string();
                for form in ["library", "part_of_a_library"] {
                    assert_eq!(got(&newer, form), "v0.24.0", "{form} with {in_place:?} in place");
                    assert_eq!(got(&older, form), "host", "{form} with {in_place:?} in place");
                }
            });
        }
    });
}

#[test]
fn the_standard_library_and_the_daemon_s_packages_are_everybody_s() {
    alone("late_imports::the_standard_library_and_the_daemon_s_packages_are_everybody_s", || {
        let configs = bundled().unwrap();
        let (host, _plugin) = with_plugin(&configs);
        let forms = keep(&host, "project_a", "__import__('forms')");
        Python::attach(|py| {
            let lease = host.lease(py, "project_b").unwrap();
            let got = |form: &str| outcome(py, &forms.getattr(py, form).unwrap());
            // Loaded nowhere so far, and the way to it is everybody's: but this thread holds the interpreter
            // for another.
            assert!(got("of_the_daemon").contains("'project_a'"), "{}", got("of_the_daemon"));
            drop(lease);
            assert_eq!(got("standard"), "wavejson.toolxml.etree.ElementTree");
            assert_eq!(got("of_the_daemon"), "fixture_gate");
            let shared = "{'wave', 'fixture_gate'} <= set(__import__('sys').modules)";
            assert!(eval::<bool>(py, shared, &[]), "shared with the daemon");
            let _lease = host.lease(py, "project_b").unwrap();
            assert_eq!(got("standard"), "wavejson.toolxml.etree.ElementTree");
            assert_eq!(got("of_the_daemon"), "fixture_gate");
        });
        let error = |form: &str| Python::attach(|py| outcome(py, &forms.getattr(py, form).unwrap()));
        assert!(error("nowhere").contains("No module named 'tank.nowhere'"), "{}", error("nowhere"));
        assert!(
            error("no_such_name").contains("cannot import name 'nothing_like_it'"),
            "{}",
            error("no_such_name")
        );
    });
}

#[test]
fn the_daemon_s_threads_see_its_own_library_while_a_project_hides_it() {
    alone("late_imports::the_daemon_s_threads_see_its_own_library_while_a_project_hides_it", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        Python::attach(|py| {
            run(py, "import yaml", &[]);
            let _lease = host.lease(py, "project_a").unwrap();
            let scope = run(
                py,
                "
import threading
got = []
def daemon():
    import yaml, importlib
    from yaml.loader import CORE_VERSION as part
    got.extend([yaml.CORE_VERSION, part, importlib.import_module('yaml').CORE_VERSION])
thread = threading.Thread(target=daemon)
thread.start()
thread.join()
import yaml
here = yaml.CORE_VERSION
",
                &[],
            );
            assert_eq!(get::<Vec<String>>(&scope, "got"), ["host"; 3]);
            assert_eq!(
                get::<String>(&scope, "here"),
                "v0.24.0",
                "the thread that holds the lease sees the project's"
            );
        });
    });
}

#[test]
fn a_thread_that_a_module_starts_while_it_is_being_loaded_belongs_to_the_project() {
    alone(
        "late_imports::a_thread_that_a_module_starts_while_it_is_being_loaded_belongs_to_the_project",
        || {
            let configs = bundled().unwrap();
            let folder = tempfile::tempdir().unwrap();
            let text = "
import threading
seen = []
def look():
    import yaml
    seen.append(yaml.CORE_VERSION)
thread = threading.Thread(target=look)
thread.start()
thread.join()
";
            std::fs::write(folder.path().join("starts_a_thread.py"), text).unwrap();
            let host = options(&configs).plugin_path(folder.path()).build().unwrap();
            Python::attach(|py| run(py, "import yaml", &[]).clear());
            let seen = keep(&host, "project_a", "__import__('starts_a_thread').seen");
            Python::attach(|py| assert_eq!(seen.extract::<Vec<String>>(py).unwrap(), ["v0.24.0"]));
        },
    );
}

#[test]
fn thousands_of_late_imports_during_continuous_swapping_are_all_right() {
    alone("late_imports::thousands_of_late_imports_during_continuous_swapping_are_all_right", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let projects = ["project_a", "project_b", "project_d", "project_c"];
        Python::attach(|py| {
            let scope = run(
                py,
                "
import sys, threading
wrong, counts, threads, enough = [], [], [], threading.Event()
def work(util, version):
    count = 0
    while count < 3000 or not enough.is_set():
        got = util.late()
        wrong.extend(item for item in got.items() if item[1] != version)
        count += len(got)
    counts.append(count)
",
                &[],
            );
            for project in projects {
                let lease = host.lease(py, project).unwrap();
                run(
                    py,
                    "
thread = all['threading'].Thread(target=all['work'], args=(sgtk.util, sgtk.__version__))
all['threads'].append(thread)
",
                    &[("all", scope.as_any()), ("sgtk", lease.sgtk().as_any())],
                );
            }
            run(py, "for thread in all['threads']: thread.start()", &[("all", scope.as_any())]);
            let mut dice = Dice::new(7);
            let mut swaps = 0;
            while eval::<bool>(
                py,
                "any(thread.is_alive() for thread in all['threads'])",
                &[("all", scope.as_any())],
            ) {
                let lease = host.lease(py, projects[dice.throw(4)]).unwrap();
                py.detach(std::thread::yield_now);
                drop(lease);
                swaps += 1;
                if swaps == 100 {
                    run(py, "all['enough'].set()", &[("all", scope.as_any())]);
                }
            }
            assert_eq!(get::<Vec<(String, String)>>(&scope, "wrong"), []);
            let counts = get::<Vec<usize>>(&scope, "counts");
            assert!(counts.len() == 4 && counts.iter().sum::<usize>() >= 12_000, "{counts:?}");
            assert!(swaps >= 100);
            assert_eq!(host.audit(py).unwrap(), []);
        });
    });
}

#[test]
fn a_hook_that_a_parked_project_s_code_loads_by_hand_is_that_project_s() {
    alone("late_imports::a_hook_that_a_parked_project_s_code_loads_by_hand_is_that_project_s", || {
        let configs = bundled().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let text = "
import sgtk
at_first = sgtk.CORE_VERSION
def later():
    import tank.late_a
    return tank.late_a.CORE_VERSION
";
        let hook = folder.path().join("hook.py");
        std::fs::write(&hook, text).unwrap();
        let host = host(&configs);
        let load = keep(&host, "project_a", "__import__('tank.util.loader').util.loader.load_source");
        Python::attach(|py| {
            let names =
                [("load", load.bind(py)), ("path", hook.as_os_str().into_pyobject(py).unwrap().as_any())]
                    .map(|(name, value)| (name, value.clone()));
            let names = names.each_ref().map(|(name, value)| (*name, value));
            let lease = host.lease(py, "project_b").unwrap();
            // On the thread that holds the other project, and on one that holds none.
            let scope = run(
                py,
                "
import threading
hooks = [load(path)]
thread = threading.Thread(target=lambda: hooks.append(load(path)))
thread.start()
thread.join()
first = [hook.at_first for hook in hooks]
",
                &names,
            );
            assert_eq!(get::<Vec<String>>(&scope, "first"), ["v0.24.0", "v0.24.0"]);
            drop(lease);
            assert_eq!(host.audit(py).unwrap(), []);
            let hooks = get::<Bound<'_, PyAny>>(&scope, "hooks");
            assert_eq!(
                eval::<Vec<String>>(py, "[hook.later() for hook in hooks]", &[("hooks", &hooks)]),
                ["v0.24.0", "v0.24.0"]
            );
        });
    });
}

#[test]
fn what_a_callback_leases_is_what_its_code_gets_whoever_has_called_it() {
    alone("late_imports::what_a_callback_leases_is_what_its_code_gets_whoever_has_called_it", || {
        let configs = bundled().unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("calls.py"), "def call(function): return function()\n").unwrap();
        let host = options(&configs).plugin_path(folder.path()).build().unwrap();
        let call = keep(&host, "project_a", "__import__('calls').call");
        let leasing = host.clone();
        Python::attach(|py| {
            let callback = PyCFunction::new_closure(py, None, None, move |args, _| {
                let lease = leasing.lease(args.py(), "project_b").unwrap();
                let scope = run(args.py(), "import sgtk; version = sgtk.CORE_VERSION", &[]);
                drop(lease);
                get::<String>(&scope, "version")
            })
            .unwrap();
            let version: String = call.call1(py, (callback,)).unwrap().extract(py).unwrap();
            assert_eq!(version, "v0.22.5");
        });
    });
}

#[test]
fn a_module_that_a_project_has_forbidden_cannot_be_imported_late() {
    alone("late_imports::a_module_that_a_project_has_forbidden_cannot_be_imported_late", || {
        let configs = bundled().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let text = "
import sys
sys.modules['tank.forbidden'] = None
def late():
    import tank.forbidden
";
        std::fs::write(folder.path().join("forbids.py"), text).unwrap();
        let host = options(&configs).plugin_path(folder.path()).build().unwrap();
        let late = keep(&host, "project_a", "__import__('forbids').late");
        Python::attach(|py| {
            let error = late.call0(py).unwrap_err();
            assert!(error.is_instance_of::<PyImportError>(py), "{error}");
        });
    });
}

#[test]
fn what_the_daemon_let_go_of_between_leases_may_import_while_it_dies() {
    alone("late_imports::what_the_daemon_let_go_of_between_leases_may_import_while_it_dies", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        Python::attach(|py| {
            let scope = run(
                py,
                "
import sys, types
said = []
class Farewell:
    def __del__(self):
        import json
        said.append(json.__name__)
sys.modules['daemons_own'] = types.ModuleType('daemons_own')
sys.modules['daemons_own'].object = Farewell()
",
                &[],
            );
            for project in ["project_a", "project_b"] {
                drop(host.lease(py, project).unwrap());
            }
            run(py, "import sys; del sys.modules['daemons_own']", &[]).clear();
            for project in ["project_a", "project_b"] {
                drop(host.lease(py, project).unwrap());
            }
            assert_eq!(get::<Vec<String>>(&scope, "said"), ["json"]);
        });
    });
}

#[test]
fn the_recipe_s_core_is_what_the_daemon_s_import_gives_whatever_it_had_before() {
    alone("late_imports::the_recipe_s_core_is_what_the_daemon_s_import_gives_whatever_it_had_before", || {
        let configs = bundled().unwrap();
        let own = Configs::python(&configs.config("project_d"));
        Python::attach(|py| {
            let own = own.to_str().unwrap().into_pyobject(py).unwrap().into_any();
            run(py, "import sys; sys.path.insert(0, own); import sgtk", &[("own", &own)]).clear();
        });
        let host = host(&configs);
        host.import_sgtk("project_a").unwrap();
        Python::attach(|py| {
            let scope = run(py, "import sgtk; version = sgtk.CORE_VERSION", &[]);
            assert_eq!(get::<String>(&scope, "version"), "v0.24.0");
            // What the daemon changes then, projects that were leased before see too.
            drop(host.lease(py, "project_b").unwrap());
            run(py, "import sys; sys.path.append('/daemons/new')", &[]).clear();
            let lease = host.lease(py, "project_b").unwrap();
            assert!(eval::<bool>(py, "'/daemons/new' in __import__('sys').path", &[]));
            drop(lease);
        });
    });
}
