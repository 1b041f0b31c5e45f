//! The event daemon with its plugins in worker processes.
#![cfg(unix)]

use std::fs;

use sgtk_host_fixtures::events;

use crate::program::{Ran, example, run};

/// An event's line without the time, which is one or two words before the outcome.
fn without_time(line: &str) -> String {
    let mut words: Vec<_> = line.split(' ').filter(|word| *word != "import").collect();
    words.retain(|word| !matches!(*word, "µs" | "ms") && word.parse::<f64>().is_err());
    words.join(" ")
}

fn lines(ran: &Ran) -> Vec<String> {
    let text = fs::read_to_string(events()).unwrap();
    let ids =
        text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].to_string());
    ids.map(|id| without_time(&ran.event(&id))).collect()
}

#[test]
fn the_same_plugins_report_the_same_in_workers() {
    let in_process = run(example("event_daemon"), "");
    let mut command = example("event_daemon");
    command.args(["--workers", "6"]);
    let in_workers = run(command, "");
    assert_eq!(in_workers.status, 0, "{in_workers:?}");
    assert_eq!(lines(&in_workers), lines(&in_process));
    for figure in ["events", "projects", "imports", "swaps", "plugin errors", "core errors", "wrong cores"] {
        assert_eq!(in_workers.figure(figure), in_process.figure(figure), "{figure}");
    }
}

#[test]
fn a_plugin_that_kills_its_process_costs_its_event_and_no_other() {
    let plugin = r#"
import os
import sgtk

def registerCallbacks(reg):
    reg.registerCallback("n", "k", kill, {"Kill": None})
    reg.registerCallback("n", "k", other, {"Other": None})

def kill(sg, logger, event, args):
    os.kill(os.getpid(), 9)

def other(sg, logger, event, args):
    assert sgtk.__version__
"#;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("kills.py"), plugin).unwrap();
    let mut command = example("event_daemon");
    command.arg("--plugins").arg(folder.path()).args(["--events", "-", "--workers", "2"]);
    let events =
        [("Other", "project_a"), ("Kill", "project_a"), ("Other", "project_a"), ("Other", "project_b")];
    let lines = (1..).zip(events).map(|(id, (kind, project))| {
        format!("{{\"id\": {id}, \"type\": \"{kind}\", \"project\": \"{project}\"}}\n")
    });
    let ran = run(command, &lines.collect::<String>());
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.event("2").contains("worker error: worker "), "{ran:?}");
    assert!(ran.event("2").contains("it was killed by signal 9 (SIGKILL)"), "{ran:?}");
    for id in ["1", "3", "4"] {
        assert!(ran.event(id).ends_with("ok: other"), "{ran:?}");
    }
    assert_eq!((ran.figure("lost workers"), ran.figure("host errors")), ("1", "0"));
}
