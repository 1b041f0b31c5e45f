//! What a bootstrap does to a process: each test names one hazard of the real one, so that a fixture that
//! lost it fails here and not, by passing, in the tests of the host.

#[path = "../python/mod.rs"]
mod python;

mod engines;
mod failures;
mod progress;
mod published;
mod swap;

use sgtk_host_fixtures::{Core, Project, Studio};

/// Runs a script that finds the `python` folder of the core to start from as `START`, the site's address as
/// `SITE`, and these functions: `start()` imports the core to start from, `user()` makes a user of the core
/// that is loaded, and `manager(**settings)` a manager; `boot(id, **settings)` bootstraps a project's engine.
pub fn run(studio: &Studio, script: &str) -> Vec<String> {
    let prelude = format!(
        "\
import time
START, SITE, SCRIPT, KEY = sys.argv[4:]

def start():
    sys.path.insert(0, START)
    import sgtk
    return sgtk

def user(key=KEY, host=SITE):
    import sgtk
    made = sgtk.authentication.ShotgunAuthenticator().create_script_user(api_script=SCRIPT, api_key=key, host=host)
    sgtk.set_authenticated_user(made)
    return made

def manager(key=KEY, host=SITE, **settings):
    import sgtk
    made = sgtk.bootstrap.ToolkitManager(sg_user=user(key, host))
    made.plugin_id = 'basic.'
    for name, value in settings.items():
        assert hasattr(made, name)
        setattr(made, name, value)
    return made

def boot(project, engine='tk-shell', **settings):
    return manager(**settings).bootstrap_engine(engine, entity={{'type': 'Project', 'id': project}})

def command(engine, name):
    return engine.commands[name]['callback']()

def until(condition):
    for _ in range(6000):
        if condition():
            return condition()
        time.sleep(0.01)
    return False

{script}"
    );
    let prepare = |command: &mut std::process::Command| {
        command
            .arg(studio.start())
            .arg(studio.site().url())
            .args([Studio::SCRIPT, Studio::KEY])
            .env("SHOTGUN_HOME", studio.home());
    };
    python::run_with(&studio.home(), prepare, &prelude)
}

/// Projects 176 (older core) and 177 (newer core), started from a newer one.
pub fn studio() -> Studio {
    let studio = Studio::new(&Core::newer("v0.24.0")).unwrap();
    studio.project(&Project::new(176, "bunny", Core::older("v0.22.7"))).unwrap();
    studio.project(&Project::new(177, "sintel", Core::newer("v0.23.8"))).unwrap();
    studio
}
