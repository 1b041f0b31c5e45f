//! Settings of the process's that a project's code makes: they go with the project, and the daemon has its
//! own.

use std::process::Stdio;

use pyo3::prelude::*;
use sgtk_host::Host;
use sgtk_host_fixtures::bundled;

use crate::support::host;
use crate::workshop::{alone, eval, run};

/// Each setting: how it is made, and an expression for what it is.
const SETTINGS: [(&str, &str, &str); 55] = [
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
    (
        "attribute of a class",
        "import http.client; http.client.HTTPConnection.debuglevel = 1",
        "__import__('http.client').client.HTTPConnection.debuglevel",
    ),
    (
        "new method of a class",
        "import logging; logging.Logger.trace = lambda self, text: None",
        "hasattr(__import__('logging').Logger, 'trace')",
    ),
    (
        "replaced method of a class",
        "import json\ndef default(self, value): return 'patched'\njson.JSONEncoder.default = default",
        "__import__('json').JSONEncoder.default.__code__.co_name + \
         ('' if __import__('json').JSONEncoder.default.__module__ == 'json.encoder' else ' of a plugin')",
    ),
    (
        "removed method of a class",
        "import threading\nif hasattr(threading.Thread, 'setName'): del threading.Thread.setName",
        "hasattr(__import__('threading').Thread, 'setName')",
    ),
    (
        "method that Python itself looks for",
        "import queue; queue.Queue.__len__ = lambda self: 7",
        "len(__import__('queue').Queue()) if hasattr(__import__('queue').Queue, '__len__') else None",
    ),
    (
        "limit of headers",
        "import http.client; http.client._MAXHEADERS = 1000",
        "__import__('http.client').client._MAXHEADERS",
    ),
    ("clock", "import time; time.time = lambda: 7", "__import__('time').time() == 7"),
    (
        "class of dates",
        "import datetime; datetime.datetime = type('Frozen', (datetime.datetime,), {})",
        "__import__('datetime').datetime.__name__",
    ),
    (
        "path function",
        "import os; os.path.realpath = lambda path: '/'",
        "__import__('os').path.realpath('.') == '/'",
    ),
    ("mail server", "import smtplib; smtplib.SMTP.debuglevel = 1", "__import__('smtplib').SMTP.debuglevel"),
    ("random function", "import random; random.random = lambda: 7", "__import__('random').random() == 7"),
    (
        "encoding of mails",
        "import email.charset as c; c.add_charset('utf-8', c.SHORTEST, None, 'utf-8')",
        "__import__('email.charset').charset.CHARSETS['utf-8']",
    ),
    (
        "name of a level",
        "import logging; logging.addLevelName(5, 'TRACE')",
        "__import__('logging').getLevelName(5)",
    ),
    (
        "how a class is pickled",
        "import copyreg; copyreg.pickle(type('Own', (), {}), lambda own: (int, ()))",
        "any(key.__name__ == 'Own' for key in __import__('copyreg').dispatch_table)",
    ),
    (
        "dialect of csv",
        "import csv; csv.register_dialect('studio', delimiter=';')",
        "__import__('csv').list_dialects()",
    ),
    (
        "prefix of XML",
        "import xml.etree.ElementTree as ET; ET.register_namespace('studio', 'http://studio')",
        "'http://studio' in __import__('xml.etree.ElementTree').etree.ElementTree._namespace_map",
    ),
    (
        "format of archives",
        "import shutil; shutil.register_archive_format('studio', print, (), '')",
        "'studio' in dict(__import__('shutil').get_archive_formats())",
    ),
    (
        "scheme of URLs",
        "import urllib.parse; urllib.parse.uses_netloc.append('shotgun')",
        "'shotgun' in __import__('urllib.parse').parse.uses_netloc",
    ),
    (
        "filter of warnings",
        "import warnings; warnings.simplefilter('ignore')",
        "__import__('warnings').filters[:2]",
    ),
    (
        "warnings that are logged",
        "import logging; logging.captureWarnings(True)",
        "__import__('warnings').showwarning.__module__",
    ),
    (
        "handler of the root logger",
        "import logging; logging.basicConfig()",
        "len(__import__('logging').root.handlers)",
    ),
    (
        "list of the root logger's handlers",
        "import logging; logging.root.handlers = [logging.NullHandler()]",
        "[type(handler).__name__ for handler in __import__('logging').root.handlers]",
    ),
    (
        "level of the root logger",
        "import logging; logging.getLogger().setLevel(logging.DEBUG)",
        "__import__('logging').getLogger('daemon').getEffectiveLevel()",
    ),
    (
        "filter of the root logger",
        "import logging; logging.root.addFilter(print)",
        "len(__import__('logging').root.filters)",
    ),
    (
        "callback of the collector",
        "import gc; gc.callbacks.append(lambda phase, about: None)",
        "bool(__import__('gc').callbacks)",
    ),
    (
        "type of files",
        "import mimetypes; mimetypes.add_type('image/x-studio', '.studio')",
        "__import__('mimetypes').guess_type('a.studio')[0]",
    ),
    ("flags of dlopen", "import sys; sys.setdlopenflags(257)", "__import__('sys').getdlopenflags()"),
    ("limit of csv", "import csv; csv.field_size_limit(7)", "__import__('csv').field_size_limit()"),
    (
        "collector's messages",
        "import gc; gc.set_debug(gc.DEBUG_UNCOLLECTABLE)",
        "__import__('gc').get_debug()",
    ),
    (
        "locale",
        "import locale; locale.setlocale(locale.LC_TIME, 'C.UTF-8')",
        "__import__('locale').setlocale(__import__('locale').LC_TIME)",
    ),
    (
        "what multiprocessing starts",
        "import multiprocessing.spawn; multiprocessing.set_executable('/nowhere/python')",
        "__import__('multiprocessing.spawn').spawn.get_executable()",
    ),
    (
        "folders of time zones",
        "import zoneinfo; zoneinfo.reset_tzpath(['/nowhere'])",
        "__import__('zoneinfo').TZPATH",
    ),
    (
        "first day of the week",
        "import calendar; calendar.setfirstweekday(6)",
        "__import__('calendar').firstweekday()",
    ),
    (
        "domain of messages",
        "import gettext; gettext.textdomain('studio')",
        "__import__('gettext').textdomain()",
    ),
    (
        "encoder of JSON",
        "import json; json._default_encoder = json.JSONEncoder(indent=1)",
        "__import__('json').dumps([1])",
    ),
    ("reader of netrc", "import netrc; netrc.netrc = len", "__import__('netrc').netrc is len"),
    (
        "thresholds of the collector",
        "import gc; gc.set_threshold(5000, 7, 7)",
        "__import__('gc').get_threshold()",
    ),
    (
        "state of the generator",
        "import random; random.seed(7); random.gauss(0, 1)",
        "hash(__import__('random').getstate())",
    ),
    (
        "resource limit",
        "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (250, r.getrlimit(r.RLIMIT_NOFILE)[1]))",
        "__import__('resource').getrlimit(__import__('resource').RLIMIT_NOFILE)[0] == 250",
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

#[test]
fn what_a_project_takes_out_of_a_list_is_out_for_it_alone_and_what_the_daemon_adds_is_there_for_all() {
    let name = "process_settings::\
                what_a_project_takes_out_of_a_list_is_out_for_it_alone_and_what_the_daemon_adds_is_there_for_all";
    alone(name, || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let (filters, mut before) = ("__import__('warnings').filters", Vec::new());
        Python::attach(|py| before = eval::<Vec<Py<PyAny>>>(py, filters, &[]));
        assert!(!before.is_empty());
        let reset = "import warnings; warnings.resetwarnings(); warnings.simplefilter('error', UserWarning)";
        let kinds = "[kind[0] for kind in __import__('warnings').filters]";
        assert_eq!(in_lease(&host, "project_a", Some(reset), kinds), "['error']");
        let daemons = Python::attach(|py| is(py, kinds));
        assert_eq!(in_lease(&host, "project_b", None, kinds), daemons);
        // A with statement that is open meanwhile has the list that it had before.
        let warn = "import warnings\n\
                    def warns():\n try:\n  warnings.warn('told', stacklevel=2)\n except UserWarning:\n  return 'raised'\n\
                    with warnings.catch_warnings(record=True) as told:\n warnings.simplefilter('always')\n \
                    warns()\nresult = warns(), len(told)";
        let warned = |project: &str| {
            Python::attach(|py| {
                let _lease = host.lease(py, project).unwrap();
                run(py, warn, &[]).get_item("result").unwrap().unwrap().to_string()
            })
        };
        assert_eq!(warned("project_a"), "('raised', 1)");
        assert_eq!(warned("project_b"), "(None, 1)");
        let add = "import warnings; warnings.filterwarnings('ignore', 'of the daemon', append=True)";
        Python::attach(|py| run(py, add, &[]).clear());
        assert_eq!(in_lease(&host, "project_a", None, kinds), "['error', 'ignore']");
        Python::attach(|py| {
            let now = eval::<Vec<Py<PyAny>>>(py, filters, &[]);
            assert_eq!(now.len(), before.len() + 1);
            assert!(before.iter().zip(&now).all(|(before, now)| before.is(now)), "the daemon's own");
        });
    });
}

#[test]
fn what_a_project_makes_of_the_root_logger_decides_on_its_own_records_alone() {
    alone(
        "process_settings::what_a_project_makes_of_the_root_logger_decides_on_its_own_records_alone",
        || {
            let configs = bundled().unwrap();
            let host = host(&configs);
            let setup = "import logging\nclass Kept(logging.Handler):\n \
                     def emit(self, record): records.append(record.getMessage())\n\
                     logging.root.addHandler(Kept())\nlogging.root.setLevel(level)";
            let log = "import logging\nfor name in ('daemon', 'plugin'):\n \
                   logging.getLogger(name).debug('%s %s', name, text)";
            Python::attach(|py| {
                let (daemons, own) = (pyo3::types::PyList::empty(py), pyo3::types::PyList::empty(py));
                let log = |text: &str| {
                    run(py, log, &[("text", pyo3::types::PyString::new(py, text).as_any())]).clear();
                };
                let level = |level: i32| level.into_pyobject(py).unwrap();
                run(py, setup, &[("records", daemons.as_any()), ("level", level(20).as_any())]);
                log("before");
                let lease = host.lease(py, "project_a").unwrap();
                run(py, setup, &[("records", own.as_any()), ("level", level(10).as_any())]);
                log("in a");
                lease.finish().unwrap();
                log("outside");
                let lease = host.lease(py, "project_b").unwrap();
                log("in b");
                lease.finish().unwrap();
                let lease = host.lease(py, "project_a").unwrap();
                log("in a again");
                lease.finish().unwrap();
                let expected = ["in a", "in a again"]
                    .iter()
                    .flat_map(|text| ["daemon", "plugin"].map(|name| format!("{name} {text}")))
                    .collect::<Vec<_>>();
                assert_eq!(own.extract::<Vec<String>>().unwrap(), expected);
                assert_eq!(daemons.extract::<Vec<String>>().unwrap(), expected, "its handler is there, too");
            });
        },
    );
}

#[test]
fn loggers_that_a_project_disables_by_a_configuration_are_disabled_for_it_alone() {
    alone(
        "process_settings::loggers_that_a_project_disables_by_a_configuration_are_disabled_for_it_alone",
        || {
            let configs = bundled().unwrap();
            let host = host(&configs);
            Python::attach(|py| run(py, "import logging; logging.getLogger('daemon.child')", &[]).clear());
            let disabled = "__import__('logging').getLogger('daemon.child').disabled";
            for (project, make) in [
                ("project_a", "import logging.config; logging.config.dictConfig({'version': 1})"),
                (
                    "project_b",
                    "import io, logging.config\n\
                     logging.config.fileConfig(io.StringIO('[loggers]\\nkeys=root\\n[handlers]\\nkeys=\\n\
                     [formatters]\\nkeys=\\n[logger_root]\\nlevel=INFO\\nhandlers=\\n'))",
                ),
            ] {
                assert_eq!(in_lease(&host, project, Some(make), disabled), "True", "{project}");
                assert_eq!(Python::attach(|py| is(py, disabled)), "False", "the daemon's, after {project}");
            }
            assert_eq!(in_lease(&host, "project_c", None, disabled), "False", "another project's");
            assert_eq!(in_lease(&host, "project_a", None, disabled), "True", "the project's own again");
            assert_eq!(Python::attach(|py| is(py, disabled)), "False", "the daemon's again");
        },
    );
}

#[test]
fn codecs_and_handlers_of_errors_are_those_of_who_has_registered_them() {
    alone("process_settings::codecs_and_handlers_of_errors_are_those_of_who_has_registered_them", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let register = "import codecs\n\
                        codecs.register_error('studio.errors', lambda error: (letter, error.end))\n\
                        codecs.register(lambda name: codecs.lookup(codec) if name == 'studio_codec' else None)";
        let look = "import codecs\n\
                    try: result = 'é'.encode('ascii', 'studio.errors').decode()\n\
                    except LookupError as error: result = str(error)\n\
                    try: result += ', ' + codecs.lookup('studio_codec').name\n\
                    except LookupError as error: result += ', ' + str(error)";
        Python::attach(|py| {
            let text = |text: &str| pyo3::types::PyString::new(py, text);
            let seen = || run(py, look, &[]).get_item("result").unwrap().unwrap().to_string();
            let none = "unknown error handler name 'studio.errors', unknown encoding: studio_codec";
            let own = |project: &str, letter: &str, codec: &str| {
                let lease = host.lease(py, project).unwrap();
                run(py, register, &[("letter", text(letter).as_any()), ("codec", text(codec).as_any())]);
                lease.finish().unwrap();
            };
            let in_lease = |project: &str| {
                let lease = host.lease(py, project).unwrap();
                let seen = seen();
                lease.finish().unwrap();
                seen
            };
            // Before Python 3.10 a codec stays.
            let can_go = py.version_info() >= (3, 10);
            own("project_a", "a", "ascii");
            if can_go {
                assert_eq!(seen(), none, "the daemon's");
                assert_eq!(in_lease("project_b"), none);
                own("project_b", "b", "utf-8");
                assert_eq!(in_lease("project_b"), "b, utf-8");
            }
            assert_eq!(in_lease("project_a"), "a, ascii");
            assert!(seen().starts_with("unknown error handler name 'studio.errors', "), "the daemon's again");
        });
    });
}

#[test]
#[cfg(unix)]
fn the_daemons_handlers_of_signals_come_back_whether_python_knows_them_or_not() {
    alone(
        "process_settings::the_daemons_handlers_of_signals_come_back_whether_python_knows_them_or_not",
        || {
            let configs = bundled().unwrap();
            let host = host(&configs);
            // Python knows nothing of this one, and has the one of the other signal.
            let rusts =
                signal_hook::flag::register(signal_hook::consts::SIGUSR1, Default::default()).unwrap();
            Python::attach(|py| {
                run(py, "import signal; signal.signal(signal.SIGUSR2, lambda number, frame: None)", &[])
                    .clear();
            });
            let action = |signal: i32| {
                let mut action = std::mem::MaybeUninit::<libc::sigaction>::uninit();
                // SAFETY: only writes the action that there is.
                unsafe {
                    assert_eq!(libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()), 0);
                    action.assume_init().sa_sigaction
                }
            };
            let (signals, python) = (
                [signal_hook::consts::SIGUSR1, signal_hook::consts::SIGUSR2],
                "[int(handler) if isinstance(handler, int) else str(handler) for handler in \
                 map(__import__('signal').getsignal, map(getattr, [__import__('signal')] * 2, \
                 ['SIGUSR1', 'SIGUSR2']))]",
            );
            let before = (signals.map(action), Python::attach(|py| is(py, python)));
            let make = "import signal\nfor name in ('SIGUSR1', 'SIGUSR2'):\n \
                        signal.signal(getattr(signal, name), signal.SIG_IGN)";
            let own = in_lease(&host, "project_a", Some(make), python);
            assert_eq!(own, "[1, 1]");
            assert_eq!((signals.map(action), Python::attach(|py| is(py, python))), before);
            // Where another thread ends the lease, Python's own takes the next one of its main thread.
            Python::attach(|py| {
                let lease = host.lease(py, "project_a").unwrap();
                run(py, make, &[]);
                let (held, may_end) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
                std::thread::scope(|scope| {
                    let (held, may_end, host) = (&held, &may_end, &host);
                    let other = scope.spawn(move || {
                        host.with_sgtk("project_a", |sgtk| {
                            sgtk.py().detach(|| {
                                held.wait();
                                may_end.wait();
                            });
                            Ok(())
                        })
                        .unwrap();
                    });
                    py.detach(|| held.wait());
                    lease.finish().unwrap();
                    py.detach(|| {
                        may_end.wait();
                        other.join().unwrap();
                    });
                });
            });
            assert_eq!(signals.map(action), before.0);
            // A timer does not outlive its handler: the daemon's would end the process.
            let alarm = "import signal\nsignal.signal(signal.SIGALRM, lambda *_: None)\nsignal.alarm(1000)";
            let timer = "__import__('signal').getitimer(0)[0] > 0";
            assert_eq!(in_lease(&host, "project_a", Some(alarm), timer), "True");
            assert_eq!(Python::attach(|py| is(py, timer)), "False");
            in_lease(&host, "project_b", None, python);
            assert_eq!((signals.map(action), Python::attach(|py| is(py, python))), before);
            signal_hook::low_level::unregister(rusts);
        },
    );
}

#[test]
fn what_a_library_for_all_sets_while_it_is_loaded_is_for_all() {
    alone("process_settings::what_a_library_for_all_sets_while_it_is_loaded_is_for_all", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let folder = tempfile::tempdir().unwrap();
        let (shared, own) = (folder.path().join("shared"), folder.path().join("own"));
        let of = |whose: &str, import: &str| {
            format!(
                "import csv, http.client, logging, warnings, urllib.parse\n\
                 http.client.HTTPConnection.{whose} = 1\nlogging.addLevelName(5, '{whose}')\n{import}\n\
                 csv.register_dialect('{whose}', delimiter=';')\nwarnings.filterwarnings('ignore', '{whose}')\n\
                 urllib.parse.uses_netloc.append('{whose}')\n"
            )
        };
        std::fs::create_dir(&shared).unwrap();
        std::fs::create_dir(&own).unwrap();
        std::fs::write(shared.join("a_library.py"), of("library", "from a_helper import name\nname += 1"))
            .unwrap();
        std::fs::write(shared.join("a_helper.py"), of("helper", "name = 1")).unwrap();
        std::fs::write(own.join("a_plugin.py"), of("plugin", "import a_library")).unwrap();
        let seen = "(lambda c, h, l, w, u: [[name for name in ('helper', 'library', 'plugin') if has(name)] for has in ( \
                    lambda name: name in c.list_dialects(), lambda name: hasattr(h.HTTPConnection, name), \
                    lambda name: l.getLevelName(5) == name, \
                    lambda name: any(f[1] and f[1].pattern == name for f in w.filters), \
                    lambda name: name in u.uses_netloc)])(*map(__import__('importlib').import_module, \
                    ('csv', 'http.client', 'logging', 'warnings', 'urllib.parse')))";
        let both = "['helper', 'library']";
        let all = "['helper', 'library', 'plugin']";
        Python::attach(|py| {
            let path = py.import("sys").unwrap().getattr("path").unwrap();
            path.call_method1("append", (shared.to_str().unwrap(),)).unwrap();
            let lease = host.lease(py, "project_a").unwrap();
            run(py, &format!("import sys; sys.path.append({own:?}); import a_plugin"), &[]);
            assert_eq!(is(py, seen), format!("[{all}, {all}, ['helper'], {all}, {all}]"));
            lease.finish().unwrap();
            // The name of the level is the helper's, which has set it last.
            let for_all = format!("[{both}, {both}, ['helper'], {both}, {both}]");
            assert_eq!(is(py, seen), for_all, "the daemon's");
            let lease = host.lease(py, "project_b").unwrap();
            assert_eq!(is(py, seen), for_all, "another project's");
            lease.finish().unwrap();
            let lease = host.lease(py, "project_a").unwrap();
            assert_eq!(is(py, seen), format!("[{all}, {all}, ['helper'], {all}, {all}]"));
            lease.finish().unwrap();
        });
    });
}

/// Has a project replace what is in modules of the standard library in the lease that first loads them, by
/// code that is made of the module's name and the attribute's. Each project, and the daemon, has its own
/// then.
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
