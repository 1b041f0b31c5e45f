//! What the fixtures do to a process: each test names one hazard, so that a fixture that lost it fails here
//! and not, by passing, in the tests of the host.

#[path = "python/mod.rs"]
mod python;

use python::run;
use sgtk_host_fixtures::{Broken, Configs, Core, bundled};

/// Prints the names that `statement` adds to `sys.modules`, by their first part, without the standard
/// library's.
const COUNT: &str = "
from collections import Counter
def names(before):
    ours = ('tank', 'sgtk', 'tank_vendor', 'shotgun_api3', 'yaml', 'packaging', 'ruamel', 'flow_data_sdk')
    added = [name.split('.')[0] for name in sys.modules if name not in before]
    return Counter(name for name in added if name in ours)
import zipfile, inspect, uuid, glob, typing, urllib.parse
";

fn one(core: &Core) -> Configs {
    let configs = Configs::new().unwrap();
    configs.localized("project_a", core).unwrap();
    configs
}

#[test]
fn an_older_core_keeps_its_libraries_below_tank_vendor() {
    let told = run(
        &one(&Core::older("v0.22.5")),
        &format!(
            "{COUNT}
before, path = set(sys.modules), list(sys.path)
sys.path.insert(0, python('project_a'))
import sgtk
print(sorted(names(before).items()))
print(sgtk is sys.modules['tank'], sys.modules['sgtk.util.late'] is sys.modules['tank.util.late'])
print(sys.path[1:] == path, hasattr(sys, '_tank_vendor_meta_finder'))
"
        ),
    );
    assert_eq!(told, ["[('sgtk', 39), ('tank', 39), ('tank_vendor', 11)]", "True True", "True False"]);
}

#[test]
fn a_six_appends_a_finder_removes_the_one_of_a_core_before_and_has_modules_without_a_file() {
    let configs = one(&Core::older("v0.22.5"));
    configs.localized("project_d", &Core::older("v0.20.35")).unwrap();
    let told = run(
        &configs,
        "
import_sgtk('project_a')
print(type(sys.meta_path[-1]).__name__, sys.meta_path[-1].core_version)
moves = sys.modules['tank_vendor.six.moves']
print(type(moves).__name__, moves.__dict__['asked_in_vain'], '__file__' in moves.__dict__, moves.__spec__.origin)
print(hasattr(moves, '__file__'), '__file__' in moves.__dict__['asked_in_vain'])
print(attempt(getattr, moves, 'dbm_gnu'))
import_sgtk('project_d')
print([finder.core_version for finder in sys.meta_path if hasattr(finder, 'core_version')])
",
    );
    assert_eq!(
        told,
        [
            "MovesImporter v0.22.5",
            "LazyModule [] False None",
            "False True",
            "ModuleNotFoundError: No module named 'a_module_that_is_nowhere'",
            "['v0.20.35']",
        ]
    );
}

#[test]
fn a_newer_core_takes_its_libraries_under_their_real_names_from_zips_at_the_head_of_the_path() {
    let told = run(
        &one(&Core::newer("v0.24.0")),
        &format!(
            "{COUNT}
before, path = set(sys.modules), list(sys.path)
sys.path.insert(0, python('project_a'))
import sgtk
print(sorted(names(before).items()))
print([os.path.basename(entry) for entry in sys.path[:3]], sys.path[3:] == path)
print(type(sys.meta_path[0]).__name__, sys.meta_path[0] is sys._tank_vendor_meta_finder)
print(sys.modules['shotgun_api3'] is sys.modules['tank_vendor.shotgun_api3'], sgtk.util.shotgun.certificates())
"
        ),
    );
    assert_eq!(
        told[..3],
        [
            "[('flow_data_sdk', 3), ('packaging', 3), ('ruamel', 1), ('sgtk', 39), ('shotgun_api3', 4), \
             ('tank', 39), ('tank_vendor', 8), ('yaml', 2)]",
            "['flow_data_sdk.zip', 'pkgs.zip', 'python'] True",
            "TankVendorFinder True",
        ]
    );
    assert!(told[3].starts_with("True ") && told[3].ends_with("cacert.pem"), "{}", told[3]);
}

#[test]
fn the_finder_takes_from_a_library_its_own_spec_and_a_namespace_package_has_no_file() {
    let told = run(
        &one(&Core::newer("v0.24.0")),
        "
import_sgtk('project_a')
lib = sys.modules['shotgun_api3.lib']
print(lib.__name__, lib.__spec__.name, lib.__spec__.origin, lib.__loader__ is lib.__spec__.loader)
ruamel = sys.modules['ruamel']
print(ruamel.__dict__.get('__file__'), ruamel.__spec__.origin, [os.path.basename(os.path.dirname(p)) for p in ruamel.__path__])
",
    );
    assert_eq!(told, ["shotgun_api3.lib tank_vendor.shotgun_api3.lib None False", "None None ['pkgs.zip']"]);
}

#[test]
fn a_newer_core_takes_and_changes_a_library_that_the_host_imported_first() {
    let told = run(
        &one(&Core::newer("v0.24.0")),
        "
sys.path.insert(0, HOST_LIBRARIES)
import yaml, shotgun_api3
sys.path.remove(HOST_LIBRARIES)
print(shotgun_api3.Shotgun._get_certs_file())
print(attempt(import_sgtk, 'project_a').split(' (')[0])
print(sys.modules['tank_vendor.yaml'] is yaml, os.path.basename(shotgun_api3.Shotgun._get_certs_file()))
",
    );
    // The host's client has no `lib`, as a host's may well be of a version that the core can't use.
    assert_eq!(
        told,
        [
            "host.pem",
            "ModuleNotFoundError: No module named 'tank_vendor.shotgun_api3.lib'",
            "True cacert.pem"
        ]
    );
}

#[test]
fn an_older_core_takes_no_library_of_the_host() {
    let told = run(
        &one(&Core::older("v0.22.5")),
        "
sys.path.insert(0, HOST_LIBRARIES)
import yaml, shotgun_api3
sgtk = import_sgtk('project_a')
print(sgtk.util.yaml_cache.YAML_VERSION, yaml.CORE_VERSION, shotgun_api3.Shotgun._get_certs_file())
",
    );
    assert_eq!(told, ["v0.22.5 host host.pem"]);
}

#[test]
fn a_module_of_the_standard_library_gets_a_second_name_below_tank_vendor() {
    let told = run(
        &one(&Core::older("v0.22.5")),
        "
import_sgtk('project_a')
import queue
print(sys.modules['tank_vendor.six.moves.queue'] is queue, queue.__spec__.name, queue.__spec__.origin == queue.__file__)
",
    );
    assert_eq!(told, ["True queue True"]);
}

#[test]
fn not_all_that_a_newer_core_leaves_in_sys_modules_is_a_module() {
    let told = run(
        &one(&Core::newer("v0.24.0")),
        "
sgtk = import_sgtk('project_a')
print(hasattr(sys.modules['packaging.unbounded'], '__dict__'), sgtk.util.baked_versions()['packaging.unbounded'])
",
    );
    assert_eq!(told, ["False v0.24.0"]);
}

#[cfg(unix)]
#[test]
fn a_newer_core_reached_through_a_link_has_zips_by_their_real_path() {
    let configs = one(&Core::newer("v0.24.0"));
    let told = run(
        &configs,
        &format!(
            "
os.environ['SHOTGUN_BASE'] = {:?}
sgtk = import_sgtk('project_a')
print([os.sep + 'linked' + os.sep in entry for entry in sys.path[:3]], sgtk.util.foreign_modules())
",
            configs.linked_base().unwrap().display().to_string()
        ),
    );
    assert_eq!(told, ["[False, False, True] []"]);
}

#[test]
fn a_late_import_can_append_a_finder() {
    let told = run(
        &one(&Core::newer("v0.24.0")),
        "
util = import_sgtk('project_a').util
before = len(sys.meta_path)
print(util.late('late_finder'), len(sys.meta_path) - before, sys.meta_path[-1].core_version)
",
    );
    assert_eq!(told, ["{'late_finder': 'v0.24.0'} 1 v0.24.0"]);
}

#[test]
fn a_late_import_can_be_held_half_way() {
    let told = run(
        &one(&Core::older("v0.22.5")),
        "
import threading
sys.path.append(HOST_PACKAGES)
import fixture_gate
util = import_sgtk('project_a').util
thread = threading.Thread(target=lambda: print(util.late('gated')), daemon=True)
thread.start()
print(fixture_gate.entered.wait(60))
print(sys.modules['tank.late_gated'].__spec__._initializing, 'CORE_VERSION' in vars(sys.modules['tank.late_gated']))
fixture_gate.proceed.set()
thread.join()
",
    );
    assert_eq!(told, ["True", "True False", "{'gated': 'v0.22.5'}"]);
}

#[test]
fn threads_can_import_late_until_they_are_told_to_stop() {
    let told = run(
        &one(&Core::newer("v0.24.0")),
        "
import threading
util = import_sgtk('project_a').util
stop = threading.Event()
def once(event):
    event.is_set = iter([False, False, True]).__next__
    return event
print(util.late_until(once(stop)))
",
    );
    assert_eq!(told, ["(2, [])"]);
}

#[test]
fn an_object_can_tell_what_is_loaded_when_it_is_let_go_of() {
    let told = run(
        &one(&Core::newer("v0.24.0")),
        "
sgtk = import_sgtk('project_a')
farewell = sgtk.util.Farewell(print)
for name in [name for name in sys.modules if name.startswith('tank')]:
    del sys.modules[name]
del farewell
",
    );
    assert_eq!(told, ["v0.24.0 None"]);
}

#[test]
fn the_caches_of_typing_pin_a_newer_core_until_they_are_cleared() {
    let told = run(
        &one(&Core::newer("v0.24.0")),
        "
import gc, typing, weakref
import_sgtk('project_a')
gone = [weakref.ref(sys.modules['tank.util.pins'].Pinned), weakref.ref(sys.modules['flow_data_sdk'].Client)]
logging.getLogger('sgtk').handlers.clear()
del sys._tank_vendor_meta_finder, sys.meta_path[0]
for name in [name for name in sys.modules if name.split('.')[0] in ('tank', 'sgtk', 'tank_vendor', 'yaml', 'ruamel',
             'shotgun_api3', 'packaging', 'flow_data_sdk')]:
    del sys.modules[name]
gc.collect()
print([ref() is None for ref in gone])
for clear in typing._cleanups:
    clear()
gc.collect()
print([ref() is None for ref in gone])
",
    );
    assert_eq!(told, ["[False, False]", "[True, True]"]);
}

#[test]
fn a_core_sets_aside_the_tank_vendor_of_another() {
    let told = run(
        &bundled().unwrap(),
        "
sys.path.insert(0, python('studio'))
import tank_vendor.yaml
sys.path[0] = python(os.path.join(os.pardir, 'cores', 'v0.22.5'))
import sgtk
aside = [name for name in sys.modules if name.startswith('_tank_vendor_swap_')]
print(sorted(name.split('_', 5)[5] for name in aside), sys.modules['tank_vendor'].CORE_VERSION)
",
    );
    assert_eq!(told, ["['tank_vendor', 'tank_vendor.yaml', 'tank_vendor.yaml.loader'] v0.22.5"]);
}

#[test]
fn the_logger_stops_propagating_and_gets_a_handler() {
    let told = run(
        &bundled().unwrap(),
        "
import_sgtk('project_c')
sgtk = logging.getLogger('sgtk')
print(sgtk.propagate, sgtk.level, len(sgtk.handlers))
print(sorted(n for n in sgtk.manager.loggerDict if n.startswith('sgtk') and 'bootstrap' not in n))
",
    );
    assert_eq!(
        told,
        [
            "False 10 1",
            "['sgtk', 'sgtk.core', 'sgtk.core.api', 'sgtk.core.platform', 'sgtk.core.platform.engine']"
        ]
    );
}

#[test]
fn the_environment_names_the_configuration_of_a_localized_core_unless_one_is_named() {
    let told = run(
        &bundled().unwrap(),
        "
sgtk = import_sgtk('project_a')
print(os.path.basename(os.environ['TANK_CURRENT_PC']), sgtk.sgtk_from_path('/projects/project_a').configuration_path ==
      os.environ['TANK_CURRENT_PC'])
os.environ['TANK_CURRENT_PC'] = os.path.join(BASE, 'project_d')
print(attempt(sgtk.sgtk_from_path, '/projects/project_a').split(' (')[0])
del os.environ['TANK_CURRENT_PC']
print(sgtk.sgtk_from_path('/projects/project_a').configuration_path)
",
    );
    assert_eq!(told, ["project_a True", "TankError: /projects/project_a is not a path of project_d", "None"]);
}

#[test]
fn an_api_proxy_gives_way_to_the_shared_core_and_names_its_configuration() {
    let told = run(
        &bundled().unwrap(),
        "
os.environ['TANK_CURRENT_PC'] = 'stale'
sys.path.insert(0, python('project_b'))
import sgtk
print(sgtk is sys.modules['tank'], sgtk.__version__, os.path.basename(os.environ['TANK_CURRENT_PC']))
print([os.path.relpath(entry, BASE).split(os.sep)[1] for entry in sys.path[:2]])
",
    );
    assert_eq!(told, ["True v0.22.5 project_b", "['cores', 'install']"]);
}

#[test]
fn a_hook_is_loaded_under_a_bare_hexadecimal_name() {
    let told = run(
        &bundled().unwrap(),
        "
before = set(sys.modules)
tk = import_sgtk('project_a').sgtk_from_path('/projects/project_a')
print(tk.execute_core_hook('core_version'))
print([len(name) for name in set(sys.modules) - before if all(c in '0123456789abcdef' for c in name)])
",
    );
    assert_eq!(told, ["{'hook': 'v0.24.0', 'sgtk': 'v0.24.0', 'late': 'v0.24.0'}", "[32]"]);
}

#[test]
fn globals_of_a_core_hold_the_user_and_the_engine() {
    let told = run(
        &bundled().unwrap(),
        "
sgtk = import_sgtk('project_b')
sgtk.set_authenticated_user(sgtk.authentication.ShotgunUser('ada', 'https://example.invalid'))
engine = sgtk.platform.start_engine('tk-shell', sgtk.sgtk_from_path('/projects/project_b'), None)
print(sgtk.get_authenticated_user().login, sgtk.platform.current_engine().name)
print(attempt(sgtk.platform.start_engine, 'tk-other', None, None))
engine.destroy()
print(attempt(engine.destroy), sgtk.platform.current_engine())
",
    );
    assert_eq!(
        told,
        [
            "ada tk-shell",
            "TankError: an engine is already running: tk-shell",
            "TankError: tk-shell is not the current engine None",
        ]
    );
}

#[test]
fn every_late_import_works_while_its_core_is_the_only_one() {
    let configs = bundled().unwrap();
    for (project, version) in sgtk_host_fixtures::bundled_versions() {
        let told = run(
            &configs,
            &format!(
                "
util = import_sgtk('{project}').util
waiting = [name for name in sys.modules if name.startswith(('tank.late_', 'tank.deferred'))]
print(waiting, sorted(set(util.late().values()) | set(util.late(*util.AROUND_BUILTIN).values())), util.foreign_modules())
"
            ),
        );
        assert_eq!(told, [format!("[] ['{version}'] []")], "{project}");
    }
}

#[test]
fn a_generated_core_has_exactly_the_modules_asked_for() {
    for modules in [50, 51, 200] {
        let configs = one(&Core::generated(modules));
        let told = run(
            &configs,
            &format!(
                "{COUNT}before = set(sys.modules); import_sgtk('project_a'); \
                 print(sum(names(before).values()))"
            ),
        );
        assert_eq!(told, [modules.to_string()]);
    }
}

#[test]
fn a_heavy_library_is_imported_with_the_core() {
    let configs = one(&Core::newer("v0.24.0").vendor_lines(2_000));
    let told = run(&configs, "import_sgtk('project_a'); print(len(vars(sys.modules['yaml.tables'])) > 150)");
    assert_eq!(told, ["True"]);
}

#[test]
fn broken_cores_fail_in_their_own_ways_with_nearly_everything_loaded() {
    for (broken, error) in [
        (Broken::RaisesImportError, "ModuleNotFoundError: No module named 'a_library_that_is_nowhere'"),
        (Broken::SyntaxError, "SyntaxError: "),
        (Broken::SystemExit, "SystemExit: this core wants another Python"),
        (Broken::KeyboardInterrupt, "KeyboardInterrupt: in the middle of an import"),
        (Broken::LacksSgtk, "ModuleNotFoundError: No module named 'sgtk'"),
        (
            Broken::HalfUpgraded,
            "ImportError: cannot import name 'TankUnreadableFileError' from 'tank.errors'",
        ),
        (Broken::LeavesTraces, "ImportError: this core fails when it has changed everything"),
    ] {
        for core in [Core::newer("v0.24.0"), Core::older("v0.22.5")] {
            let configs = one(&core.clone().broken(broken.clone()));
            let told = run(&configs, "print(attempt(import_sgtk, 'project_a'))");
            assert!(told[0].starts_with(error), "{broken:?}: {told:?}");
            configs.repair("project_a").unwrap();
            let told = run(&configs, "print(import_sgtk('project_a').__version__)");
            assert_eq!(told, [core.version()], "{broken:?}, repaired");
        }
    }
}

#[test]
fn a_core_that_leaves_traces_changes_all_there_is() {
    let told = run(
        &one(&Core::newer("v0.24.0").broken(Broken::LeavesTraces)),
        "
def state():
    root = logging.getLogger('sgtk')
    return {
        'path': list(sys.path), 'meta_path': list(sys.meta_path), 'sys': set(vars(sys)), 'environ': dict(os.environ),
        'loggers': set(root.manager.loggerDict), 'handlers': list(root.handlers), 'level': root.level,
        'filters': warnings.filters, 'modules': set(sys.modules),
    }
before = state()
attempt(import_sgtk, 'project_a')
after = state()
print([name for name in before if before[name] is after[name] or before[name] == after[name]])
",
    );
    assert_eq!(told, ["[]"]);
}

#[test]
fn a_core_can_import_without_an_error_and_be_wrong() {
    let configs = bundled().unwrap();
    configs.localized("project_x", &Core::newer("v0.24.0").broken(Broken::SgtkIsNotTank)).unwrap();
    let elsewhere = Configs::python(&configs.config("project_d"));
    configs.broken("project_y", Broken::BorrowsTank(elsewhere)).unwrap();
    let told = run(&configs, "print(import_sgtk('project_x') is sys.modules['tank'])");
    assert_eq!(told, ["False"]);
    let told = run(
        &configs,
        "
sgtk = import_sgtk('project_y')
print(sgtk is sys.modules['tank'], sgtk.__version__, 'project_d' in sgtk.__file__)
",
    );
    assert_eq!(told, ["True v0.23.8 True"]);
}

#[test]
fn a_core_that_hangs_goes_on_when_it_is_let() {
    let told = run(
        &one(&Core::newer("v0.24.0").broken(Broken::Hangs)),
        "
import threading
sys.path.append(HOST_PACKAGES)
import fixture_gate
def let_go_on():
    print(fixture_gate.entered.wait(60))
    fixture_gate.proceed.set()
threading.Thread(target=let_go_on, daemon=True).start()
print(import_sgtk('project_a').__version__)
",
    );
    assert_eq!(told, ["True", "v0.24.0"]);
}

#[test]
fn cores_are_upgraded_where_they_lie_and_configurations_are_repointed() {
    let configs = bundled().unwrap();
    let version =
        |project: &str| run(&configs, &format!("print(import_sgtk('{project}').__version__)")).pop().unwrap();
    configs.upgrade("project_a", &Core::newer("v0.25.0")).unwrap();
    assert_eq!(version("project_a"), "v0.25.0");
    configs.upgrade("project_c", &Core::newer("v0.25.1")).unwrap();
    assert_eq!(version("project_c"), "v0.25.1");
    configs.repoint("project_e", &Core::older("v0.22.5")).unwrap();
    assert_eq!((version("project_e"), version("project_f")), ("v0.22.5".into(), "v0.23.10".into()));
    configs.upgrade("project_b", &Core::older("v0.22.7")).unwrap();
    assert_eq!((version("project_b"), version("project_e")), ("v0.22.7".into(), "v0.22.7".into()));
}

#[test]
fn the_same_sources_give_the_same_zip() {
    let (one, other) = (one(&Core::newer("v0.24.0")), one(&Core::newer("v0.24.0")));
    for zip in ["3.9/pkgs.zip", "3.14/pkgs.zip", "any/flow_data_sdk.zip"] {
        let path =
            |configs: &Configs| configs.config("project_a").join("install/core/requirements").join(zip);
        assert_eq!(std::fs::read(path(&one)).unwrap(), std::fs::read(path(&other)).unwrap(), "{zip}");
    }
}

#[test]
fn plugins_register_their_callbacks_and_answer_with_the_core_that_they_import() {
    let told = run(
        &bundled().unwrap(),
        &format!(
            "
class Registrar(object):
    def __init__(self):
        self.callbacks = []
    def registerCallback(self, name, key, callback, matchEvents=None, args=None, stopOnError=True):
        self.callbacks.append((name, callback, matchEvents, args))

sys.path.append({:?})
sgtk = import_sgtk('project_a')
reg = Registrar()
for name in ('core_yaml', 'counts', 'late_import', 'raises', 'report_core'):
    importlib.import_module(name).registerCallbacks(reg)
event = {{'id': 123, 'type': 'Shotgun_Version_Change', 'project': 'project_a', 'entity': {{'type': 'Version', 'id': 1}}}}
for name, callback, events, args in reg.callbacks:
    try:
        print(name, callback(None, logging.getLogger('plugin'), event, args)['version'])
    except sgtk.TankError as error:
        print(name, error)
",
            sgtk_host_fixtures::plugins().display().to_string()
        ),
    );
    assert_eq!(
        told,
        [
            "core_yaml v0.24.0",
            "counts v0.24.0",
            "late_import v0.24.0",
            "raises v0.24.0: no asset 1",
            "report_core v0.24.0"
        ]
    );
}

#[test]
fn the_events_are_of_several_projects_in_changing_order() {
    let events = std::fs::read_to_string(sgtk_host_fixtures::events()).unwrap();
    let lines: Vec<&str> = events.lines().collect();
    assert_eq!(lines.len(), 40);
    assert!(lines[0].starts_with(r#"{"id": 123,"#) && lines[0].contains("project_a"));
    assert!(lines[1].starts_with(r#"{"id": 234,"#) && lines[1].contains("project_b"));
    for (project, _) in sgtk_host_fixtures::bundled_versions() {
        assert!(events.contains(project), "{project}");
    }
}
