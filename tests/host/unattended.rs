//! A daemon has nobody to ask, does not wait for a site forever, and shows no keys: in leases too.

use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use sgtk_host::config::STEERING_VARIABLES;
use sgtk_host::{Error, Host, ScriptUser};
use sgtk_host_fixtures::{Fault, Site, bundled, isolated, isolated_with};

use crate::support::{Daemon, host, options, value};

/// How long an answer of a site is waited for that never comes. One that does come is there before, also on a
/// busy machine.
const SITE_TIMEOUT: Duration = Duration::from_secs(3);

const KEY: &str = "a-key-that-project-code-brings";

#[test]
fn who_would_have_to_be_asked_is_an_error_at_once() {
    isolated("unattended::who_would_have_to_be_asked_is_an_error_at_once", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        let (_kept, input) = std::io::pipe().map(|(reader, writer)| (writer, reader)).unwrap();
        rustix::stdio::dup2_stdin(&input).unwrap();
        for project in ["project_a", "project_b"] {
            let asked = host.with_sgtk(project, |sgtk| {
                let authentication = sgtk.py().import("sgtk.authentication")?;
                authentication.getattr("ShotgunAuthenticator")?.call0()?.call_method0("get_user").map(drop)
            });
            let error = asked.unwrap_err().to_string();
            assert!(error.contains("nobody to ask"), "{project}: {error}");
        }
    });
}

#[test]
fn a_site_that_hangs_is_not_waited_for_for_ever() {
    isolated("unattended::a_site_that_hangs_is_not_waited_for_for_ever", || {
        let configs = bundled().unwrap();
        let site = Site::start().unwrap();
        site.script_user("daemon", KEY).unwrap();
        let host = options(&configs)
            .script_user(ScriptUser::new(site.url(), "daemon", KEY))
            .site_timeout(SITE_TIMEOUT)
            .build()
            .unwrap();
        let find_with = |host: &Host, project: &str| {
            host.with_sgtk(project, |sgtk| {
                let user = sgtk.call_method0("get_authenticated_user")?;
                let connection = user.call_method0("create_sg_connection")?;
                connection.call_method1("find", ("Project", Vec::<String>::new(), ["name"])).map(drop)
            })
        };
        let find = |project: &str| find_with(&host, project);
        for project in ["project_a", "project_b"] {
            find(project).unwrap();
            site.fault("read", Fault::Hang).unwrap();
            let error = find(project).unwrap_err();
            assert!(matches!(&error, Error::Python { .. }), "{error}");
            assert!(error.to_string().to_lowercase().contains("time"), "{error}");
            site.clear_faults().unwrap();
            site.release().unwrap();
        }
        let longest = options(&configs)
            .script_user(ScriptUser::new(site.url(), "daemon", KEY))
            .site_timeout(Duration::MAX)
            .build()
            .unwrap();
        for project in ["project_a", "project_b"] {
            find_with(&longest, project).unwrap();
        }
        // The default, for who sets none.
        let host = self::host(&configs);
        let limit = "__import__('tank_vendor.shotgun_api3').shotgun_api3.Shotgun('http://127.0.0.1:1', \
                         's', 'k', connect=False).config.timeout_secs";
        for project in ["project_a", "project_b"] {
            let told = host.with_sgtk(project, |sgtk| Ok(value::<f64>(sgtk, limit)));
            assert_eq!(told.unwrap(), 60.0, "{project}");
        }
    });
}

#[test]
fn a_key_that_projects_code_sets_by_itself_is_hidden() {
    isolated("unattended::a_key_that_projects_code_sets_by_itself_is_hidden", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        for (project, key) in [("project_a", format!("{KEY}-a")), ("project_b", format!("{KEY}-b"))] {
            let shown = host.with_sgtk(project, |sgtk| {
                let authentication = sgtk.py().import("sgtk.authentication")?;
                let authenticator = authentication.getattr("ShotgunAuthenticator")?.call0()?;
                let user = authenticator
                    .call_method1("create_script_user", ("daemon", &key, "https://studio.example"))?;
                sgtk.call_method1("set_authenticated_user", (&user,))?;
                let connection = user.call_method0("create_sg_connection")?;
                let shown = connection.getattr("config")?.getattr("__dict__")?.repr()?.to_string();
                assert!(shown.contains(&key), "the input shows the key");
                Err::<(), _>(PyRuntimeError::new_err(shown))
            });
            let error = shown.unwrap_err().to_string();
            assert!(!error.contains(&key) && error.contains("[hidden]"), "{project}: {error}");
        }
    });
}

/// Behind a plugin that has `threading`: has a function run on a thread when it may, off its project's turn.
const OFF_TURN: &str = "
def off_turn(function):
    found, go = [], threading.Event()
    def run():
        go.wait()
        found.append(function())
    thread = threading.Thread(target=run)
    thread.start()
    return go, thread, found
";

/// What a plugin asks, and what children do that read their standard input, on its turn and off it.
const ASKS: &str = "
import getpass, os, subprocess, threading

def told(function, *arguments, **named):
    try:
        return repr(function(*arguments, **named))
    except EOFError as error:
        return 'EOFError: %s' % error

def ask():
    return [told(input, 'your name? '), told(getpass.getpass)]

def children():
    session = ['python3', '-c', 'import os; print(os.getsid(0))']
    return [
        told(subprocess.check_output, ['cat']),
        told(subprocess.call, 'cat', shell=True),
        told(os.system, 'cat'),
        told(os.system, 'exit 3'),
        told(os.system, 'kill -9 $$'),
        told(lambda: os.popen('cat').read()),
        told(subprocess.check_output, ['cat'], input=b'given'),
        told(lambda: int(subprocess.check_output(session)) != os.getsid(0)),
    ]
";

#[test]
fn project_code_has_no_terminal_and_neither_have_its_children() {
    isolated("unattended::project_code_has_no_terminal_and_neither_have_its_children", || {
        let configs = bundled().unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("asks.py"), [ASKS, OFF_TURN].concat()).unwrap();
        let host = options(&configs).plugin_path(folder.path()).build().unwrap();
        // As a terminal is on which nobody types.
        let (_kept, input) = std::io::pipe().map(|(reader, writer)| (writer, reader)).unwrap();
        rustix::stdio::dup2_stdin(&input).unwrap();
        let daemon = Daemon::new();
        daemon.run("import sys\nstdin = sys.stdin");
        let asked = ["EOFError: project code of a daemon has nobody to ask"; 2];
        let children =
            ["b''", "0", "0", &(3 << 8).to_string(), "9", "''", "b'given'", "True"].map(str::to_owned);
        for project in ["project_a", "project_b"] {
            Python::attach(|py| {
                let lease = host.lease(py, project).unwrap();
                daemon.run("import asks\nlater = [asks.off_turn(one) for one in (asks.ask, asks.children)]");
                assert_eq!(daemon.get::<Vec<String>>("asks.ask()"), asked, "{project}");
                assert_eq!(daemon.get::<Vec<String>>("asks.children()"), children, "{project}");
                assert_eq!(daemon.get::<String>("sys.stdin.read()"), "", "{project}");
                lease.finish().unwrap();
            });
            daemon.run("for go, thread, _ in later:\n    go.set()\n    thread.join()");
            assert_eq!(daemon.get::<Vec<String>>("later[0][2][0]"), asked, "{project}, off its turn");
            assert_eq!(daemon.get::<Vec<String>>("later[1][2][0]"), children, "{project}, off its turn");
        }
        // The daemon's own code has what it had.
        assert!(daemon.get::<bool>("sys.stdin is stdin"));
        daemon.run("import subprocess\nchild = subprocess.Popen(['cat'])");
        assert!(daemon.get::<bool>("child.poll() is None"), "it waits for what the daemon's input has");
        daemon.run("child.kill()\nchild.wait()");
    });
}

/// What a plugin does by hand to read what somebody types.
const READS: &str = "
import errno, getpass, io, os, select, subprocess, sys, threading

def told(function):
    try:
        return function()
    except EOFError:
        return 'EOFError'
    except OSError as error:
        return errno.errorcode[error.errno]

def read():
    shell = ['sh', '-c', 'read line; echo got $line']
    return repr([told(one) for one in (
        lambda: os.read(0, 1),
        lambda: os.read(os.dup(0), 1),
        lambda: open(0, closefd=False).read(),
        lambda: io.open(file=0, closefd=False).read(),
        lambda: os.fdopen(0).read(),
        lambda: open('/dev/stdin', 'rb').read(),
        lambda: open(b'/proc/self/fd/0').read(),
        lambda: os.read(os.open(path='/dev/fd/0', flags=os.O_RDONLY), 1),
        lambda: select.select([0, sys.stdin], [], [])[0] == [0, sys.stdin],
        lambda: os.isatty(0),
        lambda: subprocess.check_output(shell, stdin=0),
        lambda: open('/dev/tty'),
        lambda: os.open(b'/dev/tty', os.O_RDWR),
        lambda: getpass.unix_getpass(stream=io.StringIO()),
    )])
";

#[test]
fn project_code_reads_nothing_that_is_typed_whatever_it_opens() {
    isolated("unattended::project_code_reads_nothing_that_is_typed_whatever_it_opens", || {
        let configs = bundled().unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("reads.py"), [READS, OFF_TURN].concat()).unwrap();
        let host = options(&configs).plugin_path(folder.path()).build().unwrap();
        let daemon = Daemon::new();
        // A terminal on which somebody has typed.
        daemon.run(
            "import os\nos.setsid()\ntyping, other_end = os.openpty()\n\
             os.dup2(os.open(os.ttyname(other_end), os.O_RDWR), 0)\nos.write(typing, b'typed\\n')",
        );
        let read =
            "[b'', b'', '', '', '', b'', '', b'', True, False, b'got\\n', 'ENXIO', 'ENXIO', 'EOFError']";
        for project in ["project_a", "project_b"] {
            Python::attach(|py| {
                let lease = host.lease(py, project).unwrap();
                daemon.run("import reads\nlater = reads.off_turn(reads.read)");
                assert_eq!(daemon.get::<String>("reads.read()"), read, "{project}");
                lease.finish().unwrap();
            });
            daemon.run("go, thread, found = later\ngo.set()\nthread.join()");
            assert_eq!(daemon.get::<String>("found[0]"), read, "{project}, off its turn");
        }
        // The daemon's own code has what it had.
        daemon.run("import select\nterminal = open('/dev/tty', 'rb', buffering=0)");
        assert!(daemon.get::<bool>("os.isatty(0) and select.select([0], [], [])[0] == [0]"));
        assert_eq!(
            daemon.get::<String>("(os.read(0, 2) + open(0, 'rb', 0, closefd=False).read(2)).decode()"),
            "type"
        );
    });
}

#[test]
fn functions_that_are_wrapped_can_still_do_what_they_could() {
    isolated("unattended::functions_that_are_wrapped_can_still_do_what_they_could", || {
        sgtk_host::interpreter::Interpreter::start_default().unwrap();
        let daemon = Daemon::new();
        let able = "[function in supported for supported in (os.supports_dir_fd, os.supports_fd, \
                    os.supports_follow_symlinks) for function in (os.open, os.stat, os.unlink, os.rmdir, os.scandir)]";
        daemon.run("import os, sys");
        let before = daemon.get::<Vec<bool>>(able);
        let configs = bundled().unwrap();
        let _host = host(&configs);
        assert_eq!(daemon.get::<Vec<bool>>(able), before);
        // It asks when it is imported.
        daemon.run("sys.modules.pop('shutil', None)\nimport shutil");
        assert!(daemon.get::<bool>("shutil.rmtree.avoids_symlink_attacks"));
        assert_eq!(daemon.get::<String>("open.__name__"), "open");
    });
}

#[test]
fn git_and_ssh_cannot_ask_in_leases_and_nothing_of_the_environment_steers_them() {
    isolated_with(
        "unattended::git_and_ssh_cannot_ask_in_leases_and_nothing_of_the_environment_steers_them",
        |command| {
            for name in STEERING_VARIABLES {
                command.env(name, "1176");
            }
            command.env_remove("GIT_SSH_COMMAND").env_remove("GIT_SSH").env_remove("GIT_ASKPASS");
        },
        || {
            let configs = bundled().unwrap();
            let host = options(&configs).project_env("project_b", "SHOTGUN_SITE", "its own").build().unwrap();
            let daemon = Daemon::new();
            daemon.remember();
            let steering = format!("[name for name in {STEERING_VARIABLES:?} if name in os.environ]");
            let child = "__import__('subprocess').check_output(['sh', '-c', \
                         'echo $GIT_TERMINAL_PROMPT $GIT_ASKPASS $GIT_SSH_COMMAND'], text=True).strip()";
            for _ in 0..2 {
                for (project, left) in [("project_a", vec![]), ("project_b", vec!["SHOTGUN_SITE"])] {
                    host.with_sgtk(project, |_| {
                        assert_eq!(daemon.get::<Vec<String>>(&steering), left, "{project}");
                        assert_eq!(daemon.get::<String>(child), "0 true ssh -o BatchMode=yes", "{project}");
                        Ok(())
                    })
                    .unwrap();
                    daemon.assert_as_before(project);
                }
            }
            drop(host.import_sgtk("project_a").unwrap());
            assert_eq!(daemon.get::<Vec<String>>(&steering), [""; 0]);
            assert_eq!(daemon.get::<String>(child), "0 true ssh -o BatchMode=yes");
            host.forget_sgtk().unwrap();
            assert_eq!(daemon.get::<Vec<String>>(&steering), STEERING_VARIABLES);
            assert_eq!(daemon.get::<String>(child), "");
        },
    );
}

/// What a plugin forks and spawns.
const FORKS: &str = "
import asyncio, fileinput, multiprocessing, os, sys, threading
from concurrent.futures import ProcessPoolExecutor

def in_child(function):
    reads, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            told = repr(function())
        except BaseException as error:
            told = 'raised %r' % error
        os.write(writes, told.encode())
        os._exit(0)
    os.close(writes)
    with open(reads) as stream:
        told = stream.read()
    os.waitpid(pid, 0)
    return told

def terminal():
    try:
        os.close(os.open('/dev/tty', os.O_RDWR))
    except OSError:
        return 'none'
    return 'one'

def reads():
    return [os.read(0, 9), sys.stdin.read(), sys.__stdin__.read(), terminal(), in_child(terminal)]

def waits(pid):
    return os.waitpid(pid, 0)[1]

async def by_asyncio():
    child = await asyncio.create_subprocess_exec('cat', stdout=asyncio.subprocess.PIPE)
    return (await child.communicate())[0]

def spawned():
    own_input = [(os.POSIX_SPAWN_OPEN, 0, __file__, os.O_RDONLY, 0)]
    code = ('import os', 'try:', '    os.open(\"/dev/tty\", os.O_RDWR)', 'except OSError:', '    os._exit(0)')
    opens = ['python3', '-c', '\\n'.join((*code, 'os._exit(1)'))]
    return [
        os.spawnlp(os.P_WAIT, 'cat', 'cat'),
        waits(os.posix_spawnp('cat', ['cat'], os.environ)),
        waits(os.posix_spawnp('grep', ['grep', '-q', 'own_input'], os.environ, file_actions=own_input)),
        waits(os.posix_spawnp('python3', opens, os.environ)),
        os.spawnvp(os.P_WAIT, 'python3', opens),
        asyncio.run(by_asyncio()) if threading.current_thread() is threading.main_thread() else b'',
        list(fileinput.input(['-'])),
    ]

def double(number):
    import sgtk
    return sgtk.__version__, os.read(0, 9), 2 * number

def pools():
    told = []
    for method in ('fork', 'spawn', 'forkserver'):
        context = multiprocessing.get_context(method)
        with context.Pool(2) as pool:
            told.append(pool.map(double, range(2)))
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            told.append(list(pool.map(double, range(2))))
    return told

def late():
    import forks_late, sgtk
    return forks_late.NAME, sgtk.__version__
";

/// A host with the plugin, and a standard input on which nobody types.
fn forking(configs: &sgtk_host_fixtures::Configs) -> (Host, tempfile::TempDir, std::io::PipeWriter) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("forks.py"), [FORKS, OFF_TURN].concat()).unwrap();
    std::fs::write(folder.path().join("forks_late.py"), "NAME = 'late'").unwrap();
    let (input, kept) = std::io::pipe().unwrap();
    rustix::stdio::dup2_stdin(&input).unwrap();
    (options(configs).plugin_path(folder.path()).build().unwrap(), folder, kept)
}

#[test]
fn what_project_code_forks_or_spawns_has_no_terminal_either() {
    isolated("unattended::what_project_code_forks_or_spawns_has_no_terminal_either", || {
        let configs = bundled().unwrap();
        let (host, _folder, _kept) = forking(&configs);
        let daemon = Daemon::new();
        let read = "[b'', '', '', 'none', \"'none'\"]";
        daemon.run(
            "import os\nos.setsid()\nterminal, other_end = os.openpty()\n\
             own = os.open(os.ttyname(other_end), os.O_RDWR)\nos.close(os.open('/dev/tty', os.O_RDWR))",
        );
        let spawned = "[0, 0, 0, 0, 0, b'', []]";
        for project in ["project_a", "project_b"] {
            Python::attach(|py| {
                let lease = host.lease(py, project).unwrap();
                daemon.run(
                    "import forks\nboth = (lambda: forks.in_child(forks.reads), forks.spawned)\n\
                         later = [forks.off_turn(one) for one in both]",
                );
                assert_eq!(daemon.get::<String>("forks.in_child(forks.reads)"), read, "{project}");
                assert_eq!(daemon.get::<String>("repr(forks.spawned())"), spawned, "{project}");
                lease.finish().unwrap();
            });
            daemon.run("for go, thread, _ in later:\n    go.set()\n    thread.join()");
            assert_eq!(daemon.get::<String>("later[0][2][0]"), read, "{project}, off its turn");
            assert_eq!(daemon.get::<String>("repr(later[1][2][0])"), spawned, "{project}, off its turn");
        }
    });
}

#[test]
fn pools_of_processes_work_in_a_lease_and_their_processes_have_the_projects_core() {
    isolated(
        "unattended::pools_of_processes_work_in_a_lease_and_their_processes_have_the_projects_core",
        || {
            let configs = bundled().unwrap();
            let (host, _folder, _kept) = forking(&configs);
            let daemon = Daemon::new();
            for project in ["project_a", "project_b"] {
                host.with_sgtk(project, |sgtk| {
                    let version: String = sgtk.getattr("__version__")?.extract()?;
                    daemon.run("import forks");
                    let told: String = daemon.get("repr(forks.pools())");
                    let each = format!("[('{version}', b'', 0), ('{version}', b'', 2)]");
                    assert_eq!(told, format!("[{}]", [each.as_str(); 6].join(", ")), "{project}");
                    Ok(())
                })
                .unwrap();
            }
        },
    );
}

#[test]
fn a_child_that_is_forked_off_its_turn_has_its_project_without_waiting() {
    isolated("unattended::a_child_that_is_forked_off_its_turn_has_its_project_without_waiting", || {
        let configs = bundled().unwrap();
        let (host, _folder, _kept) = forking(&configs);
        let daemon = Daemon::new();
        let version = host
            .with_sgtk("project_a", |sgtk| {
                daemon.run(
                    "import forks\n\
                         go, thread, found = forks.off_turn(lambda: forks.in_child(forks.late))",
                );
                sgtk.getattr("__version__")?.extract::<String>()
            })
            .unwrap();
        // Whoever has the turn here is not there in the child: it would wait for ever.
        sgtk_host::set_late_import_timeout(Duration::from_secs(20));
        host.with_sgtk("project_b", |_| {
            daemon.run("go.set()\nthread.join()");
            Ok(())
        })
        .unwrap();
        assert_eq!(daemon.get::<String>("found[0]"), format!("('late', '{version}')"));
    });
}

#[test]
fn a_child_that_comes_back_from_project_code_ends_and_the_daemon_goes_on_once() {
    isolated(
        "unattended::a_child_that_comes_back_from_project_code_ends_and_the_daemon_goes_on_once",
        || {
            let configs = bundled().unwrap();
            let (host, folder, _kept) = forking(&configs);
            let daemon = Daemon::new();
            let came_back = folder.path().join("came_back");
            let note = || {
                use std::io::Write as _;
                let mut file =
                    std::fs::OpenOptions::new().create(true).append(true).open(&came_back).unwrap();
                writeln!(file, "{}", std::process::id()).unwrap();
            };
            let plugin = "
def returns(status):
    pid = __import__('os').fork()
    if pid:
        return pid
    if status is not None:
        raise status
    return 0
";
            std::fs::write(folder.path().join("comes_back.py"), plugin).unwrap();
            for (raised, status) in
                [("None", 0), ("SystemExit(7)", 7), ("SystemExit()", 0), ("ValueError('own')", 1)]
            {
                let outcome = host.with_sgtk("project_a", |sgtk| {
                    let plugin = sgtk.py().import("comes_back")?;
                    let raised = sgtk.py().eval(&std::ffi::CString::new(raised).unwrap(), None, None)?;
                    plugin.call_method1("returns", (raised,))?.extract::<i32>()
                });
                note();
                let waited = format!(
                    "__import__('os').waitstatus_to_exitcode(__import__('os').waitpid({}, 0)[1])",
                    outcome.unwrap()
                );
                assert_eq!(daemon.get::<i32>(&waited), status, "{raised}");
            }
            // A lease that is let go of by hand: what came back is not known.
            let pid = Python::attach(|py| {
                let lease = host.lease(py, "project_b").unwrap();
                let plugin = py.import("comes_back").unwrap();
                let pid = plugin.call_method1("returns", (py.None(),)).unwrap();
                lease.finish().unwrap();
                note();
                pid.extract::<i32>().unwrap()
            });
            let waited =
                format!("__import__('os').waitstatus_to_exitcode(__import__('os').waitpid({pid}, 0)[1])");
            assert_eq!(daemon.get::<i32>(&waited), 1);
            let noted = std::fs::read_to_string(&came_back).unwrap();
            assert_eq!(noted, format!("{}\n", std::process::id()).repeat(5));
        },
    );
}

#[test]
fn debuggers_and_consoles_that_are_left_in_a_plugin_end_at_once() {
    isolated("unattended::debuggers_and_consoles_that_are_left_in_a_plugin_end_at_once", || {
        let configs = bundled().unwrap();
        let (host, folder, _kept) = forking(&configs);
        let plugin = "
import code, pdb, pydoc

def told(function):
    try:
        function()
        return 'done'
    except BaseException as error:
        return type(error).__name__

def stops():
    breakpoint()
    return 1

def traces():
    pdb.set_trace()
    return 1

def after_an_error():
    try:
        1 / 0
    except ZeroDivisionError as error:
        pdb.post_mortem(error.__traceback__)

def pages():
    pydoc.pager('text')

def asks():
    functions = (stops, traces, after_an_error, code.interact, pages, lambda: pdb.run('1 + 1'), quit)
    return [told(function) for function in functions]
";
        std::fs::write(folder.path().join("debugs.py"), plugin).unwrap();
        let daemon = Daemon::new();
        for project in ["project_a", "project_b"] {
            host.with_sgtk(project, |_| {
                daemon.run("import debugs");
                let told: Vec<String> = daemon.get("debugs.asks()");
                let ends = ["BdbQuit", "BdbQuit", "done", "done", "done", "done", "SystemExit"];
                assert_eq!(told, ends, "{project}");
                Ok(())
            })
            .unwrap();
        }
    });
}
