//! Configuration files as studios have them.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::daemon::{NOTE, Studio, python};

/// What `check` makes of a file.
fn check(studio: &Studio, contents: &[u8], variables: &[(&str, &str)]) -> (bool, String) {
    let path = studio.path("other.conf");
    fs::write(&path, contents).unwrap();
    let output: Output = Command::new(env!("CARGO_BIN_EXE_sgtk-eventd"))
        .args(["check", "--config"])
        .arg(&path)
        .env("DAEMON_KEY", "a-daemons-key")
        .env("EVENTD_RECORD", studio.path("record"))
        .envs(variables.iter().copied())
        .current_dir(studio.folder.path())
        .output()
        .unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), said)
}

fn studio() -> Option<(Studio, String)> {
    let mut studio = Studio::new(python()?);
    // Relative to a test's folder, which is long.
    studio.set("sgtk", "paths:").set("daemon", "fetch_interval: 1");
    studio.plugin("note.py", NOTE);
    let text = fs::read_to_string(studio.config_file()).unwrap();
    Some((studio, text))
}

#[test]
fn a_file_that_cannot_be_read_is_told_with_its_line_and_without_its_secrets() {
    let Some((studio, text)) = studio() else { return };
    let text = text.replace("%(DAEMON_KEY)s", "sEcReT");
    let line = |of: &str| text.lines().position(|line| line.starts_with(of)).unwrap() + 1;
    let name = line("name:");
    let told = [
        (text.replace("key: sEcReT", "key sEcReT"), format!("line {}: neither a section", line("key:"))),
        (
            text.replace("key: sEcReT", "key: sEcReT%x"),
            "[shotgun] key: a percent sign has to be written twice".into(),
        ),
        (
            text.replace("key: sEcReT", "key: sEcReT%(SG_KEY)s"),
            "[shotgun] key: %(SG_KEY)s: there is no such variable".into(),
        ),
        (format!("key: sEcReT\n{text}"), "line 1 comes before the first section".into()),
        (
            text.replace("name: daemon", "name: daemon\nname: daemon"),
            "the key name of [shotgun] is there a second time".into(),
        ),
        (format!("{text}[shotgun]\nkey: sEcReT\n"), "the section [shotgun] is there a second time".into()),
        (
            text.replace("logMode: 1", "logMode: 1 ; of each"),
            "[daemon] logMode: '1 ; of each' is no integer; a comment has to".into(),
        ),
    ];
    for (contents, wanted) in told {
        let (good, said) = check(&studio, contents.as_bytes(), &[]);
        assert!(!good && said.contains(&wanted) && !said.contains("sEcReT"), "{wanted}: {said}");
    }
    let mut contents = text.replace("name: daemon", "name: daem?n").into_bytes();
    contents.iter_mut().filter(|byte| **byte == b'?').for_each(|byte| *byte = 0xf6);
    let (good, said) = check(&studio, &contents, &[]);
    assert!(!good && said.contains(&format!("line {name} is not UTF-8")), "{said}");
}

#[test]
fn variables_of_the_environment_mean_no_keys_but_those_of_shotgunevents() {
    let Some((studio, text)) = studio() else { return };
    // What sessions, containers and proxies export. The last two are one key for ConfigParser.
    let variables = [
        ("PYTHON", "/usr/bin/python2"),
        ("STATE", "running"),
        ("LANES", "2"),
        ("HTTP", "on"),
        ("CORE", "arnold"),
        ("PORT", "tcp://10.0.0.1:80"),
        ("USERNAME", "ada"),
        ("http_proxy", ""),
        ("HTTP_PROXY", ""),
    ];
    let (good, said) = check(&studio, text.as_bytes(), &variables);
    assert!(good && !said.contains("[emails]"), "{said}");

    // With mail, as there, some do; and a port has to be one.
    let mails = "[emails]\nenabled: True\nserver: a\nfrom: a@b\nto: a@b\nsubject: [SG]\n";
    let (good, said) = check(&studio, text.replace("[emails]\n", mails).as_bytes(), &variables);
    assert!(!good && said.contains("[emails] port: 'tcp://10.0.0.1:80' is no integer"), "{said}");
    let variables = [("PORT", "2525"), ("NAME", "daemon")];
    let contents = text.replace("[emails]\n", mails).replace("name: daemon\n", "");
    // Nobody takes mails there.
    let (_, said) = check(&studio, contents.as_bytes(), &variables);
    assert!(said.contains("1 fault"), "{said}");
    for key in ["[emails] port", "[shotgun] name"] {
        assert!(
            said.contains(&format!("{key}: it is not in the file, and comes out of the environment")),
            "{said}"
        );
    }
}

#[test]
fn files_of_windows_editors_and_old_habits_work_and_what_is_odd_is_noted() {
    let Some((studio, text)) = studio() else { return };
    let windows = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    let (good, said) = check(&studio, windows.as_bytes(), &[]);
    assert!(good, "{said}");

    let plugins = studio.path("plugins").display().to_string();
    let text = text
        .replace("[shotgun]\n", "[shotgun]\nproxy_server: # none\n")
        .replace(&format!("paths: {plugins}"), "paths: \"a\", $STUDIO/plugins, ~/plugins, plugins")
        .replace("max_conn_retries: 5", "max_conn_retries: 0\nmax_event_batch_size: 100000")
        .replace("logMode: 1", "logMode: 2\nmaxConnRetries: 7")
        .replace("key: %(DAEMON_KEY)s", "key: ${DAEMON_KEY}");
    let text = format!("[DEFAULT]\nroot: /mnt\nattempts: 3\n{text}[studio]\nshow: %(root)s/x\n");
    let (good, said) = check(&studio, text.as_bytes(), &[]);
    assert!(!good, "{said}");
    for wanted in [
        "[shotgun] proxy_server: what comes after ';' or '#' is a part of the value",
        "[plugins] paths: the quotes are a part of the value",
        "[plugins] paths: ~ is taken as it is written; the home folder is %(HOME)s",
        "[plugins] paths: 'plugins' is looked for in the folder in which the daemon is started",
        "[daemon] maxconnretries: no such key is known",
        "[daemon] max_event_batch_size: 100000 is taken as 5000",
        "[daemon] logMode: 2 is neither 0 nor 1",
        "[shotgun] key: ${DAEMON_KEY} is taken as it is written; variables are written %(DAEMON_KEY)s",
        "[plugins] paths: $STUDIO is taken as it is written",
        "[studio]: left to the plugins",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    assert!(!said.contains("] root:") && !said.contains("] attempts:"), "{said}");
}

#[test]
fn the_state_is_named_by_its_whole_path_where_paths_are_relative() {
    let Some((studio, text)) = studio() else { return };
    let ids = studio.path("ids").display().to_string();
    fs::write(studio.path("relative.conf"), text.replace(&ids, "ids")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_sgtk-eventd"))
        .args(["status", "--config", "relative.conf"])
        .env("DAEMON_KEY", "a-daemons-key")
        .current_dir(studio.folder.path())
        .output()
        .unwrap();
    let socket: PathBuf = studio.folder.path().canonicalize().unwrap().join("ids.sgtk-eventd.db.sock");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(&format!("no daemon listens at {}", socket.display())), "{said}");
}

#[test]
fn a_daemon_whose_state_has_a_long_path_is_reached_and_what_is_no_socket_stays() {
    let Some(python) = python() else { return };
    let mut studio = Studio::new(python);
    let folder = studio
        .path("a-studio-with-names-of-folders-that-say-all-there-is-to-say")
        .join("pipeline-services-production-and-not-staging");
    fs::create_dir_all(&folder).unwrap();
    studio.set("daemon", &format!("eventIdFile: {}", folder.join("shotgunEventDaemon.id").display()));
    studio.plugin("note.py", NOTE);
    let daemon = studio.start_polling();
    assert!(studio.said(&["status"]).contains("note"));
    assert!(daemon.stop().success());

    let file = studio.path("notes.txt");
    fs::write(&file, "of value").unwrap();
    studio.set("eventd", &format!("socket: {}", file.display()));
    let said = studio.refused(&["run"]);
    assert!(said.contains("notes.txt: there is something there that is no socket"), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "of value");
}
