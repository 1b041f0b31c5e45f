//! What plugins may rely on: the semantics of shotgunEvents.

use std::fs;

use crate::daemon::{Studio, event, python};

fn registering(body: &str) -> String {
    format!(
        "{body}\ndef registerCallbacks(reg):\n    reg.registerCallback('plugin', 'a-plugins-key', note)\n"
    )
}

#[test]
fn a_plugin_that_raises_stops_at_its_event_and_goes_on_there_once_its_file_is_repaired() {
    let Some(python) = python() else { return };
    let studio = Studio::new(python);
    studio.plugin(
        "a_broken.py",
        &registering("def note(sg, logger, event, args):\n    local = 5\n    raise ValueError('no')"),
    );
    studio.plugin(
        "b_good.py",
        &registering("def note(sg, logger, event, args):\n    done('good', event['id'])"),
    );
    let daemon = studio.start_polling();
    let ids = studio.events("A", &[None, None, None]);
    let good: Vec<_> = ids.iter().map(|id| format!("good {id}")).collect();
    assert_eq!(studio.until_recorded(3), good);
    // The plugins' lines come before their answer.
    studio.until("the log has it", || studio.log("plugin.a_broken").contains("'local': 5"));
    let log = studio.log("plugin.a_broken");
    assert!(log.contains(" - plugin.a_broken.note - CRITICAL - ") && log.contains("ValueError: no"), "{log}");
    studio.plugin(
        "a_broken.py",
        &registering("def note(sg, logger, event, args):\n    done('repaired', event['id'])"),
    );
    let repaired: Vec<_> = ids.iter().map(|id| format!("repaired {id}")).collect();
    assert_eq!(studio.until_recorded(6)[3..], repaired);
    assert!(daemon.stop().success());
}

#[test]
fn a_callback_that_is_not_to_stop_its_plugin_leaves_a_dead_letter() {
    let Some(python) = python() else { return };
    let studio = Studio::new(python);
    let source = "
def registerCallbacks(reg):
    reg.registerCallback('plugin', 'a-plugins-key', fail, stopOnError=False)
    reg.registerCallback('plugin', 'a-plugins-key', note)

def fail(sg, logger, event, args):
    raise SystemExit(3)

def note(sg, logger, event, args):
    done(event['id'])
";
    studio.plugin("both.py", source);
    let daemon = studio.start_polling();
    let ids = studio.events("A", &[None, None]);
    assert_eq!(studio.until_recorded(2), ids.iter().map(i64::to_string).collect::<Vec<_>>());
    studio.until("two dead letters", || studio.said(&["dead"]).lines().count() == 2);
    let dead = studio.said(&["dead", "--full"]);
    assert!(dead.contains("fail: SystemExit: 3") && dead.contains("raise SystemExit(3)"), "{dead}");
    assert!(daemon.stop().success());
}

#[test]
fn plugins_have_any_name_one_set_of_globals_and_the_order_of_their_names() {
    let Some(python) = python() else { return };
    let studio = Studio::new(python);
    let counting = "
count = 0

def registerCallbacks(reg):
    reg.registerCallback('plugin', 'a-plugins-key', first, {'A': ['x']})
    reg.registerCallback('plugin', 'a-plugins-key', second, {'A': 'x,y'})

def first(sg, logger, event, args):
    global count
    count += 1
    done(__name__, 'first', count)

def second(sg, logger, event, args):
    done(__name__, 'second', count)
";
    for name in ["types.py", "010_publish.v2.py", "B.py"] {
        studio.plugin(name, counting);
    }
    studio.plugin(".hidden.py", counting);
    let daemon = studio.start_polling();
    let mut entry = event("A", None);
    for attribute in ["x", "y", "z"] {
        entry["attribute_name"] = attribute.into();
        studio.site.events(&[entry.clone()]).unwrap();
    }
    let names = ["010_publish.v2", "B", "types"];
    let mut wanted: Vec<_> =
        names.iter().flat_map(|name| [format!("{name} first 1"), format!("{name} second 1")]).collect();
    wanted.extend(names.iter().map(|name| format!("{name} second 1")));
    assert_eq!(studio.until_recorded(9), wanted);
    assert!(daemon.stop().success());
    assert_eq!(studio.record().len(), 9);
}

#[test]
fn an_event_has_nine_fields_and_times_with_a_zone_and_a_plugin_finds_the_configuration() {
    let Some(python) = python() else { return };
    let studio = Studio::new(python);
    let source = "
import datetime
now = datetime.datetime.now(datetime.timezone.utc)

def registerCallbacks(reg):
    reg.setEmails('someone@example.com')
    done(reg.logger.name, reg.getLogger() is reg.logger, reg.logger.config.get('shotgun', 'key'))
    reg.registerCallback('plugin', 'a-plugins-key', Callable())

class Callable(object):
    def __call__(self, sg, logger, event, args):
        done(sorted(event))
        same = event['created_at'].tzinfo is type(sg).__module__ or event['created_at'].utcoffset() is not None
        done(same, event['created_at'] > now - datetime.timedelta(minutes=5), event['meta']['at'].utctimetuple()[:4])
        found = sg.find_one('EventLogEntry', [['id', 'is', event['id']]], ['created_at', 'meta'])
        done(found['created_at'] == event['created_at'], type(found['created_at'].tzinfo) is type(event['created_at'].tzinfo))
        sg.update('Project', 176, {'code': event['session_uuid']})
        done(logger.name.startswith('plugin.fields.Callable_0x'))
";
    studio.plugin("fields.py", source);
    let daemon = studio.start_polling();
    studio.events("A", &[Some(176)]);
    let wanted = [
        "plugin.fields True a-daemons-key",
        "['attribute_name', 'created_at', 'entity', 'event_type', 'id', 'meta', 'project', 'session_uuid', \
         'type', 'user']",
        "True True (2025, 1, 31, 12)",
        "True True",
        "True",
    ];
    assert_eq!(studio.until_recorded(5)[..5], wanted);
    let entries = studio.site.entities("EventLogEntry").unwrap();
    let change = entries.iter().find(|entry| entry["event_type"] == "Shotgun_Project_Change").unwrap();
    assert_eq!((&change["session_uuid"], &change["user"]["name"]), (&"0123".into(), &"plugin".into()));
    assert!(daemon.stop().success());
}

#[test]
fn files_come_and_go_and_one_that_cannot_be_loaded_waits_for_its_mending() {
    let Some(python) = python() else { return };
    let studio = Studio::new(python);
    let note = |word: &str| {
        registering(&format!("def note(sg, logger, event, args):\n    done('{word}', event['id'])"))
    };
    let broken = studio.plugin("broken.py", "raise ImportError('nothing here')\n");
    studio.plugin("one.py", &note("one"));
    let daemon = studio.start_polling();
    let first = studio.events("A", &[None])[0];
    assert_eq!(studio.until_recorded(1), [format!("one {first}")]);
    let two = studio.plugin("two.py", &note("two"));
    studio.until("the new file is loaded", || studio.log("daemon").contains("two.py"));
    let second = studio.events("A", &[None])[0];
    assert_eq!(studio.until_recorded(3)[1..], [format!("one {second}"), format!("two {second}")]);
    fs::remove_file(two).unwrap();
    studio.until("the file is gone", || studio.log("daemon").contains("the plugin was removed"));
    fs::write(broken, "").unwrap();
    studio.plugin("broken.py", &note("repaired"));
    // What came while it could not be loaded waits for it.
    let record = studio.until_recorded(5);
    assert_eq!(record[3..], [format!("repaired {first}"), format!("repaired {second}")]);
    let third = studio.events("A", &[None])[0];
    assert_eq!(studio.until_recorded(7)[5..], [format!("repaired {third}"), format!("one {third}")]);
    assert!(daemon.stop().success());
}

#[test]
fn a_plugin_that_ends_or_hangs_its_worker_costs_itself_alone() {
    let Some(python) = python() else { return };
    let mut studio = Studio::new(python);
    studio.set("eventd", "retry_after: 0.05");
    let body = "
import ctypes, os, signal, time

def note(sg, logger, event, args):
    done('bad', event['id'])
    if event['event_type'] == 'Segfault':
        os.kill(os.getpid(), signal.SIGSEGV)
    if event['event_type'] == 'Hang':
        time.sleep(1000)
    if event['event_type'] == 'Fork' and os.fork() == 0:
        return
    if event['event_type'] == 'Chdir':
        os.chdir('/')
    if event['event_type'] == 'Print':
        print('x' * 3000000)
";
    studio.plugin("a_bad.py", &registering(body));
    studio.plugin(
        "b_good.py",
        &registering("def note(sg, logger, event, args):\n    done('good', event['id'], os.getcwd() != '/')"),
    );
    let daemon = studio.start_polling();
    let ids: Vec<_> =
        ["Fork", "Chdir", "Print", "Segfault"].iter().map(|kind| studio.events(kind, &[None])[0]).collect();
    let good = |id: i64| format!("good {id} True");
    let all_good = || ids.iter().all(|id| studio.record().contains(&good(*id)));
    studio.until("the good one has them all", all_good);
    studio.until("the bad one has stopped", || studio.said(&["status"]).contains("stopped"));
    let tries = |studio: &Studio, id: i64| {
        studio.record().iter().filter(|line| **line == format!("bad {id}")).count()
    };
    assert_eq!(ids.iter().map(|id| tries(&studio, *id)).collect::<Vec<_>>(), [1, 1, 1, 3]);
    let status = studio.said(&["status"]);
    assert!(status.contains("note: worker ") && status.contains("SIGSEGV"), "{status}");
    // There is no project in it.
    assert!(!studio.log("daemon").contains("project="), "{}", studio.log("daemon"));
    assert!(!studio.log("daemon").contains("of project"), "{}", studio.log("daemon"));
    // A person goes on behind it, and the next one hangs.
    studio.said(&["skip", &ids[3].to_string(), "--plugin", "a_bad"]);
    assert!(daemon.stop().success());
    let daemon = studio.set("eventd", "callback_timeout: 2").start_polling();
    let hang = studio.events("Hang", &[None])[0];
    studio.until("it has stopped again", || {
        let status = studio.said(&["status"]);
        status.contains("stopped") && status.contains("was not finished within")
    });
    assert_eq!(tries(&studio, hang), 3);
    studio.until("the good one has it", || studio.record().contains(&good(hang)));
    assert!(daemon.stop().success());
}

#[test]
fn a_plugin_that_ends_the_worker_when_it_is_loaded_is_left_out_until_its_file_changes() {
    let Some(python) = python() else { return };
    let studio = Studio::new(python);
    let note = |word: &str| {
        registering(&format!("def note(sg, logger, event, args):\n    done('{word}', event['id'])"))
    };
    studio.plugin("a_deadly.py", "os._exit(7)\n");
    studio.plugin("b_good.py", &note("good"));
    let daemon = studio.start_polling();
    let id = studio.events("A", &[None])[0];
    assert_eq!(studio.until_recorded(1), [format!("good {id}")]);
    assert!(studio.said(&["status"]).contains("inactive"));
    studio.plugin("a_deadly.py", &note("repaired"));
    assert_eq!(studio.until_recorded(2)[1], format!("repaired {id}"));
    assert!(daemon.stop().success());
}

#[test]
fn with_a_lane_for_each_plugin_a_slow_one_delays_nobody() {
    let Some(python) = python() else { return };
    let mut studio = Studio::new(python);
    studio.set("eventd", "lanes: plugin");
    let slow = "
import time

def note(sg, logger, event, args):
    while not os.path.exists('go'):
        time.sleep(0.01)
    done('slow', event['id'])
";
    studio.plugin("a_slow.py", &registering(slow));
    studio.plugin(
        "b_good.py",
        &registering("def note(sg, logger, event, args):\n    done('good', event['id'])"),
    );
    let daemon = studio.start_polling();
    let ids = studio.events("A", &[None; 20]);
    let good: Vec<_> = ids.iter().map(|id| format!("good {id}")).collect();
    assert_eq!(studio.until_recorded(20), good);
    // Its process may be started later than the other one's.
    studio.until("the slow one runs", || {
        studio.said(&["status"]).lines().any(|line| line.starts_with("a_slow") && line.contains("running"))
    });
    fs::write(studio.path("go"), "").unwrap();
    let slow: Vec<_> = ids.iter().map(|id| format!("slow {id}")).collect();
    assert_eq!(studio.until_recorded(40)[20..], slow);
    assert!(daemon.stop().success());
}

#[test]
fn a_plugin_that_is_to_run_once_is_never_run_again_for_an_event_that_may_have_run() {
    let Some(python) = python() else { return };
    let mut studio = Studio::new(python);
    studio.set("eventd", "once: billing");
    let source = "
import time

def note(sg, logger, event, args):
    done('once', event['id'])
    while event['event_type'] == 'Wait' and not os.path.exists('go'):
        time.sleep(0.01)
";
    studio.plugin("billing.py", &registering(source));
    let daemon = studio.start_polling();
    let first = studio.events("Wait", &[None])[0];
    studio.until_recorded(1);
    daemon.kill();
    let daemon = studio.start_polling();
    let second = studio.events("A", &[None])[0];
    assert_eq!(studio.until_recorded(2), [format!("once {first}"), format!("once {second}")]);
    let dead = studio.said(&["dead"]);
    assert!(dead.contains(&format!("event {first}")) && dead.contains("may have run"), "{dead}");
    assert!(daemon.stop().success());
}

#[test]
fn plugins_find_what_shotgunevents_finds_beside_its_script_and_in_pythonpath() {
    let Some(python) = python() else { return };
    let mut studio = Studio::new(python);
    for (file, text) in [
        ("shotgunEventDaemon.py", ""),
        ("beside.py", "VALUE = 'beside'"),
        ("lib/studio_tools.py", "VALUE = 'studio'"),
        ("lib/beside.py", "VALUE = 'second'"),
    ] {
        let path = studio.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let lib = studio.path("lib");
    studio.env("PYTHONPATH", lib);
    let source = "
import beside
import studio_tools
import subprocess
import sys

def registerCallbacks(reg):
    told = subprocess.check_output([sys.executable, '-c', 'import studio_tools; print(studio_tools.VALUE)'])
    done(beside.VALUE, studio_tools.VALUE, told.decode().strip())
";
    studio.plugin("finds.py", source);
    let daemon = studio.start_polling();
    assert_eq!(studio.until_recorded(1), ["beside studio studio"]);
    assert!(daemon.stop().success());
}

/// What plugins do to Python's logging, at load.
const LOGGING: [(&str, &str); 6] = [
    ("force", "logging.basicConfig(level=logging.INFO, force=True)"),
    ("config", "import logging.config\nlogging.config.dictConfig({'version': 1, 'root': {'handlers': []}})"),
    ("cleared", "logging.getLogger().handlers[:] = []"),
    ("alone", "logging.getLogger('plugin.alone').propagate = False"),
    ("off", "logging.disable(logging.CRITICAL)"),
    (
        "odd",
        "class Odd(object):\n    def __str__(self):\n        raise ValueError('no text')\n    __repr__ = __str__",
    ),
];

#[test]
fn what_a_plugin_says_and_raises_is_in_its_log_whatever_it_does_to_logging() {
    let Some(python) = python() else { return };
    let mut studio = Studio::new(python);
    studio.set("eventd", "lanes: plugin");
    for (name, does) in LOGGING {
        let words = if name == "odd" { "Odd()" } else { "'said %s', event['id']" };
        let source = registering(&format!(
            "import logging\n{does}\ndef note(sg, logger, event, args):\n    logger.warning({words})\n    \
             logger.warning('\\udcff')\n    done(event['id'])\n    raise ValueError('\\ud800 wrong')"
        ));
        studio.plugin(&format!("{name}.py"), &source);
    }
    let daemon = studio.start_polling();
    studio.events("A", &[None]);
    studio.until("all have stopped", || studio.log("daemon").matches("the plugin has stopped").count() == 6);
    // Each has run once: what it raises cannot be mistaken for a worker that was lost.
    assert_eq!(studio.record().len(), 6);
    assert!(daemon.stop().success());
    for (name, _) in LOGGING {
        let log = studio.log(&format!("plugin.{name}"));
        assert_eq!(log.matches("CRITICAL - The callback raised").count(), 1, "{name}: {log}");
        assert!(log.contains("ValueError: \\ud800 wrong"), "{name}: {log}");
        let said = if name == "odd" { "whose text cannot be had" } else { " said " };
        // One that has turned all of it off wants no records of its own.
        let count = usize::from(name != "off");
        assert_eq!(
            (log.matches(said).count(), log.matches("\\udcff").count()),
            (count, count),
            "{name}: {log}"
        );
    }
}

#[test]
fn a_filter_that_cannot_be_asked_stops_its_plugin_and_nothing_runs_for_a_generator() {
    let Some(python) = python() else { return };
    let studio = Studio::new(python);
    let register = |function: &str, filter: &str| {
        format!(
            "def registerCallbacks(reg):\n    reg.registerCallback('plugin', 'a-plugins-key', {function}, {filter})\n"
        )
    };
    let note = "def note(sg, logger, event, args):\n    done(event['id'])\n";
    studio.plugin("list.py", &format!("{note}{}", register("note", "['A']")));
    studio.plugin("number.py", &format!("{note}{}", register("note", "{'A': 5}")));
    studio.plugin("later.py", &format!("{}    yield\n{}", note, register("note", "None")));
    studio.plugin("zz.py", &format!("{note}{}", register("note", "None")));
    let daemon = studio.start_polling();
    let ids = studio.events("A", &[None, None]);
    assert_eq!(studio.until_recorded(2), [ids[0].to_string(), ids[1].to_string()]);
    for name in ["list", "number"] {
        studio.until("it is told", || studio.log(&format!("plugin.{name}")).contains("matchEvents is "));
        assert!(studio.said(&["status"]).contains("matchEvents is "));
    }
    assert!(daemon.stop().success());
    let log = studio.log("plugin.later");
    assert_eq!(log.matches("calling it gives a generator, and runs nothing").count(), 1, "{log}");
}

#[test]
fn a_plugin_that_cannot_be_loaded_is_in_the_daemons_log_as_well() {
    let Some(python) = python() else { return };
    let studio = Studio::new(python);
    studio.plugin("old.py", "print 'hello'\n");
    studio.plugin("bare.py", "x = 1\n");
    let daemon = studio.start_polling();
    let told = |name: &str, why: &str| {
        let log = studio.log("daemon");
        log.lines()
            .any(|line| line.contains("the plugin is inactive") && line.contains(name) && line.contains(why))
    };
    studio.until("both are told", || told("old.py", "SyntaxError") && told("bare.py", "registerCallbacks"));
    assert!(daemon.stop().success());
}

#[test]
fn plugins_ask_the_configuration_by_the_names_that_shotgunevents_has() {
    let Some(python) = python() else { return };
    let mut studio = Studio::new(python);
    for line in
        ["enabled: False", "server: mail", "from: a@x", "to: b@x, c@x", "subject: [SG]", "useTLS: yes"]
    {
        studio.set("emails", line);
    }
    let source = "
def registerCallbacks(reg):
    config = reg.logger.config
    done(config.getSMTPEnabled(), config.getSMTPServer(), config.getSMTPPort(), config.getSecureSMTP())
    done(config.getFromAddr(), config.getToAddrs(), config.getEmailSubject())
    done(config.getEmailUsername(), config.getEmailPassword(), config.getMaxEventBatchSize())
    for path in (config.getEventIdFile(), config.getEnginePIDFile(), config.getLogFile(), config.getLogFile('a')):
        done(os.path.relpath(path, os.getcwd()))
    done(os.path.relpath(config.getTimingLogFile(), os.getcwd()), config.getEngineScriptName())
";
    studio.plugin("asks.py", source);
    let daemon = studio.start_polling();
    let wanted = [
        "False mail 25 True",
        "a@x ['b@x', 'c@x'] [SG]",
        "None None 500",
        "ids",
        "pid",
        "logs/daemon",
        "logs/a",
        "logs/daemon.timing daemon",
    ];
    assert_eq!(studio.until_recorded(8), wanted);
    assert!(daemon.stop().success());
}

#[test]
fn what_is_raised_is_shortened_and_what_is_registered_late_is_told() {
    let Some(python) = python() else { return };
    let studio = Studio::new(python);
    studio.plugin(
        "long.py",
        &registering("def note(sg, logger, event, args):\n    raise ValueError('x' * 5000000)"),
    );
    let late = "
def registerCallbacks(reg):
    reg.registerCallback('plugin', 'a-plugins-key', note, args=reg)

def note(sg, logger, event, args):
    args.registerCallback('plugin', 'a-plugins-key', never)
    done(event['id'])

def never(sg, logger, event, args):
    done('never')
";
    studio.plugin("late.py", late);
    let daemon = studio.start_polling();
    let all = studio.events("A", &[None; 2]);
    assert_eq!(studio.until_recorded(2), [all[0].to_string(), all[1].to_string()]);
    studio.until("it has stopped", || studio.said(&["status"]).contains("stopped"));
    let status = studio.said(&["status", "--json"]);
    assert!(status.len() < 100_000 && status.contains("characters left out"), "{}", status.len());
    assert!(daemon.stop().success());
    let log = studio.log("plugin.late");
    assert!(log.contains("has no effect once registerCallbacks has returned"), "{log}");
    assert_eq!(studio.record().len(), 2);
}
