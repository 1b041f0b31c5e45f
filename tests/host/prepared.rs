//! What the daemon does to each freshly imported core, and gives to one project alone.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use sgtk_host::{Error, HostBuilder, Purpose, ScriptUser};
use sgtk_host_fixtures::{Configs, Core, bundled, isolated};

use crate::support::{Daemon, host, lease_own, options, value};

const USER: &str = "str(sgtk.get_authenticated_user())";
const KEY: &str = "the-key-of-the-daemons-script";

fn with_user(configs: &Configs) -> HostBuilder {
    options(configs).revalidate_after(Duration::ZERO).script_user(ScriptUser::new(
        "https://studio.example",
        "daemon",
        KEY,
    ))
}

#[test]
fn each_fresh_import_is_prepared_and_a_lease_of_what_is_there_is_not() {
    isolated("prepared::each_fresh_import_is_prepared_and_a_lease_of_what_is_there_is_not", || {
        let configs = bundled().unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let calls = Arc::clone(&told);
        let host = options(&configs).revalidate_after(Duration::ZERO).on_import(move |sgtk, about| {
            sgtk.setattr("prepared", &about.project)?;
            let version = sgtk.getattr("__version__")?.extract::<String>()?;
            assert_eq!(about.core.version(), Some(version.as_str()));
            calls.lock().unwrap().push((about.project.clone(), version, about.purpose));
            Ok(())
        });
        let host = host.build().unwrap();
        let told = || std::mem::take(&mut *told.lock().unwrap());
        let call = |project: &str, version: &str, purpose| (project.to_owned(), version.to_owned(), purpose);
        for _ in 0..2 {
            for (project, version) in [("project_a", "v0.24.0"), ("project_b", "v0.22.5")] {
                lease_own(&host, project, version, |sgtk| {
                    assert_eq!(value::<String>(sgtk, "sgtk.prepared"), project);
                });
            }
        }
        let first =
            [call("project_a", "v0.24.0", Purpose::Lease), call("project_b", "v0.22.5", Purpose::Lease)];
        assert_eq!(told(), first);
        Python::attach(|py| assert!(host.evict(py, "project_b").unwrap()));
        configs.upgrade("project_a", &Core::newer("v0.24.1")).unwrap();
        lease_own(&host, "project_a", "v0.24.1", |_| ());
        lease_own(&host, "project_b", "v0.22.5", |_| ());
        let again =
            [call("project_a", "v0.24.1", Purpose::Lease), call("project_b", "v0.22.5", Purpose::Lease)];
        assert_eq!(told(), again);
        let sgtk = host.import_sgtk("project_b").unwrap();
        Python::attach(|py| assert_eq!(value::<String>(sgtk.bind(py), "sgtk.prepared"), "project_b"));
        assert_eq!(told(), [call("project_b", "v0.22.5", Purpose::Recipe)]);
    });
}

#[test]
fn a_project_that_cannot_be_prepared_is_an_error_and_leaves_nothing() {
    isolated("prepared::a_project_that_cannot_be_prepared_is_an_error_and_leaves_nothing", || {
        let configs = bundled().unwrap();
        let host = with_user(&configs)
            .on_import(|sgtk, about| match about.project.as_str() {
                "project_b" => Err(PyValueError::new_err(format!("not today, with {KEY}"))),
                "project_d" => panic!("not today either"),
                _ => sgtk.setattr("prepared", true),
            })
            .build()
            .unwrap();
        lease_own(&host, "project_a", "v0.24.0", |_| ());
        let daemon = Daemon::new();
        daemon.run("import traceback, linecache, tokenize");
        daemon.remember();
        for (project, word) in [("project_b", "ValueError: not today"), ("project_d", "panicked")] {
            for _ in 0..2 {
                let error = host.with_sgtk(project, |_| Ok(())).unwrap_err();
                assert!(
                    matches!(&error, Error::OnImport { project: named, .. } if named == project),
                    "{error}"
                );
                let text = error.to_string();
                assert!(text.contains(word) && !text.contains(KEY), "{text}");
                daemon.assert_as_before(project);
            }
        }
        lease_own(&host, "project_a", "v0.24.0", |sgtk| assert!(value::<bool>(sgtk, "sgtk.prepared")));
    });
}

#[test]
fn the_script_user_survives_upgrades_and_evictions_and_its_key_is_hidden() {
    isolated("prepared::the_script_user_survives_upgrades_and_evictions_and_its_key_is_hidden", || {
        let configs = bundled().unwrap();
        let host = with_user(&configs).build().unwrap();
        let user = |project: &str, version: &str| {
            lease_own(&host, project, version, |sgtk| value::<Option<String>>(sgtk, USER))
        };
        for (project, version) in [("project_a", "v0.24.0"), ("project_b", "v0.22.5")] {
            assert_eq!(user(project, version).as_deref(), Some("daemon"), "{project}");
        }
        configs.upgrade("project_a", &Core::newer("v0.24.1")).unwrap();
        assert_eq!(user("project_a", "v0.24.1").as_deref(), Some("daemon"));
        Python::attach(|py| assert!(host.evict(py, "project_b").unwrap()));
        assert_eq!(user("project_b", "v0.22.5").as_deref(), Some("daemon"));
        let error = host.with_sgtk("project_a", |_| Err::<(), _>(PyRuntimeError::new_err(KEY))).unwrap_err();
        assert!(!error.to_string().contains(KEY), "{error}");
        assert!(!format!("{:?}", with_user(&configs)).contains(KEY));
    });
}

#[test]
fn a_projects_variables_are_its_own_in_its_code_its_children_and_its_pointer() {
    isolated("prepared::a_projects_variables_are_its_own_in_its_code_its_children_and_its_pointer", || {
        let configs = bundled().unwrap();
        let core = Core::newer("v0.23.9");
        let shared = configs.shared(&core);
        configs.attached("pointed", &core).unwrap();
        configs.pointer("pointed", "$STUDIO_CORES/v0.23.9").unwrap();
        let folder = shared.parent().unwrap();
        assert_eq!(shared, folder.join("v0.23.9"), "the fixture names the folder by the version");
        let host = options(&configs)
            .project_env("pointed", "STUDIO_CORES", folder.to_str().unwrap())
            .project_env("project_a", "STUDIO_CORE", "24")
            .project_env("project_b", "STUDIO_CORE", "22")
            .project_env("project_b", "TZ", "Asia/Tokyo")
            .build()
            .unwrap();
        let code = "__import__('os').environ.get('STUDIO_CORE')";
        let child =
            "__import__('subprocess').check_output(['sh', '-c', 'echo $STUDIO_CORE'], text=True).strip()";
        let zone = "[__import__('time').tzname[0], __import__('time').strftime('%z')]";
        let daemons = Daemon::new().get::<Vec<String>>(zone);
        assert_ne!(daemons[0], "JST", "this machine is none in Tokyo");
        for _ in 0..2 {
            for (project, version, expected) in [
                ("project_a", "v0.24.0", Some("24")),
                ("project_b", "v0.22.5", Some("22")),
                ("pointed", "v0.23.9", None),
            ] {
                lease_own(&host, project, version, |sgtk| {
                    assert_eq!(value::<Option<String>>(sgtk, code).as_deref(), expected, "{project}");
                    assert_eq!(value::<String>(sgtk, child), expected.unwrap_or_default(), "{project}");
                    let tokyo = ["JST", "+0900"].map(str::to_owned).to_vec();
                    let zone_of = if project == "project_b" { tokyo } else { daemons.clone() };
                    assert_eq!(value::<Vec<String>>(sgtk, zone), zone_of, "{project}");
                });
                assert_eq!(Daemon::new().get::<Vec<String>>(zone), daemons, "after {project}");
                assert_eq!(std::env::var_os("STUDIO_CORE"), None);
            }
        }
        assert!(self::host(&configs).with_sgtk("pointed", |_| Ok(())).is_err());
    });
}

#[test]
fn variables_that_no_project_can_have_are_refused() {
    isolated("prepared::variables_that_no_project_can_have_are_refused", || {
        let configs = bundled().unwrap();
        for (name, value) in [("", "x"), ("A=B", "x"), ("A\0", "x"), ("A", "\0"), ("TANK_CURRENT_PC", "/x")] {
            let error = options(&configs).project_env("project_a", name, value).build().unwrap_err();
            assert!(
                matches!(&error, Error::Setting { source } if source.setting == "project_env"),
                "{error}"
            );
        }
    });
}
