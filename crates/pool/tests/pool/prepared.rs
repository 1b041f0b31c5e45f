//! What a pool does to each freshly imported core, and gives to the workers of one project alone.

use std::time::Duration;

use serde_json::{Value, json};
use sgtk_host_fixtures::{Configs, Core, Fault, Project, Site, Studio, bundled};
use sgtk_pool::{Bootstrap, Call, PoolError, ScriptUser, WorkerPool, WorkerPoolBuilder};

/// How long an answer of a site is waited for that never comes. One that does come is there before, also on a
/// busy machine.
const SITE_TIMEOUT: Duration = Duration::from_secs(3);

const KEY: &str = "the-key-of-the-daemons-script";

const PLUGIN: &str = r#"
import os

told = []

def prepare(sgtk, about):
    sgtk.prepared = about["project"]
    told.append([about["project"], about["core_version"], about["purpose"], str(sgtk.get_authenticated_user())])

def refuse(sgtk, about):
    if about["project"] == "project_b":
        raise ValueError("not today, as %s" % sgtk.get_authenticated_user())

def history(sgtk):
    return told

def user(sgtk):
    return str(sgtk.get_authenticated_user())

def variables(*names):
    return [os.environ.get(name) for name in names]

def find(sgtk):
    return sgtk.get_authenticated_user().create_sg_connection().find("Project", [], ["name"])

def limit(sgtk):
    from tank_vendor import shotgun_api3
    return shotgun_api3.Shotgun("http://127.0.0.1:1", "s", "k", connect=False).config.timeout_secs
"#;

struct Daemon {
    configs: Configs,
    plugins: tempfile::TempDir,
}

impl Daemon {
    fn new() -> Self {
        let (configs, plugins) = (bundled().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(plugins.path().join("prepares.py"), PLUGIN).unwrap();
        Self { configs, plugins }
    }

    fn options(&self) -> WorkerPoolBuilder {
        let options = WorkerPool::builder().configs(self.configs.base()).plugin_path(self.plugins.path());
        options.revalidate_after(Duration::ZERO)
    }
}

fn call<T: serde::de::DeserializeOwned + 'static>(pool: &WorkerPool, project: &str, name: &str) -> T {
    pool.call(project, Call::new(format!("prepares:{name}"))).unwrap()
}

#[test]
fn each_fresh_import_is_prepared_again_after_upgrades_and_evictions() {
    for templates in [true, false] {
        let daemon = Daemon::new();
        let user = ScriptUser::new("https://studio.example", "daemon", KEY);
        let options = daemon.options().script_user(user).on_import("prepares:prepare");
        let pool = options.templates(templates).build().unwrap();
        let told = |version: &str| json!([["project_a", version, "calls", "daemon"]]);
        for _ in 0..2 {
            assert_eq!(call::<Value>(&pool, "project_a", "history"), told("v0.24.0"));
        }
        pool.evict("project_a");
        assert_eq!(call::<Value>(&pool, "project_a", "history"), told("v0.24.0"));
        daemon.configs.upgrade("project_a", &Core::newer("v0.24.1")).unwrap();
        assert_eq!(call::<Value>(&pool, "project_a", "history"), told("v0.24.1"));
        assert_eq!(call::<String>(&pool, "project_b", "user"), "daemon", "an older core");
    }
}

#[test]
fn a_project_that_cannot_be_prepared_is_an_error_without_the_key_and_others_work() {
    let daemon = Daemon::new();
    let user = ScriptUser::new("https://studio.example", KEY, KEY);
    let pool = daemon.options().script_user(user).on_import("prepares:refuse").build().unwrap();
    let error = pool.call::<Value>("project_b", Call::new("prepares:user")).unwrap_err();
    let text = error.to_string();
    assert!(error.never_ran() && text.contains("on_import: prepares:refuse"), "{text}");
    assert!(text.contains("ValueError: not today, as [hidden]") && !text.contains(KEY), "{text}");
    call::<String>(&pool, "project_a", "user");
    for wrong in ["prepares", "prepares:", "pre pares:x"] {
        assert!(
            matches!(daemon.options().on_import(wrong).build(), Err(PoolError::Setting { .. })),
            "{wrong}"
        );
    }
}

#[test]
fn a_bootstrap_has_both_of_its_cores_prepared_and_its_own_user() {
    let daemon = Daemon::new();
    let studio = Studio::new(&Core::newer("v0.24.0")).unwrap();
    studio.project(&Project::new(177, "sintel", Core::newer("v0.23.8"))).unwrap();
    let options = Bootstrap::project(177).core(studio.start()).site(studio.site().url());
    let bootstrap = options.script_user(Studio::SCRIPT, Studio::KEY).build().unwrap();
    let pool = daemon
        .options()
        .env("SHOTGUN_HOME", studio.home())
        .bootstrap("sintel", bootstrap)
        .script_user(ScriptUser::new("https://studio.example", "another", KEY))
        .on_import("prepares:prepare")
        .build()
        .unwrap();
    let told: Value = call(&pool, "sintel", "history");
    let kinds: Vec<_> = told.as_array().unwrap().iter().map(|one| (&one[1], &one[2])).collect();
    assert_eq!(kinds, [(&json!("v0.24.0"), &json!("bootstrap")), (&json!("v0.23.8"), &json!("bootstrap"))]);
    assert_eq!(call::<String>(&pool, "sintel", "user"), Studio::SCRIPT);
}

#[test]
fn a_variable_of_one_project_is_in_its_pointer_and_its_workers_alone() {
    for templates in [true, false] {
        let daemon = Daemon::new();
        let core = daemon.configs.shared(&Core::newer("v0.23.10"));
        daemon.configs.pointer("project_e", "$STUDIO_CORE").unwrap();
        let core = core.to_str().unwrap();
        let pool = daemon
            .options()
            .templates(templates)
            .project_env("project_e", "STUDIO_CORE", core)
            .project_env("project_e", "STUDIO_TOKEN", "a")
            .project_env("project_f", "STUDIO_TOKEN", "b")
            .build()
            .unwrap();
        let variables = |project: &str| -> Value {
            let call = Call::new("prepares:variables").arg("STUDIO_CORE").arg("STUDIO_TOKEN");
            pool.call(project, call).unwrap()
        };
        assert_eq!(variables("project_e"), json!([core, "a"]));
        assert_eq!(variables("project_f"), json!([null, "b"]));
        assert_eq!(variables("project_a"), json!([null, null]));
    }
    let daemon = Daemon::new();
    for (name, value) in [("", "x"), ("A=B", "x"), ("A", "\0"), ("TANK_CURRENT_PC", "/x")] {
        let built = daemon.options().project_env("project_e", name, value).build();
        assert!(matches!(built, Err(PoolError::Setting { .. })), "{name:?}");
    }
}

#[test]
fn a_site_that_hangs_is_not_waited_for_for_ever() {
    for templates in [true, false] {
        let daemon = Daemon::new();
        let site = Site::start().unwrap();
        site.script_user("daemon", KEY).unwrap();
        let pool = daemon
            .options()
            .templates(templates)
            .script_user(ScriptUser::new(site.url(), "daemon", KEY))
            .site_timeout(SITE_TIMEOUT)
            .build()
            .unwrap();
        let find = |project: &str| pool.call::<Value>(project, Call::new("prepares:find"));
        for project in ["project_a", "project_b"] {
            find(project).unwrap();
            site.fault("read", Fault::Hang).unwrap();
            let error = find(project).unwrap_err();
            assert!(error.python().is_some() && error.to_string().to_lowercase().contains("time"), "{error}");
            site.clear_faults().unwrap();
            site.release().unwrap();
        }
        // The default, for who sets none.
        let pool = daemon.options().templates(templates).build().unwrap();
        for project in ["project_a", "project_b"] {
            assert_eq!(call::<f64>(&pool, project, "limit"), 60.0, "{project}");
        }
        let pool = daemon.options().templates(templates).site_timeout(None).build().unwrap();
        assert_eq!(call::<Value>(&pool, "project_a", "limit"), Value::Null);
    }
}
