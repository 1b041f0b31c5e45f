//! Starting CPython. Each test runs in a process of its own: a process has one interpreter, for good.
#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod python;

use std::path::Path;
use std::process::Command;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use python::{eval, linked, run, script, virtual_environment, virtual_environment_that_starts_with};
use sgtk_host::interpreter::{ExecutableFault, Interpreter, InterpreterError, Origin};
use sgtk_host_fixtures::{isolated, isolated_with};

fn alone(name: &str, body: impl FnOnce()) {
    isolated(name, body);
}

#[test]
fn the_running_libpython_is_the_one_linked() {
    alone("the_running_libpython_is_the_one_linked", || {
        let interpreter = Interpreter::start_default().unwrap();
        let library = interpreter.library().unwrap().canonicalize().unwrap();
        let reported = Path::new(env!("SGTK_HOST_LINKED_LIBDIR")).canonicalize().unwrap();
        assert_eq!(library.parent(), Some(&*reported));
        assert_eq!(
            interpreter.version().to_string(),
            eval("'%d.%d.%d' % __import__('sys').version_info[:3]")
        );
        assert_eq!(interpreter.executable().canonicalize().unwrap(), linked());
    });
}

#[test]
fn the_environment_changes_nothing() {
    let name = "the_environment_changes_nothing";
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("was-run");
    for other in ["python", "python3", concat!("python", env!("SGTK_HOST_LINKED_VERSION"))] {
        script(&folder.path().join(other), &format!("echo ran > '{}'", trace.display()));
    }
    std::fs::write(folder.path().join("sitecustomize.py"), "import builtins\nbuiltins.intruder = True\n")
        .unwrap();
    let garbage = |command: &mut Command| {
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .env("PATH", format!("{}:{path}", folder.path().display()))
            .env("PYTHONHOME", "/nowhere/at/all")
            .env("PYTHONPATH", folder.path())
            .env("PYTHONSTARTUP", "/nowhere/at/all")
            .env("PYTHONOPTIMIZE", "2")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONIOENCODING", "latin-1")
            .env("PYTHONUTF8", "0")
            .env("LC_ALL", "C")
            .env("VIRTUAL_ENV", folder.path());
    };
    isolated_with(name, garbage, || {
        Interpreter::start_default().unwrap();
        let linked = linked();
        let prefix = linked.parent().unwrap().parent().unwrap();
        assert_eq!(Path::new(&eval("__import__('sys').base_prefix")).canonicalize().unwrap(), prefix);
        assert_eq!(eval("hasattr(__import__('builtins'), 'intruder')"), "False");
        assert_eq!(eval("__import__('sys').flags.optimize"), "0");
        assert_eq!(eval("__import__('sys').dont_write_bytecode"), "False");
        assert_eq!(eval("__import__('sys').stdout.encoding"), "utf-8");
        assert_eq!(eval("__import__('sys').getfilesystemencoding()"), "utf-8");
    });
    assert!(!trace.exists(), "a Python on PATH was run");
}

#[test]
fn python_sees_nothing_of_the_programs_arguments_and_runs_isolated() {
    alone("python_sees_nothing_of_the_programs_arguments_and_runs_isolated", || {
        Interpreter::start_default().unwrap();
        assert_eq!(eval("__import__('sys').argv"), "['']");
        assert_eq!(eval("getattr(__import__('sys'), 'orig_argv', [])"), "[]");
        let flags =
            "[getattr(__import__('sys').flags, f) for f in ('isolated', 'utf8_mode', 'no_user_site')]";
        assert_eq!(eval(flags), "[1, 1, 1]");
        assert_eq!(eval("'' in __import__('sys').path"), "False");
        assert_eq!(
            eval("__import__('threading').main_thread().ident == __import__('threading').get_ident()"),
            "True"
        );
    });
}

#[test]
fn the_options_of_the_start_are_kept() {
    alone("the_options_of_the_start_are_kept", || {
        let folder = tempfile::tempdir().unwrap();
        let extra = [folder.path().join("a"), folder.path().join("b")];
        Interpreter::builder().write_bytecode(false).search_path(&extra).start().unwrap();
        assert_eq!(eval("__import__('sys').dont_write_bytecode"), "True");
        let last: String = eval("'|'.join(__import__('sys').path[-2:])");
        assert_eq!(last, format!("{}|{}", extra[0].display(), extra[1].display()));
    });
}

#[test]
fn a_second_start_gives_the_same_interpreter_and_refuses_other_settings() {
    alone("a_second_start_gives_the_same_interpreter_and_refuses_other_settings", || {
        assert!(Interpreter::current().is_none());
        Interpreter::builder().write_bytecode(false).start().unwrap();
        Interpreter::builder().write_bytecode(false).search_path([""; 0]).start().unwrap();
        assert_eq!(Interpreter::start_default().unwrap().origin(), Origin::Started);
        assert!(Interpreter::current().is_some());
        let error = Interpreter::builder().write_bytecode(true).start().unwrap_err();
        assert_eq!(error.to_string(), "the interpreter runs with write_bytecode false, asked for was true");
        let error = Interpreter::builder().executable("/bin/other").start().unwrap_err();
        assert!(matches!(error, InterpreterError::OtherSettings { setting: "executable", .. }), "{error}");
    });
}

#[test]
fn a_virtual_environments_packages_are_importable_when_its_python_is_chosen() {
    alone("a_virtual_environments_packages_are_importable_when_its_python_is_chosen", || {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap().join("venv");
        let chosen = virtual_environment(&root, &[("only_in_there.py", "answer = 42\n")]);
        let interpreter = Interpreter::builder().executable(&chosen).start().unwrap();
        assert_eq!(interpreter.executable(), chosen);
        assert_eq!(eval("__import__('only_in_there').answer"), "42");
        assert_eq!(eval("__import__('sys').prefix"), root.display().to_string());
        let base = linked().parent().unwrap().parent().unwrap().to_owned();
        assert_eq!(Path::new(&eval("__import__('sys').base_prefix")).canonicalize().unwrap(), base);
        assert_eq!(eval("__import__('json').__name__"), "json");
    });
}

#[test]
fn a_launcher_is_followed_to_the_python_that_it_starts() {
    alone("a_launcher_is_followed_to_the_python_that_it_starts", || {
        let folder = tempfile::tempdir().unwrap();
        let launcher = folder.path().join("python");
        script(&launcher, &format!("echo choosing a version\nexec '{}' \"$@\"", linked().display()));
        let interpreter = Interpreter::builder().executable(&launcher).start().unwrap();
        assert_eq!(interpreter.executable(), linked());
        assert_eq!(eval("__import__('json').__name__"), "json");
        // The option that was given counts, not what became of it.
        Interpreter::builder().executable(&launcher).start().unwrap();
    });
}

#[test]
#[cfg(target_os = "linux")]
fn a_libpython_that_was_shipped_with_the_program_brings_its_own_python() {
    let name = "a_libpython_that_was_shipped_with_the_program_brings_its_own_python";
    let folder = tempfile::tempdir().unwrap();
    let shipped = folder.path().canonicalize().unwrap();
    let version = env!("SGTK_HOST_LINKED_VERSION");
    std::fs::create_dir(shipped.join("lib")).unwrap();
    std::fs::create_dir(shipped.join("bin")).unwrap();
    for entry in std::fs::read_dir(env!("SGTK_HOST_LINKED_LIBDIR")).unwrap() {
        let library = entry.unwrap();
        if library.file_name().to_string_lossy().starts_with(&format!("libpython{version}.so.")) {
            std::fs::copy(library.path(), shipped.join("lib").join(library.file_name())).unwrap();
        }
    }
    let python = shipped.join("bin").join(format!("python{version}"));
    std::os::unix::fs::symlink(linked(), &python).unwrap();
    let prepare = |command: &mut Command| {
        command.env("LD_LIBRARY_PATH", shipped.join("lib")).env("SGTK_HOST_TEST_SHIPPED", &shipped);
    };
    isolated_with(name, prepare, || {
        let shipped = std::path::PathBuf::from(std::env::var_os("SGTK_HOST_TEST_SHIPPED").unwrap());
        let interpreter = Interpreter::start_default().unwrap();
        assert_eq!(interpreter.library().unwrap().parent(), Some(&*shipped.join("lib")));
        let python = shipped.join("bin").join(concat!("python", env!("SGTK_HOST_LINKED_VERSION")));
        assert_eq!(interpreter.executable(), python);
        assert_eq!(eval("__import__('json').__name__"), "json");
    });
}

#[test]
fn threads_that_race_the_start_all_see_a_complete_interpreter() {
    alone("threads_that_race_the_start_all_see_a_complete_interpreter", || {
        let folder = tempfile::tempdir().unwrap();
        // Lets go of the interpreter again and again while it is being started.
        let slow = "import sys, time\nfor _ in range(100):\n    time.sleep(0.002)\nsys.complete = \
                    getattr(sys, 'complete', 0) + 1\n";
        let chosen = virtual_environment_that_starts_with(folder.path(), slow);
        let barrier = Barrier::new(8);
        let racing = &|late: bool| {
            barrier.wait();
            // The latecomers come when Python calls itself initialised and has not yet run `site` to its end.
            // SAFETY: may be called at any time.
            while late && unsafe { pyo3::ffi::Py_IsInitialized() } == 0 {
                thread::yield_now();
            }
            let interpreter = Interpreter::builder().executable(&chosen).start().unwrap();
            assert_eq!(interpreter.origin(), Origin::Started);
            eval("getattr(__import__('sys'), 'complete', 0)")
        };
        let seen: Vec<String> = thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|nth| scope.spawn(move || racing(nth % 2 == 1))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(seen, vec!["1"; 8]);
    });
}

#[pyo3::pymodule]
mod asks_for_a_start {
    use super::*;

    #[pymodule_init]
    fn init(module: &pyo3::Bound<'_, pyo3::types::PyModule>) -> pyo3::PyResult<()> {
        use pyo3::types::PyModuleMethods;
        module.add("answer", Interpreter::start_default().unwrap_err().to_string())
    }
}

#[test]
fn start_up_code_that_asks_for_a_start_gets_an_error_instead_of_waiting_for_itself() {
    alone("start_up_code_that_asks_for_a_start_gets_an_error_instead_of_waiting_for_itself", || {
        pyo3::append_to_inittab!(asks_for_a_start);
        let folder = tempfile::tempdir().unwrap();
        let chosen = virtual_environment_that_starts_with(folder.path(), "import asks_for_a_start\n");
        Interpreter::builder().executable(chosen).start().unwrap();
        assert_eq!(
            eval("__import__('asks_for_a_start').answer"),
            "the interpreter is being started by this very thread"
        );
    });
}

#[test]
fn a_wrong_executable_is_an_error_after_which_a_right_one_starts() {
    alone("a_wrong_executable_is_an_error_after_which_a_right_one_starts", || {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let fault = |executable: &Path, limit: Duration| match Interpreter::builder()
            .executable(executable)
            .check_timeout(limit)
            .start()
        {
            Err(InterpreterError::Executable { source, .. }) => source,
            other => panic!("{}: {other:?}", executable.display()),
        };
        let long = Duration::from_secs(300);

        assert!(matches!(fault(&path("missing"), long), ExecutableFault::Unrunnable { .. }));
        assert!(matches!(fault(folder.path(), long), ExecutableFault::Unrunnable { .. }));
        // Not looked up on PATH.
        assert!(matches!(fault(Path::new("sh"), long), ExecutableFault::Unrunnable { .. }));

        let other = script(&path("other"), "echo Python 3.11.7");
        assert!(
            matches!(fault(&other, long), ExecutableFault::Answer { stdout } if stdout == "Python 3.11.7")
        );

        let failing = script(&path("failing"), "echo not me >&2; exit 3");
        let error = fault(&failing, long).to_string();
        assert!(error.contains("exit status: 3") && error.contains("not me"), "{error}");

        // The real one, made to say that it is another.
        let older = script(
            &path("older"),
            &format!(
                "exec '{}' -I -S -c 'import sys; sys.version_info = (3, 2, 1); exec(sys.argv[1])' \"$4\"",
                linked().display()
            ),
        );
        let error = fault(&older, long).to_string();
        assert_eq!(error, format!("expected Python {}, found 3.2.1", env!("SGTK_HOST_LINKED_VERSION")));

        let hanging = script(&path("hanging"), "sleep 1000");
        assert!(matches!(fault(&hanging, Duration::from_millis(50)), ExecutableFault::Hung { .. }));

        assert!(Interpreter::current().is_none());
        Interpreter::builder().executable(linked()).start().unwrap();
        assert_eq!(eval("1 + 1"), "2");
    });
}

#[test]
fn start_up_code_that_exits_is_an_error_and_final() {
    alone("start_up_code_that_exits_is_an_error_and_final", || {
        let folder = tempfile::tempdir().unwrap();
        let chosen = virtual_environment_that_starts_with(folder.path(), "raise SystemExit(7)\n");
        let error = Interpreter::builder().executable(chosen).start().unwrap_err();
        assert!(matches!(error, InterpreterError::Initialization { .. }), "{error}");
        assert!(error.to_string().contains("SystemExit: 7"), "{error}");
        let error = Interpreter::start_default().unwrap_err();
        assert!(matches!(error, InterpreterError::Failed { .. }), "{error}");
    });
}

#[test]
fn an_interpreter_that_the_process_has_is_joined_and_said_to_be() {
    alone("an_interpreter_that_the_process_has_is_joined_and_said_to_be", || {
        pyo3::Python::initialize();
        run("import sys; sys.mine = 'kept'");
        let interpreter = Interpreter::builder().write_bytecode(false).start().unwrap();
        assert_eq!(interpreter.origin(), Origin::Joined);
        assert_eq!(eval("__import__('sys').mine"), "kept");
        // None of the settings is this crate's, so none can be in conflict.
        assert_eq!(Interpreter::builder().write_bytecode(true).start().unwrap().origin(), Origin::Joined);
    });
}

#[test]
fn attached_threads_may_start_at_once() {
    alone("attached_threads_may_start_at_once", || {
        pyo3::Python::initialize();
        let barrier = Barrier::new(8);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    barrier.wait();
                    pyo3::Python::attach(|_| Interpreter::start_default().map(|_| ())).unwrap();
                });
            }
        });
    });
}
