//! A Python of its own for each script: what a core does to a process is there for good.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use sgtk_host_fixtures::{Configs, host_libraries, host_packages, recipe};

/// Runs a script and returns the lines that it prints.
///
/// The script finds the base folder as `BASE`, the recipe as `import_sgtk`, `python(folder)` for the `python`
/// folder of one with `install/core`, and `attempt(function, *arguments)` for `"Type: message"` of what it
/// raises or `"fine"`.
#[allow(dead_code, reason = "tests of bootstraps have a studio instead")]
pub(crate) fn run(configs: &Configs, script: &str) -> Vec<String> {
    run_with(&configs.base(), |_| (), script)
}

/// The same with another base folder and changes to the command.
pub(crate) fn run_with(base: &Path, prepare: impl FnOnce(&mut Command), script: &str) -> Vec<String> {
    let prelude = "\
import importlib.util, logging, os, sys, warnings
warnings.simplefilter('error', RuntimeWarning)
BASE = os.environ['SHOTGUN_BASE']
HOST_PACKAGES, HOST_LIBRARIES, RECIPE = sys.argv[1:4]

def python(folder):
    return os.path.join(BASE, folder, 'install', 'core', 'python')

def attempt(function, *arguments):
    try:
        function(*arguments)
    except BaseException as error:
        return '%s: %s' % (type(error).__name__, error)
    return 'fine'

def import_sgtk(project, **options):
    return published.import_sgtk(project, **options)

_spec = importlib.util.spec_from_file_location('published', RECIPE)
published = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(published)
";
    let python = std::env::var_os("PYO3_PYTHON").unwrap_or_else(|| OsString::from("python3"));
    let mut command = Command::new(&python);
    command
        // No bytecode in this crate's folders, and nothing that happens to be installed.
        .args(["-B", "-S", "-c", &format!("{prelude}{script}")])
        .args([host_packages(), host_libraries(), recipe()])
        .env_remove("TANK_CURRENT_PC")
        .env_remove("SHOTGUN_HOME")
        .env_remove("PYTHONPATH")
        .env("SHOTGUN_BASE", base)
        .current_dir(base);
    prepare(&mut command);
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{} does not start: {error}", python.to_string_lossy()));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{}\n--- stdout\n{stdout}\n--- stderr\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    stdout.lines().map(str::to_owned).collect()
}
