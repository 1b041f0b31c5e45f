//! Garbage with destructors that import and that lease, while the collector runs at every allocation.

use pyo3::prelude::*;
use pyo3::types::PyCFunction;
use sgtk_host_fixtures::bundled;

use crate::support::host;
use crate::workshop::{alone, get, run};

#[test]
fn destructors_that_import_and_lease_never_see_a_half_swapped_state() {
    alone("collector::destructors_that_import_and_lease_never_see_a_half_swapped_state", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let leasing = host.clone();
        Python::attach(|py| {
            run(py, "import yaml", &[]);
            let lease = move |args: &Bound<'_, pyo3::types::PyTuple>,
                              _: Option<&Bound<'_, pyo3::types::PyDict>>| {
                match leasing.lease(args.py(), "project_c") {
                    Ok(lease) => lease.getattr("__version__")?.extract::<String>(),
                    Err(error) => Ok(error.to_string()),
                }
            };
            let lease = PyCFunction::new_closure(py, None, None, lease).unwrap();
            let scope = run(
                py,
                "
import gc, sys
wrong, told = [], []
def tell(own, loaded):
    told.append(loaded)
    # What is visible is of one core, or there is none.
    seen = {name: vars(module).get('CORE_VERSION') for name, module in sys.modules.copy().items()
        if name.split('.')[0] in ('tank', 'sgtk') and hasattr(module, '__dict__')}
    if set(seen.values()) - {loaded}:
        wrong.append((own, loaded, str(seen)))
    if bool(loaded) != ('sgtk' in sys.modules):
        wrong.append((own, loaded, 'tank without sgtk'))
class Cycle:
    def __init__(self, util):
        self.me, self.util = self, util
    def __del__(self):
        try:
            got = set(self.util.late().values())
            if got != {self.util.CORE_VERSION}:
                wrong.append((self.util.CORE_VERSION, None, str(got)))
        except ImportError as error:
            told.append(str(error))
        answer = lease()
        if answer != 'v0.20.35' and 'project_c' not in answer:
            wrong.append((self.util.CORE_VERSION, None, answer))
def litter(util):
    farewell = util.Farewell(tell)
    farewell.me = farewell
    Cycle(util)
",
                &[("lease", lease.as_any())],
            );
            run(py, "import gc; gc.set_threshold(1, 1, 1)", &[]);
            let mut last: Option<Py<PyAny>> = None;
            for round in 0..60 {
                let project = ["project_a", "project_b", "project_d"][round % 3];
                if let Some(util) = last.take() {
                    let names = [("all", scope.as_any()), ("util", util.bind(py))];
                    run(py, "import gc; gc.disable(); all['litter'](util); gc.enable()", &names);
                }
                let lease = host.lease(py, project).unwrap();
                last = Some(lease.getattr("util").unwrap().unbind());
                run(
                    py,
                    "
import gc
# Goes with the modules that replace it: letting go of it runs code.
import sys
sys.modules['tank.litter'] = sgtk.util.Farewell(all['tell'])
sys.modules.pop('tank.litter')
gc.disable()
all['litter'](sgtk.util)
# Whoever allocates next collects it: the host, in the middle of parking.
gc.enable()
",
                    &[("all", scope.as_any()), ("sgtk", lease.sgtk().as_any())],
                );
                drop(lease);
            }
            run(py, "import gc; gc.set_threshold(700, 10, 10); gc.collect()", &[]);
            assert_eq!(get::<Vec<(String, Option<String>, String)>>(&scope, "wrong"), []);
            assert!(get::<Vec<Option<String>>>(&scope, "told").len() >= 60);
            assert_eq!(host.audit(py).unwrap(), []);
        });
    });
}

#[test]
fn what_detached_threads_let_go_of_is_not_destroyed_in_the_middle_of_a_swap() {
    alone("collector::what_detached_threads_let_go_of_is_not_destroyed_in_the_middle_of_a_swap", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        Python::attach(|py| {
            let scope = run(
                py,
                "
import sys
wrong, told = [], []
def tell(own, loaded):
    import json, wave
    told.append(loaded)
    if bool(loaded) != ('sgtk' in sys.modules) or bool(loaded) != ('TANK_CURRENT_PC' in __import__('os').environ):
        wrong.append((own, loaded))
",
                &[],
            );
            for round in 0..40 {
                let project = ["project_a", "project_b"][round % 2];
                let lease = host.lease(py, project).unwrap();
                let names = [("sgtk", lease.sgtk().as_any()), ("all", scope.as_any())];
                let farewell = run(py, "last = sgtk.util.Farewell(all['tell'])", &names)
                    .get_item("last")
                    .unwrap()
                    .unwrap();
                let farewell = farewell.unbind();
                // Let go of by a thread that is not attached: whoever attaches next destroys it.
                std::thread::spawn(move || drop(farewell)).join().unwrap();
                drop(lease);
            }
            Python::attach(|py| run(py, "pass", &[]).clear());
            assert_eq!(get::<Vec<(String, String)>>(&scope, "wrong"), []);
            assert_eq!(get::<Vec<Option<String>>>(&scope, "told").len(), 40);
        });
    });
}
