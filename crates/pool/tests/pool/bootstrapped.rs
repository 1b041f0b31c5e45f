//! Workers that bootstrap an engine of a distributed configuration.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use sgtk_host_fixtures::{Core, Project, Studio, isolated, misbehaving_plugins};
use sgtk_pool::{Bootstrap, Call, PoolError, WorkerPool, WorkerPoolBuilder};

use crate::output::Listener;
use crate::support::until;

const PROJECTS: [(u32, &str, &str); 3] =
    [(176, "bunny", "v0.22.7"), (177, "sintel", "v0.23.8"), (178, "spring", "v0.24.0")];

fn studio() -> Studio {
    let studio = Studio::new(&Core::newer("v0.24.0")).unwrap();
    for (id, name, version) in PROJECTS {
        let core = if version < "v0.23" { Core::older(version) } else { Core::newer(version) };
        studio.project(&Project::new(id.into(), name, core)).unwrap();
    }
    studio
}

fn bootstrap(studio: &Studio, id: u32, key: &str) -> Bootstrap {
    let options = Bootstrap::project(id).core(studio.start()).site(studio.site().url());
    options.script_user(Studio::SCRIPT, key).build().unwrap()
}

fn options(studio: &Studio) -> WorkerPoolBuilder {
    let options = WorkerPool::builder().configs(studio.home()).plugin_path(misbehaving_plugins());
    PROJECTS
        .iter()
        .fold(options, |options, (id, name, _)| options.bootstrap(*name, bootstrap(studio, *id, Studio::KEY)))
        .env("SHOTGUN_HOME", studio.home())
}

#[test]
fn each_has_an_engine_of_its_own_that_calls_may_ask_for() {
    for templates in [false, true] {
        let studio = studio();
        let pool = options(&studio).templates(templates).build().unwrap();
        for (project, started) in pool.prewarm(PROJECTS.map(|(_, name, _)| name)) {
            started.unwrap_or_else(|error| panic!("{project}: {error}"));
        }
        for (_, name, version) in PROJECTS {
            let told: Value = pool.call(name, Call::new("told:bootstrapped")).unwrap();
            assert_eq!(told["same"], serde_json::json!([true, true, true]), "{told}");
            assert_eq!((&told["version"], &told["project"]), (&version.into(), &name.into()), "{told}");
            assert_eq!(told["current_pc"], told["configuration"], "{told}");
            let versions = told["versions"].as_object().unwrap();
            assert!(versions.values().all(|one| one == version), "{told}");
        }
        pool.shutdown(std::time::Duration::from_secs(5)).unwrap();
    }
}

#[test]
fn edited_plugins_are_seen_by_workers_with_an_engine_and_by_those_without_a_project() {
    let studio = studio();
    let plugins = tempfile::tempdir().unwrap();
    let plugin = plugins.path().join("tells.py");
    let options = options(&studio).plain("tools").plugin_path(plugins.path());
    let pool = options.revalidate_after(Duration::ZERO).build().unwrap();
    let engine = || pool.call::<Value>("sintel", Call::new("told:bootstrapped")).unwrap();
    let told = engine();
    // Another bootstrap has rewritten its folder since, zips included.
    Core::newer("v0.24.9").lay(std::path::Path::new(told["configuration"].as_str().unwrap())).unwrap();
    for name in ["sintel", "tools"] {
        if name == "sintel" {
            // No bootstrap could be had now.
            fs::rename(studio.root().join("cores"), studio.root().join("away")).unwrap();
        }
        let tell = || {
            (
                pool.call::<Value>(name, Call::new("tells:tell")),
                pool.call::<u32>(name, Call::new("os:getpid")),
            )
        };
        let mut before = pool.call::<u32>(name, Call::new("os:getpid")).unwrap();
        for word in ["one", "two"] {
            fs::write(&plugin, format!("def tell():\n    return {word:?}\n")).unwrap();
            let (told, pid) = tell();
            assert_eq!(told.unwrap(), word, "{name}");
            let pid = pid.unwrap();
            // The engine is kept: a bootstrap might fail.
            assert_eq!(pid == before, name == "sintel", "{name}");
            before = pid;
        }
        for broken in ["def tell(:\n", ""] {
            fs::write(&plugin, broken).unwrap();
            let (told, pid) = tell();
            assert_eq!((told.unwrap(), pid.unwrap()), ("two".into(), before), "{name}");
        }
    }
    assert_eq!(engine(), told);
    pool.shutdown(Duration::from_secs(5)).unwrap();
}

#[test]
fn a_configuration_in_the_environment_steers_no_worker() {
    let studio = studio();
    let pool = options(&studio).env("SHOTGUN_PIPELINE_CONFIGURATION_ID", "1176").build().unwrap();
    for (_, name, version) in PROJECTS {
        let told: Value = pool.call(name, Call::new("told:bootstrapped")).unwrap();
        assert_eq!((&told["version"], &told["project"]), (&version.into(), &name.into()), "{told}");
    }
    pool.shutdown(std::time::Duration::from_secs(5)).unwrap();
}

#[test]
fn its_key_is_in_no_argument_variable_error_or_stack() {
    let studio = studio();
    let pool = options(&studio).build().unwrap();
    let error = pool.call::<Value>("bunny", Call::new("told:fail_with").arg(Studio::KEY)).unwrap_err();
    assert!(error.to_string().contains("RuntimeError: the key is [hidden]"), "{error}");
    assert!(!format!("{error:?}").contains(Studio::KEY), "{error:?}");
    let pid = pool.stats().projects[0].pid.unwrap();
    for file in ["cmdline", "environ"] {
        let text = fs::read(format!("/proc/{pid}/{file}")).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains(Studio::KEY), "{file}");
    }
}

#[test]
fn its_key_is_in_nothing_that_a_worker_prints_or_logs() {
    let name = "bootstrapped::its_key_is_in_nothing_that_a_worker_prints_or_logs";
    isolated(name, || {
        let listener = Listener::install();
        let studio = studio();
        for templates in [false, true] {
            let pool = options(&studio).templates(templates).build().unwrap();
            let text = format!("printed {} {templates}", Studio::KEY);
            pool.call::<Value>("bunny", Call::new("told:say").arg(&text).arg(&text)).unwrap();
            let error = pool.call::<Value>("bunny", Call::new("bad_exits:at_once").arg(3)).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(shown.contains("printed [hidden]") && !shown.contains(Studio::KEY), "{shown}");
            until("what was printed", || {
                let text = listener.text();
                text.matches(&format!("printed [hidden] {templates}")).count() >= 2
            });
        }
        assert!(!listener.text().contains(Studio::KEY));
    });
}

#[test]
fn any_text_can_be_its_name() {
    let studio = studio();
    for name in ["bunny \0", "", "\u{1f407}/../bunny"] {
        let pool = options(&studio).bootstrap(name, bootstrap(&studio, 176, Studio::KEY)).build().unwrap();
        let call = pool.submit::<Value>(name, Call::new("told:bootstrapped")).unwrap();
        assert_eq!(call.wait().unwrap()["project"], "bunny", "{name:?}");
    }
}

#[test]
fn a_bootstrap_that_fails_says_at_which_step_and_why() {
    let studio = studio();
    for templates in [false, true] {
        let pool = WorkerPool::builder()
            .configs(studio.home())
            .plugin_path(misbehaving_plugins())
            .env("SHOTGUN_HOME", studio.home())
            .bootstrap("bunny", bootstrap(&studio, 176, "a-wrong-key"))
            .bootstrap("nobody", bootstrap(&studio, 999, Studio::KEY))
            .templates(templates)
            .build()
            .unwrap();
        let error = pool.call::<Value>("bunny", Call::new("told:bootstrapped")).unwrap_err();
        assert!(error.never_ran() && matches!(error, PoolError::NotStarted { .. }), "{error:?}");
        assert!(error.python().unwrap().is_a("AuthenticationFault"), "{error}");
        assert!(error.to_string().contains("bootstrap"), "{error}");
        assert!(!error.to_string().contains("a-wrong-key"), "{error}");
        assert!(pool.call::<Value>("nobody", Call::new("told:bootstrapped")).unwrap_err().never_ran());
    }
}
