//! Commands in states that they are not made for, and what scripts read of them.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::daemon::{NOTE, Studio, ids, python};

/// An id file of shotgunEvents in which the plugin `note` is after an event.
fn write_ids(studio: &Studio, after: i64) {
    let folder = studio.path("plugins").display().to_string();
    let code = format!(
        "import pickle, sys; pickle.dump({{'{folder}': {{'note': ({after}, {{}})}}}}, open(sys.argv[1], 'wb'))"
    );
    let done = Command::new("python3").args(["-c", &code]).arg(studio.path("ids")).status().unwrap();
    assert!(done.success());
}

#[test]
fn ids_are_not_overwritten_by_a_daemon_that_has_none_and_a_state_not_by_ids_that_are_none() {
    let Some(python) = python() else { return };
    let studio = Studio::new(python);
    let old = studio.events("A", &[None; 4]);
    studio.plugin("note.py", NOTE);
    write_ids(&studio, old[1]);
    let state = studio.path("ids.sgtk-eventd.db");
    let before = fs::read(studio.path("ids")).unwrap();
    assert!(studio.refused(&["export-ids"]).contains("there is no state"));
    assert_eq!((fs::read(studio.path("ids")).unwrap(), state.exists()), (before.clone(), false));
    fs::write(studio.path("junk"), "no ids").unwrap();
    let junk = studio.path("junk").display().to_string();
    for file in ["/nonexistent", &junk] {
        assert!(studio.refused(&["import-ids", file]).contains("cannot read the ids"));
        assert!(!state.exists());
    }
    let daemon = studio.start_polling();
    assert_eq!(studio.until_recorded(2), ids(&old[2..]));
    assert!(daemon.stop().success());

    // With a state of its own, it stays where the new ids are none, and is moved aside where they are some.
    assert!(studio.refused(&["import-ids", &junk, "--force"]).contains("cannot read the ids"));
    let more = studio.events("A", &[None]);
    let daemon = studio.start_polling();
    assert_eq!(studio.until_recorded(3)[2], more[0].to_string());
    assert!(daemon.stop().success());
    for aside in ["before-import", "before-import-2"] {
        assert!(studio.said(&["import-ids", "--force"]).contains(&format!("after event {}", old[1])));
        assert!(studio.path(&format!("ids.sgtk-eventd.db.{aside}")).exists(), "{aside}");
    }
}

#[test]
fn scripts_read_json_and_the_exit_status_and_people_of_shotgunevents_are_told_what_is_different() {
    let Some(python) = python() else { return };
    let mut studio = Studio::new(python);
    studio.set("sgtk", "paths:");
    studio.plugin("note.py", NOTE);
    studio.plugin("old.py", "print 'hello'\n");
    let status = |arguments: &[&str]| studio.command(arguments).output().unwrap().status.code();
    assert_eq!([status(&["status"]), status(&["dead", "--json"]), status(&["reload"])], [Some(3); 3]);
    for word in ["start", "stop", "restart"] {
        assert_eq!(status(&[word]), Some(2));
        assert!(studio.refused(&[word]).contains("`run` is the daemon in the foreground"));
    }
    let output = studio.command(&["check", "--json"]).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &report["faults"]), (Some(1), &1.into()), "{report:#}");
    let has = |kind: &str, text: &str| {
        let lines = report["lines"].as_array().unwrap().iter();
        lines.filter(|line| line["kind"] == kind).any(|line| line["text"].as_str().unwrap().contains(text))
    };
    assert!(has("fault", "old.py: load: SyntaxError") && has("ok", "note.py"), "{report:#}");
    assert!(has("callback", "note: all events"), "{report:#}");
    let daemon = studio.start_polling();
    assert_eq!(status(&["status"]), Some(0));
    assert_eq!(status(&["retry", "12345"]), Some(1));
    assert_eq!((status(&["resume", "note"]), status(&["resume", "note", "--skip"])), (Some(0), Some(1)));
    assert!(studio.refused(&["resume", "note", "--skip"]).contains("has not stopped at an event"));
    assert!(daemon.stop().success());
}

#[test]
fn check_looks_at_folders_ids_and_mail_as_well_and_changes_nothing() {
    let Some(python) = python() else { return };
    let mut studio = Studio::new(python);
    studio.set("sgtk", "paths:");
    studio.plugin("note.py", NOTE);
    write_ids(&studio, 7);
    // Folders in the order of the file.
    fs::create_dir(studio.path("also")).unwrap();
    fs::write(studio.path("also/first.py"), NOTE).unwrap();
    let folders = format!("paths: {}, {}", studio.path("plugins").display(), studio.path("also").display());
    studio.set("plugins", &folders);
    let said = studio.said(&["check"]);
    assert!(said.find("plugins/note.py") < said.find("also/first.py"), "{said}");
    assert!(said.contains("plugins that would go on where shotgunEvents was: 2, after event 7"), "{said}");
    assert!(!studio.path("ids.sgtk-eventd.db").exists());
    fs::write(studio.path("ids"), "").unwrap();
    let said = studio.refused(&["check"]);
    assert!(said.contains("FAULT") && said.contains("the file is empty"), "{said}");
    fs::remove_file(studio.path("ids")).unwrap();

    fs::write(studio.path("file"), "").unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (state, logs) = (studio.path("file/state.db"), studio.path("file/logs"));
    studio
        .set("eventd", &format!("state: {}", state.display()))
        .set("daemon", &format!("logPath: {}", logs.display()))
        .set("emails", "enabled: True")
        .set("emails", "server: 127.0.0.1")
        .set("emails", &format!("port: {port}"))
        .set("emails", "from: a@x")
        .set("emails", "to: a@x")
        .set("emails", "subject: [SG]");
    let said = studio.refused(&["check"]);
    for wanted in
        ["FAULT  the state, ", "FAULT  the log, ", "it is no folder", "FAULT  [emails] server: ", "3 faults"]
    {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
}

#[test]
fn the_daemon_does_not_start_beside_a_shotgunevents_that_runs() {
    let Some(python) = python() else { return };
    let studio = Studio::new(python);
    studio.plugin("note.py", NOTE);
    let script = studio.path("shotgunEventDaemon.py");
    fs::write(&script, "import sys\nprint('here', flush=True)\nsys.stdin.read()\n").unwrap();
    let mut other = Command::new("python3")
        .arg(&script)
        .arg("foreground")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    fs::write(studio.path("pid"), format!("{}\n", other.id())).unwrap();
    let said = studio.refused(&["run"]);
    assert!(said.contains(&format!("shotgunEvents runs still, as process {}", other.id())), "{said}");
    assert!(!studio.path("ids.sgtk-eventd.db").exists());
    drop(other.stdin.take());
    other.wait().unwrap();
    // The file alone, which a crash leaves, stops nothing.
    let daemon = studio.start_polling();
    assert!(daemon.stop().success());
}
