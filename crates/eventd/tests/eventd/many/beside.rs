//! What other projects notice of one that fails without end. How long their events take is told, not judged:
//!
//! `EVENTD_ROUNDS=5 EVENTD_PACED=1000 cargo test --release -p sgtk-eventd --features nats --test eventd
//! beside -- --nocapture`

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::judge::{Verdict, judge};
use super::studio::Many;
use crate::daemon::event;

const PROJECTS: i64 = 8;

/// One that fails, in the way that a file says.
const BROKEN: i64 = 1;

const PLUGIN: &str = "
import time

def registerCallbacks(reg):
    reg.registerCallback('plugin', 'a-plugins-key', note, stopOnError=False)

def note(sg, logger, event, args):
    project = event['project']['id']
    done('start', os.environ['EVENTD_HOST'], project, event['id'])
    if project == 1:
        with open('way') as file:
            way = file.read()
        if way in ('raises', 'crashes'):
            done('ended', os.environ['EVENTD_HOST'], project, event['id'])
        if way == 'raises':
            raise ValueError('broken')
        if way == 'crashes':
            os._exit(3)
    done('done', os.environ['EVENTD_HOST'], project, event['id'])
    done('at', event['id'], time.time_ns())
";

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn nanos() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()
}

/// Kills the workers of the project that fails, on whichever host they are.
fn kill_workers(many: &Many) {
    for host in ["a", "b", "c"] {
        let status = many.status(host);
        let workers = status["workers"].as_object().unwrap().iter();
        for (_, pid) in workers.filter(|(name, _)| **name == format!("project_{BROKEN}")) {
            // It may have ended meanwhile.
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap();
        }
    }
}

fn dead(many: &Many) -> BTreeSet<i64> {
    let letters: Value =
        serde_json::from_str(&many.said("b", &["dead", "--json", "--most", "100000"])).unwrap();
    letters.as_array().unwrap().iter().map(|letter| letter["event"].as_i64().unwrap()).collect()
}

/// Adds events at a steady rate, to all projects in turn. Gives when each was added.
fn paced(many: &mut Many, count: usize) -> BTreeMap<i64, u128> {
    let mut added = BTreeMap::new();
    for project in (1..=PROJECTS).cycle().take(count) {
        let at = nanos();
        let id = many.studio.site.events(&[event("A", Some(project))]).unwrap()[0];
        many.events.get_mut(&project).unwrap().push(id);
        added.insert(id, at);
        std::thread::sleep(Duration::from_millis(20));
    }
    added
}

/// The median and the 99th percentile, in ms, of what others took.
fn latencies(many: &Many, added: &BTreeMap<i64, u128>) -> (f64, f64) {
    let broken: BTreeSet<i64> = many.events[&BROKEN].iter().copied().collect();
    let record = many.studio.record();
    let mut times: Vec<f64> = record
        .iter()
        .filter_map(|line| line.strip_prefix("at ")?.split_once(' '))
        .map(|(id, at)| (id.parse::<i64>().unwrap(), at.parse::<u128>().unwrap()))
        .filter(|(id, _)| !broken.contains(id))
        .filter_map(|(id, at)| Some(at.saturating_sub(*added.get(&id)?) as f64 / 1e6))
        .collect();
    times.sort_by(f64::total_cmp);
    let part = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    (part(0.5), part(0.99))
}

#[test]
fn beside_a_project_that_fails_without_end_the_others_lose_nothing_and_keep_their_order() {
    let Some(mut many) = Many::new(PROJECTS) else { return };
    many.studio.set("eventd", "retry_after: 0.2").set("daemon", "fetch_interval: 0.02");
    many.studio.project_plugin("note.py", PLUGIN);
    let way = |many: &Many, way: &str| fs::write(many.studio.path("way"), way).unwrap();
    way(&many, "nothing");
    let core = many.studio.configs.base();
    let core = core.join(format!("project_{BROKEN}/install/core/python/tank/__init__.py"));
    let whole = fs::read_to_string(&core).unwrap();
    let (_hosts, _publisher) = many.start();
    many.warm_up();
    let count = number("EVENTD_PACED", 40);
    for round in 0..number("EVENTD_ROUNDS", 1) {
        for how in ["nothing", "raises", "crashes", "poisoned"] {
            way(&many, how);
            if how == "poisoned" {
                fs::write(&core, "raise RuntimeError('poisoned')\n").unwrap();
                kill_workers(&many);
            }
            let before = many.events[&BROKEN].len();
            let added = paced(&mut many, count);
            let mut others = many.events.clone();
            others.remove(&BROKEN);
            let verdict = |many: &Many| -> Verdict {
                let record = many.studio.record().into_iter();
                let record = record.filter(|line| line.split(' ').nth(2) != Some("1"));
                judge(&record.collect::<Vec<_>>(), &others)
            };
            many.studio.until("the others are done", || verdict(&many).lost.is_empty());
            let verdict = verdict(&many);
            assert_eq!((verdict.ahead, verdict.overlap, verdict.behind), (vec![], vec![], vec![]));
            let (p50, p99) = latencies(&many, &added);
            eprintln!("round {round}, one project {how:8}: the others' p50 {p50:6.1} ms, p99 {p99:6.1} ms");
            fs::write(&core, &whole).unwrap();
            if ["raises", "crashes"].contains(&how) {
                // Each is a dead letter.
                let failed = many.events.get_mut(&BROKEN).unwrap().split_off(before);
                many.studio.until("all of its events are given up", || {
                    let dead = dead(&many);
                    failed.iter().all(|id| dead.contains(id))
                });
            }
            way(&many, "nothing");
            many.until_all_done();
        }
    }
}
