//! What project code does to the import state of its worker: seen when the call ends, undone, told with its
//! name.

use std::path::Path;

use serde_json::{Value, json};
use sgtk_host_fixtures::{Configs, Core, Project, Studio, bundled, isolated};
use sgtk_pool::{Bootstrap, Call, PoolError, WorkerPool, WorkerPoolBuilder};

use crate::output::Listener;
use crate::support::until;

/// The published document's second listing, with its places filled in; and what it publishes before that.
const PLUGIN: &str = r#"
import os, sys, threading

try:
    # A core may take the host's, which adds a finder for good.
    import six
except ImportError:
    pass

def tell(sgtk):
    import sgtk as imported, tank
    from tank.util import late
    return {
        "version": sgtk.__version__,
        "same": imported is sgtk is tank,
        "late": __import__("importlib").import_module("tank.late_a").CORE_VERSION,
        "parts": [sgtk.platform.CORE_VERSION, sgtk.util.shotgun.API_VERSION],
        "current_pc": os.environ.get("TANK_CURRENT_PC"),
        "path": sys.path,
        "finders": ["%s.%s" % (type(one).__module__, type(one).__name__) for one in sys.meta_path],
        "engine": getattr(sgtk.platform.current_engine(), "instance_name", None),
        "threads": sorted(one.name for one in threading.enumerate()),
        "aside": sorted(name for name in sys.modules if name.startswith(("core_swap_", "_tank_vendor_swap_"))),
        "handlers": [type(one).__name__ for one in __import__("logging").getLogger("sgtk").handlers],
        "modules": sorted(name for name in sys.modules if name.partition(".")[0] in ("tank", "sgtk", "tank_vendor")),
    }

def second_listing(starting_core, site, script, key, project, fail=False):
    sys.path.insert(0, starting_core)
    import sgtk

    sa = sgtk.authentication.ShotgunAuthenticator()
    user = sa.create_script_user(api_script=script, api_key=key, host=site)
    sgtk.set_authenticated_user(user)
    mgr = sgtk.bootstrap.ToolkitManager(sg_user=user)
    mgr.plugin_id = "basic."
    engine = mgr.bootstrap_engine("tk-shell", entity={"type": "Project", "id": project})
    import sgtk

    did = [sgtk.__version__, engine.context.project["name"]]
    if fail:
        raise ValueError("between bootstrap and destroy")
    engine.destroy()
    return did

def purge_and_import(core):
    for name in [name for name in sys.modules if name.startswith("tank") or name.startswith("sgtk")]:
        sys.modules.pop(name)
    if sys.path[0] != "":
        sys.path.pop(0)
    sys.path = [core] + sys.path
    if "TANK_CURRENT_PC" in os.environ:
        del os.environ["TANK_CURRENT_PC"]
    import sgtk
    return sgtk.__version__

def library():
    return sys.modules["shotgun_api3.shotgun"].Shotgun

def other_core_wraps(core):
    """As a core does that finds its libraries loaded, and as hooks have their loggers."""
    version = purge_and_import(core)
    code = """
def wrap(original):
    def wrapped(self, *args):
        return original(self, *args)
    return wrapped

def wrap_static(original):
    def wrapped():
        return original()
    return wrapped

class Big(object):
    pass

def represent(one):
    return Big
"""
    names = vars(sys.modules["tank"])
    exec(code, names)
    Shotgun = library()
    Shotgun.find_one = names["wrap"](names["wrap"](Shotgun.find_one))
    Shotgun.static = staticmethod(names["wrap_static"](Shotgun.static))
    Shotgun.representers[names["Big"]] = names["represent"]
    import logging, uuid
    logging.getLogger("sgtk.ext." + uuid.uuid4().hex)
    return version

def note_library():
    Shotgun = library()
    Shotgun.static = staticmethod(lambda: "static")
    Shotgun.representers = {int: str}
    note_library.kept = [Shotgun.find_one, Shotgun.static]

def look_at_library():
    import gc, logging
    gc.collect()
    Shotgun = library()
    return {
        "same": [Shotgun.find_one, Shotgun.static] == note_library.kept,
        "representers": len(Shotgun.representers),
        "cores": sum(type(one) is type and one.__name__ == "Big" for one in gc.get_objects()),
        "loggers": len(logging.Logger.manager.loggerDict),
    }

def purge():
    for name in [name for name in sys.modules if name.startswith("tank") or name.startswith("sgtk")]:
        sys.modules.pop(name)

def swap():
    module = type(sys)("sgtk")
    module.__version__ = "v9"
    sys.modules["sgtk"] = module

def swap_part():
    sys.modules["tank.util.shotgun"] = type(sys)("tank.util.shotgun")

def lose_names():
    vars(sys.modules["sgtk"]).clear()

def lose_api():
    del sys.modules["tank"].api

def lose_function():
    del sys.modules["tank.platform"].current_engine

def lose_names_of_a_part():
    vars(sys.modules["sgtk.util"]).clear()

def lose_folder():
    del sys.modules["tank"].__path__

def add_names():
    import sgtk
    sgtk.scratch = 1
    sgtk.util.__doc__ = "own"

def lose_own_names():
    import sgtk
    del sgtk.scratch

def rewrite_path(entry):
    sys.path[0] = entry

def drop_path():
    del sys.path[:]

def new_lists():
    sys.path = list(reversed(sys.path))
    sys.modules = dict(sys.modules)

def lose_configuration():
    os.environ["TANK_CURRENT_PC"] = "/another/configuration"

def lose_import():
    import builtins
    builtins.__import__ = None

def wrap_import():
    import builtins
    original = builtins.__import__
    builtins.__import__ = lambda *args, **kwargs: original(*args, **kwargs)

def add_path(entry):
    sys.path.append(entry)
    return sys.path.count(entry)

def imports_helper_meanwhile(core):
    purge_and_import(core)
    import helper
    return helper.sgtk.__version__

def helper_version():
    import helper
    return [helper.sgtk.__version__, helper.sgtk is sys.modules["sgtk"]]

def pid():
    return os.getpid()
"#;

fn plugins() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("wild.py"), PLUGIN).unwrap();
    std::fs::write(folder.path().join("helper.py"), "import sgtk\n").unwrap();
    folder
}

/// What a worker's own state has become: `tell`, without what two calls may differ in.
fn tell(pool: &WorkerPool, project: &str) -> Value {
    pool.call(project, Call::new("wild:tell")).unwrap()
}

#[track_caller]
fn assert_same(before: &Value, after: &Value, when: &str) {
    for (key, value) in before.as_object().unwrap() {
        assert_eq!(*value, after[key], "{key}, {when}");
    }
}

/// Does something to a worker again and again, and sees that everything is as it was each time.
fn unchanged_by(call: impl Fn() -> Call, expected: impl Fn(Result<Value, PoolError>)) {
    for templates in [true, false] {
        let (configs, plugins) = (bundled().unwrap(), plugins());
        let options = WorkerPool::builder().configs(configs.base()).plugin_path(plugins.path());
        let pool = options.templates(templates).build().unwrap();
        for project in ["project_a", "project_b", "project_e"] {
            let (before, pid) = (tell(&pool, project), pid(&pool, project));
            assert_eq!(before["same"], true, "{before}");
            for round in 0..3 {
                expected(pool.call(project, call()));
                assert_same(&before, &tell(&pool, project), &format!("{project}, round {round}"));
            }
            assert_eq!(self::pid(&pool, project), pid, "the worker went on");
        }
    }
}

fn pid(pool: &WorkerPool, project: &str) -> u64 {
    pool.call(project, Call::new("wild:pid")).unwrap()
}

#[test]
fn the_published_purge_for_another_project_is_undone() {
    let others = Configs::new().unwrap();
    let core = others.localized("other", &Core::newer("v0.23.7")).unwrap();
    let core = Configs::python(&core);
    unchanged_by(
        || Call::new("wild:purge_and_import").arg(&core),
        |done| assert_eq!(done.unwrap(), "v0.23.7"),
    );
}

#[test]
fn what_another_core_has_done_to_the_projects_libraries_keeps_nothing_of_it_alive() {
    let others = Configs::new().unwrap();
    let core = Configs::python(&others.localized("other", &Core::newer("v0.23.7")).unwrap());
    let (configs, plugins) = (bundled().unwrap(), plugins());
    let pool = WorkerPool::builder().configs(configs.base()).plugin_path(plugins.path()).build().unwrap();
    let call = |call: Call| pool.call::<Value>("project_a", call).unwrap();
    let wraps = || call(Call::new("wild:other_core_wraps").arg(&core));
    call(Call::new("wild:note_library"));
    assert_eq!(wraps(), "v0.23.7");
    let before = call(Call::new("wild:look_at_library"));
    for _ in 0..3 {
        wraps();
    }
    let after = call(Call::new("wild:look_at_library"));
    assert_eq!(
        (&after["same"], &after["representers"], &after["cores"]),
        (&json!(true), &json!(1), &json!(0))
    );
    assert_eq!(before, after);
}

#[test]
fn a_worker_in_which_many_other_cores_have_been_is_replaced() {
    let others = Configs::new().unwrap();
    let core = Configs::python(&others.localized("other", &Core::newer("v0.23.7")).unwrap());
    let (configs, plugins) = (bundled().unwrap(), plugins());
    let pool = WorkerPool::builder().configs(configs.base()).plugin_path(plugins.path()).build().unwrap();
    let (before, first) = (tell(&pool, "project_a"), pid(&pool, "project_a"));
    let import_other = || {
        let done: String = pool.call("project_a", Call::new("wild:purge_and_import").arg(&core)).unwrap();
        assert_eq!(done, "v0.23.7");
    };
    (1..100).for_each(|_| import_other());
    assert_eq!(pid(&pool, "project_a"), first);
    import_other();
    assert_ne!(pid(&pool, "project_a"), first);
    assert_same(&before, &tell(&pool, "project_a"), "in the next worker");
}

#[test]
fn the_published_purge_for_an_older_core_is_undone() {
    let others = Configs::new().unwrap();
    let core = others.localized("other", &Core::older("v0.21.7")).unwrap();
    let core = Configs::python(&core);
    unchanged_by(
        || Call::new("wild:purge_and_import").arg(&core),
        // The newer core's finder answers for the older one's libraries.
        drop,
    );
}

#[test]
fn a_purge_without_an_import_is_undone() {
    unchanged_by(|| Call::new("wild:purge"), |done| drop(done.unwrap()));
}

#[test]
fn modules_that_were_swapped_are_put_back() {
    for function in ["wild:swap", "wild:swap_part"] {
        unchanged_by(|| Call::new(function), |done| drop(done.unwrap()));
    }
}

#[test]
fn names_that_a_call_has_taken_from_its_core_are_put_back() {
    for name in ["names", "api", "function", "names_of_a_part", "folder"] {
        unchanged_by(|| Call::new(format!("wild:lose_{name}")), |done| drop(done.unwrap()));
    }
}

#[test]
fn names_that_were_put_back_are_told_and_a_projects_own_come_and_go() {
    isolated("own_state::names_that_were_put_back_are_told_and_a_projects_own_come_and_go", || {
        let listener = Listener::install();
        let (configs, plugins) = (bundled().unwrap(), plugins());
        let pool = WorkerPool::builder().configs(configs.base()).plugin_path(plugins.path()).build().unwrap();
        for function in ["wild:add_names", "wild:lose_own_names", "wild:add_names"] {
            pool.call::<Value>("project_a", Call::new(function)).unwrap();
        }
        assert_eq!(listener.warnings(), [""; 0]);
        pool.call::<Value>("project_a", Call::new("wild:lose_api")).unwrap();
        let warnings = listener.warnings().concat();
        for word in ["'api' was taken from its core's module 'tank'", "wild:lose_api"] {
            assert!(warnings.contains(word), "{warnings}");
        }
    });
}

#[test]
fn a_search_path_that_was_rewritten_is_put_right() {
    unchanged_by(|| Call::new("wild:rewrite_path").arg("/"), |done| drop(done.unwrap()));
}

#[test]
fn lists_and_variables_that_are_the_workers_are_put_back() {
    for function in ["wild:drop_path", "wild:new_lists", "wild:lose_configuration"] {
        unchanged_by(|| Call::new(function), |done| drop(done.unwrap()));
    }
}

#[test]
fn the_function_that_imports_is_put_back() {
    for function in ["wild:lose_import", "wild:wrap_import"] {
        unchanged_by(|| Call::new(function), |done| drop(done.unwrap()));
    }
}

#[test]
fn a_module_that_was_imported_beside_another_core_is_imported_anew() {
    let others = Configs::new().unwrap();
    let core = others.localized("other", &Core::newer("v0.23.7")).unwrap();
    let (configs, plugins) = (bundled().unwrap(), plugins());
    let pool = WorkerPool::builder().configs(configs.base()).plugin_path(plugins.path()).build().unwrap();
    let call = Call::new("wild:imports_helper_meanwhile").arg(Configs::python(&core));
    assert_eq!(pool.call::<Value>("project_a", call).unwrap(), "v0.23.7");
    let after: Value = pool.call("project_a", Call::new("wild:helper_version")).unwrap();
    assert_eq!(after, json!(["v0.24.0", true]));
}

#[test]
fn a_path_that_is_added_by_each_call_is_there_once() {
    let (configs, plugins) = (bundled().unwrap(), plugins());
    let pool = WorkerPool::builder().configs(configs.base()).plugin_path(plugins.path()).build().unwrap();
    let add = || pool.call::<u32>("project_a", Call::new("wild:add_path").arg("/studio/tools")).unwrap();
    assert_eq!([add(), add(), add(), add()], [1, 2, 2, 2], "the one that was there, and its own");
    let path = &tell(&pool, "project_a")["path"];
    let entries = path.as_array().unwrap().iter().filter(|entry| **entry == "/studio/tools");
    assert_eq!(entries.count(), 1, "{path}");
}

const PROJECTS: [(i64, &str, &str); 3] =
    [(176, "bunny", "v0.22.7"), (177, "sintel", "v0.23.8"), (178, "spring", "v0.24.0")];

fn core(version: &str) -> Core {
    if version < "v0.23" { Core::older(version) } else { Core::newer(version) }
}

fn studio() -> Studio {
    let studio = Studio::new(&Core::newer("v0.24.0")).unwrap();
    for (id, name, version) in PROJECTS {
        studio.project(&Project::new(id, name, core(version))).unwrap();
    }
    studio
}

fn second_listing(studio: &Studio, project: i64, fail: bool) -> Call {
    Call::new("wild:second_listing")
        .arg(studio.start())
        .arg(studio.site().url())
        .arg(Studio::SCRIPT)
        .arg(Studio::KEY)
        .arg(project)
        .kwarg("fail", fail)
}

/// Runs the listing for all projects, every third time with an exception before `destroy`.
fn bootstraps_by_itself(studio: &Studio, options: &WorkerPoolBuilder, lanes: &[&str]) {
    for templates in [true, false] {
        let pool = options.clone().templates(templates).build().unwrap();
        for lane in lanes {
            let before = tell(&pool, lane);
            let worker = pid(&pool, lane);
            for round in 0..6 {
                let (id, name, version) = PROJECTS[round % 3];
                let fails = round % 3 == 1;
                let done = pool.call::<Value>(*lane, second_listing(studio, id, fails));
                match done {
                    Ok(done) => assert_eq!(done, json!([version, name]), "{lane}, round {round}"),
                    Err(error) => {
                        let python = error.python().unwrap();
                        assert!(fails && python.is_a("ValueError"), "{lane}, round {round}: {error}");
                    }
                }
                assert_same(&before, &tell(&pool, lane), &format!("{lane}, round {round}"));
            }
            assert_eq!(pid(&pool, lane), worker, "{lane}: the worker went on");
        }
    }
}

#[test]
fn the_second_listing_in_a_plugin_works_again_and_again_in_workers_of_centralized_configurations() {
    let (studio, configs, plugins) = (studio(), bundled().unwrap(), plugins());
    let options = WorkerPool::builder()
        .configs(configs.base())
        .plugin_path(plugins.path())
        .env("SHOTGUN_HOME", studio.home());
    bootstraps_by_itself(&studio, &options, &["project_a", "project_b", "project_e"]);
}

#[test]
fn the_second_listing_in_a_plugin_works_again_and_again_in_workers_with_an_engine() {
    let (studio, plugins) = (studio(), plugins());
    let bootstrap = |id: i64| {
        let options =
            Bootstrap::project(id.try_into().unwrap()).core(studio.start()).site(studio.site().url());
        options.script_user(Studio::SCRIPT, Studio::KEY).build().unwrap()
    };
    let options = PROJECTS
        .iter()
        .fold(WorkerPool::builder(), |options, (id, name, _)| options.bootstrap(*name, bootstrap(*id)))
        .configs(studio.home())
        .plugin_path(plugins.path())
        .env("SHOTGUN_HOME", studio.home());
    bootstraps_by_itself(&studio, &options, &["bunny", "spring"]);
}

#[test]
fn what_a_call_has_left_behind_is_told_once_with_its_name() {
    isolated("own_state::what_a_call_has_left_behind_is_told_once_with_its_name", || {
        let listener = Listener::install();
        let (studio, configs, plugins) = (studio(), bundled().unwrap(), plugins());
        let options = WorkerPool::builder().configs(configs.base()).plugin_path(plugins.path());
        let pool = options.env("SHOTGUN_HOME", studio.home()).build().unwrap();
        for _ in 0..3 {
            pool.call::<Value>("project_a", second_listing(&studio, 177, true)).unwrap_err();
        }
        let told =
            || listener.warnings().into_iter().filter(|text| text.contains("wild:second_listing")).collect();
        until("it is told", || !Vec::is_empty(&told()));
        let told: Vec<String> = told();
        assert_eq!(told.len(), 1, "{told:?}");
        for part in ["another core was left in place", "an engine of it was left running", "it was undone"] {
            assert!(told[0].contains(part), "{part}: {}", told[0]);
        }
        tell(&pool, "project_a");
        assert_eq!(listener.warnings().len(), 1, "{:?}", listener.warnings());
    });
}

#[test]
fn a_worker_that_has_lost_its_engine_is_replaced() {
    let (studio, plugins) = (studio(), plugins());
    std::fs::write(plugins.path().join("ends.py"), "def end(engine):\n    engine.destroy()\n").unwrap();
    let options = Bootstrap::project(177).core(studio.start()).site(studio.site().url());
    let bootstrap = options.script_user(Studio::SCRIPT, Studio::KEY).build().unwrap();
    let pool = WorkerPool::builder()
        .configs(studio.home())
        .plugin_path(plugins.path())
        .env("SHOTGUN_HOME", studio.home())
        .bootstrap("sintel", bootstrap)
        .build()
        .unwrap();
    let (before, first) = (tell(&pool, "sintel"), pid(&pool, "sintel"));
    pool.call::<Value>("sintel", Call::new("ends:end")).unwrap();
    assert_ne!(pid(&pool, "sintel"), first);
    assert_eq!(tell(&pool, "sintel")["engine"], before["engine"]);
    assert!(Path::new(before["current_pc"].as_str().unwrap()).is_dir());
}
