//! SIGKILL at any moment: none lost, order kept, repeated at most what was in flight.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::daemon::{Studio, event, python};

/// Judges a record of `start PLUGIN ID` and `done PLUGIN ID`: each event done by each plugin, and begun in
/// order. Returns how often events were begun again.
fn judge(record: &[String], plugins: &[&str], ids: &[i64]) -> usize {
    let mut again = 0;
    for plugin in plugins {
        let mut begun: HashMap<i64, usize> = HashMap::new();
        let mut done: BTreeMap<i64, usize> = BTreeMap::new();
        let mut last = 0;
        for line in record {
            let words: Vec<_> = line.split(' ').collect();
            let [what, of, id] = words[..] else { continue };
            if of != *plugin {
                continue;
            }
            let id: i64 = id.parse().unwrap();
            if what == "start" {
                assert!(id >= last, "{plugin} begins {id} after {last}");
                let before = ids[..ids.partition_point(|one| *one < id)].last();
                assert!(
                    before.is_none_or(|before| done.contains_key(before)),
                    "{plugin} begins {id} ahead of {before:?}"
                );
                *begun.entry(id).or_default() += 1;
                last = id;
            } else {
                *done.entry(id).or_default() += 1;
            }
        }
        assert_eq!(done.len(), ids.len(), "{plugin} has lost events");
        again += begun.values().map(|count| count - 1).sum::<usize>();
    }
    again
}

#[test]
fn killed_again_and_again_with_all_plugins_in_one_lane_nothing_is_lost() {
    kill_again_and_again("lanes: shared");
}

#[test]
fn killed_again_and_again_nothing_is_lost_and_only_what_was_in_flight_comes_again() {
    kill_again_and_again("lanes: plugin");
}

fn kill_again_and_again(lanes: &str) {
    let Some(python) = python() else { return };
    let kills: usize = std::env::var("EVENTD_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(6);
    let total: usize = std::env::var("EVENTD_EVENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(600);
    let mut studio = Studio::new(python);
    studio.set("eventd", lanes).set("daemon", "logging: 20").set("daemon", "max_event_batch_size: 50");
    let plugins = ["one", "two"];
    for name in plugins {
        let source = format!(
            "
import time

def registerCallbacks(reg):
    reg.registerCallback('plugin', 'a-plugins-key', note)

def note(sg, logger, event, args):
    done('start', '{name}', event['id'])
    time.sleep(0.002)
    done('done', '{name}', event['id'])
"
        );
        studio.plugin(&format!("{name}.py"), &source);
    }
    let mut daemon = studio.start_polling();
    let entries: Vec<Value> = (0..total).map(|_| event("A", None)).collect();
    let ids = studio.site.events(&entries).unwrap();
    let mut killed = 0;
    // Numbers without a pattern: a linear congruential generator.
    let mut random = 7u64;
    let mut next = move |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let all_done =
        |record: &[String]| record.iter().filter(|line| line.starts_with("done ")).count() >= 2 * total;
    // Two plugins write two lines of each event: kills come all along.
    let step = (total / kills / 2).max(5);
    while killed < kills && !all_done(&studio.record()) {
        let before = studio.record().len();
        let goes_on = || studio.record().len() > before + step || all_done(&studio.record());
        studio.until("something is done", goes_on);
        std::thread::sleep(Duration::from_micros(next(30_000)));
        if next(3) == 0 {
            // A worker: its plugin goes on in another one.
            let status: Value = serde_json::from_str(&studio.said(&["status", "--json"])).unwrap();
            let workers: Vec<_> = status["workers"].as_object().unwrap().iter().collect();
            let (_, pid) = workers[next(workers.len() as u64) as usize];
            // It may have ended meanwhile.
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap();
        } else {
            daemon.kill();
            daemon = studio.start();
        }
        killed += 1;
    }
    let count = || {
        let record = studio.record();
        plugins.iter().all(|plugin| {
            let begin = format!("done {plugin} ");
            let mut done: Vec<_> = record.iter().filter(|line| line.starts_with(&begin)).collect();
            done.sort();
            done.dedup();
            done.len() == total
        })
    };
    while !count() {
        let before = studio.record().len();
        studio.until("something is done", || studio.record().len() > before || count());
    }
    // The last one may just have been started.
    studio.until("it answers", || studio.said_if_running(&["status"]).is_some());
    let status = daemon.stop();
    assert!(status.success(), "{status}");
    let again = judge(&studio.record(), &plugins, &ids);
    eprintln!("{lanes}: {killed} kills, {again} of {total} events came again");
    assert!(again <= killed * plugins.len(), "{again} events came again after {killed} kills");
}

/// Runs until there is a file that lets it end.
const WAITS: &str = "
import time

def registerCallbacks(reg):
    reg.registerCallback('plugin', 'a-plugins-key', wait)

def wait(sg, logger, event, args):
    done(event['id'])
    while event['event_type'] == 'Long' and not os.path.exists('go-on'):
        time.sleep(0.01)
";

#[test]
fn a_run_that_was_broken_off_is_told_by_the_next_with_what_was_running() {
    let Some(python) = python() else { return };
    let mut studio = Studio::new(python);
    studio.set("eventd", "lanes: plugin");
    studio.plugin("one.py", WAITS);
    studio.plugin("two.py", WAITS);
    let told = || studio.log("daemon").matches("did not end in good order").count();
    let daemon = studio.start_polling();
    // Alone in its call in one, among others in two, and nothing in a third.
    let first = studio.events("Short", &[None])[0];
    studio.until_recorded(2);
    let alone = studio.events("Long", &[None])[0];
    studio.until_recorded(4);
    assert_eq!(told(), 0, "{}", studio.log("daemon"));
    let pid = daemon.pid();
    daemon.kill();

    // A command that opens the state is no run.
    studio.said(&["export-ids", &studio.path("exported").display().to_string()]);
    let daemon = studio.start_polling();
    assert_eq!(told(), 1, "{}", studio.log("daemon"));
    let log = studio.log("daemon");
    let line = log.lines().find(|line| line.contains("did not end in good order")).unwrap();
    for wanted in [
        format!("process={pid}"),
        "cause=it was killed, or crashed".to_owned(),
        format!("running=event {alone} of one, event {alone} of two"),
    ] {
        assert!(line.contains(&wanted), "{wanted}: {line}");
    }
    assert!(!line.contains(&format!("event {first} ")), "{line}");
    fs::write(studio.path("go-on"), "").unwrap();
    studio.until_recorded(6);
    assert!(daemon.stop().success());
    let daemon = studio.start_polling();
    assert!(daemon.stop().success());
    assert_eq!(told(), 1, "{}", studio.log("daemon"));
}

#[test]
fn of_events_that_were_given_out_together_the_one_that_was_running_is_told() {
    let Some(python) = python() else { return };
    let studio = Studio::new(python);
    studio.plugin("one.py", WAITS);
    studio.plugin(
        "stops.py",
        "def registerCallbacks(reg):\n    reg.registerCallback('plugin', 'a-plugins-key', fail)\n\
        \ndef fail(sg, logger, event, args):\n    raise ValueError('stop')\n",
    );
    let daemon = studio.start_polling();
    let events: Vec<_> = ["A", "A", "Long", "A"].iter().map(|kind| event(kind, None)).collect();
    let ids = studio.site.events(&events).unwrap();
    studio.until_recorded(3);
    studio.until("it has stopped", || studio.log("daemon").contains("the plugin has stopped"));
    daemon.kill();
    fs::write(studio.path("go-on"), "").unwrap();
    let daemon = studio.start_polling();
    studio.until_recorded(5);
    assert!(daemon.stop().success());
    let log = studio.log("daemon");
    let line = log.lines().find(|line| line.contains("did not end in good order")).unwrap();
    // Not the one at which a plugin has stopped.
    assert!(line.contains(&format!("running=event {} of one ", ids[2])), "{line}");
}
