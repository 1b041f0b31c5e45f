//! Bootstraps that work, one at a time.

use sgtk_host_fixtures::{AppBundle, Core, Project, Studio};

use crate::{run, studio};

#[test]
fn an_engine_of_a_projects_own_core_is_bootstrapped_from_another_core() {
    let told = run(
        &studio(),
        "
print(start().__version__)
engine = boot(176)
import sgtk
print(sgtk.__version__, engine.sgtk.version, engine.context, engine.instance_name, engine is sgtk.platform.current_engine())
print(sorted(engine.commands), command(engine, 'project_name'))
print(set(command(engine, 'versions').values()), set(command(engine, 'in_a_thread').values()))
print(os.path.relpath(engine.sgtk.configuration_path, os.environ['SHOTGUN_HOME']), engine.sgtk.configuration_name)
print(sgtk.get_authenticated_user(), sgtk.get_authenticated_user().core_version)
engine.destroy()
print(sgtk.platform.current_engine())
",
    );
    assert_eq!(
        told,
        [
            "v0.24.0",
            "v0.22.7 v0.22.7 Project bunny tk-shell True",
            "['fail', 'in_a_thread', 'log_something', 'project_name', 'versions'] bunny",
            "{'v0.22.7'} {'v0.22.7'}",
            "127.0.0.1/p176c1176.basic./cfg Primary",
            "daemon v0.22.7",
            "None",
        ]
    );
}

#[test]
fn a_core_of_either_generation_bootstraps_one_of_the_other() {
    for (from, to) in [("older", "newer"), ("older", "older"), ("newer", "older"), ("newer", "newer")] {
        let core = |kind: &str, version: &str| {
            if kind == "older" { Core::older(version) } else { Core::newer(version) }
        };
        let studio = Studio::new(&core(from, "v1.0.0")).unwrap();
        studio.project(&Project::new(176, "bunny", core(to, "v2.0.0"))).unwrap();
        let told = run(
            &studio,
            "start(); engine = boot(176); print(engine.core_version, engine.context); engine.destroy()",
        );
        assert_eq!(told, ["v2.0.0 Project bunny"], "{from} to {to}");
    }
}

#[test]
fn centralized_configurations_are_bootstrapped_where_they_lie() {
    let studio = Studio::new(&Core::newer("v0.24.0")).unwrap();
    studio.project(&Project::new(176, "bunny", Core::older("v0.22.7")).centralized()).unwrap();
    studio.project(&Project::new(177, "sintel", Core::newer("v0.23.8")).attached()).unwrap();
    for (id, version, current) in [(176, "v0.22.7", "176"), (177, "v0.23.8", "None")] {
        let script = format!(
            "
start()
engine = boot({id})
current = os.environ.get('TANK_CURRENT_PC')
print(engine.core_version, os.path.basename(engine.sgtk.configuration_path), current and os.path.basename(current))
print(engine.apps['tk-multi-versions'].version, len(engine.commands))
"
        );
        assert_eq!(run(&studio, &script), [format!("{version} {id} {current}"), "Undefined 5".to_owned()]);
    }
}

#[test]
fn what_the_site_does_not_know_is_taken_from_the_base_configuration() {
    let studio = studio();
    studio.project(&Project::new(178, "spring", Core::newer("v0.23.10")).unregistered()).unwrap();
    let script = format!(
        "
start()
for lookup in (True, False):
    engine = boot(178, base_configuration={:?}, do_shotgun_config_lookup=lookup)
    print(engine.core_version, engine.sgtk.configuration_name, engine.sgtk.configuration_id)
    engine.destroy()
",
        studio.descriptor(178)
    );
    assert_eq!(run(&studio, &script), ["v0.23.10 Unmanaged None"; 2]);
    let counts = studio.site().counts().unwrap();
    assert_eq!(counts["read:PipelineConfiguration"], 1, "{counts:?}");
}

#[test]
fn a_pipeline_configuration_is_taken_by_name_by_id_and_for_its_plug_ins() {
    let studio = studio();
    let sandbox = |id: i64, code: &str, plugins: &str| {
        let configuration = sgtk_host_fixtures::PipelineConfiguration::new(id).code(code).project(176);
        let configuration = configuration.plugin_ids(plugins).descriptor(&studio.descriptor(177));
        studio.site().pipeline_configuration(configuration).unwrap();
    };
    sandbox(1, "of another plug-in", "other.*");
    let versions = |script: &str| run(&studio, &format!("start(); print(boot(176{script}).core_version)"));
    assert_eq!(versions(""), ["v0.22.7"]);
    sandbox(2, "ada's", "basic.*, other.*");
    assert_eq!(versions(""), ["v0.23.8"]);
    assert_eq!(versions(", pipeline_configuration='Primary'"), ["v0.22.7"]);
    assert_eq!(versions(", pipeline_configuration=\"ada's\""), ["v0.23.8"]);
    assert_eq!(versions(", pipeline_configuration=1"), ["v0.23.8"]);
    assert_eq!(versions(", plugin_id='other.x'"), ["v0.23.8"]);
}

#[test]
fn an_engine_is_bootstrapped_for_an_entity_of_a_project_and_for_the_site() {
    let studio = studio();
    studio
        .site()
        .entity(serde_json::json!({
            "type": "Shot", "id": 5, "code": "s010", "project": { "type": "Project", "id": 176 },
        }))
        .unwrap();
    let script = format!(
        "
start()
engine = manager().bootstrap_engine('tk-shell', entity={{'type': 'Shot', 'id': 5}})
print(engine.core_version, engine.context, engine.context.entity['id'])
engine.destroy()
engine = manager(base_configuration={:?}).bootstrap_engine('tk-shell')
print(engine.core_version, engine.context.project)
",
        studio.descriptor(177)
    );
    assert_eq!(run(&studio, &script), ["v0.22.7 Project bunny Shot s010 5", "v0.23.8 None"]);
}

#[test]
fn a_bootstrap_asks_the_site_for_little_and_metrics_go_there_after_a_command() {
    let studio = studio();
    let told = run(
        &studio,
        "
start()
engine = boot(177)
threads = [thread for thread in __import__('threading').enumerate() if 'Metrics' in type(thread).__name__]
print([thread.daemon for thread in threads])
try:
    command(engine, 'fail')
except Exception as error:
    print(type(error).__name__, error)
print(until(lambda: threads[0].dispatched))
engine.destroy()
print(until(lambda: not threads[0].is_alive()))
",
    );
    assert_eq!(told, ["[True]", "TankError v0.23.8 fails on demand", "1", "True"]);
    let counts: Vec<(String, usize)> = studio.site().counts().unwrap().into_iter().collect();
    let wanted = [
        ("get_session_token", 1),
        ("info", 3),
        ("read:LocalStorage", 1),
        ("read:PipelineConfiguration", 2),
        ("read:Project", 2),
        ("track_metrics", 1),
    ];
    assert_eq!(counts, wanted.map(|(kind, count)| (kind.to_owned(), count)));
}

#[test]
fn an_app_that_can_not_be_loaded_is_left_out_and_only_logged() {
    let studio = studio();
    let project = Project::new(176, "bunny", Core::older("v0.22.7"))
        .app(AppBundle::Missing)
        .app(AppBundle::RaisesOnImport)
        .app(AppBundle::InitRaises);
    studio.project(&project).unwrap();
    let told = run(
        &studio,
        "
start()
engine = boot(176)
print(sorted(engine.apps), 'of_a_failed_app' in engine.commands)
with open(os.path.join(os.environ['SHOTGUN_HOME'], 'logs', 'tk-shell.log')) as log:
    print([word in log.read() for word in ('a_library_that_is_nowhere',)])
",
    );
    assert_eq!(told, ["['tk-multi-versions'] True", "[True]"]);
}

#[test]
fn bundles_of_other_kinds_are_looked_for_in_the_fallback_caches() {
    let studio = studio();
    let cache = studio.home().join("cache");
    let app = cache.join("app_store/tk-multi-cached/v1.2.3");
    std::fs::create_dir_all(&app).unwrap();
    std::fs::write(app.join("app.py"), "import sgtk\nclass App(sgtk.platform.Application):\n    pass\n")
        .unwrap();
    let environment = studio.configuration(176).join("env/project.yml");
    let mut text = std::fs::read_to_string(&environment).unwrap();
    text.push_str(
        "      tk-multi-cached:\n        location:\n          type: app_store\n          name: \
         tk-multi-cached\n          version: v1.2.3\n",
    );
    std::fs::write(&environment, text).unwrap();
    let script = |paths: &str| {
        format!(
            "start(); engine = boot(176{paths}); print({{name: app.version for name, app in \
             engine.apps.items()}})"
        )
    };
    assert_eq!(run(&studio, &script("")), ["{'tk-multi-versions': 'Undefined'}"]);
    let paths = format!(", bundle_cache_fallback_paths=[{:?}]", cache.display().to_string());
    assert_eq!(
        run(&studio, &script(&paths)),
        ["{'tk-multi-versions': 'Undefined', 'tk-multi-cached': 'v1.2.3'}"]
    );
}
