//! A daemon has nobody to ask, does not wait for a site forever, and shows no keys: in leases too.

use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use sgtk_host::config::STEERING_VARIABLES;
use sgtk_host::{Error, ScriptUser};
use sgtk_host_fixtures::{Fault, Site, bundled, isolated, isolated_with};

use crate::support::{Daemon, host, options, value};

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
            .site_timeout(Duration::from_millis(200))
            .build()
            .unwrap();
        let find = |project: &str| {
            host.with_sgtk(project, |sgtk| {
                let user = sgtk.call_method0("get_authenticated_user")?;
                let connection = user.call_method0("create_sg_connection")?;
                connection.call_method1("find", ("Project", Vec::<String>::new(), ["name"])).map(drop)
            })
        };
        for project in ["project_a", "project_b"] {
            find(project).unwrap();
            site.fault("read", Fault::Hang).unwrap();
            let error = find(project).unwrap_err();
            assert!(matches!(&error, Error::Python { .. }), "{error}");
            assert!(error.to_string().to_lowercase().contains("time"), "{error}");
            site.clear_faults().unwrap();
            site.release().unwrap();
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

def off_turn(function):
    found, go = [], threading.Event()
    def run():
        go.wait()
        found.append(function())
    thread = threading.Thread(target=run)
    thread.start()
    return go, thread, found
";

#[test]
fn project_code_has_no_terminal_and_neither_have_its_children() {
    isolated("unattended::project_code_has_no_terminal_and_neither_have_its_children", || {
        let configs = bundled().unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("asks.py"), ASKS).unwrap();
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
