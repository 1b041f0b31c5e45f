//! A daemon and the people who run it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use serde_json::Value;
use sgtk_host_fixtures::Site;

use crate::daemon::{Studio, event, ids, over_both, python};

over_both!(check_prints_the_callbacks_and_fails_where_something_would_not_work);

const NOTE: &str = "
def registerCallbacks(reg):
    reg.registerCallback('plugin', 'a-plugins-key', note)

def note(sg, logger, event, args):
    if os.path.exists('broken'):
        raise ValueError('broken')
    done(event['id'])
";

#[test]
fn a_missing_id_keeps_nothing_back_and_is_delivered_when_it_comes() {
    let Some(python) = python() else { return };
    let studio = Studio::new(python);
    studio.plugin("note.py", NOTE);
    let daemon = studio.start_polling();
    let mut held = event("A", None);
    held["hold"] = true.into();
    let late = studio.site.events(&[held.clone(), held]).unwrap();
    let many: Vec<Value> = (0..900).map(|_| event("A", None)).collect();
    let many = studio.site.events(&many).unwrap();
    assert_eq!(studio.until_recorded(900), ids(&many));
    studio.site.commit(&late[1..]).unwrap();
    assert_eq!(studio.until_recorded(901)[900], late[1].to_string());
    // It is waited for over a restart, too.
    assert!(daemon.stop().success());
    studio.site.commit(&late[..1]).unwrap();
    let daemon = studio.start_polling();
    assert_eq!(studio.until_recorded(902)[901], late[0].to_string());
    assert!(studio.log("daemon").contains("an event that was missing has come"));
    assert!(daemon.stop().success());
}

#[test]
fn ids_go_over_from_shotgun_events_and_back() {
    let Some(python) = python() else { return };
    let studio = Studio::new(python.clone());
    let old = studio.events("A", &[None; 4]);
    studio.plugin("note.py", NOTE);
    studio.plugin("new.py", NOTE);
    let pickled = |more: &str| {
        let folder = studio.path("plugins").display().to_string();
        let code = format!(
            "import pickle, sys, os\nfrom datetime import datetime, timedelta\nuntil = datetime.now() + \
             timedelta(minutes=4)\n\
             pickle.dump({{'{folder}': {{'note': ({}, {{{}: until}})}}{more}}}, open(sys.argv[1], 'wb'), \
             protocol=5)",
            old[2], old[0]
        );
        let done = Command::new(&python).args(["-c", &code]).arg(studio.path("ids")).status().unwrap();
        assert!(done.success());
    };
    // Nothing that is in the file is run.
    pickled(", 'x': os.system");
    let refused = studio.refused(&["run"]);
    assert!(refused.contains("posix.system"), "{refused}");
    // One that was written by half, or not at all, is told as that, and no event is left out for it.
    pickled("");
    let whole = fs::read(studio.path("ids")).unwrap();
    for (part, words) in [(0, "the file is empty"), (whole.len() / 2, "was written by half")] {
        fs::write(studio.path("ids"), &whole[..part]).unwrap();
        let refused = studio.refused(&["run"]);
        assert!(refused.contains(words) && refused.contains("Repair it, or move it away"), "{refused}");
        assert!(!studio.path("ids.sgtk-eventd.db").exists());
    }
    fs::write(studio.path("ids"), whole).unwrap();
    let daemon = studio.start_polling();
    // The other one is new, and begins where the furthest is.
    assert_eq!(studio.until_recorded(3), ids(&[old[0], old[3], old[3]]));
    let more = studio.events("A", &[None]);
    studio.until_recorded(5);
    assert!(studio.said(&["export-ids"]).contains("2 plugins"));
    let code = "import pickle, sys\nfor f, p in pickle.load(open(sys.argv[1], 'rb')).items(): print(f, \
                sorted(p.items()))";
    let told = Command::new(&python).args(["-c", code]).arg(studio.path("ids")).output().unwrap();
    let wanted = format!(
        "{} [('new', ({more}, {{}})), ('note', ({more}, {{}}))]\n",
        studio.path("plugins").display(),
        more = more[0]
    );
    assert_eq!(String::from_utf8_lossy(&told.stdout), wanted);
    assert!(daemon.stop().success());
    assert!(studio.refused(&["import-ids"]).contains("--force"));
    assert!(studio.said(&["import-ids", "--force"]).contains(&format!("after event {}", more[0])));
}

#[test]
fn people_see_what_failed_and_try_it_again_skip_it_or_give_it_out_anew() {
    let Some(python) = python() else { return };
    let studio = Studio::new(python);
    studio.plugin("note.py", NOTE);
    let daemon = studio.start_polling();
    fs::write(studio.path("broken"), "").unwrap();
    let some = studio.events("A", &[None; 3]);
    let stopped_at = |id: i64| {
        let status: Value = serde_json::from_str(&studio.said(&["status", "--json"])).unwrap();
        let lane = &status["lanes"][0];
        lane["state"] == "stopped" && lane["event"] == id && lane["waiting"] == some[2] - id + 1
    };
    studio.until("it has stopped at the first", || stopped_at(some[0]));
    assert!(studio.said(&["status"]).contains("note: ValueError: broken"));
    studio.said(&["skip", &some[0].to_string()]);
    studio.until("it has stopped at the second", || stopped_at(some[1]));
    fs::remove_file(studio.path("broken")).unwrap();
    studio.said(&["retry", &some[1].to_string()]);
    assert_eq!(studio.until_recorded(2), ids(&some[1..]));
    studio.said(&["retry", &some[0].to_string(), "--plugin", "note"]);
    assert_eq!(studio.until_recorded(3)[2], some[0].to_string());
    assert_eq!(studio.said(&["dead"]), "");
    assert!(studio.refused(&["retry", &some[0].to_string()]).contains("no lane waits at it"));
    studio.said(&["pause", "note"]);
    let later = studio.events("A", &[None]);
    // One that is done is not kept: the site has it still.
    studio.said(&["replay", &some[2].to_string()]);
    studio.until("both wait", || studio.said(&["status"]).contains("paused          2"));
    studio.said(&["resume", "note.py"]);
    let record = studio.until_recorded(5);
    let mut last = record[3..].to_vec();
    last.sort();
    let mut wanted = ids(&[some[2], later[0]]);
    wanted.sort();
    assert_eq!(last, wanted);
    assert!(studio.refused(&["pause", "nothing"]).contains("there are note"));
    assert!(daemon.stop().success());
    assert!(studio.refused(&["status"]).contains("is it running?"));
}

#[test]
fn a_reload_is_of_helpers_too() {
    let Some(python) = python() else { return };
    let mut studio = Studio::new(python);
    let helpers = studio.path("helpers");
    fs::create_dir(&helpers).unwrap();
    studio.set("eventd", &format!("python_paths: {}", helpers.display()));
    fs::write(helpers.join("helper.py"), "WORD = 'old'\n").unwrap();
    let source = NOTE.replace("done(event['id'])", "import helper; done(helper.WORD)");
    studio.plugin("note.py", &source);
    let daemon = studio.start_polling();
    studio.events("A", &[None]);
    assert_eq!(studio.until_recorded(1), ["old"]);
    fs::write(helpers.join("helper.py"), "WORD = 'newer'\n").unwrap();
    studio.said(&["reload"]);
    studio.until("it is loaded anew", || studio.log("daemon").matches("the plugin is loaded").count() == 2);
    studio.events("A", &[None]);
    assert_eq!(studio.until_recorded(2)[1], "newer");
    fs::write(helpers.join("helper.py"), "WORD = 'the newest'\n").unwrap();
    daemon.signal("HUP");
    studio.until("it is loaded anew", || studio.log("daemon").matches("the plugin is loaded").count() == 3);
    studio.events("A", &[None]);
    assert_eq!(studio.until_recorded(3)[2], "the newest");
    assert!(daemon.stop().success());
}

fn check_prints_the_callbacks_and_fails_where_something_would_not_work(mut studio: Studio) {
    studio.plugin("note.py", "
def registerCallbacks(reg):
    reg.registerCallback('plugin', 'a-plugins-key', print, {'Shotgun_Shot_Change': 'sg_status_list', '*': ['a', 'b']}, None, False)
");
    studio.project_plugin("core.py", "import sgtk\ndef registerCallbacks(reg):\n    pass\n");
    studio.configuration(176, "bunny", "v0.24.0");
    studio.set("eventd", "tpyo: 1");
    let told = studio.said(&["check"]);
    for words in [
        "shotgun_api3 3.",
        "the latest event is 1",
        "print: *: a|b, Shotgun_Shot_Change: part of 'sg_status_list'; goes on on error",
        "project 176: the core of 'bunny' works",
        "note   [eventd] tpyo: no such key is known",
        "All is well.",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    studio.plugin("wrong.py", &NOTE.replace("a-plugins-key", "another"));
    studio.plugin("none.py", "");
    let told = studio.refused(&["check"]);
    assert!(told.contains("wrong.py: register: AuthenticationFault"), "{told}");
    assert!(
        told.contains("none.py: register: AttributeError: the plugin has no function registerCallbacks"),
        "{told}"
    );
    assert!(told.contains("2 faults."), "{told}");
    studio.set("daemon", "fetch_interval: often").set("shotgun", "key: %(NOWHERE)s");
    let told = studio.refused(&["run"]);
    assert!(
        told.contains("[daemon] fetch_interval: 'often' is no time") && told.contains("[shotgun] key:"),
        "{told}"
    );
}

#[test]
fn check_finds_a_client_in_the_folders_that_the_file_names() {
    let Some(python) = python() else { return };
    let mut studio = Studio::new(python);
    let folder = studio.path("client");
    fs::create_dir(&folder).unwrap();
    // Another one than the Python's own.
    fs::write(folder.join("shotgun_api3.py"), include_str!("../../src/python/demo_client.py")).unwrap();
    studio.set("eventd", &format!("python_paths: {}", folder.display()));
    studio.plugin("note.py", NOTE);
    studio.configuration(176, "bunny", "v0.24.0");
    let told = studio.said(&["check"]);
    assert!(told.contains("shotgun_api3 demo") && told.contains("All is well."), "{told}");
}

#[test]
fn a_reader_that_has_seen_enough_ends_a_command_without_a_word() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_sgtk-eventd"));
    let output = command.args(["completions", "bash"]).stdout(writer).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(output.status.success());
}

fn http(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn get(port: u16, path: &str) -> String {
    http(port, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
}

fn post(port: u16, path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n");
    http(port, &format!("{head}content-type: application/json\r\n{headers}\r\n{body}"))
}

#[test]
fn the_page_shows_what_is_and_its_buttons_want_the_token() {
    let Some(python) = python() else { return };
    let mut studio = Studio::new(python);
    studio
        .set("eventd", "http: 127.0.0.1:0")
        .set("eventd", "http_token: open-sesame")
        .set("eventd", "webhook_secret: a-webhooks-secret")
        .set("daemon", "fetch_interval: 3600");
    studio.plugin("note.py", NOTE);
    let daemon = studio.start();
    studio.until("it has polled", || {
        studio.said_if_running(&["status"]).is_some_and(|said| said.contains("note"))
    });
    let log = studio.log("daemon");
    let port =
        log.split("address=127.0.0.1:").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    assert!(get(port, "/").contains("<title>sgtk-eventd</title>"));
    studio.until("it polls", || get(port, "/status").contains("\"polls\":1"));
    let id = studio.events("A", &[None])[0];
    // By HMAC-SHA1 of the body.
    let code = "import hmac; print(hmac.new(b'a-webhooks-secret', b'{}', 'sha1').hexdigest())";
    let right = Command::new("python3").args(["-c", code]).output().unwrap();
    let right = String::from_utf8(right.stdout).unwrap();
    assert!(post(port, "/webhook", "x-sg-signature: sha1=00\r\n", "{}").contains(" 403 "));
    assert_eq!(studio.record().len(), 0);
    assert!(
        post(port, "/webhook", &format!("x-sg-signature: sha1={}\r\n", right.trim()), "{}").contains(" 204 ")
    );
    assert_eq!(studio.until_recorded(1), [id.to_string()]);
    let pause = "{\"do\":\"pause\",\"plugin\":\"note\"}";
    for headers in ["", "x-token: open-sesama\r\n"] {
        assert!(post(port, "/do", headers, pause).contains(" 403 "));
    }
    assert!(post(port, "/do", "x-token: open-sesame\r\n", pause).contains(" 200 "));
    assert!(get(port, "/status").contains("\"state\":\"paused\""));
    let numbers = get(port, "/metrics");
    let done = "sgtk_eventd_callbacks_total{plugin=\"note\",project=\"\",outcome=\"done\"} 1";
    assert!(
        numbers.contains(done) && numbers.contains("sgtk_eventd_polls_total{site=\"shotgun\"} 2"),
        "{numbers}"
    );
    assert!(daemon.stop().success());
}

/// The client may be on its way meanwhile, whose worker is not to tell where it was.
#[test]
fn a_daemon_that_cannot_start_says_why_and_nothing_else() {
    let Some(python) = python() else { return };
    let mut studio = Studio::new(python);
    studio.plugin("note.py", NOTE);
    let slow = studio.path("slow");
    fs::create_dir(&slow).unwrap();
    fs::write(slow.join("shotgun_api3.py"), "import time\ntime.sleep(0.5)\n").unwrap();
    studio.set("eventd", &format!("python_paths: {}", slow.display()));
    fs::write(studio.path("ids.sgtk-eventd.db"), "").unwrap();
    let ran = studio.command(&["run"]).output().unwrap();
    let (out, told) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert_eq!((ran.status.code(), &*out), (Some(1), ""), "{told}");
    assert!(told.contains("it is empty") && told.trim().lines().count() == 1, "{told}");
}

#[test]
fn a_daemon_that_is_told_to_end_while_it_starts_ends_with_what_it_has_started() {
    let Some(python) = python() else { return };
    let mut studio = Studio::new(python);
    // A Python that says where it is, and nothing when it is to read the configuration.
    let (slow, told) = (studio.path("slow-python"), studio.path("pid"));
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *sys.executable*) echo \"$0\"; exit;; esac\n\
         echo $$ > {0}.new && mv {0}.new {0}\nexec sleep 600\n",
        told.display()
    );
    fs::write(&slow, script).unwrap();
    fs::set_permissions(&slow, fs::Permissions::from_mode(0o755)).unwrap();
    studio.set("eventd", &format!("python: {}", slow.display()));
    for signal in ["TERM", "INT"] {
        let mut daemon = studio.start();
        studio.until("its Python runs", || told.exists());
        let pid = fs::read_to_string(&told).unwrap();
        fs::remove_file(&told).unwrap();
        daemon.signal(signal);
        let status = daemon.ended();
        assert!(status.success(), "{signal}: {status}");
        // Nobody may have asked for its status yet.
        let runs =
            || fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|it| !it.contains(") Z"));
        studio.until("its Python has ended", || !runs());
    }
}

#[test]
fn events_of_a_file_are_done_in_its_order_and_once() {
    let Some(python) = python() else { return };
    let studio = Studio::new(python);
    studio.plugin("note.py", NOTE);
    let lines: Vec<_> = [5, 3, 9]
        .iter()
        .map(|id| {
            let mut entry = event("A", Some(176));
            entry["id"] = (*id).into();
            entry["created_at"] = "2025-01-31T12:00:00Z".into();
            entry["attribute_name"] = Value::Null;
            entry.to_string()
        })
        .collect();
    let file = studio.path("events.jsonl");
    fs::write(&file, lines.join("\n")).unwrap();
    for _ in 0..2 {
        studio.said(&["run", "--events", file.to_str().unwrap()]);
        assert_eq!(studio.record(), ids(&[5, 3, 9]));
    }
    fs::write(&file, "{\"id\": 10}\nnothing\n").unwrap();
    let refused = studio.refused(&["run", "--events", file.to_str().unwrap()]);
    assert!(refused.contains("events.jsonl, line 2: "), "{refused}");
}

#[test]
fn a_daemon_that_is_told_to_end_in_the_middle_of_a_file_says_so_and_loses_nothing() {
    let Some(python) = python() else { return };
    let mut studio = Studio::new(python);
    studio.set("eventd", "stop_timeout: 0.1");
    let source = "
def registerCallbacks(reg):
    reg.registerCallback('plugin', 'a-plugins-key', note)

def note(sg, logger, event, args):
    import time
    done('begun', event['id'])
    while os.path.exists('wait'):
        time.sleep(0.01)
    done('done', event['id'])
";
    studio.plugin("note.py", source);
    let mut entry = event("A", None);
    (entry["id"], entry["created_at"]) = (7.into(), "2025-01-31T12:00:00Z".into());
    let (file, wait) = (studio.path("events.jsonl"), studio.path("wait"));
    fs::write(&file, entry.to_string()).unwrap();
    fs::write(&wait, "").unwrap();
    let run = ["run", "--events", file.to_str().unwrap()];
    let child = studio.command(&run).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    assert_eq!(studio.until_recorded(1), ["begun 7"]);
    let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(1) && said.contains("ended by a signal before all events"),
        "{said}"
    );
    fs::remove_file(&wait).unwrap();
    studio.said(&run);
    assert_eq!(studio.record(), ["begun 7", "begun 7", "done 7"]);
}

#[test]
fn several_sites_are_served_by_one_daemon() {
    let Some(python) = python() else { return };
    let mut studio = Studio::new(python);
    let london = Site::start().unwrap();
    for (name, key) in [("other", "another-key"), ("plugin", "a-plugins-key")] {
        london.script_user(name, key).unwrap();
    }
    london.project(176, "elephants").unwrap();
    studio.set("shotgun:london", &format!("server: {}", london.url()));
    studio.set("shotgun:london", "name: other").set("shotgun:london", "key: another-key");
    let source = NOTE.replace(
        "done(event['id'])",
        "done(sg.find_one('Project', [['id', 'is', 176]], ['name'])['name'], event['id'])",
    );
    studio.plugin("note.py", &source);
    let daemon = studio.start_polling();
    let polled = || london.counts().unwrap().get("read:EventLogEntry").copied().unwrap_or(0) > 1;
    studio.until("the other one is polled", polled);
    let here = studio.events("A", &[None])[0];
    let there = london.events(&[event("A", None)]).unwrap()[0];
    let mut record = studio.until_recorded(2);
    record.sort();
    assert_eq!(record, [format!("bunny {here}"), format!("elephants {there}")]);
    let status = studio.said(&["status"]);
    assert!(status.contains("site london: ") && status.contains("site shotgun: "), "{status}");
    assert!(daemon.stop().success());
}

#[test]
fn two_daemons_do_not_share_a_state() {
    let Some(python) = python() else { return };
    let studio = Studio::new(python);
    studio.plugin("note.py", NOTE);
    let daemon = studio.start_polling();
    let refused = studio.refused(&["run"]);
    assert!(refused.contains(&format!("in use by process {}", daemon.pid())), "{refused}");
    let id = studio.events("A", &[None])[0];
    assert_eq!(studio.until_recorded(1), [id.to_string()]);
    assert!(daemon.stop().success());
}

#[test]
fn no_key_is_in_any_log() {
    let Some(python) = python() else { return };
    let studio = Studio::new(python);
    studio.plugin(
        "note.py",
        &NOTE.replace("done(event['id'])", "logger.error('%s', logger.config.get('shotgun', 'key')); done()"),
    );
    // What a traceback shows of the line that registers, and of what a callback raises.
    let raises = NOTE.replace("done(event['id'])", "raise ValueError('a-plugins-key is in it')");
    studio.plugin("raises.py", &raises);
    studio.plugin("registers.py", &NOTE.replace("note)", "'a-plugins-key')"));
    let daemon = studio.start_polling();
    studio.events("A", &[None]);
    studio.until_recorded(1);
    studio.until("it has stopped", || studio.said(&["status"]).contains("stopped"));
    let mut all = studio.said(&["status", "--json"]);
    assert!(daemon.stop().success());
    for entry in fs::read_dir(studio.path("logs")).unwrap() {
        all.push_str(&fs::read_to_string(entry.unwrap().path()).unwrap());
    }
    assert!(studio.log("plugin.note").contains("[hidden]"), "{all}");
    assert!(studio.log("plugin.raises").contains("ValueError: [hidden] is in it"), "{all}");
    assert!(studio.log("plugin.registers").contains("cannot be called"), "{all}");
    assert!(!all.contains("a-daemons-key") && !all.contains("a-plugins-key"), "{all}");
}

#[test]
fn systemd_hears_when_the_daemon_is_ready_that_it_lives_and_that_it_ends() {
    let Some(python) = python() else { return };
    let mut studio = Studio::new(python);
    studio.plugin("note.py", NOTE);
    let path = studio.path("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    let said = || {
        let mut buffer = [0; 200];
        let count = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..count]).trim().to_owned()
    };
    studio.env("NOTIFY_SOCKET", path).env("WATCHDOG_USEC", "300000".into());
    let daemon = studio.start_polling_by(&["sh", "-c", "WATCHDOG_PID=$$ exec \"$@\"", "sh"]);
    assert_eq!(said(), "READY=1");
    for _ in 0..3 {
        assert_eq!(said(), "WATCHDOG=1");
    }
    daemon.signal("TERM");
    let last = std::iter::repeat_with(said).find(|said| said != "WATCHDOG=1");
    assert_eq!(last.as_deref(), Some("STOPPING=1"));
    assert!(daemon.stop().success());
}

#[test]
fn events_that_the_daemons_own_scripts_cause_can_be_left_out() {
    let Some(python) = python() else { return };
    let mut studio = Studio::new(python);
    studio.set("eventd", "ignore_own_events: yes");
    let source = NOTE.replace(
        "done(event['id'])",
        "sg.update('Project', 176, {'code': str(event['id'])}); done(event['id'])",
    );
    studio.plugin("note.py", &source);
    let daemon = studio.start_polling();
    let by = |name: &str| {
        let mut entry = event("A", None);
        entry["user"] = serde_json::json!({ "type": "ApiUser", "id": 9, "name": name });
        entry
    };
    // Of another script, of the plugin's, of the daemon's, of a person who is called like it.
    let mut person = event("A", None);
    person["user"] = serde_json::json!({ "type": "HumanUser", "id": 1, "name": "plugin" });
    let some = studio.site.events(&[by("another"), by("plugin"), by("daemon"), person]).unwrap();
    assert_eq!(studio.until_recorded(2), ids(&[some[0], some[3]]));
    // What these two have caused has come as well, before this.
    let last = studio.events("A", &[None])[0];
    assert_eq!(studio.until_recorded(3), ids(&[some[0], some[3], last]));
    assert!(daemon.stop().success());
}

#[test]
fn a_reload_leaves_no_gap_the_old_plugins_run_until_the_new_ones_are_there() {
    let Some(python) = python() else { return };
    let studio = Studio::new(python);
    studio.plugin(
        "note.py",
        &format!(
            "import time
while os.path.exists('hold'):
    time.sleep(0.01)
{}",
            NOTE.replace("done(event['id'])", "done(event['id'], os.getpid())")
        ),
    );
    let daemon = studio.start_polling();
    let pid = |line: &str| line.split(' ').nth(1).unwrap().to_owned();
    studio.events("A", &[None]);
    let old = pid(&studio.until_recorded(1)[0]);
    // The new ones take their time to load.
    fs::write(studio.path("hold"), "").unwrap();
    let ready = || studio.log("daemon").matches("a worker is ready").count();
    let before = ready();
    studio.said(&["reload"]);
    studio.until("the new worker is there", || ready() > before);
    studio.events("A", &[None; 3]);
    let record = studio.until_recorded(4);
    assert!(record.iter().all(|line| pid(line) == old), "{record:?}");
    fs::remove_file(studio.path("hold")).unwrap();
    studio.until("they are loaded", || studio.log("daemon").matches("the plugin is loaded").count() == 2);
    let more = studio.events("A", &[None; 2]);
    let record = studio.until_recorded(6);
    assert!(record[4..].iter().all(|line| pid(line) != old), "{record:?}");
    assert!(record[5].starts_with(&format!("{} ", more[1])));
    assert!(daemon.stop().success());
    assert_eq!(studio.record().len(), 6);
}

#[test]
fn a_daemon_that_cannot_serve_its_page_says_that_alone_and_events_of_a_file_may_have_less() {
    let Some(python) = python() else { return };
    let studio = Studio::new(python);
    studio.plugin("fields.py", "def registerCallbacks(reg):\n    reg.registerCallback('plugin', 'a-plugins-key', note)\n\
        \ndef note(sg, logger, event, args):\n    done(event['id'], event['session_uuid'], event['project'], len(event))\n");
    let output = studio.command(&["run", "--http", "nonsense"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("cannot serve the page at nonsense"), "{said}");
    assert!(!studio.log("daemon").contains(" - ERROR - "), "{}", studio.log("daemon"));
    let file = studio.path("events");
    fs::write(&file, "{\"id\": 7, \"event_type\": \"A\"}\n").unwrap();
    studio.said(&["run", "--events", &file.display().to_string()]);
    assert_eq!(studio.record(), ["7 None None 10"]);
}
