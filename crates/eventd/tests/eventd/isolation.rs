//! Plugins of projects, whatever keeps them apart: a process for each project, or one for all.

use std::fs;

use crate::daemon::{Daemon, Isolation, Studio, over_both};

over_both!(
    plugins_run_where_the_configuration_says_each_with_globals_of_its_project,
    a_plugin_that_raises_stops_at_its_event_and_goes_on_there_once_its_file_is_repaired,
    files_come_and_go_and_a_reload_is_of_helpers_too,
    a_plugin_that_hangs_or_crashes_costs_itself_alone,
    a_plugin_that_crashes_when_it_is_loaded_is_left_out_until_its_file_changes,
    what_plugins_log_and_print_is_in_the_log_without_keys,
    a_daemon_that_is_to_end_waits_for_what_runs_and_one_that_is_killed_takes_it_along,
    plugins_that_eat_memory_get_a_new_process_and_nothing_is_lost,
    a_project_without_work_is_dropped_and_comes_back_with_its_next_event,
);

fn registering(body: &str) -> String {
    format!(
        "{body}\ndef registerCallbacks(reg):\n    reg.registerCallback('plugin', 'a-plugins-key', note)\n"
    )
}

/// A daemon with two projects.
fn two_projects(studio: &Studio) -> Daemon {
    studio.configuration(176, "bunny", "v0.24.0");
    studio.configuration(177, "sintel", "v0.23.8");
    studio.start_polling()
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

fn plugins_run_where_the_configuration_says_each_with_globals_of_its_project(studio: Studio) {
    let source = "
import sgtk
count = 0

def note(sg, logger, event, args):
    global count
    count += 1
    name = sg.find_one('Project', [['id', 'is', event['project']['id']]], ['name'])['name']
    done(name, count, sgtk.__version__, event['created_at'].utcoffset() is not None, os.getpid())
";
    studio.project_plugin("note.py", &registering(source));
    let daemon = two_projects(&studio);
    let mut pids = Vec::new();
    for count in 1..=2 {
        for (place, (project, name, version)) in
            [(176, "bunny", "v0.24.0"), (177, "sintel", "v0.23.8")].iter().enumerate()
        {
            studio.events("A", &[Some(*project)]);
            let record = studio.until_recorded(2 * (count - 1) + place + 1);
            let line = words(record.last().unwrap());
            assert_eq!(line[..4], [*name, &count.to_string(), *version, "True"]);
            pids.push(line[4].to_owned());
        }
    }
    assert_eq!(pids[0], pids[2]);
    assert_eq!(pids[0] == pids[1], studio.isolation != Isolation::Workers);
    assert!(!pids.contains(&daemon.pid().to_string()));
    assert!(daemon.stop().success());
}

fn a_plugin_that_raises_stops_at_its_event_and_goes_on_there_once_its_file_is_repaired(studio: Studio) {
    let broken = "def note(sg, logger, event, args):\n    local = 5\n    raise ValueError('no')";
    let note = |word: &str| {
        registering(&format!("def note(sg, logger, event, args):\n    done('{word}', event['id'])"))
    };
    studio.project_plugin("a_broken.py", &registering(broken));
    studio.project_plugin("b_good.py", &note("good"));
    let daemon = two_projects(&studio);
    let ids = studio.events("A", &[Some(176); 3]);
    let of = |word: &str| ids.iter().map(|id| format!("{word} {id}")).collect::<Vec<_>>();
    assert_eq!(studio.until_recorded(3), of("good"));
    // The plugins' lines come before their answer.
    studio.until("status says so", || studio.said(&["status"]).contains("note: ValueError: no"));
    studio.until("the log has it", || studio.log("plugin.a_broken").contains("'local': 5"));
    let log = studio.log("plugin.a_broken");
    assert!(log.contains(" - plugin.a_broken.note - CRITICAL - ") && log.contains("ValueError: no"), "{log}");
    studio.project_plugin("a_broken.py", &note("repaired"));
    assert_eq!(studio.until_recorded(6)[3..], of("repaired"));
    assert!(daemon.stop().success());
}

fn files_come_and_go_and_a_reload_is_of_helpers_too(mut studio: Studio) {
    let helpers = studio.path("helpers");
    fs::create_dir(&helpers).unwrap();
    studio.set("eventd", &format!("python_paths: {}", helpers.display()));
    let help = |word: &str| fs::write(helpers.join("helper.py"), format!("WORD = '{word}'\n")).unwrap();
    help("old");
    let source = "def note(sg, logger, event, args):\n    import helper\n    done(helper.WORD, event['id'])";
    studio.project_plugin("note.py", &registering(source));
    let daemon = two_projects(&studio);
    let loaded = |count| {
        studio.until("the plugin is loaded", || {
            studio.log("daemon").matches("the plugin is loaded").count() >= count
        });
    };
    let mut ids = studio.events("A", &[Some(176)]);
    assert_eq!(studio.until_recorded(1), [format!("old {}", ids[0])]);
    // Beside the first, whose module it shares.
    let second = studio.project_plugin("other.py", &registering(&source.replace("done(", "done('other', ")));
    loaded(2);
    help("the newest one");
    ids.extend(studio.events("A", &[Some(176)]));
    assert_eq!(studio.until_recorded(3)[1..], [format!("old {}", ids[1]), format!("other old {}", ids[1])]);
    fs::remove_file(second).unwrap();
    studio.until("the file is gone", || studio.log("daemon").contains("the plugin was removed"));
    for (round, word) in ["the newest one", "another", "the last"].iter().enumerate() {
        help(word);
        studio.said(&["reload"]);
        loaded(3 + round);
        ids.extend(studio.events("A", &[Some(176)]));
        assert_eq!(studio.until_recorded(4 + round)[3 + round], format!("{word} {}", ids.last().unwrap()));
    }
    assert!(daemon.stop().success());
}

fn a_plugin_that_hangs_or_crashes_costs_itself_alone(mut studio: Studio) {
    studio.set("eventd", "callback_timeout: 4").set("eventd", "retry_after: 0.05");
    let bad = "
import ctypes, time

def note(sg, logger, event, args):
    done('bad', event['id'])
    if event['event_type'] == 'Segfault':
        ctypes.string_at(0)
    while event['event_type'] == 'Hang':
        time.sleep(0.01)
    if event['event_type'] == 'Fork' and os.fork() == 0:
        return
    if event['event_type'] == 'Chdir':
        os.chdir('/')
    if event['event_type'] == 'Print':
        print('x' * 300000)
";
    let good = "
count = 0

def note(sg, logger, event, args):
    global count
    count += 1
    done('good', event['id'], os.getcwd() != '/', count)
";
    studio.project_plugin("a_bad.py", &registering(bad));
    studio.project_plugin("b_good.py", &registering(good));
    let daemon = two_projects(&studio);
    let of = |id: i64, word: &str| {
        let begin = format!("{word} {id}");
        let found = studio.record().into_iter().filter(|line| line.starts_with(&begin));
        found.collect::<Vec<_>>()
    };
    let has = |id: i64| studio.until("the good one has it", || of(id, "good").len() == 1);
    // One that has nothing to do with it.
    let other = studio.events("A", &[Some(177)])[0];
    has(other);
    let ids: Vec<_> =
        ["Fork", "Chdir", "Print", "Hang"].iter().map(|kind| studio.events(kind, &[Some(176)])[0]).collect();
    ids.iter().for_each(|id| has(*id));
    assert!(ids.iter().all(|id| of(*id, "good")[0].contains(" True ")), "{:?}", studio.record());
    studio.until("the bad one has stopped", || {
        let status = studio.said(&["status"]);
        status.contains("stopped") && status.contains("was not finished within 4")
    });
    assert_eq!(ids.iter().map(|id| of(*id, "bad").len()).collect::<Vec<_>>(), [1, 1, 1, 3]);
    // The other project's plugins have what they had.
    let other = studio.events("A", &[Some(177)])[0];
    has(other);
    assert!(of(other, "good")[0].ends_with(" 2"), "{:?}", of(other, "good"));
    studio.said(&["skip", &ids[3].to_string(), "--plugin", "a_bad"]);
    let crash = studio.events("Segfault", &[Some(176)])[0];
    has(crash);
    studio.until("it has stopped again", || {
        let status = studio.said(&["status"]);
        status.contains("stopped") && status.contains("SIGSEGV")
    });
    assert_eq!(of(crash, "bad").len(), 3);
    let last = studio.events("A", &[Some(177)])[0];
    has(last);
    assert_eq!(of(last, "bad").len(), 1);
    assert!(daemon.stop().success());
}

fn a_plugin_that_crashes_when_it_is_loaded_is_left_out_until_its_file_changes(studio: Studio) {
    let note = |word: &str| {
        registering(&format!("def note(sg, logger, event, args):\n    done('{word}', event['id'])"))
    };
    studio.project_plugin("a_deadly.py", "os._exit(7)\n");
    studio.project_plugin("b_good.py", &note("good"));
    let daemon = two_projects(&studio);
    let id = studio.events("A", &[Some(176)])[0];
    assert_eq!(studio.until_recorded(1), [format!("good {id}")]);
    assert!(studio.said(&["status"]).contains("inactive"));
    studio.project_plugin("a_deadly.py", &note("repaired"));
    assert_eq!(studio.until_recorded(2)[1], format!("repaired {id}"));
    assert!(daemon.stop().success());
}

fn what_plugins_log_and_print_is_in_the_log_without_keys(studio: Studio) {
    let source = "
import sgtk, sys

def note(sg, logger, event, args):
    key = logger.config.get('shotgun', 'key')
    logger.info('logged %s', key)
    print('printed', key)
    print('complained', key, file=sys.stderr)
    sgtk.LogManager.get_logger('of.toolkit').warning('toolkit %s', key) if hasattr(sgtk, 'LogManager') else None
    done(event['id'])
";
    studio.project_plugin("note.py", &registering(source));
    let daemon = two_projects(&studio);
    studio.events("A", &[Some(176), Some(177)]);
    studio.until_recorded(2);
    for words in ["printed [hidden]", "complained [hidden]"] {
        studio.until(words, || studio.log("daemon").matches(words).count() == 2);
    }
    assert!(daemon.stop().success());
    let log = studio.log("plugin.note");
    // Each record once, whichever project was there first.
    assert_eq!(log.matches(" - plugin.note.note - INFO - logged [hidden]").count(), 2, "{log}");
    for entry in fs::read_dir(studio.path("logs")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!text.contains("a-daemons-key"), "{text}");
    }
}

fn a_daemon_that_is_to_end_waits_for_what_runs_and_one_that_is_killed_takes_it_along(studio: Studio) {
    let source = "
import time

def note(sg, logger, event, args):
    done('begun', event['id'], os.getpid())
    while not os.path.exists('go'):
        time.sleep(0.01)
    done('over', event['id'])
";
    studio.project_plugin("note.py", &registering(source));
    let daemon = two_projects(&studio);
    let id = studio.events("A", &[Some(176)])[0];
    let begun = studio.until_recorded(1);
    daemon.kill();
    let pid = words(&begun[0])[2].to_owned();
    studio.until("what ran has ended", || !is_alive(&pid));
    let daemon = studio.start_polling();
    let again = studio.until_recorded(2);
    assert!(again[1].starts_with(&format!("begun {id} ")), "{again:?}");
    daemon.signal("TERM");
    studio.until("it waits", || studio.log("daemon").contains("callbacks that run are waited for"));
    fs::write(studio.path("go"), "").unwrap();
    assert_eq!(studio.until_recorded(3)[2], format!("over {id}"));
    assert!(daemon.stop().success());
    let daemon = studio.start_polling();
    let next = studio.events("A", &[Some(176)])[0];
    assert_eq!(studio.until_recorded(5)[4], format!("over {next}"));
    assert!(daemon.stop().success());
    assert_eq!(studio.record().len(), 5);
}

/// Whether a process is there that has not ended; somebody may still have to reap it.
fn is_alive(pid: &str) -> bool {
    if cfg!(target_os = "linux") {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        return stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'));
    }
    std::process::Command::new("kill").args(["-0", pid]).status().unwrap().success()
}

fn plugins_that_eat_memory_get_a_new_process_and_nothing_is_lost(mut studio: Studio) {
    studio.set("eventd", "memory_limit: 200");
    let source = "
eaten = []

def note(sg, logger, event, args):
    eaten.append(b'x' * (60 << 20))
    done(event['id'], os.getpid())
";
    studio.project_plugin("note.py", &registering(source));
    let daemon = two_projects(&studio);
    let mut all = Vec::new();
    let mut pids = Vec::new();
    let told = || studio.log("daemon").contains("more memory than it may");
    // One by one: a worker's memory is looked at now and then.
    while all.len() < 100 && !(told() && pids.len() > 1) {
        all.extend(studio.events("A", &[Some(176)]));
        let record = studio.until_recorded(all.len());
        let line = words(record.last().unwrap());
        assert_eq!(line[0], all.last().unwrap().to_string());
        if pids.last().is_none_or(|pid| *pid != line[1]) {
            pids.push(line[1].to_owned());
        }
    }
    assert!(told() && pids.len() > 1, "{}", studio.log("daemon"));
    assert!(daemon.stop().success());
    assert_eq!(studio.record().len(), all.len());
}

fn a_project_without_work_is_dropped_and_comes_back_with_its_next_event(mut studio: Studio) {
    studio.set("sgtk", "idle: 0.3");
    let source = "
count = 0

def note(sg, logger, event, args):
    global count
    count += 1
    done(event['id'], count)
";
    studio.project_plugin("note.py", &registering(source));
    let daemon = two_projects(&studio);
    let dropped = |log: &str| {
        log.lines().any(|line| match studio.isolation {
            Isolation::Workers => line.contains("retiring a worker") && line.contains("reason=Idle"),
            #[cfg(feature = "embedded")]
            Isolation::InProcess => line.contains("evicted") && line.contains("bunny"),
        })
    };
    let first = studio.events("A", &[Some(176)])[0];
    studio.until_recorded(1);
    studio.until("it is dropped", || dropped(&studio.log("daemon")));
    let second = studio.events("A", &[Some(176)])[0];
    assert_eq!(studio.until_recorded(2), [format!("{first} 1"), format!("{second} 1")]);
    assert!(daemon.stop().success());
}

#[cfg(not(feature = "embedded"))]
#[test]
fn without_the_feature_one_process_for_all_projects_is_refused_at_start() {
    let Some(mut studio) = Studio::over(Isolation::Workers) else { return };
    studio.set("sgtk", "isolation: in-process");
    for command in ["run", "check"] {
        let refused = studio.refused(&[command]);
        assert!(
            refused.contains("[sgtk] isolation: 'in-process' needs a build")
                && refused.contains("`embedded`"),
            "{refused}"
        );
    }
}

#[cfg(feature = "embedded")]
mod in_process_alone {
    use super::*;

    #[test]
    fn in_process_a_callback_that_nothing_can_break_off_costs_the_process_and_the_log_says_so() {
        let Some(mut studio) = Studio::over(Isolation::InProcess) else { return };
        studio.set("eventd", "callback_timeout: 1").set("eventd", "once: a_bad");
        let bad = "
import time

def note(sg, logger, event, args):
    done('bad', event['id'], os.getpid())
    while event['event_type'] == 'Hang':
        try:
            time.sleep(0.01)
        except BaseException:
            pass
";
        studio.project_plugin("a_bad.py", &registering(bad));
        let daemon = two_projects(&studio);
        let hang = studio.events("Hang", &[Some(176)])[0];
        studio.until_recorded(1);
        let other = studio.events("A", &[Some(177)])[0];
        let record = studio.until_recorded(2);
        let (first, second) = (words(&record[0]), words(&record[1]));
        assert_eq!((first[1], second[1]), (&*hang.to_string(), &*other.to_string()));
        assert_ne!(first[2], second[2]);
        let log = studio.log("daemon");
        assert!(log.contains("a callback that was broken off goes on"), "{log}");
        let dead = studio.said(&["dead"]);
        assert!(
            dead.contains(&format!("event {hang} ")) && dead.contains("was not finished within"),
            "{dead}"
        );
        assert!(daemon.stop().success());
    }

    #[test]
    fn in_process_a_python_that_is_not_the_linked_one_is_refused_at_start() {
        let Some(mut studio) = Studio::over(Isolation::InProcess) else { return };
        studio.project_plugin("note.py", "");
        // It reads the configuration as well as the real one does.
        let wrong = studio.path("python");
        let script = "#!/bin/sh\ncase \"$*\" in *sgtk-host-check*) printf '\\nsgtk-host-check cpython 3 6 1 \
                      0 x\\n';; *sys.executable*) echo \"$0\";; *) exec PYTHON \"$@\";; esac\n";
        let real = studio.python().display().to_string();
        fs::write(&wrong, script.replace("PYTHON", &real)).unwrap();
        fs::set_permissions(&wrong, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        studio.set("eventd", &format!("python: {}", wrong.display()));
        let refused = studio.refused(&["run"]);
        for words in ["[sgtk] isolation = in-process: [eventd] python", "expected Python 3.", "found 3.6.1"] {
            assert!(refused.contains(words), "{words}: {refused}");
        }
        assert!(studio.refused(&["check"]).contains("found 3.6.1"));
    }
}
