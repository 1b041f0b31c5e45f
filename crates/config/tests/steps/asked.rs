//! What is asked for is done, and what came of it is compared with that.

use sgtk_config::CachingPolicy;
use sgtk_host_fixtures::{AppBundle, Core, Project};

use crate::studio::{bunny, bunny_with, project, run, studio};

#[test]
fn the_folder_cache_is_synchronised_and_the_hook_called_before_the_engine_starts() {
    let studio = studio();
    std::fs::write(
        studio.home().join("studio_hooks.py"),
        "def before(context):\n    print(context.project['id'], context.tank.synchronized, current())\n\
         def current():\n    import tank\n    return tank.platform.current_engine()\n\
         def refuse(context):\n    raise ValueError('not today')\n",
    )
    .unwrap();
    let hooked = || project(&studio, 176).synchronize_filesystem_structure(true);
    let script = "
sys.path.append(os.getcwd())
print(attempt(lambda: boot(before_engine=lambda context: print('own', context.project['id']))))
";
    let ready = hooked().pre_engine_hook("studio_hooks:before");
    assert_eq!(run(&studio, ready, &[], script), ["176 1 None", "own 176", "fine"]);
    let refusing = hooked().pre_engine_hook("studio_hooks:refuse");
    assert_eq!(run(&studio, refusing, &[], script), ["ValueError: not today"]);
}

#[test]
fn all_bundles_are_cached_where_that_is_asked_for() {
    let studio = studio();
    let script = "
import tank
print(tank.bootstrap.ToolkitManager.CACHE_FULL)
seen = []
original = tank.bootstrap.ToolkitManager._start_engine
def start(self, *arguments):
    seen.append(self.caching_policy)
    return original(self, *arguments)
tank.bootstrap.ToolkitManager._start_engine = start
boot()
print(seen)
";
    assert_eq!(run(&studio, project(&studio, 176), &[], script), ["1", "[0]"]);
    let full = project(&studio, 176).caching_policy(CachingPolicy::Full);
    assert_eq!(run(&studio, full, &[], script), ["1", "[1]"]);
}

#[test]
fn an_app_that_is_left_out_is_told_with_the_reason_or_is_an_error() {
    for (app, name, reason) in [
        (AppBundle::Missing, "tk-missing", "is not on disk"),
        (AppBundle::InitRaises, "tk-init-raises", "can't be loaded: "),
    ] {
        let studio = studio();
        studio.project(&bunny_with(app)).unwrap();
        let told = run(&studio, project(&studio, 176), &[], "print(told(boot()))");
        let start = format!("[['app', \"app {name} was left out: ");
        let quoted = format!("[['app', 'app {name} was left out: ");
        assert!(told[0].starts_with(&start) || told[0].starts_with(&quoted), "{told:?}");
        assert!(told[0].contains(reason), "{told:?}");
        let script = "
print(attempt(boot).partition(' was left out')[0])
import tank
print(tank.platform.current_engine())
";
        let told = run(&studio, project(&studio, 176).strict(true), &[], script);
        assert_eq!(told, [format!("UnexpectedOutcome: app {name}"), "None".to_owned()]);
    }
}

#[test]
fn an_old_configuration_that_was_restored_is_told_or_is_an_error() {
    let studio = studio();
    assert_eq!(run(&studio, project(&studio, 176), &[], "print(told(boot()))"), ["[]"]);
    studio.project(&bunny()).unwrap();
    let core = studio.configuration(176).join("core/core_api.yml");
    std::fs::write(core, "location:\n  type: path\n  path: /nonexistent/core\n").unwrap();
    let told = run(&studio, project(&studio, 176), &[], "print(told(boot()))");
    assert!(told[0].starts_with("[['restored', ") && told[0].contains("/nonexistent/core"), "{told:?}");
    let told = run(&studio, project(&studio, 176).strict(true), &[], "print(attempt(boot))");
    assert!(told[0].starts_with("UnexpectedOutcome: the configuration could not be"), "{told:?}");
}

#[test]
fn a_configuration_of_another_project_that_was_asked_for_is_told() {
    let studio = studio();
    let told = run(&studio, project(&studio, 177).pipeline_configuration(1176), &[], "print(told(boot()))");
    // Its files are written for the project that was asked for, and the site says that it is another's.
    let other = "pipeline configuration 1176 is project 176's, and the engine is in project 177";
    assert_eq!(told, [format!("[['configuration', \"{other}\"]]")]);
    studio.project(&Project::new(178, "elephants", Core::newer("v0.23.8")).centralized()).unwrap();
    let told = run(&studio, project(&studio, 177).pipeline_configuration(1178), &[], "print(told(boot()))");
    assert!(told[0].contains("is project 178's, and not 177's"), "{told:?}");
}

#[test]
fn a_starting_core_that_is_rewritten_while_it_is_in_memory_is_told() {
    let studio = studio();
    let script = "
boot()
import tank
print(os.path.dirname(os.path.dirname(tank.__file__)))
";
    let cached = run(&studio, project(&studio, 176), &[], script).remove(0);
    // Started from the core in the project's own place in the site's cache, which each bootstrap rewrites.
    let script = format!("sys.path[0] = {cached:?}\nprint(told(boot()))");
    let told = run(&studio, project(&studio, 176), &[], &script);
    assert!(told[0].starts_with("[['core', ") && told[0].contains("it was rewritten"), "{told:?}");
}

/// Old clients' settings have no limit: the connections that they make get one.
#[test]
fn the_connections_of_clients_that_know_no_limit_have_one() {
    let studio = studio();
    let script = "
import types

class Http(object):
    def __init__(self, cache=None, timeout=None, **named):
        self.timeout = timeout

class _Config(object):
    def __init__(self, server):
        self.server = server

shotgun = types.ModuleType('tank_vendor.shotgun_api3.shotgun')
shotgun.Http, shotgun._Config = Http, _Config
package = types.ModuleType('tank_vendor.shotgun_api3')
package.shotgun = shotgun
vendor = types.ModuleType('tank_vendor')
vendor.shotgun_api3 = package
sys.modules.update({m.__name__: m for m in (shotgun, package, vendor)})

steps.limit_site_calls(60)
_Config('studio')
print(shotgun.Http().timeout, shotgun.Http(None, 5).timeout, shotgun.Http(timeout=7).timeout)
# Again, as for a second bootstrap with another limit.
steps.limit_site_calls(30)
_Config('studio')
print(shotgun.Http().timeout, shotgun.Http(timeout=None).timeout)
steps.limit_site_calls(None)
_Config('studio')
print(shotgun.Http().timeout)
# While a bootstrap has a limit of its own, no connection has a longer one.
steps.limit_site_calls(60)
steps.hurry(0.5)
_Config('studio')
print(0 < shotgun.Http().timeout <= 0.5)
steps.relax()
print(shotgun.Http().timeout)
";
    assert_eq!(run(&studio, project(&studio, 176), &[], script), ["60 5 7", "30 30", "None", "True", "60"]);
}
