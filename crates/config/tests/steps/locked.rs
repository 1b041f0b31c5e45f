//! Bootstraps of one project on one cache come one after the other, whichever processes they are in.

use crate::studio::{project, run, studio};

/// Starts `count` processes that bootstrap and say how that went, each when all are there.
const TOGETHER: &str = "
import subprocess
ready, go = os.pipe()
argv = [sys.executable, '-B', '-S', '-c', CODE] + sys.argv[1:]
children = [
    subprocess.Popen(argv, stdin=ready, stdout=subprocess.PIPE, universal_newlines=True)
    for _ in range(4)
]
for child in children:
    assert child.stdout.readline() == 'ready\\n'
os.close(go)
print(sorted(child.communicate()[0].strip() for child in children))
";

/// A process that bootstraps when its standard input ends.
const EACH: &str = "
CODE = PRELUDE + '''
print('ready', flush=True)
sys.stdin.read()
print(attempt(lambda: boot().apps['tk-multi-versions']))
'''
";

/// A process that waits in the middle of a bootstrap until its standard input ends.
const IN_THE_MIDDLE: &str = "
import subprocess
CODE = PRELUDE + '''
def before(context):
    print('ready', flush=True)
    sys.stdin.read()
print(attempt(lambda: boot(before_engine=before)))
'''
holder = subprocess.Popen([sys.executable, '-B', '-S', '-c', CODE] + sys.argv[1:],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, universal_newlines=True)
assert holder.stdout.readline() == 'ready\\n'
";

#[test]
fn processes_that_bootstrap_one_project_at_the_same_time_all_get_an_engine() {
    let studio = studio();
    let told = run(&studio, project(&studio, 176), &[], &format!("{EACH}{TOGETHER}"));
    assert_eq!(told, ["['fine', 'fine', 'fine', 'fine']"]);
}

#[test]
fn a_bootstrap_waits_for_the_one_before_it_and_tells_for_whom() {
    let studio = studio();
    let script = format!(
        "{IN_THE_MIDDLE}
import logging
class Told(logging.Handler):
    def emit(self, record):
        if 'waiting' in record.getMessage():
            print('process %s on' % holder.pid in record.getMessage(), '/p176c1176.basic..lock' in record.getMessage())
            holder.stdin.close()
logging.getLogger('sgtk_host.bootstrap').addHandler(Told())
print(attempt(boot))
print(holder.stdout.read().strip())
"
    );
    assert_eq!(run(&studio, project(&studio, 176), &[], &script), ["True True", "fine", "fine"]);
}

#[test]
fn the_wait_has_an_end_and_a_holder_that_is_killed_holds_nothing() {
    let studio = studio();
    let script = format!(
        "{IN_THE_MIDDLE}
told = attempt(boot, dict(OPTIONS, timeout=0.2))
print(told.startswith('CacheLocked'), 'process %s on' % holder.pid in told)
# Another project need not wait.
print(attempt(boot, dict(OPTIONS, entity=dict(type='Project', id=177))))
steps.destroy()
holder.kill()
holder.wait()
print(attempt(boot))
"
    );
    assert_eq!(run(&studio, project(&studio, 176), &[], &script), ["True True", "fine", "fine"]);
}

#[test]
fn the_lock_ends_with_a_bootstrap_that_fails() {
    let studio = studio();
    let script = "
def refuse(context):
    raise ValueError('not today')
print(attempt(boot, before_engine=refuse))
import glob
print([steps.CacheLock(path).take() for path in glob.glob(os.path.join(os.environ['SHOTGUN_HOME'], '*', '*.lock'))])
";
    assert_eq!(run(&studio, project(&studio, 176), &[], script), ["ValueError: not today", "[True]"]);
}

#[test]
fn a_folder_in_which_nothing_can_be_locked_is_bootstrapped_all_the_same() {
    let studio = studio();
    let script = "
def refuse(stream):
    raise OSError(37, 'No locks available')
steps._lock = refuse
print(attempt(boot))
";
    assert_eq!(run(&studio, project(&studio, 176), &[], script), ["fine"]);
}
