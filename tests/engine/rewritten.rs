//! Engines whose folder in the site's cache another bootstrap rewrites: here, as in another process.

use std::path::Path;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use sgtk_host::{Engine, EngineLease};
use sgtk_host_fixtures::{Core, Project, Studio};

use crate::support::{alone, assert_own, bootstrap, command, host, studio};

/// Gives project 176 another core.
fn reconfigure(studio: &Studio, core: Core) {
    studio.project(&Project::new(176, "bunny", core)).unwrap();
}

fn evaluate(engine: &EngineLease<'_>, code: &str) -> PyResult<Vec<String>> {
    let globals = pyo3::types::PyDict::new(engine.py());
    globals.set_item("engine", engine.engine())?;
    let code = std::ffi::CString::new(code).unwrap();
    engine.py().run(&code, Some(&globals), None)?;
    globals.get_item("told")?.unwrap().extract()
}

/// What the engine's core and libraries are when they are imported late.
fn late(engine: &Engine) -> Vec<String> {
    let code = "
import tank.late_a, tank.deferred.outer.inner
told = [tank.late_a.VALUE, tank.deferred.CORE_VERSION, tank.deferred.outer.inner.CORE_VERSION]
";
    engine.with(|engine| evaluate(engine, code)).unwrap()
}

#[test]
fn two_engines_of_one_project_whose_core_changed_between_each_have_their_own() {
    alone("rewritten::two_engines_of_one_project_whose_core_changed_between_each_have_their_own", || {
        for (first, second) in [
            (Core::newer("v0.23.8"), Core::newer("v0.24.10")),
            (Core::older("v0.22.7"), Core::newer("v0.24.1")),
        ] {
            let studio = studio();
            let host = host(&studio);
            let versions = [first.version().to_owned(), second.version().to_owned()];
            reconfigure(&studio, first);
            let old = bootstrap(&host, &studio, 176);
            reconfigure(&studio, second);
            let new = bootstrap(&host, &studio, 176);
            for _ in 0..2 {
                for (engine, version) in [(&old, &versions[0]), (&new, &versions[1])] {
                    assert_eq!(engine.info().core_version.as_deref(), Some(version.as_str()));
                    assert_eq!(late(engine), [version.as_str(); 3]);
                }
            }
            // The old one's files are others now, which is told; nothing else is.
            let audit = Python::attach(|py| host.audit(py).unwrap());
            let is_rewritten = |found: &str| found.ends_with("has changed since its core was imported");
            assert!(!audit.is_empty() && audit.iter().all(|one| is_rewritten(&one.found)), "{audit:?}");
            assert_own(&new, &versions[1]);
            old.destroy().unwrap();
            assert_eq!(Python::attach(|py| host.audit(py).unwrap()), []);
            assert_own(&new, &versions[1]);
            new.destroy().unwrap();
        }
    });
}

#[test]
fn an_engine_loads_edited_plugins_anew_and_goes_on() {
    alone("rewritten::an_engine_loads_edited_plugins_anew_and_goes_on", || {
        let (studio, share) = (studio(), tempfile::tempdir().unwrap());
        let plugins = share.path().join("plugins");
        let helper = plugins.join("pack/helping.py");
        std::fs::create_dir_all(helper.parent().unwrap()).unwrap();
        std::fs::write(plugins.join("pack/__init__.py"), "").unwrap();
        let plugin = "import sgtk\nimport pack.helping\ndef tell():\n    return pack.helping.WORD, \
                      sgtk.__version__\n";
        std::fs::write(plugins.join("tells.py"), plugin).unwrap();
        let write = |word: &str| std::fs::write(&helper, format!("WORD = {word:?}\n")).unwrap();
        write("one");
        let options = sgtk_host::Host::builder().configs(studio.home()).plugin_path(&plugins);
        let host = options.revalidate_after(Duration::ZERO).build().unwrap();
        let engines = [(176, "v0.22.7"), (177, "v0.23.8")].map(|(id, version)| {
            let engine = bootstrap(&host, &studio, id);
            let object = engine.with(|engine| Ok(engine.engine().as_ptr() as usize)).unwrap();
            (engine, object, version)
        });
        let tell = |word: &str, when: &str| {
            for (engine, object, version) in &engines {
                let told = engine.with(|engine| {
                    let import = engine.py().import("importlib")?.getattr("import_module")?;
                    let told = import.call1(("tells",))?.call_method0("tell")?;
                    Ok((told.extract::<(String, String)>()?, engine.engine().as_ptr() as usize))
                });
                assert_eq!(told.unwrap(), ((word.to_owned(), (*version).to_owned()), *object), "{when}");
            }
        };
        tell("one", "before");
        // What an old one has started goes on with it.
        let (old, _, _) = &engines[0];
        let code = "import tells\nengine.kept = tells.tell\ntold = []";
        old.with(|engine| evaluate(engine, code)).unwrap();
        for word in ["two", "six"] {
            write(word);
            tell(word, "edited, with the same size and perhaps within the same second");
        }
        let kept = old.with(|engine| evaluate(engine, "told = list(engine.kept())")).unwrap();
        assert_eq!(kept, ["one", "v0.22.7"]);
        for broken in ["WORD = (", ""] {
            std::fs::write(&helper, broken).unwrap();
            tell("six", "half written");
        }
        let away = plugins.with_extension("away");
        std::fs::rename(&plugins, &away).unwrap();
        tell("six", "the folder is away");
        std::fs::rename(&away, &plugins).unwrap();
        write("ten");
        tell("ten", "repaired");
        assert_eq!(Python::attach(|py| host.audit(py).unwrap()), []);
        for (engine, _, version) in engines {
            assert_own(&engine, version);
            engine.destroy().unwrap();
        }
    });
}

#[test]
fn a_hook_or_an_environment_of_another_configuration_is_an_error_that_names_the_engine() {
    alone(
        "rewritten::a_hook_or_an_environment_of_another_configuration_is_an_error_that_names_the_engine",
        || {
            let studio = studio();
            let host = host(&studio);
            reconfigure(&studio, Core::newer("v0.23.8"));
            let old = bootstrap(&host, &studio, 176);
            reconfigure(&studio, Core::newer("v0.24.10"));
            let new = bootstrap(&host, &studio, 176);
            let hook = "told = [engine.sgtk.execute_core_hook('core_version')['hook']]";
            let error = old.with(|engine| evaluate(engine, hook)).unwrap_err().to_string();
            for word in ["ConfigurationRewritten", "Project bunny (tk-shell)", "core_version.py", "rewritten"]
            {
                assert!(error.contains(word), "{error}");
            }
            assert_eq!(new.with(|engine| evaluate(engine, hook)).unwrap(), ["v0.24.10"]);

            let env = new.info().configuration.join("config/env");
            let environments = "told = engine.sgtk.pipeline_configuration.get_environments()";
            let read = |engine: &Engine| engine.with(|engine| evaluate(engine, environments));
            // As while it is copied.
            std::fs::rename(&env, env.with_extension("away")).unwrap();
            for engine in [&old, &new] {
                let error = read(engine).unwrap_err().to_string();
                assert!(error.contains("ConfigurationRewritten"), "{error}");
            }
            std::fs::rename(env.with_extension("away"), &env).unwrap();
            for engine in [&old, &new] {
                assert_eq!(read(engine).unwrap(), ["project", "site"]);
            }
            drop((old, new));
        },
    );
}

#[test]
fn a_thread_of_the_engines_reads_no_other_configuration_either() {
    alone("rewritten::a_thread_of_the_engines_reads_no_other_configuration_either", || {
        let studio = studio();
        let host = host(&studio);
        reconfigure(&studio, Core::newer("v0.23.8"));
        let old = bootstrap(&host, &studio, 176);
        // Its code is the core's, on a thread that waits until the engine is parked.
        let start = "
import threading, tank
from tank.util import yaml_cache
go, over, found = threading.Event(), threading.Event(), []
path = engine.sgtk.pipeline_configuration.get_path() + '/config/env/project.yml'
def read():
    go.wait()
    try:
        found.append(str(yaml_cache.load(path)))
    except Exception as error:
        found.append(type(error).__name__)
    over.set()
tank.go, tank.over, tank.found = go, over, found
threading.Thread(target=read).start()
told = []
";
        old.with(|engine| evaluate(engine, start)).unwrap();
        reconfigure(&studio, Core::newer("v0.24.10"));
        studio
            .project(
                &Project::new(176, "bunny", Core::newer("v0.24.10"))
                    .app(sgtk_host_fixtures::AppBundle::Missing),
            )
            .unwrap();
        let new = bootstrap(&host, &studio, 176);
        old.with(|engine| engine.sgtk().getattr("go")?.call_method0("set").map(drop)).unwrap();
        let begun = Instant::now();
        let found = loop {
            let found = old.with(|engine| engine.sgtk().getattr("found")?.extract::<Vec<String>>()).unwrap();
            if !found.is_empty() {
                break found;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "never read");
            std::thread::yield_now();
        };
        assert_eq!(found, ["ConfigurationRewritten"]);
        drop((old, new));
    });
}

#[test]
fn an_engine_goes_on_while_its_folder_is_rewritten_as_it_was() {
    alone("rewritten::an_engine_goes_on_while_its_folder_is_rewritten_as_it_was", || {
        let studio = studio();
        let host = host(&studio);
        let engines: Vec<_> = (0..3).map(|_| bootstrap(&host, &studio, 176)).collect();
        for engine in &engines {
            assert_own(engine, "v0.22.7");
            let hook = "told = [engine.sgtk.execute_core_hook('core_version')['late']]";
            assert_eq!(engine.with(|engine| evaluate(engine, hook)).unwrap(), ["v0.22.7"]);
            let versions = engine.with(|engine| command(engine, "versions")?.str()?.extract::<String>());
            assert!(versions.unwrap().contains("v0.22.7"));
        }
    });
}

#[test]
fn the_daemon_reads_what_is_there() {
    alone("rewritten::the_daemon_reads_what_is_there", || {
        let studio = studio();
        let host = host(&studio);
        reconfigure(&studio, Core::newer("v0.23.8"));
        let old = bootstrap(&host, &studio, 176);
        reconfigure(&studio, Core::newer("v0.24.10"));
        let new = bootstrap(&host, &studio, 176);
        let read = |path: &Path| -> PyResult<String> {
            Python::attach(|py| {
                py.import("builtins")?.getattr("open")?.call1((path,))?.call_method0("read")?.extract()
            })
        };
        let constants = old.info().configuration.join("install/core/python/tank/constants.py");
        assert!(read(&constants).unwrap().contains("v0.24.10"));
        drop((old, new));
    });
}
