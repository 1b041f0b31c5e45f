//! What Toolkit's own callers set for a bootstrap, and what launchers leave in the environment, in workers.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use sgtk_host_fixtures::{Core, Fault, Project, Studio};
use sgtk_pool::{Bootstrap, BootstrapBuilder, Call, ScriptUser, WorkerPool, WorkerPoolBuilder};

/// How long an answer of a site is waited for that never comes. One that does come is there before, also on a
/// busy machine.
const SITE_TIMEOUT: Duration = Duration::from_secs(3);

const PROJECTS: [(u32, &str, &str); 2] = [(176, "bunny", "v0.22.7"), (177, "sintel", "v0.23.8")];

const PLUGIN: &str = r#"
import os, sys

before = []

def prepare(context):
    before.append([context.project["id"], context.tank.synchronized])

def refuse(context):
    raise ValueError("not today")

def where(engine):
    sgtk = sys.modules["sgtk"]
    context = engine.context
    folder = engine.sgtk.pipeline_configuration.get_path()
    return [context.project["id"], sgtk.__version__, folder, getattr(engine.sgtk, "synchronized", 0)]

def told():
    return before

def steering(names):
    return sorted(name for name in names if name in os.environ)

def find(sgtk):
    return sgtk.get_authenticated_user().create_sg_connection().find("Project", [], ["name"])
"#;

struct Scene {
    studio: Studio,
    plugins: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let studio = Studio::new(&Core::newer("v0.24.0")).unwrap();
        for (id, name, version) in PROJECTS {
            let core = if version < "v0.23" { Core::older(version) } else { Core::newer(version) };
            studio.project(&Project::new(id.into(), name, core)).unwrap();
        }
        let plugins = tempfile::tempdir().unwrap();
        fs::write(plugins.path().join("asks.py"), PLUGIN).unwrap();
        Self { studio, plugins }
    }

    fn bootstrap(&self, id: u32) -> BootstrapBuilder {
        let options = Bootstrap::project(id).core(self.studio.start()).site(self.studio.site().url());
        options.script_user(Studio::SCRIPT, Studio::KEY)
    }

    fn options(&self) -> WorkerPoolBuilder {
        let options = WorkerPool::builder().configs(self.studio.home()).plugin_path(self.plugins.path());
        options.env("SHOTGUN_HOME", self.studio.home())
    }
}

fn ask(pool: &WorkerPool, project: &str, function: &str) -> Value {
    pool.call(project, Call::new(format!("asks:{function}"))).unwrap()
}

/// The project, the version of the core, and how often the folders were synchronised.
fn outcome(pool: &WorkerPool, project: &str) -> Value {
    let told = ask(pool, project, "where");
    json!([told[0], told[1], told[3]])
}

#[test]
fn folders_are_synchronised_and_the_hook_is_called_before_each_engine_starts() {
    for templates in [true, false] {
        let scene = Scene::new();
        let ready = |id| {
            let options = scene.bootstrap(id).synchronize_filesystem_structure(true);
            options.pre_engine_hook("asks:prepare").build().unwrap()
        };
        let pool = scene.options().templates(templates);
        let pool = PROJECTS.iter().fold(pool, |pool, (id, name, _)| pool.bootstrap(*name, ready(*id)));
        let pool = pool.build().unwrap();
        for (id, name, version) in PROJECTS {
            for _ in 0..2 {
                assert_eq!(outcome(&pool, name), json!([id, version, 1]));
                assert_eq!(ask(&pool, name, "told"), json!([[id, 1]]));
            }
            pool.evict(name);
            assert_eq!(ask(&pool, name, "told"), json!([[id, 1]]), "in another process");
        }
    }
}

#[test]
fn a_hook_that_refuses_is_the_reason_why_there_is_no_worker() {
    let scene = Scene::new();
    let refusing = scene.bootstrap(176).pre_engine_hook("asks:refuse").build().unwrap();
    let pool = scene.options().bootstrap("bunny", refusing).build().unwrap();
    let error = pool.call::<Value>("bunny", Call::new("asks:where")).unwrap_err();
    assert!(error.never_ran() && error.to_string().contains("ValueError: not today"), "{error}");
}

#[test]
fn nothing_that_launchers_leave_in_the_environment_steers_a_worker_unless_it_is_asked_for() {
    for templates in [true, false] {
        let scene = Scene::new();
        let folder = scene.studio.configuration(176);
        let folder = folder.to_str().unwrap();
        let steering = [
            ("SHOTGUN_PIPELINE_CONFIGURATION_ID", "1176"),
            ("TK_BOOTSTRAP_CONFIG_OVERRIDE", folder),
            ("SHOTGUN_BUNDLE_CACHE_FALLBACK_PATHS", "/no/such/folder:/nor/this"),
            ("TANK_CURRENT_PC", folder),
            ("SHOTGUN_SITE", "https://elsewhere.example"),
        ];
        let options = || {
            steering
                .iter()
                .fold(scene.options().templates(templates), |pool, (name, value)| pool.env(*name, *value))
        };
        let names: Vec<_> =
            steering.iter().map(|(name, _)| *name).filter(|name| *name != "TANK_CURRENT_PC").collect();
        let pool = options().bootstrap("sintel", scene.bootstrap(177).build().unwrap()).build().unwrap();
        assert_eq!(outcome(&pool, "sintel"), json!([177, "v0.23.8", 0]));
        let left: Value = pool.call("sintel", Call::new("asks:steering").arg(&names)).unwrap();
        assert_eq!(left, json!([]));
        // Where it is, the outcome is the other one's, and says so.
        let asked = scene.bootstrap(177).allow_config_overrides(true).build().unwrap();
        let pool = options().bootstrap("sintel", asked).build().unwrap();
        assert_eq!(outcome(&pool, "sintel")[1], "v0.22.7");
    }
}

#[test]
fn several_that_bootstrap_one_project_at_once_each_have_an_engine() {
    for (templates, starts) in [(true, Core::newer("v0.23.8")), (false, Core::older("v0.22.7"))] {
        let scene = Scene::new();
        let version = starts.version().to_owned();
        scene.studio.project(&Project::new(178, "spring", starts)).unwrap();
        let ready = || scene.bootstrap(178).build().unwrap();
        // Several workers of one pool, and another pool beside it, on one cold cache.
        let names = ["one", "two", "three"];
        let pools: Vec<_> = (0..2)
            .map(|_| {
                let pool = scene.options().templates(templates);
                names.iter().fold(pool, |pool, name| pool.bootstrap(*name, ready())).build().unwrap()
            })
            .collect();
        for _ in 0..2 {
            let calls: Vec<_> = pools
                .iter()
                .flat_map(|pool| names.map(|name| pool.submit::<Value>(name, Call::new("asks:where"))))
                .collect();
            for call in calls {
                let told = call.unwrap().wait().unwrap();
                assert_eq!(json!([told[0], told[1]]), json!([178, version]));
            }
            for (pool, name) in pools.iter().flat_map(|pool| names.map(|name| (pool, name))) {
                pool.evict(name);
            }
        }
    }
}

/// An old client: its settings know no limit and no retries, and its connections are made by a function that
/// takes a limit.
fn make_old(client: &std::path::Path) {
    let text = fs::read_to_string(client).unwrap();
    let mut old = String::new();
    for line in text.lines().filter(|line| {
        !["self.timeout_secs =", "self.max_rpc_attempts =", "self.rpc_attempt_interval ="]
            .iter()
            .any(|setting| line.trim_start().starts_with(setting))
    }) {
        old += &line.replace(
            "made(self.config.server, timeout=self.config.timeout_secs)",
            "Http(self.config.server)",
        );
        old.push('\n');
    }
    old += "\n\ndef Http(server, timeout=None):\n    return http.client.HTTPConnection(server, \
            timeout=timeout)\n";
    assert!(!old.contains("self.timeout_secs =") && old.contains("Http(self.config.server)"));
    fs::write(client, old).unwrap();
}

#[test]
fn an_old_client_that_knows_no_limit_waits_for_no_site_that_hangs() {
    for templates in [true, false] {
        let scene = Scene::new();
        let site = scene.studio.site();
        let configs = sgtk_host_fixtures::Configs::new().unwrap();
        let project = configs.localized("project_a", &Core::older("v0.22.5")).unwrap();
        make_old(&project.join("install/core/python/tank_vendor/shotgun_api3/shotgun.py"));
        let pool = WorkerPool::builder()
            .configs(configs.base())
            .plugin_path(scene.plugins.path())
            .templates(templates)
            .script_user(ScriptUser::new(site.url(), Studio::SCRIPT, Studio::KEY))
            .site_timeout(SITE_TIMEOUT)
            .build()
            .unwrap();
        let find = || pool.call::<Value>("project_a", Call::new("asks:find"));
        find().unwrap();
        site.fault("read", Fault::Hang).unwrap();
        let error = find().unwrap_err();
        assert!(error.python().is_some() && error.to_string().to_lowercase().contains("time"), "{error}");
        site.clear_faults().unwrap();
        site.release().unwrap();
        find().unwrap();
    }
}
