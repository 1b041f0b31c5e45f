use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use sgtk_host_fixtures::{Broken, Configs, Core, bundled_versions, events, plugins};

use crate::program::{Ran, example, run};

/// The daemon on some plugins, by file name and text, with events from its standard input.
fn with_plugins(folder: &Path, files: &[(&str, &str)]) -> Command {
    for (name, text) in files {
        fs::write(folder.join(name), text).unwrap();
    }
    let mut command = example("event_daemon");
    command.arg("--plugins").arg(folder).args(["--events", "-"]);
    command
}

fn event(id: u32, kind: &str, project: &str) -> String {
    format!("{{\"id\": {id}, \"type\": \"{kind}\", \"project\": \"{project}\"}}\n")
}

fn handle(files: &[(&str, &str)], events: &str) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    run(with_plugins(folder.path(), files), events)
}

#[test]
fn without_arguments_each_fixture_event_gets_its_own_core() {
    let text = fs::read_to_string(events()).unwrap();
    let entries: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let projects: BTreeSet<_> = entries.iter().map(|entry| entry["project"].as_str().unwrap()).collect();
    let versions = BTreeMap::from(bundled_versions());

    let ran = run(example("event_daemon"), "");

    assert_eq!(ran.status, 0, "{ran:?}");
    for entry in &entries {
        let project = entry["project"].as_str().unwrap();
        let line = ran.event(&entry["id"].to_string());
        assert!(line.contains(&format!(" {project} ")), "{line}");
        assert!(line.contains(&format!(" {} ", versions[project])), "{line}");
    }
    assert_eq!(ran.figure("events"), entries.len().to_string());
    assert_eq!(ran.figure("projects"), projects.len().to_string());
    assert_eq!(ran.figure("imports"), projects.len().to_string());
    assert_eq!(ran.figure("swaps"), (entries.len() - projects.len()).to_string());
    assert_eq!(ran.figure("wrong cores"), "0");
    assert_eq!(ran.figure("core errors"), "0");
    assert_eq!(ran.figure("host errors"), "0");
    assert!(ran.figure("median swap").ends_with(" µs"), "{ran:?}");
    if cfg!(target_os = "linux") {
        assert!(ran.figure("memory").ends_with(" MiB"), "{ran:?}");
    }
}

#[test]
fn with_bootstrap_each_fixture_event_gets_its_projects_own_engine() {
    let text = fs::read_to_string(events()).unwrap();
    let entries: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let projects: BTreeSet<_> = entries.iter().map(|entry| entry["project"].as_str().unwrap()).collect();
    let versions = BTreeMap::from(bundled_versions());
    let mut command = example("event_daemon");
    command.arg("--bootstrap");

    let ran = run(command, "");

    assert_eq!(ran.status, 0, "{ran:?}");
    for entry in &entries {
        let project = entry["project"].as_str().unwrap();
        let line = ran.event(&entry["id"].to_string());
        assert!(line.contains(&format!(" {project} engine {} ", versions[project])), "{line}");
    }
    assert_eq!(ran.figure("bootstraps"), projects.len().to_string());
    assert_eq!(ran.figure("swaps"), (entries.len() - projects.len()).to_string());
    assert_eq!(ran.figure("wrong cores"), "0");
    assert_eq!(ran.figure("core errors"), "0");
    assert_eq!(ran.figure("host errors"), "0");
}

#[test]
fn a_plugin_that_raises_is_told_with_its_traceback_and_stops_no_other() {
    let text = fs::read_to_string(events()).unwrap();
    let assets = text.lines().filter(|line| line.contains("Shotgun_Asset_Change"));
    let entries: Vec<Value> = assets.map(|line| serde_json::from_str(line).unwrap()).collect();

    let ran = run(example("event_daemon"), "");

    // Each is the first of its project, after which the plugin is out of service there.
    assert_eq!(ran.figure("plugin errors"), entries.len().to_string());
    assert_eq!(ran.stderr.matches("in raises\n").count(), entries.len(), "{}", ran.stderr);
    for entry in &entries {
        let line = ran.event(&entry["id"].to_string());
        assert!(line.contains("error in raises: tank.errors.TankError: v0."), "{line}");
        assert!(line.ends_with("ok: counts"), "{line}");
    }
}

#[test]
fn lines_that_are_no_events_are_told_by_number_and_passed_over() {
    let lines = [
        r#"{"id": 1, "type": "Shotgun_Version_New", "project": "project_a", "entity": null}"#,
        r#"{"id": 2, "type": "#,
        "",
        r#"{"type": "Shotgun_Version_New", "project": "project_a"}"#,
        r#"{"id": 5, "project": "project_a"}"#,
        r#"["id"]"#,
        r#"{"id": 7, "type": "EventLogEntry", "event_type": "Shotgun_User_Login", "project": null}"#,
        r#"{"id": 8, "type": "EventLogEntry", "event_type": "Shotgun_Version_New", "project": {"type": "Project", "id": 70, "name": "project_b"}}"#,
    ];
    let mut command = example("event_daemon");
    command.args(["--events", "-"]);
    let ran = run(command, &lines.join("\r\n"));

    assert_eq!(ran.status, 0, "{ran:?}");
    for number in [2, 4, 5, 6] {
        assert!(ran.stderr.contains(&format!("line {number} is no event: ")), "{}", ran.stderr);
    }
    assert_eq!(ran.figure("bad lines"), "4");
    assert_eq!(ran.figure("events"), "3");
    assert_eq!(ran.figure("no project"), "1");
    assert!(ran.event("7").ends_with("no project"), "{ran:?}");
    assert!(ran.event("8").contains("Shotgun_Version_New project_b attached v0.22.5"), "{ran:?}");
}

#[test]
fn plugins_are_called_for_what_they_registered() {
    let plugin = r#"
import sgtk

def registerCallbacks(reg):
    reg.registerCallback("n", "k", everything, {"*": ["*"]})
    reg.registerCallback("n", "k", status, {"Change": ["sg_status_list", "code"]})
    reg.registerCallback("n", "k", arguments, {"Change": None}, {"answer": 42}, stopOnError=False)
    reg.registerCallback("n", "k", lambda *_: 1 / 0, {"Never": None})
    reg.logger.warning("registered by %s", reg.logger.name)

def everything(sg, logger, event, args):
    assert args is None

def status(sg, logger, event, args):
    assert event["attribute_name"] == "sg_status_list"

def arguments(sg, logger, event, args):
    assert args == {"answer": 42} and event["event_type"] == "Change" and event["meta"]["new"] == "fin"
    sg.find("Shot", [])
"#;
    let events = r#"
{"id": 1, "type": "Change", "project": "project_a", "attribute_name": "sg_status_list", "meta": {"new": "fin"}}
{"id": 2, "type": "Change", "project": "project_a", "attribute_name": "other", "meta": {"new": "fin"}}
{"id": 3, "type": "New", "project": "project_a"}
"#;
    let ran = handle(&[("watch.py", plugin)], events);
    assert_eq!(ran.status, 0, "{ran:?}");
    let no_site = "error in watch: AttributeError: this daemon is connected to no site: there is no sg.find;";
    assert!(ran.event("1").ends_with(&format!("{no_site} ok: everything, status")), "{ran:?}");
    assert!(ran.event("2").ends_with(&format!("{no_site} ok: everything")), "{ran:?}");
    assert!(ran.event("3").ends_with(" ok: everything"), "{ran:?}");
    assert!(ran.stderr.contains("registered by plugin.project_a.watch"), "{ran:?}");
    assert_eq!(ran.figure("plugin errors"), "2");
}

#[test]
fn a_plugin_that_raises_is_out_of_service_for_its_project_only() {
    let plugin = r#"
def registerCallbacks(reg):
    reg.registerCallback("n", "k", leave)

def leave(sg, logger, event, args):
    raise SystemExit("enough")
"#;
    let events = [event(1, "New", "project_a"), event(2, "New", "project_a"), event(3, "New", "project_b")];
    let ran = handle(&[("leaves.py", plugin)], &events.concat());
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.event("1").ends_with("error in leaves: SystemExit: enough"), "{ran:?}");
    assert!(ran.event("2").ends_with("leaves is stopped"), "{ran:?}");
    assert!(ran.event("3").ends_with("error in leaves: SystemExit: enough"), "{ran:?}");
}

#[test]
fn plugins_that_cannot_be_loaded_are_told_and_the_others_run() {
    let works = "def registerCallbacks(reg):\n    reg.registerCallback('n', 'k', lambda *_: None)\n";
    let files = [
        ("absent.py", "import sgtk\n"),
        ("json.py", works),
        ("broken.py", "import nothing_of_that_name\n"),
        ("works.py", works),
        (".hidden.py", "raise Exception\n"),
    ];
    let ran = handle(&files, &event(1, "New", "project_a"));
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(ran.figure("plugin errors"), "3", "{ran:?}");
    for told in ["has no registerCallbacks", "the name is taken", "nothing_of_that_name"] {
        assert!(ran.stderr.contains(told), "{}", ran.stderr);
    }
    assert!(ran.event("1").ends_with("ok: <lambda>"), "{ran:?}");
}

#[test]
fn a_core_that_is_not_the_projects_is_noticed() {
    let plugin = r#"
import sgtk

def registerCallbacks(reg):
    reg.registerCallback("n", "k", disguise)

def disguise(sg, logger, event, args):
    sgtk.__version__ = "v0.0.1"
"#;
    let ran = handle(&[("disguise.py", plugin)], &event(1, "New", "project_a"));
    assert_eq!(ran.status, 1, "{ran:?}");
    assert_eq!(ran.figure("wrong cores"), "1");
    assert!(ran.event("1").contains("WRONG CORE: 'sgtk' is v0.0.1, expected v0.24.0"), "{ran:?}");
}

#[test]
fn projects_without_a_usable_core_are_told_and_the_others_go_on() {
    let configs = Configs::new().unwrap();
    configs.localized("good", &Core::newer("v0.24.0")).unwrap();
    configs.broken("exits", Broken::SystemExit).unwrap();
    configs.attached("lost", &Core::older("v0.22.5")).unwrap();
    configs.pointer("lost", "/no/such/folder").unwrap();
    let mut command = example("event_daemon");
    command.arg("--configs").arg(configs.base()).arg("--plugins").arg(plugins()).args(["--events", "-"]);
    let projects = ["good", "exits", "lost", "../good", "good"];
    let events: Vec<_> = (1..).zip(projects).map(|(id, project)| event(id, "New", project)).collect();

    let ran = run(command, &events.concat());

    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.event("2").contains("core error: failed to import sgtk for project 'exits'"), "{ran:?}");
    assert!(ran.event("3").contains("config error: "), "{ran:?}");
    assert!(ran.event("4").contains("config error: "), "{ran:?}");
    assert!(ran.event("5").ends_with("ok: counts"), "{ran:?}");
    assert_eq!(ran.figure("core errors"), "3");
    assert_eq!(ran.figure("wrong cores"), "0");
}

#[test]
fn a_core_that_is_upgraded_between_two_events_is_imported_anew_with_its_plugins() {
    let configs = Configs::new().unwrap();
    configs.localized("a", &Core::older("v0.22.5")).unwrap();
    let mut command = example("event_daemon");
    command.arg("--configs").arg(configs.base()).arg("--plugins").arg(plugins()).args(["--events", "-"]);
    let streams = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = streams.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut answer = |id: u32| {
        input.write_all(event(id, "Shotgun_Version_New", "a").as_bytes()).unwrap();
        lines.find(|line| line.trim_start().starts_with(&id.to_string())).unwrap()
    };

    let before = [answer(1), answer(2)];
    configs.upgrade("a", &Core::newer("v0.24.0")).unwrap();
    let after = [answer(3), answer(4)];
    drop(input);

    assert!(before.iter().all(|line| line.contains("v0.22.5")), "{before:?}");
    assert!(after.iter().all(|line| line.contains("v0.24.0")), "{after:?}");
    assert!(after[0].contains("import ") && !after[1].contains("import "), "{after:?}");
    assert!(after.iter().all(|line| line.ends_with("ok: counts, report_core")), "{after:?}");
    assert!(lines.any(|line| line.starts_with("wrong cores") && line.ends_with(" 0")));
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_daemon_quietly() {
    let mut command = example("event_daemon");
    let streams = command.args(["--events", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = streams.stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut String::new()).unwrap();
    drop(output);
    input.write_all(event(1, "Shotgun_Version_New", "project_b").as_bytes()).unwrap();
    drop(input);
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!((ran.status, &*ran.stderr), (1, ""));
}

#[test]
fn wrong_arguments_are_answered_with_the_usage() {
    let cases: [&[&str]; 6] = [
        &["--nonsense"],
        &["stray"],
        &["--events"],
        &["--events", "a", "--events", "b"],
        &["--configs", "somewhere"],
        &["--plugins", ""],
    ];
    for arguments in cases {
        let mut command = example("event_daemon");
        command.args(arguments);
        let ran = run(command, "");
        assert_eq!(ran.status, 2, "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains("usage: event_daemon"), "{arguments:?}: {ran:?}");
        assert_eq!(ran.stdout, "", "{arguments:?}");
    }
}

#[test]
fn files_that_cannot_be_read_are_an_error_that_names_them() {
    let mut command = example("event_daemon");
    command.args(["--events", "/no/such/events.jsonl"]);
    let ran = run(command, "");
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stderr.contains("cannot read events /no/such/events.jsonl"), "{ran:?}");
}

#[test]
fn the_log_tells_what_the_library_and_the_plugins_do() {
    let mut command = example("event_daemon");
    command.args(["--log", "--events", "-"]);
    let ran = run(command, &event(9, "Shotgun_Version_New", "project_b"));
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.stderr.contains("sgtk_host::host"), "{}", ran.stderr);
    assert!(ran.stderr.contains("INFO plugin.project_b.report_core.report_core: event 9"), "{}", ran.stderr);
}

#[test]
fn an_events_project_is_found_by_its_number_and_its_name_is_only_shown() {
    let configs = Configs::new().unwrap();
    configs.localized("show_main", &Core::newer("v0.24.0")).unwrap();
    configs.project("show_main", 87, "client/show", "Primary").unwrap();
    configs.attached("Demo", &Core::older("v0.22.5")).unwrap();
    configs.project("Demo", 88, "demo", "Primary").unwrap();
    let project = |id: u32| serde_json::json!({"type": "Project", "id": id, "name": "Demo"});
    let events: String = [87, 88, 89]
        .map(|id| serde_json::json!({"id": id, "type": "x", "project": project(id)}).to_string() + "\n")
        .concat();
    for workers in [false, true] {
        let mut command = example("event_daemon");
        command.arg("--configs").arg(configs.base()).arg("--plugins").arg(plugins()).args(["--events", "-"]);
        if workers {
            command.args(["--workers", "1"]);
        }
        let ran = run(command, &events);
        assert_eq!(ran.status, 0, "{ran:?}");
        assert!(ran.event("87").contains(" Demo localized v0.24.0 "), "{ran:?}");
        assert!(ran.event("88").contains(" Demo attached v0.22.5 "), "{ran:?}");
        let unknown = ran.event("89");
        assert!(unknown.contains("config error") && unknown.contains("project 89"), "{unknown}");
        assert_eq!(ran.figure("core errors"), "1");
        let (header, median) =
            if workers { ("CALL AND WAIT", "median call") } else { ("SWAP", "median swap") };
        assert!(ran.stdout.lines().next().unwrap().contains(header), "{ran:?}");
        ran.figure(median);
        assert_eq!(ran.stdout.contains("debug; --release"), cfg!(debug_assertions));
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_no_folder_behind() {
    use std::os::unix::process::ExitStatusExt;
    for arguments in
        [&["--events", "-"][..], &["--events", "-", "--workers", "1"], &["--events", "-", "--bootstrap"]]
    {
        let temporary = tempfile::tempdir().unwrap();
        let mut command = example("event_daemon");
        command.args(arguments).env("TMPDIR", temporary.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.next().unwrap().unwrap().contains("PROJECT"));
        let mut events = child.stdin.take().unwrap();
        events.write_all(event(1, "x", "project_a").as_bytes()).unwrap();
        assert!(lines.next().unwrap().unwrap().contains("project_a"));
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(libc::SIGINT), "it ends as by Ctrl-C: {status:?}");
        let left: Vec<_> =
            fs::read_dir(temporary.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.is_empty(), "{arguments:?}: {left:?}");
    }
}
