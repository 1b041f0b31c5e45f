//! Settings of the process's that a project's code makes: they go with the project, and the daemon has its
//! own.

use std::process::Stdio;

use pyo3::prelude::*;
use sgtk_host::Host;
use sgtk_host_fixtures::bundled;

use crate::support::host;
use crate::workshop::{alone, eval, run};

/// Each setting: how it is made, and an expression for what it is.
const SETTINGS: [(&str, &str, &str); 16] = [
    (
        "opener",
        "import urllib.request; urllib.request.install_opener(urllib.request.build_opener())",
        "id(__import__('urllib.request').request._opener)",
    ),
    (
        "HTTPS context",
        "import ssl; ssl._create_default_https_context = ssl._create_unverified_context",
        "__import__('ssl')._create_default_https_context.__qualname__",
    ),
    (
        "socket timeout",
        "import socket; socket.setdefaulttimeout(7)",
        "__import__('socket').getdefaulttimeout()",
    ),
    ("current folder", "import os; os.chdir('/')", "__import__('os').getcwd()"),
    (
        "logging switch",
        "import logging; logging.disable(logging.CRITICAL)",
        "__import__('logging').getLogger('daemon').isEnabledFor(40)",
    ),
    ("recursion limit", "import sys; sys.setrecursionlimit(1234)", "__import__('sys').getrecursionlimit()"),
    ("switch interval", "import sys; sys.setswitchinterval(0.25)", "__import__('sys').getswitchinterval()"),
    ("collector", "import gc; gc.disable()", "__import__('gc').isenabled()"),
    (
        "time zone",
        "import os, time; os.environ['TZ'] = 'Asia/Tokyo'; time.tzset()",
        "(__import__('time').timezone, __import__('time').localtime(0).tm_hour)",
    ),
    (
        "digits of integers",
        "import sys; sys.set_int_max_str_digits(5000)",
        "__import__('sys').get_int_max_str_digits()",
    ),
    ("temporary folder", "import tempfile; tempfile.tempdir = '/'", "__import__('tempfile').tempdir"),
    (
        "class of sockets",
        "import socket; socket.socket = type('Proxied', (socket.socket,), {})",
        "__import__('socket').socket.__name__",
    ),
    (
        "hook of threads",
        "import threading; threading.excepthook = lambda arguments: None",
        "__import__('threading').excepthook.__name__",
    ),
    (
        "class of loggers",
        "import logging; logging.setLoggerClass(type('Own', (logging.Logger,), {}))",
        "__import__('logging').getLoggerClass().__name__",
    ),
    (
        "name among the builtins",
        "import builtins; builtins.of_a_project = builtins._ = 'set'",
        "[hasattr(__import__('builtins'), name) for name in ('of_a_project', '_')]",
    ),
    (
        "the environment's object",
        "import os; os.environ = dict(os.environ)",
        "type(__import__('os').environ).__name__",
    ),
];

fn is(py: Python<'_>, expression: &str) -> String {
    eval::<Bound<'_, PyAny>>(py, expression, &[]).repr().unwrap().to_string()
}

/// What the expressions are while the project is in place.
fn in_lease(host: &Host, project: &str, make: Option<&str>, expression: &str) -> String {
    Python::attach(|py| {
        let _lease = host.lease(py, project).unwrap();
        if let Some(make) = make {
            run(py, make, &[]);
        }
        is(py, expression)
    })
}

#[test]
fn what_a_project_sets_is_its_own() {
    alone("process_settings::what_a_project_sets_is_its_own", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        for (setting, make, expression) in SETTINGS {
            let daemons = Python::attach(|py| is(py, expression));
            let own = in_lease(&host, "project_a", Some(make), expression);
            assert_ne!(own, daemons, "{setting}");
            assert_eq!(Python::attach(|py| is(py, expression)), daemons, "{setting}, the daemon's");
            assert_eq!(
                in_lease(&host, "project_b", None, expression),
                daemons,
                "{setting}, another project's"
            );
            assert_eq!(
                in_lease(&host, "project_a", None, expression),
                own,
                "{setting}, the project's own again"
            );
            assert_eq!(Python::attach(|py| is(py, expression)), daemons, "{setting}, the daemon's again");
        }
    });
}

#[test]
fn a_standard_module_that_the_daemon_loads_anew_is_known_from_the_next_lease_on() {
    alone(
        "process_settings::a_standard_module_that_the_daemon_loads_anew_is_known_from_the_next_lease_on",
        || {
            let configs = bundled().unwrap();
            let host = host(&configs);
            let (make, expression) = ("import json; json.dumps = None", "__import__('json').dumps is None");
            in_lease(&host, "project_a", None, expression);
            Python::attach(|py| drop(run(py, "import sys; del sys.modules['json']; import json", &[])));
            assert_eq!(in_lease(&host, "project_a", Some(make), expression), "True");
            assert_eq!(Python::attach(|py| is(py, expression)), "False", "the daemon's");
            assert_eq!(in_lease(&host, "project_b", None, expression), "False", "another project's");
        },
    );
}

#[test]
fn what_the_daemon_sets_meanwhile_stays_and_reaches_those_who_set_nothing() {
    alone("process_settings::what_the_daemon_sets_meanwhile_stays_and_reaches_those_who_set_nothing", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        for (setting, make, expression) in SETTINGS {
            in_lease(&host, "project_a", None, expression);
            let daemons = Python::attach(|py| {
                run(py, make, &[]);
                is(py, expression)
            });
            for project in ["project_a", "project_b"] {
                assert_eq!(in_lease(&host, project, None, expression), daemons, "{setting}, {project}");
            }
            assert_eq!(Python::attach(|py| is(py, expression)), daemons, "{setting}");
        }
    });
}

#[test]
fn what_is_set_while_a_recipes_core_is_in_place_is_the_daemons() {
    alone("process_settings::what_is_set_while_a_recipes_core_is_in_place_is_the_daemons", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        host.import_sgtk("project_a").unwrap();
        for (setting, make, expression) in SETTINGS {
            let daemons = Python::attach(|py| {
                run(py, make, &[]);
                is(py, expression)
            });
            assert_eq!(in_lease(&host, "project_b", None, expression), daemons, "{setting}");
            assert_eq!(Python::attach(|py| is(py, expression)), daemons, "{setting}");
        }
        host.forget_sgtk().unwrap();
        for (setting, make, expression) in SETTINGS {
            let left = Python::attach(|py| is(py, expression));
            Python::attach(|py| run(py, make, &[]).clear());
            let made = Python::attach(|py| is(py, expression));
            // An opener is another one each time.
            assert_eq!(left == made, setting != "opener", "{setting} is as it was set");
        }
    });
}

/// Has a project replace what is in modules of the standard library in the lease that first loads them, by code
/// that is made of the module's name and the attribute's. Each project, and the daemon, has its own then.
fn replaces_in_the_first_lease(name: &str, code: impl Fn(&str, &str) -> String) {
    alone(name, || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let changes = [
            ("urllib.request", "_opener", "None"),
            ("ssl", "_create_default_https_context.__name__", "'create_default_context'"),
            ("socket", "socket.__name__", "'socket'"),
            ("tempfile", "gettempdir.__name__", "'gettempdir'"),
            ("getpass", "getuser.__name__", "'getuser'"),
            ("asyncio.events", "get_event_loop_policy.__name__", "'get_event_loop_policy'"),
        ];
        let value = |py: Python<'_>, module: &str, attribute: &str| {
            is(py, &format!("__import__('importlib').import_module('{module}').{attribute}"))
        };
        Python::attach(|py| {
            // As if nobody had loaded them before.
            for (module, ..) in changes {
                run(py, &format!("import sys; sys.modules.pop('{module}', None)"), &[]);
            }
            let lease = host.lease(py, "project_a").unwrap();
            for (module, attribute, _) in changes {
                run(py, &code(module, attribute.trim_end_matches(".__name__")), &[]);
            }
            lease.finish().unwrap();
            for (module, attribute, default) in changes {
                assert_eq!(value(py, module, attribute), default, "{module}, the daemon's");
            }
            for (project, has_own) in [("project_b", false), ("project_a", true)] {
                let lease = host.lease(py, project).unwrap();
                for (module, attribute, default) in changes {
                    assert_eq!(value(py, module, attribute) != default, has_own, "{module}, {project}");
                }
                lease.finish().unwrap();
            }
        });
    });
}

#[test]
fn a_module_that_a_project_loads_first_has_its_defaults_for_the_others() {
    let name = "process_settings::a_module_that_a_project_loads_first_has_its_defaults_for_the_others";
    replaces_in_the_first_lease(name, |module, attribute| {
        format!("import {module} as module\ndef other(): pass\nmodule.{attribute} = other")
    });
}

#[test]
fn so_has_one_that_it_loads_by_name_or_in_a_module_of_its_own() {
    let name = "process_settings::so_has_one_that_it_loads_by_name_or_in_a_module_of_its_own";
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    replaces_in_the_first_lease(name, |module, attribute| {
        let by_name = format!(
            "import importlib\nmodule = importlib.import_module('{module}')\n\
             def other(): pass\nmodule.{attribute} = other\n"
        );
        if module.contains('.') {
            return by_name;
        }
        std::fs::write(folder.join(format!("uses_{module}.py")), by_name).unwrap();
        format!("import sys\nsys.path.append({folder:?})\nimport uses_{module}\nsys.path.remove({folder:?})")
    });
}

#[test]
fn threads_that_open_the_file_mode_mask_at_once_leave_it_as_it_was() {
    alone("process_settings::threads_that_open_the_file_mode_mask_at_once_leave_it_as_it_was", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let real = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            status.lines().find_map(|line| line.strip_prefix("Umask:\t").map(str::to_owned)).unwrap()
        };
        if !cfg!(target_os = "linux") {
            return;
        }
        let before = real();
        // Two threads of the project's, in the worst order, in code of the core's.
        let copying = r"
import threading
first, second, third = threading.Event(), threading.Event(), threading.Event()
code = compile('''
import os, threading
def one():
    old = os.umask(0); first.set(); second.wait(); os.umask(old); third.set()
def other():
    first.wait(); old = os.umask(0); second.set(); third.wait(); os.umask(old)
def start():
    threads = [threading.Thread(target=one), threading.Thread(target=other)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
def leave_open():
    os.umask(0)
''', 'copying', 'exec')
util = sgtk.util
util.first, util.second, util.third = first, second, third
exec(code, vars(util))
";
        Python::attach(|py| {
            let lease = host.lease(py, "project_a").unwrap();
            run(py, copying, &[("sgtk", lease.sgtk().as_any())]);
            let util = lease.getattr("util").unwrap();
            util.call_method0("start").unwrap();
            assert_eq!(real(), before, "after both threads");
            let start = util.getattr("start").unwrap();
            util.call_method0("leave_open").unwrap();
            assert_eq!(real(), "0000", "while the project is in place");
            drop(lease);
            assert_eq!(real(), before, "after the lease");
            // The project is parked, its threads copy on.
            start.call0().unwrap();
            assert_eq!(real(), before, "after both threads, off the project's turn");
            run(
                py,
                "import os; assert os.umask(0o77) == int(before, 8)",
                &[("before", pyo3::types::PyString::new(py, &before).as_any())],
            );
            assert_eq!(real(), "0077", "the daemon's own mask");
        });
    });
}

#[test]
fn children_have_the_daemons_environment_and_folder_whatever_is_in_place() {
    alone("process_settings::children_have_the_daemons_environment_and_folder_whatever_is_in_place", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let seen = || {
            let mut command = host.command("sh");
            command.args(["-c", "echo \"$TANK_CURRENT_PC|$DAEMONS|$PROJECTS|$(pwd)\""]);
            let output = command.stderr(Stdio::inherit()).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        Python::attach(|py| run(py, "import os; os.environ['DAEMONS'] = 'kept'", &[]).clear());
        let before = seen();
        assert!(before.starts_with("|kept||/"), "{before}");
        let meanwhile = host.with_sgtk("project_a", |sgtk| {
            let change =
                "import os; os.environ.pop('DAEMONS'); os.environ['PROJECTS'] = 'own'; os.chdir('/')";
            run(sgtk.py(), change, &[]);
            let child = std::process::Command::new("sh").args(["-c", "echo $PROJECTS"]).output().unwrap();
            assert_eq!(String::from_utf8(child.stdout).unwrap(), "own\n", "the project's own children");
            Ok(seen())
        });
        assert_eq!(meanwhile.unwrap(), before);
        assert_eq!(seen(), before);
    });
}
