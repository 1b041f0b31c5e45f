//! What a progress callback sees, and what becomes of what it raises.

use crate::{run, studio};

#[test]
fn the_end_is_told_twice_and_is_an_integer() {
    let told = run(
        &studio(),
        "
import threading
start()
seen, threads = [], set()
def tell(value, message):
    seen.append((value, message))
    threads.add(threading.current_thread())
boot(176, progress_callback=tell)
print([value for value, _ in seen])
print([type(value).__name__ for value, _ in seen[-3:]], {type(message).__name__ for _, message in seen})
print(threads == {threading.main_thread()})
",
    );
    assert_eq!(
        told,
        ["[0.0, 0.05, 0.1, 0.15, 0.2, 0.55, 0.95, 0.97, 1, 1]", "['float', 'int', 'int'] {'str'}", "True"]
    );
}

#[test]
fn a_type_error_of_the_callback_has_it_called_again_with_other_arguments() {
    let told = run(
        &studio(),
        "
start()
seen = []
def tell(value, message, third=0):
    seen.append((value, message, third))
    if third == 0:
        raise TypeError('of the callback itself')
engine = boot(176, progress_callback=tell)
print(seen[:2], len(seen), engine.core_version)
",
    );
    assert_eq!(told, ["[(0.0, 'Resolving project...', 0), ('Resolving project...', None, None)] 20 v0.22.7"]);
}

#[test]
fn any_other_error_of_the_callback_ends_the_bootstrap() {
    let told = run(
        &studio(),
        "
start()
def tell(value, message):
    if value > 0.9:
        raise KeyError('stop')
print(attempt(lambda: boot(176, progress_callback=tell)))
# Too late for the old core.
import sgtk
print(sgtk.__version__, sgtk.platform.current_engine())
",
    );
    assert_eq!(told, ["KeyError: 'stop'", "v0.22.7 None"]);
}

#[test]
fn a_callback_before_the_engine_starts_gets_the_context() {
    let told = run(&studio(), "start(); boot(176, pre_engine_start_callback=print)");
    assert_eq!(told, ["Project bunny"]);
}

#[test]
fn the_asynchronous_way_waits() {
    let told = run(
        &studio(),
        "
start()
manager().bootstrap_engine_async('tk-shell', {'type': 'Project', 'id': 176}, completed_callback=lambda e: print(e.context))
manager().bootstrap_engine_async('tk-shell', {'type': 'Project', 'id': 176}, failed_callback=lambda p, e: print(p, e))
",
    );
    assert_eq!(told, ["Project bunny", "1 an engine is already running: tk-shell"]);
}
