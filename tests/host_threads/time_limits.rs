//! Cores that never end their import.

use std::time::Duration;

use pyo3::prelude::*;
use sgtk_host::Error;
use sgtk_host_fixtures::{Broken, Configs, Core, bundled};

use crate::support::{host, options};
use crate::workshop::{alone, eval, get, run, until};

/// All that an import can change, as text that two moments can be compared by.
const STATE: &str = "
import sys, os, logging
state = [repr(part) for part in (sorted(sys.modules), sys.path, sys.meta_path, sys.path_hooks,
    sorted(os.environ.items()), sorted(logging.Logger.manager.loggerDict), sorted(vars(sys)))]
";

/// Leases a project whose core never ends its import, with limits that grow until one is long enough for the
/// import to get to where it sets `fixture_gate.entered`, on this machine and with what else runs there.
/// Returns its error.
fn stopped(configs: &Configs, project: &str) -> Error {
    // The daemon's own module, which cores share.
    Python::attach(|py| run(py, "import fixture_gate", &[]).clear());
    let mut limit = Duration::from_millis(200);
    loop {
        let host = options(configs).import_timeout(Some(limit)).build().unwrap();
        let error = host.with_sgtk(project, |_| Ok(())).unwrap_err();
        assert!(error.to_string().contains(&format!("did not end within {limit:?}")), "{error}");
        if Python::attach(|py| eval::<bool>(py, "__import__('fixture_gate').entered.is_set()", &[])) {
            return error;
        }
        limit *= 2;
    }
}

fn spin(configs: &Configs, project: &str) {
    let commands = Configs::python(&configs.config(project)).join("tank/commands.py");
    std::fs::write(commands, "import fixture_gate\nfixture_gate.entered.set()\nwhile True: pass\n").unwrap();
}

#[test]
fn while_a_core_hangs_in_its_import_others_are_told_which() {
    alone("time_limits::while_a_core_hangs_in_its_import_others_are_told_which", || {
        let configs = bundled().unwrap();
        configs.broken("project_x", Broken::Hangs).unwrap();
        let hanging = options(&configs).build().unwrap();
        let host = options(&configs).lease_timeout(Duration::from_millis(1)).build().unwrap();
        std::thread::scope(|scope| {
            let hangs = scope.spawn(|| {
                hanging.with_sgtk("project_x", |sgtk| sgtk.getattr("__version__")?.extract::<String>())
            });
            Python::attach(|py| {
                let gate = py.import("fixture_gate").unwrap();
                run(py, "gate.entered.wait()", &[("gate", gate.as_any())]);
                match host.lease(py, "project_a").map(drop).unwrap_err() {
                    Error::LeaseTimeout { holder, .. } => assert_eq!(holder, "project_x"),
                    other => panic!("{other}"),
                }
                run(py, "gate.proceed.set()", &[("gate", gate.as_any())]);
            });
            assert_eq!(hangs.join().unwrap().unwrap(), "v0.99.0");
        });
        Python::attach(|py| drop(hanging.lease(py, "project_a").unwrap()));
    });
}

#[test]
fn a_core_that_loops_for_ever_in_its_import_is_stopped_and_undone() {
    alone("time_limits::a_core_that_loops_for_ever_in_its_import_is_stopped_and_undone", || {
        let configs = bundled().unwrap();
        configs.localized("project_x", &Core::newer("v0.99.0")).unwrap();
        spin(&configs, "project_x");
        let host = host(&configs);
        Python::attach(|py| {
            // What an import brings for everybody is there already.
            drop(host.lease(py, "project_a").unwrap());
            py.import("fixture_gate").unwrap();
            run(py, "import gc, traceback", &[]);
            let before: Vec<String> = get(&run(py, STATE, &[]), "state");
            let error = stopped(&configs, "project_x");
            let text = error.to_string();
            assert!(
                matches!(&error, Error::Import { project, cause, .. } if project == "project_x" && cause.is_a("TimeoutError")),
                "{text}"
            );
            assert!(text.contains("commands.py"), "{text}");
            assert_eq!(get::<Vec<String>>(&run(py, STATE, &[]), "state"), before);
            // The interpreter goes on, and the project does once it is repaired.
            assert_eq!(eval::<u64>(py, "sum(range(1000000))", &[]), 499_999_500_000);
            drop(host.lease(py, "project_b").unwrap());
            configs.repair("project_x").unwrap();
            assert_eq!(host.lease(py, "project_x").unwrap().core().version(), Some("v0.99.0"));
        });
    });
}

#[test]
fn a_core_that_loops_does_not_keep_others_from_the_interpreter() {
    alone("time_limits::a_core_that_loops_does_not_keep_others_from_the_interpreter", || {
        let configs = bundled().unwrap();
        configs.localized("project_x", &Core::newer("v0.99.0")).unwrap();
        spin(&configs, "project_x");
        let host = host(&configs);
        std::thread::scope(|scope| {
            let looping = scope.spawn(|| stopped(&configs, "project_x"));
            let other = host.clone();
            let waits = scope.spawn(move || {
                Python::attach(|py| run(py, "import fixture_gate\nfixture_gate.entered.wait()", &[]).clear());
                other.with_sgtk("project_b", |sgtk| sgtk.getattr("__version__")?.extract::<String>()).unwrap()
            });
            assert_eq!(waits.join().unwrap(), "v0.22.5");
            assert!(matches!(looping.join().unwrap(), Error::Import { .. }));
        });
        until("nobody waits", || host.waiting() == 0);
    });
}

#[test]
fn a_core_that_swallows_the_first_interruption_is_interrupted_again() {
    alone("time_limits::a_core_that_swallows_the_first_interruption_is_interrupted_again", || {
        let configs = bundled().unwrap();
        configs.localized("project_x", &Core::newer("v0.99.0")).unwrap();
        let commands = Configs::python(&configs.config("project_x")).join("tank/commands.py");
        // CPython 3.11 takes an interruption at the very beginning of a `try` for one before it.
        let text = "import fixture_gate\ntry:\n    nothing = None\n    while True: pass\nexcept \
                    BaseException:\n    fixture_gate.entered.set()\nwhile True: pass\n";
        std::fs::write(commands, text).unwrap();
        let error = stopped(&configs, "project_x");
        assert!(error.to_string().contains("commands.py"), "{error}");
    });
}

/// What is left of a limit that was not reached, or was reached too late, would have every function that is
/// traced begin again and again, and slow all others down.
#[test]
fn code_is_traced_and_profiled_after_imports_with_a_limit() {
    alone("time_limits::code_is_traced_and_profiled_after_imports_with_a_limit", || {
        let configs = bundled().unwrap();
        let host = options(&configs).import_timeout(Some(Duration::from_secs(3600))).build().unwrap();
        let traced = "
import sys
events = []
def tell(frame, event, argument):
    events.append(event)
    return tell
def function():
    return sum(number for number in range(3))
sys.settrace(tell)
try:
    value = function()
finally:
    sys.settrace(None)
sys.setprofile(tell)
try:
    value += function()
finally:
    sys.setprofile(None)
";
        for project in ["project_a", "project_b", "project_a"] {
            host.with_sgtk(project, |sgtk| {
                let scope = run(sgtk.py(), traced, &[]);
                assert_eq!(get::<i32>(&scope, "value"), 6, "{project}");
                assert!(get::<Vec<String>>(&scope, "events").contains(&"return".to_owned()), "{project}");
                Ok(())
            })
            .unwrap();
        }
        // One that was reached.
        configs.localized("project_x", &Core::newer("v0.24.0")).unwrap();
        spin(&configs, "project_x");
        stopped(&configs, "project_x");
        Python::attach(|py| assert_eq!(get::<i32>(&run(py, traced, &[]), "value"), 6));
    });
}
