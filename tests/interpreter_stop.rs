//! Signals and the end: what a Rust program keeps of its own with Python in it, and shutting Python down.
//! Each test runs in a process of its own: signals and shutting down concern the whole process.
#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "only the tests of the start choose other Pythons")]
mod python;

use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use pyo3::prelude::*;
use python::{eval, run};
use sgtk_host::interpreter::{Interpreter, InterpreterError};
use sgtk_host_fixtures::isolated;

const LONG: Duration = Duration::from_secs(300);

fn alone(name: &str, body: impl FnOnce()) {
    isolated(name, body);
}

fn interrupt() {
    // SAFETY: sends this thread a signal.
    unsafe { libc::raise(libc::SIGINT) };
}

/// What SIGINT does in a program is inherited: a shell starts what it puts in the background with SIGINT
/// ignored. A test says for itself which of the two it is about.
fn started_with(action: libc::sighandler_t) {
    // SAFETY: no handler is installed.
    unsafe { libc::signal(libc::SIGINT, action) };
}

#[test]
fn ctrl_c_still_ends_a_program_that_has_imported_subprocess() {
    const CHILD: &str = "SGTK_HOST_TEST_INTERRUPTS_ITSELF";
    if std::env::var_os(CHILD).is_some() {
        started_with(libc::SIG_DFL);
        Interpreter::start_default().unwrap();
        run("import signal, subprocess, asyncio\nasyncio.run(asyncio.sleep(0))");
        interrupt();
        return;
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["ctrl_c_still_ends_a_program_that_has_imported_subprocess", "--exact"]).env(CHILD, "1");
    let output = child.output().unwrap();
    assert_eq!(output.status.signal(), Some(libc::SIGINT), "{output:?}");
}

#[test]
fn ctrl_c_still_ends_a_program_whose_interpreter_was_joined() {
    const CHILD: &str = "SGTK_HOST_TEST_INTERRUPTS_ITSELF_JOINED";
    if std::env::var_os(CHILD).is_some() {
        started_with(libc::SIG_DFL);
        Python::initialize();
        Interpreter::start_default().unwrap();
        run("import subprocess");
        interrupt();
        return;
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["ctrl_c_still_ends_a_program_whose_interpreter_was_joined", "--exact"]).env(CHILD, "1");
    let output = child.output().unwrap();
    assert_eq!(output.status.signal(), Some(libc::SIGINT), "{output:?}");
}

#[test]
fn python_knows_that_ctrl_c_is_not_its_own() {
    alone("python_knows_that_ctrl_c_is_not_its_own", || {
        started_with(libc::SIG_DFL);
        Interpreter::start_default().unwrap();
        assert_eq!(eval("__import__('signal').getsignal(2) is __import__('signal').SIG_DFL"), "True");
    });
}

#[test]
fn a_program_that_was_started_with_ctrl_c_ignored_goes_on_ignoring_it() {
    alone("a_program_that_was_started_with_ctrl_c_ignored_goes_on_ignoring_it", || {
        started_with(libc::SIG_IGN);
        Interpreter::start_default().unwrap();
        run("import signal, subprocess, asyncio\nasyncio.run(asyncio.sleep(0))");
        interrupt();
        assert_eq!(eval("__import__('signal').getsignal(2) is __import__('signal').SIG_IGN"), "True");
    });
}

#[test]
fn a_programs_own_handlers_stay() {
    alone("a_programs_own_handlers_stay", || {
        use std::sync::atomic::{AtomicBool, Ordering};
        static CALLED: AtomicBool = AtomicBool::new(false);
        extern "C" fn handler(_: libc::c_int) {
            CALLED.store(true, Ordering::SeqCst);
        }
        // SAFETY: the handler does nothing but an atomic store.
        unsafe { libc::signal(libc::SIGINT, handler as *const () as libc::sighandler_t) };
        Interpreter::start_default().unwrap();
        run("import subprocess");
        interrupt();
        assert!(CALLED.load(Ordering::SeqCst));
        // Rust ignores SIGPIPE so that a closed pipe is an error and not the end.
        assert_eq!(eval("__import__('signal').getsignal(13) is __import__('signal').SIG_IGN"), "True");
    });
}

#[test]
fn shutdown_runs_atexit_once_and_is_final() {
    alone("shutdown_runs_atexit_once_and_is_final", || {
        let interpreter = Interpreter::start_default().unwrap();
        run("import atexit, sys\nsys.exits = 0\n@atexit.register\ndef count():\n    sys.exits += 1\n");
        interpreter.shutdown(LONG).unwrap();
        assert_eq!(eval("__import__('sys').exits"), "1");
        interpreter.shutdown(LONG).unwrap();
        assert_eq!(eval("__import__('sys').exits"), "1");
        assert!(Interpreter::current().is_none());
        assert!(matches!(Interpreter::start_default(), Err(InterpreterError::ShutDown)));
        assert!(matches!(interpreter.on_shutdown(|_| {}), Err(InterpreterError::ShutDown)));
    });
}

#[test]
fn hooks_run_first_the_last_added_before_the_others_even_if_one_panics() {
    alone("hooks_run_first_the_last_added_before_the_others_even_if_one_panics", || {
        let interpreter = Interpreter::start_default().unwrap();
        run("import atexit, sys\nsys.order = []\natexit.register(lambda: sys.order.append('atexit'))\n");
        let note = |name: &'static str| {
            move |py: Python<'_>| {
                let order = py.import("sys").unwrap().getattr("order").unwrap();
                order.call_method1("append", (name,)).unwrap();
            }
        };
        interpreter.on_shutdown(note("first")).unwrap();
        interpreter.on_shutdown(|_| panic!("a hook that panics")).unwrap();
        interpreter.on_shutdown(note("last")).unwrap();
        interpreter.shutdown(LONG).unwrap();
        assert_eq!(eval("__import__('sys').order"), "['last', 'first', 'atexit']");
    });
}

#[test]
fn a_hook_that_asks_for_a_shutdown_gets_an_error_instead_of_waiting_for_itself() {
    alone("a_hook_that_asks_for_a_shutdown_gets_an_error_instead_of_waiting_for_itself", || {
        let interpreter = Interpreter::start_default().unwrap();
        let (sender, receiver) = mpsc::channel();
        interpreter.on_shutdown(move |_| sender.send(interpreter.shutdown(LONG)).unwrap()).unwrap();
        interpreter.shutdown(LONG).unwrap();
        assert!(matches!(receiver.recv().unwrap(), Err(InterpreterError::ShutDown)));
    });
}

#[test]
fn shutdown_waits_for_threads_and_ends_idle_executors() {
    alone("shutdown_waits_for_threads_and_ends_idle_executors", || {
        let interpreter = Interpreter::start_default().unwrap();
        run("import concurrent.futures, sys, threading\n\
             pool = concurrent.futures.ThreadPoolExecutor(2)\n\
             pool.submit(int).result()\n\
             sys.go, sys.done = threading.Event(), False\n\
             def work():\n    sys.go.wait()\n    sys.done = True\n\
             threading.Thread(target=work).start()\n\
             threading.Thread(target=threading.Event().wait, daemon=True).start()\n");
        // The thread ends only after shutting down has begun.
        interpreter.on_shutdown(|py| py.run(c"import sys; sys.go.set()", None, None).unwrap()).unwrap();
        interpreter.shutdown(LONG).unwrap();
        assert_eq!(eval("__import__('sys').done"), "True");
    });
}

#[test]
fn shutdown_names_a_thread_that_will_not_end_and_goes_on_when_it_does() {
    alone("shutdown_names_a_thread_that_will_not_end_and_goes_on_when_it_does", || {
        let interpreter = Interpreter::start_default().unwrap();
        run("import sys, threading\nsys.go = threading.Event()\n\
             threading.Thread(target=sys.go.wait, name='stubborn').start()\n\
             threading.Thread(target=sys.go.wait, name='helpful', daemon=True).start()\n");
        let error = interpreter.shutdown(Duration::from_millis(100)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "shutdown was not over after 0.1 s: waiting for threads, threads alive: stubborn"
        );
        run("import sys; sys.go.set()");
        interpreter.shutdown(LONG).unwrap();
    });
}

#[test]
fn shutdown_keeps_its_limit_when_something_holds_the_interpreter() {
    alone("shutdown_keeps_its_limit_when_something_holds_the_interpreter", || {
        let interpreter = Interpreter::start_default().unwrap();
        let (held, is_held) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let holder = thread::spawn(move || {
            Python::attach(|_| {
                held.send(()).unwrap();
                // Until the sender is gone.
                let _ = released.recv();
            });
        });
        is_held.recv().unwrap();
        let error = interpreter.shutdown(Duration::from_millis(100)).unwrap_err();
        assert!(matches!(error, InterpreterError::ShutdownTimedOut { .. }), "{error}");
        drop(release);
        holder.join().unwrap();
        interpreter.shutdown(LONG).unwrap();
    });
}

#[test]
fn shutdown_may_be_called_attached_and_by_many() {
    alone("shutdown_may_be_called_attached_and_by_many", || {
        let interpreter = Interpreter::start_default().unwrap();
        run("import atexit, sys\nsys.exits = 0\n@atexit.register\ndef count():\n    sys.exits += 1\n");
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| Python::attach(|_| interpreter.shutdown(LONG)).unwrap());
            }
        });
        assert_eq!(eval("__import__('sys').exits"), "1");
    });
}

#[test]
fn a_joined_interpreters_atexit_is_left_to_its_owner() {
    alone("a_joined_interpreters_atexit_is_left_to_its_owner", || {
        Python::initialize();
        let interpreter = Interpreter::start_default().unwrap();
        run("import atexit, sys\nsys.exits = 0\n@atexit.register\ndef count():\n    sys.exits += 1\n");
        interpreter.on_shutdown(|py| py.run(c"import sys; sys.hooked = 1", None, None).unwrap()).unwrap();
        interpreter.shutdown(LONG).unwrap();
        assert_eq!(eval("(__import__('sys').exits, __import__('sys').hooked)"), "(0, 1)");
    });
}
