//! What a plugin does to its own import state, seen and undone when its lease ends: the published document's
//! second listing, the recipe for another project, and modules, paths and finders that are taken away.

use std::fs;

use pyo3::prelude::*;
use sgtk_host::{Host, HostBuilder};
use sgtk_host_fixtures::{Configs, EngineBundle, Project, Studio, bundled, bundled_versions, recipe};

use crate::daemon_code::Daemon;
use crate::listener::Listener;
use crate::support::{PROJECTS, alone, assert_not_grown, assert_own, bootstrap, core, counts, studio};

/// The published listing in a plugin, but for the names in it; some of its calls fail before `destroy`.
const PLUGIN: &str = r#"
import sys
import helper_of_the_plugin

calls = []


def handle(START, SCRIPTNAME, SCRIPTKEY, SITE, project, fails):
    calls.append(project)
    # insert the path to the non project centric sgtk API
    sys.path.insert(0, START)
    import sgtk

    sa = sgtk.authentication.ShotgunAuthenticator()
    # Use the authenticator to create a user object.
    user = sa.create_script_user(api_script=SCRIPTNAME, api_key=SCRIPTKEY, host=SITE)

    sgtk.set_authenticated_user(user)

    mgr = sgtk.bootstrap.ToolkitManager(sg_user=user)
    mgr.plugin_id = "basic."

    engine = mgr.bootstrap_engine("tk-shell", entity={"type": "Project", "id": project})
    # import sgtk again for the newly bootstrapped project, (we don't need to handle setting sys paths)
    import sgtk
    # perform any required operations on Project 176 ...
    if fails:
        raise RuntimeError("before destroy, in %s" % project)
    versions = set(engine.commands["versions"]["callback"]().values())
    from sgtk.util import shotgun

    told = [sgtk.__version__, sorted(versions), shotgun.API_VERSION, str(engine.context)]
    assert sys.modules[__name__].calls is calls and helper_of_the_plugin.NAME == "helper"

    # Destroy the engine to allow us to bootstrap into another project/engine.
    engine.destroy()
    return told


def twice(*arguments):
    return [handle(*arguments[:-2], project, False) for project in (176, 177)]
"#;

struct Scene {
    studio: Studio,
    configs: Configs,
    _plugins: tempfile::TempDir,
    host: Host,
    daemon: Daemon,
}

impl Scene {
    fn new(plugin: &str) -> Self {
        Self::with(plugin, studio(), |options| options)
    }

    fn with(plugin: &str, studio: Studio, options: impl FnOnce(HostBuilder) -> HostBuilder) -> Self {
        let configs = bundled().unwrap();
        let plugins = tempfile::tempdir().unwrap();
        fs::write(plugins.path().join("a_plugin.py"), plugin).unwrap();
        fs::write(plugins.path().join("helper_of_the_plugin.py"), "NAME = 'helper'\n").unwrap();
        let host = Host::builder().configs(configs.base()).plugin_path(plugins.path());
        let host = options(host).build().unwrap();
        let daemon = Daemon::new();
        Python::attach(|py| {
            let text = |text: &str| pyo3::types::PyString::new(py, text).into_any();
            daemon.set("START", &text(&studio.start().display().to_string()));
            daemon.set("SITE", &text(&studio.site().url()));
        });
        daemon.run(&format!(
            "import importlib\nACCESS = (START, {:?}, {:?}, SITE)\n\
             def plugin():\n    return importlib.import_module('a_plugin')",
            Studio::SCRIPT,
            Studio::KEY
        ));
        Self { studio, configs, _plugins: plugins, host, daemon }
    }

    /// What an expression of the daemon's gives in a lease of the project.
    fn in_lease<T>(&self, project: &str, expression: &str) -> T
    where
        T: for<'a, 'py> FromPyObject<'a, 'py>,
    {
        Python::attach(|py| {
            let lease = self.host.lease(py, project).unwrap();
            let told = self.daemon.get(expression);
            lease.finish().unwrap();
            told
        })
    }

    #[track_caller]
    fn assert_own(&self, project: &str, version: &str) {
        let told: Vec<String> = self.in_lease(
            project,
            "[__import__('sgtk').__version__, __import__('tank.api').api.CORE_VERSION, \
             sys.modules['sgtk'].util.shotgun.API_VERSION, sys.modules['sgtk'].util.yaml_cache.YAML_VERSION, \
             str(sys.modules['tank'].platform.current_engine())]",
        );
        assert_eq!(told, [version, version, version, version, "None"], "{project}");
        let foreign: Vec<String> = self.in_lease(
            project,
            "[name for name, version in sys.modules['sgtk'].util.baked_versions().items() \
             if version not in (sys.modules['sgtk'].__version__, 'host', None)]",
        );
        assert_eq!(foreign, [""; 0], "{project}");
    }
}

fn expected(id: u32) -> (&'static str, String) {
    let (_, name, version) = PROJECTS.into_iter().find(|(number, ..)| *number == id).unwrap();
    (version, format!("Project {name}"))
}

type Told = (String, Vec<String>, String, String);

#[test]
fn the_second_listing_in_a_plugin_works_again_and_again() {
    alone("left_behind::the_second_listing_in_a_plugin_works_again_and_again", || {
        let scene = Scene::new(PLUGIN);
        for (project, version) in
            [("project_a", "v0.24.0"), ("project_b", "v0.22.5"), ("project_d", "v0.23.8")]
        {
            scene.assert_own(project, version);
        }
        let mut before = None;
        for round in 0..4 {
            for (number, (project, version)) in
                [("project_a", "v0.24.0"), ("project_b", "v0.22.5"), ("project_d", "v0.23.8")]
                    .into_iter()
                    .enumerate()
            {
                for id in [176, 177, 178] {
                    let (wanted, context) = expected(id);
                    // Every third call fails with the engine running.
                    if (round + number + id as usize).is_multiple_of(3) {
                        let told: String =
                            scene.in_lease(project, &format!("late(plugin().handle, *ACCESS, {id}, True)"));
                        assert_eq!(told, format!("RuntimeError: before destroy, in {id}"));
                    } else {
                        let told: Told =
                            scene.in_lease(project, &format!("tuple(plugin().handle(*ACCESS, {id}, False))"));
                        let wanted = wanted.to_owned();
                        assert_eq!(
                            told,
                            (wanted.clone(), vec![wanted.clone()], wanted, context),
                            "{project}"
                        );
                    }
                    scene.assert_own(project, version);
                }
            }
            if round == 0 {
                before = Some(Python::attach(counts));
                scene.daemon.remember();
            }
        }
        scene.daemon.assert_as_before("after the plugins");
        assert_not_grown(&before.unwrap());
        // The plugin's own module was the same all the while.
        assert_eq!(scene.in_lease::<usize>("project_a", "len(plugin().calls)"), 12);
        Python::attach(|py| assert_eq!(scene.host.audit(py).unwrap(), []));
    });
}

#[test]
fn a_plugin_may_bootstrap_one_project_after_another_in_one_lease() {
    alone("left_behind::a_plugin_may_bootstrap_one_project_after_another_in_one_lease", || {
        let scene = Scene::new(PLUGIN);
        for _ in 0..2 {
            for project in ["project_a", "project_b"] {
                let told: Vec<Told> =
                    scene.in_lease(project, "[tuple(told) for told in plugin().twice(*ACCESS, None, None)]");
                let versions: Vec<_> = told.iter().map(|told| told.0.as_str()).collect();
                assert_eq!(versions, ["v0.22.7", "v0.23.8"]);
            }
        }
        scene.assert_own("project_a", "v0.24.0");
        scene.assert_own("project_b", "v0.22.5");
    });
}

#[test]
fn an_engine_that_is_left_in_the_projects_own_core_is_ended() {
    alone("left_behind::an_engine_that_is_left_in_the_projects_own_core_is_ended", || {
        let studio = studio();
        // Centralized, and its own core is the one that a lease has: no core is exchanged.
        studio.project(&Project::new(190, "central", core("v0.23.8")).centralized()).unwrap();
        let listener = Listener::listening();
        let scene = Scene::with(PLUGIN, studio, |options| options);
        let folder = scene.studio.configuration(190);
        let base = scene.configs.base().join("central");
        std::os::unix::fs::symlink(&folder, &base).unwrap();
        let threads = |scene: &Scene| scene.daemon.get::<usize>("__import__('threading').active_count()");
        let before = threads(&scene);
        for _ in 0..3 {
            let told: String = scene.in_lease("central", "late(plugin().handle, *ACCESS, 190, True)");
            assert_eq!(told, "RuntimeError: before destroy, in 190");
            scene.assert_own("central", "v0.23.8");
            let told: Told = scene.in_lease("central", "tuple(plugin().handle(*ACCESS, 190, False))");
            assert_eq!(told.0, "v0.23.8");
        }
        let start = std::time::Instant::now();
        while threads(&scene) > before {
            assert!(
                start.elapsed().as_secs() < 60,
                "threads are left: {}",
                scene.daemon.get::<String>("repr(__import__('threading').enumerate())")
            );
            std::thread::yield_now();
        }
        // Once, with the code that has started it.
        let told = listener.with("message", "code has left an engine that it has started; it was destroyed");
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0]["project"], "central");
        assert!(told[0]["by"].starts_with("function 'handle' in ") && told[0]["by"].contains("a_plugin.py"));
    });
}

#[test]
fn an_engine_that_does_not_end_in_good_order_is_gone_all_the_same() {
    alone("left_behind::an_engine_that_does_not_end_in_good_order_is_gone_all_the_same", || {
        let studio = studio();
        let odd = Project::new(190, "odd", core("v0.23.8")).engine(EngineBundle::DestroyRaises);
        studio.project(&odd.centralized()).unwrap();
        let scene = Scene::with(PLUGIN, studio, |options| options);
        std::os::unix::fs::symlink(scene.studio.configuration(190), scene.configs.base().join("odd"))
            .unwrap();
        for _ in 0..2 {
            let told: String = scene.in_lease("odd", "late(plugin().handle, *ACCESS, 190, True)");
            assert_eq!(told, "RuntimeError: before destroy, in 190");
            scene.assert_own("odd", "v0.23.8");
        }
    });
}

#[test]
fn a_plugin_bootstraps_in_an_engines_lease_and_the_engine_stays() {
    alone("left_behind::a_plugin_bootstraps_in_an_engines_lease_and_the_engine_stays", || {
        let scene = Scene::new(PLUGIN);
        let engines = [176, 177].map(|id| bootstrap(&scene.host, &scene.studio, id));
        for round in 0..3 {
            for (engine, own) in engines.iter().zip(["v0.22.7", "v0.23.8"]) {
                // Among them the very project whose engine is running.
                for id in [176, 177, 178] {
                    let fails = (round + id) % 3 == 0;
                    let call = format!(
                        "late(plugin().handle, *ACCESS, {id}, {})",
                        if fails { "True" } else { "False" }
                    );
                    let told = engine.with(|_| Ok(scene.daemon.get::<String>(&format!("str(({call}))"))));
                    let (wanted, _) = expected(id);
                    let wanted = if fails { "before destroy" } else { wanted };
                    assert!(told.as_ref().is_ok_and(|told| told.contains(wanted)), "{told:?}");
                    assert_own(engine, own);
                }
            }
        }
        for engine in engines {
            engine.destroy().unwrap();
        }
    });
}

#[test]
fn others_that_want_the_project_meanwhile_get_its_own_core() {
    alone("left_behind::others_that_want_the_project_meanwhile_get_its_own_core", || {
        // Waits in the middle: the engine runs, another core is in place.
        let plugin = PLUGIN.replace("    if fails:\n", "    GATE.wait()\n    if fails:\n");
        let scene = Scene::new(&plugin);
        scene.assert_own("project_a", "v0.24.0");
        scene.daemon.run("import threading\ngate = threading.Event()");
        // A thread of the project's own that imports late, meanwhile and off its turn.
        scene.in_lease::<bool>("project_a", "setattr(plugin(), 'GATE', gate) is None");
        let versions = std::thread::scope(|scope| {
            let bootstraps = scope
                .spawn(|| scene.in_lease::<Told>("project_a", "tuple(plugin().handle(*ACCESS, 177, False))"));
            assert!(scene.studio.site().wait_for("get_session_token", 0, std::time::Duration::ZERO).unwrap());
            let others: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| scene.in_lease::<String>("project_a", "__import__('sgtk').__version__"))
                })
                .collect();
            // All of them wait, or have come before the bootstrap.
            let start = std::time::Instant::now();
            while scene.host.waiting() + others.iter().filter(|other| other.is_finished()).count() < 3 {
                assert!(start.elapsed().as_secs() < 60);
                std::thread::yield_now();
            }
            scene.daemon.run("gate.set()");
            assert_eq!(bootstraps.join().unwrap().0, "v0.23.8");
            others.into_iter().map(|other| other.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(versions, ["v0.24.0"; 3]);
    });
}

#[test]
fn a_bootstrap_that_fails_leaves_the_plugin_with_its_own_core() {
    alone("left_behind::a_bootstrap_that_fails_leaves_the_plugin_with_its_own_core", || {
        let scene = Scene::new(PLUGIN);
        let told: String = scene.in_lease("project_a", "late(plugin().handle, *ACCESS, 999, False)");
        assert!(told.contains("999") || told.starts_with("Tank") || told.contains("Error"), "{told}");
        scene.assert_own("project_a", "v0.24.0");
        let told: Told = scene.in_lease("project_a", "tuple(plugin().handle(*ACCESS, 177, False))");
        assert_eq!(told.0, "v0.23.8");
    });
}

#[test]
fn after_import_sgtk_the_listing_works_again_and_again_too() {
    alone("left_behind::after_import_sgtk_the_listing_works_again_and_again_too", || {
        let scene = Scene::new(PLUGIN);
        let threads = || scene.daemon.get::<usize>("__import__('threading').active_count()");
        let mut before = None;
        for round in 0..3 {
            for (project, version) in [("project_a", "v0.24.0"), ("project_b", "v0.22.5")] {
                for id in [176, 177] {
                    drop(scene.host.import_sgtk(project).unwrap());
                    let own =
                        "[__import__('sgtk').__version__, sys.modules['sgtk'].util.shotgun.API_VERSION]";
                    assert_eq!(scene.daemon.get::<Vec<String>>(own), [version; 2]);
                    if (round + id) % 2 == 0 {
                        let told: String =
                            scene.daemon.get(&format!("late(plugin().handle, *ACCESS, {id}, True)"));
                        assert_eq!(told, format!("RuntimeError: before destroy, in {id}"));
                    } else {
                        let told: Told =
                            scene.daemon.get(&format!("tuple(plugin().handle(*ACCESS, {id}, False))"));
                        assert_eq!(told.0, expected(id).0, "{project}");
                    }
                    // Leases in between are not concerned.
                    scene.assert_own("project_d", "v0.23.8");
                }
            }
            assert!(scene.host.forget_sgtk().unwrap());
            before.get_or_insert_with(threads);
        }
        let start = std::time::Instant::now();
        while threads() > before.unwrap() {
            assert!(
                start.elapsed().as_secs() < 60,
                "threads are left: {}",
                scene.daemon.get::<String>("repr(__import__('threading').enumerate())")
            );
            std::thread::yield_now();
        }
        assert!(scene.daemon.get::<bool>("'sgtk' not in sys.modules"));
        Python::attach(|py| assert_eq!(scene.host.audit(py).unwrap(), []));
    });
}

/// The published recipe, for another project, inside a plugin.
#[test]
fn the_recipe_for_another_project_in_a_plugin_is_undone() {
    alone("left_behind::the_recipe_for_another_project_in_a_plugin_is_undone", || {
        // The published one, but that the names are copied before some are taken out, as Python 3 needs it.
        let published = fs::read_to_string(recipe()).unwrap();
        let scene =
            Scene::new(&format!("{published}\n\ndef handle(project):\n    return import_sgtk(project)\n"));
        let base = scene.configs.base().display().to_string();
        scene.daemon.run(&format!("os.environ['SHOTGUN_BASE'] = {base:?}"));
        for _ in 0..2 {
            for (project, version) in bundled_versions() {
                scene.assert_own(project, version);
                for other in ["project_a", "project_b", "project_c"] {
                    let _: String =
                        scene.in_lease(project, &format!("str(late(plugin().handle, {other:?}))"));
                    scene.assert_own(project, version);
                }
            }
        }
        scene.daemon.remember();
        let _: String = scene.in_lease("project_a", "str(late(plugin().handle, 'project_b'))");
        scene.daemon.assert_as_before("after a recipe");
        Python::attach(|py| assert_eq!(scene.host.audit(py).unwrap(), []));
    });
}

const SPOILS: &str = r#"
import builtins, importlib, logging, os, sys, types


def purge():
    for name in [name for name in sys.modules if name.startswith(("tank", "sgtk"))]:
        del sys.modules[name]


def purge_and_import():
    purge()
    import sgtk


def pop_sgtk():
    sys.modules.pop("sgtk")


def pop_a_part():
    del sys.modules["tank.platform"]


def swap_sgtk():
    sys.modules["sgtk"] = types.ModuleType("sgtk")


def swap_both():
    sys.modules["sgtk"] = sys.modules["tank"] = types.ModuleType("tank")


def pop_path():
    del sys.path[0]


def other_path():
    sys.path = ["/nowhere"]


def no_path():
    sys.path[:] = []


def no_finders():
    sys.meta_path.clear()


def other_finders():
    sys.meta_path = []


def no_hooks():
    sys.path_hooks[:] = []


def other_modules():
    sys.modules = {"sgtk": types.ModuleType("sgtk")}


def no_modules():
    sys.modules.clear()


def other_import():
    builtins.__import__ = lambda *arguments, **named: types.ModuleType("nothing")


def other_import_module():
    importlib.import_module = lambda *arguments, **named: types.ModuleType("nothing")


def no_loggers():
    logging.Logger.manager.loggerDict.clear()


def current_pc():
    os.environ["TANK_CURRENT_PC"] = "/somebody/elses"


def no_names():
    vars(sys.modules["sgtk"]).clear()


def no_api():
    del sys.modules["tank"].api


def no_function():
    del sys.modules["tank.platform"].current_engine


def no_names_of_a_part():
    vars(sys.modules["sgtk.util"]).clear()


def no_folder():
    del sys.modules["tank"].__path__


def another_name():
    tank = sys.modules["tank"]
    del tank.api
    tank.something = 1
"#;

const WAYS: [&str; 24] = [
    "purge",
    "purge_and_import",
    "pop_sgtk",
    "pop_a_part",
    "swap_sgtk",
    "swap_both",
    "pop_path",
    "other_path",
    "no_path",
    "no_finders",
    "other_finders",
    "no_hooks",
    "other_modules",
    "no_modules",
    "other_import",
    "other_import_module",
    "no_loggers",
    "current_pc",
    "no_names",
    "no_api",
    "no_function",
    "no_names_of_a_part",
    "no_folder",
    "another_name",
];

/// As [`PLUGIN`], with settings before and after the other core comes, and no end of its engine.
const SETTING: &str = r#"
import codecs, http.client, locale, logging, random, sys, warnings


def setting(START, SCRIPTNAME, SCRIPTKEY, SITE, project):
    http.client.HTTPConnection.debuglevel = 1
    logging.root.addHandler(logging.NullHandler())
    locale.setlocale(locale.LC_TIME, "C.UTF-8")
    sys.path.insert(0, START)
    import sgtk

    user = sgtk.authentication.ShotgunAuthenticator().create_script_user(
        api_script=SCRIPTNAME, api_key=SCRIPTKEY, host=SITE
    )
    sgtk.set_authenticated_user(user)
    mgr = sgtk.bootstrap.ToolkitManager(sg_user=user)
    mgr.plugin_id = "basic."
    mgr.bootstrap_engine("tk-shell", entity={"type": "Project", "id": project})
    assert seen()[:3] == [1, True, "C.UTF-8"], seen()
    logging.addLevelName(5, "TRACE")
    warnings.filterwarnings("error", "of the plugin")
    codecs.register_error("a_plugin", lambda error: ("?", error.end))
    return seen()


def seen():
    try:
        codecs.encode("\u00e9", "ascii", "a_plugin")
        is_known = True
    except LookupError:
        is_known = False
    return [
        http.client.HTTPConnection.debuglevel,
        any(type(handler) is logging.NullHandler for handler in logging.root.handlers),
        locale.setlocale(locale.LC_TIME),
        logging.getLevelName(5) == "TRACE",
        any(entry[1] and entry[1].pattern == "of the plugin" for entry in warnings.filters),
        is_known,
    ]
"#;

#[test]
fn what_a_plugin_sets_with_another_core_in_place_stays_its_projects() {
    alone("left_behind::what_a_plugin_sets_with_another_core_in_place_stays_its_projects", || {
        let scene = Scene::new(SETTING);
        scene.daemon.run(
            "import json\n\
             def seen(plugin):\n    return json.dumps(plugin.seen())\n\
             def own():\n    return seen(plugin())",
        );
        let before: String = scene.in_lease("project_b", "own()");
        let set = "[1, true, \"C.UTF-8\", true, true, true]";
        for id in [176, 177] {
            let told: String =
                scene.in_lease("project_a", &format!("json.dumps(plugin().setting(*ACCESS, {id}))"));
            assert_eq!(told, set, "with the core of {id}");
            let now: String = scene.in_lease("project_b", "own()");
            assert_eq!(now, before, "another project's, after {id}");
            let now: String = scene.in_lease("project_a", "own()");
            assert_eq!(now, set, "its own, after {id}");
            scene.assert_own("project_a", "v0.24.0");
            let engine = bootstrap(&scene.host, &scene.studio, 178);
            let engines = engine.with(|_| {
                Ok(Python::attach(|_| {
                    scene.daemon.get::<bool>(
                        "(__import__('http.client').client.HTTPConnection.debuglevel, \
                 __import__('logging').getLevelName(5) == 'TRACE') == (0, False)",
                    )
                }))
            });
            assert!(engines.unwrap(), "an engine's");
            engine.destroy().unwrap();
            // The daemon's, outside leases, by the objects that a project's code has as well.
            Python::attach(|py| {
                let module = scene.host.lease(py, "project_b").unwrap();
                let seen: Py<PyAny> = scene.daemon.get("plugin().seen");
                module.finish().unwrap();
                let seen = seen.bind(py).call0().unwrap().str().unwrap().to_string();
                assert!(seen.starts_with("[0, False, ") && seen.ends_with("False, False, False]"), "{seen}");
            });
        }
    });
}

#[test]
fn an_engine_that_the_daemons_own_code_starts_stays_for_further_leases() {
    alone("left_behind::an_engine_that_the_daemons_own_code_starts_stays_for_further_leases", || {
        let studio = studio();
        studio.project(&Project::new(190, "central", core("v0.23.8")).centralized()).unwrap();
        let scene = Scene::with(PLUGIN, studio, |options| options);
        let base = scene.configs.base().join("central");
        std::os::unix::fs::symlink(scene.studio.configuration(190), &base).unwrap();
        scene.daemon.run(
            "def start():\n    import sgtk\n    \
             user = sgtk.authentication.ShotgunAuthenticator().create_script_user(\n        \
             api_script=ACCESS[1], api_key=ACCESS[2], host=ACCESS[3])\n    \
             sgtk.set_authenticated_user(user)\n    tk = sgtk.sgtk_from_entity('Project', 190)\n    \
             engine = sgtk.platform.start_engine('tk-shell', tk, tk.context_from_entity('Project', 190))\n    \
             return id(engine)\n\
             def current():\n    import sgtk\n    return id(sgtk.platform.current_engine())\n\
             def end():\n    import sgtk\n    sgtk.platform.current_engine().destroy()\n    \
             return sgtk.platform.current_engine() is None",
        );
        let started: usize = scene.in_lease("central", "start()");
        scene.assert_own("project_b", "v0.22.5");
        for _ in 0..3 {
            assert_eq!(scene.in_lease::<usize>("central", "current()"), started);
        }
        assert!(scene.in_lease::<bool>("central", "end()"));
    });
}

#[test]
fn whatever_a_plugin_spoils_of_its_own_state_the_next_lease_has_it_whole() {
    alone("left_behind::whatever_a_plugin_spoils_of_its_own_state_the_next_lease_has_it_whole", || {
        let scene = Scene::new(SPOILS);
        let projects = [("project_a", "v0.24.0"), ("project_b", "v0.22.5")];
        for way in WAYS {
            for (project, version) in projects {
                scene.assert_own(project, version);
                scene.daemon.remember();
                // The call itself may fail, as its own code needs what it has spoilt.
                Python::attach(|py| {
                    let lease = scene.host.lease(py, project).unwrap();
                    let plugin = scene.daemon.get::<Py<PyAny>>("plugin()");
                    let _ = plugin.call_method0(py, way);
                    lease.finish().unwrap();
                });
                scene.daemon.assert_as_before(way);
                for (project, version) in projects {
                    scene.assert_own(project, version);
                    // What is not loaded yet is found.
                    let late: String =
                        scene.in_lease(project, "__import__('tank.late_a').late_a.CORE_VERSION");
                    assert_eq!(late, version, "{way}");
                    let helper: String = scene.in_lease(project, "__import__('helper_of_the_plugin').NAME");
                    assert_eq!(helper, "helper", "{way}");
                }
                let evict = |project: &str| Python::attach(|py| scene.host.evict(py, project)).unwrap();
                assert!(projects.iter().all(|(project, _)| evict(project)));
            }
        }
    });
}

#[test]
fn what_was_put_back_is_told_once_with_the_code_that_has_done_it() {
    alone("left_behind::what_was_put_back_is_told_once_with_the_code_that_has_done_it", || {
        let listener = Listener::listening();
        let scene = Scene::new(SPOILS);
        for way in ["purge", "purge_and_import", "pop_path", "no_finders"] {
            for _ in 0..3 {
                Python::attach(|py| {
                    let lease = scene.host.lease(py, "project_a").unwrap();
                    let _ = scene.daemon.get::<Py<PyAny>>("plugin()").call_method0(py, way);
                    lease.finish().unwrap();
                });
            }
            let told =
                listener.with("message", "code has changed its project's import state; it was put back");
            let by: Vec<_> = told.iter().filter(|told| told["by"].contains(&format!("'{way}'"))).collect();
            assert_eq!(by.len(), 1, "{way}: {told:?}");
            assert!(
                by.iter().all(|told| told["by"].contains("a_plugin.py") && told["project"] == "project_a")
            );
        }
    });
}

#[test]
fn names_that_code_has_taken_from_its_core_are_told_once_with_the_module_and_the_thread() {
    alone(
        "left_behind::names_that_code_has_taken_from_its_core_are_told_once_with_the_module_and_the_thread",
        || {
            let listener = Listener::listening();
            let scene = Scene::new(SPOILS);
            for way in ["no_api", "no_names"] {
                for _ in 0..3 {
                    Python::attach(|py| {
                        let lease = scene.host.lease(py, "project_a").unwrap();
                        scene.daemon.get::<Py<PyAny>>("plugin()").call_method0(py, way).unwrap();
                        lease.finish().unwrap();
                    });
                }
            }
            let told =
                listener.with("message", "code has changed its project's import state; it was put back");
            let thread = std::thread::current();
            let by = format!("code of the lease on thread '{}'", thread.name().unwrap());
            assert!(told.iter().all(|told| told["by"] == by && told["project"] == "project_a"), "{told:?}");
            let what: Vec<_> = told.iter().map(|told| told["what"].as_str()).collect();
            let [api, all] = what[..] else { panic!("{told:?}") };
            assert_eq!(api, "'api' was taken from its core's module 'tank'");
            assert!(
                all.contains("was taken from its core's module 'tank', and") && all.contains("more"),
                "{all}"
            );
        },
    );
}

#[test]
fn what_code_adds_to_its_core_or_replaces_in_it_stays_its_projects() {
    alone("left_behind::what_code_adds_to_its_core_or_replaces_in_it_stays_its_projects", || {
        let listener = Listener::listening();
        let scene = Scene::new(
            "import sgtk\n\ndef wrap():\n    sgtk.own = 1\n    sgtk.util.__doc__ = 'own'\n    \
             sgtk.platform.current_engine = lambda: 'own'\n    sgtk.scratch = 1\n\n\
             def unwrap():\n    del sgtk.scratch\n    return [sgtk.own, sgtk.platform.current_engine()]\n",
        );
        for project in ["project_a", "project_b"] {
            scene.in_lease::<Option<bool>>(project, "plugin().wrap()");
            let own: (u32, String) = scene.in_lease(project, "tuple(plugin().unwrap())");
            assert_eq!(own, (1, "own".to_owned()), "{project}");
            let is_left: bool = scene.in_lease(project, "hasattr(sys.modules['sgtk'], 'scratch')");
            assert!(!is_left, "{project}");
        }
        let message = "code has changed its project's import state; it was put back";
        assert_eq!(listener.with("message", message), []);
    });
}

#[test]
fn a_lease_that_spoils_nothing_has_nothing_put_back() {
    alone("left_behind::a_lease_that_spoils_nothing_has_nothing_put_back", || {
        let listener = Listener::listening();
        let scene =
            Scene::new("import sys\nsys.path.append('/studio/lib')\nimport sgtk.deferred.outer.inner\n");
        for (project, version) in bundled_versions() {
            scene.in_lease::<bool>(project, "plugin() is plugin()");
            scene.assert_own(project, version);
            assert!(
                scene.in_lease::<bool>(project, "'/studio/lib' in sys.path and 'a_plugin' in sys.modules")
            );
        }
        for message in [
            "code has changed its project's import state; it was put back",
            "code has left an engine that it has started; it was destroyed",
        ] {
            assert_eq!(listener.with("message", message), []);
        }
    });
}
