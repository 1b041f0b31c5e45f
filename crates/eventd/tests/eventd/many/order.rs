//! Hosts where nothing fails.

use std::collections::BTreeMap;

use super::judge::judge;
use super::studio::Many;

#[test]
fn each_project_is_done_in_order_on_one_host_and_a_restart_of_all_goes_on() {
    let Some(mut many) = Many::new(5) else { return };
    let (hosts, publisher) = many.start();
    let warm = many.warm_up();
    many.add(6);
    let verdict = many.until_all_done();
    assert_eq!((verdict.again, many.pairs_since(warm)), (0, 5), "{verdict:?}");
    let status = many.status("a");
    let names: Vec<_> = status["hosts"].as_array().unwrap().iter().map(|host| &host["name"]).collect();
    assert_eq!(names, ["a", "b", "c", "p (publisher)"]);
    for (_, host) in hosts {
        assert!(host.stop().success());
    }
    assert!(publisher.stop().success());
    // What happens meanwhile is not lost, and nothing comes again.
    many.add(2);
    let (_hosts, publisher) = many.start();
    let verdict = many.until_all_done();
    assert_eq!(verdict.again, 0, "{verdict:?}");
    assert!(publisher.stop().success());
}

#[test]
fn hosts_that_start_one_after_the_other_leave_each_other_their_projects() {
    let Some(mut many) = Many::new(6) else { return };
    // However busy the machine is, the others are there by then.
    many.studio.set("nats", "wait_for_hosts: 80");
    let _publisher = many.publisher("p");
    many.until_logged("p", "polling begins");
    many.add(3);
    let mut hosts = Vec::new();
    for name in ["a", "b", "c"] {
        hosts.push(many.host(name));
        many.until_ready(name);
        if name == "a" {
            // It is at work.
            many.until_done(3);
        }
    }
    let verdict = many.until_all_done();
    let of = |name: &str| verdict.pairs.iter().filter(|(host, _)| host == name).count();
    assert!(["a", "b", "c"].iter().all(|name| of(name) > 0) && verdict.pairs.len() == 6, "{verdict:?}");
}

#[test]
fn hosts_are_restarted_one_after_the_other_and_nothing_is_run_again() {
    let Some(mut many) = Many::new(4) else { return };
    many.studio.set("daemon", "logging: 10");
    many.work = 10;
    let (hosts, _publisher) = many.start();
    let warm = many.warm_up();
    hosts.keys().for_each(|name| many.until_asks(name));
    let (mut again, mut moved) = (Vec::new(), 0);
    for (name, host) in hosts {
        let before = many.done();
        many.add(10);
        many.until_done(before + 8);
        moved += many.current_of(name);
        assert!(host.stop().success());
        again.push(many.host(name));
        many.until_ready(name);
        // Its projects are its own again before the next one ends.
        many.until_all_done();
        many.until_asks(name);
        many.warm_up();
    }
    let verdict = many.until_all_done();
    assert_eq!((verdict.again, verdict.twice), (0, 0), "{verdict:?}");
    assert!(many.pairs_since(warm) <= 4 + moved, "{moved} projects were on hosts that ended: {verdict:?}");
}

#[test]
fn a_call_longer_than_the_servers_patience_is_not_given_out_again() {
    let Some(mut many) = Many::new(2) else { return };
    many.studio.set("nats", "ack_wait: 4");
    many.work = 600;
    let (_hosts, _publisher) = many.start();
    many.add(1);
    let verdict = many.until_all_done();
    assert_eq!((verdict.again, verdict.twice), (0, 0), "{verdict:?}");
}

#[test]
fn a_host_that_nobody_has_named_is_found_and_has_its_share() {
    let Some(mut many) = Many::new(8) else { return };
    let (_hosts, _publisher) = many.start();
    many.warm_up();
    let _other = many.host("other");
    many.until_ready("other");
    many.until_logged("a", "the set of hosts has changed hosts=a, b, c, other");
    let has_some = |many: &mut Many| {
        many.add(1);
        many.until_all_done().pairs.iter().any(|(host, _)| host == "other")
    };
    assert!((0..20).any(|_| has_some(&mut many)), "it has nothing");
    let known = many.status("b")["hosts"].to_string();
    assert!(known.contains("\"other\""), "{known}");
}

#[test]
fn the_host_of_a_plugin_without_toolkit_is_killed_in_the_middle_of_an_event() {
    let Some(mut many) = Many::new(2) else { return };
    many.studio.set("nats", "ack_wait: 10");
    many.studio.plugin(
        "all.py",
        "
import time

def registerCallbacks(reg):
    reg.registerCallback('plugin', 'a-plugins-key', note)

def note(sg, logger, event, args):
    done('all start', os.environ['EVENTD_HOST'], 0, event['id'])
    time.sleep(0.2)
    done('all done', os.environ['EVENTD_HOST'], 0, event['id'])
",
    );
    let (mut hosts, _publisher) = many.start();
    // All events as those of one project.
    let record = |many: &Many| -> Vec<String> {
        let lines = many.studio.record().into_iter();
        let own = |line: String| match line.strip_prefix("all ") {
            Some(own) => Some(own.to_owned()),
            None => line.starts_with("gone ").then_some(line),
        };
        lines.filter_map(own).collect()
    };
    let verdict = |many: &Many| {
        let mut ids: Vec<i64> = many.events.values().flatten().copied().collect();
        ids.sort_unstable();
        judge(&record(many), &BTreeMap::from([(0, ids)]))
    };
    many.warm_up();
    many.studio.until("the first ones are done", || verdict(&many).lost.is_empty());
    many.add(5);
    let last = |many: &Many| record(many).last().cloned().unwrap();
    let before = record(&many).len();
    many.studio
        .until("it is in a call", || record(&many).len() > before && last(&many).starts_with("start "));
    let host = verdict(&many).current[&0].clone();
    hosts[&*host].signal_all("STOP");
    let begun = record(&many).iter().rev().find(|line| line.starts_with("start ")).cloned().unwrap();
    many.kill(&host, hosts.remove(&*host).unwrap());
    many.add(3);
    many.studio.until("another host has done all", || verdict(&many).lost.is_empty());
    many.until_all_done();
    let verdict = verdict(&many);
    assert!(
        verdict.ahead.is_empty() && verdict.overlap.is_empty() && verdict.behind.is_empty(),
        "{verdict:?}"
    );
    let id: i64 = begun.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(verdict.repeated.iter().all(|event| *event == (0, id)), "{begun} was in flight: {verdict:?}");
    assert_eq!(verdict.pairs.len(), 2, "its host, and the next one: {verdict:?}");
}

#[test]
fn plugins_without_toolkit_have_all_events_in_one_order_on_one_host_at_a_time() {
    let Some(mut many) = Many::new(2) else { return };
    many.studio.plugin(
        "all.py",
        "
def registerCallbacks(reg):
    reg.registerCallback('plugin', 'a-plugins-key', note)

def note(sg, logger, event, args):
    done('all', os.environ['EVENTD_HOST'], event['id'])
",
    );
    let (mut hosts, _publisher) = many.start();
    let all = |many: &Many| -> Vec<(String, i64)> {
        let record = many.studio.record();
        let own = record.iter().filter_map(|line| line.strip_prefix("all "));
        own.map(|line| line.split_once(' ').unwrap())
            .map(|(host, id)| (host.to_owned(), id.parse().unwrap()))
            .collect()
    };
    many.add(5);
    many.studio.until("the plugin has all", || all(&many).len() == 10);
    let first = all(&many);
    assert!(first.iter().all(|(host, _)| *host == first[0].0), "{first:?}");
    assert!(first.is_sorted_by_key(|(_, id)| *id), "{first:?}");
    // Its host goes: another one has it, which is the next one once all ask.
    many.until_all_done();
    many.until_all_ask(&many.server.url());
    hosts.remove(&*first[0].0).unwrap().kill();
    many.add(5);
    many.studio.until("another host has it", || all(&many).len() >= 20);
    let rest = all(&many)[10..].to_vec();
    assert!(rest.iter().all(|(host, _)| *host == rest[0].0 && *host != first[0].0), "{rest:?}");
    assert!(rest.is_sorted_by_key(|(_, id)| *id), "{rest:?}");
}
