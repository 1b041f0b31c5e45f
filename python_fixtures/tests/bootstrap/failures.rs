//! Bootstraps that fail, each in its own way and at its own step.

use std::time::Duration;

use sgtk_host_fixtures::{Broken, Core, EngineBundle, Fault, Project, Studio};

use crate::{run, studio};

/// Prints where the progress was, which core is loaded, and the error.
const FAIL: &str = "
start()
seen = []
def fail(*arguments, **settings):
    settings['progress_callback'] = lambda value, message: seen.append(value)
    told = attempt(lambda: boot(*arguments, **settings))
    tank = sys.modules.get('tank')
    print(seen[-1], tank and tank.__version__, told.split('\\n')[0])
";

fn failing(studio: &Studio, call: &str) -> Vec<String> {
    run(studio, &format!("{FAIL}{call}"))
}

#[test]
fn a_wrong_key_is_refused_at_the_first_call() {
    let told = failing(&studio(), "fail(176, key='wrong')");
    assert_eq!(told, ["0.05 v0.24.0 AuthenticationFault: Can't authenticate script 'daemon'"]);
}

#[test]
fn an_empty_key_is_refused_at_once() {
    let told = run(&studio(), "start(); print(attempt(lambda: user(key='')))");
    assert_eq!(told, ["IncompleteCredentials: missing api_script and/or api_key"]);
}

#[test]
fn a_site_that_is_not_there_is_a_plain_error_of_the_system() {
    let told = failing(&studio(), "fail(176, host='http://127.0.0.1:1')");
    assert!(told[0].starts_with("0.05 v0.24.0 ConnectionRefusedError: "), "{told:?}");
}

#[test]
fn bad_answers_of_the_site_are_errors_of_many_classes() {
    for (fault, class) in [
        (Fault::Status(502), "ProtocolError: <ProtocolError for 127.0.0.1:"),
        (Fault::Garbage, "JSONDecodeError: "),
        (Fault::HangUp, "IncompleteRead: "),
        (Fault::NoHttp, "BadStatusLine: "),
        (Fault::Refuse { code: 104, message: "no".into() }, "Fault: no"),
    ] {
        let studio = studio();
        studio.site().fault("read", fault.clone()).unwrap();
        let told = failing(&studio, "fail(176)");
        assert!(told[0].starts_with(&format!("0.05 v0.24.0 {class}")), "{fault:?}: {told:?}");
    }
}

#[test]
fn a_502_is_tried_again() {
    let studio = studio();
    studio.site().fault_times("info", Fault::Status(502), 2).unwrap();
    assert_eq!(run(&studio, "start(); print(boot(176).context)"), ["Project bunny"]);
}

#[test]
fn a_site_that_hangs_is_waited_for_unless_the_connection_has_a_time_limit() {
    let studio = studio();
    studio.site().fault("read:PipelineConfiguration", Fault::Hang).unwrap();
    let limited = format!(
        "
{FAIL}
limited = manager()
print(limited._sg_connection.config.timeout_secs)
limited._sg_connection.config.timeout_secs = 0.2
print(attempt(lambda: limited.bootstrap_engine('tk-shell', {{'type': 'Project', 'id': 176}})).split(':')[0] in ('timeout', 'TimeoutError'))
"
    );
    assert_eq!(run(&studio, &limited), ["None", "True"]);
    std::thread::scope(|scope| {
        let unlimited = scope.spawn(|| run(&studio, "start(); print(boot(176).context)"));
        assert!(studio.site().wait_for("read:PipelineConfiguration", 2, Duration::from_secs(300)).unwrap());
        assert!(!unlimited.is_finished());
        studio.site().clear_faults().unwrap();
        studio.site().release().unwrap();
        assert_eq!(unlimited.join().unwrap(), ["Project bunny"]);
    });
}

#[test]
fn a_project_that_is_not_there_is_an_odd_error_where_there_is_a_base_configuration() {
    let studio = studio();
    let told = failing(&studio, "fail(999)");
    assert_eq!(told, ["0.05 v0.24.0 TankBootstrapError: there is no descriptor of a configuration"]);
    let told = failing(&studio, &format!("fail(999, base_configuration={:?})", studio.descriptor(176)));
    assert_eq!(told, ["0.05 v0.24.0 TypeError: 'NoneType' object is not subscriptable"]);
}

#[test]
fn a_storage_that_the_site_does_not_know_and_a_core_that_is_not_there_fail_before_the_swap() {
    let studio = studio();
    let core = studio.configuration(177).join("core/core_api.yml");
    std::fs::write(core, "location:\n  type: path\n  path: /nowhere/at/all\n").unwrap();
    let told = failing(&studio, "fail(177)");
    let wanted = "0.1 v0.24.0 TankBootstrapError: core sgtk:descriptor:path?path=/nowhere/at/all does not \
                  exist on disk";
    assert_eq!(told, [wanted]);
    studio.site().remove("LocalStorage", 1).unwrap();
    let told = failing(&studio, "fail(176)");
    assert_eq!(told, ["0.05 v0.24.0 TankBootstrapError: the site has no storage for the roots: primary"]);
}

#[test]
fn engines_that_can_not_start_leave_the_new_core_loaded() {
    for (engine, error) in [
        (EngineBundle::Missing, "TankEngineInitError: Cannot start engine! sgtk:descriptor:path?path="),
        (EngineBundle::RaisesOnImport, "TankLoadPluginError: "),
        (EngineBundle::InitRaises, "TankError: v0.22.7: this engine does not start"),
    ] {
        let studio = studio();
        studio.project(&Project::new(176, "bunny", Core::older("v0.22.7")).engine(engine)).unwrap();
        let told = failing(&studio, "fail(176)");
        assert!(told[0].starts_with(&format!("0.97 v0.22.7 {error}")), "{engine:?}: {told:?}");
    }
    let told = failing(&studio(), "fail(176, 'tk-other')");
    assert_eq!(told, ["0.97 v0.22.7 TankMissingEngineError: environment project has no engine tk-other"]);
}

#[test]
fn an_engine_that_raises_leaves_its_handler_and_thread() {
    let studio = studio();
    let project = Project::new(176, "bunny", Core::older("v0.22.7")).engine(EngineBundle::InitRaises);
    studio.project(&project).unwrap();
    let told = failing(
        &studio,
        "
import threading
fail(176)
print([thread.name for thread in threading.enumerate()][1:])
print([type(handler).__name__ for handler in logging.getLogger('sgtk').handlers][-1])
",
    );
    assert_eq!(told[1..], ["['left by tk-init-raises']", "EngineHandler"]);
}

#[test]
fn an_error_after_the_swap_is_not_of_the_class_that_was_imported_before() {
    let studio = studio();
    let project = Project::new(176, "bunny", Core::older("v0.22.7")).engine(EngineBundle::InitRaises);
    studio.project(&project).unwrap();
    let told = run(
        &studio,
        "
TankError = start().TankError
try:
    boot(176)
except Exception as error:
    print(isinstance(error, TankError), type(error).__name__, type(error).core_version)
",
    );
    assert_eq!(told, ["False TankError v0.22.7"]);
}

#[test]
fn a_core_that_can_not_be_imported_is_in_place_all_the_same() {
    let studio = studio();
    let broken = Core::newer("v0.99.0").broken(Broken::RaisesImportError);
    studio.project(&Project::new(178, "spring", broken)).unwrap();
    let told = failing(
        &studio,
        "
fail(178)
for name in ('tank', 'sgtk'):
    print(attempt(__import__, name).split(':')[0])
",
    );
    assert_eq!(
        told,
        [
            "0.15 None ModuleNotFoundError: No module named 'a_library_that_is_nowhere'",
            "ModuleNotFoundError",
            "ModuleNotFoundError"
        ]
    );
}

#[test]
fn an_engine_can_refuse_to_be_destroyed_or_leave_all_kinds_of_traces() {
    let studio = studio();
    for (id, engine) in [(178, EngineBundle::DestroyRaises), (179, EngineBundle::LeavesTraces)] {
        studio.project(&Project::new(id, "spring", Core::newer("v0.23.8")).engine(engine)).unwrap();
    }
    let told = run(
        &studio,
        "
import threading
sgtk = start()
engine = boot(178)
print(attempt(engine.destroy))
print(sys.modules['tank'].platform.current_engine() is engine)
",
    );
    assert_eq!(told, ["TankError: v0.23.8: this engine does not end", "True"]);
    let told = run(
        &studio,
        "
import threading
start()
path, meta_path = list(sys.path), list(sys.meta_path)
engine = boot(179)
engine.destroy()
print(until(lambda: threading.active_count() == 3), len(logging.getLogger().handlers), os.environ['TK_FIXTURE_TRACE'])
print(len(sys.path) > len(path), type(sys.meta_path[-1]).__name__, sys.fixture_trace is engine, engine.file.closed)
",
    );
    assert_eq!(told, ["True 1 v0.23.8", "True Finder True False"]);
}

#[test]
fn an_engine_can_hang_when_it_begins() {
    let studio = studio();
    let project = Project::new(178, "spring", Core::newer("v0.23.8")).engine(EngineBundle::InitHangs);
    studio.project(&project).unwrap();
    let told = run(
        &studio,
        "
import threading
sys.path.append(HOST_PACKAGES)
import fixture_gate
start()
told = []
thread = threading.Thread(target=lambda: told.append(boot(178).core_version))
thread.start()
print(fixture_gate.entered.wait(60), told)
fixture_gate.proceed.set()
thread.join()
print(told)
",
    );
    assert_eq!(told, ["True []", "['v0.23.8']"]);
}

#[test]
fn cores_of_one_version_that_differ_are_kept_apart() {
    let studio = studio();
    let core = |broken: Broken| Core::newer("v0.99.0").broken(broken);
    studio.project(&Project::new(178, "spring", core(Broken::RaisesImportError))).unwrap();
    studio.project(&Project::new(179, "agent", core(Broken::SystemExit))).unwrap();
    studio.project(&Project::new(180, "wing", Core::newer("v0.99.0"))).unwrap();
    let class = |id: u32| run(&studio, &format!("start(); print(attempt(boot, {id}).split(':')[0])"));
    assert_eq!([class(178), class(179), class(180)], [["ModuleNotFoundError"], ["SystemExit"], ["fine"]]);
}
