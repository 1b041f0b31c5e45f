//! The published listing, and what is not right about it.

use crate::{run, studio};

/// The listing, but for the names in it, and for what it leaves out ("now repeat the process for the next
/// project").
const LISTING: &str = "
sys.path.insert(0, START)
import sgtk

sa = sgtk.authentication.ShotgunAuthenticator()
user = sa.create_script_user(api_script=SCRIPT, api_key=KEY, host=SITE)
sgtk.set_authenticated_user(user)

mgr = sgtk.bootstrap.ToolkitManager(sg_user=user)
mgr.plugin_id = 'basic.'

engine = mgr.bootstrap_engine('tk-shell', entity={'type': 'Project', 'id': 176})
import sgtk
print(sgtk.__version__, engine.context)
";

#[test]
fn it_works_for_its_first_project() {
    assert_eq!(run(&studio(), LISTING), ["v0.22.7 Project bunny"]);
}

#[test]
fn the_next_project_runs_a_mix_with_the_configuration_of_the_first() {
    let told = run(
        &studio(),
        &format!(
            "{LISTING}
engine.destroy()
mgr = sgtk.bootstrap.ToolkitManager(sg_user=sgtk.get_authenticated_user())
mgr.plugin_id = 'basic.'
engine = mgr.bootstrap_engine('tk-shell', entity={{'type': 'Project', 'id': 177}})
import sgtk
print(sgtk.__version__, engine.context, sorted(set(command(engine, 'versions').values())))
print(attempt(sgtk.sgtk_from_path, engine.sgtk.project_path).split(':')[0], len(sgtk.util.foreign_modules()) > 50)
"
        ),
    );
    assert_eq!(told[1..], ["v0.23.8 Project sintel ['v0.23.8', 'v0.24.0']", "TankError True"]);
}

#[test]
fn the_manager_and_user_made_before_are_an_old_cores() {
    let told = run(
        &studio(),
        &format!(
            "{LISTING}print(type(mgr).__module__, user.core_version, sgtk.get_authenticated_user() is user)"
        ),
    );
    assert_eq!(told[1..], ["tank.bootstrap.manager v0.24.0 False"]);
}

#[test]
fn a_second_engine_of_the_same_core_is_refused() {
    let told = run(&studio(), "start(); boot(176); print(attempt(boot, 176))");
    assert_eq!(told, ["TankError: an engine is already running: tk-shell"]);
}

#[test]
fn a_second_engine_of_another_core_spoils_the_first_one() {
    let told = run(
        &studio(),
        "
sgtk = start()
first = boot(176)
second = boot(177)
told = attempt(command, first, 'versions')
print(told.split(': ')[0], told.split(': ')[-1])
print(attempt(first.destroy))
print(attempt(second.destroy))
",
    );
    assert_eq!(
        told,
        [
            "TankLoadPluginError 0 classes derive from Hook",
            "TankError: tk-shell is not the current engine",
            "fine"
        ]
    );
}

#[test]
fn every_project_costs_names_and_nothing_gives_them_back() {
    let told = run(
        &studio(),
        "
start()
counts = []
for project in (176, 177) * 3:
    engine = boot(project)
    engine.destroy()
    counts.append(len(sys.modules))
print(min(later - earlier for earlier, later in zip(counts, counts[1:])) > 70, len(sys.meta_path))
",
    );
    assert!(told[0].starts_with("True "), "{told:?}");
}

#[test]
fn the_recipe_for_centralized_configurations_gets_the_wrong_core_after_a_bootstrap() {
    let studio = studio();
    let configs = sgtk_host_fixtures::bundled().unwrap();
    let script = format!(
        "
start()
boot(176).destroy()
os.environ['SHOTGUN_BASE'] = {:?}
print(import_sgtk('project_a').__version__)
",
        configs.base().display().to_string()
    );
    assert_eq!(run(&studio, &script), ["v0.22.7"]);
}

#[test]
fn the_key_is_in_what_the_client_logs_when_it_is_let() {
    let studio = studio();
    let told = run(
        &studio,
        "
start()
records = []
class Keep(logging.Handler):
    def emit(self, record):
        records.append(record.getMessage())
logger = sys.modules['shotgun_api3.shotgun'].LOG
logger.addHandler(Keep())
boot(176).destroy()
print(records)
logger.setLevel(logging.DEBUG)
boot(177).destroy()
print(any(KEY in record for record in records))
",
    );
    assert_eq!(told, ["[]", "True"]);
}

#[test]
fn nothing_is_kept_outside_of_the_folder_that_the_environment_names() {
    let studio = studio();
    let told = run(&studio, "start(); del os.environ['SHOTGUN_HOME']; print(attempt(boot, 176))");
    assert_eq!(told, ["TankError: SHOTGUN_HOME names no folder"]);
}
