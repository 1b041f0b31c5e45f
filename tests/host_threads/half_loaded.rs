//! Modules that another thread is still importing when the last lease ends.

use std::time::Duration;

use pyo3::prelude::*;
use sgtk_host::Host;
use sgtk_host_fixtures::{Configs, Core, bundled};

use crate::support::{host, options};
use crate::workshop::{alone, eval, get, run};

/// Leases the project, has a thread of the daemon's import a module that waits at `fixture_gate`, and ends
/// the lease meanwhile on a thread of its own.
fn ends_while_loading(host: &Host, project: &str, module: &str) {
    let impatient_error = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            Python::attach(|py| {
                let lease = host.lease(py, project).unwrap();
                let code = format!(
                    "
import threading, importlib, fixture_gate
got = []
def load():
    got.append(__import__({module:?}, globals(), None, ['CORE_VERSION']).CORE_VERSION)
thread = threading.Thread(target=load)
thread.start()
fixture_gate.entered.wait()
"
                );
                let loading = run(py, &code, &[]).unbind();
                drop(lease);
                loading
            })
        });
        // The lease cannot have ended: nobody else gets a turn.
        Python::attach(|py| run(py, "import fixture_gate\nfixture_gate.entered.wait()", &[]).clear());
        let impatient = host.with_sgtk("project_b", |_| Ok(())).unwrap_err();
        Python::attach(|py| run(py, "import fixture_gate\nfixture_gate.proceed.set()", &[]).clear());
        let loading = thread.join().unwrap();
        Python::attach(|py| {
            let version = host.configs().locate(project).unwrap().version().unwrap().to_owned();
            let loading = loading.bind(py);
            run(py, "thread.join()", &[("thread", &loading.get_item("thread").unwrap().unwrap())]);
            assert_eq!(get::<Vec<String>>(loading, "got"), [version]);
            let gone = format!("{module:?} not in __import__('sys').modules");
            assert!(eval::<bool>(py, &gone, &[]), "it was parked with its project");
            let _lease = host.lease(py, project).unwrap();
            let back = format!("{module:?} in __import__('sys').modules");
            assert!(eval::<bool>(py, &back, &[]), "and comes back with it");
        });
        impatient
    });
    assert!(impatient_error.to_string().contains(&format!("'{project}' is in place")), "{impatient_error}");
}

fn impatient(configs: &Configs) -> Host {
    options(configs).lease_timeout(Duration::from_millis(20)).build().unwrap()
}

#[test]
fn a_module_that_another_thread_is_loading_is_waited_for() {
    alone("half_loaded::a_module_that_another_thread_is_loading_is_waited_for", || {
        let configs = bundled().unwrap();
        ends_while_loading(&impatient(&configs), "project_a", "tank.late_gated");
    });
}

#[test]
fn a_module_from_a_zip_that_another_thread_is_loading_is_waited_for() {
    alone("half_loaded::a_module_from_a_zip_that_another_thread_is_loading_is_waited_for", || {
        let configs = bundled().unwrap();
        configs.localized("project_z", &Core::newer("v0.24.1")).unwrap();
        let host = impatient(&configs);
        let zip = configs.config("project_z").join("install/core/requirements/any/flow_data_sdk.zip");
        Python::attach(|py| {
            let zip = zip.to_str().unwrap().into_pyobject(py).unwrap();
            run(
                py,
                "
import zipfile
with zipfile.ZipFile(path, 'a') as archive:
    archive.writestr('flow_data_sdk/gated.py', '''
import fixture_gate
fixture_gate.entered.set()
fixture_gate.proceed.wait()
CORE_VERSION = \"v0.24.1\"
''')
",
                &[("path", zip.as_any())],
            );
        });
        ends_while_loading(&host, "project_z", "flow_data_sdk.gated");
    });
}

#[test]
fn a_late_import_keeps_its_project_in_place_until_the_module_is_loaded() {
    alone("half_loaded::a_late_import_keeps_its_project_in_place_until_the_module_is_loaded", || {
        let configs = bundled().unwrap();
        let (patient, host) = (host(&configs), impatient(&configs));
        Python::attach(|py| {
            let lease = patient.lease(py, "project_a").unwrap();
            let scope = run(
                py,
                "
import threading, fixture_gate
got = []
thread = threading.Thread(target=lambda: got.append(sgtk.util.late('gated')))
thread.start()
fixture_gate.entered.wait()
",
                &[("sgtk", lease.sgtk().as_any())],
            );
            drop(lease);
            let error = host.lease(py, "project_b").map(drop).unwrap_err();
            assert!(error.to_string().contains("'project_a' is in place"), "{error}");
            run(
                py,
                "import fixture_gate\nfixture_gate.proceed.set()\nthread.join()",
                &[("thread", &scope.get_item("thread").unwrap().unwrap())],
            );
            assert_eq!(
                eval::<String>(py, "got[0]['gated']", &[("got", &scope.get_item("got").unwrap().unwrap())]),
                "v0.24.0"
            );
            drop(patient.lease(py, "project_b").unwrap());
        });
    });
}
