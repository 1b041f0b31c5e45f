//! An engine whose folder another bootstrap rewrites goes on with its own files, or says that it cannot.

use sgtk_host_fixtures::{Core, Project, Studio};

use crate::studio::{project, run, studio};

/// Bootstraps, then has another process bootstrap the same project, whose configuration the test has changed
/// meanwhile.
const OTHER: &str = "
import subprocess
def other(configuration):
    import shutil
    target = os.environ['CONFIGURATION']
    shutil.rmtree(target)
    shutil.copytree(configuration, target)
    code = PRELUDE + 'print(steps.describe(boot())[\"core_version\"])'
    argv = [sys.executable, '-B', '-S', '-c', code] + sys.argv[1:]
    return subprocess.check_output(argv, universal_newlines=True).strip()
def finders():
    return sum(type(finder).__name__ == 'OwnFiles' for finder in sys.meta_path)
";

/// The configuration of project 176 in two versions: the one that is bootstrapped first, and what it is to
/// become.
fn versions(studio: &Studio, first: Core, second: Core) -> (std::path::PathBuf, String) {
    let kept = studio.home().join("second");
    studio.project(&Project::new(176, "bunny", second)).unwrap();
    std::fs::rename(studio.configuration(176), &kept).unwrap();
    studio.project(&Project::new(176, "bunny", first)).unwrap();
    (studio.configuration(176), kept.to_str().unwrap().to_owned())
}

fn check(first: Core, second: Core, script: &str, expected: &[&str]) {
    let studio = studio();
    let (configuration, kept) = versions(&studio, first, second);
    let script = format!("{OTHER}engine = boot()\nsgtk = __import__('sgtk')\n{script}");
    let environment = [("CONFIGURATION", configuration.to_str().unwrap()), ("SECOND", &kept)];
    assert_eq!(run(&studio, project(&studio, 176), &environment, &script), expected, "{script}");
}

#[test]
fn what_it_imports_late_is_its_own_from_folders_and_from_zips() {
    let script = "
print(other(os.environ['SECOND']))
import tank.late_a, tank.deferred.outer.inner
print(tank.late_a.VALUE, tank.deferred.CORE_VERSION, tank.deferred.outer.inner.CORE_VERSION)
import packaging.version
print(packaging.version.CORE_VERSION)
print(tank.late_a.__file__.startswith(engine.sgtk.pipeline_configuration.get_path()))
new = os.path.join(os.path.dirname(tank.__file__), 'newcomer.py')
open(os.open(new, os.O_WRONLY | os.O_CREAT), 'w').close()
files = [finder for finder in sys.meta_path if type(finder).__name__ == 'OwnFiles'][0]
files._written.clear()
print(attempt(__import__, 'tank.newcomer'), attempt(__import__, 'tank.absent'))
steps.destroy()
print(finders())
";
    let expected = [
        "v0.24.0",
        "v0.23.8 v0.23.8 v0.23.8",
        "v0.23.8",
        "True",
        "ModuleNotFoundError: No module named 'tank.newcomer' ModuleNotFoundError: No module named \
         'tank.absent'",
        "0",
    ];
    check(Core::newer("v0.23.8"), Core::newer("v0.24.0"), script, &expected);
}

#[test]
fn what_it_reads_of_another_configuration_is_an_error_that_names_engine_and_file() {
    let script = "
print(other(os.environ['SECOND']))
hooks = os.path.join(engine.sgtk.pipeline_configuration.get_path(), 'install', 'core', 'hooks', 'core_version.py')
from tank.util import loader
told = attempt(loader.load_plugin, hooks, object)
# Toolkit tells it within an error of its own.
print('ConfigurationRewritten: the engine of ' in told, '(tk-shell) cannot use ' + hooks in told)
print('replaced' in told, 'bunny' in told)
";
    let expected = ["v0.24.0", "True True", "True True"];
    check(Core::newer("v0.23.8"), Core::newer("v0.24.0"), script, &expected);
}

#[test]
fn a_folder_that_is_empty_for_a_moment_is_no_answer() {
    let script = "
import shutil
configuration = engine.sgtk.pipeline_configuration
before = configuration.get_environments()
env = os.path.join(configuration.get_path(), 'config', 'env')
shutil.move(env, env + '.away')
print(attempt(configuration.get_environments)[:23])
os.mkdir(env)
print(attempt(configuration.get_environments)[:23])
os.rmdir(env)
shutil.move(env + '.away', env)
print(configuration.get_environments() == before)
";
    let expected = ["ConfigurationRewritten:", "ConfigurationRewritten:", "True"];
    check(Core::newer("v0.23.8"), Core::newer("v0.24.0"), script, &expected);
}

#[test]
fn a_folder_that_is_rewritten_as_it_was_goes_on_as_it_was() {
    let script = "
print(other(os.environ['SECOND']))
hooks = os.path.join(engine.sgtk.pipeline_configuration.get_path(), 'install', 'core', 'hooks', 'core_version.py')
from tank.util import loader
print(attempt(loader.load_plugin, hooks, object))
print(engine.sgtk.pipeline_configuration.get_environments())
import tank.late_a
print(tank.late_a.VALUE)
";
    let expected = ["v0.23.8", "fine", "['project', 'site']", "v0.23.8"];
    check(Core::newer("v0.23.8"), Core::newer("v0.23.8"), script, &expected);
}

#[test]
fn what_its_own_code_writes_there_it_may_read() {
    let script = "
path = os.path.join(engine.sgtk.pipeline_configuration.get_path(), 'config', 'own.yml')
with open(path, 'w') as stream:
    stream.write('one: 1')
with open(path) as stream:
    print(stream.read())
with open(path + '.yml', 'a+b') as stream:
    print(stream.read())
";
    check(Core::newer("v0.23.8"), Core::newer("v0.24.0"), script, &["one: 1", "b''"]);
}
