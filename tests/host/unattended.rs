//! A daemon has nobody to ask, does not wait for a site for ever, and shows no keys: in leases too.

use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use sgtk_host::{Error, ScriptUser};
use sgtk_host_fixtures::{Fault, Site, bundled, isolated};

use crate::support::{host, options, value};

const KEY: &str = "a-key-that-project-code-brings";

#[test]
fn who_would_have_to_be_asked_is_an_error_at_once() {
    isolated(
        "unattended::who_would_have_to_be_asked_is_an_error_at_once",
        |_| (),
        || {
            let configs = bundled().unwrap();
            let host = host(&configs);
            let (_kept, input) = std::io::pipe().map(|(reader, writer)| (writer, reader)).unwrap();
            rustix::stdio::dup2_stdin(&input).unwrap();
            for project in ["project_a", "project_b"] {
                let asked = host.with_sgtk(project, |sgtk| {
                    let authentication = sgtk.py().import("sgtk.authentication")?;
                    authentication
                        .getattr("ShotgunAuthenticator")?
                        .call0()?
                        .call_method0("get_user")
                        .map(drop)
                });
                let error = asked.unwrap_err().to_string();
                assert!(error.contains("nobody to ask"), "{project}: {error}");
            }
        },
    );
}

#[test]
fn a_site_that_hangs_is_not_waited_for_for_ever() {
    isolated(
        "unattended::a_site_that_hangs_is_not_waited_for_for_ever",
        |_| (),
        || {
            let configs = bundled().unwrap();
            let site = Site::start().unwrap();
            site.script_user("daemon", KEY).unwrap();
            let host = options(&configs)
                .script_user(ScriptUser::new(site.url(), "daemon", KEY))
                .site_timeout(Duration::from_millis(200))
                .build()
                .unwrap();
            let find = |project: &str| {
                host.with_sgtk(project, |sgtk| {
                    let user = sgtk.call_method0("get_authenticated_user")?;
                    let connection = user.call_method0("create_sg_connection")?;
                    connection.call_method1("find", ("Project", Vec::<String>::new(), ["name"])).map(drop)
                })
            };
            for project in ["project_a", "project_b"] {
                find(project).unwrap();
                site.fault("read", Fault::Hang).unwrap();
                let error = find(project).unwrap_err();
                assert!(matches!(&error, Error::Python { .. }), "{error}");
                assert!(error.to_string().to_lowercase().contains("time"), "{error}");
                site.clear_faults().unwrap();
                site.release().unwrap();
            }
            // The default, for who sets none.
            let host = self::host(&configs);
            let limit = "__import__('tank_vendor.shotgun_api3').shotgun_api3.Shotgun('http://127.0.0.1:1', 's', 'k', connect=False).config.timeout_secs";
            for project in ["project_a", "project_b"] {
                let told = host.with_sgtk(project, |sgtk| Ok(value::<f64>(sgtk, limit)));
                assert_eq!(told.unwrap(), 60.0, "{project}");
            }
        },
    );
}

#[test]
fn a_key_that_projects_code_sets_by_itself_is_hidden() {
    isolated(
        "unattended::a_key_that_projects_code_sets_by_itself_is_hidden",
        |_| (),
        || {
            let configs = bundled().unwrap();
            let host = host(&configs);
            for (project, key) in [("project_a", format!("{KEY}-a")), ("project_b", format!("{KEY}-b"))] {
                let shown = host.with_sgtk(project, |sgtk| {
                    let authentication = sgtk.py().import("sgtk.authentication")?;
                    let authenticator = authentication.getattr("ShotgunAuthenticator")?.call0()?;
                    let user = authenticator
                        .call_method1("create_script_user", ("daemon", &key, "https://studio.example"))?;
                    sgtk.call_method1("set_authenticated_user", (&user,))?;
                    let connection = user.call_method0("create_sg_connection")?;
                    let shown = connection.getattr("config")?.getattr("__dict__")?.repr()?.to_string();
                    assert!(shown.contains(&key), "the input shows the key");
                    Err::<(), _>(PyRuntimeError::new_err(shown))
                });
                let error = shown.unwrap_err().to_string();
                assert!(!error.contains(&key) && error.contains("[hidden]"), "{project}: {error}");
            }
        },
    );
}
