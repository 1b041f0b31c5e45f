//! A studio's own test file: several tests, on several threads of one process, each with its own project's
//! core.
//!
//! The first part is what `docs/test-harnesses.md` shows. The last test is of what such a file gets where it
//! uses [`import_sgtk`](sgtk_host::Host::import_sgtk) instead; it has a process of its own, as that is in
//! place for the whole one.

use std::ffi::CString;
use std::sync::LazyLock;
use std::sync::mpsc::channel;

use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use sgtk_host::Host;
use sgtk_host_fixtures::{Configs, bundled, bundled_versions, isolated};

/// One host for all tests: a second one would import each core once more.
static CONFIGS: LazyLock<Configs> = LazyLock::new(|| bundled().expect("a temporary folder can be written"));
static HOST: LazyLock<Host> =
    LazyLock::new(|| Host::builder().configs(CONFIGS.base()).build().expect("a Python can be embedded"));

/// What a tool under test does with its project's Toolkit.
fn publish_path(project: &str) -> (String, String) {
    HOST.with_sgtk(project, |sgtk| {
        let tk = sgtk.call_method1("sgtk_from_path", (format!("/projects/{project}"),))?;
        let fields = PyDict::new(sgtk.py());
        fields.set_item("name", "n")?;
        fields.set_item("version", 1)?;
        let template = tk.getattr("templates")?.get_item("publish")?;
        Ok((tk.getattr("version")?.extract()?, template.call_method1("apply_fields", (fields,))?.extract()?))
    })
    .expect("the project has a core")
}

#[track_caller]
fn assert_publishes(project: &str, version: &str) {
    for _ in 0..10 {
        let expected = (version.to_owned(), format!("/projects/{project}/publish/n.v1"));
        assert_eq!(publish_path(project), expected);
    }
}

#[test]
fn publishes_of_project_a_go_to_its_own_place() {
    assert_publishes("project_a", "v0.24.0");
}

#[test]
fn publishes_of_project_b_go_to_its_own_place() {
    assert_publishes("project_b", "v0.22.5");
}

#[test]
fn publishes_of_project_c_go_to_its_own_place() {
    assert_publishes("project_c", "v0.20.35");
}

#[test]
fn code_under_test_that_imports_sgtk_itself_gets_its_projects() {
    for (project, version) in bundled_versions() {
        let found = HOST.with_sgtk(project, |sgtk| import(sgtk.py(), "sgtk"));
        assert_eq!(found.expect("the project has a core"), version);
    }
}

/// The version of a module that plain code of a test imports.
fn import(py: Python<'_>, name: &str) -> PyResult<String> {
    let names = PyDict::new(py);
    names.set_item("__name__", "code_under_test")?;
    let code = CString::new(format!("import {name} as imported\nversion = imported.CORE_VERSION")).unwrap();
    py.run(&code, Some(&names), None)?;
    names.get_item("version")?.expect("it was set").extract()
}

#[test]
fn a_thread_whose_import_another_thread_has_replaced_gets_an_error_and_not_the_others_core() {
    isolated(
        "a_thread_whose_import_another_thread_has_replaced_gets_an_error_and_not_the_others_core",
        || {
            let version = |name: &str| Python::attach(|py| import(py, name));
            let refused = |name: &str| {
                let error = version(name).unwrap_err();
                Python::attach(|py| {
                    assert!(error.is_instance_of::<PyImportError>(py), "{error}");
                    error.value(py).to_string()
                })
            };
            HOST.import_sgtk("project_a").unwrap();
            assert_eq!(version("sgtk").unwrap(), "v0.24.0");
            let (imported, wait) = channel();
            let (go_on, end) = channel::<()>();
            std::thread::scope(|scope| {
                let other = scope.spawn(move || {
                    HOST.import_sgtk("project_b").unwrap();
                    // Before the lease below, which takes it out of place for a moment.
                    assert_eq!(Python::attach(|py| import(py, "tank.api")).unwrap(), "v0.22.5");
                    imported.send(()).unwrap();
                    end.recv().unwrap();
                });
                wait.recv().unwrap();
                let expected = "this thread imported project 'project_a' with import_sgtk, but 'project_b' \
                                is in place now: another thread imported it since. Use Host::with_sgtk, or a \
                                process for each test";
                for name in ["sgtk", "tank", "tank.api", "tank_vendor.yaml"] {
                    assert_eq!(refused(name), expected, "{name}");
                }
                // A thread that has imported nothing sees what is in place, as the recipe has it.
                let plain = scope.spawn(|| Python::attach(|py| import(py, "sgtk")).unwrap());
                assert_eq!(plain.join().unwrap(), "v0.22.5");
                // Leases are of no matter to it.
                let leased = HOST.with_sgtk("project_d", |sgtk| import(sgtk.py(), "sgtk"));
                assert_eq!(leased.unwrap(), "v0.23.8");
                go_on.send(()).unwrap();
                other.join().unwrap();
            });
            refused("sgtk");
            // Its own import makes it right again.
            HOST.import_sgtk("project_a").unwrap();
            assert_eq!(version("sgtk").unwrap(), "v0.24.0");
            assert!(HOST.forget_sgtk().unwrap());
            assert!(refused("sgtk").contains("No module named"));
        },
    );
}
