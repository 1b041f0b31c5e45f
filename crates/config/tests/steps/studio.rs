//! A studio with two projects and a Python to bootstrap them in.

use std::process::Command;

use sgtk_config::{Bootstrap, BootstrapBuilder};
use sgtk_host_fixtures::{AppBundle, Core, Project, Studio};

/// Projects 176 and 177, started from a core of neither.
pub(crate) fn studio() -> Studio {
    let studio = Studio::new(&Core::newer("v0.24.0")).unwrap();
    studio.project(&bunny()).unwrap();
    studio.project(&Project::new(177, "sintel", Core::newer("v0.23.8"))).unwrap();
    studio
}

pub(crate) fn bunny() -> Project {
    Project::new(176, "bunny", Core::older("v0.22.7"))
}

/// With an app that is not there.
pub(crate) fn bunny_with(app: AppBundle) -> Project {
    bunny().app(app)
}

pub(crate) fn project(studio: &Studio, id: u32) -> BootstrapBuilder {
    Bootstrap::project(id)
        .core(studio.start())
        .site(studio.site().url())
        .script_user(Studio::SCRIPT, Studio::KEY.to_owned())
}

/// Runs a script that has `steps`, the options as `OPTIONS`, and `boot(options=OPTIONS)`, which gives the
/// engine; the lines that it prints. `PRELUDE` is the code that does so, for a process which the script
/// starts.
pub(crate) fn run(
    studio: &Studio,
    options: BootstrapBuilder,
    environment: &[(&str, &str)],
    script: &str,
) -> Vec<String> {
    let prelude = "
import json, os, sys, types
steps = types.ModuleType('steps')
exec(compile(sys.argv[1], 'steps.py', 'exec'), vars(steps))
OPTIONS = json.loads(sys.argv[2])
sys.path.insert(0, sys.argv[3])

def boot(options=OPTIONS, **named):
    import sgtk
    return steps.bootstrap(sgtk, options, lambda step: None, lambda value, message: None, **named)

def attempt(function, *arguments, **named):
    try:
        function(*arguments, **named)
    except Exception as error:
        return '%s: %s' % (type(error).__name__, error)
    return 'fine'

def told(engine):
    return steps.describe(engine)['differences']
";
    let options = options.build().unwrap().to_json().to_string();
    let script = format!("{prelude}PRELUDE = {prelude:?}\n{script}");
    let python = std::env::var_os("PYO3_PYTHON").unwrap_or_else(|| "python3".into());
    let output = Command::new(&python)
        .args(["-B", "-S", "-c", &script])
        .arg(sgtk_config::BOOTSTRAP_STEPS)
        .arg(options)
        .arg(studio.start())
        .env_remove("TANK_CURRENT_PC")
        .env_remove("PYTHONPATH")
        .env("SHOTGUN_HOME", studio.home())
        .envs(environment.iter().copied())
        .current_dir(studio.home())
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
    stdout.lines().map(str::to_owned).collect()
}
