//! Leases inside leases, and inside Python code that leases called.

use pyo3::prelude::*;
use pyo3::types::PyCFunction;
use sgtk_host::{Error, Host};
use sgtk_host_fixtures::bundled;

use crate::support::{host, options};
use crate::workshop::{alone, eval, run};

/// A Python function that leases a project and gives the version of its core, or the error's text.
fn leasing(py: Python<'_>, host: &Host) -> Py<PyAny> {
    let host = host.clone();
    let lease = move |args: &Bound<'_, pyo3::types::PyTuple>, _: Option<&Bound<'_, pyo3::types::PyDict>>| {
        let py = args.py();
        let project: String = args.get_item(0)?.extract()?;
        match host.lease(py, &project) {
            Ok(lease) => lease.getattr("__version__")?.extract::<String>(),
            Err(error) => Ok(error.to_string()),
        }
    };
    PyCFunction::new_closure(py, None, None, lease).unwrap().into_any().unbind()
}

#[test]
fn a_thread_may_lease_the_project_that_it_holds_again() {
    alone("nested::a_thread_may_lease_the_project_that_it_holds_again", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        Python::attach(|py| {
            let outer = host.lease(py, "project_a").unwrap();
            let inner = host.lease(py, "project_a").unwrap();
            assert!(inner.is(outer.sgtk()));
            // In any order: the project stays until both have ended.
            drop(outer);
            assert_eq!(eval::<String>(py, "__import__('sgtk').__version__", &[]), "v0.24.0");
            drop(inner);
            assert!(eval::<bool>(py, "'sgtk' not in __import__('sys').modules", &[]));
        });
    });
}

#[test]
fn a_thread_may_lease_its_project_again_past_those_who_wait() {
    alone("nested::a_thread_may_lease_its_project_again_past_those_who_wait", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        std::thread::scope(|scope| {
            Python::attach(|py| {
                let outer = host.lease(py, "project_a").unwrap();
                let other = host.clone();
                scope.spawn(move || other.with_sgtk("project_b", |_| Ok(())).unwrap());
                py.detach(|| crate::workshop::until("it is queued", || host.waiting() == 1));
                let inner = host.lease(py, "project_a").unwrap();
                drop((inner, outer));
            });
        });
    });
}

#[test]
fn leasing_another_project_inside_a_lease_is_an_error_that_names_both() {
    alone("nested::leasing_another_project_inside_a_lease_is_an_error_that_names_both", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        Python::attach(|py| {
            let lease = host.lease(py, "project_a").unwrap();
            for error in [
                host.lease(py, "project_b").map(drop).unwrap_err(),
                host.evict(py, "project_b").map(drop).unwrap_err(),
                host.import_sgtk("project_b").map(drop).unwrap_err(),
            ] {
                match &error {
                    Error::NestedLease { project, held } => {
                        assert_eq!((project.as_str(), held.as_str()), ("project_b", "project_a"));
                    }
                    other => panic!("{other}"),
                }
            }
            assert_eq!(eval::<String>(py, "__import__('sgtk').__version__", &[]), "v0.24.0");
            drop(lease);
            host.lease(py, "project_b").unwrap().finish().unwrap();
        });
    });
}

#[test]
fn python_code_inside_a_lease_may_call_back_for_the_same_project_only() {
    alone("nested::python_code_inside_a_lease_may_call_back_for_the_same_project_only", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        Python::attach(|py| {
            let lease = leasing(py, &host);
            let _held = host.lease(py, "project_a").unwrap();
            let names = [("lease", lease.bind(py))];
            assert_eq!(eval::<String>(py, "lease('project_a')", &names), "v0.24.0");
            let error: String = eval(py, "lease('project_b')", &names);
            assert!(error.contains("'project_b'") && error.contains("'project_a'"), "{error}");
        });
    });
}

#[test]
fn code_of_a_parked_project_may_call_back_for_any_project() {
    alone("nested::code_of_a_parked_project_may_call_back_for_any_project", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        Python::attach(|py| {
            run(py, "import yaml", &[]);
            let held = host.lease(py, "project_a").unwrap();
            let lease = leasing(py, &host);
            // A function of the project's own module, so that its frame is the one that calls.
            let scope = run(
                py,
                "exec('def through(call, project): return call(project)', sgtk.util.__dict__)\nthrough = \
                 sgtk.util.through",
                &[("sgtk", held.sgtk().as_any())],
            );
            drop(held);
            let through = scope.get_item("through").unwrap().unwrap();
            for (project, version) in
                [("project_b", "v0.22.5"), ("project_a", "v0.24.0"), ("project_d", "v0.23.8")]
            {
                let got: String = through.call1((&lease, project)).unwrap().extract().unwrap();
                assert_eq!(got, version);
            }
        });
    });
}

#[test]
fn a_lease_that_gets_no_turn_in_time_names_the_holder() {
    alone("nested::a_lease_that_gets_no_turn_in_time_names_the_holder", || {
        let configs = bundled().unwrap();
        let host = options(&configs).lease_timeout(std::time::Duration::from_millis(1)).build().unwrap();
        Python::attach(|py| {
            let _lease = host.lease(py, "project_a").unwrap();
            let error = py.detach(|| {
                let other = host.clone();
                std::thread::spawn(move || other.with_sgtk("project_b", |_| Ok(())).unwrap_err())
                    .join()
                    .unwrap()
            });
            match error {
                Error::LeaseTimeout { project, holder, .. } => {
                    assert_eq!((project.as_str(), holder.as_str()), ("project_b", "project_a"));
                }
                other => panic!("{other}"),
            }
        });
    });
}
