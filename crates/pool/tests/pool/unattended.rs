//! Nobody is asked anything in a worker, and what its plugins leave running ends with it, not at once.

use std::time::Duration;

use serde_json::{Value, json};
use sgtk_host_fixtures::{Core, EngineBundle, Project, Studio as Site, isolated};
use sgtk_pool::{Bootstrap, Call, PoolError, WorkerPool};

use crate::output::Listener;
use crate::support::{LONG, Studio, until};

const PLUGIN: &str = r#"
import getpass, os, subprocess, sys

def terminal():
    try:
        os.close(os.open("/dev/tty", os.O_RDWR))
        tty = True
    except OSError:
        tty = False
    code = "import os; print(os.getsid(0), os.isatty(0), os.path.realpath('/dev/fd/0'))"
    child = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, timeout=60).stdout.decode().split()
    return {"session": os.getsid(0) == os.getpid(), "tty": tty, "child": [int(child[0]) == os.getpid()] + child[1:]}

def ask(how):
    if how == "input":
        input("Password: ")
    elif how == "getpass":
        getpass.getpass()
    else:
        sys.stdin.readline()

def reads():
    return [sys.stdin.read(), list(sys.stdin)]

def git():
    return {name: os.environ.get(name) for name in ("GIT_TERMINAL_PROMPT", "GIT_ASKPASS", "SSH_ASKPASS", "GIT_SSH_COMMAND")}

def leave(program, *arguments):
    return subprocess.Popen([program] + list(arguments)).pid
"#;

fn studio(projects: &[&str]) -> Studio {
    let studio = Studio::of(projects);
    studio.plugin("asks", PLUGIN);
    studio
}

#[test]
fn a_worker_and_its_children_have_no_terminal_and_nothing_to_read() {
    let studio = studio(&["a"]);
    for templates in [true, false] {
        let pool = studio.options().templates(templates).build().unwrap();
        let told: Value = pool.call("a", Call::new("asks:terminal")).unwrap();
        let expected = json!({"session": true, "tty": false, "child": [true, "False", "/dev/null"]});
        assert_eq!(told, expected, "templates: {templates}");
        assert_eq!(pool.call::<Value>("a", Call::new("asks:reads")).unwrap(), json!(["", []]));
    }
}

#[test]
fn who_asks_a_question_gets_an_error_at_once_that_says_why() {
    let studio = studio(&["a"]);
    for templates in [true, false] {
        let pool = studio.options().templates(templates).build().unwrap();
        for how in ["input", "getpass", "readline"] {
            let error = pool.call::<Value>("a", Call::new("asks:ask").arg(how)).unwrap_err();
            assert!(error.python().unwrap().is_a("EOFError"), "{how}: {error}");
            assert!(
                error.to_string().contains("nobody can be asked: a worker has no user"),
                "{how}: {error}"
            );
        }
    }
}

#[test]
fn git_and_ssh_are_told_that_nobody_is_there() {
    let studio = studio(&["a"]);
    let pool = studio.options().build().unwrap();
    let told: Value = pool.call("a", Call::new("asks:git")).unwrap();
    assert_eq!(told["GIT_TERMINAL_PROMPT"], "0");
    assert!(told["GIT_SSH_COMMAND"].as_str().unwrap().ends_with("-o BatchMode=yes"), "{told}");
    let own = studio.options().env("GIT_SSH_COMMAND", "ssh -i key").env("GIT_ASKPASS", "/studio/askpass");
    let told: Value = own.build().unwrap().call("a", Call::new("asks:git")).unwrap();
    assert_eq!(told["GIT_SSH_COMMAND"], "ssh -i key -o BatchMode=yes");
    assert_eq!((&told["GIT_ASKPASS"], &told["SSH_ASKPASS"]), (&json!("/studio/askpass"), &json!("true")));
}

fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['Z', 'X']))
}

#[test]
fn what_a_call_has_left_running_is_told_and_may_end_when_its_worker_makes_room() {
    isolated(
        "unattended::what_a_call_has_left_running_is_told_and_may_end_when_its_worker_makes_room",
        || {
            let listener = Listener::install();
            let studio = studio(&["a", "b"]);
            let pool = studio.options().max_workers(1).build().unwrap();
            let folder = tempfile::tempdir().unwrap();
            let (gate, done) = (folder.path().join("gate"), folder.path().join("done"));
            let script =
                format!("while [ ! -e {} ]; do sleep 0.02; done; echo > {}", gate.display(), done.display());
            let call = Call::new("asks:leave").arg("sh").arg("-c").arg(script);
            let pid: u32 = pool.call("a", call).unwrap();
            let waiting = pool.submit::<Value>("b", Call::new("os:getpid")).unwrap();
            until("it is told", || listener.text().contains("has left processes running"));
            let warnings = listener.warnings();
            assert!(warnings.iter().any(|text| text.contains(&format!("sh ({pid})"))), "{warnings:?}");
            assert!(is_running(pid), "it has its grace");
            std::fs::write(&gate, "").unwrap();
            waiting.wait().unwrap();
            assert!(done.exists(), "it has done its work");
        },
    );
}

#[test]
fn what_does_not_end_in_its_grace_is_ended_with_its_worker() {
    let studio = studio(&["a", "b"]);
    let grace = Duration::from_millis(500);
    let pool = studio.options().max_workers(1).grace(grace, grace).build().unwrap();
    let pid: u32 = pool.call("a", Call::new("asks:leave").arg("sleep").arg("1000")).unwrap();
    pool.call::<Value>("b", Call::new("os:getpid")).unwrap();
    until("it is gone", || !is_running(pid));
}

#[test]
fn a_bootstrap_that_takes_too_long_ends_with_all_that_it_has_started() {
    let (site, pids) = (Site::new(&Core::newer("v0.24.0")).unwrap(), tempfile::tempdir().unwrap());
    site.project(&Project::new(176, "bunny", Core::newer("v0.23.8")).engine(EngineBundle::Shell)).unwrap();
    let file = pids.path().join("pid");
    let text = format!(
        "import subprocess\ndef wait(context):\n    child = subprocess.Popen(['sleep', '1000'])\n    \
         open({file:?}, 'w').write(str(child.pid))\n    child.wait()\n",
    );
    std::fs::write(pids.path().join("waits.py"), text).unwrap();
    // Long enough for the bootstrap to come so far, however slow the machine is.
    let mut limit = Duration::from_secs(2);
    loop {
        let bootstrap = Bootstrap::project(176)
            .core(site.start())
            .site(site.site().url())
            .script_user(Site::SCRIPT, Site::KEY)
            .pre_engine_hook("waits:wait")
            .timeout(limit)
            .build()
            .unwrap();
        let pool = WorkerPool::builder()
            .configs(site.home())
            .plugin_path(pids.path())
            .env("SHOTGUN_HOME", site.home())
            .bootstrap("bunny", bootstrap)
            .build()
            .unwrap();
        let error = pool.call::<Value>("bunny", Call::new("os:getpid")).unwrap_err();
        assert!(matches!(error, PoolError::NotStarted { .. }), "{error}");
        let Ok(pid) = std::fs::read_to_string(&file) else {
            limit *= 2;
            assert!(limit < LONG, "never came so far: {error}");
            continue;
        };
        assert!(error.to_string().contains("entering the project"), "{error}");
        let pid = pid.parse().unwrap();
        until("its child is gone", || !is_running(pid));
        return;
    }
}

/// What a plugin forks, spawns, or stops in.
const FORKS: &str = r#"
import code, multiprocessing, os, pdb, sys
from concurrent.futures import ProcessPoolExecutor

def double(number):
    import sgtk
    return [sgtk.__version__, os.read(0, 9).decode(), 2 * number]

def pools():
    told = []
    for method in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        with context.Pool(2) as pool:
            told.append(pool.map(double, range(2)))
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            told.append(list(pool.map(double, range(2))))
    return told

def children():
    pid = os.fork()
    if pid == 0:
        os._exit(os.read(0, 9) != b"" or sys.stdin.read() != "")
    spawned = os.posix_spawnp("cat", ["cat"], os.environ)
    return [os.waitpid(pid, 0)[1], os.spawnlp(os.P_WAIT, "cat", "cat"), os.waitpid(spawned, 0)[1]]

def comes_back(how):
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1] >> 8
    if how == "exit":
        sys.exit(7)
    return [how]

def stops(how):
    if how == "breakpoint":
        breakpoint()
    elif how == "trace":
        pdb.set_trace()
    elif how == "run":
        pdb.run("1 + 1")
    elif how == "interact":
        code.interact()
    return how
"#;

#[test]
fn pools_of_processes_and_forked_children_work_in_a_worker_and_ask_nobody() {
    let studio = Studio::of(&["a"]);
    studio.plugin("forks", FORKS);
    for templates in [true, false] {
        let pool = studio.options().templates(templates).build().unwrap();
        let told: Value = pool.call("a", Call::new("forks:pools")).unwrap();
        let each = json!([["v0.24.0", "", 0], ["v0.24.0", "", 2]]);
        assert_eq!(told, json!([each, each, each, each, each, each]), "templates: {templates}");
        assert_eq!(pool.call::<Value>("a", Call::new("forks:children")).unwrap(), json!([0, 0, 0]));
        for (how, status) in [("exit", 7), ("return", 0)] {
            let call = Call::new("forks:comes_back").arg(how);
            assert_eq!(pool.call::<u32>("a", call).unwrap(), status, "{how}");
        }
        assert_eq!(
            (pool.stats().started, pool.stats().forked),
            (u64::from(!templates), u64::from(templates))
        );
    }
}

#[test]
fn debuggers_and_consoles_that_are_left_in_a_plugin_end_at_once() {
    let studio = Studio::of(&["a"]);
    studio.plugin("forks", FORKS);
    let pool = studio.options().build().unwrap();
    for how in ["breakpoint", "trace"] {
        let error = pool.call::<Value>("a", Call::new("forks:stops").arg(how)).unwrap_err();
        assert!(error.python().unwrap().is_a("BdbQuit"), "{how}: {error}");
    }
    for how in ["run", "interact", "none"] {
        assert_eq!(pool.call::<String>("a", Call::new("forks:stops").arg(how)).unwrap(), how);
    }
}
