//! Bootstraps that work, one at a time.

use crate::{run, studio};

#[test]
fn an_engine_of_a_projects_own_core_is_bootstrapped_from_another_core() {
    let studio = studio();
    let told = run(
        &studio,
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
