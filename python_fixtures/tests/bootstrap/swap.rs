//! What the exchange of cores leaves behind.

use sgtk_host_fixtures::{Core, Project, Studio};

use crate::{run, studio};

#[test]
fn a_finder_at_the_head_answers_for_the_core_and_stays() {
    let told = run(
        &studio(),
        "
start()
boot(176).destroy()
print(type(sys.meta_path[0]).__name__, sys.meta_path[0].core_version)
boot(177).destroy()
print([type(finder).__name__ for finder in sys.meta_path if hasattr(finder, 'core_version')])
sys.path.insert(0, START)
for name in [name for name in sys.modules if name.split('.')[0] in ('tank', 'sgtk')]:
    del sys.modules[name]
import sgtk
print(sgtk.__version__)
",
    );
    assert_eq!(
        told,
        [
            "CoreImportHandler v0.24.0",
            "['CoreImportHandler', 'TankVendorFinder', 'MovesImporter']",
            "v0.23.8"
        ]
    );
}

#[test]
fn an_old_core_stays_under_other_names_and_its_import_handler_under_its_own() {
    let told = run(
        &studio(),
        "
from collections import Counter
def stashed():
    names = [name.split('_', 3) for name in sys.modules if name.startswith('core_swap_')]
    return sorted(Counter(name[2] for name in names).values())
start()
handler = sys.modules['tank.bootstrap.import_handler']
before = sum(name.split('.')[0] in ('tank', 'sgtk', 'tank_vendor') for name in sys.modules)
boot(176).destroy()
# All but the one that stays.
print(stashed() == [before - 1], sys.modules['tank.bootstrap.import_handler'] is handler)
boot(177).destroy()
print(len(stashed()), sys.modules['tank.bootstrap.import_handler'] is handler)
import sgtk
print('tank.bootstrap.import_handler' in sgtk.util.foreign_modules())
",
    );
    assert_eq!(told, ["True True", "2 True", "True"]);
}

#[test]
fn the_configuration_of_the_first_project_stays_in_the_environment() {
    let told = run(
        &studio(),
        "
start()
print(os.environ.get('TANK_CURRENT_PC'))
for project, name in ((176, 'bunny'), (177, 'sintel')):
    engine = boot(project)
    import sgtk
    print(os.environ['TANK_CURRENT_PC'].split(os.sep)[-2])
    print(attempt(sgtk.sgtk_from_path, engine.sgtk.project_path).split(' (')[0].replace(os.path.dirname(engine.sgtk.project_path), ''))
    engine.destroy()
",
    );
    assert_eq!(
        told,
        ["None", "p176c1176.basic.", "fine", "p176c1176.basic.", "TankError: /sintel is not a path of bunny"]
    );
}

#[test]
fn libraries_with_names_of_their_own_stay_the_first_cores() {
    let told = run(
        &studio(),
        "
start()
engine = boot(177)
print(command(engine, 'versions')['client'], sys.modules['shotgun_api3'].CORE_VERSION, sys.modules['yaml'].CORE_VERSION)
print(sys._tank_vendor_meta_finder.core_version, sys.modules['tank_vendor'].certificate_wrappers())
engine.destroy()
engine = boot(176)
print(command(engine, 'versions')['client'])
",
    );
    assert_eq!(told, ["v0.24.0 v0.24.0 v0.24.0", "v0.24.0 ['v0.23.8', 'v0.24.0']", "v0.22.7"]);
}

#[test]
fn handlers_a_thread_and_a_descriptor_come_with_each_engine_and_not_all_of_them_go() {
    let told = run(
        &studio(),
        "
import threading
def handlers():
    loggers = ['sgtk', 'tank.tk-shell']
    return [type(handler).__name__ for name in loggers for handler in logging.getLogger(name).handlers]
def logs():
    links = ['/proc/self/fd/' + one for one in os.listdir('/proc/self/fd')] if os.path.isdir('/proc/self/fd') else []
    return sum(os.path.exists(link) and os.readlink(link).endswith('.log') for link in links)
start()
print(handlers())
for project in (176, 177):
    engine = boot(project)
    print(handlers())
    engine.destroy()
    print(handlers(), until(lambda: threading.active_count() == 1))
print(logs() in (2, 0))
",
    );
    assert_eq!(
        told,
        [
            "['CoreHandler']",
            "['CoreHandler', 'CoreHandler', 'LogFileHandler', 'EngineHandler', 'StreamHandler']",
            "['CoreHandler', 'CoreHandler', 'LogFileHandler'] True",
            "['CoreHandler', 'CoreHandler', 'CoreHandler', 'LogFileHandler', 'EngineHandler', \
             'StreamHandler']",
            "['CoreHandler', 'CoreHandler', 'CoreHandler', 'LogFileHandler'] True",
            "True",
        ]
    );
}

#[test]
fn the_list_of_warning_filters_is_another_one_afterwards() {
    let told = run(
        &studio(),
        "
start()
filters, contents = warnings.filters, list(warnings.filters)
boot(176)
print(warnings.filters is filters, warnings.filters == contents)
",
    );
    assert_eq!(told, ["False True"]);
}

#[test]
fn a_swap_by_an_older_core_keeps_other_threads_from_importing() {
    let studio = Studio::new(&Core::older("v0.22.5")).unwrap();
    studio.project(&Project::new(176, "bunny", Core::older("v0.22.7"))).unwrap();
    let told = run(
        &studio,
        "
import _imp
sgtk = start()
held = []
swap = sgtk.bootstrap.import_handler.CoreImportHandler._swap_core
def watched(self, path):
    held.append(_imp.lock_held())
    swap(self, path)
sgtk.bootstrap.import_handler.CoreImportHandler._swap_core = watched
boot(176)
print(held, _imp.lock_held())
",
    );
    assert_eq!(told, ["[True] False"]);
}

#[test]
fn the_same_project_again_has_its_files_replaced_but_not_its_core() {
    let told = run(
        &studio(),
        "
start()
engine = boot(176)
tank = sys.modules['tank']
changed = os.stat(tank.__file__).st_ctime_ns
engine.destroy()
before = set(sys.modules)
engine = boot(176)
print(sys.modules['tank'] is tank, os.stat(tank.__file__).st_ctime_ns == changed)
print(any(name.startswith('core_swap_') for name in set(sys.modules) - before))
",
    );
    assert_eq!(told, ["True False", "False"]);
}

#[test]
fn hooks_and_apps_have_names_that_nobody_can_tell_in_advance() {
    let told = run(
        &studio(),
        "
start()
before = set(sys.modules)
engine = boot(176)
command(engine, 'versions')
new = set(sys.modules) - before
bare = [name for name in new if len(name) == 32 and all(c in '0123456789abcdef' for c in name)]
packages = [name for name in new if name.startswith('tkimp')]
# The engine, the app, its hook, and the hook that picks the environment.
print(len(bare), sorted(len(name) for name in packages))
",
    );
    assert_eq!(told, ["4 [37, 46]"]);
}
